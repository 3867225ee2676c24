package vrrp

import (
	"net/netip"
	"time"
)

// watch is what a router knows of the active one.
type watch struct {
	active   netip.Addr    // source of its last advertisement
	interval time.Duration // Active_Adver_Interval: as it says in v3, our own in v2
	downAt   time.Time     // Active_Down_Timer
	priority uint8         // of its last advertisement
	prompt   string        // why downAt is to be obeyed even if it comes late
	lookAt   time.Time     // when to look whether this host is awake to hear; see attend
	forgiven time.Duration // of the silence, because this host stood still meanwhile

	// tolerated is when PreemptDelay began: the first advertisement of lower
	// priority.
	tolerated time.Time
	preempts  bool // lower priorities are being discarded
	yielded   bool // a handover by hand is not undone by preemption
}

// rest restarts the timer for an active router that was heard, or may be there.
func (w *watch) rest(now time.Time, down time.Duration) {
	w.downAt, w.prompt, w.preempts = now.Add(down), "", false
	w.lookAt, w.forgiven = now.Add(w.interval*3/2), 0
	w.tolerated = time.Time{}
}

// attend takes from the silence the time this host was not awake to hear. While
// an advertisement is overdue it looks twice in an interval; a look that comes
// late by more than a quarter of an interval says that the host stood still, as a
// virtual machine does when its processor is taken: then the active router may
// have stood still with it, and has as long again to speak, at least an interval.
// What is forgiven of one silence is bounded: on a host that is always late
// somebody must take over all the same.
func (w *watch) attend(now time.Time, down time.Duration) {
	look := earliest(w.lookAt, w.downAt)
	if !due(look, now) {
		return
	}
	w.lookAt = now.Add(w.interval / 2)
	late := now.Sub(look)
	if late <= w.interval/4 || w.prompt != "" || w.preempts || w.forgiven >= 3*down {
		return
	}
	w.forgiven += min(late, down)
	w.downAt = w.downAt.Add(late)
	if least := now.Add(w.interval); w.downAt.Before(least) {
		w.downAt = least
	}
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
		r.watch.rest(r.now, r.activeDown())
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
	r.watch.attend(r.now, r.activeDown())
	if !due(r.watch.downAt, r.now) {
		return
	}
	switch w := &r.watch; {
	case w.prompt != "":
		r.becomeActive(w.prompt)
	case w.preempts:
		r.becomeActive("priority is higher than the active router's")
	case w.active.IsValid():
		r.becomeActive("the active router fell silent")
	default:
		r.becomeActive("no active router was heard")
	}
}
