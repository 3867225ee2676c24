package tree

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

// steps applies transactions written as words, with zxids that go on: "create /a", "delete /a", "set /a",
// "acl /a", "close" for the session of the ephemerals that "ephemeral /a" makes.
func steps(t *testing.T, tr *Tree, script ...string) {
	t.Helper()
	for _, s := range script {
		verb, path, _ := strings.Cut(s, " ")
		x := jute.Txn{Path: path, ACL: openList, ParentCVersion: -1, Data: []byte("d"), Version: 1}
		switch verb {
		case "create":
			x.Type = jute.OpCreate
		case "ephemeral":
			x.Type, x.Ephemeral = jute.OpCreate, true
		case "delete":
			x.Type = jute.OpDelete
		case "set":
			x.Type = jute.OpSetData
		case "acl":
			x.Type, x.ACL = jute.OpSetACL, readList
		case "close":
			x = jute.Txn{Type: jute.OpCloseSession}
		default:
			t.Fatalf("no verb %q", s)
		}
		h := jute.TxnHeader{Session: 77, Zxid: tr.LastZxid() + 1, Time: 1000, Type: x.Type}
		if r := tr.Apply(&h, &x); r.Code != jute.OK {
			t.Fatalf("%s: %v", s, r.Code)
		}
	}
}

var eventNames = map[jute.EventType]string{
	jute.EventCreated: "created", jute.EventDeleted: "deleted", jute.EventDataChanged: "data", jute.EventChildrenChanged: "children",
}

func heard(tr *Tree) string {
	var out []string
	for _, f := range tr.Fired() {
		out = append(out, fmt.Sprintf("%d:%s %s", f.Watcher, eventNames[f.Type], f.Path))
	}
	return strings.Join(out, ", ")
}

func TestEvents(t *testing.T) {
	type watching struct {
		path string
		w    Watcher
		kind Kind
	}
	tests := []struct {
		name    string
		before  []string
		watches []watching
		script  []string
		want    string
		left    int // watches as ZooKeeper counts them
	}{
		{"exists: created", nil, []watching{{"/a", 1, Data}}, []string{"create /a"}, "1:created /a", 0},
		{"data changes once", []string{"create /a"}, []watching{{"/a", 1, Data}}, []string{"set /a", "set /a"}, "1:data /a", 0},
		{"a new ACL is no event", []string{"create /a"}, []watching{{"/a", 1, AnyKind}}, []string{"acl /a"}, "", 2},
		{"children: a birth", []string{"create /a"}, []watching{{"/a", 1, Child}}, []string{"create /a/b", "create /a/c"}, "1:children /a", 0},
		{"children: a death", []string{"create /a", "create /a/b"}, []watching{{"/a", 1, Child}}, []string{"delete /a/b"}, "1:children /a", 0},
		{"children do not hear of data", []string{"create /a"}, []watching{{"/a", 1, Child}}, []string{"set /a"}, "", 1},
		{"data does not hear of children", []string{"create /a"}, []watching{{"/a", 1, Data}}, []string{"create /a/b"}, "", 1},
		{"the root's children", nil, []watching{{"/", 1, Child}}, []string{"create /a"}, "1:children /", 0},
		{"deleted once, of two tables", []string{"create /a"}, []watching{{"/a", 1, Data | Child}}, []string{"delete /a"}, "1:deleted /a", 0},
		{"deleted to each connection", []string{"create /a"}, []watching{{"/a", 2, Child}, {"/a", 1, Data}}, []string{"delete /a"}, "1:deleted /a, 2:deleted /a", 0},
		{"deleted before the parent's children", []string{"create /a", "create /a/b"}, []watching{{"/a", 1, Child}, {"/a/b", 1, Data}}, []string{"delete /a/b"}, "1:deleted /a/b, 1:children /a", 0},
		{"created before the parent's children", []string{"create /a"}, []watching{{"/a", 1, Child}, {"/a/b", 1, Data}}, []string{"create /a/b"}, "1:created /a/b, 1:children /a", 0},
		{"a child watch of a deleted znode is gone", []string{"create /a"}, []watching{{"/a", 1, Child}}, []string{"delete /a", "create /a", "create /a/b"}, "1:deleted /a", 0},
		{"persistent stays", nil, []watching{{"/a", 1, Persistent}}, []string{"create /a", "set /a", "set /a", "create /a/b", "set /a/b", "delete /a/b", "delete /a"},
			"1:created /a, 1:data /a, 1:data /a, 1:children /a, 1:children /a, 1:deleted /a", 2},
		{"recursive: all below, no children events", nil, []watching{{"/a", 1, Recursive}}, []string{"create /a", "create /a/b", "create /a/b/c", "set /a/b/c", "delete /a/b/c", "create /ab"},
			"1:created /a, 1:created /a/b, 1:created /a/b/c, 1:data /a/b/c, 1:deleted /a/b/c", 1},
		{"recursive at the root", nil, []watching{{"/", 1, Recursive}}, []string{"create /a", "create /a/b"}, "1:created /a, 1:created /a/b", 1},
		{"recursive twice on the way up", nil, []watching{{"/", 1, Recursive}, {"/a", 1, Recursive}}, []string{"create /a", "create /a/b"}, "1:created /a, 1:created /a/b", 2},
		{"kinds side by side", []string{"create /a"}, []watching{{"/a", 1, Data}, {"/a", 1, Persistent}, {"/a", 1, Recursive}}, []string{"set /a", "set /a", "create /a/b"},
			"1:data /a, 1:data /a, 1:created /a/b, 1:children /a", 2},
		{"ephemerals of a closed session, sorted", []string{"create /a", "ephemeral /a/2", "ephemeral /a/1"}, []watching{{"/a", 1, Persistent}, {"/a", 2, Recursive}}, []string{"close"},
			"2:deleted /a/1, 1:children /a, 2:deleted /a/2, 1:children /a", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := New(Config{})
			steps(t, tr, tt.before...)
			for _, w := range tt.watches {
				tr.Watch(w.path, w.w, w.kind)
			}
			before := heard(tr)
			var got []string
			for _, s := range tt.script {
				steps(t, tr, s)
				if e := heard(tr); e != "" {
					got = append(got, e)
				}
			}
			if s := strings.Join(got, ", "); before != "" || s != tt.want {
				t.Errorf("events\n%s, want\n%s", s, tt.want)
			}
			if tr.WatchCount() != tt.left {
				t.Errorf("%d watches left, want %d", tr.WatchCount(), tt.left)
			}
		})
	}
}

