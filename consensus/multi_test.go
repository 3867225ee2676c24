package consensus

import (
	"encoding/hex"
	"testing"

	"example.org/ha/consensus/jute"
)

// A part is what a reply to a multi says of one part.
type part struct {
	typ  jute.Op
	code jute.Code
}

// parts takes a reply to a multi of writes apart.
func (w *world) parts(body []byte) []part {
	w.Helper()
	var out []part
	d := jute.NewDecoder(body)
	for {
		h := d.MultiHeader()
		if d.Err() != nil {
			w.Fatalf("reply %s: %v", hex.EncodeToString(body), d.Err())
		}
		if h.Done {
			break
		}
		if h.Type == jute.OpError {
			if again := jute.Code(d.Int()); again != h.Err {
				w.Fatalf("an error is %v in its header, %v after it", h.Err, again)
			}
		}
		switch h.Type {
		case jute.OpCreate:
			_ = d.String()
		case jute.OpCreate2:
			_, _ = d.String(), d.Stat()
		case jute.OpSetData:
			d.Stat()
		}
		out = append(out, part{h.Type, h.Err})
	}
	if len(d.Rest()) > 0 {
		w.Fatalf("%d bytes after the reply", len(d.Rest()))
	}
	return out
}

func multi(ops ...jute.Request) jute.Request { return jute.Request{Op: jute.OpMulti, Ops: ops} }

func as(op jute.Op, q jute.Request) jute.Request { q.Op = op; return q }

func TestMultiReplies(t *testing.T) {
	ok := func(op jute.Op) part { return part{op, 0} }
	failed := func(code jute.Code) part { return part{jute.OpError, code} }
	ttl := createAt("/ttl", jute.FlagTTL)
	ttl.TTL = 9
	for _, c := range []struct {
		name string
		ops  []jute.Request
		want []part
	}{
		{"nothing", nil, nil},
		{"create2 is answered as create", []jute.Request{as(jute.OpCreate2, createAt("/a", 0))}, []part{ok(jute.OpCreate)}},
		{"the flags say container", []jute.Request{createAt("/a", jute.FlagContainer)}, []part{ok(jute.OpCreate2)}},
		{"the op does not", []jute.Request{as(jute.OpCreateContainer, createAt("/a", 0))}, []part{ok(jute.OpCreate)}},
		{"time to live", []jute.Request{as(jute.OpCreateTTL, ttl)}, []part{ok(jute.OpCreate2)}},
		{"without the flag", []jute.Request{as(jute.OpCreateTTL, createAt("/a", 0))}, []part{ok(jute.OpCreate)}},
		{"each sees those before", []jute.Request{
			createAt("/a", 0), setAt("/a", 0), checkAt("/a", 1), createAt("/a/b", 0), deleteAt("/a/b", 0), deleteAt("/a", 1),
		}, []part{ok(1), ok(5), ok(13), ok(1), ok(2), ok(2)}},
		{"one fails", []jute.Request{createAt("/a", 0), deleteAt("/none", -1), setAt("/a", -1), checkAt("/a", 0)},
			[]part{failed(0), failed(jute.NoNode), failed(jute.RuntimeInconsistency), failed(jute.RuntimeInconsistency)}},
		{"flags", []jute.Request{createAt("/a", 9)}, []part{failed(jute.BadArguments)}},
		{"check: version", []jute.Request{checkAt("/open", 4)}, []part{failed(jute.BadVersion)}},
		{"check: permission before version", []jute.Request{checkAt("/shut", 4)}, []part{failed(jute.NoAuth)}},
		{"check: missing", []jute.Request{checkAt("/none", -1)}, []part{failed(jute.NoNode)}},
		{"check: path", []jute.Request{checkAt("", -1)}, []part{failed(jute.BadArguments)}},
		{"below its own ephemeral", []jute.Request{createAt("/e", jute.FlagEphemeral), createAt("/e/x", 0)},
			[]part{failed(0), failed(jute.NoChildrenForEphemerals)}},
	} {
		w := guarded(t, nil)
		before := w.d.tree.Digest()
		got := w.parts(w.must(multi(c.ops...)))
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
			continue
		}
		refused := false
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
			refused = refused || got[i].typ == jute.OpError
		}
		if refused && (w.d.tree.Digest() != before || w.d.pending.Len() != 0) {
			t.Errorf("%s: the tree has changed", c.name)
		}
	}
}

