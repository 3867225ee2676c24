package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// A State is a state of RFC 9568, section 6.4, or one of the two this package
// adds.
type State uint8

const (
	Initialize State = iota // waits for Start
	Backup                  // watches the active router
	Active                  // owns the addresses
	Resigning               // has sent priority 0 and keeps the addresses until a successor is heard
	Faulty                  // cannot serve
)

func (s State) String() string {
	return [...]string{"initialize", "backup", "active", "resigning", "fault"}[s]
}

// A Router is the state machine of one virtual router.
type Router struct {
	cfg      Config
	priority uint8 // in use; differs from cfg.Priority while something tracked fails
	state    State
	fault    string // reason of Fault; empty: none
	stopping bool   // Stop was heard

	now  time.Time // of this Step
	out  []Effect
	ads  [2]Advertise // what out points to
	used int

	watch    watch
	rule     rule
	handover handover
	addrs    addresses
	peers    agreement
}

// New returns a router in Initialize. It panics if cfg cannot be a router's.
func New(cfg Config) *Router {
	cfg = cfg.withDefaults()
	if cfg.VRID == 0 || cfg.Version != 2 && cfg.Version != 3 || len(cfg.Addresses) > 255 {
		panic(fmt.Sprintf("vrrp: new router: vrid %d, version %d, %d addresses", cfg.VRID, cfg.Version, len(cfg.Addresses)))
	}
	r := &Router{cfg: cfg, priority: cfg.Priority}
	r.watch.interval = cfg.Interval
	r.peers.digest = Digest(cfg.Addresses)
	return r
}

// State is the state.
func (r *Router) State() State { return r.state }

// Priority is the priority in use.
func (r *Router) Priority() uint8 { return r.priority }

// Peer is the active router we last heard; zero if none was, and when we took
// over.
func (r *Router) Peer() netip.Addr { return r.watch.active }

// Step takes an event and says what to do about it. Only a nil event lets time
// expire: see the package comment. The effects are good until the next Step.
func (r *Router) Step(now time.Time, ev Event) []Effect {
	r.now, r.out, r.used = now, r.out[:0], 0
	switch e := ev.(type) {
	case nil:
		r.expire()
	case Heard:
		r.heard(e)
	case *Heard: // a shell may keep one and use it again
		r.heard(*e)
	case Start:
		if r.state == Initialize && !r.stopping {
			r.begin("started", r.cfg.Wait)
		}
	case SetPriority:
		r.setPriority(e.Priority)
	case SetLocal:
		r.cfg.Local = plain(e.Local)
	case Reconfigure:
		r.reconfigure(e.Config.withDefaults())
	case Fault:
		r.fail(e.Reason)
	case Recovered:
		r.recovered()
	case Resign:
		if r.state == Active && plain(e.To) != r.cfg.Local {
			r.becomeResigning(e.To, e.Alone, "asked to hand over")
		}
	case Stop:
		r.stop(e)
	case Acquired, AddressFailed, AddressLost, Released:
		r.completed(ev)
	default:
		panic("vrrp: step: not an event of this package") // printing it would put every event on the heap
	}
	r.settle()
	return r.out
}

func (r *Router) heard(e Heard) {
	if e.Interval <= 0 || e.From == r.cfg.Local {
		return // the codec refuses the first, RFC 9568 erratum 8301; the second is our echo
	}
	e.From = plain(e.From)
	if e.Priority != Resigned && r.state != Initialize {
		r.compareAddresses(e)
	}
	switch r.state {
	case Backup:
		r.heardInBackup(e)
	case Active:
		r.heardInActive(e)
	case Resigning:
		r.heardInResigning(e)
	case Faulty:
		if e.Priority != Resigned {
			r.follow(e)
		} else if e.From == r.watch.active {
			r.watch.active = netip.Addr{}
		}
	}
}

func (r *Router) expire() {
	switch r.state {
	case Backup:
		r.expireInBackup()
	case Active:
		r.expireInActive()
	case Resigning:
		r.expireInResigning()
	case Faulty:
		if due(r.addrs.retryAt, r.now) {
			r.begin("tries to add the addresses again", 0)
		}
	}
}

// Deadline is the latest time for the next Step(now, nil); zero: never.
func (r *Router) Deadline() time.Time {
	switch r.state {
	case Backup:
		return earliest(r.watch.downAt, r.watch.lookAt, r.handover.releaseAt)
	case Active:
		return earliest(r.rule.advertAt, r.rule.trainAt, r.rule.quietAt)
	case Resigning:
		return earliest(r.rule.advertAt, r.handover.releaseAt, r.handover.giveUpAt)
	case Faulty:
		return r.addrs.retryAt
	}
	return time.Time{}
}

