package consensus

import (
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// addWatch asks neither whether the path exists nor for permission: events are filtered when they fire.
// The reply's four bytes are ZooKeeper's ErrorResponse; its Java client wants them.
func (d *database) addWatch(b []byte, r *request) ([]byte, jute.Code) {
	var kind tree.Kind
	switch r.Mode {
	case jute.WatchPersistent:
		kind = tree.Persistent
	case jute.WatchPersistentRecursive:
		kind = tree.Recursive
	default:
		return b, jute.MarshallingError
	}
	if !d.watchPath(r.Path, r.watcher, kind) {
		return b, jute.SystemError
	}
	return jute.AppendInt(b, 0), jute.OK
}

// watchKinds returns what a type of removeWatches or checkWatches means. The types 4 and 5 are of 3.9.
// Before, 1 and 2 also stood for one half of a persistent watch, which no client of ours can have.
func watchKinds(typ int32) (tree.Kind, bool) {
	switch typ {
	case jute.WatcherChildren:
		return tree.Child, true
	case jute.WatcherData:
		return tree.Data, true
	case jute.WatcherAny:
		return tree.AnyKind, true
	case jute.WatcherPersistent:
		return tree.Persistent, true
	case jute.WatcherPersistentRecursive:
		return tree.Recursive, true
	}
	return 0, false
}

func (d *database) checkWatches(b []byte, r *request) ([]byte, jute.Code) {
	kinds, ok := watchKinds(r.Mode)
	switch {
	case !ok:
		return b, jute.MarshallingError
	case d.tree.Watching(r.Path, r.watcher, kinds) == 0:
		return b, jute.NoWatcher
	}
	return b, jute.OK
}

func (d *database) removeWatches(b []byte, r *request) ([]byte, jute.Code) {
	kinds, ok := watchKinds(r.Mode)
	switch {
	case !ok:
		return b, jute.MarshallingError
	case !d.tree.Unwatch(r.Path, r.watcher, kinds):
		return b, jute.NoWatcher
	}
	return b, jute.OK
}

// setWatches registers again what a client watched on a connection that it lost. What has changed since
// the zxid it saw last is an event at once, and no watch.
func (d *database) setWatches(b []byte, r *request) ([]byte, jute.Code) {
	s := watchSetter{d: d, r: r, code: jute.OK}
	since := r.Watches.RelativeZxid
	for _, path := range r.Watches.Data {
		n := d.tree.Node(path)
		s.set(path, tree.Data, n == nil, jute.EventDeleted, n != nil && n.Persisted().Mzxid > since, jute.EventDataChanged)
	}
	for _, path := range r.Watches.Exist {
		s.set(path, tree.Data, d.tree.Node(path) != nil, jute.EventCreated, false, 0)
	}
	for _, path := range r.Watches.Child {
		n := d.tree.Node(path)
		s.set(path, tree.Child, n == nil, jute.EventDeleted, n != nil && n.Persisted().Pzxid > since, jute.EventChildrenChanged)
	}
	for _, path := range r.Watches.Persistent {
		s.set(path, tree.Persistent, false, 0, false, 0)
	}
	for _, path := range r.Watches.Recursive {
		s.set(path, tree.Recursive, false, 0, false, 0)
	}
	return b, s.code
}

type watchSetter struct {
	d    *database
	r    *request
	code jute.Code
}

// set makes an event of the first reason that holds, or a watch if none does.
func (s *watchSetter) set(path string, kind tree.Kind, first bool, what jute.EventType, second bool, orWhat jute.EventType) {
	switch {
	case first:
	case second:
		what = orWhat
	default:
		if !s.d.watchPath(path, s.r.watcher, kind) {
			s.code = jute.SystemError
		}
		return
	}
	s.r.events = append(s.r.events, jute.WatcherEvent{Type: what, State: jute.StateConnected, Path: path})
}
