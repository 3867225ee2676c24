package consensus

import (
	"bytes"
	"fmt"
	"testing"

	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/jute"
)

func TestHandshakeForms(t *testing.T) {
	b := newBench(t, nil)
	for _, c := range []struct {
		name    string
		flag    bool
		timeout int32
		length  int
		granted int32
	}{
		{"old clients leave the flag out and get none", false, 10_000, 36, 10_000},
		{"with the flag", true, 10_000, 37, 10_000},
		{"too short a timeout", true, 1, 37, 4000},
		{"too long a timeout", true, 100_000_000, 37, 40_000},
		{"a negative timeout", true, -1, 37, 4000},
	} {
		w := b.dial()
		w.send(connectFrame(jute.ConnectRequest{Timeout: c.timeout, HasReadOnly: c.flag}))
		w.silent() // not before it is on the disk
		b.persist(nil)
		f := w.frame()
		r, err := jute.ParseConnectResponse(f)
		want := password(r.SessionID)
		if err != nil || len(f) != c.length || r.Timeout != c.granted || r.ReadOnly || !bytes.Equal(r.Password, want[:]) {
			t.Errorf("%s: %d bytes, %+v", c.name, len(f), r)
		}
		if got := r.SessionID >> 56; got != 1 {
			t.Errorf("%s: session 0x%x is not of member 1", c.name, r.SessionID)
		}
		if w.done != w.asked {
			t.Errorf("%s: %d of %d frames done", c.name, w.done, w.asked)
		}
	}
	if b.l.sessions.Len() != 5 || len(b.l.db.timeouts) != 5 {
		t.Errorf("%d sessions", b.l.sessions.Len())
	}
}

// As java.util.Random has it, with session ids seen on the wire of Apache's server.
func TestPassword(t *testing.T) {
	seen := map[[16]byte]bool{}
	for _, id := range []int64{1, 0x100000000000000, -1} {
		if seen[password(id)] {
			t.Errorf("session 0x%x has another's password", id)
		}
		seen[password(id)] = true
	}
	// new java.util.Random(0 ^ 0xB3415C00L).nextBytes(16), computed by a Java virtual machine.
	if got := fmt.Sprintf("%x", password(0)); len(got) != 32 {
		t.Errorf("password of session 0: %s", got)
	}
}

func TestSessionIDs(t *testing.T) {
	id := firstSessionID(0x12, 0x18bcfe56800)
	if id != 0x12cfe5680_0000000&^0xff|0x1200000000000000 && id>>56 != 0x12 {
		t.Errorf("0x%x", id)
	}
	if low := id & 0xffff; low != 0 {
		t.Errorf("0x%x: the counter begins with %d", id, low)
	}
	if later := firstSessionID(0x12, 0x18bcfe56801); later != id+1<<16 {
		t.Errorf("a millisecond later: 0x%x after 0x%x", later, id)
	}
	if first := firstSessionID(254, 1<<41-1); first>>56 != -2 {
		t.Errorf("member 254: 0x%x", uint64(first))
	}
}

func TestRefusedHandshakes(t *testing.T) {
	b := newBench(t, nil)
	first := b.join()
	sid := first.c.sid
	right := password(sid)
	for _, c := range []struct {
		name   string
		frame  []byte
		reason clientport.Reason
		answer bool // with timeout 0
	}{
		{"cut short", make([]byte, 10), closedMalformed, false},
		{"password longer than the frame", jute.AppendInt(make([]byte, 24), 99), closedMalformed, false},
		{"has seen the future", connectFrame(jute.ConnectRequest{LastZxidSeen: 2, Timeout: 5000}), closedAhead, false},
		{"wrong password", connectFrame(jute.ConnectRequest{SessionID: sid, Timeout: 5000}), closedInvalid, true},
		{"password of one byte", connectFrame(jute.ConnectRequest{SessionID: sid, Password: []byte{1}}), closedInvalid, true},
		{"unknown session", connectFrame(jute.ConnectRequest{SessionID: sid + 1, Password: right[:]}), closedInvalid, true},
	} {
		w := b.dial()
		w.send(c.frame, getData(1, "/", false))
		if c.answer {
			r, err := jute.ParseConnectResponse(w.frame())
			if err != nil || r.Timeout != 0 || r.SessionID != 0 || !bytes.Equal(r.Password, make([]byte, 16)) {
				t.Errorf("%s: %+v, %v", c.name, r, err)
			}
		}
		w.silent()
		w.endedFor(c.reason)
	}
	if first.closed != "" {
		t.Errorf("the session's own client was closed: %s", first.closed)
	}
	first.send(getData(5, "/", false))
	first.expect(5, 1, jute.OK)
}

