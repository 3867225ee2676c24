package health

import "time"

// A Guard mistrusts a round of checks that would take out too much of a pool at once: then it is more
// likely that this host is cut off than that all those servers died in the same second. What fell in
// that round is kept, until no more than the share is down.
type Guard struct {
	Share  float64       // at most this share of the pool may go in one Window; 0: never keep
	Window time.Duration // one round of checks

	on   bool
	from time.Time // falls since then are of the suspect round
}

// A Member is what a Guard has to know of a real server.
type Member struct {
	State State
	Fell  time.Time // when it last went from Up to Down; zero: never
}

// With is g under another share and window; what it keeps it goes on keeping.
func (g Guard) With(share float64, window time.Duration) Guard {
	g.Share, g.Window = share, window
	return g
}

// Judge sets keep[i] for the members that stay although they are Down, and reports whether the guard
// is on. A single server is never kept: one failure is no pattern.
func (g *Guard) Judge(now time.Time, members []Member, keep []bool) bool {
	clear(keep)
	if g.Share <= 0 || len(members) == 0 {
		g.on = false
		return false
	}
	limit := g.Share * float64(len(members))
	down, recent := 0, 0
	for _, m := range members {
		if m.State != Down || m.Fell.IsZero() {
			continue
		}
		down++
		if now.Sub(m.Fell) <= g.Window {
			recent++
		}
	}
	switch {
	case g.on:
		g.on = float64(down) > limit
	case recent > 1 && float64(recent) > limit:
		g.on, g.from = true, now.Add(-g.Window)
	}
	if !g.on {
		return false
	}
	for i, m := range members {
		keep[i] = m.State == Down && !m.Fell.IsZero() && !m.Fell.Before(g.from)
	}
	return true
}

// A Watermark keeps a service from swinging: it has enough from Quorum+Hysteresis on and too little
// below Quorum-Hysteresis; between the two it stays as it was.
type Watermark struct {
	Quorum     int // 1 or more
	Hysteresis int

	begun, enough bool
}

// With is w under other marks; what was enough stays so until they say otherwise.
func (w Watermark) With(quorum, hysteresis int) Watermark {
	w.Quorum, w.Hysteresis = quorum, hysteresis
	return w
}

// Step takes the present weight and reports whether it is enough. The first one is held to Quorum alone.
func (w *Watermark) Step(weight int) bool {
	switch {
	case !w.begun:
		w.begun, w.enough = true, weight >= w.Quorum
	case w.enough:
		w.enough = weight >= max(w.Quorum-w.Hysteresis, 1)
	default:
		w.enough = weight >= w.Quorum+w.Hysteresis
	}
	return w.enough
}
