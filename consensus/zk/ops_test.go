package zk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

func isCode(err error, code jute.Code) bool { return errors.Is(err, code) }

func TestCreateReadChangeDelete(t *testing.T) {
	eachServer(t, func(t *testing.T, _ *member, c *Client) {
		ctx := within(t)
		path, st, err := c.Create(ctx, "/a", []byte("one"), Persistent, nil)
		noError(t, err)
		if path != "/a" || st.Version != 0 || st.DataLength != 3 {
			t.Fatalf("created %q %+v", path, st)
		}
		_, _, err = c.Create(ctx, "/a", nil, Persistent, nil)
		wantError(t, err, jute.NodeExists, "zk: create /a: node exists")
		_, _, err = c.Create(ctx, "/no/b", nil, Persistent, nil)
		wantError(t, err, jute.NoNode, "zk: create /no/b: no node")

		data, st, err := c.Get(ctx, "/a")
		noError(t, err)
		if string(data) != "one" {
			t.Fatalf("data %q", data)
		}
		_, err = c.Set(ctx, "/a", []byte("two"), st.Version+1)
		wantError(t, err, jute.BadVersion, "zk: setData /a: bad version")
		st, err = c.Set(ctx, "/a", []byte("two"), st.Version)
		noError(t, err)
		if st.Version != 1 || st.Mzxid != c.LastZxid() {
			t.Fatalf("after set %+v, last zxid %d", st, c.LastZxid())
		}
		got, ok, err := c.Exists(ctx, "/a")
		if err != nil || !ok || got != st {
			t.Fatalf("exists %v %v %+v, want %+v", err, ok, got, st)
		}
		if _, ok, err = c.Exists(ctx, "/none"); ok || err != nil {
			t.Fatalf("exists /none: %v %v", ok, err)
		}
		for _, name := range []string{"/a/x", "/a/y"} {
			_, _, err = c.Create(ctx, name, nil, Persistent, nil)
			noError(t, err)
		}
		names, st, err := c.Children(ctx, "/a")
		noError(t, err)
		if slices.Sort(names); !slices.Equal(names, []string{"x", "y"}) || st.NumChildren != 2 {
			t.Fatalf("children %v %+v", names, st)
		}
		n, err := c.Descendants(ctx, "/")
		if noError(t, err); n != 3 {
			t.Fatalf("%d descendants, want 3", n)
		}
		wantError(t, c.Delete(ctx, "/a", Any), jute.NotEmpty, "zk: delete /a: node has children")
		noError(t, c.Delete(ctx, "/a/x", 0))
		noError(t, c.Sync(ctx, "/a"))
		data, _, err = c.Get(ctx, "/a/y")
		if err != nil || data != nil {
			t.Fatalf("data of a znode without: %v %q", err, data)
		}
	})
}

