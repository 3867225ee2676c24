package tree

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

var seeds = flag.Int("seeds", 40, "how many seeds TestTreeIsTheModel runs, of 400 transactions each")

// A run is one seed: transactions are prepared ahead of the tree, applied some later, and taken back now and
// then; meanwhile watches come and go and snapshots are walked.
type run struct {
	t       *testing.T
	r       *rand.Rand
	tree    *Tree
	pending *Pending
	now     *model // as the tree is
	future  *model // as it is with all that is pending
	queue   []prepared
	zxid    int64
	walks   []*walking
}

type prepared struct {
	h     jute.TxnHeader
	x     jute.Txn
	after *model
}

type walking struct {
	walk     *Walk
	out      []byte
	want     string
	digest   uint64
	sessions map[int64]int32
}

func TestTreeIsTheModel(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &run{t: t, r: rand.New(rand.NewPCG(uint64(seed), 7)), tree: New(Config{ExtendedTypes: true}), now: newModel(), future: newModel()}
			r.pending = NewPending(r.tree)
			for range 400 {
				r.prepare()
				switch r.r.IntN(12) {
				case 0:
					r.reset()
				case 1, 2:
					r.watch()
				case 3, 4, 5:
					r.walk()
				case 6:
					r.begin()
				case 7:
					r.rollback()
				}
				for r.r.IntN(5) > 0 && len(r.queue) > 0 {
					r.apply()
				}
				if t.Failed() {
					return
				}
			}
			for len(r.queue) > 0 {
				r.apply()
			}
			for len(r.walks) > 0 {
				r.walk()
			}
			r.compare()
		})
	}
}

func (r *run) path() string {
	names := []string{"a", "b", "c"}
	switch r.r.IntN(16) {
	case 0:
		return Quotas + "/" + names[r.r.IntN(2)]
	case 1:
		return Quotas + "/" + names[r.r.IntN(2)] + "/" + StatsName
	case 2:
		return Quotas + "/" + names[r.r.IntN(2)] + "/" + LimitsName
	}
	var p strings.Builder
	for range 1 + r.r.IntN(4) {
		p.WriteString("/" + names[r.r.IntN(3)])
	}
	return p.String()
}

func (r *run) data() []byte {
	if r.r.IntN(6) == 0 {
		return nil
	}
	return bytes.Repeat([]byte{'x'}, r.r.IntN(4))
}

func (r *run) acl() []jute.ACL {
	return [][]jute.ACL{openList, readList, {{Perms: 3, ID: jute.ID{Scheme: "ip", ID: "10.0.0.1"}}}, {}}[r.r.IntN(4)]
}

// txn makes a transaction that a leader with future could have made, or sometimes one that only a replay
// meets.
func (r *run) txn(m *model, session int64) jute.Txn {
	path := r.path()
	up, _ := split(path)
	n, exists := m.nodes[path]
	parent, hasParent := m.nodes[up]
	odd := r.r.IntN(10) == 0
	if parent.stat.EphemeralOwner > 0 { // no leader lets it have children
		return jute.Txn{Type: jute.OpSetData, Path: up, Data: r.data(), Version: parent.stat.Version + 1}
	}
	switch {
	case !exists && (hasParent || odd), odd && r.r.IntN(3) == 0:
		op := []jute.Op{jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL}[r.r.IntN(4)]
		x := jute.Txn{Type: op, Path: path, Data: r.data(), ACL: r.acl(), ParentCVersion: parent.stat.Cversion + 1}
		if odd {
			x.ParentCVersion = int32(r.r.IntN(20)) - 1
		}
		x.Ephemeral = (op == jute.OpCreate || op == jute.OpCreate2) && r.r.IntN(3) == 0
		if op == jute.OpCreateTTL {
			x.TTL = 1000
		}
		return x
	case exists && (len(m.children(path)) == 0) && r.r.IntN(2) == 0, odd && r.r.IntN(2) == 0 && !exists:
		return jute.Txn{Type: []jute.Op{jute.OpDelete, jute.OpDeleteContainer}[r.r.IntN(2)], Path: path}
	case r.r.IntN(4) == 0:
		return jute.Txn{Type: jute.OpSetACL, Path: path, ACL: r.acl(), Version: n.stat.Aversion + 1}
	case r.r.IntN(20) == 0:
		return jute.Txn{Type: jute.OpReconfig, Path: Conf, Data: r.data(), Version: -1}
	case r.r.IntN(20) == 0:
		return jute.Txn{Type: jute.OpCloseSession, Paths: m.ephemerals(session)}
	case r.r.IntN(30) == 0:
		return jute.Txn{Type: jute.OpCloseSession}
	case r.r.IntN(20) == 0:
		return jute.Txn{Type: jute.OpSetData, Path: "/", Data: r.data(), Version: 3}
	case path[:2] == "/z":
		return jute.Txn{Type: jute.OpError, Err: jute.BadVersion}
	}
	return jute.Txn{Type: jute.OpSetData, Path: path, Data: r.data(), Version: n.stat.Version + 1}
}

