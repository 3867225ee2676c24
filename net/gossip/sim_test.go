package gossip

import (
	"fmt"
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
