package probe

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A load counts who is being asked, and the most there ever were.
type load struct {
	mu          sync.Mutex
	now, most   int
	at          map[netip.Addr]int
	mostAt      int
	process     int
	mostProcess int
	took        time.Duration
}

func (l *load) probe(ctx context.Context, c Config, target netip.AddrPort) error {
	l.add(c, target, 1)
	defer l.add(c, target, -1)
	select {
	case <-time.After(l.took):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *load) add(c Config, target netip.AddrPort, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now += n
	l.at[target.Addr()] += n
	l.most, l.mostAt = max(l.most, l.now), max(l.mostAt, l.at[target.Addr()])
	if c.Kind == "script" {
		l.process += n
		l.mostProcess = max(l.mostProcess, l.process)
	}
}

// pooled runs f beside a Pool in a bubble.
func pooled(t *testing.T, do Func, f func(t *testing.T, p *Pool)) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(do)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		f(t, p)
	})
}

func host(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 80)
}

func TestPoolBounds(t *testing.T) {
	for _, tc := range []struct {
		name                     string
		kind                     string
		hosts, most, at, seconds int
	}{
		{"many hosts", "tcp", 3000, maxRunning, 1, 3},
		{"one host", "tcp", 1, maxPerAddress, maxPerAddress, 3000 / maxPerAddress},
		{"scripts", "script", 3000, maxProcesses, 1, 3000/maxProcesses + 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &load{at: map[netip.Addr]int{}, took: time.Second}
			pooled(t, l.probe, func(t *testing.T, p *Pool) {
				begin := time.Now()
				for i := range 3000 { // nobody reads results meanwhile, and Ask does not wait
					p.Ask(t.Context(), Request{Seq: uint64(i), Config: Config{Kind: tc.kind}, Target: host(i % tc.hosts), Timeout: time.Minute})
				}
				if d := time.Since(begin); d > 0 {
					t.Errorf("asking took %v", d)
				}
				seen := map[uint64]bool{}
				for range 3000 {
					r := <-p.Results()
					if r.Err != nil || r.Took != time.Second || seen[r.Seq] {
						t.Fatalf("result %+v, seen %t", r, seen[r.Seq])
					}
					seen[r.Seq] = true
				}
				if got := int(time.Since(begin) / time.Second); got != tc.seconds || l.most != tc.most || l.mostAt != tc.at {
					t.Errorf("%d s, at most %d at once and %d at one host; want %d, %d, %d", got, l.most, l.mostAt, tc.seconds, tc.most, tc.at)
				}
			})
		})
	}
}

// Scripts and a host that is slow do not hold up the others.
func TestPoolDoesNotHoldUpOthers(t *testing.T) {
	l := &load{at: map[netip.Addr]int{}, took: time.Second}
	pooled(t, l.probe, func(t *testing.T, p *Pool) {
		begin := time.Now()
		for i := range 500 {
			p.Ask(t.Context(), Request{ID: "script", Config: Config{Kind: "script"}, Target: host(i + 2), Timeout: time.Minute})
			p.Ask(t.Context(), Request{ID: "slow host", Config: Config{Kind: "tcp"}, Target: host(1), Timeout: time.Minute})
		}
		p.Ask(t.Context(), Request{ID: "mine", Config: Config{Kind: "tcp"}, Target: host(5000), Timeout: time.Minute})
		for r := range p.Results() {
			if r.ID == "mine" {
				break
			}
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("took %v, want the second that the probe itself needs", d)
		}
	})
}

func TestPoolTimeoutCountsFromTheStart(t *testing.T) {
	l := &load{at: map[netip.Addr]int{}, took: 400 * time.Millisecond}
	pooled(t, l.probe, func(t *testing.T, p *Pool) {
		for range 5 * maxPerAddress { // the last wait four turns, longer than their timeout
			p.Ask(t.Context(), Request{Config: Config{Kind: "tcp"}, Target: host(1), Timeout: 500 * time.Millisecond})
		}
		for range 5 * maxPerAddress {
			if r := <-p.Results(); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		p.Ask(t.Context(), Request{Config: Config{Kind: "tcp"}, Target: host(1), Timeout: 300 * time.Millisecond})
		if r := <-p.Results(); !errors.Is(r.Err, context.DeadlineExceeded) || r.Took != 300*time.Millisecond {
			t.Fatalf("%+v", r)
		}
	})
}

// A probe that does not end is answered for, and only its own place is lost.
func TestPoolSurvivesStuckProbes(t *testing.T) {
	var release chan struct{} // of the bubble
	stuck := func(_ context.Context, c Config, _ netip.AddrPort) error {
		if c.Path == "stuck" {
			<-release
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{})
		p := NewPool(stuck)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		for range maxPerAddress {
			p.Ask(ctx, Request{ID: "stuck", Config: Config{Path: "stuck"}, Target: host(1), Timeout: time.Second})
		}
		p.Ask(ctx, Request{ID: "behind", Target: host(1), Timeout: time.Second})
		p.Ask(ctx, Request{ID: "elsewhere", Target: host(2), Timeout: time.Second})
		var got []string
		for range maxPerAddress + 1 {
			r := <-p.Results()
			if (r.Err == errStuck) != (r.ID == "stuck") {
				t.Errorf("%+v", r)
			}
			got = append(got, r.ID)
		}
		if want := []string{"elsewhere", "stuck", "stuck", "stuck", "stuck"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		close(release)
		if r := <-p.Results(); r.ID != "behind" || r.Err != nil {
			t.Errorf("%+v", r)
		}
		cancel()
		wg.Wait()
	})
}

func TestPoolEndsWithItsContext(t *testing.T) {
	l := &load{at: map[netip.Addr]int{}, took: time.Hour}
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(l.probe)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		for i := range 100 {
			p.Ask(ctx, Request{Target: host(i), Timeout: time.Hour})
		}
		synctest.Wait()
		cancel()
		begin := time.Now()
		wg.Wait()
		p.Ask(ctx, Request{}) // returns
		if d := time.Since(begin); d != 0 || l.most != 100 || l.now != 0 {
			t.Errorf("ended after %v, %d were under way, %d are left", d, l.most, l.now)
		}
	})
}

func TestPoolRefusesWhenTooManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(func(ctx context.Context, _ Config, _ netip.AddrPort) error { <-ctx.Done(); return nil })
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		for range maxWaiting + maxPerAddress {
			p.Ask(ctx, Request{Target: host(1), Timeout: time.Hour})
		}
		p.Ask(ctx, Request{ID: "one more", Target: host(2), Timeout: time.Hour})
		if r := <-p.Results(); r.ID != "one more" || r.Err != errBusy {
			t.Errorf("%+v", r)
		}
		cancel()
		wg.Wait()
	})
}
