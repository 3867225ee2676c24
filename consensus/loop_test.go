package consensus

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
	"example.org/ha/consensus/txnlog"
)

// A bench is a loop without goroutines: the test is its clients, its clock and its disk.
type bench struct {
	t   *testing.T
	l   *loop
	now time.Time
	log bytes.Buffer
	ids uint64
}

func (b *bench) Flush() {}

// A wire is the client's end of a connection.
type wire struct {
	b      *bench
	id     uint64
	c      *client
	in     []byte // what the member said
	asked  int    // frames sent
	done   int    // frames that the member has counted as answered
	closed string // why the member ended it
}

func (w *wire) ID() uint64                        { return w.id }
func (w *wire) Remote() netip.AddrPort            { return netip.MustParseAddrPort("192.0.2.1:40000") }
func (w *wire) Secure() bool                      { return false }
func (w *wire) Certificates() []*x509.Certificate { return nil }
func (w *wire) Write(p []byte)                    { w.in = append(w.in, p...) }
func (w *wire) Done(n int)                        { w.done += n }
func (w *wire) Close(r clientport.Reason)         { w.closed = string(r) }
func (w *wire) Refuse(r clientport.Reason, err error) {
	w.closed = string(r) + ": " + err.Error()
}
func (w *wire) Traffic() clientport.Traffic { return clientport.Traffic{} }

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, now: time.UnixMilli(1_700_000_000_000)}
	cfg := Config{ID: 1, DataDir: "unused"}
	if change != nil {
		change(&cfg)
	}
	cfg = cfg.Filled()
	db := newDatabase(tree.New(tree.Config{ExtendedTypes: cfg.TTLNodes}), map[int64]int32{}, rulesOf(&cfg))
	b.l = newLoop(b.now, &cfg, slog.New(slog.NewTextHandler(&b.log, nil)), db)
	b.l.port = b
	b.l.words = words(cfg.Words)
	b.l.users = cfg.SASLUsers
	b.l.keep = make(chan *copying, 1)
	return b
}

// pass lets time go by in steps that are no stall, as the loop's own timer would have it.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(min(beat, end.Sub(b.now)))
		b.round()
	}
}

func (b *bench) round() {
	b.l.at(b.now)
	b.l.notice()
	b.l.round()
	b.l.wake = b.now.Add(beat)
}

// persist lets the disk have what has gathered, and says how that went.
func (b *bench) persist(err error) error {
	b.t.Helper()
	b.round()
	if b.l.group.Last == 0 {
		b.t.Fatal("nothing to persist")
	}
	g := b.l.group
	b.l.taken()
	werr := b.l.wrote(txnlog.Written{Group: g, Err: err})
	b.round()
	return werr
}

func (b *bench) dial() *wire {
	b.ids++
	w := &wire{b: b, id: b.ids}
	b.l.at(b.now)
	w.c = b.l.accept(w)
	return w
}

// send gives whole frames to the member, as one read.
func (w *wire) send(frames ...[]byte) {
	var all []byte
	for _, f := range frames {
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(f))), f...)
	}
	w.asked += len(frames)
	w.b.l.at(w.b.now)
	w.b.l.frames(w.c, all)
	w.b.round()
}

// frame takes one frame that the member sent.
func (w *wire) frame() []byte {
	w.b.t.Helper()
	if len(w.in) < 4 {
		w.b.t.Fatalf("connection %d: no answer (closed: %q)", w.id, w.closed)
	}
	n := binary.BigEndian.Uint32(w.in)
	f := w.in[4 : 4+n]
	w.in = w.in[4+n:]
	return f
}

// An answer is a reply or an event, taken apart as far as the header goes.
type answer struct {
	jute.ReplyHeader
	body []byte
}

func (w *wire) answer() answer {
	w.b.t.Helper()
	d := jute.NewDecoder(w.frame())
	a := answer{ReplyHeader: d.ReplyHeader()}
	a.body = d.Rest()
	return a
}

// expect takes an answer and compares its header.
func (w *wire) expect(xid int32, zxid int64, code jute.Code) answer {
	w.b.t.Helper()
	a := w.answer()
	if want := (jute.ReplyHeader{Xid: xid, Zxid: zxid, Err: code}); a.ReplyHeader != want {
		w.b.t.Fatalf("connection %d: got %+v, want %+v", w.id, a.ReplyHeader, want)
	}
	return a
}

func (w *wire) silent() {
	w.b.t.Helper()
	if len(w.in) > 0 {
		w.b.t.Fatalf("connection %d: was told %x", w.id, w.in)
	}
}

func (w *wire) endedFor(r clientport.Reason) {
	w.b.t.Helper()
	if w.closed == "" || !strings.HasPrefix(w.closed, string(r)) {
		w.b.t.Fatalf("connection %d: ended for %q, want %q", w.id, w.closed, r)
	}
}

// frameOf is a request.
func frameOf(xid int32, r jute.Request) []byte {
	return r.AppendTo(jute.AppendInt(jute.AppendInt(nil, xid), int32(r.Op)))
}

func connectFrame(c jute.ConnectRequest) []byte {
	if c.Password == nil {
		c.Password = make([]byte, 16)
	}
	return c.AppendTo(nil)
}

// join opens a session.
func (b *bench) join() *wire {
	b.t.Helper()
	w := b.dial()
	w.send(connectFrame(jute.ConnectRequest{Timeout: 10_000, HasReadOnly: true}))
	if err := b.persist(nil); err != nil {
		b.t.Fatal(err)
	}
	r, err := jute.ParseConnectResponse(w.frame())
	if err != nil || r.Timeout != 10_000 || r.SessionID == 0 {
		b.t.Fatalf("connect: %+v, %v", r, err)
	}
	return w
}

var anyoneAll = []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "world", ID: "anyone"}}}

func create(xid int32, path string, flags int32) []byte {
	return frameOf(xid, jute.Request{Op: jute.OpCreate, Path: path, Data: []byte("x"), ACL: anyoneAll, Flags: flags})
}

func setData(xid int32, path, data string) []byte {
	return frameOf(xid, jute.Request{Op: jute.OpSetData, Path: path, Data: []byte(data), Version: -1})
}

func getData(xid int32, path string, watch bool) []byte {
	return frameOf(xid, jute.Request{Op: jute.OpGetData, Path: path, Watch: watch})
}

func data(a answer) string {
	d := jute.NewDecoder(a.body)
	return string(d.Buffer())
}

// must makes a znode.
func (w *wire) must(path string, flags int32) {
	w.b.t.Helper()
	w.send(create(9000, path, flags))
	if err := w.b.persist(nil); err != nil {
		w.b.t.Fatal(err)
	}
	if a := w.answer(); a.Err != jute.OK {
		w.b.t.Fatalf("create %s: %v", path, a.Err)
	}
}

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
