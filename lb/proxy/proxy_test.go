package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.org/ha/lb/pool"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

var lastAddress atomic.Uint32

// freshAddress returns a loopback address no other test uses.
func freshAddress(port uint16) netip.AddrPort {
	n := lastAddress.Add(1)
	pid := os.Getpid()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(64 + pid%128), byte(pid / 128), byte(n)}), port)
}

func start(t *testing.T, services ...pool.VirtualService) *Forwarder {
	t.Helper()
	f := New(slog.New(slog.DiscardHandler))
	apply(t, f, services...)
	run(t, f)
	return f
}

func run(t *testing.T, f *Forwarder) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
}

func apply(t *testing.T, f *Forwarder, services ...pool.VirtualService) {
	t.Helper()
	if err := f.Apply(pool.Table{Services: services}); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

// web is a virtual TCP service in front of servers, each of weight 1.
func web(servers ...netip.AddrPort) pool.VirtualService {
	v := pool.VirtualService{Name: "web", Scheduler: pool.RR, Listen: []netip.AddrPort{freshAddress(7000)}}
	for _, s := range servers {
		v.Servers = append(v.Servers, pool.RealServer{Address: s, Weight: 1})
	}
	return v
}

// serve runs handle for every connection to a new real server and returns its address.
func serve(t *testing.T, handle func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", freshAddress(0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c.(*net.TCPConn))
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// named answers every line with its name and the line.
func named(t *testing.T, name string) netip.AddrPort {
	return serve(t, func(c *net.TCPConn) {
		defer c.Close()
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s %s", name, line)
		}
	})
}

func dial(t *testing.T, v pool.VirtualService) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", v.Listen[0].String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// ask sends a line on a new connection and returns who answered.
func ask(v pool.VirtualService, from string) (string, error) {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.Dial("tcp", v.Listen[0].String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	return askOn(c)
}

func askOn(c net.Conn) (string, error) {
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", err
	}
	var who string
	fmt.Sscan(line, &who)
	return who, nil
}

func mustAsk(t *testing.T, v pool.VirtualService) string {
	t.Helper()
	who, err := ask(v, "")
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return who
}

// until waits for a condition that only counters show.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}

func serverStats(f *Forwarder, a netip.AddrPort) ServerStats {
	for _, s := range f.Stats() {
		for _, v := range s.Servers {
			if v.Address == a {
				return v
			}
		}
	}
	return ServerStats{}
}

func TestForwardsAndCounts(t *testing.T) {
	a := named(t, "a")
	v := web(a)
	f := start(t, v)
	c := dial(t, v)
	for range 3 {
		if who, err := askOn(c); who != "a" || err != nil {
			t.Fatalf("answer from %q, %v", who, err)
		}
	}
	// A client may have its bytes before the worker has counted them.
	until(t, "1 active, 18 bytes to the server, 24 to the client", func() bool {
		s := serverStats(f, a)
		return s.Active == 1 && s.Total == 1 && s.ToServer == 3*6 && s.ToClient == 3*8
	})
	c.Close()
	until(t, "the connection is off the counters", func() bool { s := serverStats(f, a); return s.Active+s.Inactive == 0 })
}

func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.WriteString(c, "six\n")
			c.Close()
		}
	}()
	v := web(netip.MustParseAddrPort(l.Addr().String()))
	v.Listen = []netip.AddrPort{netip.MustParseAddrPort("[::1]:7606")}
	start(t, v)
	if got, err := io.ReadAll(dial(t, v)); string(got) != "six\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestServerMaySpeakFirst(t *testing.T) {
	v := web(serve(t, func(c *net.TCPConn) { io.WriteString(c, "220 ready\n"); io.Copy(io.Discard, c); c.Close() }))
	start(t, v)
	line, err := bufio.NewReader(dial(t, v)).ReadString('\n')
	if line != "220 ready\n" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestListensBeforeRun(t *testing.T) {
	v := web(named(t, "a"))
	f := New(slog.New(slog.DiscardHandler))
	apply(t, f, v)
	c := dial(t, v)
	run(t, f)
	if who, err := askOn(c); who != "a" || err != nil {
		t.Errorf("answer from %q, %v", who, err)
	}
}

