package demo

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// root skips on a laptop and fails where everything must run.
func root(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

func newLAN(t *testing.T) (lan *LAN, a, b *Host) {
	t.Helper()
	root(t)
	lan, err := NewLAN()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lan.Close)
	if a, err = lan.Host("a", netip.MustParsePrefix("10.1.0.1/24"), netip.MustParsePrefix("fd01::1/64")); err != nil {
		t.Fatal(err)
	}
	if b, err = lan.Host("b", netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("fd01::2/64")); err != nil {
		t.Fatal(err)
	}
	return lan, a, b
}

func TestPingSeesACableBeingPulled(t *testing.T) {
	lan, a, b := newLAN(t)
	for _, dst := range []string{"10.1.0.2", "fd01::2"} {
		p, err := StartPing(a, netip.MustParseAddr(dst), time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		within(t, func() bool { return p.Answered(5) })
		from := time.Now()
		if err := lan.Unplug(b); err != nil {
			t.Fatal(err)
		}
		within(t, func() bool { return !p.Answered(50) })
		if err := lan.Plug(b); err != nil {
			t.Fatal(err)
		}
		within(t, func() bool { return p.Answered(5) })
		p.Stop()
		if o := p.Outage(from, time.Now()); o.Longest < 40*time.Millisecond || o.Lost < 10 {
			t.Errorf("%s: outage %v, want at least 40 ms", dst, o)
		}
	}
}

func TestWatchFollowsAddresses(t *testing.T) {
	_, a, b := newLAN(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	w, err := NewWatch(ctx, a, b)
	if err != nil {
		t.Fatal(err)
	}
	vip := netip.MustParseAddr("10.1.0.100")
	if err := w.Wait(ctx, netip.MustParseAddr("10.1.0.2"), "b"); err != nil {
		t.Fatal("an address that was there before: ", err)
	}
	for _, step := range []struct {
		host *Host
		verb string
		want []string
	}{{b, "add", []string{"b"}}, {a, "add", []string{"a", "b"}}, {b, "del", []string{"a"}}, {a, "del", nil}} {
		if _, err := step.host.Run("ip", "addr", step.verb, "10.1.0.100/24", "dev", "eth0"); err != nil {
			t.Fatal(err)
		}
		if err := w.Wait(ctx, vip, step.want...); err != nil {
			t.Fatal(err)
		}
	}
	log, errs := w.Log(time.Time{})
	if len(errs) > 0 {
		t.Error(errs)
	}
	var lines []string
	for _, h := range log {
		if h.Address == vip {
			lines = append(lines, h.Host)
		}
	}
	if got := strings.Join(lines, " "); got != "b a b a" {
		t.Errorf("changes of the address by host: %s, want b a b a", got)
	}
}

func TestClosingALANEndsItsProcesses(t *testing.T) {
	root(t)
	lan, err := NewLAN()
	if err != nil {
		t.Fatal(err)
	}
	h, err := lan.Host("a")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	lan.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a process outlived its LAN")
	}
}

// within polls a condition that nothing announces.
func within(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("the condition did not come true within 10 s")
		}
	}
}
