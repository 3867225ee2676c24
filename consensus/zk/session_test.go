package zk

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/ha/consensus/jute"
)

// What was sent fails when the connection is lost; what was not waits and is sent on the next one, behind
// the proofs and the watches; the session is taken up with its password and what was seen.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		cfg := s.config()
		cfg.Servers = []string{"one:1", "two:2"}
		cfg.Auth = []Auth{{"digest", []byte("a:b")}}
		c := s.run(cfg)
		p, ask := s.session(4*time.Second, 77)
		if ask.SessionID != 0 || ask.Timeout != 6000 || !ask.HasReadOnly || ask.ReadOnly {
			t.Fatalf("asked %+v", ask)
		}
		if xid := p.want(jute.OpAuth, ""); xid != jute.XidAuth {
			t.Fatalf("xid %d", xid)
		}
		p.reply(jute.XidAuth, 0, 0, nil)
		get := c.Start(t.Context(), jute.Request{Op: jute.OpGetData, Path: "/seen"})
		p.reply(p.want(jute.OpGetData, "/seen"), 99, 0, data("x"))
		if r, err := get.Wait(t.Context()); err != nil || string(r.Data) != "x" || r.Zxid != 99 {
			t.Fatalf("%+v %v", r, err)
		}
		watched := make(chan *Watch)
		go func() {
			w, err := c.Watch(t.Context(), "/w", Recursive)
			noError(t, err)
			watched <- w
		}()
		p.reply(p.want(jute.OpAddWatch, "/w"), 99, 0, jute.AppendInt(nil, 0))
		w := <-watched
		if ch := w.Take(); !ch.Again {
			t.Fatalf("%+v", ch)
		}
		ones := make(chan *OneShot, 1)
		go func() {
			_, _, one, _ := c.ExistsW(t.Context(), "/e")
			ones <- one
		}()
		p.reply(p.want(jute.OpExists, "/e"), 99, jute.NoNode, nil)
		one := <-ones

		sent := c.Start(t.Context(), jute.Request{Op: jute.OpSetData, Path: "/sent", Version: -1})
		p.want(jute.OpSetData, "/sent")
		began := time.Now()
		p.Close()
		_, err := sent.Wait(t.Context())
		if !isCode(err, jute.ConnectionLoss) || !Uncertain(err) {
			t.Fatalf("sent and lost: %v", err)
		}
		first, second := <-s.addrs, <-s.addrs
		if first == second {
			t.Errorf("the same server %s is tried again first", first)
		}
		waits := c.Start(t.Context(), jute.Request{Op: jute.OpSetData, Path: "/waits", Version: -1})
		p = s.accept()
		ask = p.hello()
		if ask.SessionID != 77 || ask.LastZxidSeen != 99 || len(ask.Password) != 16 {
			t.Fatalf("asked %+v", ask)
		}
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("connected again after %v", d)
		}
		p.grant(4*time.Second, 77)
		p.want(jute.OpAuth, "")
		xid, r := p.request()
		if xid != jute.XidSetWatches || r.Op != jute.OpSetWatches2 || r.Watches.RelativeZxid != 99 ||
			len(r.Watches.Recursive) != 1 || r.Watches.Recursive[0] != "/w" || len(r.Watches.Exist) != 1 {
			t.Fatalf("watches set again: %d %+v %+v", xid, r, r.Watches)
		}
		p.event(jute.EventCreated, "/e")
		p.reply(jute.XidAuth, 0, 0, nil)
		p.reply(jute.XidSetWatches, 99, 0, nil)
		if e := eventOf(t, one); e.Type != jute.EventCreated || e.Path != "/e" {
			t.Errorf("event %+v", e)
		}
		p.reply(p.want(jute.OpSetData, "/waits"), 100, 0, stat())
		if _, err := waits.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ch := w.Take(); !ch.Again {
			t.Errorf("after a lost connection: %+v, want Again", ch)
		}
		st := waitPhase(t, c, Connected)
		if st.Connections != 2 || st.Session.ID != 77 || st.Timeout != 4*time.Second {
			t.Errorf("state %+v", st)
		}
	})
}

