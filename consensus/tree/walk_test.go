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

// The generation of a walk that was given up comes round again after 255 more.
func TestWalkWithAGenerationUsedBefore(t *testing.T) {
	tr := New(Config{})
	want, _ := view(tr)
	for i := range 256 {
		w := tr.Snapshot(nil)
		if i == 0 {
			w.Next(nil, 3)
		}
		w.Close()
	}
	for range 3 {
		again, _, err := load(saved(tr), Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := view(again); got != want {
			t.Fatalf("got\n%s, want\n%s", got, want)
		}
	}
}

// A replay may delete a znode with its children while a walk is on its way to them.
func TestWalkMeetsADeletedSubtree(t *testing.T) {
	for first := range 9 {
		tr := New(Config{})
		steps(t, tr, "create /a", "create /a/b", "create /a/b/c", "create /a/b/d", "create /a/e")
		want, _ := view(tr)
		w := tr.Snapshot(nil)
		b, _ := w.Next(nil, first)
		steps(t, tr, "delete /a", "create /a", "create /a/b")
		b, _ = w.Next(b, 1000)
		again, _, err := load(b, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := view(again); got != want {
			t.Errorf("deleted after %d znodes, %v: got\n%s, want\n%s", first, err, got, want)
		}
	}
}