// An event carries the ACL that says who may read of it: the znode's own, before it went; the parent's for
// its children.
func TestEventsCarryTheACL(t *testing.T) {
	tr := New(Config{})
	steps(t, tr, "create /a", "create /a/b", "acl /a/b")
	tr.Watch("/a/b", 1, Data)
	tr.Watch("/a", 1, Child)
	steps(t, tr, "delete /a/b")
	got := tr.Fired()
	if len(got) != 2 || !slices.Equal(got[0].ACL, readList) || !slices.Equal(got[1].ACL, openList) {
		t.Errorf("%+v", got)
	}
	if again := tr.Fired(); len(again) != 0 {
		t.Errorf("events twice: %+v", again)
	}
}

func TestWatchesAreBounded(t *testing.T) {
	tr := New(Config{MaxWatches: 2})
	if !tr.Watch("/a", 1, Data) || !tr.Watch("/b", 1, Data) {
		t.Fatal("refused below the limit")
	}
	if tr.Watch("/c", 1, Data) || tr.Watch("/a", 2, Data) {
		t.Error("a third pair is beyond the limit")
	}
	if !tr.Watch("/a", 1, Child) {
		t.Error("another kind of a watch that exists is no third pair")
	}
	if tr.Forget(1); !tr.Watch("/c", 2, Data) {
		t.Error("room of a forgotten watcher is room")
	}
	steps(t, tr, "create /c")
	if !tr.Watch("/a", 2, Data) || !tr.Watch("/b", 2, Data) {
		t.Error("room of a watch that fired is room")
	}
}

func TestWatchesOfOneWatcherAreBounded(t *testing.T) {
	tr := New(Config{MaxWatches: 10, MaxWatchesEach: 2})
	if !tr.Watch("/a", 1, Data) || !tr.Watch("/b", 1, Data) || tr.Watch("/c", 1, Data) || !tr.Watch("/c", 2, Data) {
		t.Error("each watcher may have two, and the others two of their own")
	}
	if tr.Unwatch("/a", 1, Data); !tr.Watch("/c", 1, Data) {
		t.Error("what a watcher gives up is room for it")
	}
	if tr.Forget(1); !tr.Watch("/d", 1, Data) || !tr.Watch("/e", 1, Data) {
		t.Error("a watcher that comes again begins with nothing")
	}
}

func TestLongPathsAreMoreWatches(t *testing.T) {
	tr := New(Config{MaxWatches: 100})
	long := "/" + strings.Repeat("x", 90*weighty)
	if !tr.Watch(long, 1, Data) || tr.Watch(long, 2, Data) {
		t.Error("a path of many bytes counts as many watches")
	}
	for i := range 9 {
		if !tr.Watch(fmt.Sprint("/", i), 3, Data) {
			t.Fatalf("%d: refused below the limit", i)
		}
	}
	if tr.Watch("/z", 3, Data) {
		t.Error("more than the limit")
	}
	if tr.Unwatch(long, 1, Data); !tr.Watch(long, 2, Data) {
		t.Error("its room comes back")
	}
}

func TestUnwatch(t *testing.T) {
	tr := New(Config{})
	tr.Watch("/a", 1, AnyKind)
	for _, k := range []Kind{Child, Data, Persistent, Recursive} {
		if !tr.Unwatch("/a", 1, k) || tr.Unwatch("/a", 1, k) || tr.Watching("/a", 1, k) != 0 {
			t.Errorf("kind %b can be taken away once", k)
		}
	}
	if _, paths, _ := tr.WatchSummary(AnyKind); paths != 0 || tr.WatchCount() != 0 || tr.Unwatch("/a", 2, AnyKind) || tr.Unwatch("/b", 1, AnyKind) {
		t.Error("nothing is left to watch")
	}
}
