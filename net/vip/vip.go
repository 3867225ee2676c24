// Package vip moves virtual addresses between hosts.
//
// A [Speaker] runs one vrrp.Router for each VIP, or for each group of VIPs,
// and does what it asks: it sends advertisements by one of two carriers, adds
// and removes addresses through a [Link], and tells the neighbours by
// gratuitous ARP and neighbour advertisements who answers for them.
//
//	         loop thread                           mover thread
//	rider ──> carrier ─┐                        ┌─> Link: netlink, ARP, ND
//	sockets ─> port ───┼─> vrrp.Router ─ jobs ──┤
//	mailbox ───────────┘        ^               │
//	   ^                        └──── dones ────┘
//	   └── watch goroutine: interfaces and addresses, by netlink
//
// Two threads share the work. The loop thread, which also carries the
// heartbeats, owns every router: it reads adverts, sends adverts and decides,
// and it never waits for the kernel's tables. A second locked thread, the
// mover, makes the netlink calls and sends the announcements; what it has done
// comes back to the loop as an event. Everything else (configuration, health,
// commands, interfaces seen) reaches the loop by a bounded mailbox, and status
// leaves it as an immutable snapshot.
//
// The VIPs of a group share one router, which is what makes them move as one:
// each has its own VRID on the wire, and an advertisement of any of them counts
// for all.
//
// A Speaker is a heartbeat.Part: add it to the loop after the heartbeat.Node
// whose rider it uses, then run [Speaker.Run] beside the loop for its slow
// half.
package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vrrp"
)

// A Rider carries bodies between the hosts of the cluster: *heartbeat.Rider.
type Rider interface {
	Say(body []byte)
	Shout(body []byte)
	Take() heartbeat.Inbox
}

// A Loop brings its parts round once more: *heartbeat.Loop.
type Loop interface{ Wakeup() }

// maxMail bounds the mailbox. A poster waits when it is full: what is posted
// is either a wish that must not be lost or what the kernel has told.
const maxMail = 1024

// A Speaker takes part in the election of every VIP of this host.
type Speaker struct {
	host string
	loop Loop
	link Link
	log  *slog.Logger

	// The loop thread's own.
	gossip    *gossipCarrier // nil without a rider
	instances []*instance    // in the order of the configuration, those that stop last
	legs      []*leg         // of all instances
	byVRID    [256]*leg      // of the gossip carrier
	ports     []*port
	fds       []int
	links     map[string]linkState
	sightings []sighting // virtual addresses on the interfaces of this host
	expelling bool       // one that should not be there is being removed
	health    map[string]health
	deadline  time.Time
	now       time.Time // of this Wake
	stale     bool      // the snapshot does not say what is
	renewAt   time.Time // when it may be renewed
	later     []Config  // a configuration that waits for instances to stop
	stopping  bool
	stopped   bool
	hear      func(*peer, *vrrp.Advertisement) // s.hearGossip, bound once
	reject    func(*peer, error)
	scratch   vrrp.Heard

	// Between goroutines.
	mail     chan any
	moves    chan job
	calls    chan job // announcements: they go before moves
	dones    chan done
	applied  chan []Config // for the watch; capacity one, the latest
	status   atomic.Pointer[[]snapshot]
	changes  chan Change
	missed   atomic.Uint64
	closed   chan struct{} // Run has ended
	gone     chan struct{} // every address is gone
	stopOnce sync.Once
}

// mail for the loop.
type (
	configure struct{ cfgs []Config }
	wellbeing struct {
		name string
		health
	}
	resign struct {
		name, to string
		reply    chan error
	}
	stop   struct{}
	attach struct{ port *port }
)

type health struct {
	delta int
	fault string
}

// NewSpeaker builds a Speaker for the host of that name; nothing runs before
// the loop and Run do. rider may be nil when no VIP uses the carrier "gossip".
func NewSpeaker(host string, cfgs []Config, rider Rider, loop Loop, link Link, log *slog.Logger) (*Speaker, error) {
	s := &Speaker{
		host: host, loop: loop, link: link, log: log,
		links:  make(map[string]linkState),
		health: make(map[string]health),
		mail:   make(chan any, maxMail),
		// A leg has at most one move and one announcement under way, and
		// twice as many legs as maxInstances exist while a reload replaces
		// all of them. One more is an expulsion.
		moves:   make(chan job, 2*maxInstances+1),
		calls:   make(chan job, 2*maxInstances),
		dones:   make(chan done, 4*maxInstances+1),
		applied: make(chan []Config, 1),
		changes: make(chan Change, 256),
		closed:  make(chan struct{}),
		gone:    make(chan struct{}),
	}
	if r, ok := rider.(*heartbeat.Rider); rider != nil && (!ok || r != nil) {
		s.gossip = newGossipCarrier(host, rider)
	}
	s.hear, s.reject = s.hearGossip, s.rejectGossip
	if err := s.Apply(cfgs); err != nil {
		return nil, err
	}
	s.status.Store(new(announce(cfgs)))
	return s, nil
}

