package zk

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"example.org/ha/consensus/jute"
)

// A table says what a one-shot watch waits for.
type table uint8

const (
	dataTable  table = iota // getData, exists of a znode that is there
	existTable              // exists of one that is not
	childTable
	tables
)

// watches holds what is watched, by the server's paths, and hands events out. The reader fires, callers add
// and remove, the session's owner asks what to set again.
//
// Servers up to 3.8 keep one mode for each path and connection, the one set last: a one-shot watch would
// end a persistent one on the same path. So where a path has a persistent watch, one-shot watches are not
// sent but served from its events; and a path that is watched both plainly and recursively is watched
// recursively, which tells all but that the children changed, and that follows from their own events.
type watches struct {
	root chroot
	max  int

	mu      sync.Mutex
	count   int
	oneShot [tables]map[string][]*OneShot
	streams map[string]*watched
	relying map[string]int // one-shot watches to come that were not sent because a stream was there
}

// watched is one path with persistent watches.
type watched struct {
	streams   []*Watch
	recursive bool // what the server was asked for, or will be
	held      bool // the request to set it is on the connection
}

func newWatches(root chroot, limit int) *watches {
	w := &watches{root: root, max: limit, streams: map[string]*watched{}, relying: map[string]int{}}
	for i := range w.oneShot {
		w.oneShot[i] = map[string][]*OneShot{}
	}
	return w
}

// reserve counts a watch to be.
func (w *watches) reserve() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == w.max {
		return fmt.Errorf("%w: %d", ErrTooManyWatches, w.max)
	}
	w.count++
	return nil
}

// plan says whether a request that is about to be sent has to ask for o; if not, a persistent watch of its
// path serves it.
func (w *watches) plan(o *OneShot) (ask bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.streams[o.path]; p == nil || !p.held {
		return true
	}
	o.relies = true
	w.relying[o.path]++
	return false
}

// unplan takes plan back: the request will be sent again, perhaps.
func (w *watches) unplan(o *OneShot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release(o)
}

func (w *watches) release(o *OneShot) {
	if !o.relies {
		return
	}
	o.relies = false
	if w.relying[o.path]--; w.relying[o.path] == 0 {
		delete(w.relying, o.path)
	}
}

// hold notes that the request for a persistent watch goes out now.
func (w *watches) hold(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.streams[path]; p != nil {
		p.held = true
	}
}

// planned ends what reserve and plan began; set says that the server's answer set the watch.
func (w *watches) planned(o *OneShot, t table, set bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release(o)
	if !set || o.stopped {
		w.count--
		return
	}
	o.table, o.set = t, true
	w.oneShot[t][o.path] = append(w.oneShot[t][o.path], o)
}

// stop ends a one-shot watch that did not fire.
func (w *watches) stop(o *OneShot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o.stopped = true
	if !o.set {
		return
	}
	o.set = false
	all := w.oneShot[o.table]
	if rest := slices.DeleteFunc(all[o.path], func(p *OneShot) bool { return p == o }); len(rest) > 0 {
		all[o.path] = rest
	} else {
		delete(all, o.path)
	}
	w.count--
}

// addStream begins a persistent watch and says whether the server has to be asked to be recursive.
func (w *watches) addStream(s *Watch) (recursive bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.streams[s.path]
	if p == nil {
		p = &watched{}
		w.streams[s.path] = p
	}
	p.streams = append(p.streams, s)
	p.recursive = p.recursive || s.recursive
	return p.recursive
}

// removeStream ends a persistent watch and says whether the server may forget the path.
func (w *watches) removeStream(s *Watch) (last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.streams[s.path]
	if p == nil || !slices.Contains(p.streams, s) {
		return false
	}
	w.count--
	p.streams = slices.DeleteFunc(p.streams, func(q *Watch) bool { return q == s })
	if len(p.streams) > 0 {
		return false
	}
	delete(w.streams, s.path)
	for i := range w.oneShot {
		if len(w.oneShot[i][s.path]) > 0 {
			return false // removing would take theirs too; events that nobody waits for do no harm
		}
	}
	return w.relying[s.path] == 0
}

// orphan ends the one-shot watches of a path that may have relied on a persistent one which could not be set.
func (w *watches) orphan(path string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range tables {
		w.fireOneShots(t, path, Event{Type: jute.EventNone, Path: w.root.local(path), Err: err})
	}
}

