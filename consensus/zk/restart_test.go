package zk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// A member dies and comes back: the session goes on, with its ephemeral znodes and its watches.
func TestSessionOutlivesTheServer(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := newMember(kind, t.TempDir())
			t.Cleanup(s.kill)
			c := dialMember(t, s, Config{SessionTimeout: 10 * time.Second, RetryReads: true, Auth: []Auth{{"digest", []byte("a:b")}}})
			ctx := within(t)
			_, _, err := c.Create(ctx, "/e", []byte("x"), Ephemeral, CreatorACL())
			noError(t, err)
			w, err := c.Watch(ctx, "/", Recursive)
			noError(t, err)
			_ = w.Take()
			_, _, changes, err := c.GetW(ctx, "/e")
			noError(t, err)
			_, _, appears, err := c.ExistsW(ctx, "/other")
			noError(t, err)
			before, _ := c.State()

			s.kill()
			waitPhase(t, c, Suspended)
			s.start()
			began := time.Now()
			// A read started while no server is there is answered by the first that is.
			data, _, err := c.Get(ctx, "/e")
			if err != nil || string(data) != "x" {
				t.Fatalf("%v %q\n%s", err, data, &s.log)
			}
			after, _ := c.State()
			t.Logf("%s: taken up again %v after the start of the server", kind, after.Since.Sub(began).Round(time.Millisecond))
			if after.Session.ID != before.Session.ID || after.Connections != before.Connections+1 {
				t.Errorf("session %v on connection %d, was %v on %d", after.Session, after.Connections, before.Session, before.Connections)
			}
			if ch, err := w.Next(ctx); err != nil || !ch.Again {
				t.Errorf("after the restart %+v %v, want Again", ch, err)
			}
			_, err = c.Set(ctx, "/e", []byte("y"), Any) // needs the proof
			noError(t, err)
			_, _, err = c.Create(ctx, "/other", nil, Persistent, nil)
			noError(t, err)
			for o, typ := range map[*OneShot]jute.EventType{changes: jute.EventDataChanged, appears: jute.EventCreated} {
				if e := eventOf(t, o); e.Type != typ || e.Err != nil {
					t.Errorf("one-shot %+v, want type %d", e, typ)
				}
			}
			noError(t, c.Sync(ctx, "/"))
			if ch := w.Take(); len(ch.Events) != 2 {
				t.Errorf("persistent %+v, want 2 events", ch)
			}
		})
	}
}

// cut is a network that can be taken away.
type cut struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func (n *cut) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil, errors.New("cut")
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	n.conns = append(n.conns, conn)
	return conn, err
}

func (n *cut) set(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

// The server's word ends a session, and the Lease ended before.
func TestServerSaysExpired(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, watcher *Client) {
		ctx := within(t)
		var n cut
		c := dialRoot(t, s, Config{SessionTimeout: time.Second, Dial: n.dial})
		_, _, err := c.Create(ctx, "/e", nil, Ephemeral, nil)
		noError(t, err)
		_, _, gone, err := watcher.GetW(ctx, "/e")
		noError(t, err)
		n.set(true)
		waitPhase(t, c, Suspended)
		select {
		case e := <-gone.C():
			if e.Type != jute.EventDeleted {
				t.Fatalf("event %+v", e)
			}
		case <-ctx.Done():
			t.Fatal("the session does not expire")
		}
		if l := c.Lease(); !l.Until(false).Before(time.Now()) || l.Until(true).After(l.Until(false)) {
			t.Errorf("the server ended the session while the lease says %v from now", time.Until(l.Until(false)))
		}
		n.set(false)
		st := waitPhase(t, c, Closed)
		if !isCode(st.Err, jute.SessionExpired) {
			t.Errorf("state %+v", st)
		}
	})
}

// Reconnects many times under load from many goroutines: every request has an outcome, and what was
// acknowledged is there.
func TestLoadOverLostConnections(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, _ *Client) {
		ctx := within(t)
		var n cut
		c := dialRoot(t, s, Config{Dial: n.dial, RetryReads: true, MaxInFlight: 64})
		const writers, rounds = 8, 100
		var wg sync.WaitGroup
		acked := make([]int, writers)
		for w := range writers {
			wg.Go(func() {
				path := fmt.Sprintf("/w%d", w)
				for {
					_, _, err := c.Create(ctx, path, []byte("0"), Persistent, nil)
					if err == nil || isCode(err, jute.NodeExists) {
						break
					}
				}
				for i := 1; i <= rounds; i++ {
					_, err := c.Set(ctx, path, fmt.Append(nil, i), Any)
					switch {
					case err == nil:
						acked[w] = i
					case !Uncertain(err):
						t.Errorf("set %s: %v", path, err)
						return
					}
					if _, _, err := c.Get(ctx, path); err != nil {
						t.Errorf("a read that is sent again: %v", err)
						return
					}
				}
			})
		}
		stop := make(chan struct{})
		var cutter sync.WaitGroup
		cutter.Go(func() {
			for i := uint64(1); ; i++ {
				_, changed := c.State()
				select {
				case <-stop:
					return
				case <-changed: // connected again
				}
				if st, _ := c.State(); st.Phase == Connected && st.Connections < 6 {
					n.set(true)
					n.set(false)
				}
			}
		})
		n.set(false) // the first cut
		wg.Wait()
		close(stop)
		cutter.Wait()
		for w, want := range acked {
			data, _, err := c.Get(ctx, fmt.Sprintf("/w%d", w))
			var got int
			_, _ = fmt.Sscan(string(data), &got)
			if err != nil || got < want {
				t.Errorf("/w%d holds %d, acknowledged was %d (%v)", w, got, want, err)
			}
		}
		st, _ := c.State()
		if st.Connections < 2 {
			t.Errorf("%d connections", st.Connections)
		}
	})
}
