package fourletter

import "strconv"

// A figure is one line of mntr and one field of the command monitor.
type figure struct {
	name  string
	value string // as it is printed
	quote bool   // a string, in JSON
}

// figures are version and state, then the metrics, a summary as several.
func figures(s *Status) []figure {
	out := []figure{{"version", s.Version, true}, {"server_state", s.Mode, true}}
	if l := s.Leader; l != nil {
		out = append(out, figure{"peer_state", peerState(s), true})
	}
	for _, m := range s.Everything() {
		out = append(out, m.figures()...)
	}
	return out
}

func peerState(s *Status) string {
	doing := map[string]string{"leader": "leading", "follower": "following", "observer": "observing"}[s.Mode]
	if doing == "" {
		return "looking - election"
	}
	return doing + " - " + s.Leader.State
}

func (m Metric) figures() []figure {
	name := m.Name
	if m.Key != "" {
		name = m.Key + "_" + name
	}
	integer := func(prefix string, v float64) figure {
		return figure{prefix + name, strconv.FormatInt(whole(v), 10), false}
	}
	switch m.Kind {
	case Gauge, Counter:
		return []figure{integer("", m.Value)}
	case Ratio:
		return []figure{{name, decimal(m.Value), false}}
	}
	avg := 0.0
	if m.Count > 0 {
		avg = m.Sum / float64(m.Count)
	}
	out := []figure{
		{"avg_" + name, decimal(avg), false}, integer("min_", m.Min), integer("max_", m.Max),
		integer("cnt_", float64(m.Count)), integer("sum_", m.Sum),
	}
	if m.Kind == Distribution {
		out = append(out, integer("p50_", m.Quantiles[0]), integer("p95_", m.Quantiles[2]),
			integer("p99_", m.Quantiles[3]), integer("p999_", m.Quantiles[4]))
	}
	return out
}

func mntr(s *Status) []byte {
	var p page
	for _, f := range figures(s) {
		p.line("zk_" + f.name + "\t" + f.value)
	}
	return p.b
}