func TestCreateModes(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, c *Client) {
		ctx := within(t)
		st, _ := c.State()
		for _, m := range []struct {
			mode  CreateMode
			path  string
			want  string
			owner int64
		}{
			{Persistent, "/p", "/p", 0},
			{Ephemeral, "/e", "/e", st.Session.ID},
			{Sequential, "/s-", "/s-0000000002", 0},
			{EphemeralSequential, "/es-", "/es-0000000003", st.Session.ID},
			{Container, "/c", "/c", 0},
			{Sequential, "/", "/0000000005", 0},
		} {
			path, stat, err := c.Create(ctx, m.path, nil, m.mode, nil)
			if noError(t, err); path != m.want || stat.EphemeralOwner != m.owner {
				t.Errorf("mode %d of %s: %s, owner %x; want %s, %x", m.mode, m.path, path, stat.EphemeralOwner, m.want, m.owner)
			}
		}
		path, _, err := c.CreateTTL(ctx, "/t", nil, time.Hour, false, nil)
		if noError(t, err); path != "/t" {
			t.Errorf("TTL: %s", path)
		}
		path, _, err = c.CreateTTL(ctx, "/t-", nil, time.Hour, true, nil)
		if noError(t, err); path != "/t-0000000007" {
			t.Errorf("sequential TTL: %s", path)
		}
		mine, err := c.Ephemerals(ctx, "/")
		slices.Sort(mine)
		if noError(t, err); !slices.Equal(mine, []string{"/e", "/es-0000000003"}) {
			t.Errorf("ephemerals %v", mine)
		}
		noError(t, c.Close())
		other := dialRoot(t, s, Config{})
		if _, ok, err := other.Exists(ctx, "/e"); ok || err != nil {
			t.Errorf("an ephemeral outlives its session: %v %v", ok, err)
		}
		if _, _, err := c.Get(ctx, "/p"); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestMulti(t *testing.T) {
	eachServer(t, func(t *testing.T, _ *member, c *Client) {
		ctx := within(t)
		var m Multi
		m.Create("/a", []byte("x"), Persistent, nil)
		m.Create("/a/s-", nil, Sequential, nil)
		m.Create("/a/c", nil, Container, nil)
		m.CreateTTL("/a/t", nil, time.Hour, false, nil)
		m.Set("/a", []byte("y"), 0)
		m.Check("/a", 1)
		results, err := c.Multi(ctx, &m)
		noError(t, err)
		if results[1].Path != "/a/s-0000000000" || results[4].Stat.Version != 1 {
			t.Fatalf("results %+v", results)
		}
		var bad Multi
		bad.Create("/b", nil, Persistent, nil)
		bad.Delete("/a/c", 7)
		bad.Delete("/a/t", Any)
		_, err = c.Multi(ctx, &bad)
		wantError(t, err, jute.BadVersion, "zk: multi: part 2: delete /a/c: bad version")
		if _, ok, err := c.Exists(ctx, "/b"); ok || err != nil {
			t.Fatalf("half a multi: %v %v", ok, err)
		}
		if _, err = c.Multi(ctx, &Multi{}); err != nil {
			t.Fatalf("empty multi: %v", err)
		}
		var r MultiRead
		r.Get("/a")
		r.Children("/a")
		r.Get("/none")
		read, err := c.MultiRead(ctx, &r)
		noError(t, err)
		if string(read[0].Data) != "y" || len(read[1].Children) != 3 || read[0].Err != nil {
			t.Fatalf("read %+v", read)
		}
		wantError(t, read[2].Err, jute.NoNode, "zk: getData /none: no node")
	})
}

func TestACLAndAuth(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, c *Client) {
		ctx := within(t)
		noError(t, c.AddAuth(ctx, "digest", []byte("ann:secret")))
		_, _, err := c.Create(ctx, "/mine", []byte("x"), Persistent, CreatorACL())
		noError(t, err)
		acl, st, err := c.ACL(ctx, "/mine")
		noError(t, err)
		want := []jute.ACL{{Perms: jute.PermAll, ID: DigestID("ann", "secret")}}
		if !slices.Equal(acl, want) {
			t.Fatalf("acl %v, want %v", acl, want)
		}
		ids, err := c.WhoAmI(ctx)
		if noError(t, err); !slices.Contains(ids, jute.ID{Scheme: "digest", ID: "ann"}) {
			t.Fatalf("whoami %v", ids)
		}
		other := dialRoot(t, s, Config{})
		_, _, err = other.Get(ctx, "/mine")
		wantError(t, err, jute.NoAuth, "zk: getData /mine: not authorized")
		again := dialRoot(t, s, Config{Auth: []Auth{{"digest", []byte("ann:secret")}}})
		_, _, err = again.Get(ctx, "/mine")
		noError(t, err)
		st, err = c.SetACL(ctx, "/mine", append(want, ReadACL()...), st.Aversion)
		if noError(t, err); st.Aversion != 1 {
			t.Fatalf("stat %+v", st)
		}
		_, _, err = other.Get(ctx, "/mine")
		noError(t, err)
		if _, _, err := c.Members(ctx); err != nil {
			t.Fatalf("members: %v", err)
		}
		_, _, err = c.Reconfig(ctx, jute.Members{Leaving: "9", ConfigID: -1})
		wantError(t, err, jute.ReconfigDisabled, "reconfig")
	})
}

func TestAuthRefusedEndsTheClient(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, c *Client) {
		err := c.AddAuth(within(t), "nonsense", []byte("x"))
		wantError(t, err, jute.AuthFailed, "zk: auth nonsense: authentication failed")
		<-c.done
		wantError(t, c.Close(), jute.AuthFailed, "zk: auth nonsense")
		st, _ := c.State()
		if st.Phase != Closed {
			t.Errorf("state %+v", st)
		}
	})
}

