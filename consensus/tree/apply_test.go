package tree

import (
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"example.org/ha/consensus/jute"
)

func apply(tr *Tree, zxid int64, x jute.Txn) Result {
	return tr.Apply(&jute.TxnHeader{Session: 77, Zxid: zxid, Time: 1000 + zxid, Type: x.Type}, &x)
}

func TestStatOfClients(t *testing.T) {
	tr := New(Config{ExtendedTypes: true})
	root := func() jute.Stat { return tr.Stat(tr.Node("/")) }
	if s := root(); s.Cversion != -1 || s.NumChildren != 1 {
		t.Errorf("the root at birth: %+v", s)
	}
	r := apply(tr, 1, jute.Txn{Type: jute.OpCreate2, Path: "/e", Data: []byte("abc"), Ephemeral: true, ParentCVersion: 1})
	want := jute.Stat{Czxid: 1, Mzxid: 1, Ctime: 1001, Mtime: 1001, EphemeralOwner: 77, DataLength: 3, Pzxid: 1}
	if r.Path != "/e" || r.Stat != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	if s := root(); s.Cversion != 0 || s.NumChildren != 2 || s.Pzxid != 1 {
		t.Errorf("the root with a child: %+v", s)
	}
	apply(tr, 2, jute.Txn{Type: jute.OpDelete, Path: "/e"})
	if s := root(); s.Cversion != 1 || s.NumChildren != 1 || s.Pzxid != 2 {
		t.Errorf("the root after a deletion: %+v", s)
	}
	for _, x := range []jute.Txn{{Type: jute.OpCreateContainer, Path: "/c", ParentCVersion: 2}, {Type: jute.OpCreateTTL, Path: "/t", TTL: 5, ParentCVersion: 3}} {
		if r := apply(tr, 3, x); r.Stat.EphemeralOwner != 0 {
			t.Errorf("%s shows the owner %x", x.Path, r.Stat.EphemeralOwner)
		}
	}
	if o := tr.Node("/t").Owner(); uint64(o) != 0xff00000000000005 {
		t.Errorf("a time to live of 5 ms is kept as %x", uint64(o))
	}
}

func TestOwnership(t *testing.T) {
	ttl, low := jute.TTLMask|1000, int64(-1<<63+1000)
	tests := []struct {
		cfg   Config
		owner int64
		want  Ownership
	}{
		{Config{}, 0, Regular}, {Config{}, 1, Ephemeral}, {Config{}, jute.ContainerOwner, Container},
		{Config{}, ttl, Ephemeral}, // the session of a member whose id is 255
		{Config{ExtendedTypes: true}, ttl, TTL}, {Config{ExtendedTypes: true}, low, Ephemeral},
		{Config{ExtendedTypes: true, EmulateTTL353: true}, low, TTL},
		{Config{ExtendedTypes: true, EmulateTTL353: true}, jute.ContainerOwner, Container},
		{Config{EmulateTTL353: true}, low, Ephemeral},
	}
	for _, tt := range tests {
		if got := New(tt.cfg).Ownership(tt.owner); got != tt.want {
			t.Errorf("%+v %x: %d, want %d", tt.cfg, uint64(tt.owner), got, tt.want)
		}
	}
}

func TestExpendable(t *testing.T) {
	tr := New(Config{ExtendedTypes: true})
	apply(tr, 1, jute.Txn{Type: jute.OpCreateContainer, Path: "/c", ParentCVersion: -1})
	apply(tr, 2, jute.Txn{Type: jute.OpCreateTTL, Path: "/t", TTL: 100, ParentCVersion: -1})
	at := func(now, never int64) []string { return slices.Sorted(tr.Expendable(now, never)) }
	if got := at(1102, 0); len(got) != 0 {
		t.Errorf("%v at the last moment of the life and without any child ever", got)
	}
	if got := at(1103, 101); !slices.Equal(got, []string{"/c", "/t"}) {
		t.Errorf("%v a moment later, with a limit for what is never used", got)
	}
	apply(tr, 3, jute.Txn{Type: jute.OpCreate, Path: "/c/1", ParentCVersion: -1})
	apply(tr, 4, jute.Txn{Type: jute.OpCreate, Path: "/t/1", ParentCVersion: -1})
	if got := at(9999, 1); len(got) != 0 {
		t.Errorf("%v with children", got)
	}
	apply(tr, 5, jute.Txn{Type: jute.OpDelete, Path: "/c/1"})
	apply(tr, 6, jute.Txn{Type: jute.OpDeleteContainer, Path: "/t/1"})
	if got := at(1006, 0); !slices.Equal(got, []string{"/c"}) {
		t.Errorf("%v: a container that had a child goes at once, a life goes on", got)
	}
	apply(tr, 950, jute.Txn{Type: jute.OpSetData, Path: "/t"})
	if got := at(2050, 0); !slices.Equal(got, []string{"/c"}) {
		t.Errorf("%v: a change begins the life again", got)
	}
}

