package admin

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Two probes of one server, by different paths, have one name for people.
func TestTracksThatReadAlikeAreOneSample(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(meter{&standIn{status: Status{Tracks: []Track{
		{VIP: "web", Name: "check http 10.0.0.1:80", Up: true},
		{VIP: "web", Name: "check http 10.0.0.1:80", Up: false},
		{VIP: "web", Name: "service web", Up: true},
	}}}})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	up := map[string]float64{}
	for _, f := range families {
		if !strings.HasSuffix(f.GetName(), "vip_track_up") {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "track" {
					up[l.GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
	}
	if len(up) != 2 || up["check http 10.0.0.1:80"] != 0 || up["service web"] != 1 {
		t.Errorf("got %v", up)
	}
}
