package health

import (
	"fmt"
	"time"
)

// maxFirst bounds the wait for the first answer of a check whose interval is long.
const maxFirst = time.Second

// holdFalls is the number of falls within the window from which on Rise is doubled, and maxHold how
// often it is doubled at most.
const (
	holdFalls = 3
	maxHold   = 3
)

// Report is what is known of one check.
type Report struct {
	State    State
	Since    time.Time // of State
	Fell     time.Time // when it last went from Up to Down
	Streak   int       // answers in a row that contradict State
	Need     int       // how many of them change it
	Probes   uint64    // so far
	Failures uint64    // of them
	Answered time.Time // the last answer; zero: none yet
	Took     time.Duration
	Reason   string // of the last failure; empty after a good answer
}

// A check is the machine of one check.
type check struct {
	Report
	id     string
	timing Timing
	quick  bool
	hash   uint64

	due     time.Time // the next probe; zero while one is under way
	skipped bool      // the probe that was due has been put off once
	sent    time.Time // the last probe
	asked   bool      // a probe is under way
	seq     uint64    // its number
	lastOK  bool      // of the last answer
	falls   []time.Time
	index   int // in the queue
}

func (c *check) send(now time.Time, seq uint64) Effect {
	c.Probes++
	c.seq = seq
	c.sent, c.due, c.asked, c.skipped = now, time.Time{}, true, false
	return Probe{ID: c.id, Seq: seq, Timeout: c.timing.Timeout}
}

// period is the time between two probes in the present state.
func (c *check) period() time.Duration {
	switch {
	case c.State == Unknown:
		return min(c.timing.Interval, maxFirst)
	case c.Streak > 0:
		return c.timing.FastInterval
	case c.State == Down:
		return c.timing.DownInterval
	}
	return c.timing.Interval
}

func (c *check) result(now time.Time, r Result, out []Effect) []Effect {
	c.asked = false
	c.Answered, c.Took, c.Reason = now, r.Took, r.Reason
	if !r.OK {
		c.Failures++
	}
	c.count(r.OK)
	c.Need = c.need(now, r.OK)
	if c.Streak < c.Need {
		return out
	}
	to, reason := Down, r.Reason
	if r.OK {
		to, reason = Up, fmt.Sprintf("%d good in a row", c.Streak)
	}
	return append(out, c.become(now, to, reason))
}

// count keeps Streak: how many answers in a row were alike and speak for another State.
func (c *check) count(ok bool) {
	if ok != c.lastOK {
		c.Streak = 0
	}
	c.lastOK = ok
	c.Streak++
	if (c.State == Up && ok) || (c.State == Down && !ok) {
		c.Streak = 0
	}
}

// need is how many answers like the last one change State.
func (c *check) need(now time.Time, ok bool) int {
	switch {
	case c.Streak == 0:
		return 1 // the answer confirms State
	case !ok:
		return c.timing.Fall
	case c.State == Unknown && c.quick:
		return 1
	}
	return c.timing.Rise << c.hold(now)
}

// hold is how often Rise is doubled for a server that keeps falling.
func (c *check) hold(now time.Time) int {
	falls := 0
	for _, t := range c.falls {
		if now.Sub(t) <= c.timing.FlapWindow {
			falls++
		}
	}
	return min(max(falls-holdFalls+1, 0), maxHold)
}

func (c *check) become(now time.Time, to State, reason string) Effect {
	from := c.State
	if from == Up {
		c.Fell = now
		c.falls = append(c.falls, now)
		if extra := len(c.falls) - (holdFalls + maxHold - 1); extra > 0 {
			c.falls = c.falls[extra:]
		}
	}
	c.State, c.Since, c.Streak = to, now, 0
	return Became{ID: c.id, From: from, To: to, Reason: reason}
}

// connectFailed counts a client's failed connection as a failed probe, short of the one that would
// take the server down, and brings the next probe forward: to at most ten in a period, whatever the
// number of clients. It reports whether due has changed.
func (c *check) connectFailed(now time.Time, ev ConnectFailed) bool {
	if c.State != Up {
		return false
	}
	if c.Streak < c.timing.Fall-1 {
		c.Streak++
		c.lastOK = false
		c.Reason = ev.Reason
	}
	soon := now
	if earliest := c.sent.Add(c.timing.FastInterval / 10); earliest.After(now) {
		soon = earliest
	}
	if c.asked || !soon.Before(c.due) {
		return false
	}
	c.due = soon
	return true
}
