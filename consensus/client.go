package consensus

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/sasl"
	"example.org/ha/consensus/session"
	"example.org/ha/consensus/tree"
)

// A line is a client's connection as the loop sees it: a *clientport.Conn, or a test's.
type line interface {
	ID() uint64
	Remote() netip.AddrPort
	Secure() bool
	Certificates() []*x509.Certificate
	Write(p []byte)
	Done(frames int)
	Close(reason clientport.Reason)
	Refuse(reason clientport.Reason, why error)
	Traffic() clientport.Traffic
	Over() bool
}

// Why the member ends connections.
const (
	closedBySession clientport.Reason = "session closed by its client"
	closedMoved     clientport.Reason = "session taken up on another connection"
	closedExpired   clientport.Reason = "session expired"
	closedInvalid   clientport.Reason = "no such session, or wrong password"
	closedAhead     clientport.Reason = "client has seen a later zxid"
	closedMalformed clientport.Reason = "malformed request"
	closedUnknownOp clientport.Reason = "unknown operation"
	closedAuth      clientport.Reason = "authentication failed"
	closedNoRoom    clientport.Reason = "no room on the disk for a session"
	closedIdentity  clientport.Reason = "no identity"
)

// A stage is how far a connection has come.
type stage uint8

const (
	fresh    stage = iota // its first frame is a connect request
	deciding              // that asked for a session: what follows waits
	open                  // it has a session
	leaving               // it asked to close, or is closed: nothing more is taken
)

// A client is a connection. The session is the client's own, and may come back on another connection.
type client struct {
	line    line
	stage   stage
	gone    bool // the connection has ended: nothing more is written
	sid     int64
	session *session.Session
	connect jute.ConnectRequest // while deciding
	timeout time.Duration       // agreed with this connection
	proof   *sasl.Exchange      // nil: none begun
	ids     []jute.ID           // replaced, never changed: requests under way keep theirs
	rest    [][]byte            // frames behind an undecided session, or beyond a round's share
	queue   fifo[*asked]        // not answered yet, in order; empty or beginning with a write

	out   []byte // what it is told in this round
	done  int    // frames answered since the connection heard of it
	dirty bool   // it is among those to be flushed
	share int    // bytes told in this round
	taken int64  // bytes it had taken when that was last looked at

	tally tally
}

// An asked is a request and what becomes of it. A read's turn comes when the writes of its session before
// it are answered; a write's when it is delivered.
type asked struct {
	request
	proposal
	client *client // nil: the member asks itself
	at     time.Time
	turn   turn
	code   jute.Code // why it is refused
}

type turn uint8

const (
	atOnce    turn = iota // once nothing of the session is before it
	refused               // as atOnce, with an error
	delivered             // a write: once it is applied
	behind                // a sync: once everything proposed before it is applied
)

// batch takes what one read of a connection gave.
func (l *loop) batch(b *clientport.Batch) {
	c := l.clients[b.Conn.ID()]
	if c == nil {
		if b.Closed != nil {
			return
		}
		c = l.accept(b.Conn)
	}
	switch {
	case b.Closed != nil:
		l.lost(c)
	case b.Word != "":
		l.word(c, b.Word, b.Frames)
	default:
		l.frames(c, b.Frames)
	}
}

// accept makes a client of a new connection.
func (l *loop) accept(on line) *client {
	c := &client{line: on, tally: newTally(l.now)}
	ids, err := l.db.identify(on.Remote().Addr(), on.Certificates())
	c.ids = ids
	l.clients[on.ID()] = c
	l.stats.meters.ConnectionRequests++
	if err != nil {
		l.hangUp(c, closedIdentity, err)
	}
	return c
}

// lost forgets a connection that has ended. Its session goes on until it expires.
func (l *loop) lost(c *client) {
	delete(l.clients, c.line.ID())
	l.detach(c)
	c.gone, c.stage, c.rest = true, leaving, nil
	c.queue.reset()
}

// detach ends what a connection has for its session's sake: its watches, and being the session's owner.
func (l *loop) detach(c *client) {
	l.db.tree.Forget(tree.Watcher(c.line.ID()))
	if c.session != nil && l.owners[c.sid] == c {
		delete(l.owners, c.sid)
	}
}

// hangUp ends a connection once what was answered has been sent; err says what the client did wrong, nil
// if nothing.
func (l *loop) hangUp(c *client, reason clientport.Reason, err error) {
	if c.gone {
		return
	}
	l.write(c)
	l.detach(c)
	c.gone, c.stage, c.rest = true, leaving, nil
	c.queue.reset()
	l.hung = true
	if err != nil {
		c.line.Refuse(reason, err)
	} else {
		c.line.Close(reason)
	}
}

var errShortHeader = errors.New("consensus: frame shorter than a request header")

