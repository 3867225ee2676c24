package consensus

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/jute"
)

func TestReadsWaitForTheirOwnWritesOnly(t *testing.T) {
	b := newBench(t, nil)
	one, two := b.join(), b.join()
	one.must("/a", 0)
	one.send(setData(1, "/a", "new"), getData(2, "/a", false), setData(3, "/a", "newer"), getData(4, "/a", false), frameOf(5, jute.Request{Op: jute.OpExists, Path: "/b"}))
	two.send(getData(7, "/a", false))
	if got := data(two.expect(7, 3, jute.OK)); got != "x" {
		t.Errorf("another session sees %q before it is on the disk", got)
	}
	one.silent()
	b.persist(nil)
	one.expect(1, 4, jute.OK)
	if got := data(one.expect(2, 4, jute.OK)); got != "new" {
		t.Errorf("a session reads %q after its first write", got)
	}
	one.expect(3, 5, jute.OK)
	if got := data(one.expect(4, 5, jute.OK)); got != "newer" {
		t.Errorf("a session reads %q after its second write", got)
	}
	one.expect(5, 5, jute.NoNode)
	one.silent()
}

func TestEventsComeBeforeTheChangeIsSeen(t *testing.T) {
	b := newBench(t, nil)
	one, two := b.join(), b.join()
	one.must("/a", 0)
	two.send(getData(1, "/a", true))
	two.expect(1, 3, jute.OK)
	one.send(getData(1, "/a", true), setData(2, "/a", "new"))
	one.expect(1, 3, jute.OK)
	two.send(setData(2, "/a", "mine"), getData(3, "/a", false))
	b.persist(nil)
	for _, w := range []*wire{one, two} {
		a := w.expect(jute.XidNotification, -1, jute.OK)
		d := jute.NewDecoder(a.body)
		if e := d.WatcherEvent(); e != (jute.WatcherEvent{Type: jute.EventDataChanged, State: jute.StateConnected, Path: "/a"}) {
			t.Errorf("event %+v", e)
		}
	}
	one.expect(2, 4, jute.OK)
	two.expect(2, 5, jute.OK)
	if got := data(two.expect(3, 5, jute.OK)); got != "mine" {
		t.Errorf("read %q", got)
	}
	one.silent() // a watch fires once
}

func TestEventsNeedThePermissionToRead(t *testing.T) {
	b := newBench(t, nil)
	one, two := b.join(), b.join()
	secret := []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "digest", ID: digestOf("SHA1", "u:p")}}}
	auth := frameOf(jute.XidAuth, jute.Request{Op: jute.OpAuth, Scheme: "digest", Data: []byte("u:p")})
	one.send(auth)
	one.expect(jute.XidAuth, 0, jute.OK)
	two.send(frameOf(1, jute.Request{Op: jute.OpExists, Path: "/s", Watch: true}))
	two.expect(1, 2, jute.NoNode)
	one.send(frameOf(1, jute.Request{Op: jute.OpExists, Path: "/s", Watch: true}),
		frameOf(2, jute.Request{Op: jute.OpCreate, Path: "/s", ACL: secret}))
	b.persist(nil)
	one.expect(1, 2, jute.NoNode)
	one.expect(jute.XidNotification, -1, jute.OK)
	one.expect(2, 3, jute.OK)
	two.silent()
}

func TestSyncWaitsForWritesOfOthers(t *testing.T) {
	b := newBench(t, nil)
	one, two := b.join(), b.join()
	sync := func(xid int32) []byte { return frameOf(xid, jute.Request{Op: jute.OpSync, Path: "/a"}) }
	two.send(sync(1))
	two.expect(1, 2, jute.OK) // nothing is under way
	one.send(create(1, "/a", 0))
	two.send(sync(2), getData(3, "/a", false))
	two.silent()
	b.persist(nil)
	one.expect(1, 3, jute.OK)
	two.expect(2, 3, jute.OK)
	two.expect(3, 3, jute.OK)
}

func TestUnknownOperations(t *testing.T) {
	for _, op := range []jute.Op{0, 10, jute.OpCheck, jute.OpDeleteContainer, 23, 99, 108, jute.OpCreateSession, -1, 1 << 30} {
		b := newBench(t, nil)
		w := b.join()
		w.send(create(1, "/a", 0), append(jute.AppendInt(jute.AppendInt(nil, 2), int32(op)), 0, 0, 0, 0), getData(3, "/", false))
		w.silent()
		b.persist(nil)
		w.expect(1, 2, jute.OK)
		w.expect(2, -1, jute.Unimplemented)
		w.silent()
		w.endedFor(closedUnknownOp)
		if b.l.next != 3 {
			t.Errorf("%v: a zxid was used up", op)
		}
	}
}

