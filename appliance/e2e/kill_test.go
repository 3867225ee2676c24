package e2e

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"example.org/ha/appliance/admin"
)

// The main process is killed: the process that beats sees its parent die,
// hands the address over and takes it off the interface.
func TestKillMain(t *testing.T) {
	c := newCluster(t, options{})
	n := c.nodes[0]
	must(t, n.Signal(syscall.SIGKILL, n.PIDs()[0]))
	c.holder("lb2")
	if err := n.Wait(c.within()); err == nil {
		t.Error("a killed process ended well")
	}
	must(t, n.Start())
	c.ready()
	c.holder("lb1")
	c.steady(5 * c.interval)
}

// The process that beats is killed: the main process starts another at once.
// Whoever holds the address in between, in the end one host does.
func TestKillBeat(t *testing.T) {
	c := newCluster(t, options{})
	n := c.nodes[0]
	pids := n.PIDs()
	if len(pids) < 2 {
		t.Fatalf("the node runs as processes %v; want a child that beats", pids)
	}
	killed := time.Now()
	must(t, n.Signal(syscall.SIGKILL, pids[1:]...))
	c.status(n, "have started its beat process again and be active", func(s admin.Status) bool {
		return s.Beat.Restarts >= 1 && s.Beat.PID != pids[1] && s.Ready() &&
			len(s.VIPs) == 1 && s.VIPs[0].Held && s.VIPs[0].Since.After(killed)
	})
	c.holder("lb1")
	c.steady(5 * c.interval)
	if got := n.PIDs(); len(got) != 2 || got[0] != pids[0] {
		t.Errorf("processes %v after the restart; before, they were %v", got, pids)
	}
}

// Every process of the active host is killed and the host lives on: its
// address stays, as the kernel knows nobody to ask. The next start removes it,
// even if the host does not become active.
func TestKillAll(t *testing.T) {
	c := newCluster(t, options{vip: "preempt = false"})
	n := c.nodes[0]
	must(t, n.Kill())
	c.holds("lb2")
	if holders := c.watch.Holders(vip.Addr()); !slices.Equal(holders, []string{"lb1", "lb2"}) {
		t.Errorf("after kill -9 the address is on %v; the test wants it left on lb1 too", holders)
	}
	must(t, n.Start())
	c.holder("lb2")
	c.ready()
	c.holder("lb2")
	c.steady(5 * c.interval)
}
