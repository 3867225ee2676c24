package zk

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.org/ha/consensus/jute"
)

// What a Config's zero means.
const (
	DefaultSessionTimeout = 10 * time.Second
	DefaultMaxRequest     = 0xfffff // jute.maxbuffer of servers
	DefaultMaxReply       = 64 << 20
	DefaultMaxInFlight    = 1024
	DefaultMaxWatches     = 100_000
	DefaultPort           = "2181"
)

// Config says whom to connect to, and how.
type Config struct {
	// Servers are host:port, in any order; without a port, 2181. Names are resolved anew at each dial, and all
	// their addresses are tried.
	Servers []string

	// SessionTimeout is asked for; servers grant what lies within their limits. Default 10s.
	SessionTimeout time.Duration

	// Chroot stands before every path, and is cut off every path that comes back. It has to exist: CreateAll
	// makes it.
	Chroot string

	// Auth is proved at the beginning of every connection. AddAuth appends.
	Auth []Auth

	// TLS, if not nil, protects the connections. ServerName is the host of the server unless set.
	TLS *tls.Config

	// Dial connects in place of a net.Dialer. It is given the server as configured.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// ReadOnly accepts a server that has lost its quorum, for reads. One with a quorum is looked for meanwhile.
	ReadOnly bool

	// RetryReads sends reads again that were under way when the connection was lost.
	RetryReads bool

	// Renew opens another session when a server says that this one has expired. Ephemeral znodes and one-shot
	// watches are gone then, persistent watches are set again. Without it the client ends.
	Renew bool

	// Session is taken up instead of opening one.
	Session Session

	// MaxRequest bounds a request's frame, MaxReply a reply's; a longer reply fails its request alone.
	// Default 1 MiB - 1, as servers have it, and 64 MiB.
	MaxRequest, MaxReply int

	// MaxInFlight bounds the requests that are not answered; who wants to start another waits. Default 1024.
	MaxInFlight int

	// MaxWatches bounds the watches set. Default 100,000.
	MaxWatches int

	// Rand shuffles the servers and spreads retries. Default: seeded by the runtime.
	Rand *rand.Rand

	// Log gets one line for each change of state. Default: none.
	Log *slog.Logger
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("zk: "+format, args...)) }
	if len(c.Servers) == 0 {
		bad("servers: none given")
	}
	for _, s := range c.Servers {
		if _, err := withPort(s); err != nil {
			bad("servers: %w", err)
		}
	}
	if c.Chroot != "" {
		if err := CheckPath(c.Chroot); err != nil {
			bad("chroot: %w", err)
		}
	}
	if c.SessionTimeout < 0 || c.SessionTimeout > 24*24*time.Hour { // 31 bits of milliseconds
		bad("session timeout: %v is out of range", c.SessionTimeout)
	}
	for name, n := range map[string]int{"max request": c.MaxRequest, "max reply": c.MaxReply, "max in flight": c.MaxInFlight, "max watches": c.MaxWatches} {
		if n < 0 {
			bad("%s: %d is negative", name, n)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// withPort completes a server's address.
func withPort(s string) (string, error) {
	s = strings.TrimSpace(s)
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, DefaultPort
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
			host = s[1 : len(s)-1]
		}
		if _, bad := netip.ParseAddr(host); bad != nil && strings.Contains(host, ":") {
			return "", fmt.Errorf("%q: %w", s, err)
		}
	}
	if host == "" {
		return "", fmt.Errorf("%q: no host", s)
	}
	return net.JoinHostPort(host, port), nil
}

func (c Config) withDefaults() Config {
	c.SessionTimeout = cmp.Or(c.SessionTimeout, DefaultSessionTimeout)
	c.MaxRequest = cmp.Or(c.MaxRequest, DefaultMaxRequest)
	c.MaxReply = cmp.Or(c.MaxReply, DefaultMaxReply)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, DefaultMaxInFlight)
	c.MaxWatches = cmp.Or(c.MaxWatches, DefaultMaxWatches)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Chroot == "/" {
		c.Chroot = ""
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return c
}

// A Client is one session with an ensemble. Its methods may be called from any goroutine.
type Client struct {
	cfg     Config
	root    chroot
	log     *slog.Logger
	pipe    *pipeline
	watches *watches
	board   board
	zxid    atomic.Int64 // the last seen: a server that is behind it is refused

	once   sync.Once
	cancel context.CancelCauseFunc // ends Run
	stop   context.Context         // done when Run shall end
	done   chan struct{}           // closed when Run has returned, or never will run
	result error                   // of Run; read after done

	session session // the owner's
}

// New makes a client that does nothing until Run.
func New(cfg Config) (*Client, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	c := &Client{cfg: cfg, log: cfg.Log, done: make(chan struct{})}
	c.root = chroot(cfg.Chroot)
	c.watches = newWatches(c.root, cfg.MaxWatches)
	c.pipe = newPipeline(cfg, c.watches)
	for _, a := range cfg.Auth {
		c.pipe.auths = append(c.pipe.auths, &authCall{auth: a, done: make(chan struct{})})
	}
	c.board.changed = make(chan struct{})
	c.stop, c.cancel = context.WithCancelCause(context.Background())
	c.session = newSession(cfg)
	c.board.set(time.Now(), func(s *State) { s.Session = cfg.Session; s.Since = time.Now() })
	return c, nil
}

