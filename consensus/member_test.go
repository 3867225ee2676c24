package consensus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/fourletter"
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
	"example.org/ha/consensus/txnlog"
)

// A running is a member on real sockets and a real disk.
type running struct {
	t    *testing.T
	m    *Member
	stop context.CancelFunc
	over chan error
}

func run(t *testing.T, cfg Config) *running {
	t.Helper()
	cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	m, err := New(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{t: t, m: m, stop: stop, over: make(chan error, 1)}
	ready := make(chan struct{})
	go func() { r.over <- m.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-r.over:
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return r
}

func (r *running) end() {
	r.t.Helper()
	r.stop()
	if err := <-r.over; err != nil {
		r.t.Fatalf("the member ended with %v", err)
	}
}

// A peer is a client on a socket.
type peer struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func (r *running) dial() *peer {
	r.t.Helper()
	c, err := net.Dial("tcp", r.m.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return &peer{t: r.t, c: c, r: bufio.NewReader(c)}
}

func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	var all []byte
	for _, f := range frames {
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(f))), f...)
	}
	if _, err := p.c.Write(all); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) frame() []byte {
	p.t.Helper()
	var n [4]byte
	if _, err := io.ReadFull(p.r, n[:]); err != nil {
		p.t.Fatal(err)
	}
	f := make([]byte, binary.BigEndian.Uint32(n[:]))
	if _, err := io.ReadFull(p.r, f); err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (p *peer) answer() (jute.ReplyHeader, []byte) {
	p.t.Helper()
	d := jute.NewDecoder(p.frame())
	h := d.ReplyHeader()
	return h, d.Rest()
}

func (p *peer) connect(session int64, pass []byte) jute.ConnectResponse {
	p.t.Helper()
	p.send(connectFrame(jute.ConnectRequest{Timeout: 10_000, SessionID: session, Password: pass}))
	c, err := jute.ParseConnectResponse(p.frame())
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func TestMemberComesBackWithItsData(t *testing.T) {
	dir := t.TempDir()
	r := run(t, Config{DataDir: dir})
	p := r.dial()
	s := p.connect(0, nil)
	p.send(create(1, "/a", 0), create(2, "/a/e", jute.FlagEphemeral), setData(3, "/a", "value"))
	for xid := int32(1); xid <= 3; xid++ {
		if h, _ := p.answer(); h != (jute.ReplyHeader{Xid: xid, Zxid: int64(xid + 1)}) {
			t.Fatalf("%+v", h)
		}
	}
	r.end()

	r = run(t, Config{DataDir: dir})
	p = r.dial()
	if again := p.connect(s.SessionID, s.Password); again.SessionID != s.SessionID {
		t.Fatalf("the session is gone: %+v", again)
	}
	p.send(getData(4, "/a", false), getData(5, "/a/e", false), create(6, "/b", 0))
	if h, body := p.answer(); h != (jute.ReplyHeader{Xid: 4, Zxid: 4}) || data(answer{body: body}) != "value" {
		t.Fatalf("%+v %q", h, body)
	}
	if h, _ := p.answer(); h.Err != jute.OK {
		t.Fatalf("the ephemeral of a living session: %+v", h)
	}
	if h, _ := p.answer(); h != (jute.ReplyHeader{Xid: 6, Zxid: 5}) {
		t.Fatalf("zxids do not go on where they ended: %+v", h)
	}
	r.end()
}

func TestSnapshotsAreTakenAndPurged(t *testing.T) {
	dir := t.TempDir()
	r := run(t, Config{DataDir: dir, SnapCount: 20})
	p := r.dial()
	p.connect(0, nil)
	p.send(create(0, "/a", 0))
	p.answer()
	deadline := time.Now().Add(15 * time.Second)
	var snaps []string
	for xid := int32(1); ; xid++ {
		p.send(setData(xid, "/a", "value"))
		if h, _ := p.answer(); h.Err != jute.OK {
			t.Fatalf("%+v", h)
		}
		snaps, _ = filepath.Glob(filepath.Join(dir, "version-2", "snapshot.*"))
		slices.Sort(snaps)
		if !slices.Contains(snaps, filepath.Join(dir, "version-2", "snapshot.0")) {
			break // the first one was purged, so there were more than three others
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %d writes: %v", xid, snaps)
		}
	}
	s, err := r.m.Status(t.Context(), 0)
	if err != nil || s.LastSnapshotZxid <= 0 || s.LastSnapshotTime.IsZero() {
		t.Errorf("status: last snapshot %d at %v (%v)", s.LastSnapshotZxid, s.LastSnapshotTime, err)
	}
	r.end()
	r = run(t, Config{DataDir: dir})
	if s, err := r.m.Status(t.Context(), 0); err != nil || s.Zxid < 20 || s.Znodes != 6 {
		t.Errorf("after a start from a snapshot: zxid %d, %d znodes, %v", s.Zxid, s.Znodes, err)
	}
	r.end()
}

// A backup holds one instant, whatever is written while it is read.
func TestBackupWhileWriting(t *testing.T) {
	r := run(t, Config{DataDir: t.TempDir()})
	p := r.dial()
	p.connect(0, nil)
	const many = 3000
	for i := range int32(many) {
		p.send(create(i, "/n"+string(rune('a'+i%26)), jute.FlagSequential))
	}
	for range many {
		p.answer()
	}
	writes := make(chan int32)
	go func() {
		defer close(writes)
		q := r.dial()
		q.connect(0, nil)
		for i := range int32(2000) {
			q.send(create(i, "/later", jute.FlagSequential))
		}
		for range 2000 {
			q.answer()
		}
	}()
	var file bytes.Buffer
	if err := r.m.Snapshot(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	<-writes
	r.end()

	dir := t.TempDir()
	name := filepath.Join(dir, "snapshot.1")
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := txnlog.ReadSnapshot(txnlog.OS, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream := bufio.NewReader(bytes.NewReader(file.Bytes()[16:])) // behind the file's header
	got, _, err := tree.Load(stream, tree.Config{})
	if err != nil || got.Len() < many || got.Digest() != info.Digest.Tree {
		t.Errorf("%d znodes, digest %x, the file says %x (%v)", got.Len(), got.Digest(), info.Digest.Tree, err)
	}
}

// A reader of a backup that fails, or goes, leaves the member as it was.
func TestBackupThatNobodyReads(t *testing.T) {
	r := run(t, Config{DataDir: t.TempDir()})
	broken := errors.New("broken pipe")
	if err := r.m.Snapshot(t.Context(), failing{broken}); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.m.Snapshot(ctx, io.Discard); err == nil {
		t.Fatal("a snapshot for nobody")
	}
	var file bytes.Buffer
	for {
		err := r.m.Snapshot(t.Context(), &file) // the lane is free again once the loop has noticed
		if err == nil {
			break
		}
		if !errors.Is(err, errBusy) {
			t.Fatal(err)
		}
	}
	if !bytes.HasPrefix(file.Bytes(), []byte("ZKSN")) {
		t.Errorf("%q", file.Bytes())
	}
	r.end()
	if err := r.m.Snapshot(t.Context(), &file); !errors.Is(err, errStopped) {
		t.Errorf("after the end: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestWordsOverTheWire(t *testing.T) {
	r := run(t, Config{DataDir: t.TempDir(), Words: []string{"*"}})
	q := r.dial()
	q.connect(0, nil)
	for word, want := range map[string]string{
		"ruok": "imok", "srvr": "Mode: standalone", "stat": "Clients:", "mntr": "zk_znode_count\t5", "conf": "tickTime=2000",
		"cons": "sid=0x1", "dump": "SessionTracker dump", "envi": "zookeeper.version=3.8.0", "dirs": "logdir_size", "wchs": "0 connections",
		"isro": "rw", "crst": "reset", "srst": "reset", "gtmk": "306",
	} {
		p := r.dial()
		if _, err := p.c.Write([]byte(word)); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(p.r)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, %v; want %q in it", word, text, err, want)
		}
	}
	r.end()
}

func TestStatusOfAMember(t *testing.T) {
	r := run(t, Config{DataDir: t.TempDir()})
	p := r.dial()
	p.connect(0, nil)
	all := fourletter.WantConnections | fourletter.WantSessions | fourletter.WantWatches | fourletter.WantSizes |
		fourletter.WantMetrics | fourletter.WantSettings | fourletter.WantDigests
	s, err := r.m.Status(t.Context(), all)
	if err != nil || !s.Serving || len(s.Connections) != 1 || len(s.Sessions) != 1 || s.DataDirSize == 0 || len(s.Metrics) == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := r.m.Authorize(t.Context(), "digest", []byte("a:b")); err != nil {
		t.Errorf("/ is open to all: %v", err)
	}
	if err := r.m.Reset(t.Context(), "srst"); err != nil {
		t.Error(err)
	}
	r.end()
	if s, err := r.m.Status(t.Context(), all); err != nil || s.Serving {
		t.Errorf("after the end: serving %v, %v", s.Serving, err)
	}
}

func TestTwoMembersOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	r := run(t, Config{DataDir: dir})
	m, err := New(Config{DataDir: dir, Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context(), func() {}); !errors.Is(err, txnlog.ErrInUse) {
		t.Errorf("a second member on the same data: %v", err)
	}
	r.end()
}

func TestMemberID(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
		ok   bool
	}{{"", 0, false}, {"7\n", 7, true}, {"0", 1, true}, {"254", 254, true}, {"255", 0, false}, {"x", 0, false}, {"-1", 0, false}} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "myid"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := memberID(dir); (err == nil) != c.ok || id != c.want {
			t.Errorf("myid %q: %d, %v", c.text, id, err)
		}
	}
	if id, err := memberID(t.TempDir()); id != 1 || err != nil {
		t.Errorf("no myid: %d, %v", id, err)
	}
}

func TestMistakesInTheTable(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.DataDir = "" }, "data_dir"},
		{func(c *Config) { c.ID = 255 }, "id"},
		{func(c *Config) { c.Tick = -1 }, "tick"},
		{func(c *Config) { c.MinSessionTimeout = time.Hour }, "max_session_timeout"},
		{func(c *Config) { c.MaxRequest = 7 }, "max_request"},
		{func(c *Config) { c.SnapCount = 1 }, "snap_count"},
		{func(c *Config) { c.Retain = 2 }, "retain"},
		{func(c *Config) { c.SnapshotCompression = "zip" }, "snapshot_compression"},
		{func(c *Config) { c.TLSListen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")} }, "tls"},
		{func(c *Config) { c.MaxOutstanding = -1 }, "max_outstanding"},
	} {
		cfg := Config{DataDir: "/var/lib/zookeeper"}
		if err := cfg.Check(); err != nil {
			t.Fatal(err)
		}
		c.change(&cfg)
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want a mistake about %s, got %v", c.want, err)
		}
	}
}
