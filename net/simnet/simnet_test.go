package simnet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 7946)
}

// A clock is a host that notes what happens to it, and wakes every period.
type clock struct {
	net    *Net
	period time.Duration
	next   time.Time
	notes  []string
	heard  int
}

func start(n *Net, i int, period time.Duration) *clock {
	c := &clock{net: n, period: period}
	if period > 0 {
		c.next = n.Now().Add(period)
	}
	n.Start(addr(i), c)
	return c
}

func (c *clock) note(what string, now time.Time) {
	c.notes = append(c.notes, fmt.Sprintf("%s@%d", what, now.Sub(epoch).Microseconds()))
}

var epoch = New(0, Conditions{}).Now()

func (c *clock) Receive(now time.Time, from netip.AddrPort, packet []byte) {
	c.heard++
	c.note(string(packet), now)
}

func (c *clock) Wake(now time.Time) {
	c.note("wake", now)
	c.next = now.Add(c.period)
}

func (c *clock) Deadline() time.Time { return c.next }

func (c *clock) want(t *testing.T, notes ...string) {
	t.Helper()
	if !slices.Equal(c.notes, notes) {
		t.Errorf("noted %q, want %q", c.notes, notes)
	}
	c.notes = nil
}

func TestDatagramTakesTheDelayAndIsACopy(t *testing.T) {
	n := New(1, Conditions{Delay: 3 * ms})
	a, b := start(n, 1, 0), start(n, 2, 0)
	packet := []byte("one")
	n.Send(addr(1), addr(2), packet)
	copy(packet, "two")
	n.Run(3*ms - 1)
	b.want(t)
	n.Run(1)
	b.want(t, "one@3000")
	a.want(t)
	if n.Sent != 1 || n.SentBy(addr(1)) != 1 || n.SentBy(addr(2)) != 0 {
		t.Errorf("sent %d, by a %d, by b %d", n.Sent, n.SentBy(addr(1)), n.SentBy(addr(2)))
	}
}

func TestHostWakesAtItsDeadlines(t *testing.T) {
	n := New(1, Conditions{})
	a := start(n, 1, 10*ms)
	n.Run(35 * ms)
	a.want(t, "wake@10000", "wake@20000", "wake@30000")
	a.next = n.Now().Add(time.Millisecond)
	n.Poke(addr(1))
	n.Run(ms)
	a.want(t, "wake@36000")
}

func TestHostWakesLateButNotTooLate(t *testing.T) {
	n := New(1, Conditions{Late: 5 * ms})
	a := start(n, 1, 10*ms)
	var latest time.Duration
	for range 200 {
		due := a.next
		a.notes = nil
		for len(a.notes) == 0 {
			n.Run(100 * time.Microsecond)
		}
		late := n.Now().Sub(due)
		latest = max(latest, late)
		if late < 0 || late > 5*ms+100*time.Microsecond {
			t.Fatalf("%v late", late)
		}
	}
	if latest < 3*ms {
		t.Errorf("at most %v late of 5ms in 200 times", latest)
	}
}

func TestShareOfLostAndDoubledDatagrams(t *testing.T) {
	n := New(7, Conditions{Loss: 0.3, Duplicate: 0.2})
	start(n, 1, 0)
	b := start(n, 2, 0)
	const sent = 20000
	for range sent {
		n.Send(addr(1), addr(2), []byte("x"))
	}
	n.Run(ms)
	if share := float64(b.heard) / sent; share < 0.7*1.2-0.02 || share > 0.7*1.2+0.02 {
		t.Errorf("%.3f of what was sent arrived, want 0.84", share)
	}
}

func TestJitterReorders(t *testing.T) {
	n := New(1, Conditions{Jitter: 10 * ms})
	start(n, 1, 0)
	b := start(n, 2, 0)
	for i := range 100 {
		n.Send(addr(1), addr(2), []byte{byte('0' + i/10), byte('0' + i%10)})
	}
	n.Run(10 * ms)
	if len(b.notes) != 100 {
		t.Fatalf("%d arrived", len(b.notes))
	}
	if slices.IsSorted(b.notes) {
		t.Error("in the order sent")
	}
}

func TestWithoutJitterOrderIsKept(t *testing.T) {
	n := New(1, Conditions{Delay: ms})
	start(n, 1, 0)
	b := start(n, 2, 0)
	for i := range 100 {
		n.Send(addr(1), addr(2), fmt.Appendf(nil, "%02d", i))
	}
	n.Run(ms)
	if len(b.notes) != 100 || !slices.IsSorted(b.notes) {
		t.Errorf("arrived as %q", b.notes)
	}
}

