package consensus

import (
	"net/netip"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// A database is what a member replicates: the znodes and the sessions' timeouts. On a leader it also
// knows the transactions that are prepared and not yet applied. One goroutine owns it.
//
//	request --prepare--> proposal --log, quorum--> apply --> outcome --appendReply--> reply
//	request --read-----------------------------------------------------------------> reply
//
// prepare is the leader's alone. apply, appendReply and read are the same on every member.
type database struct {
	rules    rules
	tree     *tree.Tree
	pending  *tree.Pending
	timeouts map[int64]int32 // sessions, in milliseconds
	draft    draft           // of the request that prepare looks at
	closing  map[int64]int64 // sessions whose end is prepared, and its zxid: they may start nothing more
}

// rules are the settings that decide what a request may do. All members should have the same ones.
type rules struct {
	maxBuffer int // bytes in one record of a request or reply: jute.maxbuffer
	maxRecord int // bytes in one transaction that every member can read

	digest          bool // transactions carry the digest of the tree
	extendedTypes   bool // znodes with a time to live: extendedTypesEnabled
	enforceQuota    bool // a hard limit refuses: enforceQuota
	closeSessionTxn bool // the end of a session lists its ephemerals: closeSessionTxn.enabled
	reconfig        bool // reconfigEnabled
	maxEphemerals   int  // of one session, whose end is one transaction that names them all; 0: no limit

	skipACL        bool     // skipACL
	digestAlg      string   // DigestAuthenticationProvider.digestAlg: SHA1 if empty
	superDigest    string   // DigestAuthenticationProvider.superDigest, user:hash
	x509           bool     // clients may connect with TLS: the scheme x509 exists
	sasl           bool     // clients may log in with sasl: the scheme exists
	superX509      string   // X509AuthenticationProvider.superUser, an RFC 2253 name
	enforceAuth    bool     // enforce.auth.enabled
	enforceSchemes []string // enforce.auth.schemes
}

// A request is a client's, with what the connection knows of the client.
type request struct {
	jute.Request
	err     error // why the body could not be decoded
	writes  bool  // a multiRead whose parts are all writes: refused in another form
	xid     int32
	session int64
	ids     []jute.ID // who the client is: from identify and authenticate
	watcher tree.Watcher
	remote  netip.Addr

	events []jute.WatcherEvent // set by read: to be sent before the reply
}

// A proposal is a transaction to be agreed upon.
type proposal struct {
	header jute.TxnHeader
	txn    jute.Txn
	record []byte         // header, transaction, digest as they are logged; nil until encoded
	over   *quotaExceeded // a soft limit that this write passes
}

// An outcome is what a transaction did to the database.
type outcome struct {
	tree.Result
	zxid int64
}

// newDatabase returns a database of a tree and the sessions that came with it; it owns both.
func newDatabase(t *tree.Tree, timeouts map[int64]int32, r rules) *database {
	if r.maxBuffer == 0 {
		r.maxBuffer = DefaultMaxRequest
	}
	if r.maxRecord == 0 {
		r.maxRecord = 2 * r.maxBuffer
	}
	return &database{rules: r, tree: t, pending: tree.NewPending(t), timeouts: timeouts, closing: map[int64]int64{}}
}