// due says whether a timer has expired; a zero one never does.
func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

func earliest(at ...time.Time) (first time.Time) {
	for _, t := range at {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// begin enters the first state of a router that can serve (RFC 9568, section
// 6.4.1).
func (r *Router) begin(why string, wait time.Duration) {
	switch {
	case r.fault != "":
		r.becomeFaulty(r.fault)
	case r.priority == Owner:
		r.becomeActive(why + " as owner of the addresses")
	default:
		r.becomeBackup(why)
		r.watch.downAt = r.watch.downAt.Add(wait)
	}
}

func (r *Router) fail(reason string) {
	if reason == "" {
		reason = "fault"
	}
	r.fault = reason
	r.addrs.retryAt = time.Time{}
	if r.state == Initialize || r.state == Faulty {
		return
	}
	if r.state == Active {
		r.advertise(Resigned)
	}
	r.becomeFaulty(reason)
}

func (r *Router) recovered() {
	if r.fault == "" {
		return
	}
	r.fault = ""
	r.addrs.retry = 0
	if r.state == Faulty {
		r.begin("recovered", r.cfg.Wait)
	}
}

func (r *Router) stop(e Stop) {
	r.stopping = true
	switch r.state {
	case Active:
		r.becomeResigning(e.To, e.Alone, "asked to stop")
	case Resigning:
		if e.Alone {
			r.handover.giveUpAt = earliest(r.handover.giveUpAt, r.now.Add(r.patience(true)))
		}
	default:
		r.becomeInitialize("asked to stop")
	}
}

// setPriority changes the priority in use. Tracking can make nobody the owner,
// and takes from the owner nothing; nor can it resign.
func (r *Router) setPriority(p uint8) {
	if r.cfg.Priority == Owner {
		return
	}
	p = min(max(p, 1), Owner-1)
	if p == r.priority {
		return
	}
	r.priority = p
	if r.state == Active {
		r.advertise(p)
	}
}

func (r *Router) reconfigure(cfg Config) {
	if cfg.VRID != r.cfg.VRID || cfg.Version != r.cfg.Version {
		panic(fmt.Sprintf("vrrp: reconfigure router %d/v%d as %d/v%d", r.cfg.VRID, r.cfg.Version, cfg.VRID, cfg.Version))
	}
	old := r.cfg
	r.cfg = cfg
	r.priority = cfg.Priority
	r.addrs.retry = 0
	r.peers.digest = Digest(cfg.Addresses)
	r.peers.heard, r.peers.differs = r.peers.heard[:0], false
	if !sameSet(old.Addresses, cfg.Addresses) {
		r.addrs.changed()
	}
	if !r.watch.active.IsValid() || cfg.Version == 2 {
		r.watch.interval = cfg.Interval
		if r.state == Backup && cfg.Interval != old.Interval {
			r.watch.downAt = r.now.Add(r.activeDown())
		}
	}
	if r.state == Active {
		r.advertise(r.priority)
	}
}

// The becomes: every change of state goes through one of these.

func (r *Router) become(s State, why string) {
	from := r.state
	r.state = s
	r.rule = rule{trainStart: r.rule.trainStart}
	r.handover = handover{}
	r.addrs.retryAt = time.Time{}
	r.out = append(r.out, Became{From: from, To: s, Why: why})
}

func (r *Router) becomeInitialize(why string) {
	r.become(Initialize, why)
	r.watch = watch{interval: r.cfg.Interval}
}

func (r *Router) becomeBackup(why string) {
	r.become(Backup, why)
	r.watch.rest(r.now, r.activeDown())
}

// becomeActive sends the advertisement first: of all that happens at takeover it
// is what the others wait for.
func (r *Router) becomeActive(why string) {
	r.watch = watch{interval: r.cfg.Interval}
	at := len(r.out)
	r.become(Active, why)
	r.advertise(r.priority)
	r.out[at], r.out[at+1] = r.out[at+1], r.out[at]
	if r.addrs.state == present {
		r.startTrain()
	}
}

// becomeResigning begins a planned handover. Priority 0 is repeated at the
// usual pace until a successor is heard: a lost one would cost an activeDown.
func (r *Router) becomeResigning(to netip.Addr, alone bool, why string) {
	r.become(Resigning, why)
	r.handover.successor = plain(to)
	r.handover.giveUpAt = r.now.Add(r.patience(alone))
	r.advertise(Resigned)
}

func (r *Router) becomeFaulty(why string) {
	if r.stopping {
		r.becomeInitialize(why)
		return
	}
	r.become(Faulty, why)
	r.watch = watch{interval: r.watch.interval, active: r.watch.active}
}
