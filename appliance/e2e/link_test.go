package e2e

import (
	"testing"
)

// An interface that goes down takes its host out; one that comes up brings it
// back, with no more than one holder.
func TestInterfaceDownAndUp(t *testing.T) {
	for _, side := range []string{"host", "switch"} {
		t.Run(side, func(t *testing.T) {
			c := newCluster(t, options{})
			n := c.nodes[0]
			set := func(up bool) {
				t.Helper()
				switch {
				case side == "host":
					must(t, n.Host.SetLink("eth0", up))
				case up:
					must(t, c.lan.Plug(n.Host))
				default:
					must(t, c.lan.Unplug(n.Host))
				}
			}
			p := c.ping()
			set(false)
			c.holder("lb2") // and lb1 has let go of it
			c.until("the new holder answers", func() bool { return p.Answered(3) })
			set(true)
			c.holder("lb1")
			c.ready()
			c.until("the old holder answers again", func() bool { return p.Answered(3) })
			c.steady(10 * c.interval)
		})
	}
}
