package consensus

import (
	"reflect"
	"testing"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

const (
	alice int64 = 0x0100_0000_0000_0001 // sessions of a world
	bob   int64 = 0x0100_0000_0000_0002
)

// A world is a database with the sessions of alice and bob, whose writes are agreed upon at once.
type world struct {
	testing.TB
	d          *database
	zxid, wall int64
	last       proposal
}

func newWorld(t testing.TB, edit func(*rules)) *world {
	r := rules{digest: true, extendedTypes: true, closeSessionTxn: true}
	if edit != nil {
		edit(&r)
	}
	d := newDatabase(tree.New(tree.Config{ExtendedTypes: r.extendedTypes}), map[int64]int32{}, r)
	w := &world{TB: t, d: d, wall: 1_700_000_000_000}
	for _, session := range []int64{alice, bob} {
		w.as(session, jute.Request{Op: jute.OpCreateSession, Mode: 4000})
	}
	return w
}

// ask makes a request, with a body that can be decoded.
func (w *world) ask(session int64, q jute.Request, ids ...jute.ID) *request {
	ids = append([]jute.ID{{Scheme: "ip", ID: "10.1.2.3"}}, ids...)
	return &request{Request: q, xid: 7, session: session, ids: ids, watcher: tree.Watcher(session)}
}

// as answers a request of a session; alice does what do does.
func (w *world) as(session int64, q jute.Request, ids ...jute.ID) ([]byte, jute.Code) {
	return w.answer(w.ask(session, q, ids...))
}

func (w *world) do(q jute.Request, ids ...jute.ID) ([]byte, jute.Code) { return w.as(alice, q, ids...) }

func (w *world) answer(r *request) ([]byte, jute.Code) {
	w.Helper()
	if !isWrite(r.Op) {
		return w.d.read(nil, r)
	}
	o := w.commit(w.prepare(r))
	return w.d.appendReply(nil, r, &o)
}

// prepare proposes a write, and checks that its record says the same.
func (w *world) prepare(r *request) proposal {
	w.Helper()
	w.zxid++
	w.wall += 10
	_, p := w.d.prepare([]byte("before"), w.wall, w.zxid, r)
	logged, err := parseLogged(p.record)
	if err != nil {
		w.Fatalf("%v: the record cannot be read: %v", r.Op, err)
	}
	if !reflect.DeepEqual(logged.header, p.header) || !sameTxn(&logged.txn, &p.txn) {
		w.Fatalf("%v: proposed\n%+v %+v, the record says\n%+v %+v", r.Op, p.header, p.txn, logged.header, logged.txn)
	}
	w.last = p
	return p
}

// sameTxn compares what is written of two transactions.
func sameTxn(a, b *jute.Txn) bool {
	return a.Type == b.Type && string(a.AppendTo(nil)) == string(b.AppendTo(nil))
}

// commit applies what the record says, as another member would, and compares the digests.
func (w *world) commit(p proposal) outcome {
	w.Helper()
	l, err := jute.ParseLoggedTxn(p.record)
	if err != nil {
		w.Fatal(err)
	}
	o := w.d.apply(&proposal{header: l.Header, txn: l.Txn})
	if (l.Digest.Version == 0) != (l.Header.Type == jute.OpError || !w.d.rules.digest) {
		w.Fatalf("%v: digest %+v", l.Header.Type, l.Digest)
	}
	if l.Digest.Version != 0 && l.Digest.Tree != w.d.tree.Digest() {
		w.Fatalf("%v %+v: digest of the record %#x, of the tree %#x", l.Header.Type, l.Txn, l.Digest.Tree, w.d.tree.Digest())
	}
	return o
}

// must is a request that succeeds; its reply's body is returned.
func (w *world) must(q jute.Request, ids ...jute.ID) []byte {
	w.Helper()
	body, code := w.do(q, ids...)
	if code != jute.OK {
		w.Fatalf("%v %q: %v", q.Op, q.Path, code)
	}
	return body
}

var openACL = []jute.ACL{{Perms: jute.PermAll, ID: anyone}}

func createAt(path string, flags int32) jute.Request {
	return jute.Request{Op: jute.OpCreate, Path: path, Data: []byte("data"), ACL: openACL, Flags: flags}
}

func createFor(path string, perms int32, ids ...jute.ID) jute.Request {
	q := createAt(path, 0)
	q.ACL = nil
	for _, id := range ids {
		q.ACL = append(q.ACL, jute.ACL{Perms: perms, ID: id})
	}
	return q
}

func deleteAt(path string, version int32) jute.Request {
	return jute.Request{Op: jute.OpDelete, Path: path, Version: version}
}

func setAt(path string, version int32) jute.Request {
	return jute.Request{Op: jute.OpSetData, Path: path, Data: []byte("new"), Version: version}
}

func setACLAt(path string, version int32, acl []jute.ACL) jute.Request {
	return jute.Request{Op: jute.OpSetACL, Path: path, ACL: acl, Version: version}
}

func checkAt(path string, version int32) jute.Request {
	return jute.Request{Op: jute.OpCheck, Path: path, Version: version}
}

func getAt(path string) jute.Request { return jute.Request{Op: jute.OpGetData, Path: path} }

func digestID(user string) jute.ID { return jute.ID{Scheme: "digest", ID: user + ":hash"} }

// stat is what exists says.
func (w *world) stat(path string) jute.Stat {
	w.Helper()
	d := jute.NewDecoder(w.must(jute.Request{Op: jute.OpExists, Path: path}))
	return d.Stat()
}
