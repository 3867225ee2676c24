package heartbeat

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Lateness says how late a loop's wake-ups came after their deadlines, over
// the last minute or so, and how the loop is scheduled.
type Lateness struct {
	Max, P99 time.Duration
	Wakeups  uint64 // deadlines that came within the window
	Rounds   uint64 // rounds of the loop since it began
	Realtime bool   // SCHED_FIFO was granted
	Why      string // what was not granted, and the reason; empty: all was
}

// The window is a ring of slots: the oldest is forgotten as a whole.
const (
	lateSlots    = 6
	lateSlot     = 10 * time.Second
	lateBuckets  = 4 * 36 // quarter octaves from 1 ns to 64 s
	percentile99 = 99
)

// lateness is a sliding histogram. The loop's thread writes, anyone reads:
// a report made during a write may be one wake-up off, which is why plain
// atomics do.
type lateness struct {
	slots [lateSlots]struct {
		max    atomic.Int64
		counts [lateBuckets]atomic.Uint32
	}
	slot  int
	since time.Time
}

func (h *lateness) record(now time.Time, late time.Duration) {
	if h.since.IsZero() {
		h.since = now
	}
	// After a pause longer than the window every slot is cleared once.
	for range lateSlots {
		if now.Sub(h.since) < lateSlot {
			break
		}
		h.since = h.since.Add(lateSlot)
		h.slot = (h.slot + 1) % lateSlots
		s := &h.slots[h.slot]
		s.max.Store(0)
		for i := range s.counts {
			s.counts[i].Store(0)
		}
	}
	if now.Sub(h.since) >= lateSlot {
		h.since = now
	}
	s := &h.slots[h.slot]
	s.counts[bucket(late)].Add(1)
	if int64(late) > s.max.Load() {
		s.max.Store(int64(late))
	}
}

func (h *lateness) report() Lateness {
	var l Lateness
	var sum [lateBuckets]uint64
	for i := range h.slots {
		s := &h.slots[i]
		l.Max = max(l.Max, time.Duration(s.max.Load()))
		for b := range s.counts {
			n := uint64(s.counts[b].Load())
			sum[b] += n
			l.Wakeups += n
		}
	}
	if l.Wakeups == 0 {
		return l
	}
	rank := (l.Wakeups*percentile99 + 99) / 100
	var seen uint64
	for b, n := range sum {
		if seen += n; seen >= rank {
			l.P99 = min(bucketTop(b), l.Max)
			break
		}
	}
	return l
}

// bucket numbers quarter octaves: two bits below the leading one.
func bucket(d time.Duration) int {
	n := uint64(max(d, 1))
	exp := bits.Len64(n) - 1
	var quarter uint64
	if exp >= 2 {
		quarter = n >> (exp - 2) & 3
	} else {
		quarter = n << (2 - exp) & 3
	}
	return min(4*exp+int(quarter), lateBuckets-1)
}

// bucketTop is the first duration above bucket b.
func bucketTop(b int) time.Duration {
	exp, quarter := b/4, b%4
	return time.Duration((uint64(4+quarter+1) << exp) >> 2)
}
