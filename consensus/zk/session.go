package zk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"example.org/ha/consensus/jute"
)

const (
	// The first pause after every server was tried without success, and the longest. A pause is spread over
	// half to one and a half of its length, so that the clients of a server that comes back do not come at once.
	firstPause = 20 * time.Millisecond
	maxPause   = time.Second

	// farewell bounds the wait for the end of the session to be written down.
	farewell = 2 * time.Second

	// minAttempt is the least time a server gets to answer a handshake.
	minAttempt = time.Second
)

// session is what the owner knows of the session; nobody else touches it.
type session struct {
	Session
	timeout time.Duration
	real    bool // a server with a quorum gave it: others will know it
	servers []string
	next    int // in servers
	failed  int // attempts since the last connection that lasted
	pause   time.Duration
	rand    *rand.Rand
}

func newSession(cfg Config) session {
	s := session{Session: cfg.Session, timeout: cfg.SessionTimeout, real: cfg.Session.ID != 0, pause: firstPause, rand: cfg.Rand}
	for _, server := range cfg.Servers {
		server, _ = withPort(server) // checked
		s.servers = append(s.servers, server)
	}
	s.shuffle()
	return s
}

func (s *session) shuffle() {
	s.rand.Shuffle(len(s.servers), func(i, j int) { s.servers[i], s.servers[j] = s.servers[j], s.servers[i] })
	s.next = 0
}

// prefer makes server the next to be tried.
func (s *session) prefer(server string) {
	if i := slices.Index(s.servers, server); i >= 0 {
		s.servers[0], s.servers[i] = s.servers[i], s.servers[0]
		s.next = 0
	}
}

// rest is how long to wait before the next attempt: not at all until every server was tried.
func (s *session) rest() time.Duration {
	s.failed++
	if s.failed%len(s.servers) != 0 {
		return 0
	}
	p := s.pause/2 + time.Duration(s.rand.Int64N(int64(s.pause)))
	s.pause = min(2*s.pause, maxPause)
	return p
}

// lasted begins anew with short pauses.
func (s *session) lasted() { s.failed, s.pause = 0, firstPause }

var (
	errExpired = fmt.Errorf("zk: session: %w", jute.SessionExpired)
	errQuorum  = errors.New("a server with a quorum was found")
)

// keep holds the session until ctx ends or there is nothing left to hold.
func (c *Client) keep(ctx context.Context) error {
	s := &c.session
	for {
		l, err := c.connect(ctx)
		switch {
		case ctx.Err() != nil:
			if l != nil {
				l.conn.Close()
			}
			return context.Cause(ctx)
		case errors.Is(err, errExpired):
			if err := c.expired(); err != nil {
				return err
			}
			continue
		}
		began := time.Now()
		err = c.serve(ctx, l)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, jute.AuthFailed):
			return err
		}
		if time.Since(began) >= 2*maxPause {
			s.lasted()
		}
		c.suspended(err)
		if !pauseFor(ctx, s.rest()) {
			return context.Cause(ctx)
		}
	}
}

// pauseFor reports whether ctx lasted.
func pauseFor(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// connect tries one server after the other until one takes the session. Its errors end the session or ctx.
func (c *Client) connect(ctx context.Context) (*link, error) {
	s := &c.session
	for {
		if s.next == len(s.servers) {
			s.shuffle()
		}
		server := s.servers[s.next]
		s.next++
		l, err := c.try(ctx, server)
		if err == nil || errors.Is(err, errExpired) || ctx.Err() != nil {
			return l, err
		}
		c.board.set(time.Now(), func(st *State) { st.Err = err })
		c.log.Debug("connect", slog.String("server", server), slog.Any("error", err))
		pause := s.rest()
		if s.failed == len(s.servers) { // once for each time that there is none
			c.log.Warn("no server answers", slog.Any("servers", c.cfg.Servers), slog.Any("error", err))
		}
		if !pauseFor(ctx, pause) {
			return nil, context.Cause(ctx)
		}
	}
}

// attempt is the time one server gets: a round over all of them should fit into the session's.
func (c *Client) attempt() time.Duration {
	return max(minAttempt, c.session.timeout/time.Duration(len(c.session.servers)))
}

// established takes what the server granted.
func (c *Client) established(l *link) {
	s := &c.session
	again := s.ID == l.granted.ID
	s.Session, s.timeout = l.granted, l.timeout
	s.real = s.real || !l.readOnly
	phase := Connected
	if l.readOnly {
		phase = ReadOnly
	}
	st := c.board.set(time.Now(), func(st *State) {
		st.Phase, st.Session, st.Timeout, st.Server, st.Err = phase, s.Session, s.timeout, l.remote, nil
		st.Connections++
	})
	message := "session opened"
	if again {
		message = "session taken up again"
	}
	c.log.Info(message, slog.String("session", st.Session.String()), slog.String("server", st.Server),
		slog.Duration("timeout", st.Timeout), slog.Bool("read_only", l.readOnly))
}

// suspended says that the connection is lost.
func (c *Client) suspended(err error) {
	st := c.board.set(time.Now(), func(st *State) { st.Phase, st.Err = Suspended, err })
	c.log.Warn("connection lost", slog.String("session", st.Session.String()), slog.String("server", st.Server), slog.Any("error", err))
}

// expired gives the session up; the error is nil if there will be another.
func (c *Client) expired() error {
	s := &c.session
	c.log.Error("session expired", slog.String("session", s.String()))
	c.pipe.drop(jute.SessionExpired)
	c.watches.lose(jute.SessionExpired)
	s.Session, s.real, s.timeout = Session{}, false, c.cfg.SessionTimeout
	c.board.set(time.Now(), func(st *State) { st.Phase, st.Err = Expired, errExpired })
	if !c.cfg.Renew {
		return errExpired
	}
	c.board.set(time.Now(), func(st *State) { st.Phase, st.Session = Connecting, Session{} })
	return nil
}
