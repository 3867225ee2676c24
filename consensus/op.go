package consensus

import (
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// An operation is what the database knows of one op: how its request becomes a transaction and what its
// reply holds, or how it is answered at once.
type operation struct {
	// prepare fills in the transaction of a write, or says why there is none. It changes nothing.
	prepare func(*database, *draft, *jute.Request, *jute.Txn) jute.Code
	// reply appends what a write's reply holds after its header; nil: nothing.
	reply func([]byte, *tree.Result) []byte
	// read answers a request that is no transaction.
	read func(*database, []byte, *request) ([]byte, jute.Code)
	// internal operations are not for clients.
	internal bool
}

// The ops that are known lie between these.
const (
	firstOp = jute.OpCloseSession
	lastOp  = jute.OpWhoAmI
)

// operations has one row per op. Missing are auth, which concerns the connection, and multi: its parts are
// rows of their own (multi.go).
var operations = [lastOp - firstOp + 1]operation{
	jute.OpCreateSession - firstOp: {prepare: (*database).prepareCreateSession, internal: true},
	jute.OpCloseSession - firstOp:  {prepare: (*database).prepareCloseSession},

	jute.OpCreate - firstOp:          {prepare: (*database).prepareCreate, reply: appendPath},
	jute.OpCreate2 - firstOp:         {prepare: (*database).prepareCreate, reply: appendPathStat},
	jute.OpCreateContainer - firstOp: {prepare: (*database).prepareCreate, reply: appendPathStat},
	jute.OpCreateTTL - firstOp:       {prepare: (*database).prepareCreate, reply: appendPathStat},
	jute.OpDelete - firstOp:          {prepare: (*database).prepareDelete},
	jute.OpDeleteContainer - firstOp: {prepare: (*database).prepareDeleteContainer, internal: true},
	jute.OpSetData - firstOp:         {prepare: (*database).prepareSetData, reply: appendStat},
	jute.OpSetACL - firstOp:          {prepare: (*database).prepareSetACL, reply: appendStat},
	jute.OpCheck - firstOp:           {prepare: (*database).prepareCheck, internal: true}, // a part of multi
	jute.OpReconfig - firstOp:        {prepare: (*database).prepareReconfig, reply: appendStat},

	jute.OpPing - firstOp:           {read: (*database).readNothing},
	jute.OpSync - firstOp:           {read: (*database).readSync},
	jute.OpExists - firstOp:         {read: (*database).readExists},
	jute.OpGetData - firstOp:        {read: (*database).readData},
	jute.OpGetACL - firstOp:         {read: (*database).readACL},
	jute.OpGetChildren - firstOp:    {read: (*database).readChildren},
	jute.OpGetChildren2 - firstOp:   {read: (*database).readChildren2},
	jute.OpGetAllChildren - firstOp: {read: (*database).readDescendants},
	jute.OpGetEphemerals - firstOp:  {read: (*database).readEphemerals},
	jute.OpMultiRead - firstOp:      {read: (*database).readMulti},
	jute.OpWhoAmI - firstOp:         {read: (*database).readWho},
	jute.OpSASL - firstOp:           {read: (*database).readToken},
	jute.OpAddWatch - firstOp:       {read: (*database).addWatch},
	jute.OpCheckWatches - firstOp:   {read: (*database).checkWatches},
	jute.OpRemoveWatches - firstOp:  {read: (*database).removeWatches},
	jute.OpSetWatches - firstOp:     {read: (*database).setWatches},
	jute.OpSetWatches2 - firstOp:    {read: (*database).setWatches},
}

// unknown is the row of an op that has none.
var unknown operation

func operationOf(op jute.Op) *operation {
	if op < firstOp || op > lastOp {
		return &unknown
	}
	return &operations[op-firstOp]
}

// isWrite reports whether op becomes a transaction. Of the others, auth is for authenticate, the rest for read.
func isWrite(op jute.Op) bool { return op == jute.OpMulti || operationOf(op).prepare != nil }

// forClients reports whether a client may send op on a connection with a session. For any other the answer
// is Unimplemented with zxid -1, and then the connection ends. That includes check outside a multi, which
// ZooKeeper 3.8.0 writes to its log and then cannot read, and the ops that servers send to themselves.
func forClients(op jute.Op) bool {
	o := operationOf(op)
	return op == jute.OpMulti || op == jute.OpAuth || !o.internal && (o.prepare != nil || o.read != nil)
}
