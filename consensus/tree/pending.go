package tree

import (
	"slices"

	"example.org/ha/consensus/jute"
)

// A Pending is what transactions on their way to the log and to a quorum will have done to a tree: the
// leader prepares the next one against it. It holds a step or two for each outstanding transaction.
//
//	first … applied … steps … end      steps of one path form a list, the latest on top
type Pending struct {
	tree   *Tree
	steps  []step
	first  int64            // number of steps[0]
	gone   int              // of steps: applied
	latest map[string]int64 // number of a path's latest step
	owned  map[int64]int    // steps that leave a znode with this owner
	digest uint64           // after all steps; meaningless without any
}

// A Change is a znode as it will be.
type Change struct {
	Stat        jute.StatPersisted
	ACL         []jute.ACL
	NumChildren int32
	DataLength  int32

	crc    uint32
	digest uint32
}

type step struct {
	zxid   int64
	path   string
	before int64 // number of the path's step before, perhaps applied
	delta  uint64
	change Change
	exists bool
}

// A Mark is a place to roll back to.
type Mark int64

// NewPending is empty: as the tree is.
func NewPending(t *Tree) *Pending {
	return &Pending{tree: t, latest: map[string]int64{}, owned: map[int64]int{}}
}

// Node is the znode at path once everything pending is applied; false if there will be none.
func (p *Pending) Node(path string) (Change, bool) {
	if path == "" {
		path = Root
	}
	if i, ok := p.latest[path]; ok {
		s := &p.steps[i-p.first]
		return s.change, s.exists
	}
	n := p.tree.Node(path)
	if n == nil {
		return Change{}, false
	}
	return Change{
		Stat: n.Persisted(), ACL: n.acl.list, NumChildren: n.children, DataLength: int32(len(n.data)),
		crc: n.crc, digest: n.digest,
	}, true
}

// Add notes what Tree.Apply will do with a transaction, or with one part of a multi (under the multi's
// header). Transactions that change no znode leave no trace.
func (p *Pending) Add(h *jute.TxnHeader, x *jute.Txn) {
	switch x.Type {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		p.create(h, x)
	case jute.OpDelete, jute.OpDeleteContainer:
		p.delete(x.Path, h.Zxid)
	case jute.OpSetData, jute.OpReconfig:
		if c, ok := p.Node(x.Path); ok {
			c.Stat.Version, c.Stat.Mzxid, c.Stat.Mtime = x.Version, h.Zxid, h.Time
			c.DataLength = int32(len(x.Data))
			if counts(x.Path) {
				c.crc = crcOf(&p.tree.scratch, rooted(x.Path), x.Data)
			}
			p.push(h.Zxid, x.Path, c, true)
		}
	case jute.OpSetACL:
		if c, ok := p.Node(x.Path); ok {
			c.ACL, c.Stat.Aversion = x.ACL, x.Version
			p.push(h.Zxid, x.Path, c, true)
		}
	case jute.OpCloseSession:
		for _, path := range x.Paths {
			p.delete(path, h.Zxid)
		}
		for _, path := range p.Ephemerals(h.Session) {
			p.delete(path, h.Zxid)
		}
	case jute.OpMulti:
		if failedMulti(x) {
			return
		}
		for i := range x.Ops {
			p.Add(h, &x.Ops[i])
		}
	}
}

func rooted(path string) string {
	if path == "" {
		return Root
	}
	return path
}

func (p *Pending) create(h *jute.TxnHeader, x *jute.Txn) {
	above, _, ok := parentPath(x.Path)
	if !ok {
		return
	}
	parent, ok := p.Node(above)
	if !ok {
		return
	}
	_, exists := p.Node(x.Path)
	parent.Stat.Cversion, parent.Stat.Pzxid = adopted(parent.Stat.Cversion, parent.Stat.Pzxid, x, h.Zxid)
	if !exists {
		parent.NumChildren++
	}
	p.push(h.Zxid, above, parent, true)
	if exists {
		return
	}
	c := Change{
		Stat: jute.StatPersisted{
			Czxid: h.Zxid, Mzxid: h.Zxid, Pzxid: h.Zxid, Ctime: h.Time, Mtime: h.Time, EphemeralOwner: ownerOf(h, x),
		},
		ACL: x.ACL, DataLength: int32(len(x.Data)),
	}
	if c.ACL == nil {
		c.ACL = p.tree.acls.open.list
	}
	if counts(x.Path) {
		c.crc = crcOf(&p.tree.scratch, x.Path, x.Data)
	}
	p.push(h.Zxid, x.Path, c, true)
}

