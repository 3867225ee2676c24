package clientport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFramesGoAndAnswersCome(t *testing.T) {
	births, ends := make(chan *Conn, 1), make(chan Batch, 1)
	m := startMember(t, Config{}, func(m *member, b Batch) {
		if b.Closed != nil {
			ends <- b
			return
		}
		if b.Conn.Traffic().Sent == 0 {
			births <- b.Conn
		}
		m.echo(b)
	})
	c := m.dial()
	send(t, c, frame("one"))
	want(t, c, frame("one"))
	conn := <-births
	if conn.ID() != 1 || conn.Remote().String() != c.LocalAddr().String() || conn.Local().String() != c.RemoteAddr().String() || conn.Secure() {
		t.Errorf("id %d, remote %v, local %v, secure %v", conn.ID(), conn.Remote(), conn.Local(), conn.Secure())
	}
	var many []byte
	for i := range 5000 {
		many = append(many, frame(fmt.Sprint("number ", i))...)
	}
	var wg sync.WaitGroup
	wg.Go(func() { send(t, c, many) })
	want(t, c, many)
	wg.Wait()
	c.Close()
	if b := <-ends; b.Conn != conn || b.Closed != ClosedByClient {
		t.Errorf("ended with %v", b.Closed)
	}
	got := conn.Traffic()
	if got.Received != 5001 || got.BytesIn != int64(len(many)+7) || got.BytesOut != got.BytesIn || got.Outstanding != 0 || got.Unread != 0 {
		t.Errorf("%+v", got)
	}
	all := m.server.Traffic()
	if all.Received != 5001 || all.Accepted != 1 || all.Outstanding != 0 {
		t.Errorf("%+v", all)
	}
}

