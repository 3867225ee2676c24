package lb

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/lb/health"
	"example.org/ha/lb/pool"
)

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
		if !r.up.Load() || r.Healthy("web") != 1 {
			t.Errorf("ready %t healthy %d", r.up.Load(), r.Healthy("web"))
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
		before := r.path.count()
		r.pass(time.Second)
		r.want("all dead", "web:")
		if n := r.path.count() - before; n > 25 {
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

func TestEarliest(t *testing.T) {
	now := time.Now()
	if got := earliest(time.Time{}, now.Add(1), now, time.Time{}); !got.Equal(now) {
		t.Error(got)
	}
	if got := earliest(time.Time{}); !got.IsZero() {
		t.Error(got)
	}
}
