package tree

import "example.org/ha/consensus/jute"

// A Result says what became of a transaction, or of a part of a multi.
type Result struct {
	Type jute.Op
	Code jute.Code // an error transaction's own; else NoNode or NodeExists, which only a replay over a snapshot meets
	Path string    // of the znode
	Stat jute.Stat // create…, setData, setACL, reconfig: after
	Ops  []Result  // multi
}

// Apply changes the tree as a transaction says and notes the watches that it fires. A multi's parts are
// applied as one; a failed multi changes nothing. x.Data is copied.
func (t *Tree) Apply(h *jute.TxnHeader, x *jute.Txn) Result {
	var r Result
	if x.Type == jute.OpMulti {
		r = t.multi(h, x)
	} else {
		r = t.apply(h, x)
	}
	t.lastZxid = max(t.lastZxid, h.Zxid)
	return r
}

// multi counts as failed if any part is an error; then all are, but old logs name only the one.
func (t *Tree) multi(h *jute.TxnHeader, x *jute.Txn) Result {
	r := Result{Type: jute.OpMulti, Ops: make([]Result, 0, len(x.Ops))}
	failed := failedMulti(x)
	code := jute.OK // of parts that should be errors and are not
	for i := range x.Ops {
		var part Result
		switch {
		case !failed:
			part = t.apply(h, &x.Ops[i])
		case x.Ops[i].Type == jute.OpError:
			part = Result{Type: jute.OpError, Code: x.Ops[i].Err}
			code = jute.RuntimeInconsistency
		default:
			part = Result{Type: jute.OpError, Code: code}
		}
		if r.Code == jute.OK {
			r.Code = part.Code
		}
		r.Ops = append(r.Ops, part)
	}
	return r
}

func failedMulti(x *jute.Txn) bool {
	for i := range x.Ops {
		if x.Ops[i].Type == jute.OpError {
			return true
		}
	}
	return false
}

func (t *Tree) apply(h *jute.TxnHeader, x *jute.Txn) Result {
	r := Result{Type: x.Type, Path: x.Path}
	var n *Node
	switch x.Type {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		n, r.Code = t.create(h, x)
	case jute.OpDelete, jute.OpDeleteContainer:
		r.Code = t.delete(x.Path, h.Zxid)
	case jute.OpSetData, jute.OpReconfig:
		n, r.Code = t.setData(h, x)
	case jute.OpSetACL:
		n, r.Code = t.setACL(x)
	case jute.OpCloseSession:
		t.closeSession(h, x)
	case jute.OpError:
		r.Code = x.Err
	}
	if n != nil {
		r.Stat = t.Stat(n)
	}
	return r
}

// ownerOf is whose a created znode will be.
func ownerOf(h *jute.TxnHeader, x *jute.Txn) int64 {
	switch {
	case x.Type == jute.OpCreateContainer:
		return jute.ContainerOwner
	case x.Type == jute.OpCreateTTL:
		return jute.TTLMask | x.TTL
	case x.Ephemeral:
		return h.Session
	}
	return 0
}

// adopted is a parent's count of creations and pzxid after a creation. A snapshot may hold later ones
// already: then neither goes back.
func adopted(cversion int32, pzxid int64, x *jute.Txn, zxid int64) (int32, int64) {
	next := x.ParentCVersion
	if next == -1 {
		next = cversion + 1
	}
	if next > cversion {
		return next, zxid
	}
	return cversion, pzxid
}

func (t *Tree) create(h *jute.TxnHeader, x *jute.Txn) (*Node, jute.Code) {
	parent := t.parentOf(x.Path)
	if parent == nil {
		if x.Path == Root {
			return nil, jute.NodeExists
		}
		return nil, jute.NoNode
	}
	exists := t.index.find(x.Path) != nil
	if cversion, pzxid := adopted(parent.cversion, parent.pzxid, x, h.Zxid); cversion != parent.cversion {
		t.walks.save(parent)
		parent.cversion, parent.pzxid = cversion, pzxid
		parent.restat(t)
	}
	if exists {
		return nil, jute.NodeExists
	}
	n := &Node{
		path: x.Path, data: copied(x.Data), acl: t.acls.intern(x.ACL),
		czxid: h.Zxid, mzxid: h.Zxid, pzxid: h.Zxid, ctime: h.Time, mtime: h.Time, owner: ownerOf(h, x),
	}
	t.add(parent, n)
	t.account(n.path, 1, int64(len(n.data)))
	t.quotaCreated(n)
	t.fire(jute.EventCreated, n, parent)
	return n, jute.OK
}

// copied keeps null and empty apart.
func copied(data []byte) []byte {
	if data == nil {
		return nil
	}
	out := make([]byte, len(data))
	copy(out, data)
	return out
}

func (t *Tree) delete(path string, zxid int64) jute.Code {
	parent := t.parentOf(path)
	if parent == nil {
		return jute.NoNode
	}
	n := t.index.find(path)
	if n != nil {
		t.walks.save(n)
	}
	if zxid > parent.pzxid { // whether the child is still there or not
		t.walks.save(parent)
		parent.pzxid = zxid
		parent.restat(t)
	}
	if n == nil {
		return jute.NoNode
	}
	for n.children > 0 { // from later than zxid: the log, being replayed, will create them again
		c := n.first.prev
		for c.children > 0 {
			c = c.first.prev
		}
		t.walks.save(c)
		t.quotaDeleted(c)
		t.account(c.path, -1, -int64(len(c.data)))
		t.drop(c)
	}
	t.quotaDeleted(n)
	t.account(n.path, -1, -int64(len(n.data)))
	t.fire(jute.EventDeleted, n, parent)
	t.drop(n)
	return jute.OK
}

func (t *Tree) setData(h *jute.TxnHeader, x *jute.Txn) (*Node, jute.Code) {
	n := t.Node(x.Path)
	if n == nil {
		return nil, jute.NoNode
	}
	t.walks.save(n)
	grown := int64(len(x.Data) - len(n.data))
	n.data = copied(x.Data)
	n.version, n.mzxid, n.mtime = x.Version, h.Zxid, h.Time
	t.size += grown
	n.sum(t)
	t.account(n.path, 0, grown)
	t.quotaChanged(n)
	t.fire(jute.EventDataChanged, n, nil)
	return n, jute.OK
}

func (t *Tree) setACL(x *jute.Txn) (*Node, jute.Code) {
	n := t.Node(x.Path)
	if n == nil {
		return nil, jute.NoNode
	}
	t.walks.save(n)
	old := n.acl
	n.acl = t.acls.intern(x.ACL)
	t.acls.release(old)
	n.aversion = x.Version
	n.restat(t)
	return n, jute.OK
}

// closeSession deletes what the leader listed, and what else the session owns here.
func (t *Tree) closeSession(h *jute.TxnHeader, x *jute.Txn) {
	for _, path := range x.Paths {
		t.delete(path, h.Zxid)
	}
	for _, path := range t.Ephemerals(h.Session) {
		t.delete(path, h.Zxid)
	}
}
