package consensus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"example.org/ha/consensus/jute"
)

// handshake takes the first frame of a connection: a new session, or one to take up again.
func (l *loop) handshake(c *client, frame []byte) {
	l.stats.received++
	req, err := jute.ParseConnectRequest(frame)
	if err != nil {
		l.hangUp(c, closedMalformed, fmt.Errorf("consensus: connect request: %w", err))
		return
	}
	if last := l.db.tree.LastZxid(); req.LastZxidSeen > last {
		// What this client has seen must never be unseen. It finds a member that knows as much.
		l.hangUp(c, closedAhead, fmt.Errorf("consensus: client has seen 0x%x, last here is 0x%x", uint64(req.LastZxidSeen), uint64(last)))
		return
	}
	c.connect = req
	c.timeout = min(max(time.Duration(req.Timeout)*time.Millisecond, l.cfg.MinSessionTimeout), l.cfg.MaxSessionTimeout)
	if req.SessionID == 0 {
		l.newSession(c)
		return
	}
	l.resume(c)
}

// newSession asks for a session; the answer leaves when every member knows it.
func (l *loop) newSession(c *client) {
	if l.full.refuses(l.now) {
		l.hangUp(c, closedNoRoom, nil)
		return
	}
	c.stage, c.sid = deciding, l.newSessionID()
	a := l.newAsked(c, 0, jute.OpCreateSession, nil) // no client's request, so no body of one
	a.Request.Mode = int32(c.timeout / time.Millisecond)
	l.ask(a)
}

// newSessionID gives the next id: this member's number in the top byte, below it 40 bits of the time at
// which the member started and a counter.
func (l *loop) newSessionID() int64 {
	for {
		id := l.nextSession
		l.nextSession++
		if _, taken := l.db.timeouts[id]; !taken && id != 0 {
			return id
		}
	}
}

// firstSessionID is where the ids of a member begin that starts at wall (milliseconds since 1970).
func firstSessionID(member int, wall int64) int64 {
	return int64(uint64(wall)<<24>>8) | int64(member)<<56
}

// resume takes up a session on a new connection. Only who knows the password may close the old one.
func (l *loop) resume(c *client) {
	id := c.connect.SessionID
	want := password(id)
	s := l.sessions.Find(id)
	if !bytes.Equal(c.connect.Password, want[:]) || s == nil || s.Expired() {
		l.connected(c, 0, 0, [16]byte{})
		l.hangUp(c, closedInvalid, nil)
		return
	}
	if old := l.owners[id]; old != nil {
		l.hangUp(old, closedMoved, nil)
	}
	c.sid = id
	l.attach(c)
}

// attach gives a connection its session; what it sent meanwhile is taken in this round.
func (l *loop) attach(c *client) {
	c.session = l.sessions.Open(l.now, c.sid, c.timeout)
	l.owners[c.sid] = c
	c.stage = open
	l.connected(c, c.sid, c.timeout, password(c.sid))
	if len(c.rest) > 0 {
		l.unfinished = append(l.unfinished, c)
	}
}

// connected answers a connect request; timeout 0 says that there is no such session.
func (l *loop) connected(c *client, id int64, timeout time.Duration, password [16]byte) {
	r := jute.ConnectResponse{
		Timeout: int32(timeout / time.Millisecond), SessionID: id, Password: password[:],
		HasReadOnly: c.connect.HasReadOnly,
	}
	start := len(c.out)
	c.out = jute.EndFrame(r.AppendTo(jute.BeginFrame(c.out)), start)
	c.connect = jute.ConnectRequest{}
	c.tally.sent++
	l.answered(c, l.now)
}

// password computes what a session is taken up again with: java.util.Random's bytes, seeded with the id.
// It is a checksum, no secret; but members of an ensemble must agree on it.
func password(session int64) (p [16]byte) {
	const multiplier, mask = 0x5DEECE66D, 1<<48 - 1
	seed := (uint64(session) ^ 0xB3415C00 ^ multiplier) & mask
	for i := 0; i < len(p); i += 4 {
		seed = (seed*multiplier + 0xB) & mask
		binary.LittleEndian.PutUint32(p[i:], uint32(seed>>16))
	}
	return p
}
