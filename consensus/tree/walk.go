package tree

import (
	"cmp"
	"slices"

	"example.org/ha/consensus/jute"
)

// MaxWalks is how many walks a tree has at a time.
const MaxWalks = 4

// maxSlice is where Next stops although there are few znodes yet: a memory copy of about 0.1 ms.
const maxSlice = 1 << 20

// walks are the walks that go on. Each has a slot, and a generation: a znode whose mark for the slot is the
// walk's generation is written, or younger than the walk. A walk that ends leaves its generation on every
// znode, so the next needs nothing cleared; one that was given up leaves generations from done to gens.
type walks struct {
	active []*Walk
	used   [MaxWalks]bool
	gens   [MaxWalks]uint8
	done   [MaxWalks]uint8
}

// A Walk writes the tree as it was when the walk began, some znodes at a time, while transactions are
// applied in between: a znode that is about to change and is not yet written is written first, after those
// above it, since who reads the stream must know a parent before its children.
type Walk struct {
	tree     *Tree
	slot     int
	gen      uint8
	next     *Node // in preorder, written or not
	sessions []timeout
	acls     []*acl
	begun    bool
	ended    bool
	early    []byte // znodes that changed since the last slice, as they were
	zxid     int64
	digest   uint64
}

type timeout struct {
	session int64
	millis  int32
}

// Snapshot begins a walk; sessions (timeouts in milliseconds) are copied. It is nil when there are MaxWalks.
func (t *Tree) Snapshot(sessions map[int64]int32) *Walk {
	s := &t.walks
	slot := slices.Index(s.used[:], false)
	if slot < 0 {
		return nil
	}
	if s.gens[slot]++; s.gens[slot] == s.done[slot] { // 255 in a row were given up
		for n := t.root; n != nil; n = n.after() {
			n.marks[slot] = 0
		}
		s.done[slot], s.gens[slot] = 0, 1
	}
	w := &Walk{
		tree: t, slot: slot, gen: s.gens[slot], next: t.root, zxid: t.lastZxid, digest: t.digest,
		sessions: make([]timeout, 0, len(sessions)), acls: slices.Clone(t.acls.all),
	}
	for id, millis := range sessions {
		w.sessions = append(w.sessions, timeout{id, millis})
	}
	slices.SortFunc(w.sessions, func(a, b timeout) int { return cmp.Compare(a.session, b.session) })
	s.used[slot] = true
	s.active = append(s.active, w)
	return w
}

// save writes n into every walk that has not got it; to be called before any change to n.
func (s *walks) save(n *Node) {
	for _, w := range s.active {
		w.save(n)
	}
}

func (w *Walk) save(n *Node) {
	if n == nil || n.marks[w.slot] == w.gen {
		return
	}
	w.save(n.parent)
	w.early = w.write(w.early, n)
}

// leave takes a znode without children, already saved, out of every walk's way.
func (s *walks) leave(n *Node) {
	for _, w := range s.active {
		if w.next == n {
			w.next = n.after()
		}
	}
}

func (w *Walk) write(b []byte, n *Node) []byte {
	n.marks[w.slot] = w.gen
	path := n.path
	if path == Root {
		path = ""
	}
	b = jute.AppendLong(jute.AppendBuffer(jute.AppendString(b, path), n.data), n.acl.id)
	stat := n.Persisted()
	return stat.AppendTo(b)
}

// Next appends about as many znodes to b, or fewer if they are long, and says whether that was all. What
// it appends, put together, is the stream that Load reads, up to and with the path "/" at its end.
func (w *Walk) Next(b []byte, nodes int) (out []byte, done bool) {
	if w.ended {
		return b, true
	}
	limit := len(b) + maxSlice
	if !w.begun {
		w.begun = true
		b = jute.AppendInt(b, int32(len(w.sessions)))
		for _, s := range w.sessions {
			b = jute.AppendInt(jute.AppendLong(b, s.session), s.millis)
		}
		b = jute.AppendInt(b, int32(len(w.acls)))
	}
	for ; nodes > 0 && len(b) < limit && len(w.acls) > 0; nodes-- {
		b = jute.AppendACLs(jute.AppendLong(b, w.acls[0].id), w.acls[0].list)
		w.acls = w.acls[1:]
	}
	if len(w.acls) > 0 {
		return b, false
	}
	b = append(b, w.early...)
	if w.early = w.early[:0]; cap(w.early) > maxSlice {
		w.early = nil
	}
	for ; nodes > 0 && len(b) < limit && w.next != nil; nodes-- {
		n := w.next
		w.next = n.after()
		if n.marks[w.slot] != w.gen {
			b = w.write(b, n)
		}
	}
	if w.next != nil {
		return b, false
	}
	w.tree.walks.done[w.slot] = w.gen
	w.Close()
	return jute.AppendString(b, Root), true
}

// Zxid is the last transaction that is in the snapshot.
func (w *Walk) Zxid() int64 { return w.zxid }

// Digest is the tree's at that zxid.
func (w *Walk) Digest() uint64 { return w.digest }

// Close ends a walk before its end; afterwards it does nothing.
func (w *Walk) Close() {
	if w.ended {
		return
	}
	w.ended = true
	s := &w.tree.walks
	s.used[w.slot] = false
	s.active = slices.DeleteFunc(s.active, func(o *Walk) bool { return o == w })
	w.tree, w.next, w.acls, w.sessions, w.early = nil, nil, nil, nil, nil
}
