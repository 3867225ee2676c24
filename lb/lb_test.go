package lb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/ha/lb/health"
	"example.org/ha/lb/pool"
	"example.org/ha/lb/probe"
)

// A network is the servers' side: who is sick, and who has been asked how often.
type network struct {
	mu    sync.Mutex
	sick  map[netip.AddrPort]bool
	asked map[netip.AddrPort]int
}

func (n *network) probe(_ context.Context, _ probe.Config, target netip.AddrPort) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked[target]++
	if n.sick[target] {
		return errors.New("refused")
	}
	return nil
}

func (n *network) set(sick bool, servers ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range servers {
		n.sick[addr(s)] = sick
	}
}

func (n *network) count(server string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[addr(server)]
}

// A datapath remembers every table that differs from the one before, or refuses all.
type datapath struct {
	mu     sync.Mutex
	refuse error
	now    pool.Table
	calls  int
	diffs  [][]pool.Change
}

func (d *datapath) Apply(t pool.Table) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.refuse != nil {
		return d.refuse
	}
	if diff := pool.Diff(d.now, t); len(diff) > 0 {
		d.diffs = append(d.diffs, diff)
	}
	d.now = t
	return nil
}

func (d *datapath) set(refuse error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse, d.diffs = refuse, nil
}

// table is "web: 10.0.0.1:80*1 10.0.0.2:80*1; …".
func (d *datapath) table() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var services []string
	for _, v := range d.now.Services {
		line := v.Name + ":"
		for _, r := range v.Servers {
			line += fmt.Sprintf(" %v*%d", r.Address, r.Weight)
		}
		services = append(services, line)
	}
	return strings.Join(services, "; ")
}

// changed lists what became of servers since set, each as "delete server 10.0.0.1:80".
func (d *datapath) changed() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, diff := range d.diffs {
		for _, c := range diff {
			out = append(out, fmt.Sprintf("%v %v", c.Op, c.Server.Address))
		}
	}
	return out
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func server(n int) string { return fmt.Sprintf("10.0.0.%d:80", n) }

// config is one service "web" with n servers and a check each second.
func config(n int) Config {
	s := Service{Name: "web", Listen: []netip.AddrPort{addr("10.0.0.100:80")}, Check: &Check{}}
	s.Check.Kind = "tcp"
	for i := range n {
		s.Servers = append(s.Servers, Server{Address: addr(server(i + 1))})
	}
	return Config{Node: "lb1", Services: []Service{s}}
}

// A rig is a Balancer at work in a synctest bubble.
type rig struct {
	*Balancer
	t    *testing.T
	net  *network
	path *datapath
	up   bool // ready was called
}

// run starts a Balancer in a bubble and ends it after f.
func run(t *testing.T, cfg Config, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, net: &network{sick: map[netip.AddrPort]bool{}, asked: map[netip.AddrPort]int{}}, path: &datapath{}}
		r.start(cfg, f)
	})
}

func (r *rig) start(cfg Config, f func(r *rig)) {
	b, err := New(cfg, r.path, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	b.do = r.net.probe
	r.Balancer = b
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx, func() { r.up = true }) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}()
	f(r)
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) want(what, table string) {
	r.t.Helper()
	if got := r.path.table(); got != table {
		r.t.Fatalf("%s: table is %q, want %q", what, got, table)
	}
}

// told lists the changes so far, each as "server down web 10.0.0.1:80".
func (r *rig) told() []string {
	var out []string
	for {
		select {
		case c := <-r.Changes():
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Kind, c.Service, c.Server)))
		default:
			slices.Sort(out)
			return out
		}
	}
}

func TestServersComeUpWithinASecondAtTheStart(t *testing.T) {
	run(t, config(3), func(r *rig) {
		r.pass(0)
		r.want("before any answer", "web:")
		if r.up {
			t.Error("ready before any answer")
		}
		r.pass(1100 * time.Millisecond)
		r.want("after a second", "web: 10.0.0.1:80*1 10.0.0.2:80*1 10.0.0.3:80*1")
		if !r.up || r.Healthy("web") != 3 || r.Healthy("other") != 0 {
			t.Errorf("ready %t, healthy %d", r.up, r.Healthy("web"))
		}
		want := []string{"server up web 10.0.0.1:80", "server up web 10.0.0.2:80", "server up web 10.0.0.3:80"}
		if got := r.told(); !slices.Equal(got, want) {
			t.Errorf("told %q", got)
		}
	})
}