// announce is the snapshot before the loop has taken the configuration.
func announce(cfgs []Config) (all []snapshot) {
	for _, c := range cfgs {
		c = c.Defaults(0)
		all = append(all, snapshot{Status: Status{
			Name: c.Name, Group: c.Group, VRID: c.VRID, State: vrrp.Initialize.String(), Priority: c.Priority,
			Addresses: c.Addresses, Interface: c.Interface, Carrier: c.Carrier, Interval: c.Interval,
		}})
	}
	return all
}

// FDs are the sockets of the carrier "vrrp".
func (s *Speaker) FDs() []int { return s.fds }

// Deadline is the earliest deadline of the routers.
func (s *Speaker) Deadline() time.Time { return s.deadline }

// Wake reads what has arrived, steps the routers and does what they ask. What
// others say goes first, so that an advertisement in the queue counts before
// a timer that is overdue.
func (s *Speaker) Wake(now time.Time) {
	s.now = now
	for _, p := range s.ports {
		s.drain(p)
	}
	if s.gossip != nil {
		s.gossip.take(s.hear, s.reject)
		if s.gossip.moved {
			s.gossip.moved, s.stale = false, true
		}
	}
	s.takeDones()
	s.takeMail()
	if s.later != nil && len(s.legs)+len(s.later) <= 2*maxInstances {
		s.take(configure{s.later})
	}
	s.expire()
	if s.gossip != nil {
		s.gossip.flush(s.legs)
	}
	if s.stale {
		s.publish()
	}
}

func (s *Speaker) takeDones() {
	for {
		select {
		case d := <-s.dones:
			s.done(d)
		default:
			return
		}
	}
}

func (s *Speaker) takeMail() {
	for {
		select {
		case m := <-s.mail:
			s.take(m)
		default:
			return
		}
	}
}

func (s *Speaker) take(m any) {
	switch m := m.(type) {
	case configure:
		// The mover's queue has room for twice as many legs as there can be.
		if s.later = nil; len(s.legs)+len(m.cfgs) > 2*maxInstances {
			s.later = m.cfgs
			return
		}
		s.configure(m.cfgs)
	case wellbeing:
		if m.health == (health{}) {
			delete(s.health, m.name)
		} else {
			s.health[m.name] = m.health
		}
		s.judgeAll()
	case linkState:
		s.sighted(m)
	case sighting:
		s.seen(m)
	case addressGone:
		s.addressGone(m)
	case attach:
		s.attach(m.port)
	case resign:
		m.reply <- s.handOver(m.name, m.to)
	case stop:
		s.stopping = true
		for _, i := range s.instances {
			s.retire(i)
		}
		s.sweep()
	default:
		panic(fmt.Sprintf("vip: mail %T", m))
	}
}

// expire gives every router whose time has come its turn and finds the next
// deadline.
func (s *Speaker) expire() {
	// A router's deadline comes nearer only in step, which sees it: until the
	// nearest one known there is nothing to do.
	if s.deadline.After(s.now) {
		return
	}
	var next time.Time
	for _, i := range s.instances {
		if d := i.router.Deadline(); !d.IsZero() && !d.After(s.now) {
			s.step(i, nil)
		}
		if d := i.router.Deadline(); !d.IsZero() && (next.IsZero() || d.Before(next)) {
			next = d
		}
	}
	s.deadline = next
}

// post gives the loop something to take.
func (s *Speaker) post(m any) bool {
	select {
	case s.mail <- m:
		s.loop.Wakeup()
		return true
	case <-s.closed:
		return false
	}
}

