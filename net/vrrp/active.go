package vrrp

import (
	"cmp"
	"time"
)

// train is when to announce, counted from the moment the addresses are ours:
// soon, for the clients, and often, for what is lost or limited on the way.
var train = [...]time.Duration{
	0, 2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond,
	250 * time.Millisecond, time.Second, 5 * time.Second,
}

const (
	// trainGap is the least time between the starts of two trains, so that a
	// rival who does not hear us makes no storm.
	trainGap = time.Second
	// stallPause is what an Active that stood still leaves the shell to read
	// what others said meanwhile, before it speaks.
	stallPause = time.Millisecond
	// wireGrace is how long a preempted Active keeps the addresses on the wire.
	wireGrace = 10 * time.Millisecond
)

// rule is what an Active router knows of its own reign.
type rule struct {
	advertAt   time.Time // Adver_Timer
	stalled    bool      // advertAt came late by more than an activeDown
	answeredAt time.Time // last answer to a lower claim
	warned     bool      // that two routers claim to own the addresses

	trainStart time.Time // outlives the reign: trainGap holds between reigns too
	trainAt    time.Time // next announcement; zero: the train has passed
	trainStep  int
	quietAt    time.Time // when rivals will have been silent for long enough to speak last
}

// advertise sends one advertisement and winds the timer. The pace is kept: a
// wake-up that came a little late does not shift those to come.
func (r *Router) advertise(priority uint8) {
	ad := &r.ads[min(r.used, len(r.ads)-1)]
	if r.used >= len(r.ads) {
		ad = new(Advertise)
	}
	r.used++
	c := &r.cfg
	ad.Advertisement = Advertisement{
		Version: c.Version, VRID: c.VRID, Priority: priority,
		IPv6:     len(c.Addresses) > 0 && c.Addresses[0].Is6(),
		Interval: c.Interval, Addresses: c.Addresses, Digest: r.peers.digest,
		AuthType: c.AuthType, Auth: c.Auth,
		Announced: priority != Resigned && r.addrs.state == present,
		Successor: r.handover.successor,
	}
	if next := r.rule.advertAt.Add(c.Interval); due(r.rule.advertAt, r.now) && next.After(r.now) {
		r.rule.advertAt = next
	} else {
		r.rule.advertAt = r.now.Add(c.Interval)
	}
	r.rule.stalled = false
	r.out = append(r.out, ad)
}

// overdue says that we stood still for so long that another may have taken
// over, rightly.
func (r *Router) overdue() bool {
	return r.rule.stalled || r.now.Sub(r.rule.advertAt) > activeDownInterval(r.cfg.Version, r.priority, r.cfg.Interval)
}

// heardInActive is RFC 9568, section 6.4.3.
func (r *Router) heardInActive(e Heard) {
	tie := cmp.Or(plain(e.Rank).Compare(r.cfg.Rank), e.From.Compare(r.cfg.Local)) > 0
	switch {
	case e.Priority == Resigned:
		r.advertise(r.priority)
	case r.overdue():
		r.yield(e, "another router took over while this host stood still")
	case e.Priority == Owner && r.priority == Owner:
		r.rivalOwner(e, tie)
	case e.Priority > r.priority:
		r.yield(e, "higher priority heard")
	case e.Priority == r.priority && tie:
		r.yield(e, "equal priority of a higher address heard")
	default:
		r.contest(e)
	}
}

// rivalOwner settles what the configuration should have: of two owners one
// lowers itself to 254.
func (r *Router) rivalOwner(e Heard, tie bool) {
	if !r.rule.warned {
		r.rule.warned = true
		r.out = append(r.out, Warn{Why: "two routers have priority 255", From: e.From})
	}
	if !tie {
		r.contest(e)
		return
	}
	r.priority = Owner - 1
	r.yield(e, "another owner of a higher address heard")
}

// yield makes way for the sender. If it is only about to put its addresses up,
// ours stay: over gossip until it says that it has, on the wire, where it cannot
// say so, for a moment.
func (r *Router) yield(e Heard, why string) {
	late := r.overdue()
	r.becomeBackup(why)
	r.follow(e)
	switch {
	case late || e.Beat && e.Announced || r.addrs.state != present:
	case e.Beat:
		r.handover.releaseAt = r.now.Add(e.Interval + 100*time.Millisecond)
	default:
		r.handover.releaseAt = r.now.Add(min(wireGrace, e.Interval/2))
	}
}

// contest answers a claim that is not good: to its sender at once, and to
// whoever may have believed it. The answers are bounded, as the sender may be
// unable to hear us.
func (r *Router) contest(e Heard) {
	if r.rule.answeredAt.IsZero() || r.now.Sub(r.rule.answeredAt) >= r.cfg.Interval/2 {
		r.rule.answeredAt = r.now
		r.advertise(r.priority)
	}
	if r.addrs.state == present && r.now.Sub(r.rule.trainStart) >= trainGap {
		r.startTrain()
	}
	r.rule.quietAt = r.now.Add(2 * e.Interval)
}

func (r *Router) startTrain() {
	r.rule.trainStart, r.rule.trainAt, r.rule.trainStep = r.now, r.now, 0
	r.announce()
}

// announce does the step of the train that is due, once, however late.
func (r *Router) announce() {
	r.out = append(r.out, Announce{})
	for r.rule.trainAt = (time.Time{}); r.rule.trainStep < len(train); {
		at := r.rule.trainStart.Add(train[r.rule.trainStep])
		if at.After(r.now) {
			r.rule.trainAt = at
			return
		}
		r.rule.trainStep++
	}
}

func (r *Router) expireInActive() {
	if due(r.rule.advertAt, r.now) {
		stalled := r.rule.stalled
		if !stalled && r.overdue() {
			r.rule.stalled = true
			r.rule.advertAt = r.now.Add(stallPause)
			return
		}
		r.advertise(r.priority)
		if stalled && r.addrs.state == present {
			r.startTrain()
		}
	}
	if due(r.rule.quietAt, r.now) {
		r.rule.quietAt = time.Time{}
		if r.addrs.state == present {
			r.startTrain()
		}
	}
	if due(r.rule.trainAt, r.now) {
		r.announce()
	}
}
