package consensus

import (
	"slices"
	"time"

	"example.org/ha/consensus/jute"
)

// The loop wakes at least every beat while there are sessions. A wake-up that comes stalledAfter too late
// says that the server stood still: no session expires for what was not read in that time.
const (
	beat         = 250 * time.Millisecond
	stalledAfter = 150 * time.Millisecond
)

// fewSessions that expire at once are named one by one in the log.
const fewSessions = 16

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

// notice compares the clock with when the loop meant to wake.
func (l *loop) notice() {
	late := l.now.Sub(l.wake)
	if l.wake.IsZero() || late < stalledAfter {
		return
	}
	l.sessions.Pause(late)
	// What clients sent meanwhile is still on its way through the sockets: one beat for it. On a host that
	// is always late this is no reason to wait for ever.
	if late >= l.cfg.Tick || l.now.Sub(l.patience) >= l.cfg.Tick {
		l.patience = l.now.Add(beat)
	}
	l.stats.stalls++
	if late >= l.cfg.Tick {
		l.log.Warn("this server stood still: sessions expire so much later", "for", late.Round(time.Millisecond))
	}
}

// expire proposes the end of every session whose time is over.
func (l *loop) expire() {
	if l.full.refuses(l.now) || l.now.Before(l.patience) {
		return
	}
	due := slices.DeleteFunc(l.sessions.Expire(l.now), l.heard)
	if len(due) > fewSessions {
		l.log.Info("sessions expired", "count", len(due), "first", sessionID(due[0]))
	}
	for _, id := range due {
		l.stats.meters.StaleSessionsExpired++
		if len(due) <= fewSessions {
			l.log.Info("session expired", "session", sessionID(id))
		}
		l.ask(&asked{request: request{Request: jute.Request{Op: jute.OpCloseSession}, session: id}, at: l.now})
	}
}

// reopen gives a session whose end could not be logged another chance.
func (l *loop) reopen(id int64) {
	timeout := millis(l.db.timeouts[id])
	if s := l.sessions.Find(id); s != nil {
		timeout = s.Timeout()
	}
	l.sessions.Close(id)
	s := l.sessions.Open(l.now, id, timeout)
	if c := l.owners[id]; c != nil {
		c.session, c.stage = s, open
	}
}
