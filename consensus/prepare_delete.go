package consensus

import (
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

func (d *database) prepareDelete(w *draft, q *jute.Request, t *jute.Txn) jute.Code {
	if !w.alive {
		return jute.SessionExpired
	}
	above, code := parentOf(q.Path)
	if code != jute.OK || protected(q.Path) {
		return jute.BadArguments
	}
	parent, ok := d.pending.Node(above)
	if !ok {
		return jute.NoNode
	}
	if !d.allowed(w.ids, parent.ACL, jute.PermDelete) {
		return jute.NoAuth
	}
	n, ok := d.pending.Node(q.Path)
	if !ok {
		return jute.NoNode
	}
	if _, code := nextVersion(n.Stat.Version, q.Version); code != jute.OK {
		return code
	}
	if n.NumChildren > 0 {
		return jute.NotEmpty
	}
	*t = jute.Txn{Type: jute.OpDelete, Path: q.Path}
	return jute.OK
}

// prepareDeleteContainer looks once more at what the sweep found in the tree: what is pending may have
// filled the container, or changed the znode whose time had come.
func (d *database) prepareDeleteContainer(w *draft, q *jute.Request, t *jute.Txn) jute.Code {
	if _, code := parentOf(q.Path); code != jute.OK || protected(q.Path) {
		return jute.BadArguments
	}
	n, ok := d.pending.Node(q.Path)
	if !ok {
		return jute.NoNode
	}
	if n.NumChildren > 0 {
		return jute.NotEmpty
	}
	switch d.tree.Ownership(n.Stat.EphemeralOwner) {
	case tree.Regular, tree.Ephemeral:
		return jute.BadVersion
	case tree.TTL:
		if n.Stat.Mzxid > d.tree.LastZxid() {
			return jute.BadVersion
		}
	}
	*t = jute.Txn{Type: jute.OpDeleteContainer, Path: q.Path}
	return jute.OK
}
