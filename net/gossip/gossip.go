// Package gossip decides who is alive, and carries what each host last said.
//
// A cluster is a set of hosts that share a key and a name. Each host says that it
// lives, by sealed datagrams called beats; each decides for itself, by the silence
// of another, whether that one still does. Two kinds of words ride along under
// numbered topics: what a host says (state, repeated until replaced) and what it
// shouts (an event, sent once, at once). What the words mean is the riders' affair.
//
// # Finding each other
//
// A host begins with addresses (Join). It says hello there; a handshake of cookies
// (see drawCookie) makes sure that both live now and are no recordings. Every beat
// carries a little news of other hosts, so that one known address is enough.
//
// # Small clusters: the mesh
//
// Up to Config.Mesh hosts everyone beats to everyone at every interval. A detector
// knows the rhythm of each host. After one and a half pauses of silence this host
// asks: the silent one itself (a lost beat is likelier than a dead host) and three
// others, whether they heard it. A word from either takes the silence back. After
// Config.Lost pauses without one the host is lost. With two hosts there is nobody
// else to ask: there the host itself is asked a few times, and the deadline decides.
//
// # Large clusters: probing
//
// Beyond that size the load of a host must not grow with the cluster. In each
// interval a host pings one other, in a random round robin. One that does not
// answer is pinged again and asked for through three others; then it is suspected,
// and that is news. News rides on pings and answers, each piece a bounded number
// of times. A suspect that hears of it says that it lives, under a higher
// incarnation, which overrules; if it does not in time, it is lost. That is SWIM,
// with its suspicion, by Das, Gupta and Motivala.
//
// # Knowing one's own lateness
//
// Who sleeps hears nothing, and that proves nothing. When a Step comes later than
// half the time that means lost, that time counts for nobody's silence.
//
// # Use
//
//	core, err := gossip.New(cfg)
//	effects := core.Step(now, gossip.Join{Addrs: addrs})
//	for {
//		// do the effects; wait for a datagram or core.Deadline()
//		effects = core.Step(now, gossip.Heard{From: from, Packet: packet}) // each that waits
//		effects = core.Step(now, nil)                                      // then, past the deadline
//	}
//
// Datagrams come first: one that waits in the socket is not silence. Only a Step
// without an event lets time pass: it beats, and draws conclusions from silence.
// So a host that stood still (see Core.Stalled) can hear what others said
// meanwhile, and correct what it says itself, before it speaks again.
//
// # Limits
//
// That a host is alive or lost is a hint, never a lock: a split makes each side
// lose the other. A holder of the key is trusted; nothing here defends against him.
package gossip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// A Topic is a port of the protocol: who says something under it and what the
// bytes mean is between the riders.
type Topic uint8

// The topics in use.
const (
	Adverts Topic = 1 // net/vip: who holds which address
	Votes   Topic = 2 // consensus: leader election
	Summary Topic = 3 // what a host does, for status
)

// Limits.
const (
	MaxPacket = 1400 // bytes of a datagram
	MaxBody   = 1024 // bytes of one word under one topic
	MaxTopics = 8    // topics a host may ride
	MaxHosts  = 4096
	MaxKeys   = 8
	MaxName   = 128 // bytes of the name of a host or a cluster
)

// Config is what a Core needs to know.
type Config struct {
	Name    string // of this host, unique in the cluster
	Cluster string
	Keys    []Key    // the first seals, all open
	Boot    [16]byte // random, another at every start

	Interval time.Duration // between beats, MinInterval to MaxInterval
	Lost     int           // beats of silence that mean lost, 2 to 100; default 3
	Mesh     int           // up to this many hosts everyone beats to everyone; default 16

	Rand *rand.Rand
}

func (cfg Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("gossip: config: "+format, args...)) }
	if n := len(cfg.Name); n == 0 || n > MaxName {
		bad("name: %d bytes, want 1 to %d", n, MaxName)
	}
	if n := len(cfg.Cluster); n == 0 || n > MaxName {
		bad("cluster: %d bytes, want 1 to %d", n, MaxName)
	}
	if !validInterval(cfg.Interval) {
		bad("interval: %v, want %v to %v", cfg.Interval, MinInterval, MaxInterval)
	}
	if !validLost(cfg.Lost) {
		bad("lost: %d, want %d to %d", cfg.Lost, minLost, maxLost)
	}
	if cfg.Mesh < 1 || cfg.Mesh > MaxHosts {
		bad("mesh: %d, want 1 to %d", cfg.Mesh, MaxHosts)
	}
	if cfg.Boot == [16]byte{} {
		bad("boot: all zero")
	}
	if cfg.Rand == nil {
		bad("rand: missing")
	}
	return errors.Join(errs...)
}

