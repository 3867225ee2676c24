// Package adminport answers over HTTP what a member is: ZooKeeper's AdminServer, and its metrics for
// Prometheus.
//
//	GET  /commands             the list, as links
//	GET  /commands/<name>      JSON, with "command" and "error" in each answer
//	GET  /commands/snapshot    the data, as a snapshot file (3.9's command), for who has ALL on "/"
//	GET  /metrics              under ZooKeeper's names; also on the metrics provider's own port
//
// The port is a convenience: when it is taken the member says so once and serves its clients all the same.
// What an answer holds is made by fourletter, from the Status the member gives; this package has only
// sockets, limits and time.
package adminport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"example.org/ha/consensus/fourletter"
)

// A Source is the member that is asked. Its methods are called from any goroutine.
type Source interface {
	// Status is what the member says now, with the parts wanted. A member that does not serve still has a
	// Status, with Serving false.
	Status(ctx context.Context, want fourletter.Want) (*fourletter.Status, error)
	// Reset sets counters to zero: those of the words srst and crst.
	Reset(ctx context.Context, word string) error
	// Authorize says whether who shows these credentials, as an auth packet would carry them, may read all
	// there is: ALL on "/". ErrUnauthorized: no; another error: it could not be found out.
	Authorize(ctx context.Context, scheme string, auth []byte) error
	// Snapshot writes the data as a snapshot file, of one zxid. Before its first write the answer can still
	// be an error.
	Snapshot(ctx context.Context, w io.Writer) error
}

// ErrUnauthorized refuses credentials.
var ErrUnauthorized = errors.New("adminport: not authorized")

// Config is where to listen, and for how long to wait.
type Config struct {
	// Listen is where commands and metrics are served, Metrics where metrics alone are. The zero
	// value: nowhere. An unspecified IPv6 address takes IPv4 too.
	Listen  netip.AddrPort
	Metrics netip.AddrPort

	// Path is what the commands are under. Default /commands.
	Path string

	// Idle closes a silent connection. Default 30s.
	Idle time.Duration

	// TLS, unless nil, is served at Listen beside plain HTTP; with TLSOnly alone.
	TLS     *tls.Config
	TLSOnly bool
}

// Limits of the ports, and how long things may take.
const (
	maxConnections = 64
	maxHeader      = 16 << 10
	headerTimeout  = 10 * time.Second
	answerTimeout  = 30 * time.Second // of one answer, and of each piece of a snapshot
	statusTimeout  = 10 * time.Second
	retryAfter     = 10 * time.Second
	shutdownAfter  = time.Second
)

// A Server serves the admin port and that of the metrics.
type Server struct {
	cfg    Config
	source Source
	log    *slog.Logger
	busy   chan struct{} // held while a snapshot is streamed
	ports  []*port
}

// A port is one address with what it serves.
type port struct {
	name    string
	addr    netip.AddrPort
	handler http.Handler
	tls     *tls.Config
	tlsOnly bool
	bound   atomic.Pointer[net.TCPListener]
}

// New binds the ports. One that cannot be bound is logged and tried again while Run runs.
func New(cfg Config, source Source, log *slog.Logger) *Server {
	if cfg.Path == "" {
		cfg.Path = "/commands"
	}
	if cfg.Idle == 0 {
		cfg.Idle = 30 * time.Second
	}
	s := &Server{cfg: cfg, source: source, log: log, busy: make(chan struct{}, 1)}
	if cfg.Listen.IsValid() {
		s.ports = append(s.ports, &port{name: "admin", addr: cfg.Listen, handler: s.commands(), tls: cfg.TLS, tlsOnly: cfg.TLSOnly})
	}
	if cfg.Metrics.IsValid() {
		s.ports = append(s.ports, &port{name: "metrics", addr: cfg.Metrics, handler: s.metricsAlone()})
	}
	for _, p := range s.ports {
		if err := p.bind(); err != nil {
			log.Warn("admin port not available", "port", p.name, "addr", p.addr, "error", err, "retry", retryAfter)
		}
	}
	return s
}

// Addr is where commands are served, MetricsAddr where metrics alone are; the zero value while the port is
// not bound.
func (s *Server) Addr() netip.AddrPort { return s.addrOf("admin") }

// MetricsAddr is described at Addr.
func (s *Server) MetricsAddr() netip.AddrPort { return s.addrOf("metrics") }

func (s *Server) addrOf(name string) netip.AddrPort {
	for _, p := range s.ports {
		if l := p.bound.Load(); p.name == name && l != nil {
			return l.Addr().(*net.TCPAddr).AddrPort()
		}
	}
	return netip.AddrPort{}
}

// Run serves until the context ends. It has no error of its own to return: a port that fails is no reason
// for the member to stop.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range s.ports {
		wg.Go(func() { s.serve(ctx, p) })
	}
	wg.Wait()
	return nil
}

// bind listens. A host without IPv6 still has the IPv4 part of an unspecified address.
func (p *port) bind() error {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(p.addr))
	if err != nil && p.addr.Addr() == netip.IPv6Unspecified() {
		var err4 error
		if l, err4 = net.ListenTCP("tcp4", &net.TCPAddr{Port: int(p.addr.Port())}); err4 == nil {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	p.bound.Store(l)
	return nil
}

// serve waits for the port and serves it.
func (s *Server) serve(ctx context.Context, p *port) {
	for p.bound.Load() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryAfter):
		}
		_ = p.bind() // New has logged it
	}
	listener := p.bound.Load()
	s.log.Info("admin port serves", "port", p.name, "addr", listener.Addr().String())
	server := &http.Server{
		Handler: p.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: answerTimeout, IdleTimeout: s.cfg.Idle,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownAfter)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close() // what did not end in time is cut off
		}
	})
	defer stop()
	err := server.Serve(p.wrap(netutil.LimitListener(listener, maxConnections)))
	if !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("admin port failed", "port", p.name, "error", err)
	}
}
