package consensus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/txnlog"
)

func TestDiskFull(t *testing.T) {
	b := newBench(t, nil)
	one, two := b.join(), b.join()
	one.must("/a", 0)
	fresh := b.dial()
	one.send(setData(1, "/a", "lost"), getData(2, "/a", false))
	fresh.send(connectFrame(jute.ConnectRequest{Timeout: 5000}))
	two.send(frameOf(1, jute.Request{Op: jute.OpSync, Path: "/"}), frameOf(2, jute.Request{Op: jute.OpCloseSession}))
	g := func() *txnlog.Group { b.round(); g := b.l.group; b.l.taken(); return g }()
	one.send(setData(3, "/a", "lost too")) // gathers behind the group that fails
	if err := b.l.wrote(txnlog.Written{Group: g, Err: fmt.Errorf("write: %w", txnlog.ErrFull)}); err != nil {
		t.Fatal(err)
	}
	b.round()
	one.expect(1, 3, jute.SystemError)
	if got := data(one.expect(2, 3, jute.OK)); got != "x" {
		t.Errorf("read %q, which was refused", got)
	}
	one.expect(3, 3, jute.SystemError)
	fresh.silent()
	fresh.endedFor(closedNoRoom)
	two.expect(1, 3, jute.OK)
	two.expect(2, 3, jute.SystemError)

	// Refused at once, in order, without trying; reads go on.
	one.send(setData(4, "/a", "no"), getData(5, "/a", false))
	one.expect(4, 3, jute.SystemError)
	one.expect(5, 3, jute.OK)
	if b.l.group.Last != 0 || b.l.next != 4 {
		t.Fatalf("something was proposed: next %d", b.l.next)
	}
	late := b.dial()
	late.send(connectFrame(jute.ConnectRequest{Timeout: 5000}))
	late.endedFor(closedNoRoom)

	// After a while the next write is tried; there is room again.
	b.pass(probeAfter)
	one.send(setData(6, "/a", "kept"))
	b.persist(nil)
	one.expect(6, 4, jute.OK)
	two.send(getData(7, "/a", false)) // its end was refused, so it goes on
	if got := data(two.expect(7, 4, jute.OK)); got != "kept" {
		t.Errorf("read %q", got)
	}
	if n := strings.Count(b.log.String(), "disk is full"); n != 1 || !strings.Contains(b.log.String(), "has room again") {
		t.Errorf("log: %s", b.log.String())
	}
}

func TestNoExpiryWhileTheDiskIsFull(t *testing.T) {
	b := newBench(t, nil)
	one := b.join()
	for range 30 { // 30 s
		b.pass(time.Second)
		if b.l.group.Last != 0 {
			b.persist(txnlog.ErrFull)
		}
	}
	if one.closed != "" || b.l.sessions.Find(one.c.sid) == nil || len(b.l.db.timeouts) != 1 {
		t.Fatalf("the session ended (%s)", one.closed)
	}
	one.send(frameOf(jute.XidPing, jute.Request{Op: jute.OpPing}))
	one.expect(jute.XidPing, 1, jute.OK)
	b.pass(30 * time.Second)
	b.persist(nil)
	one.endedFor(closedExpired)
}

func TestAFailingLogStopsTheMember(t *testing.T) {
	b := newBench(t, nil)
	w := b.join()
	w.send(create(1, "/a", 0))
	broken := errors.New("input/output error")
	if err := b.persist(broken); !errors.Is(err, broken) {
		t.Fatalf("the loop went on: %v", err)
	}
	w.silent()
}
