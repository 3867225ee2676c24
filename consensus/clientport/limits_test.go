package clientport

import (
	"bytes"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// flood writes frames until the socket has taken none for a while, and returns how many went in.
func flood(t *testing.T, c *net.TCPConn, f []byte) (n int) {
	t.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	defer c.SetWriteDeadline(time.Time{})
	block := bytes.Repeat(f, 1+(32<<10)/len(f))
	for n < 1<<30 {
		k, err := c.Write(block)
		n += k
		if err != nil {
			return n
		}
	}
	t.Fatal("a gigabyte was taken")
	return n
}

// A connection with too many unanswered requests is not read, until they are answered; others are.
func TestOutstandingOfOneConnection(t *testing.T) {
	waiting := map[*Conn]int{}
	m := startMember(t, Config{MaxOutstanding: 10, GlobalOutstanding: 1 << 30}, func(m *member, b Batch) {
		if b.Closed == nil && b.Frames[4] == 'w' {
			waiting[b.Conn] += b.Count
			return
		}
		m.echo(b)
	})
	greedy, other := m.dial(), m.dial()
	for range 9 { // one by one, so that each is read alone
		send(t, greedy, frame("w"))
		for m.server.Traffic().Outstanding == 0 {
			send(t, other, frame("x"))
			want(t, other, frame("x"))
		}
	}
	in := flood(t, greedy, frame("w"))
	send(t, other, frame("hello"))
	want(t, other, frame("hello"))
	got := m.server.Traffic().Outstanding
	if got != 10 {
		t.Errorf("%d outstanding, want 10", got)
	}
	answered := 0
	for want := 9 + in/5; answered < want; {
		m.do(func() {
			for c, n := range waiting {
				c.Done(n)
				answered += n
				delete(waiting, c)
			}
		})
	}
}

// Above the limit of all, who has a request waiting is not read and who has none is.
func TestOutstandingOfAll(t *testing.T) {
	held := map[*Conn]int{}
	got := make(chan struct{}, 100)
	m := startMember(t, Config{GlobalOutstanding: 2}, func(_ *member, b Batch) {
		if b.Closed == nil {
			held[b.Conn] += b.Count
			for range b.Count {
				got <- struct{}{}
			}
		}
	})
	a, b := m.dial(), m.dial()
	for range 3 {
		send(t, a, frame("a"))
		<-got
	}
	send(t, a, frame("late"))
	send(t, b, frame("b"))
	<-got
	m.do(func() {
		if len(held) != 2 {
			t.Errorf("%d connections were read", len(held))
		}
		for c, n := range held {
			if n == 1 {
				c.Done(1) // three are left, so the late one waits
			}
		}
	})
	if n := m.server.Traffic(); n.Received != 4 || n.Outstanding != 3 {
		t.Errorf("%+v", n)
	}
	m.do(func() {
		for c, n := range held {
			if n == 3 {
				c.Done(1)
			}
		}
	})
	<-got
}

// A connection with many unanswered bytes is not read, however few requests they are; others are.
func TestBytesOfOneConnection(t *testing.T) {
	waiting := map[*Conn]int{}
	m := startMember(t, Config{MaxFrame: 1 << 20}, func(m *member, b Batch) {
		if b.Closed == nil && b.Frames[4] == 'w' {
			waiting[b.Conn] += b.Count
			return
		}
		m.echo(b)
	})
	greedy, other := m.dial(), m.dial()
	in := flood(t, greedy, frame(strings.Repeat("w", 1<<20)))
	send(t, other, frame("hello"))
	want(t, other, frame("hello"))
	if got := m.server.weight.Load(); got < mostWeight || got > mostWeight+2<<20 || in > 64<<20 {
		t.Errorf("%d bytes wait for an answer, %d were taken", got, in)
	}
	answered := 0
	for whole := in / (lengthSize + 1<<20); answered < whole; {
		m.do(func() {
			for c, n := range waiting {
				c.Done(n)
				answered += n
				delete(waiting, c)
			}
		})
	}
	if got := m.server.weight.Load(); got != 0 {
		t.Errorf("%d bytes are left when all is answered", got)
	}
}

// Above the bound of all, who has nothing heavy under way can still ask.
func TestBytesOfAll(t *testing.T) {
	got := make(chan *Conn, 1000)
	m := startMember(t, Config{MaxFrame: 1 << 20}, func(_ *member, b Batch) {
		if b.Closed == nil {
			got <- b.Conn
		}
	})
	for m.server.weight.Load() < mostWeights {
		c := m.dial()
		for n := 0; n < 7 && m.server.weight.Load() < mostWeights; n++ { // each below its own bound
			send(t, c, frame(strings.Repeat("w", 1<<20)))
			<-got
		}
	}
	c := m.dial()
	send(t, c, frame(strings.Repeat("w", 1<<20)))
	last := <-got
	if flood(t, c, frame(strings.Repeat("w", 1<<20))) > 16<<20 || len(got) > 0 {
		t.Error("read, though it has its megabyte already")
	}
	m.do(func() { last.Done(1) })
	<-got
}

// What a connection held is given back when it ends, though its requests were never answered.
func TestCreditOfTheGone(t *testing.T) {
	conns, ended := make(chan *Conn, 10), make(chan struct{}, 1)
	m := startMember(t, Config{GlobalOutstanding: 1, LargeFrame: 10, MaxLargeFrames: 1000}, func(_ *member, b Batch) {
		if b.Closed != nil {
			ended <- struct{}{}
			return
		}
		conns <- b.Conn
	})
	c := m.dial()
	send(t, c, frame("never answered, and large"))
	conn := <-conns
	c.Close()
	<-ended
	m.do(func() { conn.Done(1); conn.Write([]byte("late")); conn.Close("late") })
	if n := m.server.Traffic(); n.Outstanding != 0 || m.server.large.Load() != 0 {
		t.Errorf("%+v, large %d", n, m.server.large.Load())
	}
}

// A client that asks and does not read is not read either; when it reads, all comes.
func TestUnreadStopsReading(t *testing.T) {
	answer := frame(string(make([]byte, 1<<16)))
	m := startMember(t, Config{MaxUnread: 1 << 20, MaxOutstanding: 10}, func(_ *member, b Batch) {
		if b.Closed == nil {
			for range b.Count {
				b.Conn.Write(answer)
			}
			b.Conn.Done(b.Count)
		}
	})
	slow, other := m.dial(), m.dial()
	request := frame(string(make([]byte, 10<<10)))
	in := flood(t, slow, request)
	for range 10 {
		send(t, other, frame("hello"))
		want(t, other, answer)
	}
	if n := m.server.Traffic(); n.Unread < 1<<20 || n.Unread > 1<<20+20*int64(len(answer)) {
		t.Errorf("%d bytes unread", n.Unread)
	}
	for range in / len(request) {
		want(t, slow, answer)
	}
	if n := m.server.Traffic(); n.Unread != 0 {
		t.Errorf("%d bytes unread in the end", n.Unread)
	}
}

// A client whose answers pile up without its asking, by watches say, is closed.
func TestBacklogCloses(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"of one", Config{MaxBacklog: 8 << 20}},
		{"of all", Config{MaxUnread: 1 << 20, MaxBacklogs: 8 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conns, ended := make(chan *Conn, 1), make(chan error, 1)
			m := startMember(t, c.cfg, func(m *member, b Batch) {
				switch {
				case b.Closed != nil:
					ended <- b.Closed
				case b.Frames[4] == 's':
					conns <- b.Conn
				default:
					m.echo(b)
				}
			})
			slow, other := m.dial(), m.dial()
			send(t, slow, frame("s"))
			conn, event := <-conns, make([]byte, 1<<16)
			for open := true; open; {
				m.do(func() { conn.Write(event) })
				select {
				case err := <-ended:
					if open = false; err != TooMuchUnread {
						t.Errorf("ended with %v", err)
					}
				default:
					if conn.Traffic().Unread > 9<<20 {
						t.Fatal("not closed")
					}
				}
			}
			send(t, other, frame("hello"))
			want(t, other, frame("hello"))
			if n := m.server.Traffic(); n.Unread != 0 {
				t.Errorf("%d bytes unread", n.Unread)
			}
		})
	}
}

