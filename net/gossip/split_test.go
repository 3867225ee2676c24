package gossip

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/net/simnet"
)

// A split makes each side lose the other, and healing brings all back: in a mesh
// within two intervals, beyond it within a bound that does not matter to a person.
func TestSplitHeals(t *testing.T) {
	for _, tt := range []struct {
		hosts, left int
		healed      int // intervals
	}{{2, 1, 2}, {3, 1, 2}, {10, 4, 3}, {40, 20, 60}, {100, 30, 100}} {
		t.Run(fmt.Sprintf("hosts=%d", tt.hosts), func(t *testing.T) {
			forSeeds(t, 2, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, tt.hosts, lan, Config{})
				c.settle(30 * time.Second)
				c.net.Run(2 * time.Second)
				c.net.Split(addrs(0, tt.left), addrs(tt.left, tt.hosts))
				c.net.Run(time.Minute)
				for i, p := range c.peers {
					want := tt.left - 1
					if i >= tt.left {
						want = tt.hosts - tt.left - 1
					}
					if len(p.alive) != want {
						t.Fatalf("split: %s holds %d alive, want %d", p.cfg.Name, len(p.alive), want)
					}
				}
				c.net.Heal()
				took := c.settle(time.Duration(tt.healed) * c.interval())
				t.Logf("whole %v after healing", took)
			})
		})
	}
}

// A word from one host to another that only a third can carry: with the link cut in
// one direction or both, nobody is lost while a third host hears both.
func TestCutLinkIsNotADeath(t *testing.T) {
	for _, both := range []bool{false, true} {
		t.Run(fmt.Sprintf("both=%v", both), func(t *testing.T) {
			forSeeds(t, 2, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, 5, lan, Config{})
				c.settle(5 * time.Second)
				c.net.Run(time.Second)
				c.net.Cut(testAddr(0), testAddr(1))
				if both {
					c.net.Cut(testAddr(1), testAddr(0))
				}
				c.net.Run(time.Minute)
				if n, what := c.losses(); n > 0 {
					t.Errorf("lost: %v", what)
				}
				c.kill(1)
				c.settle(6 * c.interval())
			})
		})
	}
}

// With two hosts there is nobody to ask: one that is not heard is lost at the
// deadline, also when only one direction is cut.
func TestTwoHostsCutOneWay(t *testing.T) {
	forSeeds(t, 3, func(t *testing.T, seed uint64) {
		c := newCluster(t, seed, 2, lan, Config{})
		c.settle(5 * time.Second)
		c.net.Run(time.Second)
		c.net.Cut(testAddr(0), testAddr(1))
		c.net.Run(time.Duration(defaultLost)*c.interval() + 5*time.Millisecond)
		if c.peers[1].alive[testName(0)] {
			t.Error("the deaf one still holds the other alive")
		}
		if !c.peers[0].alive[testName(1)] {
			t.Error("the one that hears lost the other")
		}
		c.net.Heal()
		c.settle(2 * c.interval())
	})
}

// A paused host is lost by the others; when it goes on it loses nobody, because it
// knows that it slept, and is found again.
func TestPausedHostForgives(t *testing.T) {
	for _, n := range []int{2, 3, 10, 40} {
		t.Run(fmt.Sprintf("hosts=%d", n), func(t *testing.T) {
			forSeeds(t, 2, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, n, lan, Config{})
				c.settle(30 * time.Second)
				c.net.Run(2 * time.Second)
				c.net.Pause(testAddr(1))
				c.net.Run(5 * time.Second)
				for _, p := range c.peers {
					if p != c.peers[1] && p.alive[testName(1)] {
						t.Fatalf("%s did not lose the paused host", p.cfg.Name)
					}
				}
				c.net.Resume(testAddr(1))
				took := c.settle(20 * c.interval())
				if l := c.peers[1].losses; len(l) > 0 {
					t.Errorf("it lost %v for having slept", l)
				}
				t.Logf("whole after %v", took)
			})
		})
	}
}

