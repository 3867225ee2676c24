package tree

import (
	"iter"

	"example.org/ha/consensus/jute"
)

// A Watcher is who watches: the caller's own number for a connection.
type Watcher uint64

// A Kind is a set of ways to watch a path; those of one watcher live side by side.
type Kind uint8

// The ways. Data and Child go when they fire, the others stay.
const (
	Data       Kind = 1 << iota // getData, exists: created, deleted, data changed
	Child                       // getChildren: deleted, children changed
	Persistent                  // both
	Recursive                   // created, deleted and data changed, of the path and all below it

	AnyKind = Data | Child | Persistent | Recursive
)

// A Fired is an event on its way to one watcher.
type Fired struct {
	Watcher Watcher
	Type    jute.EventType
	Path    string
	ACL     []jute.ACL // whoever may not read by it is not told
}

// Watch registers w for path, which need not exist. It is false if that would be more than Config.MaxWatches.
func (t *Tree) Watch(path string, w Watcher, kind Kind) bool { return false }

// Unwatch takes kinds away from w's watch of path, and is false if it had none of them.
func (t *Tree) Unwatch(path string, w Watcher, kinds Kind) bool { return false }

// Watching is what w has of kinds at path: 0 if nothing.
func (t *Tree) Watching(path string, w Watcher, kinds Kind) Kind { return 0 }

// Forget takes away all that w watches.
func (t *Tree) Forget(w Watcher) {}

// Fired gives the events since its last call, in the order in which each watcher must see them. The slice
// is good until the next Apply.
func (t *Tree) Fired() []Fired { return nil }

// WatchCount is the number of watches as ZooKeeper counts them: a table of data watches (Data, Persistent,
// Recursive) and one of child watches (Child, Persistent), and in each a watcher once for a path.
func (t *Tree) WatchCount() int { return 0 }

// WatchSummary counts watchers, paths, and pairs of them, for watches of kinds.
func (t *Tree) WatchSummary(kinds Kind) (watchers, paths, pairs int) { return 0, 0, 0 }

// ByPath gives watched paths, sorted, and who watches them by kinds, ascending; good until the next step.
func (t *Tree) ByPath(kinds Kind) iter.Seq2[string, []Watcher] {
	return func(func(string, []Watcher) bool) {}
}

// ByWatcher gives the watchers by kinds, ascending, and what they watch, sorted; good until the next step.
func (t *Tree) ByWatcher(kinds Kind) iter.Seq2[Watcher, []string] {
	return func(func(Watcher, []string) bool) {}
}
