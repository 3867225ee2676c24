// Package logline keeps the log from holding up what it tells of.
//
// A write to standard error can fail (its disk is full, its reader is gone) and it can wait for ever (a
// pipe that nobody reads). A logger has a lock, so one goroutine that waits in a write soon stops all
// that log: the balancer, the admin door, the heartbeat. A [Queue] stands between them. Who writes to it
// never waits; one goroutine passes the lines on. A full queue drops the line that comes last, because
// the older ones say how it began, and counts it; so does a write that fails. The count is written as a
// line of its own as soon as a write succeeds again.
package logline

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

// A Queue is a writer of whole lines that never blocks and never fails. It is for any goroutine.
type Queue struct {
	lines   chan []byte
	lost    atomic.Uint64 // since the start
	told    uint64        // of them, in the output; run's own
	flushed chan struct{}
}

// NewQueue returns a Queue that passes lines on to w.
func NewQueue(w io.Writer) *Queue {
	q := &Queue{lines: make(chan []byte, maxLines), flushed: make(chan struct{})}
	go q.run(w)
	return q
}

func (q *Queue) Write(b []byte) (int, error) {
	select {
	case q.lines <- bytes.Clone(b):
	default:
		q.lost.Add(1)
	}
	return len(b), nil
}

// Lost counts the lines that were dropped or could not be written.
func (q *Queue) Lost() uint64 { return q.lost.Load() }

func (q *Queue) run(w io.Writer) {
	defer close(q.flushed)
	for line := range q.lines {
		if line == nil {
			return
		}
		if lost := q.lost.Load(); lost > q.told {
			if _, err := fmt.Fprintf(w, "%d log lines lost: they could not be written\n", lost-q.told); err == nil {
				q.told = lost
			}
		}
		if _, err := w.Write(line); err != nil {
			q.lost.Add(1)
		}
	}
}

// Flush waits until everything is written, for a second at most. Nothing may be written after it.
func (q *Queue) Flush() {
	limit := time.NewTimer(flushLimit)
	defer limit.Stop()
	select {
	case q.lines <- nil:
	case <-limit.C:
		return
	}
	select {
	case <-q.flushed:
	case <-limit.C:
	}
}
