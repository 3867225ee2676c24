package clientport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Server is the port. Its methods may be called from anywhere but Flush, which is the member's.
type Server struct {
	cfg       Config
	log       *slog.Logger
	ledger    *ledger
	listeners []listener
	keys      *keys // nil: no TLS
	batches   chan Batch
	stopped   chan struct{}
	flusher   flusher
	readers   chan []byte // of readSize, those not in use
	buffers   buffers

	outstanding atomic.Int64 // frames of all connections not yet Done
	unread      atomic.Int64 // bytes that slow clients have not read
	large       atomic.Int64 // bytes of large frames not yet Done
	weight      atomic.Int64 // bytes of heavy batches not yet Done

	parkedCount atomic.Int32
	parkMu      sync.Mutex
	parked      map[*Conn]struct{} // their readers wait

	mu       sync.Mutex
	stopping bool
	lastID   uint64
	most     int // connections that file descriptors allow
	conns    map[*Conn]struct{}
	total    Traffic // of connections that are gone
	tokens   bucket

	countMu    sync.Mutex // the innermost: taken with others held
	perAddress map[netip.Addr]int

	dirty, drains []*Conn // the member's, between Flush and Flush
}

type listener struct {
	*net.TCPListener
	secure bool
}

// inFlight is how many batches may wait for the member.
const inFlight = 1024

// New opens the sockets. Nothing is accepted before Run, which also closes them.
func New(cfg Config, log *slog.Logger) (_ *Server, err error) {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, log: log, ledger: newLedger(log),
		batches: make(chan Batch, inFlight), stopped: make(chan struct{}),
		flusher: flusher{bell: make(chan struct{}, 1)},
		readers: make(chan []byte, maxReaders),
		parked:  map[*Conn]struct{}{}, conns: map[*Conn]struct{}{}, perAddress: map[netip.Addr]int{},
		tokens: bucket{tokens: cfg.ThrottleTokens},
	}
	for range maxReaders {
		s.readers <- make([]byte, readSize)
	}
	if s.most, err = mostConnections(); err != nil {
		return nil, err
	}
	if len(cfg.TLSListen) > 0 || cfg.TLSOptional || cfg.TLS.Certificate != "" || cfg.TLS.KeyStore != "" {
		if s.keys, err = loadKeys(cfg.TLS); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	for i, at := range append(cfg.Listen[:len(cfg.Listen):len(cfg.Listen)], cfg.TLSListen...) {
		l, err := listen(at, cfg.Backlog)
		if err != nil {
			return nil, err
		}
		s.listeners = append(s.listeners, listener{l, i >= len(cfg.Listen)})
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&c.MaxFrame, 0xfffff)
	set(&c.MaxOutstanding, 1000)
	set(&c.GlobalOutstanding, 1000)
	set(&c.MaxLargeFrames, 100<<20)
	set(&c.MaxUnread, 1<<20)
	set(&c.MaxBacklog, 128<<20)
	set(&c.MaxBacklogs, 512<<20)
	set(&c.ThrottleFill, 1)
	c.Handshake = cmp.Or(c.Handshake, 10*time.Second)
	c.ThrottleEvery = cmp.Or(c.ThrottleEvery, time.Millisecond)
	return c
}

func listen(at netip.AddrPort, backlog int) (*net.TCPListener, error) {
	network := "tcp"
	if at.Addr().Is4() {
		network = "tcp4"
	}
	l, err := net.ListenTCP(network, net.TCPAddrFromAddrPort(at))
	if errors.Is(err, syscall.EAFNOSUPPORT) && at.Addr() == netip.IPv6Unspecified() { // all addresses there are
		l, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: int(at.Port())})
	}
	if err != nil || backlog <= 0 {
		return l, wrap("clientport: listen", err)
	}
	raw, err := l.SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), backlog) }), err)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("clientport: listen on %v with a backlog of %d: %w", at, backlog, err)
	}
	return l, nil
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// mostConnections leaves descriptors for logs, snapshots and the operator.
func mostConnections() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("clientport: read the limit of file descriptors: %w", err)
	}
	all := int(min(r.Cur, 1<<30))
	return all - min(256, all/4), nil
}

// Run accepts until ctx ends, and returns when every connection is closed.
func (s *Server) Run(ctx context.Context) error {
	var serving, flushing sync.WaitGroup
	flushed := make(chan struct{})
	flushing.Go(func() { s.flusher.run(flushed) })
	for _, l := range s.listeners {
		serving.Go(func() { s.accept(l, &serving) })
	}
	if s.keys != nil {
		serving.Go(func() { s.keys.watch(ctx, s.log) })
	}
	<-ctx.Done()
	close(s.stopped)
	s.closeListeners()
	s.mu.Lock()
	s.stopping = true
	for c := range s.conns {
		c.stopNow(&end{reason: Stopped})
	}
	s.mu.Unlock()
	serving.Wait()
	close(flushed) // nothing is queued: a connection's reader outlives its sending
	flushing.Wait()
	return nil
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// acceptPause is how long nothing is accepted after the kernel could not.
const acceptPause = 50 * time.Millisecond

func (s *Server) accept(l listener, serving *sync.WaitGroup) {
	for {
		nc, err := l.AcceptTCP()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNABORTED):
			continue
		default:
			s.ledger.enter(NoDescriptors, err, netip.AddrPort{}, true)
			select {
			case <-time.After(acceptPause):
			case <-s.stopped:
			}
			continue
		}
		c, refused := s.admit(nc, l.secure)
		if refused != "" {
			s.ledger.enter(refused, nil, address(nc.RemoteAddr()), refused.loud())
			_ = nc.Close()
			continue
		}
		serving.Go(c.serve)
	}
}