// fire hands out one event.
func (w *watches) fire(e Event) {
	full := e.Path
	e.Path = w.root.local(full)
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Type != jute.EventChildrenChanged {
		w.fireOneShots(dataTable, full, e)
		w.fireOneShots(existTable, full, e)
	}
	if e.Type == jute.EventChildrenChanged || e.Type == jute.EventDeleted {
		w.fireOneShots(childTable, full, e)
	}
	if p := w.streams[full]; p != nil {
		for _, s := range p.streams {
			if !s.recursive || e.Type != jute.EventChildrenChanged {
				s.note(e)
			}
		}
	}
	if e.Type == jute.EventChildrenChanged || full == "/" {
		return
	}
	w.fireAbove(full, e)
}

// fireAbove tells the recursive watches over a path, and what its parent's children changed means to those
// who share a recursive watch without being one.
func (w *watches) fireAbove(full string, e Event) {
	if len(w.streams) == 0 {
		return
	}
	parent := Parent(full)
	for path := parent; ; path = Parent(path) {
		if p := w.streams[path]; p != nil && p.recursive {
			for _, s := range p.streams {
				if s.recursive {
					s.note(e)
				}
			}
		}
		if path == "/" {
			break
		}
	}
	p := w.streams[parent]
	if p == nil || !p.recursive || e.Type == jute.EventDataChanged {
		return
	}
	e.Type, e.Path = jute.EventChildrenChanged, w.root.local(parent)
	w.fireOneShots(childTable, parent, e)
	for _, s := range p.streams {
		if !s.recursive {
			s.note(e)
		}
	}
}

func (w *watches) fireOneShots(t table, path string, e Event) {
	for _, o := range w.oneShot[t][path] {
		o.set = false
		o.c <- e // capacity one, and one event ever
		w.count--
	}
	delete(w.oneShot[t], path)
}

// lose ends every one-shot watch with err: the session they were set in is over.
func (w *watches) lose(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range tables {
		for _, path := range slices.Sorted(maps.Keys(w.oneShot[t])) {
			w.fireOneShots(t, path, Event{Type: jute.EventNone, Path: w.root.local(path), Err: err})
		}
	}
}

// again tells every persistent watch that events were missed.
func (w *watches) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.streams {
		for _, s := range p.streams {
			s.missed()
		}
	}
}

// end tells every persistent watch that no more will come.
func (w *watches) end(err error) {
	w.lose(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.streams {
		for _, s := range p.streams {
			s.finish(err)
		}
	}
}

// chunk is how many bytes of paths go into one setWatches: a request has to stay below what servers take.
const chunk = 128 << 10

// appendSet appends the requests that set all watches again, and says how many they are. A server fires at
// once what changed since zxid; persistent watches are only set.
func (w *watches) appendSet(b []byte, zxid int64) ([]byte, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lists [5][]string
	requests, bytes := 0, 0
	flush := func() {
		if bytes == 0 {
			return
		}
		r := jute.Request{Op: jute.OpSetWatches, Watches: &jute.Watches{
			RelativeZxid: zxid, Data: some(lists[0]), Exist: some(lists[1]), Child: some(lists[2]),
			Persistent: some(lists[3]), Recursive: some(lists[4]),
		}}
		if len(lists[3])+len(lists[4]) > 0 {
			r.Op = jute.OpSetWatches2 // since 3.6, like the watches in it
		}
		b = appendFrame(b, jute.XidSetWatches, &r)
		lists, bytes = [5][]string{}, 0
		requests++
	}
	put := func(list int, path string) {
		if bytes+4+len(path) > chunk {
			flush()
		}
		lists[list] = append(lists[list], path)
		bytes += 4 + len(path)
	}
	for t := range tables {
		for _, path := range slices.Sorted(maps.Keys(w.oneShot[t])) {
			put(int(t), path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(w.streams)) {
		p := w.streams[path]
		p.held = true
		p.recursive = slices.ContainsFunc(p.streams, func(s *Watch) bool { return s.recursive })
		if p.recursive {
			put(4, path)
		} else {
			put(3, path)
		}
	}
	flush()
	return b, requests
}

// some makes an empty vector of none: servers do not all read null.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
