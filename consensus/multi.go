package consensus

import (
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// prepareMulti prepares the parts one after the other, each against what the ones before it will have
// done. If one fails, nothing is left of any, not even of what they did to their parents (ZOOKEEPER-1624),
// and the multi becomes a transaction with errors in it: still a multi, which the client is told of with
// code 0.
func (d *database) prepareMulti(w *draft, parts []jute.Request, t *jute.Txn) jute.Code {
	*t = jute.Txn{Type: jute.OpMulti, Ops: make([]jute.Txn, len(parts))}
	mark, bytes := d.pending.Mark(), 0
	for i := range parts {
		q := parts[i]
		if mismatched(&q) {
			d.pending.Rollback(mark)
			return jute.MarshallingError
		}
		q.Op = partType(&q)
		code := operationOf(q.Op).prepare(d, w, &q, &t.Ops[i])
		if bytes += weight(&t.Ops[i]); bytes > d.rules.maxRecord { // ACLs grow: prepare would see it too late
			d.pending.Rollback(mark)
			return jute.BadArguments
		}
		if code != jute.OK {
			d.pending.Rollback(mark)
			w.over = nil
			fail(t.Ops, i, code)
			return jute.OK
		}
		d.pending.Add(&w.header, &t.Ops[i])
	}
	return jute.OK
}

// weight is at most what a transaction takes in the log.
func weight(t *jute.Txn) int {
	n := len(t.Path) + len(t.Data)
	for i := range t.ACL {
		n += len(t.ACL[i].ID.Scheme) + len(t.ACL[i].ID.ID)
	}
	return n
}

// fail makes errors of the part that failed and of those after it. Those before stay as they are, as
// ZooKeeper logs them; whoever applies a multi with an error in it applies none.
func fail(ops []jute.Txn, at int, code jute.Code) {
	ops[at] = jute.Txn{Type: jute.OpError, Err: code}
	for i := at + 1; i < len(ops); i++ {
		ops[i] = jute.Txn{Type: jute.OpError, Err: jute.RuntimeInconsistency}
	}
}

// partType returns the op that a part of a multi amounts to. Of the creates, ZooKeeper looks at the flags
// alone: a create2 in a multi is answered like a create.
func partType(q *jute.Request) jute.Op {
	switch q.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		switch q.Flags {
		case jute.FlagContainer:
			return jute.OpCreateContainer
		case jute.FlagTTL, jute.FlagTTLSequential:
			return jute.OpCreateTTL
		}
		return jute.OpCreate
	}
	return q.Op
}

// mismatched reports whether a part has the flags of a znode with a time to live, but no time to live.
func mismatched(q *jute.Request) bool {
	return q.Op != jute.OpCreateTTL && partType(q) == jute.OpCreateTTL
}

// appendMulti appends the reply to a multi.
func appendMulti(b []byte, results []tree.Result) []byte {
	for i := range results {
		r := &results[i]
		switch r.Type {
		case jute.OpError:
			b = appendPartError(b, r.Code)
		case jute.OpCreate:
			b = appendPath(jute.MultiHeader{Type: jute.OpCreate}.AppendTo(b), r)
		case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
			b = appendPathStat(jute.MultiHeader{Type: jute.OpCreate2}.AppendTo(b), r)
		case jute.OpSetData:
			b = appendStat(jute.MultiHeader{Type: jute.OpSetData}.AppendTo(b), r)
		default: // delete, check
			b = jute.MultiHeader{Type: r.Type}.AppendTo(b)
		}
	}
	return jute.MultiEnd.AppendTo(b)
}

func appendPartError(b []byte, code jute.Code) []byte {
	return jute.AppendInt(jute.MultiHeader{Type: jute.OpError, Err: code}.AppendTo(b), int32(code))
}

// maxMultiRead is the length of a multiRead's reply after which its parts are refused: a request may ask
// for the same large znode many thousand times.
const maxMultiRead = 64 << 20

// readMulti answers a multiRead: parts that fail do so alone. Their flags for watches are ignored.
func (d *database) readMulti(b []byte, r *request) ([]byte, jute.Code) {
	part, begin := *r, len(b)
	for i := range r.Ops {
		part.Request = r.Ops[i]
		part.Watch = false
		start := len(b)
		b = jute.MultiHeader{Type: part.Op}.AppendTo(b)
		var code jute.Code
		switch {
		case start-begin > maxMultiRead:
			code = jute.SystemError
		case part.Op == jute.OpGetData:
			b, code = d.readData(b, &part)
		default:
			b, code = d.readChildren(b, &part)
		}
		if code != jute.OK {
			b = appendPartError(b[:start], code)
		}
	}
	return jute.MultiEnd.AppendTo(b), jute.OK
}
