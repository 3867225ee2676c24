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
	"sync/atomic"
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

// count is how many tables there were.
func (d *datapath) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// table is "web: 10.0.0.1:80*1 10.0.0.2:80*1; …".
func (d *datapath) table() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var services []string
	for _, v := range d.now.Services {
		var line strings.Builder
		line.WriteString(v.Name + ":")
		for _, r := range v.Servers {
			line.WriteString(fmt.Sprintf(" %v*%d", r.Address, r.Weight))
		}
		services = append(services, line.String())
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
	up   atomic.Bool // ready was called
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
	go func() { ended <- b.Run(ctx, func() { r.up.Store(true) }) }()
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
		if r.up.Load() {
			t.Error("ready before any answer")
		}
		r.pass(1100 * time.Millisecond)
		r.want("after a second", "web: 10.0.0.1:80*1 10.0.0.2:80*1 10.0.0.3:80*1")
		if !r.up.Load() || r.Healthy("web") != 3 || r.Healthy("other") != 0 {
			t.Errorf("ready %t, healthy %d", r.up.Load(), r.Healthy("web"))
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
		if !r.up.Load() {
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

// Who hears of a change and looks at the status must see it: a virtual address hangs on it.
func TestStatusIsThereBeforeTheChange(t *testing.T) {
	run(t, config(1), func(r *rig) {
		r.pass(2 * time.Second)
		r.told()
		r.net.set(true, server(1))
		if c := <-r.Changes(); c.Kind != ServerDown || r.Healthy("web") != 0 {
			t.Errorf("%s is told, the status says %d healthy", c.Kind, r.Healthy("web"))
		}
		if c := <-r.Changes(); c.Kind != ServiceEmpty || r.Status().Services[0].Condition != "empty" {
			t.Errorf("%s is told, the status says %s", c.Kind, r.Status().Services[0].Condition)
		}
		r.net.set(false, server(1))
		if c := <-r.Changes(); c.Kind != ServerUp || r.Healthy("web") != 1 {
			t.Errorf("%s is told, the status says %d healthy", c.Kind, r.Healthy("web"))
		}
	})
}