func TestFailingServerLeavesAndReturnsAndNothingElseMoves(t *testing.T) {
	run(t, config(3), func(r *rig) {
		r.pass(3 * time.Second)
		r.told()
		r.path.set(nil)
		r.net.set(true, server(2))
		r.pass(4 * time.Second)
		r.want("one sick", "web: 10.0.0.1:80*1 10.0.0.3:80*1")
		st := r.Status().Services[0].Servers[1]
		if st.State != health.Down || st.Reason != "refused" || st.InTable || st.Failures < 3 {
			t.Errorf("status %+v", st)
		}
		r.net.set(false, server(2))
		r.pass(3500 * time.Millisecond)
		r.want("well again", "web: 10.0.0.1:80*1 10.0.0.2:80*1 10.0.0.3:80*1")
		if got, want := r.path.changed(), []string{"delete server 10.0.0.2:80", "add server 10.0.0.2:80"}; !slices.Equal(got, want) {
			t.Errorf("changes of the table: %q, want %q", got, want)
		}
		if got, want := r.told(), []string{"server down web 10.0.0.2:80", "server up web 10.0.0.2:80"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// The service leaves the table after exactly fall probes and returns after exactly rise.
func TestRiseAndFallAreExactInTheTable(t *testing.T) {
	cfg := config(1)
	cfg.Services[0].Check.Timing = health.Timing{Rise: 4, Fall: 5, Jitter: 1}
	run(t, cfg, func(r *rig) {
		r.pass(5 * time.Second)
		step := func(sick bool, n int) {
			t.Helper()
			present := sick
			r.net.set(sick, server(1))
			for asked := r.net.count(server(1)); ; {
				if strings.Contains(r.path.table(), server(1)) != present {
					if got := r.net.count(server(1)) - asked; got != n {
						t.Fatalf("sick %t: changed after %d probes, want %d", sick, got, n)
					}
					return
				}
				if r.net.count(server(1)) > asked+20 {
					t.Fatalf("sick %t: no change", sick)
				}
				r.pass(20 * time.Millisecond)
			}
		}
		step(true, 5)
		step(false, 4)
	})
}

func TestServiceIsSorryWhenAllAreDownAndRestored(t *testing.T) {
	cfg := config(2)
	cfg.Services[0].Sorry = addr("10.0.0.99:80")
	run(t, cfg, func(r *rig) {
		r.pass(2 * time.Second)
		r.told()
		r.net.set(true, server(1), server(2))
		r.pass(4 * time.Second)
		r.want("all sick", "web: 10.0.0.99:80*1")
		if st := r.Status().Services[0]; st.Condition != "sorry" || st.Healthy != 0 {
			t.Errorf("status %+v", st)
		}
		if got, want := r.told(), []string{"server down web 10.0.0.1:80", "server down web 10.0.0.2:80", "service sorry web"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		r.net.set(false, server(1))
		r.pass(4 * time.Second)
		r.want("one well", "web: 10.0.0.1:80*1")
		if got, want := r.told(), []string{"server up web 10.0.0.1:80", "service restored web"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func TestServiceThatNeverWorkedIsEmpty(t *testing.T) {
	run(t, config(1), func(r *rig) {
		r.net.set(true, server(1))
		r.pass(10 * time.Second)
		r.want("sick from the start", "web:")
		if !r.up {
			t.Error("a sick server keeps the balancer from being ready")
		}
		if got, want := r.told(), []string{"server down web 10.0.0.1:80", "service empty web"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func TestBelowQuorumConnectionsDrainToSorry(t *testing.T) {
	cfg := config(3)
	cfg.Services[0].Sorry, cfg.Services[0].Quorum = addr("10.0.0.99:80"), 2
	run(t, cfg, func(r *rig) {
		r.pass(2 * time.Second)
		r.net.set(true, server(1), server(2))
		r.pass(4 * time.Second)
		r.want("one of three left", "web: 10.0.0.3:80*0 10.0.0.99:80*1")
		r.net.set(false, server(1))
		r.pass(4 * time.Second)
		r.want("two of three", "web: 10.0.0.1:80*1 10.0.0.3:80*1")
	})
	cfg.Services[0].Sorry = netip.AddrPort{}
	run(t, cfg, func(r *rig) {
		r.pass(2 * time.Second)
		r.net.set(true, server(1), server(2))
		r.pass(4 * time.Second)
		r.want("one left and nowhere else to go", "web: 10.0.0.3:80*1")
		if c := r.Status().Services[0].Condition; c != "short" {
			t.Errorf("condition %q", c)
		}
	})
}

func TestProtectKeepsAPoolThatDiesAtOnce(t *testing.T) {
	cfg := config(4)
	cfg.Services[0].Protect = 0.5
	run(t, cfg, func(r *rig) {
		r.pass(2 * time.Second)
		r.told()
		all := "web: 10.0.0.1:80*1 10.0.0.2:80*1 10.0.0.3:80*1 10.0.0.4:80*1"
		r.net.set(true, server(1), server(2), server(3), server(4))
		r.pass(5 * time.Second)
		r.want("all dead", all)
		if !slices.Contains(r.told(), "service kept web") || !r.Status().Services[0].Protected || r.Healthy("web") != 4 {
			t.Errorf("status %+v", r.Status().Services[0])
		}
		r.net.set(false, server(1), server(2))
		r.pass(5 * time.Second)
		r.want("half back", "web: 10.0.0.1:80*1 10.0.0.2:80*1")
		if !slices.Contains(r.told(), "service trusted web") {
			t.Error("nobody was told")
		}
	})
}

func TestReloadKeepsTheState(t *testing.T) {
	run(t, config(3), func(r *rig) {
		r.net.set(true, server(3))
		r.pass(5 * time.Second)
		r.want("before", "web: 10.0.0.1:80*1 10.0.0.2:80*1")
		r.told()
		r.path.set(nil)

		cfg := config(4)
		cfg.Services[0].Check.Interval = 5 * time.Second // an edited check keeps the states too
		other := cfg.Services[0]
		other.Name, other.Listen, other.Servers = "api", []netip.AddrPort{addr("10.0.0.100:81")}, other.Servers[:3]
		cfg.Services = append(cfg.Services, other)
		if err := r.Apply(cfg); err != nil {
			t.Fatal(err)
		}
		r.want("at once", "api: 10.0.0.1:80*1 10.0.0.2:80*1; web: 10.0.0.1:80*1 10.0.0.2:80*1")
		r.pass(20 * time.Second)
		r.want("later, a new one rose", "api: 10.0.0.1:80*1 10.0.0.2:80*1; web: 10.0.0.1:80*1 10.0.0.2:80*1 10.0.0.4:80*1")
		for _, c := range r.path.changed() {
			if strings.HasPrefix(c, "delete") {
				t.Errorf("reload: %s", c)
			}
		}
		for _, c := range r.told() {
			if c != "server up web 10.0.0.4:80" && !strings.Contains(c, " api") {
				t.Errorf("told %q", c)
			}
		}
		if r.Status().Checks != 4 {
			t.Errorf("%d checks of 4 servers in two services", r.Status().Checks)
		}
	})
}

// A service added with a check that another already makes knows its servers at once.
func TestSharedCheckIsOneAndKnownAtOnce(t *testing.T) {
	run(t, config(2), func(r *rig) {
		r.pass(2 * time.Second)
		cfg := config(2)
		other := cfg.Services[0]
		other.Name, other.Listen = "api", []netip.AddrPort{addr("10.0.0.100:81")}
		cfg.Services = append(cfg.Services, other)
		if err := r.Apply(cfg); err != nil {
			t.Fatal(err)
		}
		r.want("at once", "api: 10.0.0.1:80*1 10.0.0.2:80*1; web: 10.0.0.1:80*1 10.0.0.2:80*1")
		asked := r.net.count(server(1))
		r.pass(10 * time.Second)
		if n := r.net.count(server(1)) - asked; n < 9 || n > 11 {
			t.Errorf("%d probes in ten seconds for two services", n)
		}
		r.told()
		r.net.set(true, server(1))
		r.pass(4 * time.Second)
		if got, want := r.told(), []string{"server down api 10.0.0.1:80", "server down web 10.0.0.1:80"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func TestRefusedReloadChangesNothing(t *testing.T) {
	run(t, config(2), func(r *rig) {
		r.pass(2 * time.Second)
		r.path.set(errors.New("address in use"))
		if err := r.Apply(config(3)); err == nil || !strings.Contains(err.Error(), "address in use") {
			t.Errorf("Apply: %v", err)
		}
		if err := r.Apply(Config{Services: []Service{{}}}); err == nil {
			t.Error("Apply took an invalid configuration")
		}
		r.path.set(nil)
		r.pass(5 * time.Second)
		r.want("after", "web: 10.0.0.1:80*1 10.0.0.2:80*1")
		if n := r.net.count(server(3)); n != 0 {
			t.Errorf("%d probes of a server that was refused", n)
		}
	})
}

func TestForwarderIsRepaired(t *testing.T) {
	run(t, config(2), func(r *rig) {
		r.pass(2 * time.Second)
		r.path.set(errors.New("netlink: no buffer"))
		r.net.set(true, server(1))
		r.pass(5 * time.Second)
		if f := r.Status().Failure; f != "netlink: no buffer" {
			t.Errorf("failure %q", f)
		}
		r.path.set(nil)
		r.pass(repair)
		r.want("repaired", "web: 10.0.0.2:80*1")
		if f := r.Status().Failure; f != "" {
			t.Errorf("failure %q", f)
		}
		r.path.mu.Lock()
		r.path.now = pool.Table{} // somebody flushed it by hand
		r.path.mu.Unlock()
		r.pass(repair)
		r.want("flushed", "web: 10.0.0.2:80*1")
	})
}

func TestFirstTableMustBeAccepted(t *testing.T) {
	b, err := New(config(1), &datapath{refuse: errors.New("address in use")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context(), func() { t.Error("ready") }); err == nil || !strings.Contains(err.Error(), "address in use") {
		t.Errorf("Run: %v", err)
	}
	if err := b.Apply(config(1)); err == nil {
		t.Error("Apply after Run ended")
	}
}

func TestDrain(t *testing.T) {
	run(t, config(2), func(r *rig) {
		r.pass(2 * time.Second)
		for _, name := range []string{"10.0.0.1:80", "10.0.0.1"} {
			if err := r.Drain("web", name, true); err != nil {
				t.Fatal(err)
			}
			r.want("drained", "web: 10.0.0.1:80*0 10.0.0.2:80*1")
			if r.Healthy("web") != 1 || !r.Status().Services[0].Servers[0].Drained {
				t.Errorf("status %+v", r.Status().Services[0])
			}
			if err := r.Apply(config(2)); err != nil {
				t.Fatal(err)
			}
			r.want("after a reload", "web: 10.0.0.1:80*0 10.0.0.2:80*1")
			if err := r.Drain("web", name, false); err != nil {
				t.Fatal(err)
			}
			r.want("back", "web: 10.0.0.1:80*1 10.0.0.2:80*1")
		}
		if err := r.Drain("web", "10.0.0.9:80", true); err == nil || !strings.Contains(err.Error(), "10.0.0.9:80") {
			t.Errorf("unknown server: %v", err)
		}
		if err := r.Drain("wob", "10.0.0.1:80", true); err == nil || !strings.Contains(err.Error(), "wob") {
			t.Errorf("unknown service: %v", err)
		}
	})
}

func TestNoCheckMeansUp(t *testing.T) {
	cfg := config(2)
	cfg.Services[0].Check = nil
	cfg.Services[0].Servers[1].Weight = new(0)
	run(t, cfg, func(r *rig) {
		r.pass(0)
		r.want("at once", "web: 10.0.0.1:80*1 10.0.0.2:80*0")
		if !r.up || r.Healthy("web") != 1 {
			t.Errorf("ready %t healthy %d", r.up, r.Healthy("web"))
		}
		cfg := config(2) // the servers get a check: they stay until it fails
		r.net.set(true, server(2))
		if err := r.Apply(cfg); err != nil {
			t.Fatal(err)
		}
		r.want("with a check", "web: 10.0.0.1:80*1 10.0.0.2:80*1")
		r.pass(4 * time.Second)
		r.want("checked", "web: 10.0.0.1:80*1")
	})
}

func TestSlowStartIsForThoseThatReturn(t *testing.T) {
	cfg := config(2)
	cfg.Services[0].SlowStart = 10 * time.Second
	run(t, cfg, func(r *rig) {
		r.pass(2 * time.Second)
		r.want("at the start", "web: 10.0.0.1:80*10 10.0.0.2:80*10")
		r.net.set(true, server(1))
		r.pass(5 * time.Second)
		r.net.set(false, server(1))
		var seen []int
		for range 200 {
			r.pass(100 * time.Millisecond)
			if st := r.Status().Services[0].Servers[0]; st.InTable && !slices.Contains(seen, st.Current) {
				seen = append(seen, st.Current)
			}
		}
		if want := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(seen, want) {
			t.Errorf("weights %v, want %v", seen, want)
		}
	})
}

func TestFailedConnectionsHastenTheVerdict(t *testing.T) {
	cfg := config(1)
	cfg.Services[0].Check.Interval = 30 * time.Second
	run(t, cfg, func(r *rig) {
		r.pass(70 * time.Second)
		r.want("up", "web: 10.0.0.1:80*1")
		for range 1000 {
			r.ConnectFailed(addr(server(1)))
			r.ConnectFailed(addr("10.9.9.9:80"))
		}
		r.pass(4 * time.Second)
		r.want("the probes are well", "web: 10.0.0.1:80*1")
		r.net.set(true, server(1))
		for range 50 {
			r.ConnectFailed(addr(server(1)))
			r.pass(100 * time.Millisecond)
		}
		r.want("five seconds, not three intervals, later", "web:")
	})
}

// A hundred servers that die together are a few tables, not a hundred.
func TestChangesAreCoalesced(t *testing.T) {
	cfg := config(100)
	cfg.Services[0].Check.Timing = health.Timing{Interval: 100 * time.Millisecond}
	run(t, cfg, func(r *rig) {
		r.pass(2 * time.Second)
		var all []string
		for i := range 100 {
			all = append(all, server(i+1))
		}
		r.net.set(true, all...)
		before := r.path.calls
		r.pass(time.Second)
		r.want("all dead", "web:")
		if n := r.path.calls - before; n > 25 {
			t.Errorf("%d tables", n)
		}
	})
}

func TestChangesNobodyReadsAreDroppedAndCounted(t *testing.T) {
	cfg := config(200)
	run(t, cfg, func(r *rig) {
		r.pass(2 * time.Second)
		for i := range 200 {
			r.net.set(true, server(i+1))
		}
		r.pass(5 * time.Second)
		// 200 up, 200 down, one empty: the channel holds 256.
		if d := r.Status().Dropped; d != 401-256 {
			t.Errorf("dropped %d", d)
		}
		told := r.told()
		if len(told) != 256 || !slices.Contains(told, "service empty web") {
			t.Errorf("%d told, the last among them: %t", len(told), slices.Contains(told, "service empty web"))
		}
	})
}

func TestTracker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{sick: map[netip.AddrPort]bool{}, asked: map[netip.AddrPort]int{}}
		tracked := func(a string) Tracked {
			tr := Tracked{Name: a}
			tr.Check.Kind, tr.Check.Address = "mysql", probe.Address{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(a), 0)}
			return tr
		}
		tr, err := NewTracker("lb1", []Tracked{tracked("10.0.0.1"), tracked("10.0.0.2")}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		tr.do = n.probe
		n.set(true, "10.0.0.2:3306")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		ready := false
		go func() { done <- tr.Run(ctx, func() { ready = true }) }()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		pass(1100 * time.Millisecond)
		if want := []Verdict{{"10.0.0.1", true, ""}}; !slices.Equal(tr.Verdicts(), want) || !ready {
			t.Errorf("after a second %+v, ready %t", tr.Verdicts(), ready)
		}
		pass(5 * time.Second)
		want := []Verdict{{"10.0.0.1", true, ""}, {"10.0.0.2", false, "refused"}}
		if !slices.Equal(tr.Verdicts(), want) {
			t.Errorf("later %+v", tr.Verdicts())
		}
		select {
		case <-tr.Changed():
		default:
			t.Error("no word of the change")
		}
		if err := tr.Apply([]Tracked{tracked("10.0.0.2")}); err != nil {
			t.Fatal(err)
		}
		pass(0)
		if !slices.Equal(tr.Verdicts(), want[1:]) {
			t.Errorf("after a reload %+v", tr.Verdicts())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := tr.Apply(nil); err == nil {
			t.Error("Apply after the end")
		}
	})
	if _, err := NewTracker("n", []Tracked{{Name: "x", Check: Check{Config: probe.Config{Kind: "tcp"}}}}, nil); err == nil || !strings.Contains(err.Error(), "address: required") {
		t.Errorf("tracked without address: %v", err)
	}
}

func TestCheckNamesEveryMistake(t *testing.T) {
	good := config(2)
	if err := good.Check(); err != nil {
		t.Fatalf("good configuration: %v", err)
	}
	for _, tc := range []struct {
		name string
		edit func(c *Config, s *Service)
		want string
	}{
		{"no name", func(c *Config, s *Service) { s.Name = "" }, `service[0].name: `},
		{"same name", func(c *Config, s *Service) { c.Services = append(c.Services, *s) }, `service[1].name: "web" is the name of service[0] too`},
		{"no listen", func(c *Config, s *Service) { s.Listen = nil }, `service[0].listen: required`},
		{"no port", func(c *Config, s *Service) { s.Listen[0] = addr("10.0.0.1:0") }, `service[0].listen[0]: `},
		{"same listen", func(c *Config, s *Service) {
			o := *s
			o.Name = "two"
			c.Services = append(c.Services, o)
		}, `service[1].listen[0]: tcp 10.0.0.100:80 is taken by service "web"`},
		{"listen twice", func(c *Config, s *Service) { s.Listen = append(s.Listen, s.Listen[0]) }, `service[0].listen[1]: `},
		{"protocol", func(c *Config, s *Service) { s.Protocol = "sctp" }, `service[0].protocol: "sctp"`},
		{"scheduler", func(c *Config, s *Service) { s.Scheduler = "wlx" }, `service[0].scheduler: "wlx" is not a scheduler (rr, wrr,`},
		{"ipvs", func(c *Config, s *Service) { s.Forward = "ipvs" }, `service[0].forward: "ipvs" is not in this build yet`},
		{"forward", func(c *Config, s *Service) { s.Forward = "xxx" }, `service[0].forward: "xxx"`},
		{"method", func(c *Config, s *Service) { s.Method = "dr" }, `service[0].method: `},
		{"discover", func(c *Config, s *Service) { s.Discover = &Discover{} }, `service[0].discover: is not in this build yet`},
		{"no server", func(c *Config, s *Service) { s.Servers = nil }, `service[0].server: at least one`},
		{"server without port", func(c *Config, s *Service) { s.Servers[1].Address = addr("10.0.0.1:0") }, `service[0].server[1].address: `},
		{"same server", func(c *Config, s *Service) { s.Servers[1] = s.Servers[0] }, `service[0].server[1].address: 10.0.0.1:80 is server[0] too`},
		{"weight", func(c *Config, s *Service) { s.Servers[1].Weight = new(65536) }, `service[0].server[1].weight: 65536`},
		{"udp proxy", func(c *Config, s *Service) { s.Protocol, s.SendProxy = "udp", true }, `service[0].send_proxy: `},
		{"negative time", func(c *Config, s *Service) { s.IdleTimeout = -1 }, `service[0].idle_timeout: `},
		{"mask", func(c *Config, s *Service) { s.PersistentMask = 129 }, `service[0].persistent_mask: `},
		{"protect", func(c *Config, s *Service) { s.Protect = 1.5 }, `service[0].protect: `},
		{"quorum", func(c *Config, s *Service) { s.Quorum = -1 }, `service[0].quorum: `},
		{"hysteresis", func(c *Config, s *Service) { s.Hysteresis = 1 }, `service[0].hysteresis: `},
		{"kind", func(c *Config, s *Service) { s.Check.Kind = "htp" }, `service[0].check.kind: `},
		{"interval", func(c *Config, s *Service) { s.Check.Interval = 1 }, `service[0].check.interval: `},
		{"alien key", func(c *Config, s *Service) { s.Check.Path = "/x" }, `service[0].check.path: has no meaning for kind "tcp"`},
	} {
		c := config(2)
		tc.edit(&c, &c.Services[0])
		err := c.Check()
		if err == nil {
			t.Errorf("%s: no error", tc.name)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, tc.want) }) {
			t.Errorf("%s: got %q, want a line %q…", tc.name, lines, tc.want)
		}
		if tc.name != "no name" && !strings.Contains(err.Error(), `service "`) {
			t.Errorf("%s: the service is not named in %q", tc.name, lines)
		}
	}
	var bad Config
	bad.Services = []Service{{Name: "a b", Scheduler: "x"}, {Protocol: "z"}}
	if n := len(strings.Split(bad.Check().Error(), "\n")); n != 8 {
		t.Errorf("%d mistakes, want 8: %v", n, bad.Check())
	}
}

func TestEarliest(t *testing.T) {
	now := time.Now()
	if got := earliest(time.Time{}, now.Add(1), now, time.Time{}); !got.Equal(now) {
		t.Error(got)
	}
	if got := earliest(time.Time{}); !got.IsZero() {
		t.Error(got)
	}
}
