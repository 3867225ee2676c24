// Package simnet is a network and a clock for machines, in one goroutine and under
// one seed: whatever happens in it happens again with the same seed.
//
// A machine stands at an address behind the interface Host. The network carries
// datagrams between addresses and loses, delays, doubles and reorders them; links
// can be cut, one way or both; a host can be paused, as by SIGSTOP (what arrives
// meanwhile waits in its socket, up to a limit, as in a kernel), killed, and
// started again. Time goes from event to event and costs nothing.
//
//	net := simnet.New(seed, simnet.Conditions{Loss: 0.05, Delay: time.Millisecond})
//	net.Start(addr, host)
//	net.Run(10 * time.Second)
package simnet

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"time"
)

// A Host is a machine with its shell taken off.
type Host interface {
	// Receive takes one datagram. It must not keep packet.
	Receive(now time.Time, from netip.AddrPort, packet []byte)
	// Wake tells that the deadline passed, after all waiting datagrams were received.
	Wake(now time.Time)
	// Deadline is when Wake wants to be called; zero: never.
	Deadline() time.Time
}

// Conditions are those of every link.
type Conditions struct {
	Loss      float64       // share of datagrams that do not arrive
	Duplicate float64       // share that arrives twice
	Delay     time.Duration // least time on the way
	Jitter    time.Duration // at most that much more, evenly distributed: reorders
	Late      time.Duration // at most that late a host wakes
}

// socketLimit is how many datagrams wait for a paused host.
const socketLimit = 256

// A Net is the network and the clock.
type Net struct {
	Rand       *rand.Rand
	Conditions Conditions
	Sent       uint64 // datagrams

	now   time.Time
	seq   uint64
	queue queue
	hosts map[netip.AddrPort]*place
	cut   map[[2]netip.AddrPort]bool
	tap   func(from, to netip.AddrPort, packet []byte)
	free  [][]byte
}

type place struct {
	host    Host
	addr    netip.AddrPort
	life    uint64 // distinguishes the lives of one address
	paused  bool
	waiting []event
	wake    time.Time // of the wake event in the queue; zero: none
	sent    uint64
}

type event struct {
	at       time.Time
	seq      uint64 // order among events of one instant
	from, to netip.AddrPort
	packet   []byte // nil: wake
	life     uint64
	do       func()
}

// New returns an empty network. Its clock begins at a fixed date.
func New(seed uint64, c Conditions) *Net {
	return &Net{
		Rand:       rand.New(rand.NewPCG(seed, 0x5eed)),
		Conditions: c,
		now:        time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		hosts:      make(map[netip.AddrPort]*place),
		cut:        make(map[[2]netip.AddrPort]bool),
	}
}

// Now is the time.
func (n *Net) Now() time.Time { return n.now }

// Start puts a host at an address, in place of the one that was there.
func (n *Net) Start(addr netip.AddrPort, h Host) {
	n.seq++
	p := &place{host: h, addr: addr, life: n.seq}
	if old := n.hosts[addr]; old != nil {
		p.sent = old.sent
	}
	n.hosts[addr] = p
	n.schedule(p)
}

// Kill takes the host at an address away without a word.
func (n *Net) Kill(addr netip.AddrPort) { delete(n.hosts, addr) }

// Pause stops a host, as SIGSTOP does.
func (n *Net) Pause(addr netip.AddrPort) { n.hosts[addr].paused = true }

// Resume lets a paused host go on: first it receives what waited, then it wakes.
func (n *Net) Resume(addr netip.AddrPort) {
	p := n.hosts[addr]
	p.paused = false
	for _, e := range p.waiting {
		p.host.Receive(n.now, e.from, e.packet)
	}
	p.waiting = nil
	p.wake = time.Time{}
	n.schedule(p)
}

// Cut stops all datagrams from one address to another.
func (n *Net) Cut(from, to netip.AddrPort) { n.cut[[2]netip.AddrPort{from, to}] = true }

// Split cuts every link between two groups, both ways.
func (n *Net) Split(a, b []netip.AddrPort) {
	for _, x := range a {
		for _, y := range b {
			n.Cut(x, y)
			n.Cut(y, x)
		}
	}
}

