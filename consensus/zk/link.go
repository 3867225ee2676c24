package zk

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"example.org/ha/consensus/jute"
)

// maxHandshake bounds the server's first frame.
const maxHandshake = 256

// A link is a connection on which a server granted the session.
type link struct {
	conn     net.Conn
	server   string // as configured
	remote   string // its address
	granted  Session
	timeout  time.Duration
	readOnly bool
	at       time.Time // when the handshake was sent
}

// try connects to a server by one of its addresses and asks it for the session.
func (c *Client) try(ctx context.Context, server string) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.attempt())
	defer cancel()
	addresses, err := c.addresses(ctx, server)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, address := range addresses {
		// An address that does not answer must leave time for the others.
		share, cancel := context.WithTimeout(ctx, c.attempt()/time.Duration(len(addresses)-i))
		l, err := c.greet(share, server, address)
		cancel()
		if err == nil || errors.Is(err, errExpired) {
			return l, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// addresses resolves a server's name: all it has, of both families, in any order.
func (c *Client) addresses(ctx context.Context, server string) ([]string, error) {
	if c.cfg.Dial != nil {
		return []string{server}, nil
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return nil, fmt.Errorf("zk: resolve %s: %w", server, err)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("zk: resolve %s: %w", server, err)
	}
	out := make([]string, len(found))
	for i, j := range c.session.rand.Perm(len(found)) {
		out[i] = net.JoinHostPort(found[j].Unmap().String(), port)
	}
	return out, nil
}

// open connects to an address.
func (c *Client) open(ctx context.Context, server, address string) (net.Conn, error) {
	dial := c.cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("zk: %w", err)
	}
	if c.cfg.TLS == nil {
		return conn, nil
	}
	cfg := c.cfg.TLS
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(server)
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("zk: TLS with %s: %w", server, err)
	}
	return secure, nil
}

// greet opens the session on a new connection, or takes it up.
func (c *Client) greet(ctx context.Context, server, address string) (*link, error) {
	conn, err := c.open(ctx, server, address)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, server: server, remote: address, at: time.Now()}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = c.handshake(l)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errExpired) {
			err = cause
		}
		return nil, fmt.Errorf("zk: handshake with %s: %w", server, err)
	}
	return l, nil
}

func (c *Client) handshake(l *link) error {
	s := &c.session
	ask := jute.ConnectRequest{
		LastZxidSeen: c.zxid.Load(), Timeout: int32(c.cfg.SessionTimeout / time.Millisecond),
		Password: make([]byte, 16), ReadOnly: c.cfg.ReadOnly, HasReadOnly: true,
	}
	if s.real { // what a server without a quorum gave, the others do not know
		ask.SessionID, ask.Password = s.ID, s.Password
	}
	if _, err := l.conn.Write(jute.EndFrame(ask.AppendTo(jute.BeginFrame(nil)), 0)); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(l.conn, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("closed by the server: it is behind what this client has seen, not ready, or has too many connections")
		}
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxHandshake {
		return fmt.Errorf("%w: first frame of %d bytes", ErrProtocol, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(l.conn, body); err != nil {
		return err
	}
	got, err := jute.ParseConnectResponse(body)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case got.Timeout <= 0 && ask.SessionID != 0:
		return errExpired
	case got.Timeout <= 0 || got.SessionID == 0:
		return fmt.Errorf("%w: no session granted", ErrProtocol)
	case ask.SessionID != 0 && got.SessionID != ask.SessionID:
		return fmt.Errorf("%w: another session granted", ErrProtocol)
	}
	l.granted = Session{ID: got.SessionID, Password: bytes.Clone(got.Password)}
	l.timeout = time.Duration(got.Timeout) * time.Millisecond
	l.readOnly = got.ReadOnly
	return nil
}

// search asks the servers by turns, less and less often, whether one has a quorum, and names the first.
func (c *Client) search(ctx context.Context, servers []string, found chan<- string) {
	pause := firstSearch
	for i := 0; pauseFor(ctx, pause); i++ {
		server := servers[i%len(servers)]
		if c.hasQuorum(ctx, server) {
			found <- server
			return
		}
		pause = min(2*pause, lastSearch)
	}
}

// The pauses of a search for a server with a quorum.
const (
	firstSearch = 100 * time.Millisecond
	lastSearch  = 10 * time.Second
)

// hasQuorum sends the word isro, which every server with a read-only mode answers.
func (c *Client) hasQuorum(ctx context.Context, server string) bool {
	ctx, cancel := context.WithTimeout(ctx, minAttempt)
	defer cancel()
	conn, err := c.open(ctx, server, server)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write([]byte("isro")); err != nil {
		return false
	}
	answer := make([]byte, 2)
	_, err = io.ReadFull(conn, answer)
	return err == nil && string(answer) == "rw"
}
