package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/net/heartbeat"
)

// A world is a few speakers on one clock, whose riders are connected in memory
// and whose addresses are names in a set. Nothing runs by itself: the test is
// the loop, the mover and the watch of all of them.
type world struct {
	t     testing.TB
	now   time.Time
	hosts []*host
	beat  time.Duration
	next  time.Time
	// unaddressed hosts leave their address to the kernel and do not know it.
	unaddressed bool
}

type host struct {
	w     *world
	name  string
	s     *Speaker
	view  *view
	link  *memoryLink
	rider *memoryRider
	dead  bool // neither beats nor wakes
	cut   bool // wakes, but is neither heard nor hears
	beats uint64
}

type memoryRider struct {
	h      *host
	said   []byte
	inbox  heartbeat.Inbox
	hosts  []heartbeat.HostState
	shouts int
}

func (r *memoryRider) Interval() time.Duration { return r.h.w.beat }
func (r *memoryRider) Say(body []byte)         { r.said = slices.Clone(body) }

func (r *memoryRider) Address() netip.Addr {
	if r.h.w.unaddressed {
		return netip.IPv4Unspecified()
	}
	return r.h.addr().Addr()
}

func (r *memoryRider) Shout(body []byte) {
	r.shouts++
	for _, h := range r.h.w.hosts {
		if h != r.h && !h.dead && !h.cut && !r.h.cut {
			h.rider.inbox.Shouts = append(h.rider.inbox.Shouts, heartbeat.Shouted{
				From: r.h.name, Addr: r.h.addr(), Body: slices.Clone(body)})
		}
	}
}

func (r *memoryRider) Take() heartbeat.Inbox {
	in := r.inbox
	in.Hosts = r.hosts
	r.inbox = heartbeat.Inbox{}
	return in
}

// hears takes one beat of another host.
func (r *memoryRider) hears(from *host, alive bool) {
	n := slices.IndexFunc(r.hosts, func(h heartbeat.HostState) bool { return h.Name == from.name })
	if n < 0 {
		n = len(r.hosts)
		r.hosts = append(r.hosts, heartbeat.HostState{Name: from.name})
	}
	h := &r.hosts[n]
	if h.Alive != alive || string(h.Said) != string(from.rider.said) {
		r.inbox.Changed = true
	}
	h.Addr, h.Alive = from.addr(), alive
	if alive {
		h.Said = from.rider.said
		h.Beats++
		r.inbox.Heard = true
	}
}

func (h *host) addr() netip.AddrPort {
	n := slices.Index(h.w.hosts, h)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n + 1)}), 7946)
}

func (h *host) Wakeup() {}

// A memoryLink is the second implementation of Link: what it holds is a list.
type memoryLink struct {
	holds     []netip.Prefix
	announced int
	broken    bool
	log       []string
}

var errBroken = errors.New("broken")

func (m *memoryLink) Add(c Config) error {
	if m.broken {
		return errBroken
	}
	for _, p := range c.Addresses {
		if !slices.Contains(m.holds, p) {
			m.holds = append(m.holds, p)
			m.log = append(m.log, "+"+p.String())
		}
	}
	return nil
}

func (m *memoryLink) Remove(c Config) error {
	for _, p := range c.Addresses {
		if n := slices.Index(m.holds, p); n >= 0 {
			m.holds = slices.Delete(m.holds, n, n+1)
			m.log = append(m.log, "-"+p.String())
		}
	}
	return nil
}

func (m *memoryLink) Announce(Config) error { m.announced++; return nil }

func newWorld(t testing.TB) *world {
	return &world{t: t, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), beat: 100 * time.Millisecond}
}

func (w *world) host(name string, cfgs ...Config) *host {
	w.t.Helper()
	h := &host{w: w, name: name, link: new(memoryLink)}
	h.rider = &memoryRider{h: h}
	w.hosts = append(w.hosts, h)
	h.start(cfgs...)
	return h
}

// start is a new process on the host; what the link holds stays.
func (h *host) start(cfgs ...Config) {
	h.w.t.Helper()
	h.dead = false
	h.rider.inbox = heartbeat.Inbox{Changed: true}
	s, err := NewSpeaker(h.name, cfgs, h.rider, h, h.link, slog.New(slog.DiscardHandler))
	if err != nil {
		h.w.t.Fatal(err)
	}
	h.s, h.view = s, newView(s)
	h.view.sees = true
	h.settle()
}

func (h *host) apply(cfgs ...Config) {
	h.w.t.Helper()
	if err := h.s.Apply(cfgs); err != nil {
		h.w.t.Fatal(err)
	}
	h.settle()
}

// settle does everything there is to do on the host at this moment.
func (h *host) settle() {
	if h.dead {
		return
	}
	for range 20 {
		select {
		case cfgs := <-h.s.applied:
			h.view.apply(cfgs)
			h.view.survey()
		default:
		}
		h.s.Wake(h.w.now)
		for busy := true; busy; {
			select {
			case j := <-h.s.calls:
				h.s.work(j)
			case j := <-h.s.moves:
				h.s.work(j)
			default:
				busy = false
			}
		}
	}
}

// run lets time pass in steps, each as long as the next deadline allows.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for w.now.Before(end) {
		if !w.now.Before(w.next) {
			w.beatAll()
			w.next = w.now.Add(w.beat)
		}
		for _, h := range w.hosts {
			h.settle()
		}
		next := min(end.Sub(w.now), w.next.Sub(w.now))
		for _, h := range w.hosts {
			if at := h.s.Deadline(); !h.dead && !at.IsZero() {
				next = min(next, max(at.Sub(w.now), time.Microsecond))
			}
		}
		w.now = w.now.Add(next)
	}
	for _, h := range w.hosts {
		h.settle()
	}
}

func (w *world) beatAll() {
	for _, from := range w.hosts {
		for _, to := range w.hosts {
			if from != to && !to.dead {
				to.rider.hears(from, !from.dead && !from.cut && !to.cut)
			}
		}
	}
}

// holders is who holds an address now, by name.
func (w *world) holders(ip string) string {
	var all []string
	for _, h := range w.hosts {
		if slices.ContainsFunc(h.link.holds, func(p netip.Prefix) bool { return p.Addr() == netip.MustParseAddr(ip) }) {
			all = append(all, h.name)
		}
	}
	return strings.Join(all, "+")
}

func (w *world) want(holders, ip string) {
	w.t.Helper()
	if got := w.holders(ip); got != holders {
		var say strings.Builder
		for _, h := range w.hosts {
			for _, st := range h.s.Status() {
				fmt.Fprintf(&say, "\n%s: %+v", h.name, st)
			}
		}
		w.t.Errorf("%s is held by %q, want %q%s", ip, got, holders, &say)
	}
}

func (h *host) status(name string) Status {
	h.w.t.Helper()
	for _, st := range h.s.Status() {
		if st.Name == name {
			return st
		}
	}
	h.w.t.Fatalf("%s has no vip %s", h.name, name)
	return Status{}
}

func gossipVIP(name string, vrid, priority uint8, addrs ...string) Config {
	return Config{Name: name, VRID: vrid, Priority: priority, Addresses: prefixes(addrs...), Interval: 100 * time.Millisecond, StartupDelay: new(time.Duration)}
}
