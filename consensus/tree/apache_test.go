package tree

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

// What testdata holds was written by Apache ZooKeeper 3.8.0: the log and the snapshot of one standalone
// server (extended types on), and what a client read from it: path, data, the 11 numbers of the stat in the
// order czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength numChildren pzxid, ACL.

func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// records are the transactions of a log.
func records(t *testing.T, log []byte) (out []jute.LoggedTxn) {
	t.Helper()
	for log = log[16:]; len(log) > 0; {
		n := binary.BigEndian.Uint32(log[8:])
		rec, err := jute.ParseLoggedTxn(log[12 : 12+n])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
		log = log[13+n:]
	}
	return out
}

// clientView is the tree as testdata/apache.dump shows one.
func clientView(tr *Tree) string {
	var lines []string
	for n := range tr.root.below() {
		s := tr.Stat(n)
		var acl []string
		for _, a := range n.ACL() {
			id := a.ID.ID
			if user, _, ok := strings.Cut(id, ":"); ok && a.ID.Scheme == "digest" {
				id = user + ":x" // all that a server shows to those who are not ADMIN
			}
			acl = append(acl, fmt.Sprintf("%d:%s:%s", a.Perms, a.ID.Scheme, id))
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%d %d %d %d %d %d %d %d %d %d %d\t%s", n.Path(), n.Data(),
			s.Czxid, s.Mzxid, s.Ctime, s.Mtime, s.Version, s.Cversion, s.Aversion, s.EphemeralOwner, s.DataLength, s.NumChildren, s.Pzxid,
			strings.Join(acl, " ")))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func diff(t *testing.T, what, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, l := range g {
		if !slices.Contains(w, l) {
			t.Errorf("%s: got  %q", what, l)
		}
	}
	for _, l := range w {
		if !slices.Contains(g, l) {
			t.Errorf("%s: want %q", what, l)
		}
	}
}

func TestApacheLogGivesApacheTree(t *testing.T) {
	tr := New(Config{ExtendedTypes: true})
	pending := NewPending(tr)
	for _, rec := range records(t, file(t, "apache.log")) {
		pending.Add(&rec.Header, &rec.Txn)
		tr.Apply(&rec.Header, &rec.Txn)
		if rec.Digest.Version != 2 && rec.Txn.Type != jute.OpError { // an error alone has none
			t.Errorf("zxid 0x%x: a digest of version %d", rec.Header.Zxid, rec.Digest.Version)
		}
		if rec.Txn.Type != jute.OpError && (rec.Digest.Tree != tr.Digest() || rec.Digest.Tree != pending.Digest()) {
			t.Errorf("zxid 0x%x %v: digest 0x%x, pending 0x%x, want 0x%x", rec.Header.Zxid, rec.Txn.Type, tr.Digest(), pending.Digest(), rec.Digest.Tree)
		}
		pending.Applied(rec.Header.Zxid)
	}
	diff(t, "after the log", clientView(tr), string(file(t, "apache.dump")))
	// mntr said 300 bytes: Apache's server overlooks that the usage of the quota became a digit longer.
	if tr.Len() != 19 || tr.DataSize() != 301 || tr.EphemeralCount() != 1 {
		t.Errorf("%d znodes, %d bytes, %d ephemerals; want 19, 301, 1", tr.Len(), tr.DataSize(), tr.EphemeralCount())
	}
}

// A snapshot's file begins with a header of 16 bytes and ends, after the "/", with a checksum, "/", and the
// digest: zxid, version, sum.
func TestApacheSnapshotGivesApacheTree(t *testing.T) {
	r := bufio.NewReader(bytes.NewReader(file(t, "apache.snapshot")[16:]))
	tr, sessions, err := Load(r, Config{ExtendedTypes: true})
	if err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, 8+5+20)
	if _, err := r.Read(rest); err != nil {
		t.Fatal(err)
	}
	if got := binary.BigEndian.Uint64(rest[13+12:]); got != tr.Digest() {
		t.Errorf("digest 0x%x, want 0x%x", tr.Digest(), got)
	}
	if len(sessions) != 1 {
		t.Errorf("sessions %v, want the one that was not closed", sessions)
	}
	diff(t, "of the snapshot", clientView(tr), string(file(t, "apache.dump")))

	// The log again, over a snapshot that has all of it.
	for _, rec := range records(t, file(t, "apache.log")) {
		tr.Apply(&rec.Header, &rec.Txn)
	}
	diff(t, "after the log once more", clientView(tr), string(file(t, "apache.dump")))
}
