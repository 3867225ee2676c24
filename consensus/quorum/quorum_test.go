package quorum

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestReached(t *testing.T) {
	for _, c := range []struct {
		acks []int64 // of voters 1, 2, …
		want int64
	}{
		{[]int64{7}, 7},
		{[]int64{7, 9}, 7},
		{[]int64{9, 7}, 7},
		{[]int64{1, 2, 3}, 2},
		{[]int64{3, 3, 0}, 3},
		{[]int64{5, 0, 0}, 0},
		{[]int64{1, 2, 3, 4}, 2},
		{[]int64{1, 2, 3, 4, 5}, 3},
		{[]int64{5, 5, 5, 1, 1}, 5},
		{[]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 6},
	} {
		ids := make([]SID, len(c.acks))
		for i := range ids {
			ids[i] = SID(i + 1)
		}
		got, ok := Majority(ids...).Reached(func(id SID) int64 { return c.acks[id-1] })
		if !ok || got != c.want {
			t.Errorf("%v: reached %d, %v; want %d", c.acks, got, ok, c.want)
		}
	}
}

func TestNoVotersNoQuorum(t *testing.T) {
	if n, ok := (Verifier{}).Reached(func(SID) int64 { return 9 }); ok || n != 0 {
		t.Errorf("an empty configuration decided %d", n)
	}
}

func TestOthersDoNotCount(t *testing.T) {
	v := Majority(1, 2, 3)
	if v.Has(4) || !v.Has(3) {
		t.Error("wrong voters")
	}
	v.Reached(func(id SID) int64 {
		if id > 3 {
			t.Errorf("asked for %d, which is no voter", id)
		}
		return 0
	})
}

func TestTheSameVoterTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a voter with two votes was accepted")
		}
	}()
	Majority(1, 2, 1)
}

// Two sets that both decide share a voter, and a set that decides stays one when it grows.
func TestQuorumsIntersect(t *testing.T) {
	for n := 1; n <= 7; n++ {
		ids := make([]SID, n)
		for i := range ids {
			ids[i] = SID(i)
		}
		v := Majority(ids...)
		decides := func(set int) bool {
			got, _ := v.Reached(func(id SID) int64 { return int64(set >> id & 1) })
			return got == 1
		}
		for a := range 1 << n {
			for b := range 1 << n {
				if decides(a) && decides(b) && a&b == 0 {
					t.Fatalf("%d voters: %b and %b both decide", n, a, b)
				}
				if decides(a) && !decides(a|b) {
					t.Fatalf("%d voters: %b decides, %b does not", n, a, a|b)
				}
			}
		}
	}
}

// Reached agrees with the definition: the greatest number that at least Size voters have reached.
func TestReachedIsTheGreatest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + rnd.IntN(12)
		acks := make([]int64, n)
		ids := make([]SID, n)
		for i := range acks {
			acks[i], ids[i] = rnd.Int64N(6), SID(i)
		}
		v := Majority(ids...)
		var want int64
		for z := range int64(6) {
			count := 0
			for _, a := range acks {
				if a >= z {
					count++
				}
			}
			if count >= v.Size() {
				want = z
			}
		}
		if got, _ := v.Reached(func(id SID) int64 { return acks[id] }); got != want {
			t.Fatalf("%v: reached %d, want %d", acks, got, want)
		}
	}
}

func ExampleVerifier_Reached() {
	acks := map[SID]int64{1: 0x105, 2: 0x103, 3: 0x101}
	committed, _ := Majority(1, 2, 3).Reached(func(id SID) int64 { return acks[id] })
	fmt.Printf("0x%x\n", committed)
	// Output: 0x103
}
