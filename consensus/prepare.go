package consensus

import (
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// A draft is a request while it becomes a transaction.
type draft struct {
	header jute.TxnHeader
	txn    jute.Txn
	ids    []jute.ID
	alive  bool           // the session has neither ended nor begun to
	over   *quotaExceeded // see proposal
}

// prepare turns a request into a transaction, against the tree as it will be once everything pending is
// applied. It never fails: a request that may not be done becomes an error transaction, because a member
// that forwarded it waits for a transaction of this session and xid. The record is appended to b.
//
// Which of several faults is reported follows ZooKeeper's order of checks.
func (d *database) prepare(b []byte, wall, zxid int64, r *request) ([]byte, proposal) {
	w := &d.draft
	*w = draft{
		header: jute.TxnHeader{Session: r.session, Cxid: r.xid, Zxid: zxid, Time: wall, Type: r.Op},
		ids:    r.ids,
		alive:  d.alive(r.session),
	}
	mark := d.pending.Mark()
	if code := d.propose(w, r); code != jute.OK {
		w.refuse(code)
	}
	start := len(b)
	b = d.appendRecord(b, w)
	if len(b)-start > d.rules.maxRecord {
		d.pending.Rollback(mark)
		if w.txn.Type == jute.OpCloseSession {
			// The end of a session cannot be refused, and every member knows its ephemerals.
			w.txn.Paths = nil
			d.pending.Add(&w.header, &w.txn)
		} else {
			w.refuse(jute.BadArguments)
		}
		b = d.appendRecord(b[:start], w)
	}
	if w.txn.Type == jute.OpCloseSession {
		d.closing[r.session] = zxid
	}
	return b, proposal{header: w.header, txn: w.txn, record: b[start:len(b):len(b)], over: w.over}
}

// propose makes the transaction and what it changes pending, or changes nothing.
func (d *database) propose(w *draft, r *request) jute.Code {
	if r.err != nil {
		return jute.MarshallingError
	}
	if r.Op == jute.OpMulti {
		return d.prepareMulti(w, r.Ops, &w.txn)
	}
	o := operationOf(r.Op)
	if o.prepare == nil || r.Op == jute.OpCheck || r.Op == jute.OpDeleteContainer && r.session != 0 {
		return jute.Unimplemented
	}
	if code := o.prepare(d, w, &r.Request, &w.txn); code != jute.OK {
		return code
	}
	w.header.Type = w.txn.Type
	d.pending.Add(&w.header, &w.txn)
	return jute.OK
}

// refuse makes an error transaction of a draft.
func (w *draft) refuse(code jute.Code) {
	w.header.Type = jute.OpError
	w.txn = jute.Txn{Type: jute.OpError, Err: code}
	w.over = nil
}

// appendRecord appends a transaction as it is logged and sent to other members. An error has no digest.
func (d *database) appendRecord(b []byte, w *draft) []byte {
	b = w.txn.AppendTo(w.header.AppendTo(b))
	if d.rules.digest && w.txn.Type != jute.OpError {
		b = jute.TxnDigest{Version: jute.DigestVersion, Tree: d.pending.Digest()}.AppendTo(b)
	}
	return b
}

// alive reports whether a session may start anything.
func (d *database) alive(session int64) bool {
	if _, ok := d.timeouts[session]; !ok {
		return false
	}
	_, closing := d.closing[session]
	return !closing
}

// nextVersion checks the version that a client expects, and returns the one after. It never gives -1: a
// client that wanted to name that one would say "any" (ZOOKEEPER-4743).
func nextVersion(have, want int32) (int32, jute.Code) {
	if want != -1 && want != have {
		return 0, jute.BadVersion
	}
	if have == -2 {
		return 0, jute.OK
	}
	return have + 1, jute.OK
}

// target is the znode that a request names, as it will be, if the client may do that to it.
func (d *database) target(w *draft, path string, perm int32) (tree.Change, jute.Code) {
	if !w.alive {
		return tree.Change{}, jute.SessionExpired
	}
	if !validPath(path) {
		return tree.Change{}, jute.BadArguments
	}
	n, ok := d.pending.Node(path)
	switch {
	case !ok:
		return n, jute.NoNode
	case !d.allowed(w.ids, n.ACL, perm):
		return n, jute.NoAuth
	}
	return n, jute.OK
}

func (d *database) prepareSetData(w *draft, q *jute.Request, t *jute.Txn) jute.Code {
	n, code := d.target(w, q.Path, jute.PermWrite)
	if code != jute.OK {
		return code
	}
	if !d.withinQuota(w, q.Path, 0, int64(len(q.Data))-int64(n.DataLength)) {
		return jute.QuotaExceeded
	}
	version, code := nextVersion(n.Stat.Version, q.Version)
	if code != jute.OK {
		return code
	}
	*t = jute.Txn{Type: jute.OpSetData, Path: q.Path, Data: q.Data, Version: version}
	return jute.OK
}

func (d *database) prepareSetACL(w *draft, q *jute.Request, t *jute.Txn) jute.Code {
	if !w.alive {
		return jute.SessionExpired
	}
	if !validPath(q.Path) {
		return jute.BadArguments
	}
	acl, code := d.fixACL(w.ids, q.ACL)
	if code != jute.OK {
		return code
	}
	n, ok := d.pending.Node(q.Path)
	if !ok {
		return jute.NoNode
	}
	if !d.allowed(w.ids, n.ACL, jute.PermAdmin) {
		return jute.NoAuth
	}
	version, code := nextVersion(n.Stat.Aversion, q.Version)
	if code != jute.OK {
		return code
	}
	*t = jute.Txn{Type: jute.OpSetACL, Path: q.Path, ACL: acl, Version: version}
	return jute.OK
}

func (d *database) prepareCheck(w *draft, q *jute.Request, t *jute.Txn) jute.Code {
	n, code := d.target(w, q.Path, jute.PermRead)
	if code != jute.OK {
		return code
	}
	version, code := nextVersion(n.Stat.Version, q.Version)
	if code != jute.OK {
		return code
	}
	*t = jute.Txn{Type: jute.OpCheck, Path: q.Path, Version: version}
	return jute.OK
}

func (d *database) prepareCreateSession(_ *draft, q *jute.Request, t *jute.Txn) jute.Code {
	*t = jute.Txn{Type: jute.OpCreateSession, Timeout: q.Mode}
	return jute.OK
}

// prepareCloseSession does not ask whether the session is alive: its expiry comes this way too.
func (d *database) prepareCloseSession(w *draft, _ *jute.Request, t *jute.Txn) jute.Code {
	*t = jute.Txn{Type: jute.OpCloseSession}
	if d.rules.closeSessionTxn {
		if t.Paths = d.pending.Ephemerals(w.header.Session); t.Paths == nil {
			t.Paths = []string{} // empty, which is not the same as not written
		}
	}
	return jute.OK
}
