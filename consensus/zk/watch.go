package zk

import (
	"context"
	"errors"
	"slices"
	"sync"

	"example.org/ha/consensus/jute"
)

// An Event says what happened to a watched znode.
type Event struct {
	Type jute.EventType
	Path string
	Zxid int64 // of the change; -1 from servers before 3.9
	Err  error // the watch ended without an event: the session is over or the client closed
}

// A OneShot is a watch for one event. It survives the loss of the connection, not the end of the session.
type OneShot struct {
	path    string // the server's
	c       chan Event
	watches *watches

	table   table // guarded by watches, like the rest
	set     bool
	stopped bool
	relies  bool // on the persistent watch of its path
}

// C has the event, once.
func (o *OneShot) C() <-chan Event { return o.c }

// Stop forgets the watch. C may still have an event that came before.
func (o *OneShot) Stop() { o.watches.stop(o) }

// A WatchMode says what a persistent watch tells.
type WatchMode int32

// The modes of a persistent watch.
const (
	Here      WatchMode = WatchMode(jute.WatchPersistent)          // the znode and the list of its children
	Recursive WatchMode = WatchMode(jute.WatchPersistentRecursive) // the znode and all below: created, deleted, changed
)

// maxChanges bounds what a Watch remembers of a consumer that does not take it. Beyond it the consumer is
// told to list again, which costs it less.
const maxChanges = 10_000

// Changes is what happened since the last Take.
type Changes struct {
	// Again says that events may be missing: read everything that is watched, then go on. It is set at the
	// beginning, after every lost connection and when too much has gathered. Events are empty then.
	Again bool
	// Events has the latest event of each znode, in the order of these; of a path watched with mode Here also
	// the latest change of its children.
	Events []Event
	// Err is set once the watch is over; then nothing follows.
	Err error
}

// A Watch is a persistent watch. It gathers what changed until somebody takes it: a consumer that is slow
// learns less often, never less.
//
//	for {
//		ch, err := w.Next(ctx)
//		if err != nil { return err }
//		if ch.Again { list everything }
//		for _, e := range ch.Events { read e.Path }
//	}
//
// What is read after Next is at least as new as the events it returned.
type Watch struct {
	path      string // the server's
	recursive bool
	client    *Client
	changed   chan struct{} // capacity one

	mu     sync.Mutex
	events map[change]Event
	order  []change // as they came; an entry is void unless its event has its turn
	turns  map[change]int
	again  bool
	err    error
}

// A change is what events are conflated by.
type change struct {
	path     string
	children bool
}

func newWatch(c *Client, path string, mode WatchMode) *Watch {
	return &Watch{path: path, recursive: mode == Recursive, client: c, changed: make(chan struct{}, 1), events: map[change]Event{}}
}

// Changed has a value when Take has something.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Take returns what happened since the last Take, without waiting.
func (w *Watch) Take() Changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := Changes{Again: w.again, Err: w.err}
	w.again = false
	if len(w.order) == 0 {
		return ch
	}
	ch.Events = make([]Event, 0, len(w.events))
	for i, c := range w.order {
		if w.turns[c] == i {
			ch.Events = append(ch.Events, w.events[c])
		}
	}
	w.forget()
	return ch
}

// Next waits until there is something to take. The error is ctx's or what ended the watch.
func (w *Watch) Next(ctx context.Context) (Changes, error) {
	for {
		ch := w.Take()
		switch {
		case ch.Again || len(ch.Events) > 0:
			if ch.Err != nil {
				w.wake()
			}
			return ch, nil
		case ch.Err != nil:
			return ch, ch.Err
		}
		select {
		case <-w.changed:
		case <-ctx.Done():
			return Changes{}, context.Cause(ctx)
		}
	}
}

// Close ends the watch.
func (w *Watch) Close() {
	if w.client.watches.removeStream(w) {
		// Nobody waits, not even for room: a server that keeps the watch sends events that find nobody.
		now, cancel := context.WithCancel(context.Background())
		cancel()
		w.client.start(now, jute.Request{Op: jute.OpRemoveWatches, Path: w.path, Mode: jute.WatcherAny}, w.path, nil)
	}
	w.finish(ErrClosed)
}

func (w *Watch) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *Watch) forget() {
	w.order, w.turns = nil, nil
	clear(w.events)
}

// note takes an event; the reader calls it.
func (w *Watch) note(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.again {
		return // all will be read anyway
	}
	c := change{path: e.Path, children: e.Type == jute.EventChildrenChanged}
	if _, known := w.events[c]; !known && len(w.events) == maxChanges {
		w.forget()
		w.again = true
		w.wake()
		return
	}
	if w.turns == nil {
		w.turns = map[change]int{}
	}
	w.events[c] = e
	w.turns[c] = len(w.order)
	w.order = append(w.order, c)
	if len(w.order) > 2*maxChanges {
		w.compact()
	}
	w.wake()
}

// compact drops the places that a later event of the same znode took over.
func (w *Watch) compact() {
	kept := w.order[:0]
	for i, c := range w.order {
		if w.turns[c] == i {
			w.turns[c] = len(kept)
			kept = append(kept, c)
		}
	}
	w.order = slices.Clip(kept)
}

func (w *Watch) missed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.forget()
		w.again = true
		w.wake()
	}
}

func (w *Watch) finish(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		w.wake()
	}
}

// Watch sets a persistent watch on path, which need not exist. Its first Changes say Again: list, and then
// follow. While no server can be reached it waits, as long as ctx allows.
func (c *Client) Watch(ctx context.Context, path string, mode WatchMode) (*Watch, error) {
	refuse := func(err error) (*Watch, error) {
		return nil, &Error{Op: jute.OpAddWatch, Path: path, Part: -1, Err: err}
	}
	if err := CheckPath(path); err != nil {
		return refuse(err)
	}
	if err := c.watches.reserve(); err != nil {
		return refuse(err)
	}
	w := newWatch(c, c.root.full(path), mode)
	asked := WatchMode(jute.WatchPersistent)
	if c.watches.addStream(w) {
		asked = Recursive
	}
	_, err := c.start(ctx, jute.Request{Op: jute.OpAddWatch, Path: w.path, Mode: int32(asked)}, path, nil).Wait(ctx)
	if err != nil && !errors.Is(err, jute.ConnectionLoss) { // lost: it is set again with the others
		w.Close()
		c.watches.orphan(w.path, err)
		return nil, err
	}
	w.missed()
	return w, nil
}