// Apply makes cfgs the whole set of VIPs. Unchanged ones are not disturbed,
// changed ones are changed in place where the protocol allows it, and those
// that are gone are handed over first.
func (s *Speaker) Apply(cfgs []Config) error {
	if err := CheckAll(cfgs); err != nil {
		return err
	}
	all := make([]Config, len(cfgs))
	for i, c := range cfgs {
		all[i] = c.Defaults(0)
		if s.gossip == nil && all[i].Carrier == carrierGossip {
			return fmt.Errorf(`vip %s: carrier: "gossip" needs the cluster's heartbeats`, c.Name)
		}
	}
	select {
	case <-s.applied: // an older one that Run has not taken yet
	default:
	}
	select {
	case s.applied <- all:
	default: // somebody else applied at the same moment; theirs is as new
	}
	return nil
}

// SetHealth says how the services and checks tracked for the VIP of that name
// are: delta is added to its priority, and a fault that is not empty makes it
// release its addresses until it is empty again.
func (s *Speaker) SetHealth(name string, delta int, fault string) {
	s.post(wellbeing{name, health{delta, fault}})
}

// Resign hands the VIP of that name, with its group, to the host named to, or
// to the best backup if to is empty.
func (s *Speaker) Resign(name, to string) error {
	reply := make(chan error, 1)
	if !s.post(resign{name, to, reply}) {
		return errStopped
	}
	select {
	case err := <-reply:
		return err
	case <-s.closed:
		return errStopped
	}
}

var errStopped = errors.New("vip: the speaker has stopped")

// Stop resigns every VIP; the channel is closed when every address is gone.
func (s *Speaker) Stop() <-chan struct{} {
	s.stopOnce.Do(func() { s.post(stop{}) })
	return s.gone
}

// Changes delivers every change of state; when nobody reads, the oldest are
// dropped and counted.
func (s *Speaker) Changes() <-chan Change { return s.changes }

func (s *Speaker) handOver(name, to string) error {
	n := slices.IndexFunc(s.instances, func(i *instance) bool { return !i.stopping && i.named(name) })
	if n < 0 {
		return fmt.Errorf("vip: resign %s: there is no such vip", name)
	}
	i := s.instances[n]
	if st := i.router.State(); st != vrrp.Active {
		return fmt.Errorf("vip: resign %s: this host is not active but in state %v", name, st)
	}
	ev := vrrp.Resign{}
	switch {
	case !i.wire():
		p := s.gossip.successor(i.vrids, to)
		switch {
		case p != nil:
			ev.To = p.id
		case to != "":
			return fmt.Errorf("vip: resign %s: host %s cannot take over: it is not alive, in fault, or does not serve the vip", name, to)
		default:
			return fmt.Errorf("vip: resign %s: no other host can take over", name)
		}
	case to != "":
		return fmt.Errorf("vip: resign %s: the carrier \"vrrp\" cannot name a successor", name)
	}
	s.step(i, ev)
	return nil
}

// retire stops an instance, which hands over first if it is active.
func (s *Speaker) retire(i *instance) {
	if i.stopping {
		return
	}
	i.stopping = true
	ev := vrrp.Stop{}
	if !i.wire() {
		if p := s.gossip.successor(i.vrids, ""); p != nil {
			ev.To = p.id
		} else {
			ev.Alone = true
		}
	}
	s.step(i, ev)
}

// sweep drops the instances that have stopped, and lets those begin that
// waited for their addresses.
func (s *Speaker) sweep() {
	before := len(s.instances)
	s.instances = slices.DeleteFunc(s.instances, func(i *instance) bool { return i.stopping && i.ended && !i.busy() })
	if len(s.instances) != before {
		s.legs = s.legs[:0]
		for _, i := range s.instances {
			s.legs = append(s.legs, i.legs...)
		}
		if s.gossip != nil {
			s.gossip.dirty = true
		}
		s.register()
		s.stale = true
	}
	for _, i := range s.instances {
		if i.phase == waiting && !i.stopping && !slices.ContainsFunc(s.instances, i.blockedBy) {
			s.clean(i)
		}
	}
	if s.stopping && !s.stopped && len(s.instances) == 0 {
		s.stopped = true
		close(s.gone)
	}
}

// register makes the tables by which a VRID is found.
func (s *Speaker) register() {
	s.byVRID = [256]*leg{}
	for _, p := range s.ports {
		p.legs = [256]*leg{}
	}
	for _, l := range s.legs {
		l.port = nil
		if l.inst.phase == waiting {
			continue
		}
		if !l.wire() {
			s.byVRID[l.cfg.VRID] = l
			continue
		}
		for _, p := range s.ports {
			if p.v6 != l.v6 || p.name != l.cfg.Interface && p.name != l.device() {
				continue
			}
			p.legs[l.cfg.VRID] = l
			if p.name == l.cfg.Interface {
				l.port = p
			}
		}
	}
}