func (p *Pending) delete(path string, zxid int64) {
	above, _, ok := parentPath(path)
	if !ok {
		return
	}
	parent, ok := p.Node(above)
	if !ok {
		return
	}
	parent.Stat.Pzxid = max(parent.Stat.Pzxid, zxid)
	_, exists := p.Node(path)
	if exists {
		parent.NumChildren--
		p.push(zxid, path, Change{}, false)
	}
	p.push(zxid, above, parent, true)
}

// push adds a step to what there is of path.
func (p *Pending) push(zxid int64, path string, c Change, exists bool) {
	path = rooted(path)
	if len(p.latest) == 0 {
		p.digest = p.tree.digest
	}
	old, _ := p.Node(path)
	c.digest = 0
	if exists && counts(path) {
		c.digest = digestOf(&p.tree.scratch, c.crc, &c.Stat)
	}
	s := step{zxid: zxid, path: path, before: -1, delta: uint64(c.digest) - uint64(old.digest), change: c, exists: exists}
	if i, ok := p.latest[path]; ok {
		s.before = i
	}
	p.digest += s.delta
	if owner := s.owner(); owner != 0 {
		p.owned[owner]++
	}
	p.latest[path] = p.first + int64(len(p.steps))
	p.steps = append(p.steps, s)
}

// owner is who owns the znode that a step leaves, 0 if it leaves none or a regular one.
func (s *step) owner() int64 {
	if !s.exists {
		return 0
	}
	return s.change.Stat.EphemeralOwner
}

// forget empties a step.
func (p *Pending) forget(s *step) {
	if owner := s.owner(); owner != 0 {
		if p.owned[owner]--; p.owned[owner] == 0 {
			delete(p.owned, owner)
		}
	}
	*s = step{}
}

// Ephemerals are the paths that session will own, sorted: what its closeSession must list.
func (p *Pending) Ephemerals(session int64) []string {
	var paths []string
	for _, n := range p.tree.owners.sessions[session] {
		if _, ok := p.latest[n.path]; !ok {
			paths = append(paths, n.path)
		}
	}
	for i := p.gone; p.owned[session] > 0 && i < len(p.steps); i++ {
		if s := &p.steps[i]; s.owner() == session && p.latest[s.path] == p.first+int64(i) {
			paths = append(paths, s.path)
		}
	}
	slices.Sort(paths)
	return paths
}

// Mark is the place after what was added last.
func (p *Pending) Mark() Mark { return Mark(p.first + int64(len(p.steps))) }

// Rollback takes back what was added after m: the first parts of a multi that failed.
func (p *Pending) Rollback(m Mark) {
	for len(p.steps) > p.gone && p.first+int64(len(p.steps)) > int64(m) {
		p.pop()
	}
}

// Reset takes back what was added after zxid: it will not be applied.
func (p *Pending) Reset(zxid int64) {
	for len(p.steps) > p.gone && p.steps[len(p.steps)-1].zxid > zxid {
		p.pop()
	}
}

func (p *Pending) pop() {
	last := &p.steps[len(p.steps)-1]
	p.digest -= last.delta
	if last.before >= p.first+int64(p.gone) {
		p.latest[last.path] = last.before
	} else {
		delete(p.latest, last.path)
	}
	p.forget(last)
	p.steps = p.steps[:len(p.steps)-1]
}

// Applied drops what the tree has now: everything up to zxid.
func (p *Pending) Applied(zxid int64) {
	for ; p.gone < len(p.steps) && p.steps[p.gone].zxid <= zxid; p.gone++ {
		s := &p.steps[p.gone]
		if p.latest[s.path] == p.first+int64(p.gone) {
			delete(p.latest, s.path)
		}
		p.forget(s)
	}
	switch {
	case p.gone == len(p.steps):
		p.drain(0)
	case p.gone >= 1024 && p.gone > len(p.steps)/2:
		p.drain(copy(p.steps, p.steps[p.gone:]))
	}
}

// drain gives the room of applied steps back; keep of them are left.
func (p *Pending) drain(keep int) {
	clear(p.steps[keep:])
	p.first += int64(p.gone)
	p.gone = 0
	if p.steps = p.steps[:keep]; keep == 0 && cap(p.steps) > 1<<14 {
		p.steps = nil
	}
}

// Digest is the tree's once everything pending is applied.
func (p *Pending) Digest() uint64 {
	if len(p.latest) == 0 {
		return p.tree.digest
	}
	return p.digest
}

// Len is the number of znodes with changes pending.
func (p *Pending) Len() int { return len(p.latest) }
