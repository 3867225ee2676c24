package appliance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"example.org/ha/lb"
	"example.org/ha/lb/health"
	"example.org/ha/lb/pool"
	"example.org/ha/lb/proxy"
)

// The balancer and the forwarder together, on loopback: real probes, real connections.

// balanceLimit bounds every wait for something that must happen.
const balanceLimit = 20 * time.Second

// A backend answers every line with its name, while it lives.
type backend struct {
	name    string
	address netip.AddrPort

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
}

func newBackend(t *testing.T, name string) *backend {
	t.Helper()
	b := &backend{name: name}
	b.live(t, "127.0.0.1:0")
	b.address = b.l.Addr().(*net.TCPAddr).AddrPort()
	t.Cleanup(b.die)
	return b
}

func (b *backend) live(t *testing.T, at string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.l, b.conns = l, nil
	b.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns = append(b.conns, c)
			b.mu.Unlock()
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					if _, err := r.ReadString('\n'); err != nil {
						return
					}
					fmt.Fprintln(c, b.name)
				}
			}()
		}
	}()
}

// die closes the port and resets what is established, as a host does that loses its process.
func (b *backend) die() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.l.Close()
	for _, c := range b.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// A balance is a Balancer with a Forwarder at work.
type balance struct {
	*lb.Balancer
	t     *testing.T
	cfg   lb.Config
	proxy *proxy.Forwarder
}

