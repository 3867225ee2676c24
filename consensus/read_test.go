package consensus

import (
	"slices"
	"testing"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

func TestReadOrderOfChecks(t *testing.T) {
	q := func(op jute.Op, path string) jute.Request { return jute.Request{Op: op, Path: path} }
	amy := []jute.ID{digestID("amy")}
	w := guarded(t, nil)
	w.must(createFor("/managed", jute.PermAdmin, anyone))
	w.judge(t, []verdict{
		{"exists without permission", q(jute.OpExists, "/shut"), nil, jute.OK},
		{"exists not", q(jute.OpExists, "/none"), nil, jute.NoNode},
		{"exists with NUL", q(jute.OpExists, "/\x00"), nil, jute.BadArguments},
		{"data with NUL", q(jute.OpGetData, "/\x00"), nil, jute.NoNode},
		{"data", q(jute.OpGetData, "/shut"), nil, jute.NoAuth},
		{"data of amy", q(jute.OpGetData, "/shut"), amy, jute.OK},
		{"children", q(jute.OpGetChildren, "/shut"), nil, jute.NoAuth},
		{"children of amy", q(jute.OpGetChildren, "/shut"), amy, jute.OK},
		{"children and stat", q(jute.OpGetChildren2, "/shut"), nil, jute.NoAuth},
		{"no children", q(jute.OpGetChildren2, "/none"), nil, jute.NoNode},
		{"ACL", q(jute.OpGetACL, "/shut"), nil, jute.NoAuth},
		{"ACL for an administrator", q(jute.OpGetACL, "/managed"), nil, jute.OK},
		{"data for an administrator", q(jute.OpGetData, "/managed"), nil, jute.NoAuth},
		{"no ACL", q(jute.OpGetACL, "/none"), nil, jute.NoNode},
		{"descendants", q(jute.OpGetAllChildren, "/shut"), nil, jute.NoAuth},
		{"no descendants", q(jute.OpGetAllChildren, "/none"), nil, jute.NoNode},
		{"the empty path is the root", q(jute.OpGetData, ""), nil, jute.OK},
		{"relative", q(jute.OpGetData, "open"), nil, jute.NoNode},
		{"slash at the end", q(jute.OpGetData, "/open/"), nil, jute.NoNode},
		{"two slashes", q(jute.OpGetData, "//open"), nil, jute.NoNode},
		{"sync of anything", q(jute.OpSync, "//"), nil, jute.OK},
		{"unknown", q(10, "/"), nil, jute.Unimplemented},
		{"a write is no read", jute.Request{Op: jute.OpNotification}, nil, jute.Unimplemented},
	})
}

func TestReplies(t *testing.T) {
	w := newWorld(t, nil)
	w.must(createAt("/a", 0))
	w.must(jute.Request{Op: jute.OpCreate2, Path: "/a/null", ACL: openACL})
	w.must(jute.Request{Op: jute.OpCreate, Path: "/a/empty", ACL: openACL, Data: []byte{}})
	w.must(createAt("/a/b", jute.FlagEphemeral))
	decode := func(q jute.Request) jute.Decoder { return jute.NewDecoder(w.must(q)) }

	d := decode(getAt("/a/null"))
	if d.Int() != -1 || d.Stat().DataLength != 0 {
		t.Error("null data comes back as something else")
	}
	d = decode(getAt("/a/empty"))
	if d.Int() != 0 || d.Stat().DataLength != 0 {
		t.Error("empty data comes back as something else")
	}
	d = decode(getAt("/a"))
	if string(d.Buffer()) != "data" {
		t.Error("data")
	}
	if s := d.Stat(); s.DataLength != 4 || s.NumChildren != 3 || s.Cversion != 3 || s.Pzxid != w.zxid || s.Ctime == 0 {
		t.Errorf("stat %+v", s)
	}
	d = decode(jute.Request{Op: jute.OpGetChildren2, Path: "/a"})
	names := slices.Sorted(slices.Values(d.Strings()))
	if !slices.Equal(names, []string{"b", "empty", "null"}) || d.Stat().NumChildren != 3 {
		t.Errorf("children %v", names)
	}
	d = decode(setAt("/a", 0))
	if s := d.Stat(); s.Version != 1 || s.Mzxid != w.zxid || s.DataLength != 3 {
		t.Errorf("stat after set %+v", s)
	}
	d = decode(setACLAt("/a", 0, openACL))
	if s := d.Stat(); s.Aversion != 1 || s.Mzxid != w.zxid-1 {
		t.Errorf("stat after setACL %+v", s)
	}
	d = decode(jute.Request{Op: jute.OpSync, Path: "/x"})
	if d.String() != "/x" {
		t.Error("sync")
	}
	d = decode(jute.Request{Op: jute.OpGetAllChildren, Path: "/"})
	if n := d.Int(); n != 7 {
		t.Errorf("%d below the root", n)
	}
	d = decode(jute.Request{Op: jute.OpGetACL, Path: "/zookeeper/config"})
	if acl := d.ACLs(); len(acl) != 1 || acl[0] != (jute.ACL{Perms: jute.PermRead, ID: anyone}) || d.Stat().Aversion != -1 {
		t.Errorf("configuration: ACL %v", acl)
	}
	if body := w.must(deleteAt("/a/null", -1)); len(body) != 0 {
		t.Errorf("delete answers %x", body)
	}
	if body := w.must(jute.Request{Op: jute.OpPing}); len(body) != 0 {
		t.Errorf("ping answers %x", body)
	}
}

func TestEphemeralsOfTheSession(t *testing.T) {
	w := newWorld(t, nil)
	w.must(createAt("/a", 0))
	for _, path := range []string{"/a/x", "/ab"} {
		w.must(createAt(path, jute.FlagEphemeral))
	}
	w.as(bob, createAt("/bob", jute.FlagEphemeral))
	for prefix, want := range map[string][]string{
		"": {"/a/x", "/ab"}, "/": {"/a/x", "/ab"}, " / ": {"/a/x", "/ab"}, "/a": {"/a/x", "/ab"}, "/a/": {"/a/x"}, "/b": {}, " /a": {},
	} {
		d := jute.NewDecoder(w.must(jute.Request{Op: jute.OpGetEphemerals, Path: prefix}))
		if got := d.Strings(); !slices.Equal(got, want) || got == nil {
			t.Errorf("%q: %v, want %v", prefix, got, want)
		}
	}
}

func (w *world) watches(path string) tree.Kind {
	return w.d.tree.Watching(path, tree.Watcher(alice), tree.AnyKind)
}

func TestReadsSetWatches(t *testing.T) {
	w := guarded(t, nil)
	for _, c := range []struct {
		op   jute.Op
		path string
		want tree.Kind
	}{
		{jute.OpExists, "/none", tree.Data}, {jute.OpExists, "/eph", tree.Data}, {jute.OpGetData, "/open", tree.Data},
		{jute.OpGetChildren, "/open/in", tree.Child}, {jute.OpGetChildren2, "/", tree.Child},
		{jute.OpGetData, "/shut", 0}, {jute.OpGetChildren, "/shut", 0}, {jute.OpGetData, "/none2", 0}, {jute.OpGetACL, "/zookeeper", 0},
	} {
		w.do(jute.Request{Op: c.op, Path: c.path, Watch: true})
		if got := w.watches(c.path); got != c.want {
			t.Errorf("%v %s: watches %b, want %b", c.op, c.path, got, c.want)
		}
	}
	w.do(jute.Request{Op: jute.OpGetData, Path: "", Watch: true})
	if w.watches("/") != tree.Child {
		t.Error("a watch of the empty path is one of the root")
	}
}

func TestTooManyWatches(t *testing.T) {
	d := newDatabase(tree.New(tree.Config{MaxWatches: 1}), map[int64]int32{alice: 1}, rules{})
	q := func(op jute.Op, path string) jute.Code {
		_, code := d.read(nil, &request{
			Request: jute.Request{Op: op, Path: path, Watch: true, Watches: &jute.Watches{Persistent: []string{path}}}, session: alice, watcher: 1,
		})
		return code
	}
	if code := q(jute.OpGetData, "/"); code != jute.OK {
		t.Fatal(code)
	}
	for _, op := range []jute.Op{jute.OpGetData, jute.OpGetChildren, jute.OpAddWatch, jute.OpSetWatches2} {
		if code := q(op, "/zookeeper"); code != jute.SystemError {
			t.Errorf("%v: %v", op, code)
		}
	}
}
