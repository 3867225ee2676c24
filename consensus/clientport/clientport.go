// Package clientport is where ZooKeeper's clients connect: port 2181 and its twin with TLS. It takes
// bytes apart into frames and brings answers back; what the frames say is the member's business.
//
//	socket ─> reader of the connection ──Batch──> member ──Write, Done, Close──> Flush ─> socket
//	          (one goroutine, small)    bounded    (one goroutine)             flusher, never waits
//
// # What the member does
//
// It takes every Batch. The first one of a Conn is its birth, one whose Closed is set its end. For each
// frame it calls Conn.Done when it is answered, or will not be; Conn.Write queues an answer, Conn.Close
// ends the connection after what is queued. At the end of each of its rounds it calls Server.Flush, which
// makes all that take effect. The methods of Conn that change it belong to the member's goroutine.
//
// # Who waits for whom
//
// Nobody waits for a client: Flush and the flusher write without blocking, and a connection whose socket
// takes no more gets a goroutine until it does. A client waits when the member is behind (the channel of
// batches is full), when it has Config.MaxOutstanding requests unanswered, when the server has more than
// GlobalOutstanding and one of them is its own, or when MaxUnread bytes of answers lie here that it has
// not fetched. Then its socket is not read. Above MaxBacklog bytes it is closed.
//
// # What is closed, and why
//
// Every connection ends for a Reason, which is counted (Server.Reasons). Those that are somebody's
// mistake are logged too, each reason at most once in a while, with how many were not. One connection's
// mistake ends that connection alone.
package clientport

import (
	"crypto/x509"
	"net/netip"
	"time"
)

// Config is what the port needs to know. Zero values mean the default named.
type Config struct {
	// Listen and TLSListen are where to accept. An unspecified IPv6 address takes IPv4 too.
	Listen    []netip.AddrPort
	TLSListen []netip.AddrPort

	// TLSOptional takes clients with TLS at Listen too, told apart by their first byte.
	TLSOptional bool
	TLS         TLS

	// Backlog is the kernel's queue of connections not yet accepted. Default: the kernel's limit.
	Backlog int

	// MaxFrame is the longest frame. Default 1048575.
	MaxFrame int

	// MaxPerAddress bounds the connections of one address, MaxConnections all of them; 0 or less: no
	// limit but that of file descriptors, of which some are left to the rest of the process.
	MaxPerAddress  int
	MaxConnections int

	// MaxOutstanding is how many requests of one connection may wait for an answer, GlobalOutstanding
	// of all; above the latter, which what one read gives may exceed, those that have one waiting are
	// not read. Default 1000 each.
	MaxOutstanding    int
	GlobalOutstanding int

	// LargeFrame makes frames above so many bytes count against MaxLargeFrames, the bytes of such
	// frames that may be here at once; the connection that goes above it is closed. Default: off, 100 MiB.
	LargeFrame     int
	MaxLargeFrames int

	// MaxUnread is how many bytes of answers may wait for a client before it is not read. Default 1 MiB.
	// MaxBacklog is how many may before it is closed, MaxBacklogs how many of all connections
	// together before those above MaxUnread are. Default 128 MiB and 512 MiB.
	MaxUnread   int
	MaxBacklog  int
	MaxBacklogs int

	// Handshake closes a connection that has not sent one frame by then, and one that is to be closed
	// and has not fetched anything of what is queued for so long. Default 10s.
	Handshake time.Duration

	// ThrottleTokens is how many connections may come at once, ThrottleFill how many more every
	// ThrottleEvery. Default: any; 1; 1ms.
	ThrottleTokens int
	ThrottleFill   int
	ThrottleEvery  time.Duration
}

// TLS says who the server is to its clients and whom it believes: PEM files, or key stores as Java uses
// them. Changed files are read again.
type TLS struct {
	// Certificate and Key are PEM files; Key may stand in Certificate's file. An encrypted key takes
	// KeyStorePassword.
	Certificate, Key string

	// KeyStore and TrustStore are files of type JKS, PKCS12 or PEM: as KeyStoreType and TrustStoreType
	// say, else as the name ends. The password stands here or in a file.
	KeyStore, KeyStoreType, KeyStorePassword, KeyStorePasswordFile         string
	TrustStore, TrustStoreType, TrustStorePassword, TrustStorePasswordFile string

	// CA is a PEM file with the authorities of clients' certificates, beside TrustStore.
	CA string

	// ClientAuth is need (the default), want or none.
	ClientAuth string

	// Protocols and Ciphers restrict what is offered, by the names of Java or Go.
	Protocols, Ciphers []string

	// VerifyHost refuses a client whose certificate is not for the address, or for the name of the
	// address, that it comes from.
	VerifyHost bool
}

// A Batch is what one read of one connection gave.
type Batch struct {
	Conn   *Conn
	Word   string // a four-letter word, and nothing else: "ruok"; stmk's argument is in Frames
	Frames []byte // whole frames with their lengths, the member's to keep
	Count  int    // how many
	Closed error  // the connection has ended: a Reason; nothing follows
}

// Traffic counts what went over a connection, or over all of them.
type Traffic struct {
	Received, Sent         int64 // frames, or words; calls of Write
	BytesIn, BytesOut      int64
	Outstanding            int64 // frames not yet Done
	Unread                 int64 // bytes that wait because the client does not read
	Accepted, Closed, Open int64 // connections; of the server only
}

// Certificates are those the client showed, verified, its own first; none without TLS.
func (c *Conn) Certificates() []*x509.Certificate { return c.certificates }

// ID is unique in this process, from 1.
func (c *Conn) ID() uint64 { return c.id }

// Remote is the client's address.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Local is the address the client connected to.
func (c *Conn) Local() netip.AddrPort { return c.local }

// Secure says that TLS protects the connection.
func (c *Conn) Secure() bool { return c.secure }
