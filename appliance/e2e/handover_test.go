package e2e

import (
	"testing"
	"time"
)

// A planned handover costs a client next to nothing, whichever way it is asked
// for, and the host that gave the address away does not take it back.
func TestHandover(t *testing.T) {
	for _, how := range []struct {
		name string
		do   func(*cluster)
	}{
		{"release", func(c *cluster) { c.ha(c.nodes[0], "vip", "release", "web", "--socket", c.nodes[0].Socket) }},
		{"stop", func(c *cluster) { must(c.T, c.nodes[0].Terminate(c.within())) }},
	} {
		t.Run(how.name, func(t *testing.T) {
			c := newCluster(t, options{webs: 2, interval: 200 * time.Millisecond})
			c.healthy(1, 2)
			p, l := c.ping(), c.load(5*time.Millisecond)
			c.elapse(300 * time.Millisecond)
			at := time.Now()
			how.do(c)
			c.holder("lb2")
			c.elapse(300 * time.Millisecond)
			o := p.Outage(at, time.Now())
			l.Stop()
			tally := l.Tally(at, time.Now())
			t.Logf("%s: outage %v; %v", how.name, o, tally)
			if o.Longest > 50*time.Millisecond {
				t.Errorf("outage %v: a handover should not be noticed", o)
			}
			// A connection that was open when the address moved may break: its
			// state is in the old host. More than the few of one moment may not.
			if tally.Failed > 2 || tally.Slow > 0 {
				t.Errorf("requests were lost: %v", tally)
			}
			c.steady(5 * c.interval)
		})
	}
}

// The successor can be named, and a handover nobody can take is refused
// without harm.
func TestHandoverToSomebody(t *testing.T) {
	c := newCluster(t, options{hosts: 3})
	c.ha(c.nodes[0], "vip", "release", "web", "--to", "lb3", "--socket", c.nodes[0].Socket)
	c.holder("lb3")
	c.steady(10 * c.interval)
	c.agreed(2)

	if _, err := c.nodes[2].Host.Run(exe, "vip", "release", "web", "--to", "nobody", "--socket", c.nodes[2].Socket); err == nil {
		t.Error("a handover to a host that does not exist was accepted")
	}
	if _, err := c.nodes[0].Host.Run(exe, "vip", "release", "web", "--socket", c.nodes[0].Socket); err == nil {
		t.Error("a handover by a host that does not hold the address was accepted")
	}
	if _, err := c.nodes[2].Host.Run(exe, "vip", "release", "mail", "--socket", c.nodes[2].Socket); err == nil {
		t.Error("a handover of an address that does not exist was accepted")
	}
	c.holder("lb3")
	c.steady(5 * c.interval)
	c.agreed(2)
}
