package beat

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	maxLines   = 512
	flushLimit = time.Second
)

// A lineQueue is a writer that never blocks: log lines written on the loop's
// thread must not wait for whoever reads standard error. A full queue drops
// lines and says later how many.
type lineQueue struct {
	lines   chan []byte
	dropped atomic.Uint64
	ended   chan struct{}
}

func newLineQueue(w io.Writer) *lineQueue {
	q := &lineQueue{lines: make(chan []byte, maxLines), ended: make(chan struct{})}
	go q.run(w)
	return q
}

func (q *lineQueue) Write(b []byte) (int, error) {
	select {
	case q.lines <- bytes.Clone(b):
	default:
		q.dropped.Add(1)
	}
	return len(b), nil
}

func (q *lineQueue) run(w io.Writer) {
	defer close(q.ended)
	for line := range q.lines {
		if line == nil {
			return
		}
		if n := q.dropped.Swap(0); n > 0 {
			fmt.Fprintf(w, "%d log lines dropped: standard error is slow\n", n)
		}
		// There is nowhere left to report that standard error fails.
		w.Write(line)
	}
}

// flush writes what is queued, if that takes no longer than a second. Nothing
// may be written after it.
func (q *lineQueue) flush() {
	limit := time.NewTimer(flushLimit)
	defer limit.Stop()
	select {
	case q.lines <- nil:
	case <-limit.C:
		return
	}
	select {
	case <-q.ended:
	case <-limit.C:
	}
}