// A failed multi changes nothing; what its parts say goes to the client.
func TestFailedMulti(t *testing.T) {
	tr := New(Config{})
	before := tr.Digest()
	r := apply(tr, 9, jute.Txn{Type: jute.OpMulti, Ops: []jute.Txn{
		{Type: jute.OpError}, {Type: jute.OpError, Err: jute.BadVersion}, {Type: jute.OpError, Err: jute.RuntimeInconsistency},
	}})
	if r.Code != jute.BadVersion || len(r.Ops) != 3 || r.Ops[0].Code != jute.OK || r.Ops[1].Code != jute.BadVersion || r.Ops[2].Code != jute.RuntimeInconsistency {
		t.Errorf("%+v", r)
	}
	r = apply(tr, 10, jute.Txn{Type: jute.OpMulti, Ops: []jute.Txn{
		{Type: jute.OpCreate, Path: "/a"}, {Type: jute.OpError, Err: jute.NoNode}, {Type: jute.OpDelete, Path: "/b"},
	}})
	if r.Ops[0].Code != jute.OK || r.Ops[1].Code != jute.NoNode || r.Ops[2].Code != jute.RuntimeInconsistency || r.Ops[0].Type != jute.OpError {
		t.Errorf("a multi of which only one part is marked: %+v", r)
	}
	if tr.Digest() != before || tr.LastZxid() != 10 {
		t.Errorf("digest 0x%x at %d, want 0x%x at 10", tr.Digest(), tr.LastZxid(), before)
	}
}

// The parts of a multi see the ones before them, and tell so.
func TestMultiIsOne(t *testing.T) {
	tr := New(Config{})
	r := apply(tr, 4, jute.Txn{Type: jute.OpMulti, Ops: []jute.Txn{
		{Type: jute.OpCreate, Path: "/a", ParentCVersion: 1},
		{Type: jute.OpCreate, Path: "/a/b", ParentCVersion: 1},
		{Type: jute.OpSetData, Path: "/a", Data: []byte("x"), Version: 1},
		{Type: jute.OpCheck, Path: "/a", Version: 1},
		{Type: jute.OpDelete, Path: "/a/b"},
	}})
	if r.Code != jute.OK || r.Ops[2].Stat.NumChildren != 1 || tr.Node("/a/b") != nil || tr.LastZxid() != 4 {
		t.Errorf("%+v", r)
	}
}

// A replay meets the effects of later transactions; what it must not do is to take them back.
func TestReplayOverLaterSnapshot(t *testing.T) {
	log := []jute.Txn{
		{Type: jute.OpCreate, Path: "/a", ParentCVersion: 1},
		{Type: jute.OpCreate, Path: "/a/b", ParentCVersion: 1, Ephemeral: true},
		{Type: jute.OpDelete, Path: "/a/b"},
		{Type: jute.OpDelete, Path: "/a"},
		{Type: jute.OpCreate, Path: "/a", ParentCVersion: 2, Data: []byte("again")},
		{Type: jute.OpCreate, Path: "/a/c", ParentCVersion: 1},
		{Type: jute.OpCreate, Path: "/a/c/d", ParentCVersion: 1, Ephemeral: true},
		{Type: jute.OpSetData, Path: "/a", Version: 1},
		{Type: jute.OpCreate, Path: "/a/e", ParentCVersion: 2},
	}
	whole := New(Config{})
	for i, x := range log {
		apply(whole, int64(i+1), x)
	}
	want, _ := view(whole)
	for from := range log {
		for to := from; to <= len(log); to++ {
			// The tree as of to, found in a snapshot that is named after from.
			tr := New(Config{})
			for i, x := range log[:to] {
				apply(tr, int64(i+1), x)
			}
			for i, x := range log[from:] {
				apply(tr, int64(from+i+1), x)
			}
			if got, err := view(tr); got != want {
				t.Errorf("%v; a snapshot of %d with the log from %d on", err, to, from+1)
				diff(t, "replay", got, want)
			}
			if tr.EphemeralCount() != 1 {
				t.Errorf("%d ephemerals; a snapshot of %d with the log from %d on", tr.EphemeralCount(), to, from+1)
			}
		}
	}
}

