package vrrp

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	seed  = flag.Uint64("seed", 0, "run this seed of the simulation only")
	seeds = flag.Uint64("seeds", 300, "how many seeds of the simulation to run")
)

func eachSeed(t *testing.T, run func(t *testing.T, w *world)) {
	var all []uint64
	for s := range *seeds {
		all = append(all, s+1)
	}
	text, err := os.ReadFile("testdata/seeds") // those that once failed
	if err != nil {
		t.Fatal(err)
	}
	for f := range strings.FieldsSeq(string(text)) {
		s, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if *seed != 0 {
		all = []uint64{*seed}
	}
	for _, s := range all {
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) {
			w := newWorld(t)
			w.rnd = rand.New(rand.NewPCG(s, 9568))
			run(t, w)
		})
	}
}

// populate adds two or three routers of one configuration, some of equal
// priority.
func (w *world) populate() {
	w.beat = w.rnd.IntN(2) == 0
	intervals := []time.Duration{10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, time.Second}
	if w.beat {
		intervals = append(intervals, 3*time.Millisecond)
	}
	every := intervals[w.rnd.IntN(len(intervals))]
	w.delay, w.acquire, w.release = every/50, every/5, every/50
	priorities := []uint8{1, 50, 100, 100, 100, 150, 254}
	for i := range 2 + w.rnd.IntN(2) {
		cfg := testConfig(fmt.Sprintf("10.99.0.%d", 10+i), priorities[w.rnd.IntN(len(priorities))])
		cfg.Interval, cfg.Preempt = every, w.rnd.IntN(4) > 0
		if w.rnd.IntN(4) == 0 {
			cfg.PreemptDelay = 5 * every
		}
		w.add(string(rune('a'+i)), cfg)
	}
}

func (w *world) every() time.Duration { return w.hosts[0].r.cfg.Interval }

// trouble makes n random things happen, some intervals apart.
func (w *world) trouble(n int) {
	every := w.every()
	for range n {
		h := w.hosts[w.rnd.IntN(len(w.hosts))]
		other := w.hosts[w.rnd.IntN(len(w.hosts))]
		switch w.rnd.IntN(9) {
		case 0:
			w.cut[[2]*host{h, other}] = true
		case 1:
			w.cut[[2]*host{h, other}], w.cut[[2]*host{other, h}] = true, true
		case 2:
			clear(w.cut)
		case 3:
			if !h.asleep {
				w.sleep(h, time.Duration(w.rnd.Int64N(int64(10*every))))
			}
		case 4:
			w.give(h, SetPriority{Priority: uint8(1 + w.rnd.IntN(254))})
		case 5:
			w.give(h, Fault{Reason: "link down"})
		case 6:
			w.give(h, Recovered{})
		case 7:
			w.give(h, Resign{To: other.addr})
		case 8:
			w.give(h, AddressLost{})
		}
		w.pass(time.Duration(w.rnd.Int64N(int64(8 * every))))
	}
}

// Whatever happened: after healing two routers are never Active together for
// longer than one interval (and the delay), and soon exactly one is, holds the
// addresses alone, and stays.
func TestSimHealing(t *testing.T) {
	eachSeed(t, func(t *testing.T, w *world) {
		w.populate()
		every := w.every()
		w.loss, w.jitter = 0.2, every/2
		for _, h := range w.hosts {
			w.give(h, Start{})
			w.pass(time.Duration(w.rnd.Int64N(int64(4 * every))))
		}
		w.trouble(30)

		clear(w.cut)
		w.loss, w.jitter = 0, w.delay
		w.pass(10 * every) // until the last sleeper is awake and the last late packet is there
		for _, h := range w.hosts {
			w.give(h, Recovered{})
		}
		var since time.Time // two are active
		w.after = func() {
			if active := w.in(Active); len(active) < 2 {
				since = time.Time{}
			} else if since.IsZero() {
				since = w.now
			} else if d := w.now.Sub(since); d > every+3*w.delay {
				t.Fatalf("%v active together for %v, the interval is %v", active, d, every)
			}
		}
		w.pass(30 * every)
		winner := w.in(Active)
		w.effect = func(h *host, eff Effect) {
			if b, ok := eff.(Became); ok {
				t.Errorf("%s moves again after %v: %v", h.name, w.now.Sub(epoch), show(b))
			}
		}
		w.pass(20 * every)
		if holders := w.holders(); len(winner) != 1 || !slices.Equal(winner, holders) {
			t.Errorf("active %v, held by %v", winner, holders)
		}
	})
}

// One cut, in one direction or both, then healing: within one interval and the
// delay a single router is Active, and within the moment its rival needs to let
// go, a single one holds.
func TestSimSplitHealsWithinOneInterval(t *testing.T) {
	eachSeed(t, func(t *testing.T, w *world) {
		w.populate()
		every := w.every()
		for _, h := range w.hosts {
			w.give(h, Start{})
		}
		w.pass(10 * every)
		oneWay := w.rnd.IntN(2) == 0
		for i, h := range w.hosts {
			for _, o := range w.hosts[:i] {
				w.cut[[2]*host{h, o}] = true
				w.cut[[2]*host{o, h}] = !oneWay
			}
		}
		w.pass(10*every + time.Duration(w.rnd.Int64N(int64(every))))
		clear(w.cut)
		w.pass(every + 2*w.delay)
		if active := w.in(Active); len(active) != 1 {
			t.Errorf("active after one interval: %v", active)
		}
		w.pass(every/2 + w.acquire)
		if holders := w.holders(); len(holders) != 1 {
			t.Errorf("held after one interval and a half by %v", holders)
		}
	})
}

// A planned handover, by hand, by preemption or at the end of the process: at no time is the
// address held by nobody, whatever packet is lost in between.
func TestSimHandoverIsNeverWithoutHolder(t *testing.T) {
	eachSeed(t, func(t *testing.T, w *world) {
		w.populate()
		w.beat = true // on the wire a successor cannot say when it has announced
		for _, h := range w.hosts {
			w.give(h, Start{})
		}
		every := w.every()
		w.pass(20 * every)
		if len(w.holders()) != 1 {
			t.Fatalf("held by %v", w.holders())
		}
		w.loss = 0.1
		w.after = func() {
			if len(w.holders()) == 0 {
				t.Fatalf("nobody holds the addresses after %v", w.now.Sub(epoch))
			}
		}
		for range 4 {
			i := slices.IndexFunc(w.hosts, func(h *host) bool { return h.r.State() == Active })
			if i < 0 {
				break
			}
			resign := Resign{}
			if w.rnd.IntN(2) == 0 {
				resign.To = w.hosts[(i+1)%len(w.hosts)].addr
			}
			if w.rnd.IntN(3) == 0 { // its check fails: whoever preempts is better now
				w.give(w.hosts[i], SetPriority{Priority: 1})
			} else {
				w.give(w.hosts[i], resign)
			}
			w.pass(10*every + maxPatience)
		}
		i := slices.IndexFunc(w.hosts, func(h *host) bool { return h.r.State() == Active })
		if i < 0 {
			t.Fatal("nobody is active")
		}
		w.loss = 0
		w.give(w.hosts[i], Stop{})
		w.pass(10*every + maxPatience)
		if !w.hosts[i].stopped || w.hosts[i].holds {
			t.Errorf("%s: stopped %v, holds %v", w.hosts[i].name, w.hosts[i].stopped, w.hosts[i].holds)
		}
	})
}