func TestRestartedHostIsFoundAgain(t *testing.T) {
	for _, n := range []int{2, 5, 40} {
		for _, down := range []time.Duration{time.Millisecond, 150 * time.Millisecond, 20 * time.Second} {
			t.Run(fmt.Sprintf("hosts=%d,down=%v", n, down), func(t *testing.T) {
				forSeeds(t, 2, func(t *testing.T, seed uint64) {
					c := newCluster(t, seed, n, lan, Config{})
					c.settle(30 * time.Second)
					c.do(c.peers[n-1], Say{Topic: Summary, Body: []byte("old")})
					c.net.Run(2 * time.Second)
					c.kill(n - 1)
					c.net.Run(down)
					p := c.start(n - 1)
					boot := p.cfg.Boot
					c.do(p, Say{Topic: Summary, Body: []byte("new")})
					know := func() bool {
						for _, p := range c.living() {
							h := p.find([]byte(testName(n - 1)))
							if p.cfg.Boot != boot && (h == nil || h.boot != boot || h.state != Alive || p.said[testName(n-1)+"/3"] != "new") {
								return false
							}
						}
						return c.whole()
					}
					took, ok := c.net.RunUntil(5*time.Second, 10*time.Millisecond, know)
					if !ok {
						t.Fatalf("not found again after %v: %s", took, c.census())
					}
					t.Logf("found by all after %v", took)
				})
			})
		}
	}
}

func TestLeaveIsToldAtOnce(t *testing.T) {
	for _, n := range []int{2, 10, 40} {
		t.Run(fmt.Sprintf("hosts=%d", n), func(t *testing.T) {
			forSeeds(t, 2, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, n, lan, Config{})
				c.settle(30 * time.Second)
				c.net.Run(8 * time.Second)
				gone := c.peers[n-1]
				c.do(gone, Leave{})
				if !gone.Deadline().IsZero() || gone.Core.Step(c.net.Now(), Say{Topic: 1}) != nil {
					t.Error("a host that left still acts")
				}
				limit := 2 * time.Millisecond
				if n > defaultMesh {
					limit = 20 * c.interval() // not all know each other's cookie
				}
				c.peers[n-1] = nil
				took, ok := c.net.RunUntil(limit, time.Millisecond, c.whole)
				if !ok {
					t.Fatalf("after %v: %s", took, c.census())
				}
				for _, p := range c.living() {
					if !p.left[gone.cfg.Name] {
						t.Errorf("%s lost it, but not as one that left", p.cfg.Name)
					}
				}
				c.net.Run(10 * time.Second)
				if !c.whole() {
					t.Errorf("it came back: %s", c.census())
				}
				c.start(n - 1)
				c.settle(3 * time.Second)
			})
		})
	}
}

func TestSayReachesEveryone(t *testing.T) {
	for _, n := range []int{2, 10, 40, 100} {
		t.Run(fmt.Sprintf("hosts=%d", n), func(t *testing.T) {
			forSeeds(t, 2, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, n, bad, Config{})
				c.settle(30 * time.Second)
				c.net.Run(time.Second)
				for round := range 3 {
					want := fmt.Sprint("word ", round, strings.Repeat(".", round*500))
					for i := 0; i < n; i += max(1, n/5) {
						c.do(c.peers[i], Say{Topic: Summary, Body: []byte(want)})
						c.do(c.peers[i], Say{Topic: Votes, Body: []byte(want)})
					}
					all := func() bool {
						for i := 0; i < n; i += max(1, n/5) {
							for _, p := range c.peers {
								if p != c.peers[i] && (p.said[testName(i)+"/3"] != want || p.said[testName(i)+"/2"] != want) {
									return false
								}
							}
						}
						return true
					}
					took, ok := c.net.RunUntil(8*time.Second, c.interval(), all)
					if !ok {
						t.Fatalf("round %d has not reached everyone after %v", round, took)
					}
					t.Logf("round %d reached everyone after %v", round, took)
				}
				late := c.start(n - 1) // one that was not there
				_, ok := c.net.RunUntil(8*time.Second, c.interval(), func() bool {
					return late.said[testName(0)+"/3"] != "" && late.said[testName(0)+"/2"] != ""
				})
				if !ok {
					t.Error("a late host was not told")
				}
			})
		})
	}
}