func TestHalfCloseByClient(t *testing.T) {
	v := web(serve(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c) // until the client's FIN
		fmt.Fprintf(c, "%d bytes", len(b))
		c.Close()
	}))
	start(t, v)
	c := dial(t, v)
	c.Write(make([]byte, 300_000))
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "300000 bytes" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHalfCloseByServer(t *testing.T) {
	got := make(chan int, 1)
	v := web(serve(t, func(c *net.TCPConn) {
		io.WriteString(c, "bye")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		got <- len(b)
		c.Close()
	}))
	start(t, v)
	c := dial(t, v)
	if b, err := io.ReadAll(c); string(b) != "bye" || err != nil {
		t.Fatalf("got %q, %v", b, err)
	}
	c.Write(make([]byte, 200_000))
	c.CloseWrite()
	select {
	case n := <-got:
		if n != 200_000 {
			t.Errorf("server got %d bytes after its own FIN, want 200000", n)
		}
	case <-time.After(patience):
		t.Error("the client's FIN did not reach the server")
	}
}

func TestClientClosesBeforeServerIsConnected(t *testing.T) {
	got := make(chan int, 1)
	v := web(serve(t, func(c *net.TCPConn) { b, _ := io.ReadAll(c); got <- len(b); c.Close() }))
	f := New(slog.New(slog.DiscardHandler))
	apply(t, f, v)
	c := dial(t, v) // waits in the queue: data and FIN are there when it is accepted
	c.Write([]byte("all"))
	c.Close()
	run(t, f)
	select {
	case n := <-got:
		if n != 3 {
			t.Errorf("server got %d bytes, want 3", n)
		}
	case <-time.After(patience):
		t.Error("nothing reached the server")
	}
}

func TestResetIsPassedOn(t *testing.T) {
	fromClient := make(chan error, 1)
	v := web(serve(t, func(c *net.TCPConn) {
		line, _ := bufio.NewReader(c).ReadString('\n')
		if line == "reset me\n" {
			c.SetLinger(0)
			c.Close()
			return
		}
		io.WriteString(c, "ready\n")
		_, err := c.Read(make([]byte, 1))
		fromClient <- err
	}))
	start(t, v)
	c := dial(t, v)
	io.WriteString(c, "reset me\n")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client read: %v, want connection reset", err)
	}
	c = dial(t, v)
	io.WriteString(c, "I shall reset\n")
	c.Read(make([]byte, 6))
	c.SetLinger(0)
	c.Close()
	select {
	case err := <-fromClient:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("server read: %v, want connection reset", err)
		}
	case <-time.After(patience):
		t.Error("the client's RST did not reach the server")
	}
}

func TestIdleConnectionEnds(t *testing.T) {
	a := named(t, "a")
	v := web(a)
	v.IdleTimeout = 200 * time.Millisecond
	f := start(t, v)
	c := dial(t, v)
	askOn(c)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want connection reset by the idle timeout", err)
	}
	until(t, "the idle connection is counted", func() bool { return f.Limits().IdleEnded == 1 && serverStats(f, a).Active == 0 })
}

func TestAcceptWaitsForDescriptors(t *testing.T) {
	v := web(named(t, "a"))
	f := New(slog.New(slog.DiscardHandler))
	apply(t, f, v)
	for _, w := range f.workers {
		w.limit = 1
	}
	run(t, f)
	const clients = 8
	answered := make(chan error, clients)
	for range clients {
		go func() {
			_, err := ask(v, "")
			answered <- err
		}()
	}
	for range clients {
		if err := <-answered; err != nil {
			t.Errorf("a client that had to wait: %v", err)
		}
	}
}
