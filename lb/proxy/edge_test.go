package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/ha/lb/pool"
)

// The second datagram of a burst finds the error that the first one caused: a new flow takes over in
// the middle of a batch, and must know whom to answer and from which address.
func TestUDPBurstAtADeadServerIsAnsweredByAnother(t *testing.T) {
	v := dns(deadAddress(), echoUDP(t, "a"))
	f := New(slog.New(slog.DiscardHandler))
	apply(t, f, v)
	var clients []*net.UDPConn
	for range 4 { // of one worker or another, in turn at one server or the other
		c := dialUDP(t, v.Listen[0])
		for _, s := range []string{"1", "2", "3"} {
			if _, err := c.Write([]byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		clients = append(clients, c)
	}
	run(t, f) // what waited is one batch
	// Where the error came after the burst, it is lost with its server; not so what is asked again.
	b := make([]byte, 100)
	for i, c := range clients {
		until(t, fmt.Sprintf("client %d is answered", i), func() bool {
			c.Write([]byte("again"))
			c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			n, err := c.Read(b)
			return err == nil && string(b[:2]) == "a " && n > 2
		})
	}
}

// A worker on its own: its loop is the test's.
func loneWorker(t *testing.T, v pool.VirtualService) (*Forwarder, *worker) {
	t.Helper()
	f := New(slog.New(slog.DiscardHandler))
	w, err := newWorker(f, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	f.workers = []*worker{w}
	apply(t, f, v)
	w.takeOrders()
	t.Cleanup(w.stop)
	return f, w
}

// accepted waits for the first connection.
func (w *worker) accepted() (c *conn) {
	for c == nil {
		for i := range w.wait() {
			w.dispatch(&w.events[i])
		}
		for c = range w.conns.all {
		}
	}
	return c
}

// The client's bytes and the refusal of the first server come in one round, the bytes first: writing
// them finds the error, and the event about it is then about a socket that is no more.
func TestEventOfAnAttemptGivenUpIsNotTheNextOnes(t *testing.T) {
	dead, slow := deadAddress(), silentAddress(t)
	v := web(dead, slow)
	f, w := loneWorker(t, v)
	c := dial(t, v)
	co := w.accepted()
	if co.server.addr != dead {
		t.Fatalf("the first attempt is not at %v", dead)
	}
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		t.Fatal(err)
	}
	// Both are there: the client's bytes and the server's refusal.
	events := map[int32]unix.EpollEvent{}
	for len(events) < 2 {
		for _, ev := range w.events[:w.wait()] {
			if ev.Pad >= 0 {
				events[ev.Fd&1] = ev
			}
		}
	}
	client, server := events[clientSide], events[serverSide]
	w.dispatch(&client)
	if co.server == nil || co.server.addr != slow {
		t.Fatal("writing to a refused connection did not move it to the next server")
	}
	w.dispatch(&server)
	if !co.open || co.server == nil || co.server.addr != slow || co.attempts != 1 {
		t.Error("a late event of the first attempt was taken for the second one's failure")
	}
	if n := serverStats(f, slow).ConnectErrors; n != 0 {
		t.Errorf("%d connect errors of a server that has not answered yet", n)
	}
}

// A read stops at urgent data, however much lies behind it.
func TestWhatFollowsUrgentDataIsForwarded(t *testing.T) {
	for _, end := range []bool{false, true} {
		got := make(chan string, 1)
		v := web(serve(t, func(c *net.TCPConn) {
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			line, _ := bufio.NewReader(c).ReadString('\n')
			got <- line
		}))
		_, w := loneWorker(t, v)
		c := dial(t, v)
		w.accepted()
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			for _, part := range []struct {
				text  string
				flags int
			}{{"abc", 0}, {"!", unix.MSG_OOB}, {"def\n", 0}} {
				if err := unix.Send(int(fd), []byte(part.text), part.flags); err != nil {
					t.Error(err)
				}
			}
		})
		if end {
			c.CloseWrite()
		}
		late := time.Now().Add(patience)
		for line := ""; line == ""; {
			for i := range epollWait(w.epfd, w.events[:], 10) {
				w.dispatch(&w.events[i])
			}
			select {
			case line = <-got:
				if line != "abcdef\n" {
					t.Errorf("end %t: %q came through", end, line)
				}
			default:
				if time.Now().After(late) {
					t.Fatalf("end %t: what follows the urgent byte did not come through", end)
				}
			}
		}
	}
}

// The sorry server stands in the table while it serves, and is the service's last resort as well: in
// the statistics it is one server.
func TestStatsNameEachServerOnce(t *testing.T) {
	sorry := named(t, "sorry")
	v := web(sorry)
	v.Sorry = sorry
	f := start(t, v)
	c := dial(t, v)
	if _, err := askOn(c); err != nil {
		t.Fatal(err)
	}
	v.Servers = []pool.RealServer{{Address: deadAddress(), Weight: 1}}
	apply(t, f, v)
	if got, err := ask(v, ""); err != nil || got != "sorry" {
		t.Fatalf("with a dead server: %q, %v", got, err)
	}
	apply(t, f) // deleted with a connection, and made again
	apply(t, f, v)
	seen := map[netip.AddrPort]bool{}
	names := map[string]bool{}
	for _, s := range f.Stats() {
		if names[s.Name] {
			t.Errorf("service %s is listed twice", s.Name)
		}
		names[s.Name] = true
		for _, r := range s.Servers {
			if seen[r.Address] {
				t.Errorf("%v is listed twice: %+v", r.Address, s.Servers)
			}
			seen[r.Address] = true
			if r.Address == sorry && (r.Total != 2 || !r.Sorry || r.Active+r.Inactive < 1) {
				t.Errorf("sorry server: %+v", r)
			}
		}
	}
}

// The wheel of timers is 51 s round: a longer connect timeout goes round again.
func TestConnectTimeoutLongerThanTheWheel(t *testing.T) {
	v := web(silentAddress(t))
	v.ConnectTimeout = 2 * time.Minute
	f, w := loneWorker(t, v)
	dial(t, v)
	c := w.accepted()
	for after, want := range []uint64{0, 0, 0, 1} { // minutes and a little
		w.tick = int64(time.Duration(after)*time.Minute/tick) - 2
		for x := w.wheel.expired(w.tick); x != nil; x = w.wheel.expired(w.tick) {
			w.due(w.conns.at(x.owner))
		}
		if n := serverStats(f, v.Servers[0].Address).ConnectErrors; n != want || c.open != (want == 0) {
			t.Fatalf("before minute %d: %d connect errors, open %t", after, n, c.open)
		}
	}
}