// A wait that is given up does not shift the replies of others.
func TestCancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		c := s.run(s.config())
		p, _ := s.session(6*time.Second, 1)
		ctx, cancel := context.WithCancel(t.Context())
		a := c.Start(ctx, jute.Request{Op: jute.OpGetData, Path: "/a"})
		b := c.Start(t.Context(), jute.Request{Op: jute.OpGetData, Path: "/b"})
		xa, xb := p.want(jute.OpGetData, "/a"), p.want(jute.OpGetData, "/b")
		cancel()
		if _, err := a.Wait(ctx); !errors.Is(err, context.Canceled) || !Uncertain(err) {
			t.Fatalf("%v", err)
		}
		p.reply(xa, 1, 0, data("a"))
		p.reply(xb, 1, 0, data("b"))
		if r, err := b.Wait(t.Context()); err != nil || string(r.Data) != "b" {
			t.Fatalf("%+v %v", r, err)
		}
		// One that was not sent yet never will be.
		p.Close()
		waitPhase(t, c, Suspended)
		p = s.accept()
		c1 := c.Start(ctx, jute.Request{Op: jute.OpDelete, Path: "/never"})
		c2 := c.Start(t.Context(), jute.Request{Op: jute.OpDelete, Path: "/later"})
		if _, err := c1.Wait(ctx); !errors.Is(err, context.Canceled) || Uncertain(err) {
			t.Fatalf("%v", err)
		}
		p.hello()
		p.grant(6*time.Second, 1)
		p.reply(p.want(jute.OpDelete, "/later"), 2, 0, nil)
		if _, err := c2.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(c.pipe.slots); n != 0 {
			t.Errorf("%d requests counted as under way, none is", n)
		}
	})
}

// Pings go out only when nothing else does, and a silent server is left at two thirds of the timeout.
func TestPingsAndSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		c := s.run(s.config())
		began := time.Now()
		p, _ := s.session(6*time.Second, 1)
		if xid := p.want(jute.OpPing, ""); xid != jute.XidPing || time.Since(began) != 2*time.Second {
			t.Fatalf("ping %d after %v", xid, time.Since(began))
		}
		asked := time.Now()
		time.Sleep(10 * time.Millisecond)
		p.reply(jute.XidPing, 5, 0, nil)
		synctest.Wait()
		if l := c.Lease(); l.Until(false) != asked.Add(6*time.Second) || l.Until(true) != began.Add(6*time.Second) {
			t.Errorf("alive until %v and %v", l.Until(false).Sub(asked), l.Until(true).Sub(began))
		}
		for range 5 { // traffic both ways: no ping
			time.Sleep(1900 * time.Millisecond)
			k := c.Start(t.Context(), jute.Request{Op: jute.OpSync, Path: "/"})
			p.reply(p.want(jute.OpSync, "/"), 5, 0, jute.AppendString(nil, "/"))
			_, err := k.Wait(t.Context())
			noError(t, err)
		}
		quiet := time.Now()
		if l := c.Lease(); l.Until(true) != quiet.Add(6*time.Second) {
			t.Errorf("a sync went through: alive until %v", l.Until(true).Sub(quiet))
		}
		p.want(jute.OpPing, "")
		waitPhase(t, c, Suspended)
		if d := time.Since(quiet); d < 4*time.Second || d > 4100*time.Millisecond {
			t.Errorf("given up after %v of silence, want 4s", d)
		}
	})
}

// Writes that are not answered, while more are sent, do not keep the client from asking whether the server
// is there.
func TestPingBesideStuckWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		c := s.run(s.config())
		p, _ := s.session(6*time.Second, 1)
		pings := 0
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for range 20 {
				c.Start(t.Context(), jute.Request{Op: jute.OpSetData, Path: "/a"})
				time.Sleep(500 * time.Millisecond)
			}
		})
		for began := time.Now(); time.Since(began) < 9*time.Second; {
			if xid, _ := p.request(); xid == jute.XidPing {
				p.reply(jute.XidPing, 1, 0, nil)
				pings++
			}
		}
		if st, _ := c.State(); pings < 3 || st.Connections != 1 {
			t.Errorf("%d pings, %d connections", pings, st.Connections)
		}
	})
}

