package e2e

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/demo"
)

// Every host answers what it and the others are doing: to a person, as JSON,
// and to Prometheus.
func TestStatus(t *testing.T) {
	c := newCluster(t, options{webs: 2})
	c.healthy(1, 2)
	for i, n := range c.nodes {
		other := c.nodes[1-i].Host.Name
		c.status(n, "see the other host and the active one", func(s admin.Status) bool {
			return len(s.Hosts) == 2 && s.Hosts[1].Name == other && s.Hosts[1].State == "alive" &&
				len(s.VIPs) == 1 && s.VIPs[0].Active == "lb1" && s.VIPs[0].Held == (i == 0)
		})
		var s admin.Status
		if err := json.Unmarshal([]byte(c.ha(n, "status", "--json", "--socket", n.Socket)), &s); err != nil || s.Node != n.Host.Name {
			t.Errorf("ha status --json on %s: node %q, %v", n.Host.Name, s.Node, err)
		}
		text := c.ha(n, "status", "--socket", n.Socket)
		for _, want := range []string{"lb1", "lb2", "web", vip.Addr().String(), address(21).Addr().String()} {
			if !strings.Contains(text, want) {
				t.Errorf("ha status on %s does not say %q:\n%s", n.Host.Name, want, text)
			}
		}
		if list := c.ha(n, "vip", "ls", "--socket", n.Socket); !strings.Contains(list, "web") || !strings.Contains(list, "lb1") {
			t.Errorf("ha vip ls on %s:\n%s", n.Host.Name, list)
		}
	}

	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/status": 200, "/metrics": 200, "/nothing": 404} {
		code, body := get(t, c.nodes[0].Host, path)
		if code != want {
			t.Errorf("GET %s: %d, want %d: %s", path, code, want, body)
		}
	}
	checkMetrics(t, c)
}

// checkMetrics demands Prometheus's conventions and the two numbers that
// matter most.
func checkMetrics(t *testing.T, c *cluster) {
	t.Helper()
	_, body := get(t, c.nodes[0].Host, "/metrics")
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" {
			if f[3] == "counter" && !strings.HasSuffix(f[2], "_total") {
				t.Errorf("the counter %s does not end in _total", f[2])
			}
		} else if len(f) == 2 {
			value, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				t.Errorf("metrics: %q", line)
			}
			samples[f[0]] = value
		}
	}
	for _, want := range []string{"vip", "server"} {
		found := false
		for name, value := range samples {
			found = found || strings.HasPrefix(name, "ha_") && strings.Contains(name, want) && value == 1
		}
		if !found {
			t.Errorf("no metric of ha about a %s is 1:\n%s", want, body)
		}
	}
}

// get asks the HTTP side of a host, from the host.
func get(t *testing.T, h *demo.Host, path string) (int, string) {
	t.Helper()
	out, err := h.Run("curl", "-s", "-w", "\n%{http_code}", "http://127.0.0.1:7070"+path)
	must(t, err)
	i := strings.LastIndexByte(out, '\n')
	code, err := strconv.Atoi(out[i+1:])
	must(t, err)
	return code, out[:i]
}
