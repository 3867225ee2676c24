package consensus

import (
	"fmt"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// filled is a loop over a tree of so many znodes with 100 bytes each, 1,000 in a directory.
func filled(tb testing.TB, znodes int) *loop {
	tb.Helper()
	t := tree.New(tree.Config{})
	data := make([]byte, 100)
	zxid := int64(0)
	create := func(path string) {
		zxid++
		t.Apply(&jute.TxnHeader{Zxid: zxid, Time: 1, Type: jute.OpCreate}, &jute.Txn{
			Type: jute.OpCreate, Path: path, Data: data, ACL: []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "world", ID: "anyone"}}},
		})
	}
	for i := range znodes {
		if i%1000 == 0 {
			create(fmt.Sprintf("/d%06d", i/1000))
		}
		create(fmt.Sprintf("/d%06d/n%03d", i/1000, i%1000))
	}
	return &loop{now: time.Unix(0, 0), db: newDatabase(t, map[int64]int32{}, rules{})}
}

// What bounds the time of a slice: it reads the clock after few znodes, and stops at a chunk in any case.
func TestSliceOfASnapshotIsBounded(t *testing.T) {
	const znodes, most = 20_000, 256 // bytes of one of these znodes in a snapshot, at the most
	l := filled(t, znodes)
	c := l.copy(forStore)
	bytes := 0
	for slices := 0; !c.ended; slices++ {
		if slices > znodes {
			t.Fatalf("%d slices and no end", slices)
		}
		l.slice(c, c.filled)
		if n := len(c.filled); n > chunkSize+sliceNodes*most {
			t.Fatalf("slice %d has %d bytes, want at most a chunk (%d) and what %d znodes take", slices, n, chunkSize, sliceNodes)
		}
		bytes += len(c.filled)
	}
	if bytes < znodes*(100+68) {
		t.Errorf("the slices have %d bytes, less than the znodes", bytes)
	}

	w := l.db.tree.Snapshot(l.db.timeouts)
	defer w.Close()
	for done := false; !done; {
		var b []byte
		if b, done = w.Next(nil, sliceNodes); len(b) > sliceNodes*most {
			t.Fatalf("%d bytes between two looks at the clock, more than %d znodes take", len(b), sliceNodes)
		}
	}
}

// The longest time for which a snapshot of a million znodes keeps the loop from its clients.
func BenchmarkSnapshotSlice(b *testing.B) {
	l := filled(b, 1_000_000)
	var longest time.Duration
	for b.Loop() {
		c := l.copy(forStore)
		start := time.Now()
		longest = max(longest, time.Since(start))
		for !c.ended {
			start = time.Now()
			l.slice(c, c.filled)
			longest = max(longest, time.Since(start))
		}
		l.endCopying(forStore)
	}
	b.ReportMetric(longest.Seconds()*1000, "ms/longest")
}
