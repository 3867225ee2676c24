package e2e

import (
	"encoding/binary"
	"slices"
	"time"

	"example.org/ha/consensus/jute"
)

func (t *talker) again() jute.ConnectRequest {
	return jute.ConnectRequest{Timeout: 10000, SessionID: t.session, Password: t.passwd, HasReadOnly: true}
}

func goldenAttach(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/at", all, open, 0)
	a.ask(jute.OpCreate, "/at/e", all, open, 1)
	a.ask(jute.OpGetData, "/at", true)
	b := d.open("b")
	b.hello(a.again())
	a.closed()
	b.ask(jute.OpExists, "/at/e", false)
	b.ask(jute.OpSetData, "/at", all, -1)
	b.ask(jute.OpGetEphemerals, "/at")
	b.ask(jute.OpWhoAmI)
	// With another timeout, and a zxid that it has seen.
	c := d.open("c")
	r := b.again()
	r.Timeout, r.HasReadOnly = 20000, false
	c.hello(r)
	b.closed()
	c.ask(jute.OpExists, "/at/e", false)
	// From a connection that was cut.
	c.c.Close()
	e := d.open("e")
	e.hello(b.again())
	e.ask(jute.OpDelete, "/at/e", -1)
	e.settle()
}

func goldenAttachRefused(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/ar", all, open, 1)
	gone := d.connect("gone")
	gone.ask(jute.OpCloseSession)
	gone.closed()
	b := d.open("b")
	b.hello(gone.again())
	b.closed()
	c := d.open("c")
	c.hello(jute.ConnectRequest{Timeout: 10000, SessionID: 0x1234567890, Password: make([]byte, 16), HasReadOnly: true})
	c.closed()
	e := d.open("e")
	e.hello(jute.ConnectRequest{Timeout: 10000, SessionID: -5, Password: nil, HasReadOnly: true})
	e.closed()
	a.settle()
	wrong := a.again()
	wrong.Password = slices.Repeat([]byte{7}, 16)
	f := d.open("f")
	f.hello(wrong)
	f.closed()
	g := d.open("g")
	g.hello(a.again())
	g.ask(jute.OpExists, "/ar", false)
}

func goldenClose(d *dialogue) {
	a, b := d.connect("a"), d.connect("b")
	a.ask(jute.OpGetChildren, "/", true)
	b.ask(jute.OpCreate, "/cl", all, open, 1)
	a.settle()
	a.ask(jute.OpExists, "/cl", true)
	a.ask(jute.OpGetChildren, "/", true)
	b.ask(jute.OpCloseSession)
	b.closed()
	a.settle()
	c := d.connect("c")
	c.ask(jute.OpCreate, "/cl", all, open, 1)
	c.tell(90, jute.OpDelete, "/cl", -1)
	c.tell(91, jute.OpCreate, "/cl", all, open, 1)
	c.tell(92, jute.OpCloseSession, raw("bytes that mean nothing"))
	c.hear(92)
	c.closed()
	a.ask(jute.OpExists, "/cl", false)
}

// Everything in one write, as clients do that have waited for the connection.
func goldenPipeline(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/pi", all, open, 0)
	b := d.open("b")
	frame := func(p []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...) }
	out := frame((&jute.ConnectRequest{Timeout: 10000, Password: make([]byte, 16), HasReadOnly: true}).AppendTo(nil))
	put := func(xid int32, op jute.Op, parts ...any) {
		b.asked[xid] = op
		p := append(header(xid, op), body(parts...)...)
		b.note(">", p, op.String())
		out = append(out, frame(p)...)
	}
	put(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("u:p"))
	put(jute.XidSetWatches, jute.OpSetWatches, int64(1<<60), []string{"/pi"}, []string{}, []string{})
	put(1, jute.OpCreate, "/pi/a", all, grants(31, "auth", ""), 0)
	put(2, jute.OpGetData, "/pi/a", false)
	put(3, jute.OpSetData, "/pi/a", []byte("2"), 0)
	put(4, jute.OpGetData, "/pi/a", false)
	put(5, jute.OpSetData, "/pi/a", []byte("3"), 0)
	put(6, jute.OpExists, "/pi/a", false)
	put(7, jute.OpMulti, multi(part(jute.OpCreate, "/pi/b", all, open, 0), part(jute.OpDelete, "/pi/b", 0)))
	put(8, jute.OpSync, "/pi")
	put(9, jute.OpGetChildren, "/pi", false)
	put(10, jute.OpSetData, "/pi", all, -1)
	put(11, jute.OpGetACL, "/pi/a")
	b.send(out)
	b.helloReply()
	// The answer to auth is made outside the pipeline and may come at any time; all others in order.
	for _, xid := range []int32{jute.XidSetWatches, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11} {
		b.hear(xid)
	}
	a.ask(jute.OpGetData, "/pi/a", false)
	// One request byte by byte, and two in one segment.
	p := frame(append(header(20, jute.OpExists), body("/pi", false)...))
	b.asked[20] = jute.OpExists
	for i := range p {
		b.send(p[i : i+1])
	}
	b.hear(20)
	b.asked[21], b.asked[22] = jute.OpExists, jute.OpExists
	b.send(append(frame(append(header(21, jute.OpExists), body("/pi", false)...)), frame(append(header(22, jute.OpExists), body("/none", false)...))...))
	b.hear(21)
	b.hear(22)
}

// A client that falls silent loses its session and what hangs on it.
func goldenExpiry(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/ex", all, open, 0)
	b := d.open("b")
	b.hello(jute.ConnectRequest{Timeout: 1, Password: make([]byte, 16), HasReadOnly: true})
	b.ask(jute.OpCreate, "/ex/e", all, open, 1)
	a.ask(jute.OpExists, "/ex/e", true)
	a.ask(jute.OpGetChildren, "/ex", true)
	b.closed()
	for deadline := time.Now().Add(patience); ; {
		before := len(d.lines)
		a.settle()
		if len(d.lines) > before+2 || time.Now().After(deadline) {
			break
		}
		d.lines = d.lines[:before]
		d.count--
		a.pause(50 * time.Millisecond)
	}
	c := d.open("c")
	c.hello(b.again())
	c.closed()
	a.ask(jute.OpExists, "/ex", false)
}

// pause lets time go by on the server's side; what comes meanwhile is read later.
func (t *talker) pause(d time.Duration) { <-time.After(d) }
