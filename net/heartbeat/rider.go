package heartbeat

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/ha/net/gossip"
)

const (
	// maxShouts bounds the events waiting in a rider, each way. Beyond it
	// the oldest is dropped: a lost event costs what a lost packet costs.
	maxShouts = 64
)

// An Inbox is what a rider heard since the last Take.
type Inbox struct {
	// Hosts holds every known host that ever said something on the topic or
	// is alive, sorted by name. The slice is good until the next Take; the
	// bytes of Said are never written again and may be kept.
	Hosts []HostState

	// Shouts are the events since the last Take, in the order of arrival;
	// good until the next Take.
	Shouts []Shouted

	// Changed is set when a host came, went, moved, or says something else.
	// Without it Hosts differs from the last Take at most in Beats and Heard.
	Changed bool

	// Heard is set when at least one beat with this topic came, also if it
	// said what the last one said.
	Heard bool

	// Dropped counts the shouts lost to the bound since the node began.
	Dropped uint64
}

// HostState is what one host last said on a topic.
type HostState struct {
	Name  string
	Addr  netip.AddrPort
	Alive bool      // not lost; a lost host keeps what it last said until forgotten
	Left  bool      // it said goodbye
	Said  []byte    // the latest state; nil before the first
	Beats uint64    // beats heard that carried the topic: grows with each, also if Said stays equal
	Heard time.Time // when the latest of them came
}

// Shouted is one event of a host.
type Shouted struct {
	From string
	Addr netip.AddrPort
	Body []byte
}

// A Rider is the seat of one topic on a Node. One reader takes; any goroutine,
// also the loop's own, may say.
type Rider struct {
	topic   gossip.Topic
	node    *Node
	changed chan struct{}

	mu      sync.Mutex
	hosts   []HostState // sorted by name
	shouts  []Shouted
	dropped uint64
	fresh   bool // something in hosts differs since the last Take
	heard   bool
	saying  []byte   // the latest Say the node has not taken yet
	says    bool     // saying is set
	shout   [][]byte // Shouts the node has not taken yet

	outHosts  []HostState // the reader's
	outShouts []Shouted
}

func newRider(n *Node, topic gossip.Topic) *Rider {
	return &Rider{topic: topic, node: n, changed: make(chan struct{}, 1)}
}

// Say sets the state that rides in every beat until replaced. It copies body;
// one that is longer than the core's limit is dropped and counted there.
func (r *Rider) Say(body []byte) {
	r.mu.Lock()
	r.saying = append(r.saying[:0], body...)
	r.says = true
	r.mu.Unlock()
	r.node.post()
}

// Shout sends an event to every host at once, in a beat of its own. It copies
// body.
func (r *Rider) Shout(body []byte) {
	r.mu.Lock()
	if len(r.shout) == maxShouts {
		r.shout = slices.Delete(r.shout, 0, 1)
		r.dropped++
	}
	r.shout = append(r.shout, bytes.Clone(body))
	r.mu.Unlock()
	r.node.post()
}

// Changed has a value when Take would report a change of state or a shout. A
// beat that repeats what is known does not signal it.
func (r *Rider) Changed() <-chan struct{} { return r.changed }

// Interval is the time between the beats in which every host is told what was
// said last; 0 when the cluster is too large for that, and what cannot wait has
// to be shouted. For the loop's thread only.
func (r *Rider) Interval() time.Duration { return r.node.core.Pace() }

// Address is the one the node beats from; it is unspecified if that is left to
// the kernel.
func (r *Rider) Address() netip.Addr { return r.node.Bound().Addr() }

// Take returns what was heard since the last Take. When nothing was, it
// returns an empty Inbox without looking further.
func (r *Rider) Take() Inbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := Inbox{Changed: r.fresh, Heard: r.heard, Dropped: r.dropped}
	if !r.fresh && !r.heard && len(r.shouts) == 0 {
		return in
	}
	r.outHosts = append(r.outHosts[:0], r.hosts...)
	clear(r.outShouts)
	r.outShouts, r.shouts = r.shouts, r.outShouts[:0]
	r.fresh, r.heard = false, false
	in.Hosts, in.Shouts = r.outHosts, r.outShouts
	return in
}

// The rest is the node's side, on the loop's thread.

// find returns the place of a host, making it if it is new.
func (r *Rider) find(name string) *HostState {
	i, ok := slices.BinarySearchFunc(r.hosts, name, func(h HostState, name string) int {
		return strings.Compare(h.Name, name)
	})
	if !ok {
		r.hosts = slices.Insert(r.hosts, i, HostState{Name: name})
		r.fresh = true
	}
	return &r.hosts[i]
}

// said records a beat's section. It allocates only when the section differs.
func (r *Rider) said(now time.Time, from string, body []byte) {
	r.mu.Lock()
	h := r.find(from)
	h.Beats++
	h.Heard = now
	r.heard = true
	if h.Said == nil || !bytes.Equal(h.Said, body) {
		h.Said = append([]byte{}, body...)
		r.fresh = true
	}
	signal := r.fresh
	r.mu.Unlock()
	if signal {
		r.signal()
	}
}

func (r *Rider) shouted(from string, body []byte) {
	r.mu.Lock()
	if len(r.shouts) == maxShouts {
		r.shouts = slices.Delete(r.shouts, 0, 1)
		r.dropped++
	}
	r.shouts = append(r.shouts, Shouted{From: from, Addr: r.find(from).Addr, Body: bytes.Clone(body)})
	r.mu.Unlock()
	r.signal()
}

// host records that a host is alive at addr, or not.
func (r *Rider) host(name string, addr netip.AddrPort, alive, left bool) {
	r.mu.Lock()
	h := r.find(name)
	if h.Alive != alive || h.Left != left || h.Addr != addr {
		h.Alive, h.Left, h.Addr = alive, left, addr
		r.fresh = true
	}
	signal := r.fresh
	r.mu.Unlock()
	if signal {
		r.signal()
	}
}

// forget removes the hosts that the core no longer knows.
func (r *Rider) forget(known map[string]bool) {
	r.mu.Lock()
	n := len(r.hosts)
	r.hosts = slices.DeleteFunc(r.hosts, func(h HostState) bool { return !known[h.Name] })
	changed := len(r.hosts) != n
	r.fresh = r.fresh || changed
	r.mu.Unlock()
	if changed {
		r.signal()
	}
}

func (r *Rider) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
