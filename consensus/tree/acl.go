package tree

import (
	"slices"

	"example.org/ha/consensus/jute"
)

// An acl is a list that any number of znodes share.
type acl struct {
	id   int64 // on disk
	list []jute.ACL
	key  string // its bytes
	refs int    // znodes
	pos  int    // in acls.all
}

// acls are the lists in use.
type acls struct {
	open  *acl // world:anyone may all; it is in no table, its id is -1
	byKey map[string]*acl
	all   []*acl
	last  int64 // id given
	buf   []byte
}

const openID int64 = -1

func newACLs() acls {
	open := &acl{id: openID, list: []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "world", ID: "anyone"}}}, pos: -1}
	open.key = string(jute.AppendACLs(nil, open.list))
	return acls{open: open, byKey: map[string]*acl{open.key: open}}
}

// intern finds or makes the entry of a list and counts one more znode; null is open.
func (a *acls) intern(list []jute.ACL) *acl {
	if list == nil {
		return a.open
	}
	a.buf = jute.AppendACLs(a.buf[:0], list)
	e, ok := a.byKey[string(a.buf)]
	if !ok {
		a.last++
		e = a.enter(a.last, slices.Clone(list))
	}
	e.refs++
	return e
}

// enter adds a list under an id that is not in use. Of two entries with one list, which a snapshot may
// hold, new znodes get the later.
func (a *acls) enter(id int64, list []jute.ACL) *acl {
	a.last = max(a.last, id)
	e := &acl{id: id, list: list, key: string(jute.AppendACLs(nil, list)), pos: len(a.all)}
	a.all = append(a.all, e)
	if a.byKey[e.key] != a.open {
		a.byKey[e.key] = e
	}
	return e
}

// release counts one znode less.
func (a *acls) release(e *acl) {
	if e == a.open {
		return
	}
	if e.refs--; e.refs == 0 {
		a.forget(e)
	}
}

func (a *acls) forget(e *acl) {
	last := a.all[len(a.all)-1]
	a.all[e.pos], last.pos = last, e.pos
	a.all[len(a.all)-1] = nil
	a.all = a.all[:len(a.all)-1]
	if a.byKey[e.key] == e {
		delete(a.byKey, e.key)
	}
}