func TestShoutReachesTheRidersOfTheTopic(t *testing.T) {
	for _, n := range []int{2, 10, 40} {
		t.Run(fmt.Sprintf("hosts=%d", n), func(t *testing.T) {
			forSeeds(t, 2, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, n, lan, Config{})
				c.settle(30 * time.Second)
				for i := 0; i < n; i += 2 {
					c.do(c.peers[i], Say{Topic: Adverts})
				}
				c.net.Run(3 * time.Second)
				for _, p := range c.peers {
					p.shouts = nil
				}
				c.do(c.peers[0], Shout{Topic: Adverts, Body: []byte("I resign")})
				c.net.Run(10 * time.Millisecond) // also past a handshake
				for i, p := range c.peers {
					want := []string{"h0000: I resign"}
					if i%2 == 1 || i == 0 {
						want = nil
					}
					if !slices.Equal(p.shouts, want) {
						t.Errorf("%s heard %q, want %q", p.cfg.Name, p.shouts, want)
					}
				}
			})
		})
	}
}

// Two hosts with one name: whoever came first keeps it, the other is refused and
// named by those who hear both.
func TestTwoHostsWithOneName(t *testing.T) {
	for _, n := range []int{3, 20} {
		t.Run(fmt.Sprintf("hosts=%d", n), func(t *testing.T) {
			forSeeds(t, 3, func(t *testing.T, seed uint64) {
				c := newCluster(t, seed, n, lan, Config{})
				c.settle(30 * time.Second)
				c.net.Run(2 * time.Second)
				twin := c.startAs(testName(n-1), n)
				c.net.Run(3 * time.Second)
				named := 0
				for _, p := range c.peers[:n-1] {
					if h := p.find([]byte(testName(n - 1))); h.boot == twin.cfg.Boot && n <= defaultMesh {
						t.Errorf("%s took the second one for the first", p.cfg.Name)
					}
					if p.drops[SameName] > 0 {
						named++
					}
				}
				if named == 0 {
					t.Error("nobody named it")
				}
				t.Logf("named by %d; the twin itself dropped %d", named, twin.drops[SameName])
				if n > defaultMesh {
					return
				}
				if l := c.peers[0].losses; len(l) > 0 {
					t.Errorf("lost %v over it", l)
				}
				c.kill(n - 1) // the first one goes: now the name is free
				_, ok := c.net.RunUntil(time.Second, 10*time.Millisecond, func() bool {
					h := c.peers[0].find([]byte(testName(n - 1)))
					return h.boot == twin.cfg.Boot && h.state == Alive
				})
				if !ok {
					t.Error("the second one is still refused")
				}
			})
		})
	}
}

// Hosts with different intervals do not lose each other, also while the interval
// of the whole cluster is changed host by host.
func TestIntervalIsChangedHostByHost(t *testing.T) {
	forSeeds(t, 3, func(t *testing.T, seed uint64) {
		c := newCluster(t, seed, 4, lan, Config{Interval: 10 * time.Millisecond})
		c.settle(5 * time.Second)
		for _, d := range []time.Duration{time.Second, 3 * time.Millisecond, 100 * time.Millisecond} {
			for _, p := range c.peers {
				c.do(p, Tune{Interval: d})
				c.net.Run(3 * time.Second)
			}
		}
		if n, what := c.losses(); n > 0 {
			t.Errorf("lost: %v", what)
		}
		c.kill(0)
		if took := c.settle(time.Second); took > 4*100*time.Millisecond {
			t.Errorf("lost after %v", took)
		}
	})
}

// The clock of a host that wakes late must not kill the others, and its beats must
// not be bunched into false rhythm.
func TestBusyHostsDoNotLoseEachOther(t *testing.T) {
	forSeeds(t, 3, func(t *testing.T, seed uint64) {
		cond := simnet.Conditions{Delay: 50 * time.Microsecond, Jitter: time.Millisecond, Late: 12 * time.Millisecond}
		c := newCluster(t, seed, 3, cond, Config{Interval: 10 * time.Millisecond, Lost: 3})
		c.settle(5 * time.Second)
		c.forgetLosses()
		c.net.Run(time.Minute)
		if n, what := c.losses(); n > 0 {
			t.Errorf("%d lost: %v", n, what)
		}
	})
}