// Heal mends all links.
func (n *Net) Heal() { clear(n.cut) }

// Tap shows every datagram that is sent, before its fate is decided.
func (n *Net) Tap(f func(from, to netip.AddrPort, packet []byte)) { n.tap = f }

// SentBy is how many datagrams left an address.
func (n *Net) SentBy(addr netip.AddrPort) uint64 {
	if p := n.hosts[addr]; p != nil {
		return p.sent
	}
	return 0
}

// Send carries a datagram. The bytes are copied.
func (n *Net) Send(from, to netip.AddrPort, packet []byte) {
	n.Sent++
	if p := n.hosts[from]; p != nil {
		p.sent++
	}
	if n.tap != nil {
		n.tap(from, to, packet)
	}
	c := n.Conditions
	if n.cut[[2]netip.AddrPort{from, to}] || n.Rand.Float64() < c.Loss {
		return
	}
	n.carry(from, to, packet)
	if n.Rand.Float64() < c.Duplicate {
		n.carry(from, to, packet)
	}
}

func (n *Net) carry(from, to netip.AddrPort, packet []byte) {
	var b []byte
	if k := len(n.free); k > 0 {
		b, n.free = n.free[k-1][:0], n.free[:k-1]
	}
	n.push(event{at: n.now.Add(n.Conditions.Delay + n.upTo(n.Conditions.Jitter)), from: from, to: to, packet: append(b, packet...)})
}

// After calls f when d has passed.
func (n *Net) After(d time.Duration, f func()) { n.push(event{at: n.now.Add(d), do: f}) }

// Inject delivers a datagram to a host now, whoever sent it.
func (n *Net) Inject(from, to netip.AddrPort, packet []byte) {
	if p := n.hosts[to]; p != nil {
		p.host.Receive(n.now, from, packet)
		n.schedule(p)
	}
}

// Poke asks a host for its deadline again, after something was done to it directly.
func (n *Net) Poke(addr netip.AddrPort) {
	if p := n.hosts[addr]; p != nil {
		n.schedule(p)
	}
}

// Run lets d pass.
func (n *Net) Run(d time.Duration) {
	end := n.now.Add(d)
	for len(n.queue) > 0 && !n.queue[0].at.After(end) {
		e := heap.Pop(&n.queue).(event)
		n.now = e.at
		n.happen(e)
	}
	n.now = end
}

// RunUntil lets time pass until done holds, at most limit. It looks every step and
// returns how long it took, and whether done holds.
func (n *Net) RunUntil(limit, step time.Duration, done func() bool) (time.Duration, bool) {
	start := n.now
	for !done() {
		if n.now.Sub(start) >= limit {
			return n.now.Sub(start), false
		}
		n.Run(step)
	}
	return n.now.Sub(start), true
}

func (n *Net) happen(e event) {
	if e.do != nil {
		e.do()
		return
	}
	p := n.hosts[e.to]
	switch {
	case e.packet != nil && p == nil:
	case e.packet != nil && p.paused:
		if len(p.waiting) < socketLimit {
			p.waiting = append(p.waiting, e)
			return // the bytes are still needed
		}
	case e.packet != nil:
		p.host.Receive(n.now, e.from, e.packet)
		n.schedule(p)
	case p != nil && p.life == e.life && p.wake.Equal(e.at) && !p.paused:
		p.wake = time.Time{}
		p.host.Wake(n.now)
		n.schedule(p)
	}
	if e.packet != nil {
		n.free = append(n.free, e.packet)
	}
}

// schedule sees to it that a host wakes at its deadline.
func (n *Net) schedule(p *place) {
	d := p.host.Deadline()
	if d.IsZero() || p.paused {
		return
	}
	if d.Before(n.now) {
		d = n.now
	}
	if !p.wake.IsZero() && !p.wake.After(d.Add(n.Conditions.Late)) {
		return
	}
	p.wake = d.Add(n.upTo(n.Conditions.Late))
	n.push(event{at: p.wake, to: p.addr, life: p.life})
}

func (n *Net) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(n.Rand.Int64N(int64(d) + 1))
}

func (n *Net) push(e event) {
	n.seq++
	e.seq = n.seq
	heap.Push(&n.queue, e)
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}
