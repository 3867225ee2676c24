package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.org/ha/appliance"
	"example.org/ha/lb/health"
)

// A host is one of the two load balancers: an appliance, when it lives.
type host struct {
	cluster *cluster
	name    string
	index   int

	port      *port // nil: dead
	appliance *appliance.Appliance
	cancel    context.CancelCauseFunc
	ended     chan error
}

const gossipPort = 7946

func (h *host) bind() netip.AddrPort { return h.cluster.beside(11+h.index, gossipPort) }
func (h *host) service() netip.AddrPort {
	return h.cluster.beside(11+h.index, h.cluster.Address.Port())
}

// priority makes the first host the first choice.
func (h *host) priority() int { return 200 - 100*h.index }

// hostConfig is the file of one host. What it leaves out has its default.
const hostConfig = `roles = ["lb"]
node  = "%[1]s"

[cluster]
name     = "dev"
bind     = "%[2]s"
join     = ["%[3]s", "%[4]s"]
key_file = "%[5]s/cluster.key"

[[vip]]
name      = "web"
vrid      = 51
addresses = ["%[6]s/32"]
interface = "lo"
priority  = %[7]d

[[lb.service]]
name      = "web"
listen    = ["%[8]s"]
scheduler = "rr"
  [lb.service.check]
  kind     = "http"
  path     = "/healthz"
  interval = "200ms"
  timeout  = "150ms"
%[9]s
[admin]
socket = "%[5]s/%[1]s.sock"
listen = "none"
`

func (h *host) config() string {
	c := h.cluster
	var servers strings.Builder
	for _, w := range c.webs {
		fmt.Fprintf(&servers, "  [[lb.service.server]]\n  address = %q\n", w.addr)
	}
	return fmt.Sprintf(hostConfig, h.name, h.bind(), c.hosts[0].bind(), c.hosts[1].bind(), c.dir,
		c.Address.Addr(), h.priority(), h.service(), servers.String())
}

func (h *host) alive() bool { return h.port != nil }

// start builds the host from its file and runs it.
func (h *host) start() error {
	c := h.cluster
	key := filepath.Join(c.dir, "cluster.key")
	if _, err := os.Stat(key); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(key, newKey(), 0o600); err != nil {
			return fmt.Errorf("demo: write key: %w", err)
		}
	}
	cfg, err := appliance.Parse(h.name+".toml", []byte(h.config()))
	if err != nil {
		return err
	}
	port := c.segment.plug(h.name, h.service())
	a, err := appliance.New(cfg, appliance.Options{Log: c.narrator.log(h.name, c.level()), Version: c.Version, Link: port})
	if err != nil {
		return fmt.Errorf("demo: start %s: %w", h.name, err)
	}
	// A host ends when the demo says so, not when the demo's context does: it
	// has to hand its address over first.
	ctx, cancel := context.WithCancelCause(context.Background())
	h.port, h.appliance, h.cancel, h.ended = port, a, cancel, make(chan error, 1)
	go func() { h.ended <- a.Run(ctx) }()
	return nil
}

// kill ends the host without a word to anybody.
func (h *host) kill() error {
	if !h.alive() {
		return fmt.Errorf("demo: kill %s: it is dead already", h.name)
	}
	h.port.unplug()
	h.cancel(appliance.ErrKilled)
	err := <-h.ended
	h.port = nil
	if err != nil && !errors.Is(err, appliance.ErrKilled) {
		return fmt.Errorf("demo: kill %s: %w", h.name, err)
	}
	return nil
}

var errEnd = errors.New("the demo ends")

// stop ends the host in order.
func (h *host) stop() {
	h.cancel(errEnd)
	if err := <-h.ended; err != nil {
		h.cluster.narrator.say(h.name, "stopped: %v", err)
	}
	h.port = nil
}

// release hands the address to the other host.
func (h *host) release(ctx context.Context) error {
	took, err := h.appliance.Release(ctx, "web", "")
	if err != nil {
		return fmt.Errorf("demo: release by %s: %w", h.name, err)
	}
	h.cluster.narrator.say(h.name, "handed over in %.1f ms", float64(took.Microseconds())/1000)
	return nil
}

func (h *host) drain(server netip.AddrPort, on bool) error {
	return h.appliance.Drain("web", server.String(), on)
}

// healthy counts the web servers that this host believes in.
func (h *host) healthy() int {
	s := h.appliance.Status()
	if s.LB == nil || len(s.LB.Services) == 0 {
		return 0
	}
	n := 0
	for _, server := range s.LB.Services[0].Servers {
		if server.State == health.Up {
			n++
		}
	}
	return n
}

// status is one line.
func (h *host) status() string {
	if !h.alive() {
		return "dead"
	}
	s := h.appliance.Status()
	var line strings.Builder
	fmt.Fprintf(&line, "%d of 3 web servers up", h.healthy())
	for _, v := range s.VIPs {
		fmt.Fprintf(&line, ", %s %s for %v, priority %d", v.Name, v.State, time.Since(v.Since).Round(time.Second), v.Priority)
	}
	for _, o := range s.Hosts {
		if o.Name != h.name {
			fmt.Fprintf(&line, ", %s %s", o.Name, o.State)
		}
	}
	return line.String()
}