func TestMultiWithATimeToLiveThatIsNotThere(t *testing.T) {
	w := newWorld(t, nil)
	if _, code := w.do(multi(createAt("/a", 0), createAt("/b", jute.FlagTTL))); code != jute.MarshallingError || w.d.pending.Len() != 0 {
		t.Errorf("%v, %d changes pending", code, w.d.pending.Len())
	}
	got := w.parts(w.must(multi(deleteAt("/none", 0), createAt("/b", jute.FlagTTL))))
	if len(got) != 2 || got[0].code != jute.NoNode {
		t.Errorf("behind a failure it is not looked at: %v", got)
	}
}

// ZOOKEEPER-1624: what a failed multi did to a parent shows in no later number.
func TestFailedMultiGivesTheNumberBack(t *testing.T) {
	w := newWorld(t, nil)
	w.must(createAt("/p", 0))
	w.prepare(w.ask(alice, createAt("/p/n-", jute.FlagSequential)))
	failed := w.prepare(w.ask(alice, multi(createAt("/p/n-", jute.FlagSequential), deleteAt("/none", -1))))
	if failed.header.Type != jute.OpMulti {
		t.Fatalf("a failed multi is logged as %v", failed.header.Type)
	}
	next := w.prepare(w.ask(alice, createAt("/p/n-", jute.FlagSequential)))
	if next.txn.Path != "/p/n-0000000001" {
		t.Errorf("after a failed multi: %s", next.txn.Path)
	}
}

func TestMultiOfAnEndedSession(t *testing.T) {
	w := newWorld(t, nil)
	body, code := w.as(5, multi(createAt("/a", 0), checkAt("/", -1)))
	got := w.parts(body)
	if code != jute.OK || len(got) != 2 || got[0].code != jute.SessionExpired || got[1].code != jute.RuntimeInconsistency {
		t.Errorf("%v: %v", code, got)
	}
}

func TestMultiRead(t *testing.T) {
	w := guarded(t, nil)
	q := func(op jute.Op, path string) jute.Request { return jute.Request{Op: op, Path: path, Watch: true} }
	body := w.must(jute.Request{Op: jute.OpMultiRead, Ops: []jute.Request{
		q(jute.OpGetData, "/open"), q(jute.OpGetChildren, "/open"), q(jute.OpGetData, "/none"), q(jute.OpGetChildren, "/shut"),
	}})
	d := jute.NewDecoder(body)
	if h := d.MultiHeader(); h.Type != jute.OpGetData || string(d.Buffer()) != "data" || d.Stat().NumChildren != 1 {
		t.Errorf("data: %v", h)
	}
	if h, names := d.MultiHeader(), d.Strings(); h.Type != jute.OpGetChildren || len(names) != 1 || names[0] != "in" {
		t.Errorf("children: %v %v", h, names)
	}
	for _, want := range []jute.Code{jute.NoNode, jute.NoAuth} {
		if h, code := d.MultiHeader(), jute.Code(d.Int()); h.Type != jute.OpError || h.Err != want || code != want {
			t.Errorf("%v %v, want %v", h, code, want)
		}
	}
	if h := d.MultiHeader(); h != jute.MultiEnd || d.Err() != nil || len(d.Rest()) != 0 {
		t.Errorf("end: %v %v", h, d.Err())
	}
	if w.d.tree.WatchCount() != 0 {
		t.Error("a multiRead has set watches")
	}
	if body := w.must(jute.Request{Op: jute.OpMultiRead}); len(body) != 9 {
		t.Errorf("nothing read: %x", body)
	}
}
