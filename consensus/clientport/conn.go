package clientport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Conn is one client's connection. What changes it is the member's to call, from one goroutine.
//
// It has three owners. The reader is a goroutine for as long as the connection lives. The member has its
// part without a lock until Flush. What both share with whoever sends is under mu; there, busy is the
// right to send: only who set it may write to the socket, and while it is set the socket stays open, so
// that the descriptor may be used as the number it is.
type Conn struct {
	server        *Server
	id            uint64
	remote, local netip.AddrPort
	secure        bool
	counted       bool // among those of its address; Server.countMu guards it
	certificates  []*x509.Certificate

	nc  *net.TCPConn
	raw syscall.RawConn
	fd  int

	// The reader's.
	in      splitter
	head    []byte // first bytes, until they say what they open
	greeted bool   // they did
	born    bool   // the member knows the connection
	deaf    bool   // what comes is thrown away
	queued  int64  // frames given to the member

	// The member's.
	out    []byte
	done   int
	writes int
	ask    *end
	over   bool // nothing more goes out
	dirty  bool // in Server.dirty

	state       atomic.Int32  // open, closing, parted, aborted
	parked      atomic.Bool   // the reader waits for a token in resume
	resume      chan struct{} // made when first needed
	outstanding atomic.Int64
	unread      atomic.Int64 // queued bytes, once the socket did not take some
	weight      atomic.Int64 // bytes of heavy batches that are not answered

	received, sent, bytesIn, bytesOut atomic.Int64

	mu       sync.Mutex
	tls      *tls.Conn // nil: none
	pending  []byte    // to be sent
	cipher   []byte    // to be sent before it: TLS has made it
	spare    []byte    // a small buffer for the member's next answers
	busy     bool
	slow     bool // the socket is full, and a goroutine of the connection's own waits
	left     int  // of what is being sent, as long as slow
	noted    bool // TLS has said that nothing follows
	gone     bool // the reader has ended; nobody becomes busy any more
	end      *end // why; the first one counts
	idle     chan struct{}
	marks    []mark // large frames not yet answered
	heavy    []mark // heavy batches, by their last frame
	answered int64

	sending []byte // whose busy is, has these two
	offset  int
}

// An end is a Reason with its circumstances.
type end struct {
	reason Reason
	why    error
	loud   bool
}

// The states of a connection.
const (
	open    int32 = iota
	closing       // what still comes is thrown away
	parted        // and all has been sent: until the client closes too
	aborted
)

// linger is how long a client gets to fetch its last answer and close. To close at once with bytes of
// the client unread would reset the connection, and the answer be lost.
const linger = time.Second

// longAgo as a deadline wakes who waits on a socket.
var longAgo = time.Unix(1, 0)

var errAborted = errors.New("aborted")

// stopNow ends the connection without sending what is queued.
func (c *Conn) stopNow(e *end) {
	c.mu.Lock()
	if c.end == nil {
		c.end = e
	}
	c.mu.Unlock()
	c.state.Store(aborted)
	_ = c.nc.SetDeadline(longAgo)
	c.wake()
}

// wake lets the reader look again whether it must wait.
func (c *Conn) wake() {
	if c.parked.Load() {
		select {
		case c.resume <- struct{}{}:
		default:
		}
	}
}

// park waits in the reader as long as until holds; whoever changes what it asks calls wake.
func (c *Conn) park(until func() bool) {
	if c.resume == nil {
		c.resume = make(chan struct{}, 1)
	}
	c.parked.Store(true)
	c.server.park(c)
	for until() {
		<-c.resume
	}
	c.server.unpark(c)
	c.parked.Store(false)
}

// mustWait says whether the socket may not be read now.
func (c *Conn) mustWait() bool {
	cfg := &c.server.cfg
	own := c.outstanding.Load()
	return c.state.Load() == open &&
		(own >= int64(cfg.MaxOutstanding) || c.unread.Load() >= int64(cfg.MaxUnread) ||
			own > 0 && c.server.outstanding.Load() > int64(cfg.GlobalOutstanding) || c.overweight())
}

// awaitParting waits in the reader until all has been sent that will be.
func (c *Conn) awaitParting() {
	c.park(func() bool { s := c.state.Load(); return s == open || s == closing })
}

// hurry gives up on a client that is being closed and does not read.
func (c *Conn) hurry() {
	if c.state.Load() != open {
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.server.cfg.Handshake))
	}
	if c.state.Load() == aborted {
		_ = c.nc.SetDeadline(longAgo)
	}
}

// serve is the reader's goroutine.
func (c *Conn) serve() {
	err := c.read()
	if isEOF(err) && c.state.Load() == closing {
		c.awaitParting()
	}
	c.mu.Lock()
	if c.end == nil {
		c.end = c.classify(err)
	}
	c.gone = true
	var idle chan struct{}
	if c.busy {
		idle = make(chan struct{})
		c.idle = idle
	}
	back := credit{frames: int(c.outstanding.Swap(0)), heavy: int(c.weight.Swap(0))}
	for _, m := range c.marks {
		back.large += m.bytes
	}
	c.marks, c.heavy = nil, nil
	e := *c.end
	c.mu.Unlock()
	c.server.release(back)
	if idle != nil {
		_ = c.nc.SetWriteDeadline(longAgo)
		<-idle
	}
	if c.state.Load() == aborted {
		_ = c.nc.SetLinger(0)
	}
	_ = c.nc.Close()
	c.server.forget(c)
	c.server.ledger.enter(e.reason, e.why, c.remote, e.loud)
	if c.born {
		c.server.send(Batch{Conn: c, Closed: e.reason})
	}
}

// classify says what an error of the reader means.
func (c *Conn) classify(err error) *end {
	if r, ok := errors.AsType[Reason](err); ok {
		return &end{reason: r, why: err, loud: r.loud()}
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.born:
		return &end{reason: SaidNothing, loud: true}
	case isEOF(err):
		return &end{reason: ClosedByClient}
	}
	return &end{reason: ConnectionLost}
}

// Traffic counts the connection's.
func (c *Conn) Traffic() Traffic {
	return Traffic{
		Received: c.received.Load(), Sent: c.sent.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Outstanding: c.outstanding.Load(), Unread: c.unread.Load(),
	}
}

// transfer reads into p or writes it, trap says which, on a socket that does not block. The scheduler is not
// told: a thread that the kernel takes off the processor meanwhile would have another one started in its
// place, and with a thousand clients that is a thousand reads begun, each with its buffer.
func transfer(trap uintptr, fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
