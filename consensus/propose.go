package consensus

import (
	"errors"
	"fmt"
	"time"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/txnlog"
	"example.org/ha/consensus/zab"
)

// ask prepares a write: it gets its zxid and its record now, its answer when it is delivered.
func (l *loop) ask(a *asked) {
	c := a.client
	if l.full.refuses(l.now) {
		if c != nil {
			a.turn, a.code = refused, jute.SystemError
			l.inTurn(a)
		}
		return
	}
	if a.Op == jute.OpCloseSession && c != nil {
		l.sessions.End(c.session)
		c.stage = leaving
	}
	g := l.group
	if len(g.Ends) == 0 {
		g.First, l.gathering = l.next, l.now
	}
	before := len(g.Records)
	g.Records, a.proposal = l.db.prepare(g.Records, l.wall, l.next, &a.request)
	a.record = nil // the group has it
	if a.over != nil {
		l.overQuota(a.over)
	}
	g.Ends = append(g.Ends, len(g.Records))
	l.next++
	size(&l.stats.proposals, len(g.Records)-before)
	a.turn = delivered
	l.inflight.push(a)
	if c != nil {
		c.queue.push(a)
	}
}

// quotaEvery is how often a soft quota that is passed is logged at the most.
const quotaEvery = 10 * time.Second

// overQuota says that a write passes a limit which is not enforced.
func (l *loop) overQuota(q *quotaExceeded) {
	if l.now.Sub(l.quotaSaid) < quotaEvery {
		return
	}
	l.quotaSaid = l.now
	unit := "znodes"
	if q.bytes {
		unit = "bytes"
	}
	l.log.Warn("quota exceeded", "path", q.path, "unit", unit, "used", q.used, "limit", q.limit)
}

// agree proposes what this round has prepared.
func (l *loop) agree() {
	if first := l.zab.Next(); l.next > first {
		l.stats.meters.Prepared += l.next - first
		l.stats.meters.Proposals += l.next - first
		l.do(l.zab.Step(l.now, zab.Propose{First: first, Last: l.next - 1}))
	}
}

// do carries out what zab asks for.
func (l *loop) do(effects []zab.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case zab.Append:
			l.group.Last = e.Last // the records are there since they were prepared
		case zab.Enter:
			l.enter(e.Epoch)
		case zab.Deliver:
			l.deliver(e.Zxid)
		case zab.Refuse:
			l.refuse(e.First)
		case zab.Lead:
		}
	}
}

// enter makes an epoch durable. It happens once in four thousand million transactions, so that the loop
// may wait for it; if it fails, nothing is logged any more and the member stops.
func (l *loop) enter(epoch uint32) {
	if err := l.epoch(int64(epoch)); err != nil {
		l.failed = fmt.Errorf("consensus: enter epoch %d: %w", epoch, err)
	}
}

// wrote takes what became of a group.
func (l *loop) wrote(w txnlog.Written) error {
	g := w.Group
	l.writing = nil
	switch {
	case w.Err == nil:
		l.stats.synced(len(g.Ends), l.now.Sub(l.writingSince), w.Write, w.Sync, l.cfg.SyncWarning)
		if since, changed := l.full.over(); changed {
			l.resumed(since)
		}
		last := g.Last
		l.recycle(g)
		l.do(l.zab.Step(l.now, zab.Persisted{Zxid: last}))
		return nil
	case errors.Is(w.Err, txnlog.ErrFull):
		l.agree() // what this round has prepared must be known to be taken back
		l.noRoom(w.Err)
		l.do(l.zab.Step(l.now, zab.Full{From: g.First}))
		return nil
	}
	return fmt.Errorf("consensus: write the log: %w", w.Err)
}

// keepGroup is how large the buffer of a group may stay.
const keepGroup = 4 << 20

// recycle makes a written group the one that gathers next, if its place is free.
func (l *loop) recycle(g *txnlog.Group) {
	if cap(g.Records) <= keepGroup {
		*g = txnlog.Group{Records: g.Records[:0], Ends: g.Ends[:0]}
		l.idle = g
	}
}

// gather begins a new group.
func (l *loop) gather() {
	if l.group = l.idle; l.group == nil {
		l.group = new(txnlog.Group)
	}
	l.idle = nil
}

// deliver applies everything up to zxid, in order: first the events, then the answer, then what waited
// for it.
func (l *loop) deliver(zxid int64) {
	for l.inflight.len() > 0 {
		a := *l.inflight.first()
		if a.header.Zxid > zxid {
			return
		}
		l.inflight.drop()
		if a.turn == behind {
			l.synced(a)
			continue
		}
		o := l.db.apply(&a.proposal)
		l.fire()
		l.snapshots.applied()
		l.stats.digest(o.zxid, l.db.tree)
		switch a.header.Type {
		case jute.OpCreateSession:
			l.opened(a)
		case jute.OpCloseSession:
			l.closed(a, &o)
		default:
			l.acknowledge(a, &o)
		}
	}
}

// synced answers a sync, whose predecessors are all applied.
func (l *loop) synced(a *asked) {
	c := a.client
	if c.gone {
		l.done(a)
		return
	}
	c.queue.drop()
	a.turn = atOnce
	l.read(a)
	l.advance(c)
}

// acknowledge answers a write.
func (l *loop) acknowledge(a *asked, o *outcome) {
	c := a.client
	if c == nil || c.gone {
		l.done(a)
		return
	}
	c.queue.drop()
	start := len(c.out)
	c.out = append(c.out, blankHeader[:]...)
	var code jute.Code
	c.out, code = l.db.appendReply(c.out, &a.request, o)
	l.endReply(c, start, jute.ReplyHeader{Xid: a.xid, Zxid: o.zxid, Err: code})
	l.done(a)
	l.advance(c)
}

// opened gives a new session to the connection that asked for it. If that has gone, the session waits for
// its client as long as its timeout says.
func (l *loop) opened(a *asked) {
	c, id := a.client, a.header.Session
	if c == nil || c.gone {
		l.sessions.Open(l.now, id, millis(a.txn.Timeout))
		l.done(a)
		return
	}
	c.queue.drop()
	a.client = nil // the connect response counts as the answer
	l.done(a)
	l.attach(c)
}

// closed ends a session on this member: its connection, whichever that is.
func (l *loop) closed(a *asked, o *outcome) {
	id, asker := a.header.Session, a.client
	l.sessions.Close(id)
	l.acknowledge(a, o)
	reason := closedExpired
	if asker != nil {
		l.hangUp(asker, closedBySession, nil)
		reason = closedBySession
	}
	if c := l.owners[id]; c != nil {
		l.hangUp(c, reason, nil)
	}
}
