package consensus

import (
	"bytes"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// large is a bench with a client, and a znode that fills a share in four reads.
func large(t *testing.T) (*bench, *wire, []byte) {
	b := newBench(t, nil)
	w := b.join()
	w.send(frameOf(1, jute.Request{Op: jute.OpCreate, Path: "/large", Data: bytes.Repeat([]byte("x"), roundShare/4), ACL: openACL}))
	b.persist(nil)
	w.expect(1, 2, jute.OK)
	return b, w, getData(2, "/large", false)
}

func (w *wire) answers() (n int) {
	for len(w.in) > 0 {
		w.frame()
		n++
	}
	return n
}

func TestAClientHasAShareOfARound(t *testing.T) {
	b, w, read := large(t)
	var all [][]byte
	for range 10 {
		all = append(all, read)
	}
	w.send(all...)
	if n := w.answers(); n != 4 {
		t.Fatalf("%d answers in one round", n)
	}
	if d := b.l.deadline(); !d.Equal(b.now) {
		t.Errorf("the loop sleeps until %v after it", d.Sub(b.now))
	}
	w.send(setData(3, "/large", "y"), getData(4, "/large", false)) // which come behind
	if n := w.answers(); n != 4 {
		t.Fatalf("%d answers in the second round", n)
	}
	b.round()
	b.persist(nil)
	if n := w.answers(); n != 4 || w.done != w.asked {
		t.Errorf("%d answers at last, %d of %d frames done", n, w.done, w.asked)
	}
	if len(b.l.unfinished) > 0 || w.c.rest != nil {
		t.Error("something is left")
	}
}

func TestAClientThatDoesNotReadIsToldNoMore(t *testing.T) {
	b, w, read := large(t)
	w.send(read, read, read, read, read, read)
	w.answers()
	w.traffic.Unread = mostUnread
	b.round()
	if n := w.answers(); n != 0 {
		t.Fatalf("%d answers on top of those not read", n)
	}
	if d := b.l.deadline(); !d.Equal(b.now.Add(lookAgain)) {
		t.Errorf("looks again after %v", d.Sub(b.now))
	}
	w.traffic.Unread = 10
	b.round()
	if n := w.answers(); n != 2 {
		t.Errorf("%d answers once it has read", n)
	}

	w.send(read, read, read, read, read, read)
	w.answers()
	w.over = true
	b.round()
	if n := w.answers(); n != 0 || len(b.l.unfinished) > 0 {
		t.Errorf("%d answers to a connection that was given up", n)
	}
}

// On a host that is always late sessions end all the same, later by what it was late.
func TestSessionsExpireOnASlowHost(t *testing.T) {
	b := newBench(t, nil)
	w := b.join()
	const late = stalledAfter
	for range 100 {
		b.now = b.now.Add(beat + late) // wake is a beat after the last round
		b.round()
		if b.l.group.Last != 0 {
			break
		}
	}
	waited, timeout := b.now.Sub(time.UnixMilli(1_700_000_000_000)), w.c.timeout
	if b.l.group.Last == 0 || waited < timeout || waited > 2*(timeout+2*b.l.cfg.Tick) {
		t.Errorf("a session of %v waited %v, group %d", timeout, waited, b.l.group.Last)
	}
}

func TestAClientThatReadsSlowlyKeepsItsSession(t *testing.T) {
	b, w, read := large(t)
	w.send(read)
	w.traffic.Unread, w.traffic.BytesOut = roundShare, 1000
	for range 10 {
		w.traffic.BytesOut += 1000
		b.pass(time.Second * 2)
	}
	if w.closed != "" || b.l.owners[w.c.sid] != w.c {
		t.Fatalf("closed while it read: %s", w.closed)
	}
	b.pass(time.Second * 20) // takes nothing any more
	if b.l.group.Last == 0 && b.l.writing == nil {
		t.Error("the session of a client that stopped reading does not end")
	}
}