// Only the server says that a session is over; then what waited fails, watches end, and so does the client.
func TestExpiry(t *testing.T) {
	for _, renew := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t)
			cfg := s.config()
			cfg.Renew = renew
			c := s.run(cfg)
			p, _ := s.session(6*time.Second, 1)
			ones := make(chan *OneShot, 1)
			go func() {
				_, _, one, _ := c.GetW(t.Context(), "/a")
				ones <- one
			}()
			p.reply(p.want(jute.OpGetData, "/a"), 1, 0, data("a"))
			one := <-ones
			p.Close()
			time.Sleep(20 * time.Second) // far beyond the timeout: still suspended, nobody has said more
			if st, _ := c.State(); st.Phase != Suspended {
				t.Fatalf("state %+v", st)
			}
			waits := c.Start(t.Context(), jute.Request{Op: jute.OpGetData, Path: "/b"})
			// The attempts of those 20 seconds are waiting; the client has given them up.
			for len(s.conns) > 0 {
				<-s.conns
			}
			p = s.accept()
			if ask := p.hello(); ask.SessionID != 1 {
				t.Fatalf("asked %+v", ask)
			}
			p.grant(0, 0)
			if _, err := waits.Wait(t.Context()); !isCode(err, jute.SessionExpired) || Uncertain(err) {
				t.Errorf("what waited: %v", err)
			}
			if e := eventOf(t, one); !errors.Is(e.Err, jute.SessionExpired) {
				t.Errorf("watch: %+v", e)
			}
			if !renew {
				st := waitPhase(t, c, Closed)
				if !isCode(st.Err, jute.SessionExpired) || !isCode(c.Close(), jute.SessionExpired) || c.Lease().Session != 0 {
					t.Errorf("state %+v", st)
				}
				return
			}
			if _, ask := s.session(6*time.Second, 2); ask.SessionID != 0 || ask.LastZxidSeen != 1 {
				t.Fatalf("asked %+v", ask)
			}
			if st := waitPhase(t, c, Connected); st.Session.ID != 2 {
				t.Errorf("state %+v", st)
			}
		})
	}
}

// Reads are sent again if the configuration says so, writes never.
func TestRetryReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		cfg := s.config()
		cfg.RetryReads = true
		c := s.run(cfg)
		p, _ := s.session(6*time.Second, 1)
		read := c.Start(t.Context(), jute.Request{Op: jute.OpGetData, Path: "/r"})
		write := c.Start(t.Context(), jute.Request{Op: jute.OpSetData, Path: "/w"})
		p.want(jute.OpGetData, "/r")
		p.want(jute.OpSetData, "/w")
		p.Close()
		if _, err := write.Wait(t.Context()); !isCode(err, jute.ConnectionLoss) {
			t.Fatalf("write: %v", err)
		}
		p, _ = s.session(6*time.Second, 1)
		p.reply(p.want(jute.OpGetData, "/r"), 1, 0, data("r"))
		if r, err := read.Wait(t.Context()); err != nil || string(r.Data) != "r" {
			t.Fatalf("read: %+v %v", r, err)
		}
	})
}

// What a server must not do costs the connection, not the process; a reply that is too long costs its
// request only.
func TestBadServers(t *testing.T) {
	for name, bad := range map[string]func(p peer, xid int32){
		"reply out of order": func(p peer, xid int32) { p.reply(xid+1, 1, 0, data("x")) },
		"unknown pong pair":  func(p peer, _ int32) { p.reply(jute.XidSetWatches, 1, 0, nil) },
		"answer to no proof": func(p peer, _ int32) { p.reply(jute.XidAuth, 0, 0, nil) },
		"negative length":    func(p peer, _ int32) { p.Write([]byte{0xff, 0xff, 0xff, 0xff}) },
		"short frame":        func(p peer, _ int32) { p.send(make([]byte, 15)) },
		"cut body":           func(p peer, xid int32) { p.reply(xid, 1, 0, []byte{0, 0, 0, 9, 1}) },
		"cut event":          func(p peer, _ int32) { p.reply(jute.XidNotification, 1, 0, []byte{0}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t)
				c := s.run(s.config())
				p, _ := s.session(6*time.Second, 1)
				k := c.Start(t.Context(), jute.Request{Op: jute.OpGetData, Path: "/a"})
				bad(p, p.want(jute.OpGetData, "/a"))
				_, err := k.Wait(t.Context())
				if !isCode(err, jute.ConnectionLoss) && !errors.Is(err, ErrProtocol) {
					t.Fatalf("error %v", err)
				}
				s.session(6*time.Second, 1)
				waitPhase(t, c, Connected)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		cfg := s.config()
		cfg.MaxReply = 1000
		c := s.run(cfg)
		p, _ := s.session(6*time.Second, 1)
		long := c.Start(t.Context(), jute.Request{Op: jute.OpGetChildren, Path: "/long"})
		short := c.Start(t.Context(), jute.Request{Op: jute.OpGetData, Path: "/short"})
		p.reply(p.want(jute.OpGetChildren, "/long"), 1, 0, make([]byte, 200_000))
		p.reply(p.want(jute.OpGetData, "/short"), 1, 0, data("x"))
		if _, err := long.Wait(t.Context()); !errors.Is(err, ErrTooLarge) {
			t.Errorf("long: %v", err)
		}
		if _, err := short.Wait(t.Context()); err != nil {
			t.Errorf("short: %v", err)
		}
	})
}

