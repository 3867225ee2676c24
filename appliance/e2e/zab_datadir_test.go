package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"example.org/ha/consensus/jute"
)

// A data directory goes back and forth between Apache's server and ours, ten times, with writes in
// between. Each finds the tree as the other left it, the session goes on with its ephemerals, and
// Apache's server, which computes the digest of the tree after every transaction of ours, never
// finds another than ours wrote.
func TestDataDirectoryHandedBackAndForth(t *testing.T) {
	s := newZookeeper(t, apache, "", "zookeeper.snapCount=100", "zookeeper.extendedTypesEnabled=true")
	rng := rand.New(rand.NewPCG(1, 2))
	k := mustCall(t, s.addr())
	k.must(t, jute.OpCreate, "/hand", all, open, 0)
	k.must(t, jute.OpCreate, "/hand/eph", all, open, 1)
	left := ""
	for round := range 20 {
		if round > 0 {
			var err error
			k, err = call(s.addr(), k.session, k.passwd)
			must(t, err)
			t.Cleanup(func() { k.c.Close() })
		}
		found := k.dump(t, "/")
		if left != "" && found != left {
			t.Fatalf("round %d: %s does not find what the other left:\n%s", round, s.kind, difference(left, found))
		}
		churn(t, k, rng, round)
		left = k.dump(t, "/")
		if s.kind == apache {
			if n := s.metric("zk_digest_mismatches_count"); n != "0" {
				t.Fatalf("round %d: Apache's server counts %q digests that do not match", round, n)
			}
		}
		sig := syscall.SIGTERM
		if round%4 >= 2 {
			sig = syscall.SIGKILL
		}
		k.c.Close()
		s.stop(sig)
		if s.kind == apache {
			s.kind = underTest()
		} else {
			s.kind = apache
		}
		s.start()
	}
}

// churn changes the tree in every way there is.
func churn(t *testing.T, k *caller, rng *rand.Rand, round int) {
	t.Helper()
	top := fmt.Sprintf("/hand/%d", round)
	k.must(t, jute.OpCreate, top, all, open, 0)
	k.must(t, jute.OpCreateContainer, top+"/box", nil, open, 4)
	k.must(t, jute.OpCreateTTL, top+"/ttl", all, open, 5, int64(1<<38))
	k.must(t, jute.OpCreate, top+"/eph", []byte{}, open, 1)
	k.must(t, jute.OpCreate, fmt.Sprintf("/zookeeper/quota/hand%d", round), nil, open, 0)
	acls := [][]jute.ACL{open, grants(31, "world", "anyone", 1, "ip", "10.0.0.0/8"), grants(31, "world", "anyone", 5, "digest", "a:b"), grants(31, "world", "anyone", 3, "digest", fmt.Sprintf("u%d:x", round))}
	for i := range 150 {
		p := fmt.Sprintf("%s/n%d", top, rng.IntN(40))
		data := make([]byte, rng.IntN(300))
		var err error
		switch rng.IntN(8) {
		case 0, 1, 2:
			_, _, err = k.do(jute.OpCreate, p, data, acls[rng.IntN(len(acls))], 0)
		case 3:
			_, _, err = k.do(jute.OpSetData, p, data, -1)
		case 4:
			_, _, err = k.do(jute.OpDelete, p, -1)
		case 5:
			_, _, err = k.do(jute.OpSetACL, p, acls[rng.IntN(len(acls))], -1)
		case 6:
			_, _, err = k.do(jute.OpCreate2, top+"/seq-", data, open, 2)
		case 7:
			_, _, err = k.do(jute.OpMulti, multi(part(jute.OpCreate, fmt.Sprintf("%s/m%d", top, i), data, open, 0), part(jute.OpSetData, top, data, -1), part(jute.OpDelete, p, rng.IntN(2)-1)))
		}
		must(t, err)
	}
	other, err := call(k.c.RemoteAddr().String(), 0, nil)
	must(t, err)
	other.must(t, jute.OpCreate, top+"/gone", all, open, 1)
	other.must(t, jute.OpCloseSession)
	other.c.Close()
}

// difference shows the first lines that two texts do not share.
func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "  before: " + x[i] + "\n  now:    " + y[i]
		}
	}
	return fmt.Sprintf("  %d lines before, %d now", len(x), len(y))
}