func balanced(t *testing.T, edit func(*lb.Service), servers ...*backend) *balance {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	check := lb.Check{Timing: health.Timing{Interval: 20 * time.Millisecond, FlapWindow: -1}}
	check.Kind = "tcp"
	s := lb.Service{Name: "web", Scheduler: pool.RR, Check: &check,
		Listen: []netip.AddrPort{free.Addr().(*net.TCPAddr).AddrPort()}}
	for _, b := range servers {
		s.Servers = append(s.Servers, lb.Server{Address: b.address})
	}
	if edit != nil {
		edit(&s)
	}
	b := &balance{t: t, cfg: lb.Config{Node: "lb1", Services: []lb.Service{s}}, proxy: proxy.New(slog.New(slog.DiscardHandler))}
	if b.Balancer, err = lb.New(b.cfg, b.proxy, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var wg sync.WaitGroup
	for _, run := range []func() error{
		func() error { return b.Run(ctx, func() { close(ready) }) },
		func() error { return b.proxy.Run(ctx) },
	} {
		wg.Go(func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	select {
	case <-ready:
	case <-time.After(balanceLimit):
		t.Fatal("not ready")
	}
	return b
}

// dial is a new connection of a client.
func (b *balance) dial() (net.Conn, error) {
	return net.DialTimeout("tcp", b.cfg.Services[0].Listen[0].String(), balanceLimit)
}

func answerOn(c net.Conn) (string, error) {
	c.SetDeadline(time.Now().Add(balanceLimit))
	if _, err := io.WriteString(c, "who\n"); err != nil {
		return "", err
	}
	var who string
	_, err := fmt.Fscanln(c, &who)
	return who, err
}

// request is one request on a connection of its own: who answered.
func (b *balance) request() (string, error) {
	c, err := b.dial()
	if err != nil {
		return "", err
	}
	defer c.Close()
	return answerOn(c)
}

// requests counts who answered how many of n requests; each must be answered.
func (b *balance) requests(n int) map[string]int {
	b.t.Helper()
	who := map[string]int{}
	for i := range n {
		name, err := b.request()
		if err != nil {
			b.t.Fatalf("request %d of %d: %v", i+1, n, err)
		}
		who[name]++
	}
	return who
}

// told waits for a change; requests go on meanwhile, and each must be answered.
func (b *balance) told(kind lb.ChangeKind, server *backend) lb.Change {
	b.t.Helper()
	late := time.After(balanceLimit)
	for {
		select {
		case c := <-b.Changes():
			if c.Kind == kind && (server == nil || c.Server == server.address.String()) && !c.First {
				return c
			}
		case <-late:
			b.t.Fatalf("not told of %q", kind)
		default:
			b.requests(1)
		}
	}
}

func (b *balance) stats(server *backend) proxy.ServerStats {
	for _, s := range b.proxy.Stats() {
		for _, r := range s.Servers {
			if r.Address == server.address {
				return r
			}
		}
	}
	return proxy.ServerStats{}
}

func TestServerThatDiesLeavesAndReturns(t *testing.T) {
	first, second := newBackend(t, "first"), newBackend(t, "second")
	b := balanced(t, nil, first, second)
	if got := b.requests(10); got["first"] != 5 || got["second"] != 5 {
		t.Fatalf("ten requests in turn: %v", got)
	}
	first.die()
	if c := b.told(lb.ServerDown, first); c.Healthy != 1 || c.Reason == "" {
		t.Errorf("%+v", c)
	}
	if st := b.Status().Services[0].Servers; !slices.ContainsFunc(st, func(s lb.ServerStatus) bool {
		return s.Address == first.address && s.Failures >= 3 && !s.InTable
	}) {
		t.Errorf("it left after fewer failures than fall, or did not leave: %+v", st)
	}
	errors := b.stats(first).ConnectErrors
	if got := b.requests(20); got["second"] != 20 {
		t.Errorf("after it left: %v", got)
	}
	if n := b.stats(first).ConnectErrors; n != errors {
		t.Errorf("%d clients were tried at it after it left", n-errors)
	}
	first.live(t, first.address.String())
	b.told(lb.ServerUp, first)
	if got := b.requests(10); got["first"] != 5 || got["second"] != 5 {
		t.Errorf("after it returned: %v", got)
	}
}

func TestDrainKeepsWhatIsEstablished(t *testing.T) {
	first, second := newBackend(t, "first"), newBackend(t, "second")
	b := balanced(t, nil, first, second)
	held := map[string]net.Conn{}
	for len(held) < 2 {
		c, err := b.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		who, err := answerOn(c)
		if err != nil {
			t.Fatal(err)
		}
		held[who] = c
	}
	if err := b.Drain("web", first.address.String(), true); err != nil {
		t.Fatal(err)
	}
	if got := b.requests(20); got["second"] != 20 {
		t.Errorf("new requests while first is drained: %v", got)
	}
	for name, c := range held {
		if who, err := answerOn(c); err != nil || who != name {
			t.Errorf("established with %s: %q, %v", name, who, err)
		}
	}
	if err := b.Drain("web", first.address.String(), false); err != nil {
		t.Fatal(err)
	}
	if got := b.requests(10); got["first"] != 5 {
		t.Errorf("after undrain: %v", got)
	}
}

// Clients make requests all the time, new connections and established ones, while the configuration is
// edited in every way that does not take the service away.
func TestReloadUnderLoadFailsNoRequest(t *testing.T) {
	first, second, third := newBackend(t, "first"), newBackend(t, "second"), newBackend(t, "third")
	b := balanced(t, nil, first, second)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	answered := map[string]int{}
	note := func(who string, err error) bool {
		if err != nil {
			t.Errorf("a request failed: %v", err)
			return false
		}
		mu.Lock()
		answered[who]++
		mu.Unlock()
		return ctx.Err() == nil
	}
	for range 3 {
		wg.Go(func() {
			for note(b.request()) {
			}
		})
	}
	wg.Go(func() {
		c, err := b.dial()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for note(answerOn(c)) {
		}
	})
	defer func() { stop(); wg.Wait() }()

	apply := func(edit func(*lb.Service)) {
		t.Helper()
		cfg := lb.Config{Node: b.cfg.Node, Services: slices.Clone(b.cfg.Services)}
		s := &cfg.Services[0]
		s.Servers = slices.Clone(s.Servers)
		edit(s)
		if err := b.Apply(cfg); err != nil {
			t.Fatal(err)
		}
	}
	// until lets clients run on until somebody has answered n more requests.
	until := func(name string, n int) {
		t.Helper()
		mu.Lock()
		n += answered[name]
		mu.Unlock()
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		late := time.After(balanceLimit)
		for {
			select {
			case <-ticker.C:
			case <-late:
				t.Fatalf("%s answers nobody", name)
			}
			mu.Lock()
			enough := answered[name] >= n
			mu.Unlock()
			if enough {
				return
			}
		}
	}
	added := func(s *lb.Service) { s.Servers = append(s.Servers, lb.Server{Address: third.address}) }
	for i := range 10 {
		apply(func(s *lb.Service) { s.Scheduler, s.Servers[0].Weight = pool.WRR, new(1+i) })
		until("second", 5)
		apply(added)
		until("third", 5)
		apply(func(s *lb.Service) { added(s); s.Servers[0].Weight = new(0) })
		until("third", 5)
		apply(func(s *lb.Service) { s.Check = new(*s.Check); s.Check.Interval += time.Duration(i) * time.Millisecond })
		until("first", 5)
	}
}

func TestSorryServerWhileNobodyIsWell(t *testing.T) {
	first, second, sorry := newBackend(t, "first"), newBackend(t, "second"), newBackend(t, "sorry")
	b := balanced(t, func(s *lb.Service) { s.Sorry = sorry.address }, first, second)
	if got := b.requests(10); got["sorry"] != 0 {
		t.Fatalf("%v", got)
	}
	first.die()
	second.die()
	b.told(lb.ServiceSorry, nil)
	if got := b.requests(10); got["sorry"] != 10 {
		t.Errorf("while nobody is well: %v", got)
	}
	second.live(t, second.address.String())
	b.told(lb.ServiceRestored, nil)
	if got := b.requests(10); got["second"] != 10 {
		t.Errorf("when one is well again: %v", got)
	}
}

func TestSlowStartRaisesTheShare(t *testing.T) {
	first, second := newBackend(t, "first"), newBackend(t, "second")
	b := balanced(t, func(s *lb.Service) { s.Scheduler, s.SlowStart = pool.WRR, time.Second }, first, second)
	first.die()
	b.told(lb.ServerDown, first)
	first.live(t, first.address.String())
	b.told(lb.ServerUp, first)
	var weights []int
	var shares [11]map[string]int // by the weight that first had
	late := time.Now().Add(balanceLimit)
	for len(weights) == 0 || weights[len(weights)-1] < 10 {
		if time.Now().After(late) {
			t.Fatalf("it does not warm up: %v", weights)
		}
		before := b.weight(first)
		if got := b.requests(22); b.weight(first) == before { // two rounds at most
			if shares[before] == nil {
				shares[before] = map[string]int{}
			}
			for name, n := range got {
				shares[before][name] += n
			}
		}
		if len(weights) == 0 || weights[len(weights)-1] != before {
			weights = append(weights, before)
		}
	}
	if !slices.IsSorted(weights) || weights[0] > 5 {
		t.Errorf("weights %v: want 1 to 10", weights)
	}
	for w, got := range shares {
		// Of 10+w requests first should get w; a round may be cut at both ends.
		total := got["first"] + got["second"]
		want := total * w / (10 + w)
		if slack := 2 + total/10; got["first"] < want-slack || got["first"] > want+slack {
			t.Errorf("at weight %d of 10, first answered %d of %d, want about %d", w, got["first"], total, want)
		}
	}
	if got := b.requests(100); got["first"] < 45 || got["first"] > 55 {
		t.Errorf("warm: %v", got)
	}
}

// weight is what the forwarder has now.
func (b *balance) weight(server *backend) int {
	for _, s := range b.Status().Services[0].Servers {
		if s.Address == server.address {
			return s.Current
		}
	}
	return -1
}
