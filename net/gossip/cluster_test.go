package gossip

import (
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/net/simnet"
)

var (
	firstSeed = flag.Uint64("seed", 1, "first seed of the simulations")
	seedCount = flag.Int("seeds", 0, "seeds for each simulation; 0: as many as each finds enough")
)

// forSeeds runs a simulation once for each seed; the seed is the name of the subtest.
func forSeeds(t *testing.T, n int, run func(t *testing.T, seed uint64)) {
	t.Helper()
	if *seedCount > 0 {
		n = *seedCount
	}
	for i := range n {
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { run(t, seed) })
	}
}

// A peer is a Core on the simulated network, and what it told.
type peer struct {
	*Core
	net    *simnet.Net
	addr   netip.AddrPort
	alive  map[string]bool // by Found and Lost
	losses []string        // "name@seconds", in order
	left   map[string]bool
	said   map[string]string // "host/topic" -> body
	shouts []string
	drops  [Reasons]int
	heard  map[string]time.Time // last Deliver of a Say
}

func (p *peer) Receive(now time.Time, from netip.AddrPort, packet []byte) {
	p.step(now, Heard{From: from, Packet: packet})
}

func (p *peer) Wake(now time.Time) { p.step(now, nil) }

func (p *peer) step(now time.Time, ev Event) {
	for _, e := range p.Core.Step(now, ev) {
		switch e := e.(type) {
		case *Send:
			p.net.Send(p.addr, e.To, e.Packet)
		case *Found:
			p.alive[e.Host.Name] = true
		case *Lost:
			delete(p.alive, e.Host.Name)
			p.left[e.Host.Name] = e.Left
			p.losses = append(p.losses, e.Host.Name)
		case *Deliver:
			if e.Shout {
				p.shouts = append(p.shouts, e.From+": "+string(e.Body))
				continue
			}
			p.said[fmt.Sprintf("%s/%d", e.From, e.Topic)] = string(e.Body)
			p.heard[e.From] = now
		case *Dropped:
			p.drops[e.Reason]++
		}
	}
}

// A cluster is peers on one network.
type cluster struct {
	t     *testing.T
	net   *simnet.Net
	peers []*peer
	boots uint64
	shape Config
	seeds []netip.AddrPort // the Join list of everyone
}

var testKey = Key{1, 2, 3}

func testAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7946)
}

func testName(i int) string { return fmt.Sprintf("h%04d", i) }

// newCluster starts n hosts that all join the first three. Zero fields of shape are
// filled in.
func newCluster(t *testing.T, seed uint64, n int, cond simnet.Conditions, shape Config) *cluster {
	t.Helper()
	c := &cluster{t: t, net: simnet.New(seed, cond), shape: shape}
	for i := range min(n, 3) {
		c.seeds = append(c.seeds, testAddr(i))
	}
	c.peers = make([]*peer, n)
	for i := range n {
		c.start(i)
	}
	return c
}

// start starts host i, or starts it again.
func (c *cluster) start(i int) *peer {
	c.t.Helper()
	c.peers[i] = c.startAs(testName(i), i)
	return c.peers[i]
}

// startAs starts a host of any name at address i, outside the list of peers.
func (c *cluster) startAs(name string, i int) *peer {
	c.t.Helper()
	cfg := c.shape
	cfg.Name = name
	c.boots++
	binary.BigEndian.PutUint64(cfg.Boot[:], c.boots)
	if cfg.Cluster == "" {
		cfg.Cluster = "test"
	}
	if cfg.Keys == nil {
		cfg.Keys = []Key{testKey}
	}
	if cfg.Interval == 0 {
		cfg.Interval = 100 * time.Millisecond
	}
	cfg.Rand = rand.New(rand.NewPCG(c.net.Rand.Uint64(), c.boots))
	core, err := New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	p := &peer{
		Core: core, net: c.net, addr: testAddr(i), alive: map[string]bool{}, left: map[string]bool{},
		said: map[string]string{}, heard: map[string]time.Time{},
	}
	c.net.Start(p.addr, p)
	c.net.After(c.upTo(cfg.Interval), func() { c.do(p, Join{Addrs: c.seeds}) })
	return p
}

func (c *cluster) upTo(d time.Duration) time.Duration {
	return time.Duration(c.net.Rand.Int64N(int64(d)))
}

// newFormedCluster starts n hosts that know each other, as if they had run for long.
func newFormedCluster(t *testing.T, seed uint64, n int, cond simnet.Conditions, shape Config) *cluster {
	t.Helper()
	c := newCluster(t, seed, n, cond, shape)
	for _, p := range c.peers {
		p.begin(c.net.Now())
		p.hungryUntil = 0
		for j, q := range c.peers {
			if p == q {
				continue
			}
			h := p.add([]byte(q.cfg.Name), testAddr(j), q.cfg.Boot)
			h.state, h.since = Alive, p.now
			p.alive[h.name] = true
		}
		p.mesh = n <= defaultMesh
		p.changed = true
	}
	return c
}

// do makes an event happen now.
func (c *cluster) do(p *peer, ev Event) {
	p.step(c.net.Now(), ev)
	c.net.Poke(p.addr)
}

func (c *cluster) kill(i int) {
	c.net.Kill(testAddr(i))
	c.peers[i] = nil
}

// living are the hosts that run.
func (c *cluster) living() []*peer {
	return slices.DeleteFunc(slices.Clone(c.peers), func(p *peer) bool { return p == nil })
}

// whole reports whether each host that runs holds exactly the others alive.
func (c *cluster) whole() bool {
	l := c.living()
	for _, p := range l {
		if len(p.alive) != len(l)-1 {
			return false
		}
	}
	return true
}

// settle lets the cluster find itself.
func (c *cluster) settle(limit time.Duration) time.Duration {
	c.t.Helper()
	took, ok := c.net.RunUntil(limit, c.interval(), c.whole)
	if !ok {
		c.t.Fatalf("not whole after %v: %s", took, c.census())
	}
	return took
}

func (c *cluster) interval() time.Duration {
	if c.shape.Interval == 0 {
		return 100 * time.Millisecond
	}
	return c.shape.Interval
}

// census says how many hosts each host holds alive.
func (c *cluster) census() string {
	counts := map[int]int{}
	for _, p := range c.living() {
		counts[len(p.alive)]++
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%d run;", len(c.living()))
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&s, " %d×%d alive", counts[n], n)
	}
	return s.String()
}

// losses is what all hosts together lost since the start.
func (c *cluster) losses() (n int, what []string) {
	for _, p := range c.living() {
		for _, l := range p.losses {
			n++
			what = append(what, p.cfg.Name+" lost "+l)
		}
	}
	return n, what
}

func (c *cluster) forgetLosses() {
	for _, p := range c.living() {
		p.losses = nil
	}
}

func addrs(from, to int) []netip.AddrPort {
	var a []netip.AddrPort
	for i := from; i < to; i++ {
		a = append(a, testAddr(i))
	}
	return a
}
