package gossip

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.org/ha/net/simnet"
)

var lan = simnet.Conditions{Delay: 200 * time.Microsecond, Jitter: time.Millisecond}

// bad is a network nobody should have.
var bad = simnet.Conditions{
	Loss: 0.05, Duplicate: 0.02, Delay: 200 * time.Microsecond, Jitter: 20 * time.Millisecond, Late: 5 * time.Millisecond,
}

func TestHostsFindEachOther(t *testing.T) {
	for _, n := range []int{2, 3, 10, 16, 17, 40, 100} {
		t.Run(fmt.Sprintf("hosts=%d", n), func(t *testing.T) {
			forSeeds(t, 3, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, n, bad, Config{})
				took := c.settle(30 * time.Second)
				t.Logf("whole after %v, %.1f packets a host", took, float64(c.net.Sent)/float64(n))
			})
		})
	}
}

// A dead host is lost by all: in a mesh within Lost and a half intervals, beyond it
// within the probing bound.
func TestDeadHostIsLostByAll(t *testing.T) {
	for _, n := range []int{2, 3, 10, 40, 100} {
		t.Run(fmt.Sprintf("hosts=%d", n), func(t *testing.T) {
			forSeeds(t, 3, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, n, bad, Config{})
				c.settle(30 * time.Second)
				c.net.Run(3 * time.Second)
				c.kill(n - 1)
				took := c.settle(completeness(n, c.interval()))
				t.Logf("lost by all after %v", took)
			})
		})
	}
}

// completeness is the bound in which everyone loses a dead host.
func completeness(n int, interval time.Duration) time.Duration {
	if n <= defaultMesh {
		return 5 * interval
	}
	// to be probed by someone, patience, suspicion, and the news of it
	return interval * time.Duration(10+defaultLost+defaultLost+2*log2(n)+3*log2(n))
}

// No live, reachable host is lost at 5 % loss.
func TestLivingHostIsNotLost(t *testing.T) {
	for _, tt := range []struct {
		hosts int
		time  time.Duration
	}{{2, 10 * time.Minute}, {3, 5 * time.Minute}, {10, time.Minute}, {40, time.Minute}, {100, 30 * time.Second}} {
		t.Run(fmt.Sprintf("hosts=%d", tt.hosts), func(t *testing.T) {
			forSeeds(t, 2, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, tt.hosts, bad, Config{})
				c.settle(30 * time.Second)
				c.forgetLosses()
				c.net.Run(tt.time)
				if n, what := c.losses(); n > 0 {
					t.Errorf("%d false losses in %v: %v", n, tt.time, what)
				}
			})
		})
	}
}

// A thousand hosts: the same properties in one short run, and the load of a host
// beside that of smaller clusters.
func TestLoadOfAHostIsConstant(t *testing.T) {
	const window = 10 * time.Second
	cond := simnet.Conditions{Loss: 0.02, Delay: 200 * time.Microsecond, Jitter: 5 * time.Millisecond}
	for _, tt := range []struct {
		hosts int
		most  float64 // datagrams a host sends in an interval
	}{{10, 10}, {100, 5}, {300, 5}} {
		t.Run(fmt.Sprintf("hosts=%d", tt.hosts), func(t *testing.T) {
			forSeeds(t, 1, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, tt.hosts, cond, Config{})
				took := c.settle(30 * time.Second)
				c.net.Run(5 * time.Second)
				c.measure(t, took, window, tt.most)
			})
		})
	}
}

// measure checks that no host sends more than most datagrams an interval.
func (c *cluster) measure(t *testing.T, took, window time.Duration, most float64) {
	t.Helper()
	before := c.net.Sent
	first := c.net.SentBy(testAddr(0))
	var bytes uint64
	for _, p := range c.living() {
		bytes -= p.counters.SentBytes
	}
	c.net.Run(window)
	for _, p := range c.living() {
		bytes += p.counters.SentBytes
	}
	intervals := float64(window / c.interval())
	n := float64(len(c.living()))
	mean := float64(c.net.Sent-before) / n / intervals
	seed := float64(c.net.SentBy(testAddr(0))-first) / intervals
	t.Logf("whole after %v; %.2f datagrams and %.0f bytes a host and interval, %.2f by one that all join",
		took, mean, float64(bytes)/n/intervals, seed)
	if mean > most || seed > 2*most {
		t.Errorf("%.2f datagrams a host and interval, %.2f by one that all join, want at most %v", mean, seed, most)
	}
	if n, what := c.losses(); n > 0 {
		t.Errorf("%d false losses: %v", n, what[:min(10, len(what))])
	}
}

var long = flag.Bool("long", false, "also simulate how a thousand hosts find each other")

// A thousand hosts that know each other: a word to all, a death, accuracy, load. How
// they find each other, and a death among those that have just done so, costs
// minutes of CPU and is simulated with -long.
func TestThousandHosts(t *testing.T) {
	forSeeds(t, 1, func(t *testing.T, seed uint64) {
		const n = 1000
		cond := simnet.Conditions{Loss: 0.05, Delay: 200 * time.Microsecond, Jitter: 5 * time.Millisecond}
		start, calm := newFormedCluster, time.Second
		if *long {
			start, calm = newCluster, 10*time.Second
		}
		c := start(t, seed, n, cond, Config{})
		found := c.settle(30 * time.Second)
		c.do(c.peers[7], Say{Topic: Summary, Body: []byte("busy")})
		c.kill(n - 1)
		took := c.settle(completeness(n, c.interval()))
		t.Logf("lost by all after %v", took)
		for _, p := range c.living() {
			if got := p.said["h0007/3"]; p != c.peers[7] && got != "busy" {
				t.Fatalf("%s has %q", p.cfg.Name, got)
			}
			if i := slices.Index(p.losses, testName(n-1)); i >= 0 {
				p.losses = slices.Delete(p.losses, i, i+1) // the one that is true
			}
		}
		c.net.Run(calm)
		c.measure(t, found, 2*time.Second, 6) // one more than usual knocks at the dead
	})
}
