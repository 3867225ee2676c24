package consensus

import (
	"fmt"
	"strconv"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

func (d *database) prepareCreate(w *draft, q *jute.Request, t *jute.Txn) jute.Code {
	typ, code := d.createType(q)
	if code != jute.OK {
		return code
	}
	if !w.alive {
		return jute.SessionExpired
	}
	above, code := parentOf(q.Path)
	if code != jute.OK {
		return code
	}
	acl, code := d.fixACL(w.ids, q.ACL)
	if code != jute.OK {
		return code
	}
	parent, ok := d.pending.Node(above)
	if !ok {
		return jute.NoNode
	}
	if !d.allowed(w.ids, parent.ACL, jute.PermCreate) {
		return jute.NoAuth
	}
	path := q.Path
	if sequential(q.Flags) {
		path = sequenced(path, parent.Stat.Cversion)
	}
	if !validPath(path) {
		return jute.BadArguments
	}
	if _, exists := d.pending.Node(path); exists {
		return jute.NodeExists
	}
	if d.tree.Ownership(parent.Stat.EphemeralOwner) == tree.Ephemeral {
		return jute.NoChildrenForEphemerals
	}
	if !d.withinQuota(w, path, 1, int64(len(q.Data))) || ephemeral(q.Flags) && !d.mayOwn(w.header.Session) {
		return jute.QuotaExceeded
	}
	*t = jute.Txn{Type: typ, Path: path, Data: q.Data, ACL: acl, ParentCVersion: parent.Stat.Cversion + 1}
	switch typ {
	case jute.OpCreateTTL:
		t.TTL = q.TTL
	case jute.OpCreate, jute.OpCreate2:
		t.Ephemeral = ephemeral(q.Flags)
	}
	return jute.OK
}

// mayOwn reports whether a session may have one more ephemeral. Those on their way do not count yet.
func (d *database) mayOwn(session int64) bool {
	most := d.rules.maxEphemerals
	return most == 0 || d.tree.Owned(session) < most
}

// sequenced appends the number of a sequential znode: the parent's count of creations, which all names
// share. After 2147483647 it is negative, and eleven characters long.
func sequenced(path string, creations int32) string {
	const width = 10
	if creations < 0 {
		return fmt.Sprintf("%s%010d", path, creations)
	}
	b := make([]byte, 0, len(path)+width)
	b = append(b, path...)
	digits := strconv.AppendInt(b[len(path):], int64(creations), 10)
	b = append(b, "0000000000"[len(digits):]...)
	return string(strconv.AppendInt(b, int64(creations), 10))
}

func sequential(flags int32) bool {
	return flags == jute.FlagSequential || flags == jute.FlagEphemeralSequential || flags == jute.FlagTTLSequential
}

func ephemeral(flags int32) bool {
	return flags == jute.FlagEphemeral || flags == jute.FlagEphemeralSequential
}

// createType returns what transaction a create of any kind becomes. The flags decide, and the op where
// ZooKeeper lets it: createContainer makes containers whatever its flags are. A create with the
// container's flag makes one too, as its digest says; ZooKeeper's tree then holds a regular znode.
func (d *database) createType(q *jute.Request) (jute.Op, jute.Code) {
	if q.Flags < jute.FlagPersistent || q.Flags > jute.FlagTTLSequential {
		return 0, jute.BadArguments
	}
	mortal := q.Flags == jute.FlagTTL || q.Flags == jute.FlagTTLSequential
	switch {
	case mortal && !d.rules.extendedTypes:
		return 0, jute.Unimplemented
	case mortal != (q.Op == jute.OpCreateTTL), mortal && (q.TTL <= 0 || q.TTL > jute.MaxTTL):
		return 0, jute.BadArguments
	case q.Flags == jute.FlagContainer:
		return jute.OpCreateContainer, jute.OK
	}
	return q.Op, jute.OK
}
