package tree

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"example.org/ha/consensus/jute"
)

// A Watcher is who watches: the caller's own number for a connection.
type Watcher uint64

// A Kind is a set of ways to watch a path; those of one watcher live side by side (ZOOKEEPER-4466).
type Kind uint8

// The ways. Data and Child go when they fire, the others stay.
const (
	Data       Kind = 1 << iota // getData, exists: created, deleted, data changed
	Child                       // getChildren: deleted, children changed
	Persistent                  // both
	Recursive                   // created, deleted and data changed, of the path and all below it

	AnyKind = Data | Child | Persistent | Recursive

	once      = Data | Child
	dataTable = Data | Persistent | Recursive
	kidsTable = Child | Persistent
)

// A Fired is an event on its way to one watcher.
type Fired struct {
	Watcher Watcher
	Type    jute.EventType
	Path    string
	ACL     []jute.ACL // whoever may not read by it is not told
}

// watches are all watches, found from either side. Watchers of a path are kept sorted, which also is the
// order in which they hear of it.
type watches struct {
	paths     map[string]*watched
	watchers  map[Watcher]*watcher
	pairs     int // of path and watcher
	weight    int // of all pairs
	entries   int // as ZooKeeper counts
	recursive int // pairs with Recursive: without any, no ancestor is asked
	fired     []Fired
	hearing   []Watcher // of one event
}

type watched struct {
	path string
	by   []watch
}

type watcher struct {
	paths  map[*watched]struct{}
	weight int
}

// weighty is how long a path may be for its watch to count as one. Paths may be long, and need not exist.
const weighty = 256

func (p *watched) weight() int { return weightOf(p.path) }

func weightOf(path string) int { return 1 + len(path)/weighty }

type watch struct {
	w     Watcher
	kinds Kind
}

func newWatches() watches {
	return watches{paths: map[string]*watched{}, watchers: map[Watcher]*watcher{}}
}

func (p *watched) of(w Watcher) (int, bool) {
	return slices.BinarySearchFunc(p.by, w, func(e watch, w Watcher) int { return cmp.Compare(e.w, w) })
}

// count is what a set of kinds adds to entries.
func (k Kind) count() (n int) {
	if k&dataTable != 0 {
		n++
	}
	if k&kidsTable != 0 {
		n++
	}
	return n
}

// set replaces the kinds of an entry.
func (s *watches) set(e *watch, kinds Kind) {
	s.entries += kinds.count() - e.kinds.count()
	s.recursive += int(kinds&Recursive/Recursive) - int(e.kinds&Recursive/Recursive)
	e.kinds = kinds
}

// Watch registers w for path, which need not exist. It is false if that would be more than Config.MaxWatches,
// or more than one watcher may have.
func (t *Tree) Watch(path string, w Watcher, kind Kind) bool {
	s := &t.watches
	p := s.paths[path]
	if p != nil {
		if i, ok := p.of(w); ok {
			s.set(&p.by[i], p.by[i].kinds|kind)
			return true
		}
	}
	mine, weight := s.watchers[w], weightOf(path)
	if s.weight+weight > t.cfg.MaxWatches || mine != nil && mine.weight+weight > t.cfg.MaxWatchesEach || weight > t.cfg.MaxWatchesEach {
		return false
	}
	if p == nil {
		p = &watched{path: strings.Clone(path)}
		s.paths[p.path] = p
	}
	i, _ := p.of(w)
	p.by = slices.Insert(p.by, i, watch{w: w})
	s.set(&p.by[i], kind)
	if mine == nil {
		mine = &watcher{paths: map[*watched]struct{}{}}
		s.watchers[w] = mine
	}
	mine.paths[p] = struct{}{}
	mine.weight += weight
	s.weight += weight
	s.pairs++
	return true
}

// Unwatch takes kinds away from w's watch of path, and is false if it had none of them.
func (t *Tree) Unwatch(path string, w Watcher, kinds Kind) bool {
	p := t.watches.paths[path]
	if p == nil {
		return false
	}
	i, ok := p.of(w)
	if !ok || p.by[i].kinds&kinds == 0 {
		return false
	}
	t.watches.set(&p.by[i], p.by[i].kinds&^kinds)
	if p.by[i].kinds == 0 {
		t.watches.leave(p, w)
		p.by = slices.Delete(p.by, i, i+1)
		t.watches.prune(p)
	}
	return true
}

// leave forgets that w watches p, whose list the caller shortens.
func (s *watches) leave(p *watched, w Watcher) {
	s.pairs--
	s.weight -= p.weight()
	mine := s.watchers[w]
	mine.weight -= p.weight()
	if delete(mine.paths, p); len(mine.paths) == 0 {
		delete(s.watchers, w)
	}
}

// prune drops a path that nobody watches, and gives room back.
func (s *watches) prune(p *watched) {
	switch {
	case len(p.by) == 0:
		delete(s.paths, p.path)
	case cap(p.by) > 16 && len(p.by) < cap(p.by)/4:
		p.by = slices.Clone(p.by)
	}
}

// Watching is what w has of kinds at path: 0 if nothing.
func (t *Tree) Watching(path string, w Watcher, kinds Kind) Kind {
	if p := t.watches.paths[path]; p != nil {
		if i, ok := p.of(w); ok {
			return p.by[i].kinds & kinds
		}
	}
	return 0
}