const (
	minLost     = 2
	maxLost     = 100
	defaultLost = 3
	defaultMesh = 16
)

func validInterval(d time.Duration) bool { return d >= MinInterval && d <= MaxInterval }
func validLost(n int) bool               { return n >= minLost && n <= maxLost }

// A Core is the machine.
type Core struct {
	cfg      Config
	ring     ring
	counter  uint64 // of the last datagram sealed
	counters Counters

	epoch time.Time // the instant of one second
	now   instant
	due   instant       // what Deadline promised; 0: no Step yet
	moved bool          // due may be too early, because something was heard
	late  time.Duration // by how much the first Step since due came after it

	self        *host
	selfCookie  uint64  // for whoever bears our name
	epochCookie uint64  // see strangerCookie
	hosts       []*host // the others, sorted by name
	names       map[string]*host
	size        int // hosts that count, with this one
	dead        int
	suspects    int
	judged      int // hosts whose silence means something
	mesh        bool
	changed     bool // the counts and mesh may be wrong, at most until the next tick
	hungryUntil instant
	left        bool

	nextTick instant
	sweepAt  instant // when quiet hosts are next asked
	sweeps   uint64
	asks     uint64
	forgetAt instant
	answers  int // hellos that may still be answered before the next tick
	joins    []join
	prober   prober
	errands  []errand
	fresh    []news
	rotation int
	cursor   string // the last host in the part of the table that was asked for
	shouts   [keptShouts]shouted
	shoutSeq uint64

	stale     bool     // templates must be built anew
	templates [][]byte // the beat to everyone, in as many datagrams as it needs
	scratch   []byte
	extra     []byte
	special   []byte
	kept      []news
	again     []news
	opened    []byte

	effects    []Effect
	sends      pool[Send]
	delivers   pool[Deliver]
	drops      pool[Dropped]
	founds     pool[Found]
	suspecteds pool[Suspected]
	losts      pool[Lost]
}

// A join is one address of the Join list.
type join struct {
	addr   netip.AddrPort
	cookie uint64 // given to whoever is there; see admit
	next   instant
	tries  int
}

// A pool hands out values that are good until the next Step.
type pool[T any] struct {
	items []*T
	used  int
}

func (p *pool[T]) take() *T {
	if p.used == len(p.items) {
		p.items = append(p.items, new(T))
	}
	p.used++
	return p.items[p.used-1]
}

