package e2e

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// The active host stands still for five seconds, as a virtual machine does
// that is being moved. It still has the address when it wakes, and then there
// must be one holder again, at once and for good.
func TestPause(t *testing.T) {
	for _, preempt := range []string{"true", "false"} {
		t.Run("preempt="+preempt, func(t *testing.T) {
			c := newCluster(t, options{webs: 1, vip: "preempt = " + preempt})
			c.healthy(1)
			n := c.nodes[0]
			pids := n.PIDs()
			must(t, n.Signal(syscall.SIGSTOP, pids...))
			stopped := time.Now()
			c.holds("lb2")
			c.elapse(5*time.Second - time.Since(stopped))
			must(t, n.Signal(syscall.SIGCONT, pids...))
			woke := time.Now()
			holder := c.oneHolder(10 * c.interval)
			moves, _ := c.watch.Log(woke)
			for _, m := range moves {
				t.Logf("%v after waking: %v", m.At.Sub(woke).Round(time.Millisecond), m)
			}
			if preempt == "true" && holder != "lb1" {
				t.Errorf("the address is on %s", holder)
			}
			c.ready()
			c.healthy(1)
			c.steady(10 * c.interval)
			if got := n.PIDs(); !slices.Equal(got, pids) {
				t.Errorf("processes %v after the pause, %v before", got, pids)
			}
		})
	}
}
