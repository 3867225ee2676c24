package proxy

import "math/bits"

const (
	tick       = 50e6 // nanoseconds
	wheelSlots = 1024 // 51 s ahead; what is due later goes round again
)

// A timer stands in a wheel. It is embedded in what it belongs to, which sets owner once.
type timer struct {
	prev, next *timer
	due        int64 // tick at which it fires, possibly early; see wheel
	owner      int32 // index in the worker's connections, or complement of the index in its flows
}

// A wheel of timers. Activity does not move a timer: when it fires its owner compares its real
// deadline and puts it back. So a busy connection costs one look per round, not one per byte.
type wheel struct {
	slots [wheelSlots]timer // list heads
	used  [wheelSlots / 64]uint64
	now   int64 // every slot up to this tick is empty
}

func (w *wheel) init(now int64) {
	w.now = now
	for i := range w.slots {
		w.slots[i].prev, w.slots[i].next = &w.slots[i], &w.slots[i]
	}
}

func (w *wheel) add(t *timer, due int64) {
	due = min(max(due, w.now+1), w.now+wheelSlots-1)
	i := due % wheelSlots
	head := &w.slots[i]
	t.due, t.prev, t.next = due, head.prev, head
	head.prev.next, head.prev = t, t
	w.used[i/64] |= 1 << (i % 64)
}

func (w *wheel) remove(t *timer) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.prev, t.next = nil, nil
}

// expired unlinks and returns one timer due at now, or nil when there is none left.
func (w *wheel) expired(now int64) *timer {
	w.now = max(w.now, now-wheelSlots) // one round sees every slot, however long the sleep
	for w.now < now {
		i := (w.now + 1) % wheelSlots
		if w.used[i/64]&(1<<(i%64)) != 0 {
			if head := &w.slots[i]; head.next != head {
				t := head.next
				w.remove(t)
				return t
			}
			w.used[i/64] &^= 1 << (i % 64)
		}
		w.now++
	}
	return nil
}

// wait returns the number of ticks from now until a slot in use, or -1 if none is. A slot whose
// timers were all removed counts until its time comes.
func (w *wheel) wait() int {
	for ahead := int64(1); ahead < wheelSlots; {
		i := (w.now + ahead) % wheelSlots
		word := w.used[i/64] >> (i % 64)
		if word != 0 {
			if ahead += int64(bits.TrailingZeros64(word)); ahead < wheelSlots {
				return int(ahead)
			}
			return -1
		}
		ahead += 64 - i%64
	}
	return -1
}
