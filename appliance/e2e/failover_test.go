package e2e

import (
	"testing"
	"time"
)

// The active host dies with its cable; the other takes the address; the first
// comes back and, having the higher priority, takes it again.
func TestFailover(t *testing.T) {
	c := newCluster(t, options{webs: 2})
	c.healthy(1, 2)
	p := c.ping()

	at := c.crash(c.nodes[0])
	c.holds("lb2")
	c.until("the new holder answers", func() bool { return p.Answered(3) })
	if o := p.Outage(at, time.Now()); o.Longest > time.Second {
		t.Errorf("outage %v at an interval of %v", o, c.interval)
	} else {
		t.Logf("crash: outage %v", o)
	}

	c.reboot(c.nodes[0])
	c.ready()
	c.holder("lb1")
	c.healthy(1, 2)
	c.steady(5 * c.interval)
}

// Without preemption the address stays where it is when the better host
// returns.
func TestFailoverWithoutPreemption(t *testing.T) {
	c := newCluster(t, options{vip: "preempt = false"})
	c.crash(c.nodes[0])
	c.holds("lb2")
	c.reboot(c.nodes[0])
	c.ready()
	c.holder("lb2")
	c.steady(10 * c.interval)
}
