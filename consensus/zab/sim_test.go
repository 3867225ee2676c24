package zab

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"example.org/ha/consensus/quorum"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed alone")
	seedsFlag = flag.Uint64("seeds", 200, "how many seeds to run")
)

// A world is one member with its disk, which is slow, may be full, and forgets what it has not synced when
// the power goes.
type world struct {
	t       *testing.T
	rnd     *rand.Rand
	peer    *Peer
	disk    []int64 // durable, in order
	cached  []int64 // written, and lost with the power
	queued  []int64 // asked for, not written
	given   int64   // last zxid delivered since this start
	tree    []int64 // applied, by this start and what it loaded
	acked   []int64 // told to clients, ever
	refused map[int64]bool
}

func (w *world) start() {
	last := int64(0)
	if n := len(w.disk); n > 0 {
		last = w.disk[n-1]
	}
	w.peer = New(Config{ID: 1, Voters: quorum.Majority(1), Last: last})
	w.cached, w.queued = nil, nil
	w.tree = append([]int64(nil), w.disk...)
	w.given = last
	w.do(w.peer.Step(now, Elected{Leader: 1}))
}

func (w *world) do(effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case Append:
			for z := e.First; z <= e.Last; z++ {
				w.queued = append(w.queued, z)
			}
		case Deliver:
			for z := w.given + 1; z <= e.Zxid; z++ {
				w.deliver(z)
			}
		case Refuse:
			for z := e.First; z <= e.Last; z++ {
				w.refused[z] = true
			}
			w.queued = nil
		}
	}
}

// deliver checks what matters: in order, without holes, and nothing that a crash could still undo.
func (w *world) deliver(z int64) {
	if z != w.given+1 {
		w.t.Fatalf("delivered %d after %d", z, w.given)
	}
	if n := len(w.disk); n == 0 || w.disk[n-1] < z {
		w.t.Fatalf("delivered %d, durable up to %v", z, w.disk)
	}
	w.given = z
	w.tree = append(w.tree, z)
	w.acked = append(w.acked, z)
}

func (w *world) step() {
	switch n := w.rnd.IntN(100); {
	case n < 45:
		first := w.peer.Next()
		last := first + w.rnd.Int64N(5)
		for z := first; z <= last; z++ {
			delete(w.refused, z) // another transaction under the same number
		}
		w.do(w.peer.Step(now, Propose{First: first, Last: last}))
	case n < 70:
		k := w.rnd.IntN(len(w.queued) + 1)
		w.cached = append(w.cached, w.queued[:k]...)
		w.queued = w.queued[k:]
	case n < 90:
		w.disk = append(w.disk, w.cached...)
		w.cached = nil
		if n := len(w.disk); n > 0 {
			w.do(w.peer.Step(now, Persisted{Zxid: w.disk[n-1]}))
		}
	case n < 95:
		if len(w.cached) == 0 && len(w.queued) > 0 { // a whole group found no room
			w.do(w.peer.Step(now, Full{From: w.queued[0]}))
		}
	default:
		w.crash()
	}
}

// crash loses what was not synced, or some of the end of it, and checks that what clients were told is there.
func (w *world) crash() {
	w.disk = append(w.disk, w.cached[:w.rnd.IntN(len(w.cached)+1)]...)
	w.start()
	if n := len(w.acked); n > 0 && (len(w.disk) == 0 || w.disk[len(w.disk)-1] < w.acked[n-1]) {
		w.t.Fatalf("clients were told %d, the disk ends with %v", w.acked[n-1], w.disk)
	}
	for i, z := range w.tree {
		if z != int64(i+1) {
			w.t.Fatalf("the tree has %d at place %d", z, i)
		}
		if w.refused[z] {
			w.t.Fatalf("%d was refused, and is in the log", z)
		}
	}
}

func TestCrashes(t *testing.T) {
	from, to := uint64(0), *seedsFlag
	if *seedFlag != 0 {
		from, to = *seedFlag, *seedFlag+1
	}
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), refused: map[int64]bool{}}
			w.start()
			for range 400 {
				w.step()
			}
			w.crash()
			if len(w.acked) == 0 {
				t.Error("nothing was ever delivered: the simulation tests nothing")
			}
		})
	}
}