func (r *run) header() jute.TxnHeader {
	return jute.TxnHeader{Session: int64(100 + r.r.IntN(3)), Zxid: r.zxid, Time: 1000 + r.zxid}
}

func (r *run) prepare() {
	r.zxid++
	h := r.header()
	m := r.future.clone()
	var x jute.Txn
	if r.r.IntN(6) == 0 {
		x = jute.Txn{Type: jute.OpMulti, Ops: []jute.Txn{}}
		for range r.r.IntN(5) {
			op := r.txn(m, h.Session)
			if op.Type == jute.OpCloseSession || op.Type == jute.OpError {
				continue
			}
			m.apply(h, op)
			x.Ops = append(x.Ops, op)
		}
		if r.r.IntN(4) == 0 {
			x.Ops = []jute.Txn{{Type: jute.OpError}, {Type: jute.OpError, Err: jute.NoNode}, {Type: jute.OpError, Err: -2}}
		}
		m = r.future.clone()
	} else {
		x = r.txn(m, h.Session)
	}
	if x.Type == jute.OpCloseSession && !slices.Equal(r.pending.Ephemerals(h.Session), m.ephemerals(h.Session)) {
		r.t.Errorf("ephemerals pending of %d: %v, want %v", h.Session, r.pending.Ephemerals(h.Session), m.ephemerals(h.Session))
	}
	h.Type = x.Type
	m.apply(h, x)
	r.pending.Add(&h, &x)
	r.future = m
	r.queue = append(r.queue, prepared{h, x, m})
	r.check()
}

// check compares what is pending.
func (r *run) check() {
	if got, want := r.pending.Digest(), r.future.digest(); got != want {
		r.t.Errorf("zxid %d: digest pending 0x%x, want 0x%x, after %+v", r.zxid, got, want, r.queue)
	}
	path := r.path()
	c, ok := r.pending.Node(path)
	n, want := r.future.nodes[path]
	if ok != want || ok && (c.Stat != n.stat || !slices.Equal(c.ACL, n.acl) || int(c.NumChildren) != len(r.future.children(path)) ||
		path[:2] != "/z" && int(c.DataLength) != len(n.data)) {
		r.t.Errorf("pending %s: %v %+v, want %v %+v with %v", path, ok, c, want, n, r.future.children(path))
	}
}

func (r *run) rollback() {
	mark, h := r.pending.Mark(), r.header()
	h.Zxid++
	m := r.future.clone()
	for range r.r.IntN(4) {
		x := r.txn(m, h.Session)
		m.apply(h, x)
		r.pending.Add(&h, &x)
	}
	r.pending.Rollback(mark)
	r.check()
}

