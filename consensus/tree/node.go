package tree

import (
	"iter"

	"example.org/ha/consensus/jute"
)

// A Node is a znode of a Tree. It is good until the next Apply; what Data, ACL and Path returned stays as it is.
type Node struct {
	path string
}

// Path is the znode's path, "/" for the root.
func (n *Node) Path() string { return n.path }

// Data is the znode's data, nil if null. It must not be changed.
func (n *Node) Data() []byte { return nil }

// Persisted is the stat as the disk has it.
func (n *Node) Persisted() jute.StatPersisted { return jute.StatPersisted{} }

// ACL is who may do what; empty means anybody anything. It must not be changed.
func (n *Node) ACL() []jute.ACL { return nil }

// NumChildren is the number of children.
func (n *Node) NumChildren() int { return 0 }

// Children gives the names of the children, in the order of their creation.
func (n *Node) Children() iter.Seq[string] { return func(func(string) bool) {} }

// Parent is nil for the root.
func (n *Node) Parent() *Node { return nil }

// Owner is the session of an ephemeral, or what marks a container or a time to live, or 0; see Tree.Kind.
func (n *Node) Owner() int64 { return 0 }

// Stat is the stat as clients see it: Cversion counts deletions too, and only sessions are owners.
func (t *Tree) Stat(n *Node) jute.Stat { return jute.Stat{} }
