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
	priority uint8         // of its last advertisement
	prompt   string        // why downAt is to be obeyed even if it comes late
	graces   int           // times downAt was late and forgiven

	// tolerated is when PreemptDelay began: the first advertisement of lower
	// priority.
	tolerated time.Time
	preempts  bool // lower priorities are being discarded
	yielded   bool // a handover by hand is not undone by preemption
}

// rest restarts the timer for an active router that was heard, or may be there.
func (w *watch) rest(downAt time.Time) {
	w.downAt, w.prompt, w.graces, w.preempts = downAt, "", 0, false
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
	r.watch.active, r.watch.priority = e.From, e.Priority
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
	// Discarded: the timer goes on. But if the active router itself has just sunk
	// below us, its host is not well, and there is nothing to wait for.
	r.watch.preempts = true
	if e.From == r.watch.active && r.watch.priority >= r.priority {
		r.promptly("the active router lowered its priority")
	}
	r.watch.active, r.watch.priority = e.From, e.Priority
}

// promptly takes over after a moment that only puts several backups in order:
// the higher the priority, the sooner.
func (r *Router) promptly(why string) {
	r.watch.prompt = why
	r.watch.downAt = earliest(r.watch.downAt, r.now.Add(time.Duration(256-int(r.priority))*10*time.Microsecond))
}

// preempting says whether a lower priority is to be discarded.
func (r *Router) preempting() bool {
	if r.cfg.Priority == Owner {
		return true
	}
	if !r.cfg.Preempt || r.watch.yielded || r.addrs.retry > 0 {
		return false // the last: who could not add the addresses disturbs nobody who can
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
	switch s := plain(e.Successor); {
	case s.IsValid() && s == r.cfg.Local:
		r.becomeActive("named as successor")
	case s.IsValid():
		r.watch.prompt, r.watch.yielded = "the active router resigned", true
		r.watch.downAt = earliest(r.watch.downAt, r.now.Add(r.skew()))
	default:
		r.promptly("the active router resigned")
	}
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
	case w.prompt != "":
		r.becomeActive(w.prompt)
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
