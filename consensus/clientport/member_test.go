package clientport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// patience is for what must happen; no test waits for it unless it is about to fail.
const patience = 20 * time.Second

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// A member owns connections, as the real one does: one goroutine, a round, a Flush.
type member struct {
	t      testing.TB
	server *Server
	log    *bytes.Buffer // of a server that has stopped
	handle func(Batch)
	tasks  chan func()
	stop   func()
}

// startMember serves with cfg; handle gets each batch, nil answers each frame with itself.
func startMember(t testing.TB, cfg Config, handle func(m *member, b Batch)) *member {
	t.Helper()
	if cfg.Listen == nil && cfg.TLSListen == nil {
		cfg.Listen = []netip.AddrPort{loopback}
	}
	m := &member{t: t, tasks: make(chan func()), log: new(bytes.Buffer)}
	s, err := New(cfg, slog.New(slog.NewTextHandler(m.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	m.server = s
	m.handle = m.echo
	if handle != nil {
		m.handle = func(b Batch) { handle(m, b) }
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	ran := make(chan error, 1)
	wg.Go(func() { ran <- s.Run(ctx) })
	wg.Go(func() { m.loop(ctx) })
	m.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ran:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
		wg.Wait()
	})
	t.Cleanup(m.stop)
	return m
}

func (m *member) loop(ctx context.Context) {
	for {
		select {
		case b := <-m.server.Batches():
			m.handle(b)
			for range min(256, len(m.server.Batches())) {
				m.handle(<-m.server.Batches())
			}
		case f := <-m.tasks:
			f()
		case <-ctx.Done():
			return
		}
		m.server.Flush()
	}
}

// echo answers each frame of a batch with itself, and each word with itself and the end.
func (m *member) echo(b Batch) {
	switch {
	case b.Closed != nil:
	case b.Word != "":
		b.Conn.Write([]byte(b.Word))
		b.Conn.Write(b.Frames)
		b.Conn.Close(WordAnswered)
	default:
		b.Conn.Write(b.Frames)
		b.Conn.Done(b.Count)
	}
}

// do runs f as the member, with a Flush after it.
func (m *member) do(f func()) {
	done := make(chan struct{})
	m.tasks <- func() { f(); close(done) }
	<-done
}

func (m *member) addr() string { return m.server.Addrs()[0].String() }

// dial connects and never waits longer than patience.
func (m *member) dial() *net.TCPConn {
	m.t.Helper()
	nc, err := net.Dial("tcp", m.addr())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc.(*net.TCPConn)
}

// stopped ends the server and returns its counts and its log.
func (m *member) stopped() (map[Reason]uint64, string) {
	m.stop()
	return m.server.Reasons(), m.log.String()
}

func frame(payload string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

func send(t testing.TB, c io.Writer, p ...[]byte) {
	t.Helper()
	if _, err := c.Write(bytes.Join(p, nil)); err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, c io.Reader, p ...[]byte) {
	t.Helper()
	w := bytes.Join(p, nil)
	got := make([]byte, len(w))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("got %d bytes of %d: %v", n, len(w), err)
	}
	if !bytes.Equal(got, w) {
		t.Fatalf("got %.80q, want %.80q", got, w)
	}
}

// wantEnd reads until the server closes.
func wantEnd(t testing.TB, c io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(c)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Fatal("still open")
	}
	return b
}
