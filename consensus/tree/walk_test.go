package tree

import (
	"fmt"
	"testing"

	"example.org/ha/consensus/jute"
)

// Walks that are given up leave their marks; none may be taken for a later one's.
func TestWalkAfterManyGivenUp(t *testing.T) {
	tr := New(Config{})
	for i := range 20 {
		steps(t, tr, fmt.Sprintf("create /%d", i))
	}
	want, _ := view(tr)
	for i := range 700 {
		w := tr.Snapshot(nil)
		b, _ := w.Next(nil, i%20)
		if i%37 == 0 {
			steps(t, tr, "create /x", "set /3", "delete /x")
			want, _ = view(tr)
		}
		w.Close()
		w.Close()
		if b, done := w.Next(b[:0], 9); len(b) > 0 || !done {
			t.Fatal("a closed walk goes on")
		}
		if i%50 < 2 {
			again, _, err := load(saved(tr), Config{})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := view(again); got != want {
				t.Fatalf("walk %d: got\n%s, want\n%s", i, got, want)
			}
		}
	}
	slots := 0
	for tr.Snapshot(nil) != nil {
		slots++
	}
	if slots != MaxWalks {
		t.Errorf("%d walks at a time, want %d", slots, MaxWalks)
	}
}

func TestSlicesAreShort(t *testing.T) {
	tr := New(Config{})
	for i := range 30 {
		apply(tr, int64(i+1), jute.Txn{Type: jute.OpCreate, Path: fmt.Sprintf("/%d", i), Data: make([]byte, 300_000), ParentCVersion: -1})
	}
	w := tr.Snapshot(nil)
	slices := 0
	for done := false; !done; slices++ {
		var b []byte
		if b, done = w.Next(nil, 1000); len(b) > maxSlice+400_000 {
			t.Fatalf("a slice of %d bytes", len(b))
		}
	}
	if slices < 8 {
		t.Errorf("9 MB in %d slices", slices)
	}
}
