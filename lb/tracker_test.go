package lb

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/ha/lb/probe"
)

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

// Names of tracked checks are numbered, so an edit of the list gives a check another's name.
func TestTrackerKnowsACheckUnderAnotherName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{sick: map[netip.AddrPort]bool{}, asked: map[netip.AddrPort]int{}}
		tracked := func(name, a string) Tracked {
			tr := Tracked{Name: name}
			tr.Check.Kind, tr.Check.Address = "mysql", probe.Address{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(a), 0)}
			return tr
		}
		tr, err := NewTracker("lb1", []Tracked{tracked("v[0]", "10.0.0.1"), tracked("v[1]", "10.0.0.2")}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		tr.do = n.probe
		n.set(true, "10.0.0.1:3306")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- tr.Run(ctx, func() {}) }()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		pass(5 * time.Second)
		if err := tr.Apply([]Tracked{tracked("v[0]", "10.0.0.2")}); err != nil {
			t.Fatal(err)
		}
		pass(0)
		if want := []Verdict{{"v[0]", true, ""}}; !slices.Equal(tr.Verdicts(), want) {
			t.Errorf("the one that is left is well, and is said to be %+v", tr.Verdicts())
		}
		if err := tr.Apply([]Tracked{tracked("v[0]", "10.0.0.1"), tracked("v[1]", "10.0.0.2")}); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		if want := []Verdict{{"v[0]", false, "refused"}, {"v[1]", true, ""}}; !slices.Equal(tr.Verdicts(), want) {
			t.Errorf("after it came back %+v", tr.Verdicts())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
