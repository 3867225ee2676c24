package consensus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

func TestExpiry(t *testing.T) {
	b := newBench(t, nil)
	one, two := b.join(), b.join()
	one.must("/e", jute.FlagEphemeral)
	for range 8 { // 16 s, of which two only pings
		b.pass(2 * time.Second)
		two.send(frameOf(jute.XidPing, jute.Request{Op: jute.OpPing}))
		two.expect(jute.XidPing, 3, jute.OK)
		if b.l.group.Last != 0 {
			break
		}
	}
	one.silent()
	one.send(getData(1, "/", false)) // too late
	one.silent()
	one.endedFor(closedExpired)
	b.persist(nil)
	if b.l.db.tree.Node("/e") != nil || b.l.sessions.Len() != 1 {
		t.Error("the session's end did not take its ephemeral along")
	}
	if two.closed != "" {
		t.Errorf("the session that pinged was ended: %s", two.closed)
	}
	if !strings.Contains(b.log.String(), "session expired") {
		t.Errorf("log: %s", b.log.String())
	}
}

// A server that stood still has heard nobody, and must not hold it against its sessions.
func TestNoExpiryForAStall(t *testing.T) {
	b := newBench(t, nil)
	w := b.join()
	b.pass(time.Second)
	b.now = b.now.Add(time.Hour) // not the clients' fault
	b.round()
	b.round()
	if b.l.group.Last != 0 || w.closed != "" {
		t.Fatal("a session expired in the hour in which the server stood still")
	}
	w.send(frameOf(jute.XidPing, jute.Request{Op: jute.OpPing}))
	w.expect(jute.XidPing, 1, jute.OK)
	b.pass(13 * time.Second)
	if b.l.group.Last == 0 {
		t.Error("sessions no longer expire")
	}
	if !strings.Contains(b.log.String(), "stood still") {
		t.Errorf("log: %s", b.log.String())
	}
}

func TestLoadedSessionsHaveTheirWholeTimeout(t *testing.T) {
	b := newBench(t, nil)
	db := newDatabase(tree.New(tree.Config{}), map[int64]int32{0x77: 6000}, b.l.db.rules)
	b.l = newLoop(b.now, b.l.cfg, b.l.log, db)
	b.l.port = b
	b.pass(6 * time.Second)
	if b.l.group.Last != 0 {
		t.Fatal("expired before its timeout")
	}
	b.pass(3 * time.Second)
	if b.l.group.Last == 0 {
		t.Fatal("never expired")
	}
}

func TestSweep(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.ContainerInterval, c.ContainersPerMinute, c.TTLNodes = time.Minute, 600, true
		c.MaxSessionTimeout = time.Hour
	})
	w := b.dial()
	w.send(connectFrame(jute.ConnectRequest{Timeout: 3_600_000}))
	b.persist(nil)
	w.frame()
	for i := range 5 {
		w.send(frameOf(1, jute.Request{Op: jute.OpCreateTTL, Path: fmt.Sprint("/t", i), ACL: anyoneAll, Flags: jute.FlagTTL, TTL: 1000}))
	}
	b.persist(nil)
	before := b.l.next
	b.pass(time.Minute - time.Millisecond)
	if b.l.next != before {
		t.Fatal("swept before the interval was over")
	}
	b.pass(time.Millisecond)
	if got := b.l.next - before; got != 1 {
		t.Fatalf("%d deleted at once, want one every 100 ms", got)
	}
	b.pass(2 * time.Second)
	if got := b.l.next - before; got != 5 {
		t.Fatalf("%d deleted, want 5", got)
	}
	b.persist(nil)
	if got := slices.Collect(b.l.db.tree.Node("/").Children()); !slices.Equal(got, []string{"zookeeper"}) {
		t.Errorf("left: %v", got)
	}
}