// frame takes one request of a connection that has a session.
func (l *loop) frame(c *client, frame []byte) {
	if len(frame) < 8 {
		l.hangUp(c, closedMalformed, errShortHeader)
		return
	}
	xid, op := int32(binary.BigEndian.Uint32(frame)), jute.Op(binary.BigEndian.Uint32(frame[4:]))
	l.stats.received++
	c.tally.began(xid, op)
	if !l.sessions.Touch(l.now, c.session) {
		l.hangUp(c, closedExpired, nil)
		return
	}
	if op == jute.OpPing {
		l.pong(c)
		return
	}
	a := l.newAsked(c, xid, op, frame[8:])
	switch {
	case op == jute.OpAuth:
		l.auth(a)
	case op == jute.OpSASL && (l.users != nil || a.err != nil):
		l.sasl(a)
	case !l.db.admitted(c.ids):
		l.answer(a, 0, jute.SessionClosedRequireSASL)
		l.hangUp(c, closedAuth, fmt.Errorf("consensus: %v without having authenticated", op))
	case op == jute.OpReconfig && a.err != nil:
		a.turn = refused // of all writes this one takes no zxid when it cannot be read
		a.code = jute.MarshallingError
		l.inTurn(a)
	case isWrite(op) && forClients(op):
		l.ask(a)
	case op == jute.OpSync && l.inflight.len() > 0:
		a.turn = behind
		a.header.Zxid = l.next - 1
		l.inflight.push(a)
		c.queue.push(a)
	default:
		l.inTurn(a)
	}
}

// inTurn answers what is no transaction, or lets it wait behind its session's writes.
func (l *loop) inTurn(a *asked) {
	if a.client.queue.len() > 0 {
		a.client.queue.push(a)
		return
	}
	l.read(a)
}

// advance answers what the session's last answer has made room for.
func (l *loop) advance(c *client) {
	for c.queue.len() > 0 {
		a := *c.queue.first()
		if a.turn >= delivered {
			return
		}
		c.queue.drop()
		l.read(a)
	}
}

// newAsked decodes a request. A body that cannot be decoded is for the operation to refuse.
func (l *loop) newAsked(c *client, xid int32, op jute.Op, body []byte) *asked {
	var a *asked
	if n := len(l.spare); n > 0 {
		a, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		a = new(asked)
	}
	a.client, a.at = c, l.now
	if forClients(op) {
		a.Request, a.err = jute.ParseRequest(op, body)
		if op == jute.OpMultiRead && a.err != nil {
			multi, err := jute.ParseRequest(jute.OpMulti, body)
			a.writes = err == nil && len(multi.Ops) > 0
		}
	} else {
		a.Request.Op = op
	}
	a.xid, a.session, a.ids = xid, c.sid, c.ids
	a.watcher, a.remote = tree.Watcher(c.line.ID()), c.line.Remote().Addr()
	return a
}

// maxSpare bounds how many requests without use are kept.
const maxSpare = 4096

// done counts a request as answered and takes it back. Nobody may hold it any more.
func (l *loop) done(a *asked) {
	if a.client != nil && !a.client.gone {
		l.answered(a.client, a.at)
		l.stats.answered(a, l.now)
	}
	*a = asked{}
	if len(l.spare) < maxSpare {
		l.spare = append(l.spare, a)
	}
}

// pong answers a ping at once, whatever else the session waits for: it says that the server lives.
func (l *loop) pong(c *client) {
	start := len(c.out)
	c.out = append(c.out, blankHeader[:]...)
	l.endReply(c, start, jute.ReplyHeader{Xid: jute.XidPing, Zxid: l.db.tree.LastZxid()})
	l.answered(c, l.now)
}

// auth proves another identity. It takes effect for the requests that follow, not for those under way.
func (l *loop) auth(a *asked) {
	c := a.client
	if a.err != nil {
		l.hangUp(c, closedMalformed, a.err)
		return
	}
	ids, ok := l.db.authenticate(&a.request)
	if !ok {
		l.stats.authFailed++
		scheme := a.Scheme
		l.answer(a, 0, jute.AuthFailed)
		l.hangUp(c, closedAuth, fmt.Errorf("consensus: scheme %q", scheme))
		return
	}
	c.ids = ids
	l.answer(a, 0, jute.OK)
}

// read answers what is no transaction, from the tree as it is now.
func (l *loop) read(a *asked) {
	c := a.client
	if !forClients(a.Op) {
		op := a.Op
		l.answer(a, -1, jute.Unimplemented)
		l.hangUp(c, closedUnknownOp, fmt.Errorf("consensus: %v", op))
		return
	}
	zxid := l.db.tree.LastZxid()
	if a.turn == refused {
		l.answer(a, zxid, a.code)
		return
	}
	if l.late(a) {
		l.stats.meters.ThrottledOps++
		l.answer(a, zxid, jute.ThrottledOp)
		return
	}
	start := len(c.out)
	c.out = append(c.out, blankHeader[:]...)
	var code jute.Code
	c.out, code = l.db.read(c.out, &a.request)
	if len(a.events) > 0 {
		body := append([]byte(nil), c.out[start:]...)
		c.out = c.out[:start]
		for _, e := range a.events {
			c.out = appendEvent(c.out, e)
		}
		start = len(c.out)
		c.out = append(c.out, body...)
	}
	if a.Op == jute.OpSASL {
		zxid = 0
	}
	l.endReply(c, start, jute.ReplyHeader{Xid: a.xid, Zxid: zxid, Err: code})
	if a.writes {
		c.out = jute.EndFrame(jute.MultiEnd.AppendTo(c.out), start) // as Apache's server has it
	}
	l.done(a)
}

// late says whether a request has waited longer than throttled_op_wait_time allows.
func (l *loop) late(a *asked) bool {
	return l.cfg.ThrottledOpWait > 0 && l.now.Sub(a.at) > l.cfg.ThrottledOpWait
}
