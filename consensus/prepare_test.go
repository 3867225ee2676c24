package consensus

import (
	"bytes"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

// A verdict is the code for a request. The cases of one table run one after the other on one database;
// those of the tables below were put to Apache ZooKeeper 3.8.0, whose codes these are.
type verdict struct {
	name string
	q    jute.Request
	ids  []jute.ID
	want jute.Code
}

func (w *world) judge(t *testing.T, cases []verdict) {
	t.Helper()
	for _, c := range cases {
		before := w.d.pending.Digest()
		if _, code := w.do(c.q, c.ids...); code != c.want {
			t.Errorf("%s: %v %q: %v, want %v", c.name, c.q.Op, c.q.Path, code, c.want)
		}
		if c.want != jute.OK && w.d.tree.Digest() != before {
			t.Errorf("%s: %v %q: refused, but the tree has changed", c.name, c.q.Op, c.q.Path)
		}
		if isWrite(c.q.Op) && w.d.tree.LastZxid() != w.zxid {
			t.Errorf("%s: %v %q: zxid %d not used", c.name, c.q.Op, c.q.Path, w.zxid)
		}
	}
}

// guarded is a world with /shut, where only amy may do anything; /open; /eph, an ephemeral of alice.
func guarded(t *testing.T, edit func(*rules)) *world {
	w := newWorld(t, edit)
	w.must(createFor("/shut", jute.PermAll, digestID("amy")))
	w.must(createFor("/shut/in", jute.PermAll, digestID("amy")), digestID("amy"))
	w.must(createAt("/open", 0))
	w.must(createAt("/open/in", 0))
	w.must(createAt("/eph", jute.FlagEphemeral))
	return w
}

func TestCreateOrderOfChecks(t *testing.T) {
	bad := func(q jute.Request, edit func(*jute.Request)) jute.Request { edit(&q); return q }
	noACL := func(q *jute.Request) { q.ACL = nil }
	flags := func(f int32) func(*jute.Request) { return func(q *jute.Request) { q.Flags = f } }
	guarded(t, nil).judge(t, []verdict{
		{"flags before everything", bad(createAt("shut\x00", 0), flags(9)), nil, jute.BadArguments},
		{"flags below 0", createAt("/a", -1), nil, jute.BadArguments},
		{"no slash before ACL", bad(createAt("x", 0), noACL), nil, jute.BadArguments},
		{"empty path", createAt("", 0), nil, jute.BadArguments},
		{"NUL before ACL", bad(createAt("/x\x00y", 0), noACL), nil, jute.BadArguments},
		{"ACL before parent", bad(createAt("/none/x", 0), noACL), nil, jute.InvalidACL},
		{"ACL before permission", bad(createAt("/shut/x", 0), noACL), nil, jute.InvalidACL},
		{"parent before path", createAt("/none//x", 0), nil, jute.NoNode},
		{"relative path: its parent is missing", createAt("p/b", 0), nil, jute.NoNode},
		{"empty component: its parent is missing", createAt("/p//b", 0), nil, jute.NoNode},
		{"permission before path", createAt("/shut/.", 0), nil, jute.NoAuth},
		{"permission before existence", createAt("/shut/in", 0), nil, jute.NoAuth},
		{"path before existence", createAt("/open/", 0), nil, jute.BadArguments},
		{"two slashes", createAt("//", 0), nil, jute.BadArguments},
		{"root", createAt("/", 0), nil, jute.NodeExists},
		{"exists", createAt("/open/in", 0), nil, jute.NodeExists},
		{"below an ephemeral", createAt("/eph/x", 0), nil, jute.NoChildrenForEphemerals},
		{"ephemeral below an ephemeral", createAt("/eph/x", jute.FlagEphemeral), nil, jute.NoChildrenForEphemerals},
		{"in /zookeeper", createAt("/zookeeper/x", 0), nil, jute.OK},
		{"with permission", createFor("/shut/y", jute.PermAll, anyone), []jute.ID{digestID("amy")}, jute.OK},
		{"three dots", createAt("/open/...", 0), nil, jute.OK},
	})
}

func TestDeleteOrderOfChecks(t *testing.T) {
	guarded(t, nil).judge(t, []verdict{
		{"no slash", deleteAt("x", -1), nil, jute.BadArguments},
		{"NUL", deleteAt("/open\x00", -1), nil, jute.BadArguments},
		{"root", deleteAt("/", -1), nil, jute.BadArguments},
		{"system", deleteAt("/zookeeper", -1), nil, jute.BadArguments},
		{"quotas", deleteAt("/zookeeper/quota", 9), nil, jute.BadArguments},
		{"configuration", deleteAt("/zookeeper/config", -1), nil, jute.BadArguments},
		{"no parent", deleteAt("/none/x", -1), nil, jute.NoNode},
		{"permission before existence", deleteAt("/shut/none", -1), nil, jute.NoAuth},
		{"permission is the parent's", deleteAt("/shut/in", -1), nil, jute.NoAuth},
		{"missing", deleteAt("/none", -1), nil, jute.NoNode},
		{"path with a slash at the end", deleteAt("/open/", -1), nil, jute.NoNode},
		{"version before children", deleteAt("/open", 7), nil, jute.BadVersion},
		{"children", deleteAt("/open", -1), nil, jute.NotEmpty},
		{"no permission on the znode itself needed", deleteAt("/shut/in", 0), []jute.ID{digestID("amy")}, jute.OK},
		{"empty", deleteAt("/shut", 0), nil, jute.OK},
		{"twice", deleteAt("/shut", 0), nil, jute.NoNode},
	})
}

func TestSetDataOrderOfChecks(t *testing.T) {
	guarded(t, nil).judge(t, []verdict{
		{"path", setAt("/none/", -1), nil, jute.BadArguments},
		{"empty path", setAt("", -1), nil, jute.BadArguments},
		{"relative", setAt("open", -1), nil, jute.BadArguments},
		{"missing", setAt("/none", -1), nil, jute.NoNode},
		{"permission before version", setAt("/shut", 7), nil, jute.NoAuth},
		{"version", setAt("/open", 7), nil, jute.BadVersion},
		{"expected version", setAt("/open", 0), nil, jute.OK},
		{"version has moved", setAt("/open", 0), nil, jute.BadVersion},
		{"any version", setAt("/open", -1), nil, jute.OK},
		{"root", setAt("/", -1), nil, jute.OK},
		{"configuration", setAt("/zookeeper/config", -1), nil, jute.NoAuth},
	})
}

func TestSetACLOrderOfChecks(t *testing.T) {
	guarded(t, nil).judge(t, []verdict{
		{"path before ACL", setACLAt("/open/", -1, nil), nil, jute.BadArguments},
		{"ACL before existence", setACLAt("/none", -1, nil), nil, jute.InvalidACL},
		{"missing", setACLAt("/none", -1, openACL), nil, jute.NoNode},
		{"permission before version", setACLAt("/shut", 7, openACL), nil, jute.NoAuth},
		{"version", setACLAt("/open", 7, openACL), nil, jute.BadVersion},
		{"expected version", setACLAt("/open", 0, openACL), nil, jute.OK},
		{"the version is the ACL's own", setACLAt("/open", 1, openACL), nil, jute.OK},
		{"shut it", setACLAt("/open", -1, []jute.ACL{{Perms: jute.PermRead, ID: anyone}}), nil, jute.OK},
		{"nobody may administer", setACLAt("/open", -1, openACL), nil, jute.NoAuth},
		{"but super", setACLAt("/open", -1, openACL), []jute.ID{{Scheme: "super"}}, jute.OK},
	})
}

func TestSessionsThatAreNot(t *testing.T) {
	w := guarded(t, nil)
	const nobody = 0x55
	for _, c := range []verdict{
		{"create", createAt("/a", 0), nil, jute.SessionExpired},
		{"flags come first", createAt("/a", 9), nil, jute.BadArguments},
		{"create without slash", createAt("a", 0), nil, jute.SessionExpired},
		{"delete", deleteAt("/", -1), nil, jute.SessionExpired},
		{"setData", setAt("", -1), nil, jute.SessionExpired},
		{"setACL", setACLAt("", -1, nil), nil, jute.SessionExpired},
		{"getData", getAt("/open"), nil, jute.SessionExpired},
		{"ping", jute.Request{Op: jute.OpPing}, nil, jute.SessionExpired},
		{"closeSession asks nobody", jute.Request{Op: jute.OpCloseSession}, nil, jute.OK},
	} {
		if _, code := w.as(nobody, c.q); code != c.want {
			t.Errorf("%s: %v, want %v", c.name, code, c.want)
		}
	}
}

func TestKindsOfCreate(t *testing.T) {
	type row struct {
		op    jute.Op
		flags int32
		ttl   int64
		want  jute.Code
		typ   jute.Op
	}
	both := []row{
		{jute.OpCreate, jute.FlagPersistent, 0, jute.OK, jute.OpCreate},
		{jute.OpCreate, jute.FlagEphemeral, 0, jute.OK, jute.OpCreate},
		{jute.OpCreate2, jute.FlagSequential, 0, jute.OK, jute.OpCreate2},
		{jute.OpCreate, jute.FlagContainer, 0, jute.OK, jute.OpCreateContainer},
		{jute.OpCreate2, jute.FlagContainer, 0, jute.OK, jute.OpCreateContainer},
		{jute.OpCreateContainer, jute.FlagContainer, 0, jute.OK, jute.OpCreateContainer},
		{jute.OpCreateContainer, jute.FlagPersistent, 0, jute.OK, jute.OpCreateContainer},
	}
	extended := append([]row{
		{jute.OpCreate, jute.FlagTTL, 0, jute.BadArguments, 0},
		{jute.OpCreate2, jute.FlagTTLSequential, 0, jute.BadArguments, 0},
		{jute.OpCreateContainer, jute.FlagTTL, 0, jute.BadArguments, 0},
		{jute.OpCreateTTL, jute.FlagPersistent, 5, jute.BadArguments, 0},
		{jute.OpCreateTTL, jute.FlagTTL, 0, jute.BadArguments, 0},
		{jute.OpCreateTTL, jute.FlagTTL, -1, jute.BadArguments, 0},
		{jute.OpCreateTTL, jute.FlagTTL, jute.MaxTTL + 1, jute.BadArguments, 0},
		{jute.OpCreateTTL, jute.FlagTTL, jute.MaxTTL, jute.OK, jute.OpCreateTTL},
		{jute.OpCreateTTL, jute.FlagTTLSequential, 1, jute.OK, jute.OpCreateTTL},
	}, both...)
	plain := append([]row{
		{jute.OpCreate, jute.FlagTTL, 0, jute.Unimplemented, 0},
		{jute.OpCreateTTL, jute.FlagTTL, 1, jute.Unimplemented, 0},
		{jute.OpCreateTTL, jute.FlagTTL, 0, jute.Unimplemented, 0},
		{jute.OpCreateTTL, jute.FlagPersistent, 1, jute.BadArguments, 0},
	}, both...)
	for _, on := range []bool{true, false} {
		rows := plain
		if on {
			rows = extended
		}
		w := newWorld(t, func(r *rules) { r.extendedTypes = on })
		for i, c := range rows {
			path := "/n" + string(rune('a'+i))
			_, code := w.do(jute.Request{Op: c.op, Path: path, ACL: openACL, Flags: c.flags, TTL: c.ttl})
			if code != c.want || code == jute.OK && w.last.header.Type != c.typ {
				t.Errorf("extended types %v: %v with flags %d, ttl %d: %v as %v, want %v as %v",
					on, c.op, c.flags, c.ttl, code, w.last.header.Type, c.want, c.typ)
			}
			if code == jute.OK && w.stat(w.last.txn.Path).EphemeralOwner != map[bool]int64{true: alice}[c.flags == jute.FlagEphemeral] {
				t.Errorf("%v with flags %d: owner shown %#x", c.op, c.flags, w.stat(w.last.txn.Path).EphemeralOwner)
			}
		}
	}
}

func TestSequence(t *testing.T) {
	w := newWorld(t, nil)
	w.must(createAt("/p", 0))
	name := func(prefix string) string {
		t.Helper()
		d := jute.NewDecoder(w.must(createAt(prefix, jute.FlagSequential)))
		return d.String()
	}
	w.must(createAt("/p/plain", 0))
	if got := name("/p/a-"); got != "/p/a-0000000001" {
		t.Errorf("after one plain child: %s", got)
	}
	if got := name("/p/"); got != "/p/0000000002" {
		t.Errorf("without a name: %s", got)
	}
	w.must(deleteAt("/p/0000000002", -1))
	if got := name("/p/b-"); got != "/p/b-0000000003" {
		t.Errorf("after a delete: %s", got)
	}
	// The count of creations comes from the log here: nobody creates two billion children in a test.
	last := jute.Txn{Type: jute.OpCreate, Path: "/p/last", ACL: openACL, ParentCVersion: 1<<31 - 1}
	w.zxid++
	p := proposal{header: jute.TxnHeader{Zxid: w.zxid, Time: w.wall, Type: jute.OpCreate}, txn: last}
	w.d.pending.Add(&p.header, &p.txn)
	p.record = w.d.appendRecord(nil, &draft{header: p.header, txn: p.txn})
	w.commit(p)
	if got := name("/p/c-"); got != "/p/c-2147483647" {
		t.Errorf("the last that fits: %s", got)
	}
}

func TestNumbersOfSequences(t *testing.T) {
	for creations, want := range map[int32]string{
		0: "/x-0000000000", 1 << 30: "/x-1073741824", 1<<31 - 1: "/x-2147483647", -1 << 31: "/x--2147483648", -5: "/x--000000005",
	} {
		if got := sequenced("/x-", creations); got != want {
			t.Errorf("after %d creations: %s, want %s", creations, got, want)
		}
	}
}

func TestVersionsNeverReadMinusOne(t *testing.T) {
	for _, c := range []struct {
		have, want, next int32
		code             jute.Code
	}{
		{0, 0, 1, jute.OK}, {0, -1, 1, jute.OK}, {0, 1, 0, jute.BadVersion}, {-1, -1, 0, jute.OK},
		{1<<31 - 1, -1, -1 << 31, jute.OK}, {-2, -2, 0, jute.OK}, {-3, -3, -2, jute.OK},
	} {
		if next, code := nextVersion(c.have, c.want); next != c.next || code != c.code {
			t.Errorf("version %d, expected %d: %d, %v; want %d, %v", c.have, c.want, next, code, c.next, c.code)
		}
	}
}

func TestWhatIsPendingCounts(t *testing.T) {
	w := newWorld(t, nil)
	var queue []proposal
	step := func(want jute.Code, q jute.Request) {
		t.Helper()
		p := w.prepare(w.ask(alice, q))
		if p.txn.Err != want {
			t.Errorf("%v %q: %v, want %v", q.Op, q.Path, p.txn.Err, want)
		}
		queue = append(queue, p)
	}
	step(jute.OK, createAt("/a", 0))
	step(jute.NodeExists, createAt("/a", 0))
	step(jute.OK, createAt("/a/b", 0))
	step(jute.NotEmpty, deleteAt("/a", -1))
	step(jute.OK, setAt("/a/b", 0))
	step(jute.BadVersion, setAt("/a/b", 0))
	step(jute.OK, setACLAt("/a/b", 0, []jute.ACL{{Perms: jute.PermRead, ID: anyone}}))
	step(jute.NoAuth, setAt("/a/b", 1))
	step(jute.OK, deleteAt("/a/b", 1))
	step(jute.NoNode, setAt("/a/b", 1))
	step(jute.OK, deleteAt("/a", 0))
	step(jute.NoNode, createAt("/a/c", 0))
	for _, p := range queue {
		w.d.apply(&p)
	}
	if want := queue[len(queue)-1]; w.d.pending.Len() != 0 || w.d.tree.LastZxid() != want.header.Zxid {
		t.Errorf("%d changes are left", w.d.pending.Len())
	}
	if fresh := newWorld(t, nil); fresh.d.tree.Digest() == w.d.tree.Digest() {
		t.Error("creations of children must show in the root's digest")
	}
}

func TestResetForgetsWhatWasNotWritten(t *testing.T) {
	w := newWorld(t, nil)
	kept := w.prepare(w.ask(alice, createAt("/kept", 0)))
	w.prepare(w.ask(alice, createAt("/lost", 0)))
	w.prepare(w.ask(alice, jute.Request{Op: jute.OpCloseSession}))
	if w.d.alive(alice) {
		t.Fatal("a session whose end is prepared must not go on")
	}
	w.d.reset(kept.header.Zxid)
	if !w.d.alive(alice) {
		t.Error("the end that was not written counts")
	}
	w.commit(kept)
	if _, code := w.do(createAt("/lost", 0)); code != jute.OK {
		t.Errorf("create what was not written: %v", code)
	}
}

func TestCloseSession(t *testing.T) {
	w := newWorld(t, nil)
	w.must(createAt("/stays", jute.FlagEphemeral))
	w.must(createAt("/goes", jute.FlagEphemeral))
	gone := w.prepare(w.ask(bob, deleteAt("/goes", -1)))
	late := w.prepare(w.ask(alice, createAt("/late", jute.FlagEphemeral)))
	end := w.prepare(w.ask(alice, jute.Request{Op: jute.OpCloseSession}))
	if got := strings.Join(end.txn.Paths, " "); got != "/late /stays" {
		t.Errorf("ephemerals of the session: %q", got)
	}
	after := w.prepare(w.ask(alice, createAt("/after", 0)))
	if after.txn.Err != jute.SessionExpired {
		t.Errorf("create after the session's end: %v", after.txn.Err)
	}
	for _, p := range []proposal{gone, late, end, after} {
		w.d.apply(&p)
	}
	for _, path := range []string{"/stays", "/goes", "/late", "/after"} {
		if w.d.tree.Node(path) != nil {
			t.Errorf("%s is still there", path)
		}
	}
	if _, known := w.d.timeouts[alice]; known || len(w.d.closing) != 0 {
		t.Error("the session is still known")
	}
}

func TestCloseSessionWithoutEphemeralsIsNotWithoutList(t *testing.T) {
	for _, listed := range []bool{true, false} {
		w := newWorld(t, func(r *rules) { r.closeSessionTxn = listed })
		w.must(createAt("/e", jute.FlagEphemeral))
		p := w.prepare(w.ask(bob, jute.Request{Op: jute.OpCloseSession}))
		if (p.txn.Paths != nil) != listed {
			t.Errorf("closeSession.txn %v: paths %#v", listed, p.txn.Paths)
		}
		w.commit(p)
		w.must(jute.Request{Op: jute.OpCloseSession})
		if w.d.tree.Node("/e") != nil {
			t.Errorf("closeSession.txn %v: the ephemeral is still there", listed)
		}
	}
}

func TestTransactionsThatOtherMembersCannotRead(t *testing.T) {
	w := newWorld(t, func(r *rules) { r.maxRecord = 1000 })
	q := createAt("/big", 0)
	q.Data = bytes.Repeat([]byte("x"), 1000)
	if _, code := w.do(q); code != jute.BadArguments {
		t.Errorf("create: %v", code)
	}
	if _, exists := w.d.pending.Node("/big"); exists {
		t.Error("the znode that was refused is pending")
	}
	multi := jute.Request{Op: jute.OpMulti, Ops: []jute.Request{createAt("/small", 0), q}}
	if _, code := w.do(multi); code != jute.BadArguments || w.d.pending.Len() != 0 {
		t.Errorf("multi: %v, %d changes pending", code, w.d.pending.Len())
	}
	for i := range 30 {
		w.must(createAt("/"+strings.Repeat("e", 40)+string(rune('a'+i)), jute.FlagEphemeral))
	}
	w.must(jute.Request{Op: jute.OpCloseSession})
	if w.last.txn.Paths != nil || w.d.tree.EphemeralCount() != 0 {
		t.Errorf("the end of a session with many ephemerals: %d paths, %d left", len(w.last.txn.Paths), w.d.tree.EphemeralCount())
	}
}

func TestEphemeralsOfOneSessionAreBounded(t *testing.T) {
	w := newWorld(t, func(r *rules) { r.maxEphemerals = 2 })
	w.must(createAt("/a", jute.FlagEphemeral))
	w.must(createAt("/b", jute.FlagEphemeral))
	if _, code := w.do(createAt("/c", jute.FlagEphemeralSequential)); code != jute.QuotaExceeded {
		t.Errorf("one more: %v", code)
	}
	w.must(createAt("/c", 0))
	if _, code := w.as(bob, createAt("/d", jute.FlagEphemeral)); code != jute.OK {
		t.Errorf("another session's: %v", code)
	}
	w.must(deleteAt("/a", -1))
	w.must(createAt("/e", jute.FlagEphemeral))
}

func TestUndecodableAndForbiddenRequests(t *testing.T) {
	w := newWorld(t, nil)
	r := w.ask(alice, jute.Request{Op: jute.OpCreate})
	r.Request, r.err = jute.ParseRequest(jute.OpCreate, []byte{0, 0, 0, 9})
	if _, code := w.answer(r); code != jute.MarshallingError || w.d.tree.LastZxid() != w.zxid {
		t.Errorf("create: %v", code)
	}
	r = w.ask(alice, jute.Request{Op: jute.OpGetData})
	r.Request, r.err = jute.ParseRequest(jute.OpGetData, nil)
	if _, code := w.answer(r); code != jute.MarshallingError {
		t.Errorf("getData: %v", code)
	}
	for _, op := range []jute.Op{jute.OpCheck, jute.OpDeleteContainer} {
		if _, code := w.do(jute.Request{Op: op, Path: "/zookeeper"}); code != jute.Unimplemented || w.last.header.Type != jute.OpError {
			t.Errorf("%v: %v as %v", op, code, w.last.header.Type)
		}
	}
}

func TestWhatClientsMayAsk(t *testing.T) {
	writes := []jute.Op{-11, 1, 2, 5, 7, 14, 15, 16, 19, 21}
	reads := []jute.Op{3, 4, 6, 8, 9, 11, 12, 17, 18, 22, 100, 101, 102, 103, 104, 105, 106, 107}
	internal := []jute.Op{-10, 13, 20}
	rows := map[jute.Op][2]bool{}
	for _, op := range writes {
		rows[op] = [2]bool{true, true}
	}
	for _, op := range reads {
		rows[op] = [2]bool{true, false}
	}
	for _, op := range internal {
		rows[op] = [2]bool{false, true}
	}
	for op := jute.Op(-200); op < 200; op++ {
		if got := [2]bool{forClients(op), isWrite(op)}; got != rows[op] {
			t.Errorf("%v: for clients, write: %v, want %v", op, got, rows[op])
		}
	}
}

func TestDeleteContainerLooksAgain(t *testing.T) {
	w := newWorld(t, nil)
	sweep := func(path string) jute.Code {
		_, code := w.as(0, jute.Request{Op: jute.OpDeleteContainer, Path: path})
		return code
	}
	w.must(createAt("/regular", 0))
	w.must(createAt("/eph", jute.FlagEphemeral))
	w.must(createAt("/full", jute.FlagContainer))
	w.must(createAt("/full/x", 0))
	w.must(createAt("/empty", jute.FlagContainer))
	w.must(jute.Request{Op: jute.OpCreateTTL, Path: "/ttl", ACL: openACL, Flags: jute.FlagTTL, TTL: 1})
	for path, want := range map[string]jute.Code{
		"/none": jute.NoNode, "/": jute.BadArguments, "/zookeeper": jute.BadArguments, "/regular": jute.BadVersion,
		"/eph": jute.BadVersion, "/full": jute.NotEmpty, "/empty": jute.OK, "x": jute.BadArguments,
	} {
		if code := sweep(path); code != want {
			t.Errorf("%s: %v, want %v", path, code, want)
		}
	}
	touched := w.prepare(w.ask(alice, setAt("/ttl", -1)))
	if p := w.prepare(w.ask(0, jute.Request{Op: jute.OpDeleteContainer, Path: "/ttl"})); p.txn.Err != jute.BadVersion {
		t.Errorf("a znode that a pending write touches: %v", p.txn.Err)
	}
	w.d.apply(&touched)
	if code := sweep("/ttl"); code != jute.OK {
		t.Errorf("/ttl: %v", code)
	}
}

func TestReconfigOfAMemberAlone(t *testing.T) {
	q := jute.Request{Op: jute.OpReconfig, Members: &jute.Members{ConfigID: -1}}
	if _, code := newWorld(t, nil).do(q); code != jute.ReconfigDisabled {
		t.Errorf("disabled: %v", code)
	}
	w := newWorld(t, func(r *rules) { r.reconfig = true })
	if _, code := w.do(q); code != jute.Unimplemented {
		t.Errorf("enabled: %v", code)
	}
	if _, code := w.as(5, q); code != jute.SessionExpired {
		t.Errorf("enabled, no session: %v", code)
	}
}
