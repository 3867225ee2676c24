package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// epoch is when every test begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A world runs routers against each other over a network of its own, one event
// at a time. What it does is decided by its script or seed alone.
type world struct {
	t     testing.TB
	now   time.Time
	hosts []*host
	queue []timed
	seq   int
	cut   map[[2]*host]bool // from, to
	rnd   *rand.Rand

	beat    bool // carrier
	delay   time.Duration
	jitter  time.Duration
	loss    float64
	acquire time.Duration // from Acquire to its completion
	release time.Duration // from Release

	effect func(h *host, eff Effect)
	after  func() // after every step of a router
}

type timed struct {
	at  time.Time
	seq int
	do  func()
}

type host struct {
	name    string
	addr    netip.Addr
	r       *Router
	holds   bool
	asleep  bool
	pending []Event // arrived while asleep
	broken  bool    // addresses cannot be added
	stopped bool
}

func newWorld(t testing.TB) *world {
	return &world{t: t, now: epoch, cut: map[[2]*host]bool{}, rnd: rand.New(rand.NewPCG(1, 1)),
		delay: time.Millisecond, acquire: 2 * time.Millisecond, release: time.Millisecond, effect: func(*host, Effect) {}, after: func() {}}
}

func (w *world) add(name string, cfg Config) *host {
	h := &host{name: name, addr: cfg.Local, r: New(cfg)}
	w.hosts = append(w.hosts, h)
	return h
}

func (w *world) at(d time.Duration, do func()) {
	w.seq++
	w.queue = append(w.queue, timed{w.now.Add(d), w.seq, do})
}

// give hands an event to a host, or to its queue while it sleeps.
func (w *world) give(h *host, ev Event) {
	if h.asleep {
		h.pending = append(h.pending, ev)
		return
	}
	w.step(h, ev)
}

func (w *world) step(h *host, ev Event) {
	for _, eff := range h.r.Step(w.now, ev) {
		w.effect(h, eff)
		switch e := eff.(type) {
		case *Advertise:
			w.send(h, e.Advertisement)
		case Acquire:
			w.at(w.acquire, func() {
				if h.broken {
					w.give(h, AddressFailed{Reason: "no such device"})
					return
				}
				h.holds = true
				w.give(h, Acquired{})
			})
		case Release:
			w.at(w.release, func() { h.holds = false; w.give(h, Released{}) })
		case Stopped:
			h.stopped = true
		}
	}
	w.after()
}

// send carries an advertisement through the codec of the carrier.
func (w *world) send(from *host, a Advertisement) {
	for _, to := range w.hosts {
		if to == from || w.cut[[2]*host{from, to}] || w.rnd.Float64() < w.loss {
			continue
		}
		d := w.delay
		if w.jitter > 0 {
			d += time.Duration(w.rnd.Int64N(int64(w.jitter)))
		}
		got := w.carry(from, a)
		w.at(d, func() { w.give(to, Heard{From: from.addr, Advertisement: got}) })
	}
}

func (w *world) carry(from *host, a Advertisement) Advertisement {
	if w.beat {
		b, n := AppendBeat(nil, []Advertisement{a}, 1024)
		got, err := ParseBeat(b, nil)
		if n != 1 || err != nil {
			w.t.Fatalf("carry %+v: packed %d: %v", a, n, err)
		}
		return got[0]
	}
	dst := GroupIPv4()
	if from.addr.Is6() {
		dst = GroupIPv6()
	}
	got, _, err := ParseAdvertisement(a.AppendTo(nil, from.addr, dst, PseudoHeader), from.addr, dst)
	if err != nil {
		w.t.Fatalf("carry %+v: %v", a, err)
	}
	return got
}

// sleep stops a host, as SIGSTOP does, and wakes it later.
func (w *world) sleep(h *host, d time.Duration) {
	h.asleep = true
	w.at(d, func() {
		h.asleep = false
		pending := h.pending
		h.pending = nil
		for _, ev := range pending { // the wire goes first
			if _, ok := ev.(Heard); ok {
				w.step(h, ev)
			}
		}
		for _, ev := range pending {
			if _, ok := ev.(Heard); !ok {
				w.step(h, ev)
			}
		}
	})
}

// run lets time pass, up to and including until.
func (w *world) run(until time.Time) {
	for range 1_000_000 {
		next, due := until.Add(1), func() {}
		take := -1
		for i, e := range w.queue {
			if e.at.Before(next) || take >= 0 && e.at.Equal(next) && e.seq < w.queue[take].seq {
				next, take = e.at, i
			}
		}
		if take >= 0 {
			due = w.queue[take].do
		}
		for _, h := range w.hosts {
			if d := h.r.Deadline(); !h.asleep && !d.IsZero() && d.Before(next) {
				next, take = d, -1
				due = func() { w.step(h, nil) }
			}
		}
		if next.After(until) {
			w.now = until
			return
		}
		if take >= 0 {
			w.queue = slices.Delete(w.queue, take, take+1)
		}
		if next.After(w.now) {
			w.now = next
		}
		due()
	}
	w.t.Fatalf("time stands still at %v: a deadline is not cleared", w.now.Sub(epoch))
}

func (w *world) pass(d time.Duration) { w.run(w.now.Add(d)) }

func (w *world) in(s State) (names []string) {
	for _, h := range w.hosts {
		if h.r.State() == s {
			names = append(names, h.name)
		}
	}
	return names
}

func (w *world) holders() (names []string) {
	for _, h := range w.hosts {
		if h.holds {
			names = append(names, h.name)
		}
	}
	return names
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// testConfig is 100 ms between advertisements, priority 100.
func testConfig(local string, priority uint8) Config {
	return Config{VRID: 51, Priority: priority, Interval: 100 * time.Millisecond, Preempt: true,
		Addresses: []netip.Addr{addr("10.99.0.100")}, Local: addr(local)}
}

// show prints an effect, for scripts and failures.
func show(eff Effect) string {
	switch e := eff.(type) {
	case *Advertise:
		s := fmt.Sprintf("advertise priority %d", e.Priority)
		if e.Announced {
			s += " announced"
		}
		if e.Successor.IsValid() {
			s += " successor " + e.Successor.String()
		}
		return s
	case Became:
		return fmt.Sprintf("became %v -> %v: %s", e.From, e.To, e.Why)
	case Warn:
		return fmt.Sprintf("warn %s (%v)", e.Why, e.From)
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", eff), "vrrp."), "{}"))
}

func showAll(effs []Effect) string {
	var s []string
	for _, e := range effs {
		s = append(s, show(e))
	}
	return strings.Join(s, ", ")
}
