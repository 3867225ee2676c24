package consensus

import (
	"time"

	"example.org/ha/consensus/jute"
)

// probeAfter is how long writes are refused unseen once the disk was full; then the next one is tried.
const probeAfter = time.Second

// A fullness is whether the log has room. Its zero value says so.
type fullness struct {
	since time.Time // when it was found full; zero: it is not
	probe time.Time // when to try again
}

// refuses says that a write need not be tried.
func (f *fullness) refuses(now time.Time) bool { return !f.since.IsZero() && now.Before(f.probe) }

// over says that there is room again, as a group was written.
func (f *fullness) over() (after time.Time, changed bool) {
	after, changed = f.since, !f.since.IsZero()
	*f = fullness{}
	return after, changed
}

// noRoom notes that a group found no room.
func (l *loop) noRoom(err error) {
	if l.full.since.IsZero() {
		l.full.since = l.now
		l.log.Error("disk is full: writes are refused until there is room, reads are served", "dir", l.cfg.LogDir, "err", err)
	}
	l.full.probe = l.now.Add(probeAfter)
}

// resumed notes that there is room again. Sessions could not be ended meanwhile, nor could clients whose
// session was lost get another: each begins anew with its whole timeout.
func (l *loop) resumed(since time.Time) {
	l.log.Info("disk has room again: writes are taken", "dir", l.cfg.LogDir, "full", l.now.Sub(since).Round(time.Millisecond))
	l.sessions.Renew(l.now)
}

// refuse takes back everything from zxid first on: it is in no log, and its numbers are given again.
// Whoever asked for it is told that it failed.
func (l *loop) refuse(first int64) {
	l.group.Records, l.group.Ends = l.group.Records[:0], l.group.Ends[:0]
	l.group.Last = 0
	l.next = first
	l.db.reset(first - 1)
	back := append([]*asked(nil), l.inflight.waiting()...)
	l.inflight.reset()
	l.stats.refused += int64(len(back))
	for _, a := range back {
		c := a.client
		if a.Op == jute.OpCloseSession {
			l.reopen(a.session)
		}
		switch {
		case a.turn == behind:
			l.synced(a)
		case a.Op == jute.OpCreateSession:
			if c != nil {
				l.hangUp(c, closedNoRoom, nil)
			}
			l.done(a)
		case c == nil || c.gone:
			l.done(a)
		default:
			c.queue.drop()
			l.answer(a, l.db.tree.LastZxid(), jute.SystemError)
			l.advance(c)
		}
	}
}