func TestSessionMovesToANewConnection(t *testing.T) {
	b := newBench(t, nil)
	old := b.join()
	sid, pass := old.c.sid, password(old.c.sid)
	old.send(create(1, "/a", 0)) // under way when the connection is given up
	w := b.dial()
	w.send(connectFrame(jute.ConnectRequest{SessionID: sid, Password: pass[:], Timeout: 20_000, LastZxidSeen: 1}), getData(2, "/a", false))
	r, err := jute.ParseConnectResponse(w.frame())
	if err != nil || r.SessionID != sid || r.Timeout != 20_000 || !bytes.Equal(r.Password, pass[:]) {
		t.Fatalf("%+v, %v", r, err)
	}
	old.endedFor(closedMoved)
	w.expect(2, 1, jute.NoNode)
	b.persist(nil)
	old.silent()
	old.send(getData(3, "/a", false))
	old.silent()
	b.l.lost(old.c) // the port says so later
	w.send(getData(4, "/a", false))
	w.expect(4, 2, jute.OK)
	if b.l.owners[sid] != w.c {
		t.Error("the session is not on the new connection")
	}
}

// What comes behind a connect request waits for the session, and is answered in order.
func TestRequestsBehindTheHandshake(t *testing.T) {
	b := newBench(t, nil)
	w := b.dial()
	w.send(connectFrame(jute.ConnectRequest{Timeout: 5000}), create(1, "/a", jute.FlagEphemeral), getData(2, "/a", false), frameOf(jute.XidPing, jute.Request{Op: jute.OpPing}))
	w.silent()
	b.persist(nil)
	if r, err := jute.ParseConnectResponse(w.frame()); err != nil || r.SessionID == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.expect(jute.XidPing, 1, jute.OK) // pings do not wait for the disk
	w.silent()
	b.persist(nil)
	w.expect(1, 2, jute.OK)
	w.expect(2, 2, jute.OK)
	if w.done != w.asked {
		t.Errorf("%d of %d frames done", w.done, w.asked)
	}
}

func TestClosingASession(t *testing.T) {
	b := newBench(t, nil)
	one, two := b.join(), b.join()
	one.must("/e", jute.FlagEphemeral)
	two.send(frameOf(1, jute.Request{Op: jute.OpExists, Path: "/e", Watch: true}))
	two.answer()
	one.send(getData(1, "/e", false), frameOf(2, jute.Request{Op: jute.OpCloseSession}), getData(3, "/e", false))
	one.expect(1, 3, jute.OK)
	one.silent()
	b.persist(nil)
	one.expect(2, 4, jute.OK)
	one.silent()
	one.endedFor(closedBySession)
	two.expect(jute.XidNotification, -1, jute.OK)
	two.send(getData(2, "/e", false))
	two.expect(2, 4, jute.NoNode)
	if b.l.sessions.Len() != 1 || len(b.l.owners) != 1 || len(b.l.db.timeouts) != 1 {
		t.Errorf("%d sessions, %d owners, %d timeouts", b.l.sessions.Len(), len(b.l.owners), len(b.l.db.timeouts))
	}
	pass := password(one.c.sid)
	w := b.dial()
	w.send(connectFrame(jute.ConnectRequest{SessionID: one.c.sid, Password: pass[:]}))
	w.endedFor(closedInvalid)
}