// Forget takes away all that w watches.
func (t *Tree) Forget(w Watcher) {
	s := &t.watches
	mine := s.watchers[w]
	if mine == nil {
		return
	}
	for p := range mine.paths { // in any order: nobody is told
		i, _ := p.of(w)
		s.set(&p.by[i], 0)
		p.by = slices.Delete(p.by, i, i+1)
		s.pairs--
		s.prune(p)
	}
	s.weight -= mine.weight
	delete(s.watchers, w)
}

// Fired gives the events since its last call, in the order in which each watcher must see them. The slice
// is good until the next Apply.
func (t *Tree) Fired() []Fired {
	out := t.watches.fired
	t.watches.fired = out[:0]
	if cap(out) > 1<<16 { // after a storm
		t.watches.fired = nil
	}
	return out
}

// fire notes the events of a change to n, which has parent.
//
//	            watchers of the path, and Recursive ones above    of the parent
//	created     Data Persistent Recursive                         Child Persistent: children changed
//	deleted     Data Persistent Recursive Child                   Child Persistent: children changed
//	data        Data Persistent Recursive
//
// A watcher hears an event once however many of its kinds match.
func (t *Tree) fire(event jute.EventType, n, parent *Node) {
	if t.watches.pairs == 0 {
		return
	}
	kinds := dataTable
	if event == jute.EventDeleted {
		kinds |= kidsTable
	}
	t.watches.tell(event, n.path, kinds, n.acl.list)
	if parent != nil {
		t.watches.tell(jute.EventChildrenChanged, parent.path, kidsTable, parent.acl.list)
	}
}

func (s *watches) tell(event jute.EventType, path string, kinds Kind, acl []jute.ACL) {
	s.hearing = s.hearing[:0]
	if p := s.paths[path]; p != nil {
		s.take(p, kinds)
	}
	if kinds&Recursive != 0 && s.recursive > 0 {
		direct := len(s.hearing)
		for above := path; above != Root; {
			above = above[:max(strings.LastIndexByte(above, '/'), 1)]
			if p := s.paths[above]; p != nil {
				s.listen(p)
			}
		}
		if len(s.hearing) > direct {
			slices.Sort(s.hearing)
			s.hearing = slices.Compact(s.hearing)
		}
	}
	for _, w := range s.hearing {
		s.fired = append(s.fired, Fired{Watcher: w, Type: event, Path: path, ACL: acl})
	}
}

// take adds the watchers of p with any of kinds, and ends those watches that fire once.
func (s *watches) take(p *watched, kinds Kind) {
	keep := p.by[:0]
	for i := range p.by {
		e := p.by[i]
		if e.kinds&kinds != 0 {
			s.hearing = append(s.hearing, e.w)
			s.set(&e, e.kinds&^(kinds&once))
		}
		if e.kinds == 0 {
			s.leave(p, e.w)
			continue
		}
		keep = append(keep, e)
	}
	if len(keep) < len(p.by) {
		clear(p.by[len(keep):])
		p.by = keep
		s.prune(p)
	} else {
		p.by = keep
	}
}

// listen adds the recursive watchers of p.
func (s *watches) listen(p *watched) {
	for _, e := range p.by {
		if e.kinds&Recursive != 0 {
			s.hearing = append(s.hearing, e.w)
		}
	}
}

// WatchCount is the number of watches as ZooKeeper counts them: a table of data watches (Data, Persistent,
// Recursive) and one of child watches (Child, Persistent), and in each a watcher once for a path.
func (t *Tree) WatchCount() int { return t.watches.entries }

// WatchSummary counts watchers, paths, and pairs of them, for watches of kinds.
func (t *Tree) WatchSummary(kinds Kind) (watchers, paths, pairs int) {
	for _, by := range t.byPath(kinds, slices.Values(slices.Collect(maps.Keys(t.watches.paths)))) {
		paths++
		pairs += len(by)
	}
	for w := range t.watches.watchers {
		for p := range t.watches.watchers[w].paths {
			if i, _ := p.of(w); p.by[i].kinds&kinds != 0 {
				watchers++
				break
			}
		}
	}
	return watchers, paths, pairs
}

// ByPath gives watched paths, sorted, and who watches them by kinds, ascending; good until the next step.
func (t *Tree) ByPath(kinds Kind) iter.Seq2[string, []Watcher] {
	return t.byPath(kinds, slices.Values(slices.Sorted(maps.Keys(t.watches.paths))))
}

func (t *Tree) byPath(kinds Kind, paths iter.Seq[string]) iter.Seq2[string, []Watcher] {
	return func(yield func(string, []Watcher) bool) {
		var by []Watcher
		for path := range paths {
			by = by[:0]
			for _, e := range t.watches.paths[path].by {
				if e.kinds&kinds != 0 {
					by = append(by, e.w)
				}
			}
			if len(by) > 0 && !yield(path, by) {
				return
			}
		}
	}
}

// ByWatcher gives the watchers by kinds, ascending, and what they watch, sorted; good until the next step.
func (t *Tree) ByWatcher(kinds Kind) iter.Seq2[Watcher, []string] {
	return func(yield func(Watcher, []string) bool) {
		var paths []string
		for _, w := range slices.Sorted(maps.Keys(t.watches.watchers)) {
			paths = paths[:0]
			for p := range t.watches.watchers[w].paths {
				if i, _ := p.of(w); p.by[i].kinds&kinds != 0 {
					paths = append(paths, p.path)
				}
			}
			slices.Sort(paths)
			if len(paths) > 0 && !yield(w, paths) {
				return
			}
		}
	}
}
