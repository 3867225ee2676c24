package zk

import (
	"fmt"
	"sync"
	"testing"

	"example.org/ha/consensus/jute"
)

// One session with many requests under way. The figure to read is that of the client and the server
// together; reads of Apache's server leave most of it to the server.
func BenchmarkPipeline(b *testing.B) {
	for kind := range kinds {
		for _, op := range []jute.Op{jute.OpGetData, jute.OpSetData} {
			for _, depth := range []int{1, 16, 100, 1000} {
				b.Run(fmt.Sprintf("%s/%v/%d", kind, op, depth), func(b *testing.B) {
					c := dialRoot(b, shared[kind](), Config{})
					if _, _, err := c.Create(b.Context(), "/x", make([]byte, 100), Persistent, nil); err != nil && !isCode(err, jute.NodeExists) {
						b.Fatal(err)
					}
					r := jute.Request{Op: op, Path: "/x", Version: Any}
					if op == jute.OpSetData {
						r.Data = make([]byte, 100)
					}
					window := make([]*Call, depth)
					b.ReportAllocs()
					n := 0
					for b.Loop() {
						i := n % depth
						if window[i] != nil {
							if _, err := window[i].Wait(b.Context()); err != nil {
								b.Fatal(err)
							}
						}
						window[i] = c.Start(b.Context(), r)
						n++
					}
					for _, k := range window {
						if k != nil {
							<-k.Done()
						}
					}
				})
			}
		}
	}
}

// The client's own cost, without sockets: a request through the pipeline and its reply taken apart.
func BenchmarkClientAlone(b *testing.B) {
	c, err := New(Config{Servers: []string{"s:1"}})
	noError(b, err)
	c.pipe.attached = true
	r := &reader{client: c}
	body := data(string(make([]byte, 100)))
	var buf, reply []byte
	var once sync.Once
	for b.Loop() {
		k := c.Start(b.Context(), jute.Request{Op: jute.OpGetData, Path: "/a/b/c"})
		buf = c.pipe.take(buf[:0], c.board.state.Since)
		reply = append(jute.ReplyHeader{Xid: k.xid, Zxid: 1}.AppendTo(reply[:0]), body...)
		if err := r.take(reply, nil); err != nil {
			b.Fatal(err)
		}
		if _, err := k.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	once.Do(b.ReportAllocs)
}
