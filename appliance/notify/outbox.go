package notify

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// A target delivers one message to one place. Its three implementations are mail, webhook and exec.
type target interface {
	Kind() string   // "mail", "webhook", "exec": the label of its counters
	String() string // where to, for the log; without secrets
	Send(ctx context.Context, m Message) error
}

// An outbox is one target's queue and the goroutine that empties it.
type outbox struct {
	target  target
	n       *Notifier
	in      chan Message
	pending []Message // oldest first; at most maxPending
}

const (
	maxPending = 16
	// retryFirst doubles up to retryMost; a message older than giveUp is abandoned.
	retryFirst = 2 * time.Second
	retryMost  = 5 * time.Minute
	giveUp     = time.Hour
)

func newOutbox(t target, n *Notifier) *outbox {
	return &outbox{target: t, n: n, in: make(chan Message, maxPending)}
}

// put queues m, in place of the oldest when full.
func (b *outbox) put(m Message) {
	for {
		select {
		case b.in <- m:
			return
		default:
		}
		select {
		case <-b.in:
			b.n.abandon(b.target.Kind())
		default:
		}
	}
}

// close says that no more will come: run delivers what it has, without retries, and returns.
func (b *outbox) close() { close(b.in) }

func (b *outbox) run(ctx context.Context) {
	for m := range b.in {
		if !b.deliver(ctx, m) {
			return
		}
	}
}

// deliver repeats m until it is sent or given up. It returns false when the queue was closed meanwhile.
func (b *outbox) deliver(ctx context.Context, m Message) (open bool) {
	b.pending = append(b.pending, m)
	pause := retryFirst
	born := time.Now()
	open = true
	for len(b.pending) > 0 {
		err := b.target.Send(ctx, b.pending[0])
		b.n.count(b.target.Kind(), err)
		if err == nil {
			b.pending = slices.Delete(b.pending, 0, 1)
			pause, born = retryFirst, time.Now()
			continue
		}
		b.n.log.Warn("notification failed", slog.String("target", b.target.String()),
			slog.Duration("retry", pause), slog.Any("error", err))
		if !open || ctx.Err() != nil || time.Since(born) > giveUp {
			b.n.abandon(b.target.Kind())
			b.pending = slices.Delete(b.pending, 0, 1)
			continue
		}
		open = b.rest(ctx, pause)
		pause = min(2*pause, retryMost)
	}
	return open
}

// rest waits before the next attempt and takes in what comes meanwhile. It returns false when the
// queue was closed: the attempt that follows is then the last one.
func (b *outbox) rest(ctx context.Context, pause time.Duration) (open bool) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-timer.C:
			return true
		case m, ok := <-b.in:
			if !ok {
				return false
			}
			if len(b.pending) == maxPending {
				b.pending = slices.Delete(b.pending, 0, 1)
				b.n.abandon(b.target.Kind())
			}
			b.pending = append(b.pending, m)
		}
	}
}
