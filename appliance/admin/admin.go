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

	token atomic.Pointer[string]

	mu  sync.Mutex // guards cfg and tcp: Apply runs beside Run
	cfg Config
	tcp *http.Server
	wg  sync.WaitGroup
	bad chan error // a server that ended by itself; at most one is kept
}

// New returns a Door. It opens nothing before Run.
func New(cfg Config, a Appliance, log *slog.Logger) *Door {
	d := &Door{appliance: a, log: log, cfg: cfg.Filled(), bad: make(chan error, 1), started: make(chan struct{})}
	d.mux = d.routes()
	return d
}

func (d *Door) String() string { return "admin" }

// Run serves until ctx ends.
func (d *Door) Run(ctx context.Context, ready func()) error {
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
	local := d.serve(unix, true)
	d.mu.Lock()
	err = d.listenTCP()
	d.mu.Unlock()
	if err != nil {
		local.Close()
		return err
	}
	close(d.started)
	ready()
	select {
	case <-ctx.Done():
		err = nil
	case err = <-d.bad:
	}
	d.mu.Lock()
	tcp := d.tcp
	d.mu.Unlock()
	d.shut(context.WithoutCancel(ctx), local)
	d.shut(context.WithoutCancel(ctx), tcp)
	d.wg.Wait()
	return err
}

// Apply changes the listener and the token while running. What it cannot do it says and leaves alone.
func (d *Door) Apply(ctx context.Context, cfg Config) error {
	cfg = cfg.Filled()
	token, err := cfg.token()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if cfg.Socket != d.cfg.Socket {
		return fmt.Errorf("admin.socket: cannot change from %s to %s while running", d.cfg.Socket, cfg.Socket)
	}
	before, old := d.cfg, d.tcp
	d.cfg = cfg
	if cfg.Listen != before.Listen {
		if err := d.listenTCP(); err != nil {
			d.cfg, d.tcp = before, old
			return err
		}
		d.wg.Go(func() { d.shut(context.WithoutCancel(ctx), old) })
	}
	d.token.Store(&token)
	return nil
}

// Check says, without changing anything, what Apply would refuse.
func (d *Door) Check(cfg Config) error {
	cfg = cfg.Filled()
	d.mu.Lock()
	defer d.mu.Unlock()
	if cfg.Socket != d.cfg.Socket {
		return fmt.Errorf("admin.socket: cannot change from %s to %s while running", d.cfg.Socket, cfg.Socket)
	}
	_, err := cfg.token()
	return err
}

// listenTCP opens the HTTP listener of d.cfg. The caller holds mu.
func (d *Door) listenTCP() error {
	if d.cfg.Listen == none {
		d.tcp = nil
		return nil
	}
	l, err := net.Listen("tcp", d.cfg.Listen)
	if err != nil {
		return fmt.Errorf("admin: listen: %w", err)
	}
	d.tcp = d.serve(l, false)
	return nil
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
