package heartbeat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"example.org/ha/net/gossip"
)

// loopback is an address of this test process's own in 127.0.0.0/8, so that
// packages tested at once do not meet; port 0 lets the kernel choose.
func loopback(port uint16) netip.AddrPort {
	pid := os.Getpid()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 78, byte(pid >> 8), byte(pid)}), port)
}

// runChild repeats the test in a process of its own, for what changes a whole
// process.
func runChild(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "HEARTBEAT_TEST_CHILD="+t.Name())
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

var keyA, keyB = gossip.Key{1}, gossip.Key{2}

// A host is a node on a loop of its own, with a seat at Votes.
type host struct {
	*Node
	rider *Rider
	cfg   Config
	kill  func()
}

func startHost(t *testing.T, name string, join ...string) *host {
	return startHostAt(t, name, freeAddr(t, loopback(0)), join...)
}

func startHostAt(t *testing.T, name string, bind netip.AddrPort, join ...string) *host {
	t.Helper()
	h := &host{cfg: Config{
		Name: "test", KeyFile: "unused", Bind: bind, Join: join, Interval: 10 * time.Millisecond, Lost: 30,
	}}
	l := newTestLoop(t)
	var err error
	if h.Node, err = NewNode(h.cfg, name, []gossip.Key{keyA}, l, quiet()); err != nil {
		t.Fatal(err)
	}
	h.rider = h.Join(gossip.Votes)
	ctx, cancel := context.WithCancel(context.Background())
	loop, node := make(chan error, 1), make(chan error, 1)
	go func() { loop <- l.Run(ctx) }()
	go func() { node <- h.Run(ctx) }()
	killed := false
	h.kill = func() {
		if killed {
			return
		}
		killed = true
		cancel()
		if err := <-loop; err != nil {
			t.Errorf("loop of %s: %v", name, err)
		}
		if err := <-node; err != nil {
			t.Errorf("node %s: %v", name, err)
		}
		h.Close()
	}
	t.Cleanup(h.kill)
	return h
}

func (h *host) addr() string { return h.Bound().String() }

// until takes from h's rider until ok says so of what it has.
func (h *host) until(t *testing.T, what string, ok func(hosts []HostState, shouts []Shouted) bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	var hosts []HostState
	var shouts []Shouted
	for {
		select {
		case <-h.rider.Changed():
			in := h.rider.Take()
			if in.Changed {
				hosts = slices.Clone(in.Hosts)
			} else if len(in.Shouts) == 0 {
				continue
			}
			shouts = append(shouts, in.Shouts...)
			if ok(hosts, shouts) {
				return
			}
		case <-limit:
			t.Fatalf("%s: not %s within 20s: hosts %+v, %d shouts, counters %+v", h.name, what, hosts, len(shouts), h.Status().Counters)
		}
	}
}

func alive(names ...string) func([]HostState, []Shouted) bool {
	return func(hosts []HostState, _ []Shouted) bool {
		var got []string
		for _, h := range hosts {
			if h.Alive {
				got = append(got, h.Name)
			}
		}
		return slices.Equal(got, names)
	}
}

func says(name, what string) func([]HostState, []Shouted) bool {
	return func(hosts []HostState, _ []Shouted) bool {
		return slices.ContainsFunc(hosts, func(h HostState) bool { return h.Name == name && h.Alive && string(h.Said) == what })
	}
}

func shouts(what string) func([]HostState, []Shouted) bool {
	return func(_ []HostState, shouts []Shouted) bool {
		return slices.ContainsFunc(shouts, func(s Shouted) bool { return string(s.Body) == what })
	}
}

func TestTwoNodesFindEachOtherAndTalk(t *testing.T) {
	a := startHost(t, "a")
	b := startHost(t, "b", a.addr())
	a.until(t, "aware of b", alive("b"))
	b.until(t, "aware of a", alive("a"))
	a.rider.Say([]byte("one"))
	b.until(t, "told one", says("a", "one"))
	a.rider.Say([]byte("two"))
	b.until(t, "told two", says("a", "two"))
	b.rider.Shout([]byte("now"))
	a.until(t, "shouted at", shouts("now"))
}

func TestThreeNodesLearnOfEachOtherAndOfAGoodbye(t *testing.T) {
	a := startHost(t, "a")
	b := startHost(t, "b", a.addr())
	c := startHost(t, "c", a.addr())
	a.until(t, "aware of both", alive("b", "c"))
	b.until(t, "aware of both", alive("a", "c"))
	c.until(t, "aware of both", alive("a", "b"))
	within(t, c.Leave(), "goodbye")
	left := func(hosts []HostState, _ []Shouted) bool {
		return slices.ContainsFunc(hosts, func(h HostState) bool { return h.Name == "c" && h.Left && !h.Alive })
	}
	a.until(t, "told of the goodbye", left)
	b.until(t, "told of the goodbye", left)
	b.kill()
	a.until(t, "alone", alive())
	if s := a.Status(); len(s.Hosts) != 2 || s.Hosts[0].State != "lost" || s.Hosts[1].State != "left" {
		t.Errorf("status has %+v", s.Hosts)
	}
}

