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

// Paths that exist from birth and that no client can delete.
const (
	Root   = "/"
	System = "/zookeeper"
	Quotas = "/zookeeper/quota"
	Conf   = "/zookeeper/config"
)

// A Config bounds a Tree and says how it reads owners.
type Config struct {
	MaxWatches    int  // pairs of path and watcher; 0: DefaultMaxWatches
	ExtendedTypes bool // an owner whose top byte is 0xff is a time to live, not a session (zookeeper.extendedTypesEnabled)
	EmulateTTL353 bool // with ExtendedTypes: so is any negative owner but the container's, as ZooKeeper 3.5.3 wrote it
}

// DefaultMaxWatches takes about half a gigabyte when used up.
const DefaultMaxWatches = 4 << 20

// A Tree is all znodes. Create one with New or Load.
type Tree struct {
	cfg      Config
	root     *Node
	lastZxid int64
	digest   uint64
}

// New is the tree of a member that never saw a transaction: /, /zookeeper, /zookeeper/quota and
// /zookeeper/config.
func New(cfg Config) *Tree { return &Tree{cfg: cfg} }

// Node is the znode at path, nil if there is none. "" is the root too.
func (t *Tree) Node(path string) *Node { return nil }

// LastZxid is the zxid of the last transaction applied.
func (t *Tree) LastZxid() int64 { return t.lastZxid }

// SetLastZxid is for who loads a snapshot, whose name has it.
func (t *Tree) SetLastZxid(zxid int64) { t.lastZxid = zxid }

// Digest is the sum of the digests (version 2) of all znodes but those below /zookeeper.
func (t *Tree) Digest() uint64 { return t.digest }

// Len is the number of znodes as ZooKeeper counts them: the root twice, so 5 at birth.
func (t *Tree) Len() int { return 0 }

// DataSize is the bytes of paths and data, as ZooKeeper's approximateDataSize counts them.
func (t *Tree) DataSize() int64 { return 0 }

// Descendants is the number of znodes below path; ok is false if there is no znode.
func (t *Tree) Descendants(path string) (n int, ok bool) { return 0, false }
