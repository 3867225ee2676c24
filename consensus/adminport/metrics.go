package adminport

import (
	"context"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.org/ha/consensus/fourletter"
)

// metricsAlone is what the port of the metrics serves.
func (s *Server) metricsAlone() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics())
	return bounded(mux)
}

// metrics asks the member anew for each scrape. Beside its metrics are those of the process, which have
// the names that Java's exporter gives them too.
func (s *Server) metrics() http.Handler {
	process := prometheus.NewRegistry()
	process.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
		defer cancel()
		status, err := s.source.Status(ctx, fourletter.WantMetrics)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		member := prometheus.NewRegistry()
		member.MustRegister(collector(status.Everything()))
		promhttp.HandlerFor(prometheus.Gatherers{member, process}, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, ErrorLog: errorLog{s},
		}).ServeHTTP(w, r)
	})
}

type errorLog struct{ s *Server }

func (l errorLog) Println(v ...any) { l.s.log.Warn("metrics incomplete", "error", v) }

// A collector is metrics as they stood. They are not described beforehand, since sets have what their
// keys are.
type collector []fourletter.Metric

// Describe names none: what comes is checked when it is there.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect gives each as ZooKeeper's provider does: the help is the name, a set has the label key, a
// summary the quantile 0.5, and 0.9 and 0.99 when it is a distribution.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, m := range c {
		var labels, values []string
		if m.Key != "" {
			labels, values = []string{"key"}, []string{strings.ToValidUTF8(m.Key, "\uFFFD")}
		}
		desc := prometheus.NewDesc(m.Name, m.Name, labels, nil)
		metric, err := constant(desc, m, values)
		if err != nil {
			metric = prometheus.NewInvalidMetric(desc, err)
		}
		out <- metric
	}
}

func constant(desc *prometheus.Desc, m fourletter.Metric, values []string) (prometheus.Metric, error) {
	switch m.Kind {
	case fourletter.Gauge, fourletter.Ratio:
		return prometheus.NewConstMetric(desc, prometheus.GaugeValue, m.Value, values...)
	case fourletter.Counter:
		return prometheus.NewConstMetric(desc, prometheus.CounterValue, m.Value, values...)
	}
	quantiles := map[float64]float64{}
	for i, rank := range fourletter.QuantileRanks {
		if rank == 0.5 || m.Kind == fourletter.Distribution && (rank == 0.9 || rank == 0.99) {
			quantiles[rank] = m.Quantiles[i]
		}
	}
	return prometheus.NewConstSummary(desc, uint64(m.Count), m.Sum, quantiles, values...)
}
