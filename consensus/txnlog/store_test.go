package txnlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"example.org/ha/consensus/jute"
)

// A rig is a store on a file system in memory that loses nothing.
type rig struct {
	t    *testing.T
	fs   *memFS
	conf Config
	*Store
}

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	cfg.DataDir = "d"
	fs := newMemFS(rand.New(rand.NewPCG(1, 2)))
	cfg.FS = fs
	return &rig{t: t, fs: fs, conf: cfg}
}

// load opens again and returns the zxids that were replayed, and what went wrong.
func (r *rig) load() (snapshot int64, zxids []int64, err error) {
	r.t.Helper()
	if r.Store != nil && r.locks != nil {
		_ = r.Close()
	}
	if r.Store, err = Open(r.conf); err != nil {
		return 0, nil, err
	}
	snapshot = -1
	_, err = r.Load(func(zxid int64, rd io.Reader) error {
		snapshot = zxid
		_, err := io.Copy(io.Discard, rd)
		return err
	}, func(record []byte) error {
		zxids = append(zxids, recordZxid(record))
		return nil
	})
	return snapshot, zxids, err
}

func (r *rig) start() {
	r.t.Helper()
	if _, _, err := r.load(); err != nil {
		r.t.Fatal(err)
	}
	if !r.hasSnapshot {
		r.snap(0, 0)
	}
}