func address(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// admit makes a Conn, or says why not.
func (s *Server) admit(nc *net.TCPConn, secure bool) (*Conn, Reason) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return nil, ConnectionLost
	}
	c := &Conn{
		server: s, nc: nc, raw: raw, secure: secure,
		remote: address(nc.RemoteAddr()), local: address(nc.LocalAddr()),
		in: splitter{max: s.cfg.MaxFrame, large: s.cfg.LargeFrame},
	}
	if err := raw.Control(func(fd uintptr) { c.fd = int(fd) }); err != nil {
		return nil, ConnectionLost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return nil, Stopped
	case s.cfg.MaxConnections > 0 && len(s.conns) >= s.cfg.MaxConnections:
		return nil, TooMany
	case len(s.conns) >= s.most:
		return nil, NoDescriptors
	case !s.count(c):
		return nil, TooManyOfAddress
	case s.cfg.ThrottleTokens > 0 && !s.tokens.take(&s.cfg, time.Now()):
		s.discount(c)
		return nil, Throttled
	}
	s.lastID++
	c.id = s.lastID
	s.conns[c] = struct{}{}
	return c, ""
}

// forget takes a connection out of the books.
func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.discount(c)
	s.total.Closed++
	s.total.add(c.Traffic())
}

// count counts a connection among those of its address, if there may be one more.
func (s *Server) count(c *Conn) bool {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	from := c.remote.Addr()
	if s.cfg.MaxPerAddress > 0 && s.perAddress[from] >= s.cfg.MaxPerAddress {
		return false
	}
	s.perAddress[from]++
	c.counted = true
	return true
}

// discount takes it out again, once.
func (s *Server) discount(c *Conn) {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	from := c.remote.Addr()
	if !c.counted {
		return
	}
	c.counted = false
	if s.perAddress[from]--; s.perAddress[from] == 0 {
		delete(s.perAddress, from)
	}
}

func (t *Traffic) add(u Traffic) {
	t.Received += u.Received
	t.Sent += u.Sent
	t.BytesIn += u.BytesIn
	t.BytesOut += u.BytesOut
}

// send gives the member a batch, and waits for room; false says that the server stops.
func (s *Server) send(b Batch) bool {
	select {
	case s.batches <- b:
		return true
	default:
	}
	select {
	case s.batches <- b:
		return true
	case <-s.stopped:
		return false
	}
}

// Batches is what clients sent. It is never closed.
func (s *Server) Batches() <-chan Batch { return s.batches }

// Reload reads the certificates again; connections that exist keep theirs. After an error the server
// goes on with those it has.
func (s *Server) Reload() error {
	if s.keys == nil {
		return nil
	}
	return s.keys.reload()
}

// TLS is how a server beside this one can speak TLS with the same certificates, nil if there are none.
func (s *Server) TLS() *tls.Config {
	if s.keys == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.keys.config(), nil },
	}
}

// Reasons is how many connections ended for each.
func (s *Server) Reasons() map[Reason]uint64 { return s.ledger.snapshot() }

// Addrs are the addresses it listens on, plain ones first, in the order of Config.
func (s *Server) Addrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, l := range s.listeners {
		out = append(out, l.Addr().(*net.TCPAddr).AddrPort())
	}
	return out
}

// Traffic counts all connections since the start.
func (s *Server) Traffic() Traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.total
	for c := range s.conns {
		t.add(c.Traffic())
	}
	t.Accepted, t.Open = int64(s.lastID), int64(len(s.conns))
	t.Outstanding, t.Unread = s.outstanding.Load(), s.unread.Load()
	return t
}

// A bucket holds a token for each connection that may come now.
type bucket struct {
	tokens int
	filled time.Time
}

func (b *bucket) take(cfg *Config, now time.Time) bool {
	if b.filled.IsZero() {
		b.filled = now
	}
	if n := int64(now.Sub(b.filled) / cfg.ThrottleEvery); n > 0 {
		b.filled = b.filled.Add(time.Duration(n) * cfg.ThrottleEvery)
		fill := min(n, int64(cfg.ThrottleTokens)) * int64(cfg.ThrottleFill) // n may be anything after a quiet night
		b.tokens = int(min(int64(cfg.ThrottleTokens), int64(b.tokens)+fill))
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}