func TestOneShotWatches(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, c *Client) {
		ctx := within(t)
		writer := dialRoot(t, s, Config{})
		next := func(o *OneShot, typ jute.EventType, path string) {
			t.Helper()
			select {
			case e := <-o.C():
				if e.Type != typ || e.Path != path || e.Err != nil {
					t.Fatalf("event %+v, want %d %s", e, typ, path)
				}
			case <-ctx.Done():
				t.Fatalf("no event %d %s", typ, path)
			}
		}
		_, ok, absent, err := c.ExistsW(ctx, "/a")
		if noError(t, err); ok {
			t.Fatal("it exists")
		}
		_, _, children, err := c.ChildrenW(ctx, "/")
		noError(t, err)
		_, _, _ = writer.Create(ctx, "/a", nil, Persistent, nil)
		next(absent, jute.EventCreated, "/a")
		next(children, jute.EventChildrenChanged, "/")
		_, _, data, err := c.GetW(ctx, "/a")
		noError(t, err)
		_, _, twice, err := c.GetW(ctx, "/a")
		noError(t, err)
		_, err = writer.Set(ctx, "/a", nil, Any)
		noError(t, err)
		next(data, jute.EventDataChanged, "/a")
		next(twice, jute.EventDataChanged, "/a")
		_, _, none, err := c.GetW(ctx, "/none")
		wantError(t, err, jute.NoNode, "/none")
		_, _, gone, err := c.ChildrenW(ctx, "/a")
		noError(t, err)
		noError(t, writer.Delete(ctx, "/a", Any))
		next(gone, jute.EventDeleted, "/a")
		_, _, stopped, err := c.ExistsW(ctx, "/b")
		noError(t, err)
		stopped.Stop()
		_, _, last, err := c.ExistsW(ctx, "/b")
		noError(t, err)
		_, _, _ = writer.Create(ctx, "/b", nil, Persistent, nil)
		next(last, jute.EventCreated, "/b")
		if len(stopped.C())+len(none.C()) > 0 {
			t.Error("a watch fired that was stopped, or never set")
		}
		nothingLeft(t, c)
	})
}

func TestPersistentWatches(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, c *Client) {
		ctx := within(t)
		writer := dialRoot(t, s, Config{})
		all, err := c.Watch(ctx, "/", Recursive)
		noError(t, err)
		here, err := c.Watch(ctx, "/", Here)
		noError(t, err)
		for _, w := range []*Watch{all, here} {
			if ch, err := w.Next(ctx); err != nil || !ch.Again || len(ch.Events) > 0 {
				t.Fatalf("first %+v %v, want Again", ch, err)
			}
		}
		// A one-shot watch on the same path must not end the persistent ones, and must fire.
		_, _, one, err := c.ChildrenW(ctx, "/")
		noError(t, err)
		_, _, _ = writer.Create(ctx, "/a", nil, Persistent, nil)
		if e := eventOf(t, one); e.Type != jute.EventChildrenChanged || e.Path != "/" {
			t.Fatalf("one-shot %+v", e)
		}
		_, _, err = writer.Create(ctx, "/a/b", nil, Persistent, nil)
		noError(t, err)
		_, err = writer.Set(ctx, "/a/b", []byte("x"), Any)
		noError(t, err)
		noError(t, writer.Delete(ctx, "/a/b", Any))
		_, err = writer.Set(ctx, "/", []byte("x"), Any)
		noError(t, err)
		noError(t, c.Sync(ctx, "/")) // a reply to this client comes behind the events
		describe := func(ch Changes) string {
			var parts []string
			for _, e := range ch.Events {
				parts = append(parts, fmt.Sprintf("%d%s", e.Type, e.Path))
			}
			return strings.Join(parts, " ")
		}
		if got, want := describe(all.Take()), "1/a 2/a/b 3/"; got != want {
			t.Errorf("recursive: %s, want %s", got, want)
		}
		if got, want := describe(here.Take()), "4/ 3/"; got != want {
			t.Errorf("here: %s, want %s", got, want)
		}
		all.Close()
		if _, err := all.Next(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		_, _, _ = writer.Create(ctx, "/z", nil, Persistent, nil)
		if ch, err := here.Next(ctx); err != nil || describe(ch) != "4/" {
			t.Errorf("here, with the recursive one closed: %v %s", err, describe(ch))
		}
	})
}

func TestBadPathsAreNotSent(t *testing.T) {
	c, err := New(Config{Servers: []string{"127.0.0.1:1"}, Chroot: "/root"})
	noError(t, err)
	for path, why := range map[string]string{
		"": "is empty", "a": "does not begin", "/a/": "ends with", "/a//b": "empty name", "/a/../b": "is relative", "/./a": "is relative",
		"/a\x00": "U+0000", "/a\x1f": "U+001F", "/\x7f": "U+007F", "/\ue000": "U+E000", "/\ufffe": "U+FFFE", "/\xff": "U+FFFD", "/\U0001F600": "U+1F600",
	} {
		_, _, err := c.Get(t.Context(), path)
		wantError(t, err, jute.BadArguments, why)
	}
	big := make([]byte, DefaultMaxRequest)
	if _, err := c.Set(t.Context(), "/a", big, Any); !errors.Is(err, ErrTooLarge) || Uncertain(err) {
		t.Errorf("a request that is too large: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Set(ctx, "/a", nil, Any); !errors.Is(err, context.Canceled) || Uncertain(err) {
		t.Errorf("cancelled before it was sent: %v, uncertain %v", err, Uncertain(err))
	}
	noError(t, c.Close())
	if err := c.Run(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("run after close: %v", err)
	}
}