// New returns a Core that knows nobody. Its first Step starts its clock.
func New(cfg Config) (*Core, error) {
	if cfg.Lost == 0 {
		cfg.Lost = defaultLost
	}
	if cfg.Mesh == 0 {
		cfg.Mesh = defaultMesh
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ring, err := newRing(cfg.Keys)
	if err != nil {
		return nil, err
	}
	cfg.Keys = nil
	c := &Core{
		cfg: cfg, ring: ring, size: 1, mesh: true, stale: true,
		names:  make(map[string]*host),
		self:   &host{name: cfg.Name, boot: cfg.Boot, state: Alive},
		cursor: cfg.Name, // everyone begins elsewhere
		opened: make([]byte, 0, MaxPacket), answers: maxAnswers,
	}
	c.selfCookie, c.epochCookie = c.drawCookie(), c.drawCookie()
	return c, nil
}

func (c *Core) wall(t instant) time.Time {
	return c.epoch.Add(time.Duration(t) - time.Second)
}

// Deadline is when Step wants to be called next, whatever happens; zero: never.
func (c *Core) Deadline() time.Time {
	if c.left {
		return time.Time{}
	}
	c.look()
	return c.wall(c.due)
}

// look finds out what is due next, if hearing somebody may have put it off. Most
// of what is heard is heard between two deadlines, several at a time, so it is
// not worked out for each.
func (c *Core) look() {
	if c.moved {
		c.moved = false
		c.due = min(c.nextTick, c.judgement())
	}
}

// Stalled reports whether this host stood still for so long, counted from its
// Deadline to now, that others may have gone on without it: one interval before
// the deadline it was heard last, and silence begins to mean something with Lost
// of them, or with three, where a rider counts for itself.
func (c *Core) Stalled(now time.Time) bool {
	if c.due == 0 {
		return false
	}
	c.look()
	return c.stalled(max(c.late, instant(now.Sub(c.epoch)+time.Second).since(c.due)))
}

func (c *Core) stalled(late time.Duration) bool {
	return late >= scale(c.cfg.Interval, min(c.cfg.Lost, 3)-1)
}

// Hosts returns the other hosts, sorted by name.
func (c *Core) Hosts() []Host {
	hosts := make([]Host, len(c.hosts))
	for i, h := range c.hosts {
		hosts[i] = c.view(h)
	}
	return hosts
}

// Counters returns the counters.
func (c *Core) Counters() Counters { return c.counters }

// Step tells the machine the time and what happened. With a nil event it does what
// is due. The effects, and what they point to, are good until the next Step.
func (c *Core) Step(now time.Time, ev Event) []Effect {
	c.begin(now)
	if c.left {
		return nil
	}
	switch ev := ev.(type) {
	case nil:
		c.excuse()
		c.expire()
	case Heard:
		c.moved = true
		c.hear(ev.From, ev.Packet)
		return c.effects
	case Join:
		c.setJoins(ev.Addrs)
	case Say:
		c.say(ev.Topic, ev.Body)
	case Shout:
		c.shout(ev.Topic, ev.Body)
	case Rekey:
		c.rekey(ev.Keys)
	case Tune:
		c.tune(ev)
	case Leave:
		c.leave()
		return c.effects
	}
	c.settle()
	return c.effects
}

func (c *Core) begin(now time.Time) {
	if c.epoch.IsZero() {
		c.epoch = now
		c.nextTick = instant(time.Second)
		c.hungryUntil = c.nextTick.add(scale(c.cfg.Interval, hungryFor))
	}
	c.now = max(c.now, instant(now.Sub(c.epoch)+time.Second))
	if c.due != 0 && c.now > c.due {
		c.look()
		c.late = max(c.late, c.now.since(c.due))
	}
	c.effects = c.effects[:0]
	c.sends.used, c.delivers.used, c.drops.used = 0, 0, 0
	c.founds.used, c.suspecteds.used, c.losts.used = 0, 0, 0
}

// excuse forgives the others the time in which this host did not listen.
func (c *Core) excuse() {
	late := c.late
	c.late = 0
	if late <= scale(c.cfg.Interval, c.cfg.Lost)/2 {
		return
	}
	c.counters.Forgiven++
	for _, h := range c.hosts {
		h.forgive(late, c.now)
		if h.state == Suspect {
			h.since = min(h.since.add(late), c.now)
		}
	}
	c.prober.clear()
	c.errands = c.errands[:0]
}

// expire does what is due.
func (c *Core) expire() {
	c.judge()
	if c.now >= c.nextTick {
		c.nextTick = c.nextTick.add(c.cfg.Interval)
		if c.nextTick <= c.now {
			c.nextTick = c.now.add(c.cfg.Interval)
		}
		c.tick()
	}
	if c.now >= c.forgetAt {
		c.forgetAt = c.now.add(10 * time.Second)
		c.forgetOld()
		c.changed = true
	}
}

// settle brings what follows from the table up to date.
func (c *Core) settle() {
	if c.changed {
		c.changed = false
		c.recount()
	}
	c.due, c.moved = min(c.nextTick, c.judgement()), false
}

// tick is the beginning of an interval.
func (c *Core) tick() {
	c.answers = min(c.answers+answersPerTick, maxAnswers)
	if c.changed {
		c.changed = false
		c.recount()
	}
	if c.mesh {
		c.beatAll()
	}
	c.probe()
	c.hello()
}

func (c *Core) drop(reason Reason, from netip.AddrPort) {
	c.counters.Dropped[reason]++
	e := c.drops.take()
	e.Reason, e.From = reason, from
	c.effects = append(c.effects, e)
}

func (c *Core) rekey(keys []Key) {
	ring, err := newRing(keys)
	if err != nil {
		c.drop(BadKeys, netip.AddrPort{})
		return
	}
	c.ring = ring
}

func (c *Core) tune(t Tune) {
	if t.Interval != 0 && !validInterval(t.Interval) || t.Lost != 0 && !validLost(t.Lost) {
		c.drop(BadTune, netip.AddrPort{})
		return
	}
	if t.Interval != 0 {
		c.cfg.Interval = t.Interval
		c.stale = true
		c.nextTick = c.now // a longer pause must be told before it begins
	}
	if t.Lost != 0 {
		c.cfg.Lost = t.Lost
	}
}
