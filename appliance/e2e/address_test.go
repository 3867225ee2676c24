package e2e

import (
	"slices"
	"testing"
	"time"

	"example.org/ha/appliance/demo"
)

// Somebody removes the address by hand. A holder is found again at once, and
// there is only one.
func TestAddressDeletedByHand(t *testing.T) {
	c := newCluster(t, options{})
	p := c.ping()
	at := time.Now()
	must(t, c.nodes[0].Host.RemoveAddress(vip))
	c.until("the address was gone and is held again", func() bool {
		moves, _ := c.watch.Log(at)
		moves = slices.DeleteFunc(moves, func(m demo.Holding) bool { return m.Address != vip.Addr() })
		return len(moves) > 1 && !moves[0].Held && len(c.watch.Holders(vip.Addr())) == 1
	})
	c.until("it answers", func() bool { return p.Answered(3) })
	t.Logf("outage %v", p.Outage(at, time.Now()))
	c.holder("lb1")
	c.steady(10 * c.interval)
}

// Somebody adds the address by hand on the backup. It is taken away there.
func TestAddressAddedByHand(t *testing.T) {
	c := newCluster(t, options{})
	_, err := c.nodes[1].Host.Run("ip", "addr", "add", vip.String(), "dev", "eth0")
	must(t, err)
	c.holder("lb1")
	c.steady(10 * c.interval)
}
