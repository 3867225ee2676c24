package consensus

import (
	"bytes"
	"testing"

	"example.org/ha/consensus/jute"
)

// BenchmarkSet prepares, applies and answers sets of 100 bytes, 100 of them pending at a time.
func BenchmarkSet(b *testing.B) {
	w := newWorld(b, nil)
	w.must(createAt("/bench", 0))
	const outstanding = 100
	q := setAt("/bench", -1)
	q.Data = bytes.Repeat([]byte("x"), 100)
	body := q.AppendTo(nil)
	zxid := w.zxid
	out, reply := []byte(nil), []byte(nil)
	queue := make([]proposal, 0, outstanding)
	requests := make([]request, outstanding)
	b.ReportAllocs()
	for b.Loop() {
		r := &requests[len(queue)]
		*r = request{xid: 7, session: alice}
		r.Request, r.err = jute.ParseRequest(jute.OpSetData, body)
		zxid++
		var p proposal
		out, p = w.d.prepare(out, 1_700_000_000_000, zxid, r)
		if queue = append(queue, p); len(queue) < outstanding {
			continue
		}
		for i := range queue {
			o := w.d.apply(&queue[i])
			var code jute.Code
			if reply, code = w.d.appendReply(reply[:0], &requests[i], &o); code != jute.OK {
				b.Fatal(code)
			}
		}
		queue, out = queue[:0], out[:0]
	}
}

// BenchmarkCreate does the same for children of one znode.
func BenchmarkCreate(b *testing.B) {
	w := newWorld(b, nil)
	w.must(createAt("/bench", 0))
	q := createAt("/bench/n-", jute.FlagSequential)
	q.Data = bytes.Repeat([]byte("x"), 100)
	r := w.ask(alice, q)
	out, reply, zxid := []byte(nil), []byte(nil), w.zxid
	b.ReportAllocs()
	for b.Loop() {
		zxid++
		var p proposal
		out, p = w.d.prepare(out[:0], 1_700_000_000_000, zxid, r)
		o := w.d.apply(&p)
		var code jute.Code
		if reply, code = w.d.appendReply(reply[:0], r, &o); code != jute.OK {
			b.Fatal(code)
		}
	}
}

func BenchmarkGetData(b *testing.B) {
	w := newWorld(b, nil)
	q := createAt("/bench", 0)
	q.Data = bytes.Repeat([]byte("x"), 100)
	w.must(q)
	get := getAt("/bench")
	body := get.AppendTo(nil)
	var out []byte
	r := new(request)
	b.ReportAllocs()
	for b.Loop() {
		*r = request{xid: 7, session: alice}
		r.Request, r.err = jute.ParseRequest(jute.OpGetData, body)
		var code jute.Code
		if out, code = w.d.read(out[:0], r); code != jute.OK {
			b.Fatal(code)
		}
	}
}
