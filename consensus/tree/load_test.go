package tree

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

func load(b []byte, cfg Config) (*Tree, map[int64]int32, error) {
	return Load(bufio.NewReaderSize(bytes.NewReader(b), 16), cfg)
}

func saved(tr *Tree) []byte {
	b, _ := tr.Snapshot(map[int64]int32{5: 4000}).Next(nil, 1<<30)
	return b
}

// stream writes a snapshot by hand: without sessions, with the ACL lists of ids, and a znode for each path.
func stream(acls []int64, paths ...string) []byte {
	b := jute.AppendInt(jute.AppendInt(nil, 0), int32(len(acls)))
	for _, id := range acls {
		b = jute.AppendACLs(jute.AppendLong(b, id), readList)
	}
	for _, p := range paths {
		if p == "/" {
			b = jute.AppendString(b, p)
			continue
		}
		b = jute.AppendLong(jute.AppendBuffer(jute.AppendString(b, p), nil), 3)
		b = (&jute.StatPersisted{}).AppendTo(b)
	}
	return b
}

func TestLoadRefuses(t *testing.T) {
	good := stream([]int64{3}, "", "/a", "/a/b", "/")
	if _, _, err := load(good, Config{}); err != nil {
		t.Fatal(err)
	}
	for n := range len(good) {
		if _, _, err := load(good[:n], Config{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of %d: %v", n, len(good), err)
		}
	}
	tests := []struct {
		name string
		in   []byte
		err  error
		text string
	}{
		{"no root", stream(nil, "/"), errNoRoot, ""},
		{"child before parent", stream(nil, "", "/a/b", "/"), errOrphan, `"/a/b"`},
		{"child before the root", stream(nil, "/a", "", "/"), errOrphan, `"/a"`},
		{"no path", stream(nil, "", "a", "/"), errOrphan, `"a"`},
		{"slash at the end", stream(nil, "", "/a", "/a/", "/"), errOrphan, `"/a/"`},
		{"a znode twice", stream(nil, "", "/a", "/a", "/"), errTwice, `"/a"`},
		{"the root twice", stream(nil, "", "", "/"), errTwice, ""},
		{"an ACL list twice", stream([]int64{3, 3}, "", "/"), errTwice, "ACL list 3"},
		{"the id of no list", stream([]int64{-1}, "", "/"), errTwice, "ACL list -1"},
		{"sessions below 0", []byte{0xff, 0, 0, 0}, errLength, "byte 4"},
		{"a path below 0", append(stream(nil, ""), 0xff, 0, 0, 0), errLength, "path"},
		{"a path too long", append(stream(nil, ""), 0x7f, 0, 0, 0), errLength, "path"},
		{"a path that is not there", append(stream(nil, ""), 0x3f, 0, 0, 0), io.ErrUnexpectedEOF, ""},
	}
	for _, tt := range tests {
		if _, _, err := load(tt.in, Config{}); !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v with %s", tt.name, err, tt.err, tt.text)
		}
	}
}

// ZOOKEEPER-4846: a znode may name a list that the snapshot lacks. Open it must not be.
func TestLoadDeniesUnknownACL(t *testing.T) {
	tr, _, err := load(stream(nil, "", "/a", "/"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	acl := tr.Node("/a").ACL()
	if len(acl) == 0 || acl[0].Perms != 0 {
		t.Errorf("ACL %v, want one that allows nothing", acl)
	}
	if again, _, err := load(saved(tr), Config{}); err != nil || again.Node("/a").ACL()[0].Perms != 0 {
		t.Errorf("written and read again: %v", err)
	}
}

func TestLoadKeepsLongData(t *testing.T) {
	tr := New(Config{})
	h := jute.TxnHeader{Zxid: 1}
	tr.Apply(&h, &jute.Txn{Type: jute.OpCreate, Path: "/" + strings.Repeat("p", 3*readAhead), Data: bytes.Repeat([]byte("0123456"), readAhead), ParentCVersion: 1})
	again, sessions, err := load(saved(tr), Config{})
	if err != nil || again.Digest() != tr.Digest() || sessions[5] != 4000 {
		t.Errorf("digest differs, or %v, or sessions %v", err, sessions)
	}
}

// A snapshot may be older than quotas, or than the znode of the configuration.
func TestLoadCompletesAnOldTree(t *testing.T) {
	tr, _, err := load(stream([]int64{3}, "", "/a", "/"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if n := tr.Node(Conf); n == nil || n.Persisted().Aversion != -1 || tr.Node(Quotas) == nil {
		t.Errorf("%s is not as at birth", Conf)
	}
	if tr.acls.all[0].id != 3 {
		t.Errorf("the list of an id got the id %d", tr.acls.all[0].id)
	}
	h := jute.TxnHeader{Zxid: 1}
	tr.Apply(&h, &jute.Txn{Type: jute.OpCreate, Path: "/b", ACL: []jute.ACL{}, ParentCVersion: 1})
	if id := tr.Node("/b").acl.id; id <= 3 {
		t.Errorf("id %d is given although 3 was in use", id)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(stream([]int64{3}, "", "/a", "/a/b", "/zookeeper", "/zookeeper/quota", "/"))
	f.Add(saved(New(Config{})))
	if b, err := os.ReadFile("testdata/apache.snapshot"); err == nil {
		f.Add(b[16:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, _, err := load(b, Config{ExtendedTypes: true})
		if err != nil {
			return
		}
		want, err := view(tr)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := load(saved(tr), Config{ExtendedTypes: true})
		if err != nil {
			t.Fatalf("what was loaded cannot be loaded again: %v", err)
		}
		if got, err := view(again); got != want {
			t.Errorf("%v: got\n%s, want\n%s", err, got, want)
		}
		for _, p := range []string{"/a", Quotas, Conf} {
			tr.Apply(&jute.TxnHeader{Zxid: 1 << 60}, &jute.Txn{Type: jute.OpDelete, Path: p})
		}
		if _, err := view(tr); err != nil {
			t.Error(err)
		}
	})
}

func TestLoadDropsUnusedACL(t *testing.T) {
	tr, _, err := load(stream([]int64{7, 3, 9}, "", "/a", "/"), Config{})
	if err != nil || len(tr.acls.byID()) != 2 { // that of the znodes, and the configuration's
		t.Errorf("%v; lists %v", err, tr.acls.byID())
	}
}

func (a *acls) byID() map[int64]string {
	out := map[int64]string{}
	for _, e := range a.all {
		out[e.id] = e.key
	}
	return out
}

func TestIndexGrows(t *testing.T) {
	tr := New(Config{})
	for i := range 5000 {
		apply(tr, int64(i+1), jute.Txn{Type: jute.OpCreate, Path: "/" + strconv.Itoa(i), ParentCVersion: -1})
	}
	again, _, err := load(saved(tr), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*index{&tr.index, &again.index} {
		if buckets := int(x.low + x.split); x.len != 5004 || buckets < x.len || buckets > x.len+segment {
			t.Errorf("%d buckets for %d znodes", buckets, x.len)
		}
	}
}
