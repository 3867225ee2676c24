package vrrp

import (
	"net/netip"
	"time"
)

// maxGraces bounds how often in a row a Backup forgives itself for being late:
// on a host that is always late somebody must take over all the same.
const maxGraces = 3

// watch is what a router knows of the active one.
type watch struct {
	active   netip.Addr    // source of its last advertisement
	interval time.Duration // Active_Adver_Interval: as it says in v3, our own in v2
	downAt   time.Time     // Active_Down_Timer
	resigned bool          // downAt was set by priority 0
	graces   int           // times downAt was late and forgiven

	// tolerated is when PreemptDelay began: the first advertisement of lower
	// priority.
	tolerated time.Time
	preempts  bool // lower priorities are being discarded
	yielded   bool // a handover by hand is not undone by preemption
}

// rest restarts the timer for an active router that was heard, or may be there.
func (w *watch) rest(downAt time.Time) {
	w.downAt, w.resigned, w.graces, w.preempts = downAt, false, 0, false
	w.tolerated = time.Time{}
}

func (r *Router) skew() time.Duration {
	return skewTime(r.cfg.Version, r.priority, r.watch.interval)
}

func (r *Router) activeDown() time.Duration {
	return activeDownInterval(r.cfg.Version, r.priority, r.watch.interval)
}

// follow takes the sender as the active router and restarts the timer.
func (r *Router) follow(e Heard) {
	r.watch.active = e.From
	if r.cfg.Version == 3 {
		r.watch.interval = e.Interval
	}
	if r.state == Backup {
		r.watch.rest(r.now.Add(r.activeDown()))
	}
}

// heardInBackup is RFC 9568, section 6.4.2.
func (r *Router) heardInBackup(e Heard) {
	if e.Priority == Resigned {
		r.activeResigned(e)
		return
	}
	if !r.handover.releaseAt.IsZero() && (!e.Beat || e.Announced) {
		r.handover.releaseAt = time.Time{} // the one who preempted us serves now
	}
	if e.Priority >= r.priority {
		r.follow(e)
		return
	}
	if since := r.watch.tolerated; !r.preempting() {
		if since.IsZero() {
			since = r.now
		}
		r.follow(e)
		r.watch.tolerated = since
		return
	}
	r.watch.active = e.From // discarded: the timer goes on
	r.watch.preempts = true
}

// preempting says whether a lower priority is to be discarded.
func (r *Router) preempting() bool {
	if r.priority == Owner {
		return true
	}
	if !r.cfg.Preempt || r.watch.yielded {
		return false
	}
	if r.cfg.PreemptDelay == 0 {
		return true
	}
	return !r.watch.tolerated.IsZero() && r.now.Sub(r.watch.tolerated) >= r.cfg.PreemptDelay
}

// activeResigned handles priority 0. One who was not active cannot resign: the
// loser of a split that stops must not make us challenge the winner.
func (r *Router) activeResigned(e Heard) {
	if r.watch.active.IsValid() && r.watch.active != e.From {
		return
	}
	var wait time.Duration
	switch s := plain(e.Successor); {
	case s.IsValid() && s == r.cfg.Local:
		r.becomeActive("named as successor")
		return
	case s.IsValid():
		wait = r.skew()
		r.watch.yielded = true
	default:
		wait = time.Duration(256-int(r.priority)) * 10 * time.Microsecond
	}
	r.watch.resigned = true
	r.watch.downAt = earliest(r.watch.downAt, r.now.Add(wait))
}

func (r *Router) expireInBackup() {
	if due(r.handover.releaseAt, r.now) {
		r.handover.releaseAt = time.Time{}
	}
	if !due(r.watch.downAt, r.now) {
		return
	}
	late := r.now.Sub(r.watch.downAt)
	switch w := &r.watch; {
	case w.resigned:
		r.becomeActive("the active router resigned")
	case late > r.activeDown()/2 && w.graces < maxGraces:
		w.graces++
		w.downAt = r.now.Add(2*w.interval + r.skew())
	case w.preempts:
		r.becomeActive("priority is higher than the active router's")
	case w.active.IsValid():
		r.becomeActive("the active router fell silent")
	default:
		r.becomeActive("no active router was heard")
	}
}
