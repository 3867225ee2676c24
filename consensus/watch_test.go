package consensus

import (
	"slices"
	"testing"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

func TestAddCheckRemoveWatch(t *testing.T) {
	w := newWorld(t, nil)
	q := func(op jute.Op, mode int32) jute.Code {
		_, code := w.do(jute.Request{Op: op, Path: "/none", Mode: mode})
		return code
	}
	if body := w.must(jute.Request{Op: jute.OpAddWatch, Path: "/none", Mode: jute.WatchPersistent}); len(body) != 4 {
		t.Errorf("addWatch answers %x", body)
	}
	w.must(jute.Request{Op: jute.OpAddWatch, Path: "/none", Mode: jute.WatchPersistentRecursive})
	w.do(jute.Request{Op: jute.OpExists, Path: "/none", Watch: true})
	if got := w.watches("/none"); got != tree.Data|tree.Persistent|tree.Recursive {
		t.Errorf("watches %b", got)
	}
	for _, step := range []struct {
		op   jute.Op
		mode int32
		want jute.Code
	}{
		{jute.OpAddWatch, 2, jute.MarshallingError},
		{jute.OpAddWatch, -1, jute.MarshallingError},
		{jute.OpCheckWatches, 9, jute.MarshallingError},
		{jute.OpRemoveWatches, 0, jute.MarshallingError},
		{jute.OpCheckWatches, jute.WatcherChildren, jute.NoWatcher},
		{jute.OpCheckWatches, jute.WatcherData, jute.OK},
		{jute.OpCheckWatches, jute.WatcherPersistent, jute.OK},
		{jute.OpCheckWatches, jute.WatcherPersistentRecursive, jute.OK},
		{jute.OpRemoveWatches, jute.WatcherChildren, jute.NoWatcher},
		{jute.OpRemoveWatches, jute.WatcherData, jute.OK},
		{jute.OpRemoveWatches, jute.WatcherData, jute.NoWatcher},
		{jute.OpRemoveWatches, jute.WatcherPersistent, jute.OK},
		{jute.OpCheckWatches, jute.WatcherAny, jute.OK},
		{jute.OpRemoveWatches, jute.WatcherAny, jute.OK},
		{jute.OpRemoveWatches, jute.WatcherAny, jute.NoWatcher},
		{jute.OpCheckWatches, jute.WatcherAny, jute.NoWatcher},
	} {
		if got := q(step.op, step.mode); got != step.want {
			t.Errorf("%v %d: %v, want %v", step.op, step.mode, got, step.want)
		}
	}
}

func TestSetWatches(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"/old", "/changed", "/parent", "/gone"} {
		w.must(createAt(path, 0))
	}
	seen := w.zxid
	w.must(setAt("/changed", -1))
	w.must(createAt("/parent/child", 0))
	w.must(deleteAt("/gone", -1))
	w.must(createAt("/new", 0))
	r := w.ask(alice, jute.Request{Op: jute.OpSetWatches2, Watches: &jute.Watches{
		RelativeZxid: seen,
		Data:         []string{"/old", "/changed", "/gone"},
		Exist:        []string{"/new", "/never"},
		Child:        []string{"/old", "/parent", "/gone", "/changed"},
		Persistent:   []string{"/gone"},
		Recursive:    []string{"/old"},
	}})
	if body, code := w.answer(r); code != jute.OK || len(body) != 0 {
		t.Errorf("%v %x", code, body)
	}
	want := []jute.WatcherEvent{
		{Type: jute.EventDataChanged, State: 3, Path: "/changed"}, {Type: jute.EventDeleted, State: 3, Path: "/gone"},
		{Type: jute.EventCreated, State: 3, Path: "/new"},
		{Type: jute.EventChildrenChanged, State: 3, Path: "/parent"}, {Type: jute.EventDeleted, State: 3, Path: "/gone"},
	}
	if !slices.Equal(r.events, want) {
		t.Errorf("events\n%v, want\n%v", r.events, want)
	}
	for path, kinds := range map[string]tree.Kind{
		"/old": tree.Data | tree.Child | tree.Recursive, "/changed": tree.Child, "/gone": tree.Persistent, "/new": 0, "/never": tree.Data, "/parent": 0,
	} {
		if got := w.watches(path); got != kinds {
			t.Errorf("%s: watches %b, want %b", path, got, kinds)
		}
	}
}