// Attempts become rare, and never all at once.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		cfg := s.config()
		cfg.Servers = []string{"one:1", "two:2", "three:3"}
		var at []time.Duration
		began := time.Now()
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
			at = append(at, time.Since(began))
			return nil, errors.New("refused")
		}
		c := s.run(cfg)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Await(ctx); !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrUnreachable) {
			t.Errorf("await: %v", err)
		}
		if at[2] != 0 || at[3] == 0 {
			t.Errorf("the first round %v: all servers at once, then a pause", at[:4])
		}
		if n := len(at); n < 3*45 || n > 3*90 {
			t.Errorf("%d attempts in a minute", n)
		}
		for i := 3; i < len(at); i++ {
			if d := at[i] - at[i-1]; d > 1500*time.Millisecond {
				t.Errorf("a pause of %v", d)
			}
		}
	})
}

// A client ends its session on the server, and leaves it when it shall live on.
func TestCloseAndDetach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		c := s.run(s.config())
		p, _ := s.session(6*time.Second, 1)
		under := c.Start(t.Context(), jute.Request{Op: jute.OpSetData, Path: "/a"})
		xid := p.want(jute.OpSetData, "/a")
		closed := make(chan error)
		go func() { closed <- c.Close() }()
		last := p.want(jute.OpCloseSession, "")
		p.reply(xid, 1, 0, stat())
		p.reply(last, 2, 0, nil)
		if _, err := under.Wait(t.Context()); err != nil {
			t.Errorf("what was under way: %v", err)
		}
		noError(t, <-closed)

		c = s.run(s.config())
		p, _ = s.session(6*time.Second, 3)
		waitPhase(t, c, Connected)
		left := c.Detach()
		if n, err := p.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("a detached client says more")
		}
		cfg := s.config()
		cfg.Session = left
		s.run(cfg)
		if _, ask := s.session(6*time.Second, 3); ask.SessionID != 3 {
			t.Errorf("asked %+v", ask)
		}
	})
}

// A server without a quorum is left as soon as one with a quorum is found, and its session is no session.
func TestReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		cfg := s.config()
		cfg.ReadOnly = true
		c := s.run(cfg)
		p := s.accept()
		if ask := p.hello(); !ask.ReadOnly {
			t.Fatalf("asked %+v", ask)
		}
		r := jute.ConnectResponse{Timeout: 6000, SessionID: 5, Password: make([]byte, 16), HasReadOnly: true, ReadOnly: true}
		p.send(r.AppendTo(nil))
		waitPhase(t, c, ReadOnly)
		for _, says := range []string{"ro", "rw"} {
			q := s.accept()
			word := make([]byte, 4)
			_, err := io.ReadFull(q, word)
			if noError(t, err); string(word) != "isro" {
				t.Fatalf("asked %q", word)
			}
			_, _ = q.Write([]byte(says))
			q.Close()
		}
		if _, ask := s.session(6*time.Second, 6); ask.SessionID != 0 {
			t.Errorf("a session of a server without quorum is taken along: %+v", ask)
		}
		if st := waitPhase(t, c, Connected); st.Session.ID != 6 {
			t.Errorf("state %+v", st)
		}
	})
}

// Who starts more than the limit waits, as long as the context allows.
func TestInFlightLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		cfg := s.config()
		cfg.MaxInFlight = 2
		c := s.run(cfg)
		p, _ := s.session(6*time.Second, 1)
		for range 2 {
			c.Start(t.Context(), jute.Request{Op: jute.OpDelete, Path: "/a"})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := c.do(ctx, jute.Request{Op: jute.OpDelete, Path: "/b"}); !errors.Is(err, context.DeadlineExceeded) || Uncertain(err) {
			t.Errorf("beyond the limit: %v", err)
		}
		if time.Since(began) != time.Second {
			t.Errorf("waited %v", time.Since(began))
		}
		p.reply(p.want(jute.OpDelete, "/a"), 1, 0, nil)
		third := c.Start(t.Context(), jute.Request{Op: jute.OpDelete, Path: "/c"})
		p.want(jute.OpDelete, "/a")
		p.want(jute.OpDelete, "/c")
		p.Close()
		if _, err := third.Wait(t.Context()); !isCode(err, jute.ConnectionLoss) {
			t.Errorf("%v", err)
		}
	})
}
