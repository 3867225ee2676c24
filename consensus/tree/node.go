package tree

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
	"slices"
	"strings"

	"example.org/ha/consensus/jute"
)

// A Node is a znode of a Tree. It is good until the next Apply; what Data, ACL and Path returned stays as
// it is.
//
// The order of the fields keeps it in 176 bytes, a size class of the allocator, and what a look-up asks for
// in one line of the cache.
type Node struct {
	path  string
	chain *Node // of the index
	hash  uint32
	slot  int32  // in the set of its owner
	data  []byte // never changed in place: replaced

	crc                         uint32 // of path and data
	digest                      uint32 // 0 if it does not count
	czxid, mzxid, pzxid         int64
	ctime, mtime                int64
	owner                       int64
	version, cversion, aversion int32
	children                    int32
	acl                         *acl
	parent, first               *Node
	next                        *Node // nil after the last child
	prev                        *Node // the last child before the first
	marks                       [MaxWalks]uint8
}

// Path is the znode's path, "/" for the root.
func (n *Node) Path() string { return n.path }

// Data is the znode's data, nil if null. It must not be changed.
func (n *Node) Data() []byte { return n.data }

// Persisted is the stat as the disk has it.
func (n *Node) Persisted() jute.StatPersisted {
	return jute.StatPersisted{
		Czxid: n.czxid, Mzxid: n.mzxid, Ctime: n.ctime, Mtime: n.mtime,
		Version: n.version, Cversion: n.cversion, Aversion: n.aversion, EphemeralOwner: n.owner, Pzxid: n.pzxid,
	}
}

// ACL is who may do what; empty means anybody anything. It must not be changed.
func (n *Node) ACL() []jute.ACL { return n.acl.list }

// NumChildren is the number of children.
func (n *Node) NumChildren() int { return int(n.children) }

// Children gives the names of the children, in the order of their creation.
func (n *Node) Children() iter.Seq[string] {
	cut := len(n.path) + 1
	if n.parent == nil {
		cut = 1
	}
	return func(yield func(string) bool) {
		for c := n.first; c != nil; c = c.next {
			if !yield(c.path[cut:]) {
				return
			}
		}
	}
}

// Parent is nil for the root.
func (n *Node) Parent() *Node { return n.parent }

// Owner is the session of an ephemeral, or what marks a container or a time to live, or 0; see
// Tree.Ownership.
func (n *Node) Owner() int64 { return n.owner }

// Stat is the stat as clients see it: Cversion counts deletions too, and only sessions are owners.
func (t *Tree) Stat(n *Node) jute.Stat {
	s := jute.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Ctime: n.ctime, Mtime: n.mtime,
		Version: n.version, Cversion: 2*n.cversion - n.children, Aversion: n.aversion,
		DataLength: int32(len(n.data)), NumChildren: n.children, Pzxid: n.pzxid,
	}
	if n.owner != 0 && t.Ownership(n.owner) == Ephemeral {
		s.EphemeralOwner = n.owner
	}
	return s
}

func (n *Node) size() int64 { return int64(len(n.path) + len(n.data)) }

// link makes c the last child.
func (n *Node) link(c *Node) {
	c.parent = n
	if n.first == nil {
		n.first, c.prev = c, c
	} else {
		last := n.first.prev
		last.next, c.prev, n.first.prev = c, last, c
	}
	n.children++
}

// unlink takes n from its parent.
func (n *Node) unlink() {
	p := n.parent
	switch {
	case p.first == n:
		p.first = n.next
	default:
		n.prev.next = n.next
	}
	switch {
	case n.next != nil:
		n.next.prev = n.prev
	case p.first != nil: // n was the last
		p.first.prev = n.prev
	}
	p.children--
	n.parent, n.prev, n.next = nil, nil, nil
}

// after is the znode that follows n in preorder, nil at the end of the tree.
func (n *Node) after() *Node {
	if n.first != nil {
		return n.first
	}
	for ; n != nil; n = n.parent {
		if n.next != nil {
			return n.next
		}
	}
	return nil
}

// below gives n and its descendants in preorder.
func (n *Node) below() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		end := n
		for end != nil && end.next == nil {
			end = end.parent
		}
		if end != nil {
			end = end.next
		}
		for c := n; c != end; c = c.after() {
			if !yield(c) {
				return
			}
		}
	}
}

// counts says whether a path is part of the tree's digest: what lies below /zookeeper differs among members.
func counts(path string) bool { return !strings.HasPrefix(path, System+"/") }

// crcOf begins a znode's digest: the path, "" for the root, and the data.
func crcOf(scratch *[]byte, path string, data []byte) uint32 {
	if path == Root {
		path = ""
	}
	*scratch = append((*scratch)[:0], path...)
	return crc32.Update(crc32.ChecksumIEEE(*scratch), crc32.IEEETable, data)
}

// digestOf ends it: the stat, in an order of its own.
func digestOf(scratch *[]byte, crc uint32, s *jute.StatPersisted) uint32 {
	b := slices.Grow((*scratch)[:0], 60)[:60]
	*scratch = b
	binary.BigEndian.PutUint64(b[0:], uint64(s.Czxid))
	binary.BigEndian.PutUint64(b[8:], uint64(s.Mzxid))
	binary.BigEndian.PutUint64(b[16:], uint64(s.Pzxid))
	binary.BigEndian.PutUint64(b[24:], uint64(s.Ctime))
	binary.BigEndian.PutUint64(b[32:], uint64(s.Mtime))
	binary.BigEndian.PutUint32(b[40:], uint32(s.Version))
	binary.BigEndian.PutUint32(b[44:], uint32(s.Cversion))
	binary.BigEndian.PutUint32(b[48:], uint32(s.Aversion))
	binary.BigEndian.PutUint64(b[52:], uint64(s.EphemeralOwner))
	return crc32.Update(crc, crc32.IEEETable, b)
}

// sum brings the digest up to date after path or data were set.
func (n *Node) sum(t *Tree) {
	if counts(n.path) {
		n.crc = crcOf(&t.scratch, n.path, n.data)
		n.restat(t)
	}
}

// restat brings the digest up to date after the stat alone has changed.
func (n *Node) restat(t *Tree) {
	if !counts(n.path) {
		return
	}
	s := n.Persisted()
	d := digestOf(&t.scratch, n.crc, &s)
	t.digest += uint64(d) - uint64(n.digest)
	n.digest = d
}
