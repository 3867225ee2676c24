package tree

import "example.org/ha/consensus/jute"

// A Result says what became of a transaction, or of a part of a multi.
type Result struct {
	Type jute.Op
	Code jute.Code // an error transaction's own; NoNode or NodeExists only while the log is replayed over a snapshot
	Path string    // of the znode
	Stat jute.Stat // create…, setData, setACL, reconfig: after
	Ops  []Result  // multi
}

// Apply changes the tree as a transaction says, with the watches it fires. A multi's parts are applied as
// one; a failed multi changes nothing. x.Data is copied.
func (t *Tree) Apply(h *jute.TxnHeader, x *jute.Txn) Result { return Result{} }
