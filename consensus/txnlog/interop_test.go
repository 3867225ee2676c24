package txnlog

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// Apache's server beside this package, on the same files.

const jar = "/usr/share/java/zookeeper.jar"

func needJar(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(jar); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("Debian's package zookeeper is not installed; CI has it")
	}
}

// The port is below those that the kernel gives to clients: one that dials a server which is not there yet
// could be given the same port, connect to itself, and hold it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// java runs a main class of the jar and returns what it printed.
func java(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "java", append([]string{"-Xmx256m", "-cp", jar}, args...)...).CombinedOutput()
	return string(out), err
}

// apache is a running server.
type apache struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	log  *bytes.Buffer
}

func startApache(t *testing.T, dir string, options ...string) *apache {
	t.Helper()
	port := freePort(t)
	cfg := filepath.Join(t.TempDir(), "zoo.cfg")
	text := fmt.Sprintf("tickTime=2000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\n", dir, port)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &apache{t: t, addr: fmt.Sprintf("127.0.0.1:%d", port), log: &bytes.Buffer{}}
	args := append([]string{"-Xmx256m"}, options...)
	args = append(args, "-cp", jar+":/usr/share/java/slf4j-simple.jar", "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)
	a.cmd = exec.Command("java", args...)
	stderr, err := a.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.kill)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(a.log, lines.Text())
		if strings.Contains(lines.Text(), "Using checkIntervalMs=") {
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return a
		}
	}
	t.Fatalf("Apache's server did not start:\n%s", a.log)
	return nil
}

func (a *apache) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// client is a connection with a session, just enough of one.
type client struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func (a *apache) client() *client {
	c, err := net.DialTimeout("tcp", a.addr, 5*time.Second)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = c.Close() })
	k := &client{a.t, c, bufio.NewReader(c)}
	connect := jute.ConnectRequest{Timeout: 30000, Password: make([]byte, 16)}
	k.send(connect.AppendTo(nil))
	k.receive()
	return k
}

func (k *client) send(body []byte) {
	if _, err := k.c.Write(append(jute.AppendInt(nil, int32(len(body))), body...)); err != nil {
		k.t.Fatal(err)
	}
}

func (k *client) receive() []byte {
	k.t.Helper()
	_ = k.c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var head [4]byte
	if _, err := io.ReadFull(k.r, head[:]); err != nil {
		k.t.Fatal(err)
	}
	d := jute.NewDecoder(head[:])
	body := make([]byte, d.Int())
	if _, err := io.ReadFull(k.r, body); err != nil {
		k.t.Fatal(err)
	}
	return body
}

// do asks one thing and returns the reply's header and body.
func (k *client) do(r jute.Request) (jute.ReplyHeader, []byte) {
	k.t.Helper()
	k.send(r.AppendTo(jute.AppendInt(jute.AppendInt(nil, 1), int32(r.Op))))
	d := jute.NewDecoder(k.receive())
	return d.ReplyHeader(), d.Rest()
}

var open = []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "world", ID: "anyone"}}}

func (k *client) create(path, data string, flags int32) jute.Code {
	h, _ := k.do(jute.Request{Op: jute.OpCreate, Path: path, Data: []byte(data), ACL: open, Flags: flags})
	return h.Err
}