// What no leader sends must not hurt either.
func TestImpossiblePaths(t *testing.T) {
	tr := New(Config{})
	before, _ := view(tr)
	for _, path := range []string{"", "/", "a", "//", "/a/", "/nope/a", "/zookeeper/", "a/b"} {
		for _, op := range []jute.Op{jute.OpCreate, jute.OpDelete} {
			if r := apply(tr, 1, jute.Txn{Type: op, Path: path}); r.Code == jute.OK {
				t.Errorf("%v %q is done", op, path)
			}
		}
		NewPending(tr).Add(&jute.TxnHeader{Zxid: 2}, &jute.Txn{Type: jute.OpDelete, Path: path})
	}
	if after, err := view(tr); after != before {
		t.Errorf("%v: got\n%s, want\n%s", err, after, before)
	}
}

func TestDescendants(t *testing.T) {
	tr := New(Config{})
	steps(t, tr, "create /a", "create /a/b", "create /a/b/c", "create /ab")
	for path, want := range map[string]int{"/": 7, "/a": 2, "/a/b/c": 0, "/ab": 0} {
		if got, ok := tr.Descendants(path); !ok || got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if _, ok := tr.Descendants("/b"); ok {
		t.Error("/b is not there")
	}
}

func TestACLListsAreShared(t *testing.T) {
	tr := New(Config{})
	steps(t, tr, "create /a", "create /b", "acl /a", "acl /b")
	if tr.Node("/a").acl != tr.Node("/b").acl || len(tr.acls.all) != 1 {
		t.Errorf("%d lists for one", len(tr.acls.all))
	}
	steps(t, tr, "delete /a", "delete /b")
	if apply(tr, 99, jute.Txn{Type: jute.OpDelete, Path: Conf}); len(tr.acls.all) != 0 {
		t.Errorf("%d lists that nobody has", len(tr.acls.all))
	}
}

// FuzzApply applies any records, each after its length, with watches and a walk going on.
func FuzzApply(f *testing.F) {
	if log, err := os.ReadFile("testdata/apache.log"); err == nil {
		var seed []byte
		for log = log[16:]; len(log) > 0; {
			n := binary.BigEndian.Uint32(log[8:])
			seed = append(seed, log[8:12+n]...)
			log = log[13+n:]
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr := New(Config{ExtendedTypes: true})
		pending := NewPending(tr)
		tr.Watch("/", 1, Recursive)
		tr.Watch("/a", 2, AnyKind)
		var w *Walk
		var out []byte
		want := ""
		for i := 0; len(b) >= 4; {
			n := min(int(binary.BigEndian.Uint32(b)&0xffff), len(b)-4)
			rec, err := jute.ParseLoggedTxn(b[4 : 4+n])
			b = b[4+n:]
			if err != nil {
				continue
			}
			pending.Add(&rec.Header, &rec.Txn)
			tr.Apply(&rec.Header, &rec.Txn)
			pending.Applied(rec.Header.Zxid)
			tr.Fired()
			switch i++; i {
			case 3:
				w = tr.Snapshot(nil)
				want, _ = view(tr)
			case 4, 5, 6:
				out, _ = w.Next(out, 2)
			}
		}
		if _, err := view(tr); err != nil {
			t.Fatal(err)
		}
		if w == nil {
			return
		}
		if out, _ = w.Next(out, 1<<20); len(out) == 0 {
			t.Fatal("nothing is written")
		}
		again, _, err := load(out, Config{ExtendedTypes: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := view(again); got != want && again.Node(System) != nil && len(again.quotas) == 0 {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	})
}
