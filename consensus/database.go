package consensus

import (
	"crypto/x509"
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
	timeouts map[int64]int32    // sessions, in milliseconds
	closing  map[int64]struct{} // sessions whose end is prepared: they may start nothing more
}

// rules are the settings that decide what a request may do. All members should have the same ones.
type rules struct {
	maxBuffer int // bytes in one record of a request or reply: jute.maxbuffer
	maxRecord int // bytes in one transaction that every member can read

	digest          bool // transactions carry the digest of the tree
	extendedTypes   bool // znodes with a time to live: extendedTypesEnabled
	emulate353TTL   bool // times to live as ZooKeeper 3.5.3 stored them: emulate353TTLNodes
	enforceQuota    bool // a hard limit refuses: enforceQuota
	closeSessionTxn bool // the end of a session lists its ephemerals: closeSessionTxn.enabled
	reconfig        bool // reconfigEnabled
	standalone      bool // no ensemble: reconfig is not implemented

	skipACL        bool     // skipACL
	digestAlg      string   // DigestAuthenticationProvider.digestAlg: SHA1 if empty
	superDigest    string   // DigestAuthenticationProvider.superDigest, user:hash
	superX509      string   // X509AuthenticationProvider.superUser, an RFC 2253 name
	enforceAuth    bool     // enforce.auth.enabled
	enforceSchemes []string // enforce.auth.schemes
}

// A request is a client's, with what the connection knows of the client.
type request struct {
	jute.Request
	err     error // why the body could not be decoded
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
	return &database{rules: r, tree: t, pending: tree.NewPending(t), timeouts: timeouts, closing: map[int64]struct{}{}}
}

type quotaExceeded struct {
	path        string // whose quota
	bytes       bool   // of bytes, not of znodes
	used, limit int64
}

func (d *database) prepare(b []byte, wall, zxid int64, r *request) ([]byte, proposal) { panic("prepare") }
func (d *database) apply(p *proposal) outcome                                         { panic("apply") }
func (d *database) appendReply(b []byte, r *request, o *outcome) ([]byte, jute.Code)  { panic("reply") }
func (d *database) read(b []byte, r *request) ([]byte, jute.Code)                     { panic("read") }
func (d *database) authenticate(r *request) (ids []jute.ID, ok bool)                  { panic("auth") }
func (d *database) mayRead(ids []jute.ID, acl []jute.ACL) bool                        { panic("acl") }

// identify returns who a connection is before it has said anything: its address, its certificate.
func (d *database) identify(remote netip.Addr, certs []*x509.Certificate) ([]jute.ID, error) {
	panic("identify")
}

// admitted reports whether a client with these ids may send anything but auth: enforce.auth.
func (d *database) admitted(ids []jute.ID) bool { panic("admitted") }

// parseLogged returns the proposal of a record that another member prepared, or that the log held.
func parseLogged(record []byte) (proposal, error) { panic("parseLogged") }

// reset forgets what was prepared after a zxid and will never be applied (disk full).
func (d *database) reset(zxid int64) { panic("reset") }

// isWrite reports whether op becomes a transaction. Everything else is answered by read, but auth by authenticate.
func isWrite(op jute.Op) bool { panic("isWrite") }