func TestKeysRotateWithoutAGap(t *testing.T) {
	a := startHost(t, "a")
	b := startHost(t, "b", a.addr())
	a.until(t, "aware of b", alive("b"))
	b.until(t, "aware of a", alive("a"))
	for i, keys := range [][]gossip.Key{{keyA, keyB}, {keyB, keyA}, {keyB}} {
		for _, h := range []*host{a, b} {
			if err := h.Apply(h.cfg, keys); err != nil {
				t.Fatal(err)
			}
			word := fmt.Sprintf("%s after step %d", h.name, i)
			other := a
			if h == a {
				other = b
			}
			h.rider.Say([]byte(word))
			other.until(t, "told "+word, says(h.name, word))
		}
	}
	if err := a.Apply(a.cfg, nil); err == nil {
		t.Error("an empty list of keys was applied")
	}
	other := a.cfg
	other.Name = "other"
	if err := a.Apply(other, []gossip.Key{keyB}); err == nil {
		t.Error("the cluster's name was changed in flight")
	}
}

func TestBindMovesInFlight(t *testing.T) {
	a := startHost(t, "a")
	b := startHost(t, "b", a.addr())
	a.until(t, "aware of b", alive("b"))
	cfg := b.cfg
	cfg.Bind = netip.AddrPortFrom(loopback(0).Addr(), a.Bound().Port()+1)
	if err := b.Apply(cfg, []gossip.Key{keyA}); err != nil {
		// Somebody has that very port.
		cfg.Bind = netip.AddrPortFrom(loopback(0).Addr(), a.Bound().Port()-1)
		if err := b.Apply(cfg, []gossip.Key{keyA}); err != nil {
			t.Fatal(err)
		}
	}
	b.rider.Say([]byte("moved"))
	a.until(t, "told from the new address", func(hosts []HostState, _ []Shouted) bool {
		return says("b", "moved")(hosts, nil) && hosts[0].Addr == cfg.Bind
	})
}

func TestGarbageIsCountedAndChangesNothing(t *testing.T) {
	a := startHost(t, "a")
	b := startHost(t, "b", a.addr())
	a.until(t, "aware of b", alive("b"))
	from, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a.Bound()))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	const flood = 5000
	for i := range flood {
		if _, err := from.Write(bytes.Repeat([]byte{byte(i)}, 20)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := from.Write(make([]byte, packetRoom+100)); err != nil {
		t.Fatal(err)
	}
	b.rider.Say([]byte("after the flood"))
	a.until(t, "told after the flood", says("b", "after the flood"))
	var dropped uint64
	for r, n := range a.Status().Counters.Dropped {
		if r == gossip.Malformed.String() || r == gossip.Unsealed.String() {
			dropped += n
		}
	}
	// The status is up to a second old.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); dropped < flood; {
		select {
		case <-tick.C:
			c := a.Status().Counters.Dropped
			dropped = c[gossip.Malformed.String()] + c[gossip.Unsealed.String()]
		case <-limit:
			t.Fatalf("%d of %d dropped: %v", dropped, flood, a.Status().Counters.Dropped)
		}
	}
	if h := a.Status().Hosts; len(h) != 1 || h[0].State != "alive" {
		t.Errorf("after the flood: %+v", h)
	}
}

func TestNodesSpeakIPv6(t *testing.T) {
	six := netip.MustParseAddrPort("[::1]:0")
	a := startHostAt(t, "a", freeAddr(t, six))
	b := startHostAt(t, "b", freeAddr(t, six), a.addr())
	a.until(t, "aware of b", alive("b"))
	b.until(t, "aware of a", alive("a"))
}

func TestSteadyBeatsDoNotAllocate(t *testing.T) {
	var loops [2]*Loop
	var nodes [2]*Node
	var riders [2]*Rider
	for i, name := range []string{"a", "b"} {
		loops[i] = newTestLoop(t)
		cfg := Config{
			Name: "test", KeyFile: "unused", Bind: freeAddr(t, loopback(0)), Interval: 3 * time.Millisecond, Lost: 100,
		}
		n, err := NewNode(cfg, name, []gossip.Key{keyA}, loops[i], quiet())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.Close)
		nodes[i], riders[i] = n, n.Join(gossip.Adverts)
		riders[i].Say([]byte("I hold 10.0.0.100"))
	}
	// What Run would post; there is no Run and no loop here but the rounds below.
	nodes[1].mu.Lock()
	nodes[1].join = []netip.AddrPort{nodes[0].Bound()}
	nodes[1].mu.Unlock()
	nodes[1].post()
	both := func() {
		for i := range loops {
			if err := loops[i].round(); err != nil {
				t.Fatal(err)
			}
			riders[i].Take()
		}
	}
	for range 500 {
		both()
	}
	before := [2]uint64{nodes[0].core.Counters().Heard, nodes[1].core.Counters().Heard}
	allocs := testing.AllocsPerRun(400, func() {
		// The snapshot for status, once a second, does allocate.
		nodes[0].roster.due, nodes[1].roster.due = time.Time{}, time.Time{}
		nodes[0].roster.published, nodes[1].roster.published = time.Now(), time.Now()
		both()
	})
	for i, n := range nodes {
		if heard := n.core.Counters().Heard - before[i]; heard < 100 {
			t.Errorf("%s heard %d beats in 400 rounds: %+v", n.name, heard, n.counters())
		}
	}
	if allocs != 0 {
		t.Errorf("%v allocations a round, want none", allocs)
	}
}

// freeAddr gives bind, which has port 0, a port that is free: a configuration
// names its port.
func freeAddr(t *testing.T, bind netip.AddrPort) netip.AddrPort {
	t.Helper()
	sock, err := openSocket(bind)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.close()
	return sock.local
}