// snap commits a snapshot whose newest znode is of zxid content.
func (r *rig) snap(zxid, content int64) {
	r.t.Helper()
	s, err := r.CreateSnapshot(zxid)
	if err == nil {
		b := jute.AppendInt(jute.AppendInt(nil, 0), 0)
		st := jute.StatPersisted{Mzxid: content}
		b = st.AppendTo(jute.AppendLong(jute.AppendBuffer(jute.AppendString(b, ""), nil), -1))
		_, err = s.Write(append(b, terminator...))
	}
	if err == nil {
		err = s.Commit(1)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func groupOf(from, to int64) *Group {
	g := &Group{First: from, Last: to}
	for zxid := from; zxid <= to; zxid++ {
		h := jute.TxnHeader{Zxid: zxid, Type: jute.OpSetData}
		x := jute.Txn{Type: jute.OpSetData, Path: "/a", Data: bytes.Repeat([]byte{'d'}, 50)}
		g.Records = x.AppendTo(h.AppendTo(g.Records))
		g.Ends = append(g.Ends, len(g.Records))
	}
	return g
}

func (r *rig) put(from, to int64, roll bool) {
	r.t.Helper()
	g := groupOf(from, to)
	g.Roll = roll
	if w := r.write(g); w.Err != nil {
		r.t.Fatal(w.Err)
	}
}

func (r *rig) files() string {
	names, _ := r.fs.ReadDir("d/version-2")
	return strings.Join(names, " ")
}

func TestFileSizeIsThatOfApache(t *testing.T) {
	dir := t.TempDir()
	fill(t, Config{DataDir: dir}, 1, 1)
	s, err := Open(Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Load(func(_ int64, r io.Reader) error { return nil }, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if w := s.write(groupOf(2, 2)); w.Err != nil {
		t.Fatal(w.Err)
	}
	for name, want := range map[string]int64{"log.1": headerSize + frameSize, "log.2": 64<<20 + 16} {
		st, err := os.Stat(filepath.Join(dir, "version-2", name))
		if err != nil || name == "log.2" && st.Size() != want || name == "log.1" && st.Size() > 200 {
			t.Errorf("%s: %v, %v; an ended log has no zeros, one that is written to is as Apache's", name, st.Size(), err)
		}
	}
}

func TestOneServerAtATime(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{DataDir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("second: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Config{DataDir: dir}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}

// Everything that waits goes with one write; the answers come in order; the end takes the zeros away.
func TestRun(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- r.Run(ctx) }()
	for from := int64(1); from < 100; from += 10 {
		g := groupOf(from, from+9)
		r.Groups() <- g
		if w := <-r.Written(); w.Group != g || w.Err != nil {
			t.Fatal(w)
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if n := r.fs.live["d/version-2/log.1"]; lastNonZero(n.data) != len(n.data)-1 {
		t.Error("the log ends with zeros")
	}
	if _, zxids, err := r.load(); err != nil || len(zxids) != 100 {
		t.Errorf("%d records, %v", len(zxids), err)
	}
}

func TestDiskFull(t *testing.T) {
	for _, prealloc := range []int64{-1, 64 << 10} {
		t.Run(fmt.Sprint(prealloc), func(t *testing.T) {
			r := newRig(t, Config{PreAlloc: prealloc})
			r.start()
			r.put(1, 3, false)
			r.fs.blocks = 1
			full := 0
			last := int64(3)
			for range 40 {
				w := r.write(groupOf(last+1, last+30))
				if w.Err == nil {
					last += 30
					continue
				}
				if !errors.Is(w.Err, ErrFull) {
					t.Fatal(w.Err)
				}
				full++
				// What was on its way behind it is refused too.
				if w := r.write(groupOf(last+31, last+31)); !errors.Is(w.Err, ErrFull) {
					t.Fatal(w.Err)
				}
			}
			if full == 0 {
				t.Fatal("never full")
			}
			r.fs.blocks = -1
			r.put(last+1, last+2, false)
			if _, zxids, err := r.load(); err != nil || int64(len(zxids)) != last+2 {
				t.Errorf("%d records of %d, %v", len(zxids), last+2, err)
			}
		})
	}
}

func TestWriteFailureIsFatal(t *testing.T) {
	for _, op := range []string{"write", "sync", "truncate", "syncdir", "create"} {
		r := newRig(t, Config{})
		r.start()
		if op == "write" || op == "sync" {
			r.put(1, 1, false)
		} else {
			r.last = 1
		}
		r.fs.failing[op] = syscall.EIO
		for range 2 {
			if w := r.write(groupOf(2, 2)); !errors.Is(w.Err, syscall.EIO) || errors.Is(w.Err, ErrFull) {
				t.Errorf("%s: %v", op, w.Err)
			}
		}
	}
}

// Room is only taken to be the trouble if nothing of the group is there afterwards.
func TestFullIsProved(t *testing.T) {
	r := newRig(t, Config{PreAlloc: 1 << 20})
	r.start()
	r.put(1, 3, false)
	r.fs.blocks = 3
	r.fs.failing["truncate"] = errLie
	if w := r.write(groupOf(4, 5000)); w.Err == nil || errors.Is(w.Err, ErrFull) || !strings.Contains(w.Err.Error(), "is still there") {
		t.Errorf("got %v", w.Err)
	}
}

// A group that leaves a gap would make a log that nobody loads.
func TestGapIsRefused(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	r.put(1, 3, false)
	if w := r.write(groupOf(5, 5)); w.Err == nil || errors.Is(w.Err, ErrFull) {
		t.Errorf("got %v", w.Err)
	}
}

func TestRecoveryRefuses(t *testing.T) {
	const dir = "d/version-2/"
	for _, c := range []struct {
		name string
		harm func(r *rig)
		want string
	}{
		{"a log is missing", func(r *rig) { delete(r.fs.live, dir+"log.b") }, "log.15: offset 16: zxid 0x15 after 0xa"},
		{"the first log is missing", func(r *rig) { delete(r.fs.live, dir+"log.1") }, "log.b: offset 16: zxid 0xb after 0x0"},
		{"all snapshots are missing", func(r *rig) { delete(r.fs.live, dir+"snapshot.0") }, "no usable snapshot"},
		{"a log under another name", func(r *rig) {
			r.fs.live[dir+"log.16"] = r.fs.live[dir+"log.15"]
			delete(r.fs.live, dir+"log.15")
		}, "log.16: offset 16: the first record is of zxid 0x15"},
		{"a torn tail that is not the newest", func(r *rig) {
			n := r.fs.live[dir+"log.b"]
			n.data = n.data[:len(n.data)-20]
		}, "log.b: offset"},
		{"not a log", func(r *rig) { copy(r.fs.live[dir+"log.15"].data, "MAGI") }, "log.15: offset 0: not a transaction log"},
		{"a snapshot that the logs do not reach", func(r *rig) {
			r.fs.live[dir+"snapshot.ff"] = &inode{data: bytes.Repeat([]byte{1}, 100)}
		}, "the logs do not hold what this snapshot held"},
		{"an old epoch", func(r *rig) {
			r.fs.live[dir+"currentEpoch"] = &inode{data: []byte("0")}
			r.fs.live[dir+"snapshot.500000000"] = r.fs.live[dir+"snapshot.0"]
			for _, name := range []string{"log.1", "log.b", "log.15"} {
				delete(r.fs.live, dir+name)
			}
		}, "current epoch 0 is older than the last zxid 0x500000000"},
		{"an accepted epoch behind", func(r *rig) {
			r.fs.live[dir+"currentEpoch"] = &inode{data: []byte("3")}
		}, "accepted epoch 0 is older than the current epoch 3"},
		{"an epoch that is none", func(r *rig) {
			r.fs.live[dir+"currentEpoch"] = &inode{data: []byte("x")}
		}, "currentEpoch: offset 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Config{})
			r.start()
			for from := int64(1); from < 30; from += 10 {
				r.put(from, from+9, true)
			}
			if err := r.finish(); err != nil {
				t.Fatal(err)
			}
			c.harm(r)
			before := r.files()
			if _, _, err := r.load(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if r.files() != before {
				t.Errorf("changed %s into %s", before, r.files())
			}
		})
	}
}

// The newest snapshot is damaged, and the logs hold all that it held.
func TestOlderSnapshotServes(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	r.put(1, 10, false)
	r.snap(10, 10)
	r.put(11, 12, true)
	n := r.fs.live["d/version-2/snapshot.a"]
	n.data[30] ^= 1
	snapshot, zxids, err := r.load()
	if err != nil || snapshot != 0 || len(zxids) != 12 {
		t.Errorf("snapshot %d, %d records, %v", snapshot, len(zxids), err)
	}
}

// A crash between writing currentEpoch and giving it its name.
func TestLeftoverEpoch(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	r.snap(5<<32, 0)
	for name, text := range map[string]string{"currentEpoch": "4", "currentEpoch.tmp": "5", "acceptedEpoch": "5"} {
		r.fs.live["d/version-2/"+name] = &inode{data: []byte(text), dirty: map[int]bool{}}
	}
	if _, _, err := r.load(); err != nil || r.Epochs() != (Epochs{5, 5}) {
		t.Errorf("%+v, %v", r.Epochs(), err)
	}
}

func TestEpochsOfAnOldDirectory(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	r.snap(7<<32+5, 0)
	delete(r.fs.live, "d/version-2/currentEpoch")
	delete(r.fs.live, "d/version-2/acceptedEpoch")
	if _, _, err := r.load(); err != nil || r.Epochs() != (Epochs{7, 7}) {
		t.Errorf("%+v, %v", r.Epochs(), err)
	}
}

func TestPurge(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	for from := int64(1); from < 50; from += 10 {
		r.put(from, from+9, true)
		r.snap(from+4, 0)
	}
	r.fs.live["d/version-2/snapshot.28"] = &inode{data: []byte("not whole")} // does not count
	if n, err := r.Purge(2); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	if got, want := r.files(), "acceptedEpoch currentEpoch log.1f log.29 snapshot.23 snapshot.28 snapshot.2d"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n, err := r.Purge(9); n != 0 || err != nil {
		t.Error(n, err)
	}
	delete(r.fs.live, "d/version-2/snapshot.28")
	delete(r.fs.live, "d/version-2/snapshot.2d")
	if snapshot, zxids, err := r.load(); err != nil || snapshot != 0x23 || len(zxids) != 50-0x23 {
		t.Errorf("from the oldest kept: %d, %d records, %v", snapshot, len(zxids), err)
	}
}

// ZOOKEEPER-4837: no snapshot may bring back what was cut, not even by its contents.
func TestTruncate(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	r.put(1, 10, false)
	r.snap(5, 5)
	r.snap(7, 9) // fuzzy: holds a znode of zxid 9
	r.put(11, 20, true)
	r.snap(15, 15)
	r.put(21, 22, true)
	if err := r.Truncate(8); err != nil {
		t.Fatal(err)
	}
	if got, want := r.files(), "acceptedEpoch currentEpoch log.1 snapshot.0 snapshot.5"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.put(1<<32+1, 1<<32+1, false) // a new epoch goes on from there
	_ = r.SetAcceptedEpoch(1)
	_ = r.SetCurrentEpoch(1)
	if snapshot, zxids, err := r.load(); err != nil || snapshot != 5 || !slices.Equal(zxids, []int64{6, 7, 8, 1<<32 + 1}) {
		t.Errorf("snapshot %d, %x, %v", snapshot, zxids, err)
	}
	if err := r.Truncate(7 << 32); err == nil {
		t.Error("cut after a zxid that is not there")
	}
}

func TestScan(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	for from := int64(1); from < 30; from += 10 {
		r.put(from, from+9, true)
	}
	for _, from := range []int64{1, 2, 10, 11, 15, 30, 31} {
		var got []int64
		if err := r.Scan(from, func(record []byte) error {
			got = append(got, recordZxid(record))
			return nil
		}); err != nil {
			t.Error(err)
		}
		if len(got) != int(31-from) || len(got) > 0 && got[0] != from {
			t.Errorf("from %d: %v", from, got)
		}
	}
}

func TestMixedDirectories(t *testing.T) {
	for name, want := range map[string]string{"d/version-2/log.1": "holds transaction logs", "l/version-2/snapshot.0.gz": "is a snapshot in the directory of logs"} {
		fs := newMemFS(nil)
		fs.live[name] = &inode{}
		if _, err := Open(Config{DataDir: "d", LogDir: "l", FS: fs}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A tail that Apache's server left behind, and wrote anew in its next log, is no damage.
func TestSupersededTail(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	r.put(1, 5, false)
	r.put(6, 9, true)
	n := r.fs.live["d/version-2/log.1"]
	frame := appendFrame(nil, groupOf(6, 6).Records)
	n.data = append(n.data, append(make([]byte, 600), frame...)...)
	if _, zxids, err := r.load(); err != nil || len(zxids) != 9 {
		t.Errorf("%d records, %v", len(zxids), err)
	}
}

// The torn tail is cut, and told.
func TestTornTailIsCut(t *testing.T) {
	var told bytes.Buffer
	r := newRig(t, Config{Log: slog.New(slog.NewTextHandler(&told, nil))})
	r.start()
	r.put(1, 5, false)
	n := r.fs.live["d/version-2/log.1"]
	end, _ := dataEnd(bytes.NewReader(n.data), 0, int64(len(n.data)))
	torn := appendFrame(nil, groupOf(6, 6).Records)
	copy(n.data[end+600:], torn)
	if _, zxids, err := r.load(); err != nil || len(zxids) != 5 {
		t.Fatalf("%d records, %v", len(zxids), err)
	}
	if int64(len(n.data)) != end {
		t.Errorf("%d bytes are left, not %d", len(n.data), end)
	}
	for _, want := range []string{"log.1", fmt.Sprintf("offset=%d", end), fmt.Sprintf("bytes=%d", 600+len(torn))} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("%q is not in the log: %s", want, &told)
		}
	}
}

// A snapshot that another member sent is what the log goes on from, in a new file.
func TestSnapshotAheadOfTheLog(t *testing.T) {
	r := newRig(t, Config{})
	r.start()
	r.put(1, 3, false)
	r.snap(9, 9)
	r.put(10, 11, false)
	if !strings.Contains(r.files(), "log.1 log.a snapshot.0 snapshot.9") {
		t.Error(r.files())
	}
	if snapshot, zxids, err := r.load(); err != nil || snapshot != 9 || !slices.Equal(zxids, []int64{10, 11}) {
		t.Errorf("snapshot %d, %v, %v", snapshot, zxids, err)
	}
	// Without it nobody knows what was between.
	delete(r.fs.live, "d/version-2/snapshot.9")
	if _, _, err := r.load(); err == nil || !strings.Contains(err.Error(), "what was between is missing") {
		t.Errorf("got %v", err)
	}
}

// What a crash leaves of a log that was being created is removed.
func TestUnbornLog(t *testing.T) {
	for _, data := range [][]byte{nil, make([]byte, 5), make([]byte, 5000), appendHeader(nil, logMagic, 0)[:7]} {
		r := newRig(t, Config{})
		r.start()
		r.put(1, 3, false)
		r.fs.live["d/version-2/log.4"] = &inode{data: data}
		if _, zxids, err := r.load(); err != nil || len(zxids) != 3 || strings.Contains(r.files(), "log.4") {
			t.Errorf("%x: %d records, %v, %s", data, len(zxids), err, r.files())
		}
	}
}
