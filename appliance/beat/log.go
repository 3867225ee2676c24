package beat

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	maxRecords = 512
	flushLimit = time.Second
)

// A logQueue keeps whoever logs from waiting for whoever reads the log: standard
// error may be a pipe that is full or a disk that is slow, and the loop's thread
// has beats to send. Records wait here, and are formatted, on a goroutine of its
// own. A full queue drops records and says later how many.
type logQueue struct {
	records chan queued
	dropped atomic.Uint64
	ended   chan struct{}
}

// queued is a record and the handler it is for; without one it ends the queue.
type queued struct {
	handler slog.Handler
	record  slog.Record
}

// queueLog returns a logger that never blocks in front of log, and the queue
// between them; nil if log is such a one already, and whoever made it flushes it.
func queueLog(log *slog.Logger) (*slog.Logger, *logQueue) {
	if _, ok := log.Handler().(queueEnd); ok {
		return log, nil
	}
	q := &logQueue{records: make(chan queued, maxRecords), ended: make(chan struct{})}
	go q.run()
	return slog.New(queueEnd{log.Handler(), q}), q
}

func (q *logQueue) run() {
	defer close(q.ended)
	for r := range q.records {
		if r.handler == nil {
			return
		}
		if n := q.dropped.Swap(0); n > 0 {
			lost := slog.NewRecord(time.Now(), slog.LevelWarn, "log records dropped: the log is slow", 0)
			lost.AddAttrs(slog.Uint64("records", n))
			_ = r.handler.Handle(context.Background(), lost)
		}
		// There is nowhere left to report that the log fails.
		_ = r.handler.Handle(context.Background(), r.record)
	}
}

// flush ends the queue when what is in it was written, or after a second. What is
// logged later is lost.
func (q *logQueue) flush() {
	if q == nil {
		return
	}
	limit := time.NewTimer(flushLimit)
	defer limit.Stop()
	select {
	case q.records <- queued{}:
	case <-limit.C:
		return
	}
	select {
	case <-q.ended:
	case <-limit.C:
	}
}

// A queueEnd is the end of a queue where records go in.
type queueEnd struct {
	next  slog.Handler
	queue *logQueue
}

func (h queueEnd) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h queueEnd) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.queue.records <- queued{h.next, r.Clone()}:
	default:
		h.queue.dropped.Add(1)
	}
	return nil
}

func (h queueEnd) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queueEnd{h.next.WithAttrs(attrs), h.queue}
}

func (h queueEnd) WithGroup(name string) slog.Handler {
	return queueEnd{h.next.WithGroup(name), h.queue}
}
