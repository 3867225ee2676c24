// Package admin is the door of a running appliance: status, metrics and the few commands that change
// something, over a unix socket and over HTTP.
//
//	GET  /status                    every machine of this host and every host of the cluster, as JSON
//	GET  /healthz                   200 while this process runs
//	GET  /readyz                    200 when every part is ready, else 503 and which part is not, and why
//	GET  /metrics                   the same numbers for Prometheus
//	POST /reload                    read the file again; 422 and the reason if it is refused
//	POST /vip/NAME/release?to=HOST  planned handover; answers when another host holds the address
//	POST /server/SERVICE/ADDRESS/drain   and  …/undrain
//
// Whoever may open the unix socket may do all of it: the file's permissions are the authority. Over TCP
// the commands need the token, and so does reading once a token is configured; only /healthz and
// /readyz never do, so that a monitor needs no secret to see that the host lives.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// An Appliance is what is behind the door: *appliance.Appliance, or a stand-in in tests.
type Appliance interface {
	Status() Status
	Reload(ctx context.Context) error
	Release(ctx context.Context, vip, to string) (time.Duration, error)
	Drain(service, server string, on bool) error
}

// Errors of an Appliance that the caller can act on.
var (
	ErrUnknown = errors.New("no such name")      // 404
	ErrRefused = errors.New("refused")           // 422: the request was understood, and is wrong
	ErrState   = errors.New("not in this state") // 409: it would be right at another time
)

// Bounds of every connection.
const (
	maxConns     = 64
	maxHeader    = 16 << 10
	maxBody      = 4 << 10
	readTimeout  = 5 * time.Second
	idleTimeout  = time.Minute
	writeTimeout = time.Minute // a release may wait for its handover
	drainTimeout = time.Second
)

// A Door serves one appliance.
type Door struct {
	appliance Appliance
	log       *slog.Logger
	mux       *http.ServeMux
	started   chan struct{} // closed when Run has opened the listeners
	ended     chan struct{} // closed when Run has returned

	token atomic.Pointer[string]

	mu     sync.Mutex // guards what follows: Use runs beside Run
	cfg    Config
	tcp    *http.Server
	closed bool // Run is on its way out
	wg     sync.WaitGroup
	bad    chan error // a server that ended by itself; at most one is kept
}

// New returns a Door. It opens nothing before Run.
func New(cfg Config, a Appliance, log *slog.Logger) *Door {
	d := &Door{appliance: a, log: log, cfg: cfg.Filled(), bad: make(chan error, 1), started: make(chan struct{}), ended: make(chan struct{})}
	d.mux = d.routes()
	return d
}

func (d *Door) String() string { return "admin" }

// Run serves until ctx ends.
func (d *Door) Run(ctx context.Context, ready func()) error {
	defer close(d.ended)
	token, err := d.cfg.token()
	if err != nil {
		return err
	}
	d.token.Store(&token)
	unix, err := listenUnix(d.cfg.Socket)
	if err != nil {
		return err
	}
	defer os.Remove(d.cfg.Socket)
	tcp, err := listenTCP(d.cfg)
	if err != nil {
		unix.Close()
		return err
	}
	local := d.serve(unix, true)
	d.mu.Lock()
	if tcp != nil {
		d.tcp = d.serve(tcp, false)
	}
	d.mu.Unlock()
	close(d.started)
	ready()
	select {
	case <-ctx.Done():
		err = nil
	case err = <-d.bad:
	}
	d.mu.Lock()
	d.closed = true
	last := d.tcp
	d.mu.Unlock()
	d.shut(context.WithoutCancel(ctx), local)
	d.shut(context.WithoutCancel(ctx), last)
	d.wg.Wait()
	return err
}

// A Plan is a configuration that the Door can take: its token is read and its listener bound, and nobody
// is answered there yet. It ends with Use or with Drop.
type Plan struct {
	door   *Door
	cfg    Config
	token  string
	listen net.Listener // nil: the one in force stays, or there shall be none
}

// Prepare does all of a change of configuration that can fail, and changes nothing. It waits for Run to
// have opened the door.
func (d *Door) Prepare(cfg Config) (*Plan, error) {
	select {
	case <-d.started:
	case <-d.ended:
		return nil, errors.New("admin: the door is closed")
	}
	cfg = cfg.Filled()
	d.mu.Lock()
	old := d.cfg
	d.mu.Unlock()
	if cfg.Socket != old.Socket {
		return nil, fmt.Errorf("admin.socket: cannot change from %s to %s while running: restart this host's ha", old.Socket, cfg.Socket)
	}
	p := &Plan{door: d, cfg: cfg}
	var err error
	if p.token, err = cfg.token(); err != nil {
		return nil, err
	}
	if cfg.Listen != old.Listen {
		if p.listen, err = listenTCP(cfg); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Drop gives a Plan up. After Use it does nothing.
func (p *Plan) Drop() {
	if p.listen != nil {
		p.listen.Close()
		p.listen = nil
	}
}

// Use puts a Plan in force. Requests under way on a listener that goes are answered.
func (p *Plan) Use() {
	d := p.door
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token.Store(&p.token)
	moved := p.cfg.Listen != d.cfg.Listen
	d.cfg = p.cfg
	if d.closed {
		p.Drop()
	}
	if d.closed || !moved {
		return
	}
	old := d.tcp
	d.tcp = nil
	if p.listen != nil {
		d.tcp = d.serve(p.listen, false)
		p.listen = nil
	}
	d.wg.Go(func() { d.shut(context.Background(), old) })
}

// listenTCP opens the HTTP listener of cfg, or none.
func listenTCP(cfg Config) (net.Listener, error) {
	if cfg.Listen == none {
		return nil, nil
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	return l, nil
}

// serve answers on l until the server returned is shut.
func (d *Door) serve(l net.Listener, trusted bool) *http.Server {
	s := &http.Server{
		Handler:           d.guard(trusted),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	d.wg.Go(func() {
		if err := s.Serve(netutil.LimitListener(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			select {
			case d.bad <- fmt.Errorf("admin: serve %s: %w", l.Addr(), err):
			default:
			}
		}
	})
	return s
}

func (d *Door) shut(ctx context.Context, s *http.Server) {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
}

// listenUnix makes the socket. One that a dead process left behind is replaced; one that answers is
// another appliance of this host.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("admin: make folder of the socket: %w", err)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("admin: listen on %s: it is there and is not a socket", path)
		}
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			conn.Close()
			return nil, fmt.Errorf("admin: listen on %s: another appliance of this host answers there", path)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("admin: listen on %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("admin: replace stale socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin: listen: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("admin: restrict socket: %w", err)
	}
	return l, nil
}