func TestCutIsOneWayAndHeals(t *testing.T) {
	n := New(1, Conditions{})
	a, b := start(n, 1, 0), start(n, 2, 0)
	both := func() {
		n.Send(addr(1), addr(2), []byte("ab"))
		n.Send(addr(2), addr(1), []byte("ba"))
		n.Run(ms)
	}
	n.Cut(addr(1), addr(2))
	both()
	a.want(t, "ba@0")
	b.want(t)
	n.Heal()
	both()
	a.want(t, "ba@1000")
	b.want(t, "ab@1000")
	n.Split([]netip.AddrPort{addr(1)}, []netip.AddrPort{addr(2)})
	both()
	a.want(t)
	b.want(t)
}

// As with SIGSTOP: nothing is done, what arrives waits, and is received before the
// overdue wake-up.
func TestPausedHostReceivesThenWakes(t *testing.T) {
	n := New(1, Conditions{})
	a := start(n, 1, 10*ms)
	n.Run(5 * ms)
	n.Pause(addr(1))
	n.Run(ms)
	n.Send(addr(2), addr(1), []byte("x"))
	n.Run(94 * ms)
	a.want(t)
	n.Resume(addr(1))
	n.Run(0)
	a.want(t, "x@100000", "wake@100000")
	n.Run(10 * ms)
	a.want(t, "wake@110000")
}

func TestPausedHostsSocketHasALimit(t *testing.T) {
	n := New(1, Conditions{})
	a := start(n, 1, 0)
	n.Pause(addr(1))
	for i := range socketLimit + 50 {
		n.Send(addr(2), addr(1), fmt.Appendf(nil, "%03d", i))
	}
	n.Run(ms)
	n.Resume(addr(1))
	if len(a.notes) != socketLimit || a.notes[0] != "000@1000" {
		t.Errorf("%d received, the first %q; want the oldest %d", len(a.notes), a.notes[:1], socketLimit)
	}
}

func TestKilledHostIsGoneAndItsSuccessorAnother(t *testing.T) {
	n := New(1, Conditions{Delay: ms})
	a := start(n, 1, 10*ms)
	n.Send(addr(2), addr(1), []byte("to the first"))
	n.Kill(addr(1))
	n.Run(20 * ms)
	a.want(t)
	a.next = n.Now().Add(10 * ms)
	n.Start(addr(1), a)
	n.Run(5 * ms)
	second := start(n, 1, 100*ms) // the wake-up of the first must not reach it
	n.Run(50 * ms)
	second.want(t)
	n.Run(50 * ms)
	second.want(t, "wake@125000")
	a.want(t)
}

func TestAfterInjectAndTap(t *testing.T) {
	n := New(1, Conditions{Delay: ms})
	a := start(n, 1, 0)
	var seen []string
	n.Tap(func(from, to netip.AddrPort, packet []byte) { seen = append(seen, string(packet)) })
	n.After(2*ms, func() { n.Inject(addr(9), addr(1), []byte("forged")) })
	n.Cut(addr(3), addr(1))
	n.Send(addr(3), addr(1), []byte("cut"))
	n.Run(5 * ms)
	a.want(t, "forged@2000")
	if !slices.Equal(seen, []string{"cut"}) {
		t.Errorf("tapped %q", seen)
	}
}

func TestRunUntilStopsWhenDone(t *testing.T) {
	n := New(1, Conditions{})
	done := false
	n.After(7*ms, func() { done = true })
	if took, ok := n.RunUntil(time.Second, ms, func() bool { return done }); !ok || took != 7*ms {
		t.Errorf("took %v, %v", took, ok)
	}
	if took, ok := n.RunUntil(10*ms, ms, func() bool { return false }); ok || took != 10*ms {
		t.Errorf("took %v, %v", took, ok)
	}
}

// The point of it all: the same seed, the same history.
func TestSeedDecidesEverything(t *testing.T) {
	history := func(seed uint64) []string {
		n := New(seed, Conditions{Loss: 0.2, Duplicate: 0.2, Delay: ms, Jitter: 5 * ms, Late: 3 * ms})
		a, b := start(n, 1, 10*ms), start(n, 2, 7*ms)
		for i := range 50 {
			n.Send(addr(1), addr(2), fmt.Appendf(nil, "%d", i))
			n.Send(addr(2), addr(1), fmt.Appendf(nil, "%d", i))
			n.Run(2 * ms)
		}
		return append(a.notes, b.notes...)
	}
	if !slices.Equal(history(5), history(5)) {
		t.Error("one seed, two histories")
	}
	if slices.Equal(history(5), history(6)) {
		t.Error("two seeds, one history")
	}
}
