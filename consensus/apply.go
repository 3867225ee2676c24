package consensus

import (
	"fmt"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// apply does to the database what a transaction says. The watches it fired are in the tree.
func (d *database) apply(p *proposal) outcome {
	o := outcome{Result: d.tree.Apply(&p.header, &p.txn), zxid: p.header.Zxid}
	switch p.header.Type {
	case jute.OpCreateSession:
		d.timeouts[p.header.Session] = p.txn.Timeout
	case jute.OpCloseSession:
		delete(d.timeouts, p.header.Session)
		delete(d.closing, p.header.Session)
	}
	d.pending.Applied(p.header.Zxid)
	return o
}

// reset forgets what was prepared after a zxid, since it will never be applied.
func (d *database) reset(zxid int64) {
	d.pending.Reset(zxid)
	for session, at := range d.closing {
		if at > zxid {
			delete(d.closing, session)
		}
	}
}

// parseLogged returns the proposal that another member prepared, or that the log held.
func parseLogged(record []byte) (proposal, error) {
	l, err := jute.ParseLoggedTxn(record)
	if err != nil {
		return proposal{}, fmt.Errorf("consensus: read a transaction: %w", err)
	}
	return proposal{header: l.Header, txn: l.Txn, record: record}, nil
}

// appendReply appends what the reply to a write holds after its header, which has the code.
func (d *database) appendReply(b []byte, r *request, o *outcome) ([]byte, jute.Code) {
	if o.Type == jute.OpMulti {
		return appendMulti(b, o.Ops), jute.OK // with code 0 even if it failed
	}
	if o.Code != jute.OK {
		return b, o.Code
	}
	if r.Op == jute.OpReconfig {
		b = d.appendConfig(b)
	}
	if reply := operationOf(r.Op).reply; reply != nil {
		b = reply(b, &o.Result)
	}
	return b, jute.OK
}

func appendPath(b []byte, r *tree.Result) []byte { return jute.AppendString(b, r.Path) }

func appendStat(b []byte, r *tree.Result) []byte { return r.Stat.AppendTo(b) }

func appendPathStat(b []byte, r *tree.Result) []byte { return appendStat(appendPath(b, r), r) }