// A single answer may be longer than the backlog: the limit is for what was left lying.
func TestOneAnswerMayBeLong(t *testing.T) {
	answer := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	m := startMember(t, Config{MaxBacklog: 1 << 20}, func(_ *member, b Batch) {
		if b.Closed == nil {
			b.Conn.Write(answer)
		}
	})
	c := m.dial()
	send(t, c, frame("x"))
	want(t, c, answer)
}

func TestLargeFrames(t *testing.T) {
	release := make(chan struct{})
	var conn *Conn
	m := startMember(t, Config{LargeFrame: 1000, MaxLargeFrames: 5000, GlobalOutstanding: 100}, func(m *member, b Batch) {
		switch {
		case b.Closed != nil:
		case b.Count == 1 && b.Frames[4] == 'h':
			conn = b.Conn
			close(release)
		default:
			m.echo(b)
		}
	})
	a, b := m.dial(), m.dial()
	send(t, a, frame("h"+string(make([]byte, 2000))))
	<-release
	send(t, b, frame(string(make([]byte, 2999)))) // 2001 + 2999 = 5000
	want(t, b, frame(string(make([]byte, 2999))))
	send(t, b, lengthOnly(3000)) // announced is enough
	wantEnd(t, b)
	b.Close()
	if n := m.server.Reasons()[TooMuchLarge]; n != 1 {
		t.Errorf("%v", m.server.Reasons())
	}
	m.do(func() { conn.Done(1) })
	for range 10 { // what was answered or is gone does not count
		c := m.dial()
		send(t, c, frame(string(make([]byte, 4000))))
		want(t, c, frame(string(make([]byte, 4000))))
		c.Close()
	}
}

