package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A diary notes what roles do, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// role runs until it is stopped, takes a while to stop, and can fail by itself.
func (d *diary) role(name string, stop time.Duration, fails <-chan error) Role {
	return part{name, func(ctx context.Context, ready func()) error {
		ready()
		select {
		case err := <-fails:
			d.note("%s fails", name)
			return err
		case <-ctx.Done():
		}
		if context.Cause(ctx) == ErrKilled {
			d.note("%s killed", name)
			return nil
		}
		<-time.After(stop)
		d.note("%s stopped", name)
		return nil
	}}
}

func TestRolesStopInOrderEachAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithCancel(t.Context())
		var ready []string
		time.AfterFunc(time.Second, cancel)
		err := runAll(ctx, []Role{d.role("vip", 3*time.Second, nil), d.role("lb", time.Second, nil), d.role("admin", 0, nil)},
			slog.New(slog.DiscardHandler), func(r Role) { d.mu.Lock(); ready = append(ready, r.String()); d.mu.Unlock() })
		if err != nil {
			t.Errorf("an orderly stop: %v", err)
		}
		if got, want := strings.Join(d.lines, ", "), "vip stopped, lb stopped, admin stopped"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if slices.Sort(ready); !slices.Equal(ready, []string{"admin", "lb", "vip"}) {
			t.Errorf("ready: %v", ready)
		}
	})
}

func TestARoleThatEndsEarlyFailsTheProcess(t *testing.T) {
	for _, cause := range []error{errors.New("bind: in use"), nil} {
		synctest.Test(t, func(t *testing.T) {
			var d diary
			fails := make(chan error, 1)
			fails <- cause
			err := runAll(t.Context(), []Role{d.role("vip", time.Second, nil), d.role("lb", 0, fails), d.role("admin", 0, nil)},
				slog.New(slog.DiscardHandler), func(Role) {})
			if err == nil || !strings.Contains(err.Error(), "lb ended early") || cause != nil && !errors.Is(err, cause) {
				t.Errorf("got %v, want that lb ended early because of %v", err, cause)
			}
			if got, want := strings.Join(d.lines, ", "), "lb fails, vip stopped, admin stopped"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestARoleThatDoesNotStopIsNotWaitedForForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		err := runAll(ctx, []Role{d.role("vip", time.Hour, nil), d.role("lb", 0, nil)}, slog.New(slog.DiscardHandler), func(Role) {})
		if err == nil || !strings.Contains(err.Error(), "stop vip: still running") || time.Since(begin) != maxStop {
			t.Errorf("got %v after %v, want vip named after %v", err, time.Since(begin), maxStop)
		}
		time.Sleep(time.Hour) // the role ends at last: a bubble must be empty
	})
}

func TestAKillIsNoStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(ErrKilled)
		err := runAll(ctx, []Role{d.role("vip", time.Hour, nil), d.role("lb", time.Hour, nil)}, slog.New(slog.DiscardHandler), func(Role) {})
		if err != ErrKilled || len(d.lines) != 2 || !strings.HasSuffix(d.lines[0], "killed") || !strings.HasSuffix(d.lines[1], "killed") {
			t.Errorf("got %v, %v; want ErrKilled and both killed", err, d.lines)
		}
	})
}

func TestStepsAreTakenBack(t *testing.T) {
	var d diary
	entry := func(name string, err error) step {
		return step{func() error { d.note("do %s", name); return err }, func() error { d.note("undo %s", name); return nil }}
	}
	bad := errors.New("no")
	if err := inOrder([]step{entry("a", nil), entry("b", nil), entry("c", bad), entry("d", nil)}); !errors.Is(err, bad) {
		t.Errorf("got %v, want the error of c", err)
	}
	if got, want := strings.Join(d.lines, ", "), "do a, do b, do c, undo b, undo a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFrozenNamesEverythingAtOnce(t *testing.T) {
	var a, b Config
	a.Node, b.Node = "lb1", "lb2"
	a.Roles, b.Roles = []string{"lb", "vip"}, []string{"vip", "lb"}
	b.Cluster.Name = "x"
	b.LogFormat = "json"
	err := frozen(a, b)
	if err == nil {
		t.Fatal("nothing was refused")
	}
	for _, want := range []string{"node: cannot change from lb1 to lb2", "cluster.name", "log_format"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "roles") {
		t.Errorf("the order of roles is no change: %v", err)
	}
}