func TestMalformedFrames(t *testing.T) {
	b := newBench(t, nil)
	w := b.join()
	w.send([]byte{0, 0, 0, 1, 0, 0, 0})
	w.silent()
	w.endedFor(closedMalformed)

	w = b.join()
	w.send(append(frameOf(1, jute.Request{Op: jute.OpPing})[:4:4], 0, 0, 0, byte(jute.OpGetData), 0, 0, 1)) // a body cut short
	w.expect(1, 2, jute.MarshallingError)
	w.send(append(jute.AppendInt(jute.AppendInt(nil, 2), int32(jute.OpCreate)), 1))
	b.persist(nil) // a write that cannot be read takes a zxid all the same
	w.expect(2, 3, jute.MarshallingError)
	w.send(append(jute.AppendInt(jute.AppendInt(nil, 3), int32(jute.OpReconfig)), 1))
	w.expect(3, 3, jute.MarshallingError) // but this one
	if w.closed != "" || w.done != w.asked {
		t.Errorf("closed %q, %d of %d frames done", w.closed, w.done, w.asked)
	}
}

func TestAuthentication(t *testing.T) {
	b := newBench(t, func(c *Config) { c.EnforceAuth, c.EnforceAuthSchemes = true, []string{"digest"} })
	good := frameOf(jute.XidAuth, jute.Request{Op: jute.OpAuth, Scheme: "digest", Data: []byte("u:p")})
	w := b.join()
	w.send(good, getData(1, "/", false))
	w.expect(jute.XidAuth, 0, jute.OK)
	w.expect(1, 1, jute.OK)

	w = b.join()
	w.send(getData(1, "/", false), getData(2, "/", false))
	w.expect(1, 0, jute.SessionClosedRequireSASL)
	w.silent()
	w.endedFor(closedAuth)

	w = b.join()
	w.send(frameOf(jute.XidAuth, jute.Request{Op: jute.OpAuth, Scheme: "nonsense", Data: []byte("u:p")}), good)
	w.expect(jute.XidAuth, 0, jute.AuthFailed)
	w.silent()
	w.endedFor(closedAuth)
}

func TestWords(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Words = []string{"ruok", "srvr"} })
	for _, c := range []struct{ word, want string }{
		{"ruok", "imok"},
		{"srvr", "Mode: standalone"},
		{"dump", "dump is not executed because it is not in the whitelist."},
	} {
		w := b.dial()
		b.l.word(w.c, c.word, nil)
		b.round()
		if !strings.Contains(string(w.in), c.want) {
			t.Errorf("%s: %q", c.word, w.in)
		}
		w.endedFor(clientport.WordAnswered)
		if w.done != 0 {
			t.Errorf("%s counts as a frame", c.word)
		}
	}
}

func TestOldRequestsAreThrottled(t *testing.T) {
	b := newBench(t, func(c *Config) { c.ThrottledOpWait = time.Second })
	w := b.join()
	w.send(create(1, "/a", 0), getData(2, "/a", false))
	b.pass(2 * time.Second)
	w.send(getData(3, "/a", false))
	b.persist(nil)
	w.expect(1, 2, jute.OK)
	w.expect(2, 2, jute.ThrottledOp)
	w.expect(3, 2, jute.OK)
}

func TestLostConnectionsLeaveNothing(t *testing.T) {
	b := newBench(t, nil)
	w := b.join()
	w.send(frameOf(1, jute.Request{Op: jute.OpExists, Path: "/a", Watch: true}))
	w.answer()
	w.send(create(2, "/b", 0), getData(3, "/b", false))
	b.l.lost(w.c)
	b.persist(nil)
	w.silent()
	if len(b.l.clients) != 0 || len(b.l.owners) != 0 || b.l.db.tree.WatchCount() != 0 || b.l.inflight.len() != 0 {
		t.Errorf("%d clients, %d owners, %d watches, %d in flight", len(b.l.clients), len(b.l.owners), b.l.db.tree.WatchCount(), b.l.inflight.len())
	}
	if b.l.db.tree.Node("/b") == nil {
		t.Error("what was on its way is lost with the connection")
	}
	if b.l.sessions.Len() != 1 {
		t.Error("the session ended with its connection")
	}

	// A connection that goes before its session is decided leaves a session that expires.
	w = b.dial()
	w.send(connectFrame(jute.ConnectRequest{Timeout: 5000}))
	b.l.lost(w.c)
	b.persist(nil)
	w.silent()
	if b.l.sessions.Len() != 2 {
		t.Errorf("%d sessions", b.l.sessions.Len())
	}
}

// The counter of an epoch ends: what the member remembers moves on before the log does.
func TestNextEpochIsDurableFirst(t *testing.T) {
	b := newBench(t, nil)
	var entered []int64
	b.l.db.tree.SetLastZxid(0x1fffffffe)
	b.l = newLoop(b.now, b.l.cfg, b.l.log, b.l.db)
	b.l.port = b
	b.l.epoch = func(n int64) error { entered = append(entered, n); return nil }
	b.join() // takes the last zxid of the epoch
	if len(entered) != 0 {
		t.Fatalf("entered %v too early", entered)
	}
	w := b.dial()
	w.send(connectFrame(jute.ConnectRequest{Timeout: 5000}))
	if !slices.Equal(entered, []int64{2}) {
		t.Fatalf("entered %v, want epoch 2", entered)
	}
	b.l.epoch = func(int64) error { return errors.New("no disk") }
	b.l.enter(3)
	if b.l.failed == nil {
		t.Error("the member goes on with an epoch it cannot remember")
	}
}
