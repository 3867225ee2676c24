package zk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/ha/consensus/jute"
)

func TestChroot(t *testing.T) {
	for _, c := range []struct{ root, local, full string }{
		{"", "/", "/"}, {"", "/a", "/a"}, {"/r", "/", "/r"}, {"/r", "/a", "/r/a"}, {"/r/s", "/a/b", "/r/s/a/b"},
	} {
		if got := chroot(c.root).full(c.local); got != c.full {
			t.Errorf("%q in %q is %q, want %q", c.local, c.root, got, c.full)
		}
		if got := chroot(c.root).local(c.full); got != c.local {
			t.Errorf("%q out of %q is %q, want %q", c.full, c.root, got, c.local)
		}
	}
	if got := chroot("/r").local("/rx"); got != "/rx" {
		t.Errorf("beside the root: %q", got)
	}
	for path, want := range map[string]string{"/": "/", "/a": "/", "/a/b": "/a"} {
		if got := Parent(path); got != want {
			t.Errorf("above %s is %s", path, got)
		}
	}
}

func TestServerAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"h": "h:2181", "h:1": "h:1", " h:1 ": "h:1", "::1": "[::1]:2181", "[::1]": "[::1]:2181", "[::1]:9": "[::1]:9", "10.0.0.1": "10.0.0.1:2181",
	} {
		if got, err := withPort(text); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":1", "a:b:c", "[::1"} {
		if got, err := withPort(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
	err := Config{Chroot: "/a/", SessionTimeout: -1, MaxWatches: -1}.Check()
	for _, part := range []string{"zk: servers: none given", "zk: chroot: path", "zk: session timeout: -1ns", "zk: max watches: -1"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v: nothing of %q", err, part)
		}
	}
}

// A consumer that does not take learns the latest of each znode, in their order; beyond the limit, that it
// has to list again.
func TestWatchConflates(t *testing.T) {
	w := newWatch(&Client{}, "/", Recursive)
	for i := range 3 * maxChanges {
		w.note(Event{Type: jute.EventDataChanged, Path: fmt.Sprintf("/%d", i%3), Zxid: int64(i)})
	}
	w.note(Event{Type: jute.EventDeleted, Path: "/1", Zxid: 1 << 40})
	ch := w.Take()
	var got []string
	for _, e := range ch.Events {
		got = append(got, fmt.Sprint(e.Type, e.Path))
	}
	if want := []string{"3/0", "3/2", "2/1"}; ch.Again || !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := len(w.order); n > 2*maxChanges {
		t.Errorf("%d places kept", n)
	}
	for i := range maxChanges + 1 {
		w.note(Event{Type: jute.EventCreated, Path: fmt.Sprintf("/%d", i)})
	}
	w.note(Event{Type: jute.EventCreated, Path: "/more"})
	if ch := w.Take(); !ch.Again || len(ch.Events) > 0 {
		t.Errorf("beyond the limit: %v, %d events", ch.Again, len(ch.Events))
	}
	w.note(Event{Type: jute.EventCreated, Path: "/x"})
	w.finish(ErrClosed)
	w.note(Event{Type: jute.EventCreated, Path: "/y"})
	if ch, err := w.Next(t.Context()); err != nil || len(ch.Events) != 1 || !errors.Is(ch.Err, ErrClosed) {
		t.Errorf("the last: %+v %v", ch, err)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("behind the last: %v", err)
	}
}

// On a path with a persistent watch a one-shot watch is not sent: it would end the other on servers up to
// 3.8. It fires all the same, also if the persistent one is closed meanwhile.
func TestOneShotBesidePersistent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		c := s.run(s.config())
		p, _ := s.session(6*time.Second, 1)
		synctest.Wait() // else the watch is set with those of the connection
		watches := make(chan *Watch, 1)
		go func() {
			w, err := c.Watch(t.Context(), "/a", Here)
			noError(t, err)
			watches <- w
		}()
		p.reply(p.want(jute.OpAddWatch, "/a"), 1, 0, jute.AppendInt(nil, 0))
		w := <-watches
		ones := make(chan *OneShot, 1)
		get := func() {
			_, _, o, err := c.GetW(t.Context(), "/a")
			noError(t, err)
			ones <- o
		}
		go get()
		xid, r := p.request()
		if r.Op != jute.OpGetData || r.Watch {
			t.Fatalf("sent %+v", r)
		}
		w.Close() // the answer is under way: the server must keep the watch
		p.reply(xid, 1, 0, data("x"))
		o := <-ones
		go get()
		xid, r = p.request()
		if r.Op != jute.OpGetData || !r.Watch {
			t.Fatalf("without a persistent watch: sent %+v", r)
		}
		p.reply(xid, 1, 0, data("x"))
		o2 := <-ones
		p.event(jute.EventDataChanged, "/a")
		for _, o := range []*OneShot{o, o2} {
			if e := eventOf(t, o); e.Type != jute.EventDataChanged {
				t.Errorf("%+v", e)
			}
		}
		nothingLeft(t, c)
	})
}

func nothingLeft(t *testing.T, c *Client) {
	t.Helper()
	c.watches.mu.Lock()
	defer c.watches.mu.Unlock()
	if c.watches.count != 0 || len(c.watches.relying) != 0 || len(c.watches.streams) != 0 {
		t.Errorf("%d watches, streams %v, relying %v", c.watches.count, c.watches.streams, c.watches.relying)
	}
}

// A persistent watch that the server refuses is an error, and leaves nothing behind.
func TestWatchRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		cfg := s.config()
		cfg.MaxWatches = 1
		c := s.run(cfg)
		p, _ := s.session(6*time.Second, 1)
		synctest.Wait()
		errs := make(chan error)
		go func() {
			_, err := c.Watch(t.Context(), "/a", Recursive)
			errs <- err
		}()
		xid := p.want(jute.OpAddWatch, "/a")
		_, _, _, err := c.GetW(t.Context(), "/b")
		if !errors.Is(err, ErrTooManyWatches) {
			t.Errorf("beyond the limit: %v", err)
		}
		p.reply(xid, 1, jute.Unimplemented, nil)
		p.reply(p.want(jute.OpRemoveWatches, "/a"), 1, jute.NoWatcher, nil)
		wantError(t, <-errs, jute.Unimplemented, "zk: addWatch /a: unimplemented")
		synctest.Wait()
		nothingLeft(t, c)
	})
}

// Many watches are set again in requests that a server takes.
func TestManyWatchesOverReconnect(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, _ *Client) {
		ctx := within(t)
		var n cut
		c := dialRoot(t, s, Config{Dial: n.dial})
		long := strings.Repeat("x", 200)
		const many = 3000
		var ones []*OneShot
		for i := range many {
			_, _, o, err := c.ExistsW(ctx, fmt.Sprintf("/%s%d", long, i))
			noError(t, err)
			ones = append(ones, o)
		}
		frames, requests := c.watches.appendSet(nil, 0)
		if requests < 6 || len(frames) < many*200 {
			t.Fatalf("%d requests of %d bytes in all", requests, len(frames))
		}
		n.set(true)
		waitPhase(t, c, Suspended)
		n.set(false)
		noError(t, c.Sync(ctx, "/"))
		for _, i := range []int{0, many / 2, many - 1} {
			_, _, err := c.Create(ctx, fmt.Sprintf("/%s%d", long, i), nil, Persistent, nil)
			noError(t, err)
			select {
			case e := <-ones[i].C():
				if e.Type != jute.EventCreated {
					t.Errorf("%+v", e)
				}
			case <-ctx.Done():
				t.Fatalf("watch %d is lost", i)
			}
		}
	})
}
