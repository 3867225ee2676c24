package e2e

import (
	"encoding/binary"
	"fmt"
	"testing"

	"example.org/ha/consensus/jute"
)

// goldenEmptyBodies sends every operation without a body: first those after which the connection goes on.
func goldenEmptyBodies(d *dialogue) {
	for op := jute.Op(1); op <= 107; op++ {
		switch {
		case op == jute.OpCheck || op == jute.OpDeleteContainer: // refused by ours alone, see below
			continue
		case op > 23 && op < 100:
			continue
		}
		a := d.connect(fmt.Sprintf("op%d", op))
		a.askAs(3, op)
		a.settle()
		a.c.Close()
	}
}

func goldenOddBodies(d *dialogue) {
	odd := func(op jute.Op, parts ...any) {
		a := d.connect("a")
		a.ask(op, parts...)
		a.settle()
		a.c.Close()
	}
	a := d.connect("m")
	a.ask(jute.OpCreate, "/ob", all, open, 0)
	extra := raw("more")
	odd(jute.OpExists, "/ob", false, extra)
	odd(jute.OpGetData, "/ob", false, extra)
	odd(jute.OpSetData, "/ob", all, -1, extra)
	odd(jute.OpCreate, "/ob/x", all, open, 0, extra)
	odd(jute.OpDelete, "/ob/x", -1, extra)
	odd(jute.OpSync, "/ob", extra)
	odd(jute.OpWhoAmI, extra)
	odd(jute.OpPing, extra)
	odd(jute.OpCreate, "/ob/y", all, open)
	odd(jute.OpCreate, "/ob/y", all, 5)
	odd(jute.OpCreate, "/ob/y", 1<<30)
	odd(jute.OpCreate, 1<<30)
	odd(jute.OpCreate, -2)
	odd(jute.OpCreate, "/ob/y", -5)
	odd(jute.OpCreate, "/ob/y", all, -5)
	odd(jute.OpCreate, "/ob/y", all, 1<<20, 0)
	odd(jute.OpDelete, "/ob")
	odd(jute.OpSetData, "/ob", all)
	odd(jute.OpSetData, "/ob")
	odd(jute.OpSetACL, "/ob", open)
	odd(jute.OpGetData, "/ob")
	odd(jute.OpGetData, "/ob", raw{7})
	odd(jute.OpGetChildren, raw{0, 0})
	odd(jute.OpSync, 3, raw("ab"))
	odd(jute.OpAddWatch, "/ob")
	odd(jute.OpRemoveWatches, "/ob")
	odd(jute.OpReconfig, "a")
	odd(jute.OpCreateTTL, "/ob/z", all, open, 5)
	odd(jute.OpMulti, part(jute.OpCreate, "/ob/y", all, open))
	odd(jute.OpMulti, part(jute.OpDelete), jute.MultiEnd.AppendTo(nil))
	odd(jute.OpSetWatches, int64(1), []string{"/ob"})
	odd(jute.OpGetEphemerals, nil)
	odd(jute.OpGetAllChildren, nil)
	odd(jute.OpAuth, 0, "digest")
	a.ask(jute.OpExists, "/ob", false)
	a.ask(jute.OpGetChildren, "/ob", false)
}

// goldenFrames sends what is no request. Each costs its connection, and no other.
func goldenFrames(d *dialogue) {
	a := d.connect("a")
	length := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	for i, b := range [][]byte{
		length(-1), length(-1 << 31), length(1<<31 - 1), length(0xfffff + 1), length(0),
		append(length(4), 0, 0, 0, 0), append(length(20), make([]byte, 20)...), append(length(28), make([]byte, 28)...),
		[]byte("abcd"), // ours has an answer for HTTP and TLS, and Apache's has none
		append(length(44), append(make([]byte, 24), length(-2)...)...),
		append(length(32), append(make([]byte, 24), append(length(1000), 0, 0, 0, 0)...)...),
	} {
		c := d.open(fmt.Sprintf("first%d", i))
		c.note(">", b, "bytes")
		c.send(b)
		if n := int32(binary.BigEndian.Uint32(b)); n >= 0 && int(n) > len(b)-4 && n <= 0xfffff {
			c.c.Close() // an announced frame that never ends
			continue
		}
		c.helloReply()
	}
	for i, b := range [][]byte{
		length(-1), length(1<<31 - 1), length(0xfffff + 1), length(0), append(length(4), 0, 0, 0, 1), append(length(7), 0, 0, 0, 1, 0, 0, 0),
		[]byte("ruok"), []byte("srvr"),
	} {
		c := d.connect(fmt.Sprintf("later%d", i))
		c.note(">", b, "bytes")
		c.send(b)
		c.closed()
	}
	// The longest request that is allowed, and one byte more.
	a.ask(jute.OpCreate, "/fr", nil, open, 0)
	room := 0xfffff - 8 - len(body("/fr", []byte{}, -1))
	a.ask(jute.OpSetData, "/fr", make([]byte, room), -1)
	c := d.connect("c")
	c.ask(jute.OpSetData, "/fr", make([]byte, room+1), -1)
	a.ask(jute.OpExists, "/fr", false)
	a.ask(jute.OpDelete, "/fr", -1)
}

