package consensus

// A fifo is a queue that keeps its memory. Its zero value is empty.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) push(v T) {
	if f.head > 0 && len(f.items) == cap(f.items) && f.head >= len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, v)
}

// first is the oldest; there must be one. The pointer is good until the next push.
func (f *fifo[T]) first() *T { return &f.items[f.head] }

// drop forgets the oldest.
func (f *fifo[T]) drop() {
	var zero T
	f.items[f.head] = zero
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
}

// waiting are all of them, oldest first; good until the next push.
func (f *fifo[T]) waiting() []T { return f.items[f.head:] }

// reset forgets everything.
func (f *fifo[T]) reset() { clear(f.items); f.items, f.head = f.items[:0], 0 }
