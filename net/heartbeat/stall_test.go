package heartbeat

import (
	"fmt"
	"testing"
	"time"

	"example.org/ha/net/gossip"
)

// stallInterval is the interval of the hosts of a handmade cluster.
const stallInterval = 50 * time.Millisecond

// A handmade host is a node with a seat at Adverts that the test wakes itself, at
// times it makes up; only the sockets are real.
type handmade struct {
	*Node
	rider *Rider
	heard []string // what another host said, each change and each repetition
}

func newHandmade(t *testing.T, name string) *handmade {
	t.Helper()
	cfg := Config{Name: "test", KeyFile: "unused", Bind: freeAddr(t, loopback(0)), Interval: stallInterval, Lost: 3}
	n, err := NewNode(cfg, name, []gossip.Key{keyA}, newTestLoop(t), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return &handmade{Node: n, rider: n.Join(gossip.Adverts)}
}

// wake is one round of a loop: the node, then its rider's reader.
func (h *handmade) wake(now time.Time) {
	h.Wake(now)
	in := h.rider.Take()
	if !in.Heard {
		return
	}
	for _, other := range in.Hosts {
		h.heard = append(h.heard, string(other.Said))
	}
}

func (h *handmade) joinTo(other *handmade) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.join = append(h.join, other.sock.local)
	h.posted.Store(true)
}

// run wakes the hosts at every deadline in a period, and returns its end.
func run(from time.Time, d time.Duration, hosts ...*handmade) time.Time {
	const step = time.Millisecond
	for now := from; now.Before(from.Add(d)); now = now.Add(step) {
		for _, h := range hosts {
			h.wake(now)
		}
	}
	return from.Add(d)
}

// A host says that it holds something, and stands still. Another takes over. When
// the first wakes it hears that before it repeats what has become wrong, however
// much waits in its socket.
func TestWokenHostHearsBeforeItSpeaks(t *testing.T) {
	for _, stood := range []time.Duration{2*stallInterval + 10*time.Millisecond, 5 * time.Second, 30 * time.Second} {
		t.Run(stood.String(), func(t *testing.T) {
			a, b := newHandmade(t, "a"), newHandmade(t, "b")
			a.joinTo(b)
			a.rider.Say([]byte("a holds"))
			now := run(time.Now(), time.Second, a, b)
			if len(b.heard) == 0 || b.heard[len(b.heard)-1] != "a holds" {
				t.Fatalf("b heard %q", b.heard)
			}
			now = run(now, stood/2, b)
			b.rider.Say([]byte("b holds"))
			now = run(now, stood-stood/2, b)
			// Chatter in front of the last beats: more than one Wake takes.
			for i := range maxBatches*batch + 50 {
				b.sock.send(a.sock.local, fmt.Appendf(nil, "noise %d that does not open and is dropped: %040d", i, i))
			}
			now = run(now, stallInterval, b)
			a.heard, b.heard = nil, nil

			a.wake(now)
			b.wake(now)
			if len(b.heard) > 0 {
				t.Errorf("b heard %q before a's rider could speak", b.heard)
			}
			if len(a.heard) == 0 || a.heard[len(a.heard)-1] != "b holds" {
				t.Errorf("a's rider was told %q when it woke", a.heard)
			}
			a.rider.Say([]byte("a yields"))
			for range 10 {
				a.wake(now)
				b.wake(now)
			}
			run(now, stallInterval, a, b)
			if len(b.heard) == 0 {
				t.Error("a said nothing within an interval")
			}
			for _, said := range b.heard {
				if said != "a yields" {
					t.Errorf("b heard %q", said)
				}
			}
			if forgiven := a.core.Counters().Forgiven; forgiven != 1 {
				t.Errorf("forgiven %d times, want once", forgiven)
			}
			if d := a.Deadline().Sub(now); d > 2*stallInterval {
				t.Errorf("next deadline in %v", d)
			}
		})
	}
}

// A delay that no other host can have noticed makes a beat no later than it is.
func TestShortDelayDoesNotHoldBackTheBeat(t *testing.T) {
	a, b := newHandmade(t, "a"), newHandmade(t, "b")
	a.joinTo(b)
	a.rider.Say([]byte("word"))
	now := run(time.Now(), time.Second, a, b)
	due := a.core.Deadline()
	now = run(now, due.Sub(now), b)
	b.heard = nil
	now = due.Add(2*stallInterval - time.Millisecond)
	a.wake(now)
	b.wake(now)
	if len(b.heard) == 0 {
		t.Error("the beat was held back")
	}
}

// A host that wakes late every time still beats.
func TestHostThatIsAlwaysLateStillBeats(t *testing.T) {
	a, b := newHandmade(t, "a"), newHandmade(t, "b")
	a.joinTo(b)
	a.rider.Say([]byte("word"))
	now := run(time.Now(), time.Second, a, b)
	b.heard = nil
	rounds := 4 * (maxStalls + 1)
	for range rounds {
		now = now.Add(4 * stallInterval)
		a.wake(now)
		b.wake(now)
	}
	if got := len(b.heard); got < 3 {
		t.Errorf("b heard %d beats in %d late rounds", got, rounds)
	}
}
