package zk

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// A script plays a server, connection by connection, inside a bubble.
type script struct {
	t     *testing.T
	conns chan net.Conn
	addrs chan string
}

func newScript(t *testing.T) *script {
	return &script{t: t, conns: make(chan net.Conn, 100), addrs: make(chan string, 100)}
}

// config is for a client of the script.
func (s *script) config() Config {
	return Config{
		Servers: []string{"one:1"}, SessionTimeout: 6 * time.Second, Rand: rand.New(rand.NewPCG(1, 2)),
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			near, far := net.Pipe()
			s.conns <- far
			s.addrs <- address
			return near, nil
		},
	}
}

// run starts a client and ends it with the test.
func (s *script) run(cfg Config) *Client {
	s.t.Helper()
	c, err := New(cfg)
	noError(s.t, err)
	go c.Run(s.t.Context())
	s.t.Cleanup(func() { c.cancel(errDetached); <-c.done })
	return c
}

// A peer is the server's end of one connection.
type peer struct {
	t *testing.T
	net.Conn
}

// accept waits for the client to connect.
func (s *script) accept() peer { return peer{s.t, <-s.conns} }

// session accepts and grants what is asked for, with timeout.
func (s *script) session(timeout time.Duration, id int64) (peer, jute.ConnectRequest) {
	s.t.Helper()
	p := s.accept()
	ask := p.hello()
	p.grant(timeout, id)
	return p, ask
}

func (p peer) frame() []byte {
	p.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(p, head[:]); err != nil {
		p.t.Fatalf("server: read: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(p, b); err != nil {
		p.t.Fatalf("server: read: %v", err)
	}
	return b
}

func (p peer) hello() jute.ConnectRequest {
	p.t.Helper()
	ask, err := jute.ParseConnectRequest(p.frame())
	noError(p.t, err)
	return ask
}

func (p peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(append(jute.AppendInt(nil, int32(len(b))), b...)); err != nil {
		p.t.Fatalf("server: write: %v", err)
	}
}

func (p peer) grant(timeout time.Duration, id int64) {
	r := jute.ConnectResponse{Timeout: int32(timeout / time.Millisecond), SessionID: id, Password: make([]byte, 16), HasReadOnly: true}
	p.send(r.AppendTo(nil))
}

// request reads one request.
func (p peer) request() (int32, jute.Request) {
	p.t.Helper()
	b := p.frame()
	d := jute.NewDecoder(b)
	xid, op := d.Int(), jute.Op(d.Int())
	r, err := jute.ParseRequest(op, d.Rest())
	noError(p.t, err)
	return xid, r
}

// want reads one request and compares it.
func (p peer) want(op jute.Op, path string) int32 {
	p.t.Helper()
	xid, r := p.request()
	if r.Op != op || r.Path != path {
		p.t.Fatalf("server: got %v %q, want %v %q", r.Op, r.Path, op, path)
	}
	return xid
}

func (p peer) reply(xid int32, zxid int64, code jute.Code, body []byte) {
	p.t.Helper()
	p.send(append(jute.ReplyHeader{Xid: xid, Zxid: zxid, Err: code}.AppendTo(nil), body...))
}

func (p peer) event(typ jute.EventType, path string) {
	p.t.Helper()
	p.reply(jute.XidNotification, -1, 0, jute.WatcherEvent{Type: typ, State: 3, Path: path}.AppendTo(nil))
}

// data is the reply to getData.
func data(text string) []byte {
	st := jute.Stat{DataLength: int32(len(text))}
	return st.AppendTo(jute.AppendBuffer(nil, []byte(text)))
}

func stat() []byte {
	var st jute.Stat
	return st.AppendTo(nil)
}

func waitPhase(t *testing.T, c *Client, want Phase) State {
	t.Helper()
	for {
		st, changed := c.State()
		if st.Phase == want {
			return st
		}
		select {
		case <-changed:
		case <-time.After(time.Hour):
			t.Fatalf("phase %v (%v), want %v", st.Phase, st.Err, want)
		}
	}
}