func (r *run) reset() {
	keep := r.r.IntN(len(r.queue) + 1)
	r.queue = r.queue[:keep]
	r.future = r.now
	r.zxid = r.now.zxid
	if keep > 0 {
		r.future, r.zxid = r.queue[keep-1].after, r.queue[keep-1].h.Zxid
	}
	r.pending.Reset(r.zxid)
	r.check()
}

func (r *run) apply() {
	p := r.queue[0]
	r.queue = r.queue[1:]
	r.now.events = nil
	code := r.now.apply(p.h, p.x)
	r.now.nodes = p.after.nodes
	res := r.tree.Apply(&p.h, &p.x)
	r.pending.Applied(p.h.Zxid)
	if res.Code != code || res.Type != p.x.Type {
		r.t.Errorf("%+v: %v, want %v", p.x, res.Code, code)
	}
	if n, ok := r.now.nodes[rootless(p.x.Path)]; ok && code == jute.OK && res.Stat.Czxid != 0 {
		if res.Stat.Version != n.stat.Version || res.Stat.Cversion != 2*n.stat.Cversion-res.Stat.NumChildren || int(res.Stat.NumChildren) != len(r.now.children(p.x.Path)) {
			r.t.Errorf("%+v: stat %+v, want %+v", p.x, res.Stat, n.stat)
		}
	}
	if got := r.tree.Fired(); !sameEvents(got, r.now.events) {
		r.t.Errorf("%+v: events\n%v, want\n%v", p.x, got, r.now.events)
	}
	if r.tree.Digest() != r.now.digest() || r.tree.LastZxid() != p.h.Zxid {
		r.t.Errorf("%+v: digest 0x%x at zxid %d, want 0x%x at %d", p.x, r.tree.Digest(), r.tree.LastZxid(), r.now.digest(), p.h.Zxid)
	}
	if r.r.IntN(8) == 0 {
		r.compare()
	}
}

