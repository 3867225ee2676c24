package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// The network between the two hosts is cut while clients reach both. Without
// fencing that is what happens to any VRRP: while the cut lasts, whoever does
// not hear the active host holds the address too. Within one advertisement
// after it heals, exactly one host does.
func TestSplit(t *testing.T) {
	cuts := []struct {
		name  string
		drop  [][2]string
		while []string // holders during the cut
	}{
		{"both ways", [][2]string{{"lb1", "lb2"}, {"lb2", "lb1"}}, []string{"lb1", "lb2"}},
		{"active unheard", [][2]string{{"lb1", "lb2"}}, []string{"lb1", "lb2"}},
		{"backup unheard", [][2]string{{"lb2", "lb1"}}, []string{"lb1"}},
	}
	for _, carrier := range []string{"gossip", "vrrp"} {
		for _, cut := range cuts {
			t.Run(carrier+"/"+cut.name, func(t *testing.T) {
				interval := 200 * time.Millisecond
				c := newCluster(t, options{interval: interval, vip: fmt.Sprintf("carrier = %q", carrier)})
				c.cut(cut.drop)
				if slices.Equal(cut.while, []string{"lb1"}) {
					c.steady(8 * interval)
				} else {
					must(t, c.watch.Wait(c.within(), vip.Addr(), cut.while...))
					c.steady(5 * interval)
				}
				healed := c.heal()
				c.holder("lb1")
				took := time.Since(healed)
				t.Logf("one holder %v after healing", took.Round(time.Millisecond))
				// One advertisement, and what a busy machine adds to it.
				if took > interval+100*time.Millisecond {
					t.Errorf("one holder only %v after healing; the interval is %v", took, interval)
				}
				c.steady(10 * interval)
				c.ready()
			})
		}
	}
}

// cut drops every frame that would go from one host to the other.
func (c *cluster) cut(pairs [][2]string) {
	c.Helper()
	c.nft("add table bridge split")
	c.nft("add chain bridge split forward { type filter hook forward priority 0; }")
	for _, p := range pairs {
		c.nft(fmt.Sprintf("add rule bridge split forward iifname %q oifname %q drop", p[0], p[1]))
	}
}

func (c *cluster) heal() time.Time {
	c.Helper()
	c.nft("delete table bridge split")
	return time.Now()
}

func (c *cluster) nft(rule string) {
	c.Helper()
	_, err := c.lan.Switch.Run("nft", rule)
	must(c.T, err)
}