// read loads a directory and returns the znodes of the snapshot, the records and the last zxid.
func read(t *testing.T, dir string) (snapshot int64, znodes []string, records []jute.LoggedTxn, last int64) {
	t.Helper()
	s, err := Open(Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last, err = s.Load(func(zxid int64, r io.Reader) error {
		snapshot = zxid
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if !bytes.HasSuffix(body, terminator) {
			t.Errorf("the body ends with %x", body[max(0, len(body)-8):])
		}
		return nil
	}, func(record []byte) error {
		l, err := jute.ParseLoggedTxn(slices.Clone(record))
		records = append(records, l)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names, _ := s.snapshots()
	for _, st := range names {
		if st.zxid == snapshot {
			info, err := ReadSnapshot(nil, s.snaps.join(st.name), func(z *Znode) error {
				znodes = append(znodes, string(z.Path))
				return nil
			})
			unset := snapshot == 0 && info.Digest.Tree == 0 // Apache has none yet
			if err != nil || info.DigestZxid != snapshot || info.Digest.Tree != info.Computed && !unset {
				t.Errorf("%s: %+v, %v", st.name, info, err)
			}
		}
	}
	return snapshot, znodes, records, last
}

// What Apache's server wrote is read here, with every way its snapshots may be compressed; also the zxids
// of requests that failed, or made no sense, leave no gap.
func TestReadsApache(t *testing.T) {
	needJar(t)
	for _, compression := range []string{"", "gz", "snappy"} {
		t.Run("compression="+compression, func(t *testing.T) {
			dir := t.TempDir()
			a := startApache(t, dir, "-Dzookeeper.snapshot.compression.method="+compression)
			k := a.client()
			for i := range 20 {
				if c := k.create(fmt.Sprintf("/n%d", i), strings.Repeat("x", i*50), 0); c != jute.OK {
					t.Fatal(c)
				}
			}
			_ = k.create("/n0", "", 0)             // there already
			_ = k.create("/none/below", "", 0)     // no parent
			_ = k.create("no slash", "", 0)        // no path
			_ = k.create("/bad flags", "", 77)     // no mode
			_ = k.create("/e", "ephemeral", 1)     //
			_ = k.create("/s", "sequential", 2)    //
			k.send([]byte{0, 0, 0, 9, 0, 0, 0, 1}) // create without a body
			k.receive()
			k.do(jute.Request{Op: jute.OpMulti, Ops: []jute.Request{
				{Op: jute.OpCreate, Path: "/m", ACL: open}, {Op: jute.OpCheck, Path: "/n1", Version: 5}}})
			k.do(jute.Request{Op: jute.OpMulti, Ops: []jute.Request{
				{Op: jute.OpCreate, Path: "/m", ACL: open}, {Op: jute.OpSetData, Path: "/n1", Data: []byte("1"), Version: 0}}})
			_ = k.create("/last", "", 0)
			a.kill()
			snapshot, znodes, records, last := read(t, dir)
			if snapshot != 0 || len(znodes) != 4 { // root, zookeeper, quota, config
				t.Errorf("snapshot %d of %q", snapshot, znodes)
			}
			if len(records) < 28 || last != int64(len(records)) || records[len(records)-1].Txn.Path != "/last" {
				t.Errorf("%d records, last %d: %+v", len(records), last, records[len(records)-1])
			}
			// A second start of theirs writes a snapshot of it all.
			startApache(t, dir, "-Dzookeeper.snapshot.compression.method="+compression).kill()
			snapshot, znodes, records, again := read(t, dir)
			if again != last || snapshot != last || len(znodes) != 4+20+4 || len(records) != 0 {
				t.Errorf("snapshot %d (last was %d), %d znodes, %d records after it", snapshot, last, len(znodes), len(records))
			}
		})
	}
}

// fill writes a history here: the snapshot of an empty tree and creations after it.
func fill(t *testing.T, cfg Config, from, to int64) {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	loaded := false
	last, err := s.Load(func(int64, io.Reader) error { loaded = true; return nil }, func([]byte) error { return nil })
	if err != nil || last != from-1 {
		t.Fatalf("last %d, %v", last, err)
	}
	if !loaded {
		snap, err := s.CreateSnapshot(0)
		if err == nil {
			_, err = snap.Write(emptyTree())
		}
		if err == nil {
			err = snap.Commit(emptyDigest)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.Run(ctx) }()
	for zxid := from; zxid <= to; zxid++ {
		h := jute.TxnHeader{Session: 1, Cxid: int32(zxid), Zxid: zxid, Time: 1700000000000, Type: jute.OpCreate}
		x := jute.Txn{Type: jute.OpCreate, Path: fmt.Sprintf("/ours%d", zxid), Data: bytes.Repeat([]byte("y"), int(zxid)*7), ACL: open, ParentCVersion: int32(zxid)}
		b := x.AppendTo(h.AppendTo(nil))
		s.Groups() <- &Group{Records: b, Ends: []int{len(b)}, First: zxid, Last: zxid, Roll: zxid%10 == 0}
		if w := <-s.Written(); w.Err != nil {
			t.Fatal(w.Err)
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// emptyTree is the body of a snapshot at birth.
func emptyTree() []byte {
	b := jute.AppendInt(nil, 0)
	b = jute.AppendInt(b, 1)
	b = jute.AppendACLs(jute.AppendLong(b, 1), []jute.ACL{{Perms: jute.PermRead, ID: jute.ID{Scheme: "world", ID: "anyone"}}})
	for _, path := range []string{"", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"} {
		acl, st := int64(-1), jute.StatPersisted{}
		if path == "" || path == "/zookeeper" {
			st.Cversion = 0
		}
		if path == "/zookeeper/config" {
			acl = 1
		}
		b = st.AppendTo(jute.AppendLong(jute.AppendBuffer(jute.AppendString(b, path), []byte{}), acl))
	}
	return append(b, terminator...)
}

const emptyDigest = 0x51c6d660

// What is written here, Apache's server loads, and its own tools read: logs and each kind of snapshot.
func TestApacheReads(t *testing.T) {
	needJar(t)
	for _, compression := range []string{"", "gz", "snappy"} {
		t.Run("compression="+compression, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, Config{DataDir: dir, Compression: compression}, 1, 33)
			out, err := java(t, "org.apache.zookeeper.server.persistence.TxnLogToolkit", "-d", filepath.Join(dir, "version-2", "log.1"))
			if err != nil || !strings.Contains(out, "EOF reached after 9 txns") {
				t.Errorf("TxnLogToolkit: %v\n%s", err, out)
			}
			out, err = java(t, "org.apache.zookeeper.server.SnapshotFormatter", filepath.Join(dir, "version-2", snapshotName(0, compression)))
			if err != nil || !strings.Contains(out, "/zookeeper/quota") {
				t.Errorf("SnapshotFormatter: %v\n%s", err, out)
			}
			a := startApache(t, dir)
			k := a.client()
			if h, body := k.do(jute.Request{Op: jute.OpGetData, Path: "/ours33"}); h.Err != jute.OK || !bytes.Contains(body, bytes.Repeat([]byte("y"), 33*7)) {
				t.Errorf("/ours33: %v, %q", h.Err, body)
			}
			if c := k.create("/theirs", "z", 0); c != jute.OK {
				t.Error(c)
			}
			a.kill()
			_, znodes, records, last := read(t, dir)
			if len(znodes) != 4+33 || last != 35 || len(records) != 2 { // their session and node
				t.Errorf("%d znodes, %d records, last 0x%x", len(znodes), len(records), last)
			}
		})
	}
}

// The directory goes back and forth.
func TestHandedBackAndForth(t *testing.T) {
	needJar(t)
	dir := t.TempDir()
	fill(t, Config{DataDir: dir}, 1, 5)
	next := int64(6)
	for range 3 {
		a := startApache(t, dir)
		k := a.client()
		if c := k.create(fmt.Sprintf("/theirs%d", next), "", 0); c != jute.OK {
			t.Fatal(c)
		}
		a.kill()
		_, _, _, last := read(t, dir)
		if last != next+1 {
			t.Fatalf("last is 0x%x, not 0x%x", last, next+1)
		}
		fill(t, Config{DataDir: dir}, last+1, last+3)
		next = last + 4
	}
	a := startApache(t, dir)
	if h, body := a.client().do(jute.Request{Op: jute.OpGetChildren, Path: "/"}); h.Err != jute.OK || bytes.Count(body, []byte("ours")) != 5+9 || bytes.Count(body, []byte("theirs")) != 3 {
		t.Errorf("%v, %q", h.Err, body)
	}
}