func (r *run) compare() {
	got, err := view(r.tree)
	if err != nil {
		r.t.Error(err)
	}
	diff(r.t, fmt.Sprintf("zxid %d", r.tree.LastZxid()), got, r.now.view())
	ephemerals := 0
	for s := int64(100); s < 103; s++ {
		want := r.now.ephemerals(s)
		ephemerals += len(want)
		if got := r.tree.Ephemerals(s); !slices.Equal(got, want) {
			r.t.Errorf("ephemerals of %d: %v, want %v", s, got, want)
		}
	}
	if r.tree.EphemeralCount() != ephemerals {
		r.t.Errorf("%d ephemerals, want %d", r.tree.EphemeralCount(), ephemerals)
	}
	var want []string
	for p, n := range r.now.nodes {
		if n.stat.EphemeralOwner < 0 && len(r.now.children(p)) == 0 && (n.stat.EphemeralOwner != -1<<63 || n.stat.Cversion > 0) {
			want = append(want, p)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(r.tree.Expendable(1<<40, 0)); !slices.Equal(got, want) {
		r.t.Errorf("expendable %v, want %v", got, want)
	}
	r.compareWatches()
}

func (r *run) compareWatches() {
	byPath, byWatcher, entries := map[string][]Watcher{}, map[Watcher][]string{}, 0
	kinds := map[mwatch]Kind{}
	for w := range r.now.watches {
		kinds[mwatch{path: w.path, w: w.w}] |= w.kind
	}
	for w, k := range kinds {
		byPath[w.path] = append(byPath[w.path], w.w)
		byWatcher[w.w] = append(byWatcher[w.w], w.path)
		entries += k.count()
		if got := r.tree.Watching(w.path, w.w, AnyKind); got != k {
			r.t.Errorf("%d watches %s by %b, want %b", w.w, w.path, got, k)
		}
	}
	gotPaths := map[string][]Watcher{}
	for p, by := range r.tree.ByPath(AnyKind) {
		gotPaths[p] = slices.Clone(by)
	}
	gotWatchers := map[Watcher][]string{}
	for w, paths := range r.tree.ByWatcher(AnyKind) {
		gotWatchers[w] = slices.Clone(paths)
	}
	for _, by := range byPath {
		slices.Sort(by)
	}
	for _, paths := range byWatcher {
		slices.Sort(paths)
	}
	watchers, paths, pairs := r.tree.WatchSummary(AnyKind)
	if !maps.EqualFunc(gotPaths, byPath, slices.Equal) || !maps.EqualFunc(gotWatchers, byWatcher, slices.Equal) ||
		r.tree.WatchCount() != entries || watchers != len(byWatcher) || paths != len(byPath) || pairs != len(kinds) {
		r.t.Errorf("watches %v %v %d, want %v %v %d", gotPaths, gotWatchers, r.tree.WatchCount(), byPath, byWatcher, entries)
	}
}

func (r *run) watch() {
	for range 6 {
		w := mwatch{r.path(), Watcher(r.r.IntN(4)), Kind(1) << r.r.IntN(4)}
		if r.r.IntN(10) == 0 {
			w.path = "/"
		}
		r.now.watches[w] = struct{}{}
		r.tree.Watch(w.path, w.w, w.kind)
	}
	w := mwatch{r.path(), Watcher(r.r.IntN(4)), Kind(1) << r.r.IntN(4)}
	_, had := r.now.watches[w]
	delete(r.now.watches, w)
	if got := r.tree.Unwatch(w.path, w.w, w.kind); got != had {
		r.t.Errorf("unwatch %v: %v, want %v", w, got, had)
	}
	if r.r.IntN(10) == 0 {
		r.tree.Forget(w.w)
		maps.DeleteFunc(r.now.watches, func(o mwatch, _ struct{}) bool { return o.w == w.w })
	}
}

func (r *run) begin() {
	sessions := map[int64]int32{}
	for range r.r.IntN(4) {
		sessions[r.r.Int64()] = r.r.Int32()
	}
	w := r.tree.Snapshot(sessions)
	if (w == nil) != (len(r.walks) == MaxWalks) {
		r.t.Fatalf("snapshot %v with %d walks", w, len(r.walks))
	}
	if w != nil {
		r.walks = append(r.walks, &walking{walk: w, want: r.now.view(), digest: r.now.digest(), sessions: maps.Clone(sessions)})
		clear(sessions)
	}
}

func (r *run) walk() {
	if len(r.walks) == 0 {
		return
	}
	i := r.r.IntN(len(r.walks))
	w := r.walks[i]
	if r.r.IntN(20) == 0 {
		w.walk.Close()
		r.walks = slices.Delete(r.walks, i, i+1)
		return
	}
	done := false
	if w.out, done = w.walk.Next(w.out, 1+r.r.IntN(6)); !done {
		return
	}
	r.walks = slices.Delete(r.walks, i, i+1)
	in := bufio.NewReader(bytes.NewReader(append(w.out, "rest"...)))
	tr, sessions, err := Load(in, Config{ExtendedTypes: true})
	if err != nil {
		r.t.Errorf("%v\n%x", err, w.out)
		return
	}
	got, err := view(tr)
	if err != nil {
		r.t.Error(err)
	}
	diff(r.t, "loaded", got, w.want)
	rest, _ := io.ReadAll(in)
	if tr.Digest() != w.digest || w.walk.Digest() != w.digest || !maps.Equal(sessions, w.sessions) || string(rest) != "rest" {
		r.t.Errorf("digest 0x%x, of the walk 0x%x, want 0x%x; sessions %v, want %v; %q follows", tr.Digest(), w.walk.Digest(), w.digest, sessions, w.sessions, rest)
	}
	if len(tr.acls.all) != len(lists(tr)) {
		r.t.Errorf("%d ACL lists for %d", len(tr.acls.all), len(lists(tr)))
	}
}

// lists are the ACL lists that znodes use, the open one aside.
func lists(tr *Tree) map[string]bool {
	out := map[string]bool{}
	for n := range tr.root.below() {
		if n.acl != tr.acls.open {
			out[n.acl.key] = true
		}
	}
	return out
}
