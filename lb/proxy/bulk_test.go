package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// sendPattern writes n bytes of a counted pattern, seeded, from position pos.
func sendPattern(w io.Writer, n int, seed uint64) error {
	b := make([]byte, 128<<10)
	for pos := 0; pos < n; {
		part := b[:min(len(b), n-pos)]
		for i := 0; i+8 <= len(part); i += 8 {
			binary.LittleEndian.PutUint64(part[i:], seed^uint64(pos+i))
		}
		m, err := w.Write(part)
		if err != nil {
			return err
		}
		pos += m
	}
	return nil
}

// checkPattern reads to the end of the stream.
func checkPattern(r io.Reader, n int, seed uint64) error {
	b := make([]byte, 128<<10)
	for pos := 0; pos < n; {
		part := b[:min(len(b), n-pos)]
		if m, err := io.ReadFull(r, part); err != nil {
			return fmt.Errorf("at byte %d of %d: %w", pos+m, n, err)
		}
		for i := 0; i+8 <= len(part); i += 8 {
			if got := binary.LittleEndian.Uint64(part[i:]); got != seed^uint64(pos+i) {
				return fmt.Errorf("at byte %d: %x, want %x", pos+i, got, seed^uint64(pos+i))
			}
		}
		pos += len(part)
	}
	if m, err := r.Read(b); m != 0 || err != io.EOF {
		return fmt.Errorf("after the end: %d bytes, %v", m, err)
	}
	return nil
}

func TestBulkBothWaysAtOnce(t *testing.T) {
	size := 1 << 30
	if testing.Short() {
		size = 32 << 20
	}
	both := func(c *net.TCPConn, sends, hears uint64) error {
		var wg sync.WaitGroup
		var sent, heard error
		wg.Go(func() {
			sent = sendPattern(c, size, sends)
			c.CloseWrite()
		})
		heard = checkPattern(c, size, hears)
		wg.Wait()
		return errors.Join(sent, heard)
	}
	atServer := make(chan error, 1)
	a := serve(t, func(c *net.TCPConn) {
		atServer <- both(c, 1, 2)
		c.Close()
	})
	v := web(a)
	f := start(t, v)
	c := dial(t, v)
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	if err := both(c, 2, 1); err != nil {
		t.Errorf("client: %v", err)
	}
	if err := <-atServer; err != nil {
		t.Errorf("server: %v", err)
	}
	until(t, "the connection has ended by itself", func() bool { s := serverStats(f, a); return s.Active+s.Inactive == 0 })
	if s := serverStats(f, a); s.ToClient != uint64(size) || s.ToServer != uint64(size) {
		t.Errorf("counted %d and %d bytes, want %d each", s.ToServer, s.ToClient, size)
	}
}

// A sender is held back by a reader that does not read, and nothing is lost when it does.
func TestSlowReaderHoldsTheSenderBack(t *testing.T) {
	stuck := make(chan int, 1)
	goOn := make(chan bool)
	const size = 64 << 20
	a := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		b := make([]byte, 64<<10)
		for pos := 0; pos < size; {
			part := b[:min(len(b), size-pos)]
			for i := 0; i+8 <= len(part); i += 8 {
				binary.LittleEndian.PutUint64(part[i:], uint64(pos+i))
			}
			c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := c.Write(part)
			pos += n
			if errors.Is(err, os.ErrDeadlineExceeded) {
				stuck <- pos
				<-goOn
				c.SetWriteDeadline(time.Now().Add(patience))
				m, _ := c.Write(part[n:])
				pos += m
			}
		}
	})
	v := web(a)
	start(t, v)
	c := dial(t, v)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var pos int
	select {
	case pos = <-stuck:
	case <-time.After(patience):
		t.Fatal("the sender was never held back")
	}
	runtime.ReadMemStats(&after)
	// Four socket buffers of at most 6 MiB, a pipe and a block stand between them.
	if pos > 32<<20 {
		t.Errorf("the sender got rid of %d bytes that nobody reads", pos)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	close(goOn)
	c.SetDeadline(time.Now().Add(patience))
	if err := checkPattern(c, size, 0); err != nil {
		t.Error(err)
	}
}

func TestIdleConnectionsHoldLittle(t *testing.T) {
	if size := unsafe.Sizeof(conn{}); size > 512 {
		t.Errorf("a connection takes %d bytes, at most 512", size)
	}
	count := 2000
	if testing.Short() {
		count = 200
	}
	v := web(named(t, "a"))
	f := start(t, v)
	conns := make([]*net.TCPConn, count)
	for i := range conns {
		conns[i] = dial(t, v)
		if who, err := askOn(conns[i]); who != "a" {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	s := serverStats(f, v.Servers[0].Address)
	if s.Active != int64(count) {
		t.Errorf("%d active, want %d", s.Active, count)
	}
	t.Logf("%d bytes for each of %d connections", unsafe.Sizeof(conn{}), count)
	for i, c := range conns {
		if who, err := askOn(c); who != "a" {
			t.Fatalf("connection %d after idling: %v", i, err)
		}
		c.Close()
	}
}
