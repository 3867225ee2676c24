package tree

import "example.org/ha/consensus/jute"

// A Pending is what transactions on their way to the log and to a quorum will have done to a tree: the
// leader prepares the next one against it. Nothing in it is larger than what the outstanding transactions are.
type Pending struct {
	tree *Tree
}

// A Change is a znode as it will be.
type Change struct {
	Stat        jute.StatPersisted
	ACL         []jute.ACL
	NumChildren int32
	DataLength  int32
}

// A Mark is a place to roll back to.
type Mark int64

// NewPending is empty: as the tree is.
func NewPending(t *Tree) *Pending { return &Pending{tree: t} }

// Node is the znode at path once everything pending is applied; false if there will be none.
func (p *Pending) Node(path string) (Change, bool) { return Change{}, false }

// Add notes what Tree.Apply will do with a transaction, or with one part of a multi (under the multi's
// header). Error transactions and sessions without ephemerals change nothing.
func (p *Pending) Add(h *jute.TxnHeader, x *jute.Txn) {}

// Ephemerals are the paths that session will own, sorted: what its closeSession must list.
func (p *Pending) Ephemerals(session int64) []string { return nil }

// Mark is the place after what was added last.
func (p *Pending) Mark() Mark { return 0 }

// Rollback takes back what was added after m: the first parts of a multi that failed.
func (p *Pending) Rollback(m Mark) {}

// Applied drops what the tree has now: everything up to zxid.
func (p *Pending) Applied(zxid int64) {}

// Reset takes back what was added after zxid: it will not be applied.
func (p *Pending) Reset(zxid int64) {}

// Digest is the tree's once everything pending is applied.
func (p *Pending) Digest() uint64 { return 0 }

// Len is the number of znodes with changes pending.
func (p *Pending) Len() int { return 0 }