// While others do their worst, a client is served at once.
func TestTheAbusiveHarmNobody(t *testing.T) {
	answer := frame(string(make([]byte, 1<<16)))
	m := startMember(t, Config{MaxBacklog: 4 << 20, Handshake: patience}, func(m *member, b Batch) {
		if b.Closed == nil && b.Word == "" && b.Frames[4] == 'B' {
			for range b.Count {
				b.Conn.Write(answer)
			}
			b.Conn.Done(b.Count)
			return
		}
		m.echo(b)
	})
	good := m.dial()
	var wg sync.WaitGroup
	abuse := func(n int, f func(c *net.TCPConn)) {
		for range n {
			c := m.dial()
			wg.Go(func() { f(c) })
		}
	}
	done := make(chan struct{})
	abuse(20, func(c *net.TCPConn) { // asks for much, reads nothing
		for c.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) == nil {
			if _, err := c.Write(frame("B")); err != nil {
				break
			}
		}
	})
	abuse(50, func(c *net.TCPConn) { // half a frame
		_, _ = c.Write([]byte{0, 0, 0x80, 0, 1})
		<-done
	})
	abuse(50, func(c *net.TCPConn) { _, _ = c.Write(bytes.Repeat([]byte("\xde\xad"), 1000)) })
	abuse(20, func(c *net.TCPConn) { // a flood of empty frames, unread
		block := make([]byte, 1<<16)
		for c.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) == nil {
			if _, err := c.Write(block); err != nil {
				break
			}
		}
	})
	abuse(100, func(c *net.TCPConn) { _ = c.SetLinger(0); _, _ = c.Write(frame("B")); c.Close() })
	var took []time.Duration
	for range 300 {
		at := time.Now()
		send(t, good, frame("hello"))
		want(t, good, frame("hello"))
		took = append(took, time.Since(at))
	}
	close(done)
	wg.Wait()
	slices.Sort(took)
	if worst := took[len(took)*99/100]; worst > time.Second {
		t.Errorf("99 of 100 answers within %v", worst)
	}
}

// As many clients as there are descriptors for, up to 10000, each of which is served.
func TestTenThousandConnections(t *testing.T) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		t.Fatal(err)
	}
	n := min(10_000, int(r.Cur)/2-400) // both ends are ours
	if testing.Short() || n < 100 && os.Getenv("CI") == "" {
		n = 100
	}
	m := startMember(t, Config{}, nil)
	conns := make([]*net.TCPConn, n)
	for i := range conns {
		conns[i] = m.dial()
		if i%100 == 0 { // so that the queue of the kernel does not overflow
			send(t, conns[i], frame("first"))
			want(t, conns[i], frame("first"))
		}
	}
	for round := range 2 {
		for _, c := range conns {
			send(t, c, frame("round"), lengthOnly(round))
			want(t, c, frame("round"), lengthOnly(0)[:4*(1-round)])
			if round == 1 {
				c.Close()
			}
		}
	}
}

// A client that is to be closed and does not fetch its last answer is not waited for.
func TestCloseOfWhoDoesNotRead(t *testing.T) {
	for _, half := range []bool{false, true} {
		ended := make(chan error, 1)
		m := startMember(t, Config{Handshake: 100 * time.Millisecond}, func(_ *member, b Batch) {
			if b.Closed != nil {
				ended <- b.Closed
				return
			}
			b.Conn.Write(make([]byte, 32<<20))
			b.Conn.Close("session closed")
		})
		c := m.dial()
		send(t, c, frame("x"))
		if half {
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case err := <-ended:
			if err != Reason("session closed") && !(half && err == ClosedByClient) {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("not closed")
		}
	}
}

// Who has read the end of an answer may come again, though the server has not yet heard that it left.
func TestAddressIsFreeOnceTheEndWasSent(t *testing.T) {
	m := startMember(t, Config{MaxPerAddress: 1}, func(m *member, b Batch) {
		if b.Closed == nil {
			m.echo(b)
			b.Conn.Close("answered")
		}
	})
	var open []*net.TCPConn
	for range 5 {
		c := m.dial()
		open = append(open, c)
		send(t, c, frame("x"))
		want(t, c, frame("x"))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("connection %d: %d, %v; want its end", len(open), n, err)
		}
	}
	if n := m.server.Reasons()[TooManyOfAddress]; n != 0 {
		t.Errorf("%d connections were too many", n)
	}
}
