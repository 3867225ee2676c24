// Package tree holds the znodes of one member: what transactions change and what clients read.
//
// A Tree belongs to one goroutine and is changed by Apply alone, with transactions in the order of their
// zxids. Whoever applies the same transactions has the same tree; Digest, a sum over all znodes, says so.
//
//	prepare   Pending.Node, Pending.Add    the leader, ahead of the log: the tree as it will be
//	apply     Tree.Apply, Tree.Fired       every member, once a transaction is committed
//	read      Tree.Node, Tree.Watch        clients
//	snapshot  Tree.Snapshot, Walk.Next     the tree of one instant, in slices, while Apply goes on
//	start     Load, then Apply from the log
//
// The log may be replayed over a snapshot that already holds some of its effects (ZooKeeper writes its
// snapshots while the tree changes), so Apply never fails: a create that finds its znode, or a delete that
// does not, says so in its Result and leaves the tree as the transaction wanted it.
//
// A million znodes are common. A znode is one object, in a list with its siblings and in a chain of the
// index; its path and its data are two more. Ephemerals, watches and quotas are kept beside, for the znodes
// that have them, so the others pay nothing.
package tree

import (
	"strings"

	"example.org/ha/consensus/jute"
)

// Paths that exist from birth and that no client can delete.
const (
	Root   = "/"
	System = "/zookeeper"
	Quotas = "/zookeeper/quota"
	Conf   = "/zookeeper/config"
)

// A Config bounds a Tree and says how it reads owners.
type Config struct {
	MaxWatches     int  // pairs of path and watcher, where a path counts once more for each 256 bytes; 0: DefaultMaxWatches
	MaxWatchesEach int  // the same of one watcher; 0: DefaultMaxWatchesEach
	ExtendedTypes  bool // an owner whose top byte is 0xff is a time to live, not a session (zookeeper.extendedTypesEnabled)
	EmulateTTL353  bool // with ExtendedTypes: so is any negative owner but the container's, as ZooKeeper 3.5.3 wrote it
}

// The defaults: all watches take about half a gigabyte when used up with short paths, and one watcher
// cannot take the room of all others.
const (
	DefaultMaxWatches     = 4 << 20
	DefaultMaxWatchesEach = 1 << 20
)

// A Tree is all znodes. Create one with New or Load.
type Tree struct {
	cfg      Config
	root     *Node
	index    index
	lastZxid int64
	digest   uint64
	size     int64

	acls    acls
	owners  owners
	quotas  map[string]*usage // by the path they limit
	watches watches
	walks   walks
	scratch []byte
}

func empty(cfg Config) *Tree {
	if cfg.MaxWatches == 0 {
		cfg.MaxWatches = DefaultMaxWatches
	}
	if cfg.MaxWatchesEach == 0 {
		cfg.MaxWatchesEach = DefaultMaxWatchesEach
	}
	return &Tree{
		cfg: cfg, index: newIndex(), acls: newACLs(), owners: owners{sessions: map[int64][]*Node{}},
		quotas: map[string]*usage{}, watches: newWatches(),
	}
}

// New is the tree of a member that never saw a transaction: /, /zookeeper, /zookeeper/quota and
// /zookeeper/config.
func New(cfg Config) *Tree {
	t := empty(cfg)
	t.add(nil, &Node{path: Root, data: []byte{}, acl: t.acls.open})
	t.beget()
	return t
}

// beget adds what every tree has and an old snapshot may lack.
func (t *Tree) beget() {
	for _, path := range []string{System, Quotas, Conf} {
		if t.index.find(path) != nil {
			continue
		}
		n := &Node{path: path, data: []byte{}, acl: t.acls.open}
		if path == Conf {
			n.acl = t.acls.intern([]jute.ACL{{Perms: jute.PermRead, ID: jute.ID{Scheme: "world", ID: "anyone"}}})
			n.aversion = -1
		}
		t.add(t.parentOf(path), n)
	}
}

// Node is the znode at path, nil if there is none. "" is the root too.
func (t *Tree) Node(path string) *Node {
	if path == "" {
		return t.root
	}
	return t.index.find(path)
}

// parentPath is where path hangs, "/" for what hangs on the root, and the name under it; ok is false if
// path cannot be a child.
func parentPath(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 || i == len(path)-1 {
		return "", "", false
	}
	return path[:max(i, 1)], path[i+1:], true
}

func (t *Tree) parentOf(path string) *Node {
	if parent, _, ok := parentPath(path); ok {
		return t.index.find(parent)
	}
	return nil
}

// add puts a new znode into the tree, the sets and the index; its acl is counted already.
func (t *Tree) add(parent, n *Node) {
	t.settle(parent, n)
	t.index.insert(n)
}

// settle is add without the index.
func (t *Tree) settle(parent, n *Node) {
	n.marks = t.walks.gens
	if parent == nil {
		t.root = n
	} else {
		parent.link(n)
	}
	t.owners.add(n, t.Ownership(n.owner))
	t.size += n.size()
	n.sum(t)
}

// drop takes out a znode without children; its parent's stat is the caller's.
func (t *Tree) drop(n *Node) {
	t.walks.leave(n)
	t.owners.remove(n, t.Ownership(n.owner))
	t.index.remove(n)
	n.unlink()
	t.acls.release(n.acl)
	t.size -= n.size()
	t.digest -= uint64(n.digest)
}

// LastZxid is the zxid of the last transaction applied.
func (t *Tree) LastZxid() int64 { return t.lastZxid }

// SetLastZxid is for who loads a snapshot, whose name has it.
func (t *Tree) SetLastZxid(zxid int64) { t.lastZxid = zxid }

// Digest is the sum of the digests (version 2) of all znodes but those below /zookeeper.
func (t *Tree) Digest() uint64 { return t.digest }

// Len is the number of znodes as ZooKeeper counts them: the root twice, so 5 at birth.
func (t *Tree) Len() int { return t.index.len + 1 }

// DataSize is the bytes of paths and data, as ZooKeeper's approximateDataSize counts them.
func (t *Tree) DataSize() int64 { return t.size }

// Descendants is the number of znodes below path; ok is false if there is no znode.
func (t *Tree) Descendants(path string) (n int, ok bool) {
	top := t.Node(path)
	switch {
	case top == nil:
		return 0, false
	case top == t.root:
		return t.index.len - 1, true
	}
	for range top.below() {
		n++
	}
	return n - 1, true
}
