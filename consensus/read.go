package consensus

import (
	"slices"
	"strings"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// read answers a request that is no transaction, and sets the watches it asks for. The reply's body, if
// there is one, is appended to b. What r.events holds then goes to the client before the reply.
func (d *database) read(b []byte, r *request) ([]byte, jute.Code) {
	o := operationOf(r.Op)
	switch {
	case o.read == nil:
		return b, jute.Unimplemented
	case !d.alive(r.session):
		return b, jute.SessionExpired
	case r.err != nil:
		return b, jute.MarshallingError
	}
	return o.read(d, b, r)
}

func (d *database) readNothing(b []byte, _ *request) ([]byte, jute.Code) { return b, jute.OK }

// readSync answers a sync on a member that leads: whatever was applied before is what the session sees.
func (d *database) readSync(b []byte, r *request) ([]byte, jute.Code) {
	return jute.AppendString(b, r.Path), jute.OK
}

// readable returns a znode that the client may read.
func (d *database) readable(r *request, perms int32) (*tree.Node, jute.Code) {
	n := d.tree.Node(r.Path)
	if n == nil {
		return nil, jute.NoNode
	}
	if !d.allowed(r.ids, n.ACL(), perms) {
		return nil, jute.NoAuth
	}
	return n, jute.OK
}

// watch sets the watch that a read asks for.
func (d *database) watch(r *request, kind tree.Kind) jute.Code {
	if r.Watch && !d.watchPath(r.Path, r.watcher, kind) {
		return jute.SystemError
	}
	return jute.OK
}

// watchPath is false if there are too many watches. The empty path reads as the root, but no event is
// ever of that path.
func (d *database) watchPath(path string, w tree.Watcher, kind tree.Kind) bool {
	return path == "" || d.tree.Watch(path, w, kind)
}

// readExists needs no permission, as in ZooKeeper 3.8.0, and watches also for what does not exist.
func (d *database) readExists(b []byte, r *request) ([]byte, jute.Code) {
	if strings.IndexByte(r.Path, 0) >= 0 {
		return b, jute.BadArguments
	}
	if code := d.watch(r, tree.Data); code != jute.OK {
		return b, code
	}
	n := d.tree.Node(r.Path)
	if n == nil {
		return b, jute.NoNode
	}
	return d.appendStat(b, n), jute.OK
}

func (d *database) appendStat(b []byte, n *tree.Node) []byte {
	s := d.tree.Stat(n)
	return s.AppendTo(b)
}

func (d *database) readData(b []byte, r *request) ([]byte, jute.Code) {
	n, code := d.readable(r, jute.PermRead)
	if code == jute.OK {
		code = d.watch(r, tree.Data)
	}
	if code != jute.OK {
		return b, code
	}
	return d.appendStat(jute.AppendBuffer(b, n.Data()), n), jute.OK
}

func (d *database) readACL(b []byte, r *request) ([]byte, jute.Code) {
	n, code := d.readable(r, jute.PermRead|jute.PermAdmin)
	if code != jute.OK {
		return b, code
	}
	acl := n.ACL()
	if !d.allowed(r.ids, acl, jute.PermAdmin) {
		acl = veil(acl)
	}
	if len(acl) == 0 {
		acl = []jute.ACL{{Perms: jute.PermAll, ID: anyone}} // open to all
	}
	return d.appendStat(jute.AppendACLs(b, acl), n), jute.OK
}

func (d *database) readChildren(b []byte, r *request) ([]byte, jute.Code) {
	b, _, code := d.children(b, r)
	return b, code
}

func (d *database) readChildren2(b []byte, r *request) ([]byte, jute.Code) {
	b, n, code := d.children(b, r)
	if code == jute.OK {
		b = d.appendStat(b, n)
	}
	return b, code
}

func (d *database) children(b []byte, r *request) ([]byte, *tree.Node, jute.Code) {
	n, code := d.readable(r, jute.PermRead)
	if code == jute.OK {
		code = d.watch(r, tree.Child)
	}
	if code != jute.OK {
		return b, nil, code
	}
	const about = 24 // bytes that a child takes
	b = jute.AppendInt(slices.Grow(b, 4+n.NumChildren()*about), int32(n.NumChildren()))
	for name := range n.Children() {
		b = jute.AppendString(b, name)
	}
	return b, n, jute.OK
}

func (d *database) readDescendants(b []byte, r *request) ([]byte, jute.Code) {
	n, code := d.readable(r, jute.PermRead)
	if code != jute.OK {
		return b, code
	}
	count, _ := d.tree.Descendants(n.Path())
	return jute.AppendInt(b, int32(count)), jute.OK
}

// readEphemerals lists those of the session itself. The prefix is one of text, not of path components.
func (d *database) readEphemerals(b []byte, r *request) ([]byte, jute.Code) {
	all := false
	switch strings.TrimFunc(r.Path, func(c rune) bool { return c <= ' ' }) {
	case "", rootPath:
		all = true
	}
	paths := []string{}
	for _, path := range d.tree.Ephemerals(r.session) {
		if all || strings.HasPrefix(path, r.Path) {
			paths = append(paths, path)
		}
	}
	return jute.AppendStrings(b, paths), jute.OK
}

// readWho answers whoAmI: pairs of scheme and user.
func (d *database) readWho(b []byte, r *request) ([]byte, jute.Code) {
	b = jute.AppendInt(b, int32(len(r.ids)))
	for _, id := range r.ids {
		b = jute.AppendString(jute.AppendString(b, id.Scheme), user(id))
	}
	return b, jute.OK
}

// readToken answers sasl as a server does that has no login of its own: with no token, and no error.
func (d *database) readToken(b []byte, _ *request) ([]byte, jute.Code) {
	return jute.AppendBuffer(b, nil), jute.OK
}
