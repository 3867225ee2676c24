package consensus

import (
	"encoding/binary"
	"time"

	"example.org/ha/consensus/jute"
)

// blankHeader is room for the length and the ReplyHeader of a frame.
var blankHeader [4 + 16]byte

// Answers gather with the client and go to its connection at the end of the round, or at writeAt bytes. A
// client keeps a buffer of up to keepAt bytes; larger ones, of largeOut bytes and more, it has for a round,
// and maxOuts of them are kept for the next.
const (
	writeAt  = 64 << 10
	keepAt   = 1 << 10
	largeOut = 16 << 10
	maxOuts  = 64
)

// answer is a reply without a body.
func (l *loop) answer(a *asked, zxid int64, code jute.Code) {
	c := a.client
	start := len(c.out)
	c.out = append(c.out, blankHeader[:]...)
	l.endReply(c, start, jute.ReplyHeader{Xid: a.xid, Zxid: zxid, Err: code})
	l.done(a)
}

// endReply completes the frame that begins at start. An error has no body.
func (l *loop) endReply(c *client, start int, h jute.ReplyHeader) {
	if h.Err != jute.OK {
		c.out = c.out[:start+len(blankHeader)]
	}
	jute.EndFrame(c.out, start)
	h.AppendTo(c.out[:start+4])
	c.tally.ended(h, l.now)
	size(&l.stats.responses, len(c.out)-start-len(blankHeader))
	c.share += len(c.out) - start
	l.touched(c)
}

// touched sees to it that what the client is told leaves with this round.
func (l *loop) touched(c *client) {
	if !c.dirty {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
	switch {
	case len(c.out) >= writeAt:
		l.write(c)
	case len(c.out) > keepAt/2 && cap(c.out) < largeOut:
		l.enlarge(c)
	}
}

// enlarge gives a client that is told much a large buffer.
func (l *loop) enlarge(c *client) {
	var large []byte
	if n := len(l.outs); n > 0 {
		large, l.outs = l.outs[n-1], l.outs[:n-1]
	} else {
		large = make([]byte, 0, largeOut)
	}
	c.out = append(large, c.out...)
}

// emptied takes a client's buffer back after what was in it has left.
func (l *loop) emptied(c *client) {
	if c.out = c.out[:0]; cap(c.out) <= keepAt {
		return
	}
	if n := cap(c.out); n >= largeOut && n <= 2*writeAt && len(l.outs) < maxOuts {
		l.outs = append(l.outs, c.out)
	}
	c.out = nil
}

// answered counts a frame as done.
func (l *loop) answered(c *client, at time.Time) {
	c.done++
	d := l.now.Sub(at)
	c.tally.latency(d)
	l.stats.latency(d)
	l.stats.sent++
	l.touched(c)
}

// write hands to the connection what the client is told.
func (l *loop) write(c *client) {
	if c.gone {
		return
	}
	if len(c.out) > 0 {
		c.line.Write(c.out)
		l.emptied(c)
	}
	if c.done > 0 {
		c.line.Done(c.done)
		c.done = 0
	}
}

// flush ends a round: everything that was answered leaves.
func (l *loop) flush() {
	if len(l.dirty) == 0 && !l.hung {
		return
	}
	for i, c := range l.dirty {
		l.write(c)
		c.dirty, c.share = false, 0
		l.dirty[i] = nil
	}
	l.dirty, l.hung = l.dirty[:0], false
	l.port.Flush()
}

// fire sends the events of what was just applied, before any answer that shows the change.
func (l *loop) fire() {
	fired := l.db.tree.Fired()
	if len(fired) == 0 {
		return
	}
	l.stats.fired(fired)
	for _, f := range fired {
		c := l.clients[uint64(f.Watcher)]
		if c == nil || c.gone || !l.db.mayRead(c.ids, f.ACL) {
			continue
		}
		before := len(c.out)
		c.out = appendEvent(c.out, jute.WatcherEvent{Type: f.Type, State: jute.StateConnected, Path: f.Path})
		l.stats.meters.WatchBytes += int64(len(c.out) - before)
		l.stats.sent++
		c.tally.sent++
		l.touched(c)
	}
}

// appendEvent appends the frame of a notification.
func appendEvent(b []byte, e jute.WatcherEvent) []byte {
	start := len(b)
	b = jute.ReplyHeader{Xid: jute.XidNotification, Zxid: -1}.AppendTo(append(b, 0, 0, 0, 0))
	b = e.AppendTo(b)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}