func goldenUnknownOps(d *dialogue) {
	a := d.connect("a")
	for i, op := range []jute.Op{0, 10, 23, 99, 108, 1000, -2, -3, -100, 1<<31 - 1} {
		c := d.connect(fmt.Sprintf("c%d", i))
		c.ask(op, "/", 0)
		c.closed()
	}
	c := d.connect("sasl")
	c.ask(jute.OpSASL, []byte{})
	c.ask(jute.OpSASL, []byte("token"))
	c.settle()
	a.settle()
}

// What ours refuses on purpose and Apache's does not. Nothing is kept of Apache's answers: a lone check
// leaves its log unreadable.
func TestRefusedOnPurpose(t *testing.T) {
	if underTest() == apache {
		t.Log("only ours refuses")
		return
	}
	s := newZookeeper(t, ours, "")
	d := &dialogue{T: t, addr: s.addr()}
	a := d.connect("a")
	a.ask(jute.OpCreate, "/x", all, open, 0)
	for _, op := range []jute.Op{jute.OpCheck, jute.OpDeleteContainer, jute.OpCreateSession} {
		c := d.connect("c")
		before := c.now()
		c.asked[1] = op
		c.sendFrame(append(header(1, op), body("/x", -1)...))
		b := c.mustFrame()
		dec := jute.NewDecoder(b)
		if h := dec.ReplyHeader(); h.Xid != 1 || h.Err != jute.Unimplemented {
			t.Errorf("%v was answered with %v", op, h)
		}
		if after := a.now(); after > before+1 {
			t.Errorf("%v left a transaction: the zxid went from %x to %x", op, before, after)
		}
	}
	// Nothing is done that stands behind the end of the session.
	c := d.connect("c")
	c.tell(1, jute.OpCloseSession)
	c.tell(2, jute.OpDelete, "/x", -1)
	c.hear(1)
	c.closed()
	a.asked[3] = jute.OpExists
	a.sendFrame(append(header(3, jute.OpExists), body("/x", false)...))
	dec := jute.NewDecoder(a.mustFrame())
	if h := dec.ReplyHeader(); h.Err != jute.OK {
		t.Errorf("what stood behind the end of the session was done: %v", h)
	}
}

// The conversations that need a server set up for them.
func TestGoldenSettings(t *testing.T) {
	test := "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
	golden(t, newZookeeper(t, underTest(), "reconfigEnabled=true\n", "zookeeper.DigestAuthenticationProvider.superDigest="+test), "super", goldenSuper)
	s := newZookeeper(t, underTest(), "", "zookeeper.extendedTypesEnabled=true", "zookeeper.enforceQuota=true")
	golden(t, s, "extended-types", goldenExtended)
	golden(t, s, "hard-quota", goldenHardQuota)
	golden(t, newZookeeper(t, underTest(), "tickTime=200\n"), "expiry", goldenExpiry)
	golden(t, newZookeeper(t, underTest(), ""), "root", func(d *dialogue) {
		a := d.connect("a")
		for _, p := range []string{"/", "/zookeeper"} {
			a.ask(jute.OpGetData, p, false)
			a.ask(jute.OpGetChildren2, p, false)
			a.ask(jute.OpGetACL, p)
			a.ask(jute.OpGetAllChildren, p)
			a.ask(jute.OpSetData, p, all, -1)
			a.ask(jute.OpGetData, p, false)
			a.ask(jute.OpCreate, p+"x", all, open, 0)
			a.ask(jute.OpGetChildren2, p, false)
			a.ask(jute.OpSetACL, p, grants(31, "world", "anyone"), 0)
			a.ask(jute.OpExists, p, false)
		}
	})
	golden(t, newZookeeper(t, underTest(), "maxClientCnxns=2\n"), "too-many-connections", func(d *dialogue) {
		a := d.connect("a")
		d.connect("b")
		d.connect("c")
		a.settle()
	})
	golden(t, newZookeeper(t, underTest(), "", "jute.maxbuffer=2000"), "maxbuffer", func(d *dialogue) {
		a := d.connect("a")
		a.ask(jute.OpCreate, "/mb", make([]byte, 1900), open, 0)
		a.ask(jute.OpGetData, "/mb", false)
		b := d.connect("b")
		b.ask(jute.OpCreate, "/mc", make([]byte, 2000), open, 0)
		a.settle()
	})
}
