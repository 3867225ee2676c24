package zk

import (
	"net"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// No body makes the parser panic, and none makes it hold more than it was sent.
func FuzzParseReply(f *testing.F) {
	st := stat()
	names := jute.AppendStrings(nil, []string{"a", "b"})
	multi := jute.MultiHeader{Type: jute.OpCreate2}.AppendTo(nil)
	multi = append(jute.AppendString(multi, "/a"), st...)
	multi = jute.AppendInt(jute.MultiHeader{Type: jute.OpError, Err: -101}.AppendTo(multi), -101)
	multi = jute.MultiEnd.AppendTo(multi)
	for op, body := range map[jute.Op][]byte{
		jute.OpCreate: jute.AppendString(nil, "/a"), jute.OpCreate2: append(jute.AppendString(nil, "/a"), st...), jute.OpExists: st,
		jute.OpGetData: data("x"), jute.OpGetChildren: names, jute.OpGetChildren2: append(names, st...), jute.OpMulti: multi, jute.OpMultiRead: multi,
		jute.OpGetACL: append(jute.AppendACLs(nil, OpenACL()), st...), jute.OpWhoAmI: jute.AppendIDs(nil, []jute.ID{{Scheme: "ip", ID: "::1"}}),
		jute.OpGetAllChildren: {0, 0, 0, 5}, jute.OpGetEphemerals: names, jute.OpAddWatch: {0, 0, 0, 0}, jute.OpReconfig: data("x"),
	} {
		f.Add(int32(op), body)
	}
	f.Fuzz(func(t *testing.T, op int32, body []byte) {
		r, err := parseReply(jute.Op(op), body)
		if err != nil {
			return
		}
		if n := len(r.Data) + len(r.Children) + len(r.Results) + len(r.ACL); n > len(body) {
			t.Fatalf("%d bytes became %d", len(body), n)
		}
		failed(r.Results)
	})
}

// Whatever a server sends, the client neither panics nor hangs.
func FuzzServer(f *testing.F) {
	frame := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(jute.AppendInt(out, int32(len(p))), p...)
		}
		return out
	}
	granted := (&jute.ConnectResponse{Timeout: 6000, SessionID: 1, Password: make([]byte, 16)}).AppendTo(nil)
	event := jute.WatcherEvent{Type: 1, State: 3, Path: "/a/b"}.AppendTo(jute.ReplyHeader{Xid: -1}.AppendTo(nil))
	f.Add(frame(granted, append(jute.ReplyHeader{Xid: 1, Zxid: 9}.AppendTo(nil), data("x")...), event))
	f.Add(frame(granted, jute.ReplyHeader{Xid: -2}.AppendTo(nil), jute.ReplyHeader{Xid: -4, Err: -115}.AppendTo(nil), jute.ReplyHeader{Xid: -8}.AppendTo(nil)))
	f.Add(frame(make([]byte, 36)))
	f.Fuzz(func(t *testing.T, sent []byte) {
		near, far := net.Pipe()
		c, err := New(Config{Servers: []string{"s:1"}, Session: Session{ID: 1, Password: make([]byte, 16)}, MaxReply: 1 << 16, Auth: []Auth{{"digest", nil}}})
		noError(t, err)
		go func() {
			_ = far.SetDeadline(time.Now().Add(time.Second))
			go func() {
				b := make([]byte, 1<<16)
				for {
					if _, err := far.Read(b); err != nil {
						return
					}
				}
			}()
			_, _ = far.Write(sent)
			far.Close()
		}()
		defer near.Close()
		l := &link{conn: near, timeout: time.Second}
		if err := c.handshake(l); err != nil {
			return
		}
		w := newWatch(c, "/", Recursive)
		c.watches.addStream(w)
		k := c.Start(t.Context(), jute.Request{Op: jute.OpGetData, Path: "/a"})
		if err := c.serve(c.stop, l); err == nil {
			t.Fatal("the server is gone and serve has no error")
		}
		c.pipe.end(ErrClosed)
		<-k.Done()
	})
}
