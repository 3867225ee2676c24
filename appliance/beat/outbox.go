package beat

import (
	"context"
	"slices"
	"sync"
)

const (
	maxEvents = 256  // events waiting for the pipe
	maxStates = 4096 // different states waiting for the pipe
)

// An outbox holds what waits for the pipe: states, of which the latest of each
// key wins, and events, of which the oldest are forgotten. Putting never
// blocks.
type outbox struct {
	mu      sync.Mutex
	keys    []string // in the order first put, parallel to states
	states  []message
	events  []message
	dropped uint64
	wake    chan struct{}
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// put replaces the state of a key.
func (o *outbox) put(key string, m message) {
	o.mu.Lock()
	switch i := slices.Index(o.keys, key); {
	case i >= 0:
		o.states[i] = m
	case len(o.keys) < maxStates:
		o.keys = append(o.keys, key)
		o.states = append(o.states, m)
	default:
		o.dropped++
	}
	o.mu.Unlock()
	o.signal()
}

// push adds an event.
func (o *outbox) push(m message) {
	o.mu.Lock()
	if len(o.events) == maxEvents {
		o.events = slices.Delete(o.events, 0, 1)
		o.dropped++
	}
	o.events = append(o.events, m)
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take empties the outbox: states first, since an event may be about them.
func (o *outbox) take() []message {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := append(o.states, o.events...)
	o.keys, o.states, o.events = nil, nil, nil
	return all
}

func (o *outbox) lost() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropped
}

// run writes to the pipe until ctx ends or the other end is gone. What it has
// when ctx ends is still written.
func (o *outbox) run(ctx context.Context, p *pipe) error {
	for {
		for _, m := range o.take() {
			if err := p.send(m); err != nil {
				return err
			}
		}
		select {
		case <-o.wake:
			continue
		default:
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return nil
		}
	}
}
