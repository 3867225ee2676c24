package consensus

import (
	"bytes"
	"testing"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// FuzzRequests sends any bytes as the body of any op, twice: nothing panics, a refusal leaves nothing
// pending, and a member that only reads the records ends with the same tree.
func FuzzRequests(f *testing.F) {
	ttl := createAt("/t", jute.FlagTTL)
	ttl.TTL = 1
	for _, q := range []jute.Request{
		createAt("/a/s-", jute.FlagSequential), createAt("/e", jute.FlagEphemeral), as(jute.OpCreateTTL, ttl), deleteAt("/a/b", 0), setAt("/a", -1),
		setACLAt("/a", 0, []jute.ACL{{Perms: 3, ID: jute.ID{Scheme: "auth"}}, {Perms: 1, ID: jute.ID{Scheme: "ip", ID: "10.0.0.0/8"}}}),
		multi(createAt("/m", 0), setAt("/m", 0), checkAt("/m", 1), deleteAt("/a/b", -1)), multi(createAt("/m", 0), deleteAt("/none", 0)),
		getAt("/a"), {Op: jute.OpGetChildren2, Path: "/a", Watch: true}, {Op: jute.OpGetACL, Path: "/a"}, {Op: jute.OpAddWatch, Path: "/a", Mode: 1},
		{Op: jute.OpRemoveWatches, Path: "/a", Mode: 3}, {Op: jute.OpMultiRead, Ops: []jute.Request{getAt("/a")}},
		{Op: jute.OpSetWatches2, Watches: &jute.Watches{Data: []string{"/a"}, Persistent: []string{"/"}}},
		{Op: jute.OpReconfig, Members: &jute.Members{}}, {Op: jute.OpGetEphemerals, Path: "/"}, {Op: jute.OpCloseSession}, {Op: jute.OpCreateSession, Mode: 9},
		{Op: jute.OpAuth, Scheme: "digest", Data: []byte("u:p")}, {Op: jute.OpDeleteContainer, Path: "/zookeeper"}, {Op: jute.OpWhoAmI}, {Op: jute.OpSASL},
	} {
		f.Add(int32(q.Op), q.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, op int32, body []byte) {
		w := newWorld(t, nil)
		w.must(createAt("/a", 0))
		w.must(createAt("/a/b", jute.FlagContainer))
		twin := newDatabase(tree.New(tree.Config{ExtendedTypes: true}), map[int64]int32{}, w.d.rules)
		first, second := fuzzed(w, op, body), fuzzed(w, op, body)
		if !isWrite(jute.Op(op)) {
			return
		}
		for _, r := range []*request{first, second} {
			before, pending := w.d.pending.Digest(), w.d.pending.Len()
			p := w.prepare(r)
			if p.txn.Type == jute.OpError && (w.d.pending.Digest() != before || w.d.pending.Len() != pending) {
				t.Fatalf("%v %x: refused, and yet pending", r.Op, body)
			}
			l, err := parseLogged(p.record)
			if err != nil {
				t.Fatal(err)
			}
			o := w.d.apply(&l)
			reply, code := w.d.appendReply(nil, r, &o)
			if code != jute.OK && len(reply) > 0 {
				t.Fatalf("%v: a body of %d bytes with %v", r.Op, len(reply), code)
			}
			if w.d.pending.Len() != 0 || w.d.pending.Digest() != w.d.tree.Digest() {
				t.Fatalf("%v %x: %d changes are left", r.Op, body, w.d.pending.Len())
			}
			again := bytes.Clone(p.record)
			if l, err = parseLogged(again); err != nil {
				t.Fatal(err)
			}
			twin.apply(&l)
		}
	})
}

func fuzzed(w *world, op int32, body []byte) *request {
	r := w.ask(alice, jute.Request{Op: jute.Op(op)}, digestID("amy"))
	r.Request, r.err = jute.ParseRequest(jute.Op(op), body)
	r.Op = jute.Op(op)
	w.d.authenticate(r)
	if !isWrite(r.Op) {
		reply, code := w.d.read(nil, r)
		if code != jute.OK && len(reply) > 0 {
			w.Fatalf("%v: a body of %d bytes with %v", r.Op, len(reply), code)
		}
	}
	return r
}
