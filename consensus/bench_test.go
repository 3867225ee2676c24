package consensus

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"log/slog"
	"net/netip"
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

	traffic clientport.Traffic // what the port says
	over    bool
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
func (w *wire) Traffic() clientport.Traffic { return w.traffic }
func (w *wire) Over() bool                  { return w.over }

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