// Dial makes a client, runs it and waits until it has a session. The client outlives ctx; Close ends it.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	go c.Run(context.WithoutCancel(ctx))
	if err := c.Await(ctx); err != nil {
		c.cancel(errDetached)
		<-c.done
		return nil, err
	}
	return c, nil
}

// Await waits until requests can be sent.
func (c *Client) Await(ctx context.Context) error {
	for {
		st, changed := c.State()
		switch {
		case st.Live():
			return nil
		case st.Phase == Closed:
			return fmt.Errorf("zk: connect to %s: %w", strings.Join(c.cfg.Servers, ","), st.Err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			st, _ := c.State()
			return fmt.Errorf("zk: connect to %s: %w: %w", strings.Join(c.cfg.Servers, ","), ErrUnreachable, cmp.Or(st.Err, context.Cause(ctx)))
		}
	}
}

// State returns what the session is now, and a channel that is closed when its phase or connection changes.
func (c *Client) State() (State, <-chan struct{}) { return c.board.get() }

// Lease returns until when the session is certainly alive.
func (c *Client) Lease() Lease {
	st, _ := c.board.get()
	c.pipe.mu.Lock()
	defer c.pipe.mu.Unlock()
	l := Lease{Session: st.Session.ID, Timeout: st.Timeout, Answered: c.pipe.answered, Committed: c.pipe.committed}
	if st.Phase == Expired || st.Phase == Closed {
		l.Session = 0
	}
	return l
}

// LastZxid is the newest transaction that a server told this client of.
func (c *Client) LastZxid() int64 { return c.zxid.Load() }

var errDetached = errors.New("detached")

// Close ends the session, which deletes its ephemeral znodes, and the client. If no server is connected the
// session ends when its time is over.
func (c *Client) Close() error {
	c.cancel(ErrClosed)
	return c.over()
}

// Detach ends the client and leaves the session alive, for Config.Session of another client.
func (c *Client) Detach() Session {
	c.cancel(errDetached)
	_ = c.over()
	st, _ := c.State()
	return st.Session
}

// over waits for the end of Run, or prevents it.
func (c *Client) over() error {
	c.once.Do(func() { c.finish(ErrClosed) })
	<-c.done
	return c.result
}

// Run keeps the session until ctx ends, Close is called, a server refuses a proof of Config.Auth or, unless
// Config.Renew is set, the session expires. Only the last two are errors. It may be called once.
func (c *Client) Run(ctx context.Context) error {
	ran := false
	c.once.Do(func() {
		ran = true
		defer context.AfterFunc(ctx, func() { c.cancel(context.Cause(ctx)) })()
		c.finish(c.keep(c.stop))
	})
	if !ran {
		return fmt.Errorf("zk: run: %w", ErrClosed)
	}
	return c.result
}

// finish tells everybody that the client is at its end, and why.
func (c *Client) finish(err error) {
	end := err
	if c.stop.Err() != nil {
		err, end = nil, ErrClosed
	}
	c.pipe.end(end)
	c.watches.end(end)
	c.board.set(time.Now(), func(s *State) { s.Phase, s.Err = Closed, end })
	c.result = err
	close(c.done)
	c.cancel(ErrClosed)
}

// Start sends a request without waiting for the reply; what is started in order is carried out in order. If
// Config.MaxInFlight are under way it waits for room, as long as ctx allows. Until the Call is done, what
// the request refers to must not be changed. Paths are the client's, as everywhere.
func (c *Client) Start(ctx context.Context, r jute.Request) *Call {
	path := r.Path
	if err := c.translate(&r); err != nil {
		k := &Call{req: r, path: path, pipe: c.pipe, done: make(chan struct{}), phase: finished}
		k.err = &Error{Op: r.Op, Path: path, Part: -1, Err: err}
		close(k.done)
		return k
	}
	return c.start(ctx, r, path, nil)
}

// start sends what has the server's paths.
func (c *Client) start(ctx context.Context, r jute.Request, path string, one *OneShot) *Call {
	k := &Call{req: r, path: path, pipe: c.pipe, one: one, done: make(chan struct{})}
	c.pipe.push(ctx, k)
	return k
}

// translate checks the paths of a request and makes them the server's.
func (c *Client) translate(r *jute.Request) error {
	switch r.Op {
	case jute.OpMulti, jute.OpMultiRead:
		r.Ops = slices.Clone(r.Ops)
		for i := range r.Ops {
			if err := c.translate(&r.Ops[i]); err != nil {
				return fmt.Errorf("part %d: %w", i+1, err)
			}
		}
		return nil
	case jute.OpWhoAmI, jute.OpReconfig, jute.OpPing, jute.OpCloseSession:
		return nil
	}
	if sequential(r) && strings.HasSuffix(r.Path, "/") { // only the number is to follow
		r.Path = string(c.root) + r.Path
		return CheckPath(r.Path + "0")
	}
	if err := CheckPath(r.Path); err != nil {
		return err
	}
	r.Path = c.root.full(r.Path)
	return nil
}

// sequential says that the server appends a number to the path.
func sequential(r *jute.Request) bool {
	switch r.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateTTL:
		return r.Flags == jute.FlagSequential || r.Flags == jute.FlagEphemeralSequential || r.Flags == jute.FlagTTLSequential
	}
	return false
}