func TestFourLetterWords(t *testing.T) {
	m := startMember(t, Config{}, nil)
	for _, c := range []struct{ name, in, want string }{
		{"word", "ruok", "ruok"},
		{"with a line's end", "srvr\n", "srvr"},
		{"with an argument", "stmk12345678", "stmk12345678"},
		{"in the middle of a stream of words", "ruokruok", "ruok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nc := m.dial()
			send(t, nc, []byte(c.in))
			if got := wantEnd(t, nc); !strings.HasPrefix(string(got), c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("byte by byte, and no more to come", func(t *testing.T) {
		nc := m.dial()
		for _, b := range []byte("mntr") {
			send(t, nc, []byte{b})
		}
		if err := nc.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := wantEnd(t, nc); string(got) != "mntr" {
			t.Errorf("got %q", got)
		}
	})
}

// Everything that is no client is closed alone, with a reason that is counted and a line in the log.
func TestStrangersAreClosed(t *testing.T) {
	for _, c := range []struct {
		name, in, answer string
		reason           Reason
	}{
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", httpAnswer, HTTPRequest},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", tlsAnswer, TLSOnPlainPort},
		{"telnet", "\xff\xf4\xff\xfd\x06", "", TelnetInterrupt},
		{"negative", "\xff\xff\xff\xff", "", FrameNegative},
		{"too long", "\x00\x0f\xff\xff+1", "", ""},
		{"one too long", "\x00\x10\x00\x00", "", FrameTooLong},
		{"unknown word", "xyzw", "", FrameTooLong},
		{"nothing", "", "", SaidNothing},
		{"half a frame", "\x00\x00\x00\x10half", "", SaidNothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			handshake := patience
			if c.reason == SaidNothing {
				handshake = 50 * time.Millisecond
			}
			m := startMember(t, Config{Handshake: handshake}, nil)
			good, bad := m.dial(), m.dial()
			send(t, good, frame("before"))
			want(t, good, frame("before"))
			send(t, bad, []byte(c.in))
			if c.reason == "" { // the longest that is allowed: it is not closed
				payload := bytes.Repeat([]byte{7}, 0xfffff-2)
				var wg sync.WaitGroup
				wg.Go(func() { send(t, bad, payload) })
				want(t, bad, []byte(c.in), payload)
				wg.Wait()
				return
			}
			if got := wantEnd(t, bad); string(got) != c.answer {
				t.Errorf("answer %q, want %q", got, c.answer)
			}
			send(t, good, frame("after"))
			want(t, good, frame("after"))
			bad.Close()
			reasons, log := m.stopped()
			if reasons[c.reason] != 1 {
				t.Errorf("reasons %v", reasons)
			}
			if c.reason.loud() != strings.Contains(log, string(c.reason)) {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// What came before the mistake is still the member's.
func TestGoodFramesBeforeABadOne(t *testing.T) {
	got := make(chan Batch, 10)
	m := startMember(t, Config{}, func(_ *member, b Batch) { got <- b })
	c := m.dial()
	send(t, c, frame("good"), []byte{0xff, 0, 0, 0})
	if b := <-got; !bytes.Equal(b.Frames, frame("good")) || b.Count != 1 {
		t.Errorf("%+v", b)
	}
	if b := <-got; b.Closed != FrameNegative {
		t.Errorf("%+v", b)
	}
}

func TestMistakesAreLoggedOnceInAWhile(t *testing.T) {
	l := newLedger(nil)
	at := time.Now()
	if held, ok := l.due(FrameTooLong, at); !ok || held != 0 {
		t.Error("the first is not logged")
	}
	for range 5 {
		if _, ok := l.due(FrameTooLong, at.Add(logEvery-1)); ok {
			t.Error("logged too soon")
		}
	}
	if _, ok := l.due(FrameNegative, at.Add(1)); !ok {
		t.Error("another reason is held back")
	}
	if held, ok := l.due(FrameTooLong, at.Add(logEvery)); !ok || held != 5 {
		t.Errorf("%d held, %v", held, ok)
	}
}

func TestConnectionsPerAddressAndInAll(t *testing.T) {
	for _, c := range []struct {
		name   string
		cfg    Config
		reason Reason
	}{
		{"of one address", Config{MaxPerAddress: 3}, TooManyOfAddress},
		{"in all", Config{MaxConnections: 3}, TooMany},
		{"at once", Config{ThrottleTokens: 3, ThrottleEvery: time.Hour}, Throttled},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := startMember(t, c.cfg, nil)
			var in []*net.TCPConn
			for range 3 {
				nc := m.dial()
				send(t, nc, frame("hello"))
				want(t, nc, frame("hello"))
				in = append(in, nc)
			}
			if got := wantEnd(t, m.dial()); len(got) > 0 {
				t.Errorf("the fourth is told %q", got)
			}
			if n := m.server.Reasons()[c.reason]; n != 1 {
				t.Errorf("counted %d", n)
			}
			if c.reason == Throttled {
				return
			}
			in[0].Close()
			for m.server.Traffic().Open == 3 { // the place is free when the server has seen it
				send(t, in[1], frame("wait"))
				want(t, in[1], frame("wait"))
			}
			nc := m.dial()
			send(t, nc, frame("late"))
			want(t, nc, frame("late"))
		})
	}
}

func TestBucket(t *testing.T) {
	cfg := Config{ThrottleTokens: 2, ThrottleFill: 1, ThrottleEvery: time.Second}
	b, at := bucket{tokens: 2}, time.Now()
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, true}, {0, false}, {time.Second - 1, false}, {time.Second, true}, {time.Second, false}, {1e6 * time.Hour, true}, {1e6 * time.Hour, true}, {1e6 * time.Hour, false}} {
		if got := b.take(&cfg, at.Add(c.after)); got != c.want {
			t.Errorf("after %v: %v", c.after, got)
		}
	}
}

// The member's last answer arrives whole, though the client has sent more than was read.
func TestCloseAfterWhatIsQueued(t *testing.T) {
	answer := bytes.Repeat([]byte("answer. "), 1<<20)
	m := startMember(t, Config{}, func(_ *member, b Batch) {
		if b.Closed == nil {
			b.Conn.Write(answer)
			b.Conn.Close("enough")
			b.Conn.Write([]byte("never"))
			b.Conn.Done(b.Count)
		}
	})
	c := m.dial()
	send(t, c, frame("please"))
	want(t, c, answer[:8])
	send(t, c, bytes.Repeat(frame("more"), 1000))
	if got := wantEnd(t, c); len(got) != len(answer)-8 {
		t.Errorf("%d bytes of %d", len(got)+8, len(answer))
	}
	c.Close()
	if reasons, log := m.stopped(); reasons["enough"] != 1 || strings.Contains(log, "enough") {
		t.Errorf("reasons %v, log %s", reasons, log)
	}
}

func TestRefuseIsLogged(t *testing.T) {
	ended := make(chan error, 1)
	m := startMember(t, Config{}, func(_ *member, b Batch) {
		if b.Closed != nil {
			ended <- b.Closed
			return
		}
		b.Conn.Refuse("malformed request", fmt.Errorf("getData: cut short"))
	})
	c := m.dial()
	send(t, c, frame("x"))
	wantEnd(t, c)
	c.Close()
	if err := <-ended; err != Reason("malformed request") {
		t.Errorf("ended with %v", err)
	}
	if reasons, log := m.stopped(); reasons["malformed request"] != 1 || !strings.Contains(log, "getData: cut short") {
		t.Errorf("reasons %v, log %s", reasons, log)
	}
}

func TestAbort(t *testing.T) {
	ended := make(chan error, 1)
	m := startMember(t, Config{}, func(_ *member, b Batch) {
		if b.Closed != nil {
			ended <- b.Closed
			return
		}
		b.Conn.Write([]byte("dropped"))
		b.Conn.Abort("moved")
	})
	c := m.dial()
	send(t, c, frame("x"))
	if got := wantEnd(t, c); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	if err := <-ended; err != Reason("moved") {
		t.Errorf("ended with %v", err)
	}
}

// Run ends whatever clients do: idle, waiting for credit, not reading, before their first byte, in a word.
func TestRunEnds(t *testing.T) {
	m := startMember(t, Config{MaxOutstanding: 1}, func(m *member, b Batch) {
		switch {
		case b.Closed != nil || b.Word != "":
		case bytes.Contains(b.Frames, []byte("flood")):
			b.Conn.Write(make([]byte, 20<<20))
		default:
			b.Conn.Write(b.Frames)
		}
	})
	silent, parked, flooded, word := m.dial(), m.dial(), m.dial(), m.dial()
	_ = silent
	send(t, parked, frame("1"))
	want(t, parked, frame("1"))
	send(t, parked, frame("2"))
	send(t, flooded, frame("flood"))
	want(t, flooded, make([]byte, 100))
	send(t, word, []byte("ruok"))
	m.stop()
	for _, c := range []*net.TCPConn{silent, parked, word} {
		wantEnd(t, c)
	}
	if n := m.server.Traffic(); n.Open != 0 || n.Unread != 0 {
		t.Errorf("%+v", n)
	}
}

// Answers of many rounds to many clients at once: nothing is lost, mixed or out of order.
func TestManyClients(t *testing.T) {
	m := startMember(t, Config{GlobalOutstanding: 50}, nil)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			c := m.dial()
			var all [][]byte
			for j := range 500 {
				all = append(all, frame(strings.Repeat(fmt.Sprint(i, " ", j, ";"), 1+j%40)))
			}
			stream := slices.Concat(all...)
			var writing sync.WaitGroup
			writing.Go(func() {
				for part := range slices.Chunk(stream, 997*(1+i%7)) {
					if _, err := c.Write(part); err != nil {
						t.Error(err)
						return
					}
				}
			})
			got := make([]byte, len(stream))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, stream) {
				t.Errorf("client %d: %v, equal %v", i, err, bytes.Equal(got, stream))
			}
			writing.Wait()
		})
	}
	wg.Wait()
	if n := m.server.Traffic(); n.Received != 40*500 {
		t.Errorf("%+v", n)
	}
}

func TestBacklogIsTaken(t *testing.T) {
	m := startMember(t, Config{Backlog: 7}, nil)
	c := m.dial()
	send(t, c, frame("x"))
	want(t, c, frame("x"))
}

// lengthOnly is a frame that never comes whole.
func lengthOnly(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
