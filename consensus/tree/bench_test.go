package tree

import (
	"bufio"
	"bytes"
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"example.org/ha/consensus/jute"
)

// grown is a tree of n znodes of 100 bytes under 100 parents, with paths of 20 bytes.
func grown(n int) *Tree {
	t := New(Config{})
	data := bytes.Repeat([]byte{'d'}, 100)
	h, x := jute.TxnHeader{}, jute.Txn{Type: jute.OpCreate, Data: data, ACL: openList, ParentCVersion: -1}
	for i := range 100 {
		x.Path = fmt.Sprintf("/service%02d", i)
		h.Zxid++
		t.Apply(&h, &x)
	}
	for i := range n {
		x.Path = fmt.Sprintf("/service%02d/%09d", i%100, i)
		h.Zxid++
		t.Apply(&h, &x)
	}
	return t
}

func child(i int) string { return fmt.Sprintf("/service%02d/%09d", i%100, i) }

// cpu reports the processor time of the whole process, which other processes do not disturb much. It is
// called before the loop; what it returns, after.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkLookup(b *testing.B) {
	const n = 100_000
	t := grown(n)
	paths := make([]string, 1<<12)
	for i := range paths {
		paths[i] = child(i * 7919 % n)
	}
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		if t.Node(paths[i&(1<<12-1)]) == nil {
			b.Fatal("lost")
		}
	}
}

func BenchmarkSetData(b *testing.B) {
	const n = 100_000
	t := grown(n)
	x := jute.Txn{Type: jute.OpSetData, Data: make([]byte, 100)}
	h := jute.TxnHeader{Zxid: t.LastZxid(), Type: jute.OpSetData}
	paths := make([]string, 1<<12)
	for i := range paths {
		paths[i] = child(i * 7919 % n)
	}
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		h.Zxid++
		x.Path, x.Version = paths[i&(1<<12-1)], int32(i)
		t.Apply(&h, &x)
	}
}

func BenchmarkPendingSetData(b *testing.B) {
	const n = 100_000
	t := grown(n)
	p := NewPending(t)
	x := jute.Txn{Type: jute.OpSetData, Data: make([]byte, 100)}
	h := jute.TxnHeader{Zxid: t.LastZxid(), Type: jute.OpSetData}
	paths := make([]string, 1<<12)
	for i := range paths {
		paths[i] = child(i * 7919 % n)
	}
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		h.Zxid++
		x.Path, x.Version = paths[i&(1<<12-1)], int32(i)
		p.Add(&h, &x)
		p.Applied(h.Zxid - 1000)
	}
}

func BenchmarkCreateDelete(b *testing.B) {
	t := grown(100_000)
	x := jute.Txn{Path: "/service01/another", Data: make([]byte, 100), ACL: openList, ParentCVersion: -1}
	h := jute.TxnHeader{Zxid: t.LastZxid()}
	defer cpu(b)()
	for b.Loop() {
		h.Zxid++
		x.Type = jute.OpCreate
		t.Apply(&h, &x)
		h.Zxid++
		x.Type = jute.OpDelete
		t.Apply(&h, &x)
	}
}

// BenchmarkStorm is a change that a thousand watchers hear of.
func BenchmarkStorm(b *testing.B) {
	t := grown(1000)
	x := jute.Txn{Type: jute.OpSetData, Path: child(5)}
	h := jute.TxnHeader{Zxid: t.LastZxid()}
	defer cpu(b)()
	for b.Loop() {
		for w := range 1000 {
			t.Watch(x.Path, Watcher(w), Data)
		}
		h.Zxid++
		t.Apply(&h, &x)
		if len(t.Fired()) != 1000 {
			b.Fatal("unheard")
		}
	}
}

// BenchmarkWatches is a watch more and one less, among a million of a thousand watchers, and their memory.
func BenchmarkWatches(b *testing.B) {
	before := heap()
	t := New(Config{})
	paths := make([]string, 10_000)
	for i := range paths {
		paths[i] = child(i)
	}
	for w := range 1000 {
		for i := range 1000 {
			t.Watch(paths[(w*10+i)%len(paths)], Watcher(w), Data)
		}
	}
	held := heap() - before
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		p, w := paths[i*7919%len(paths)], Watcher(i%1000)
		if t.Watching(p, w, Data) == 0 {
			t.Watch(p, w, Child)
			t.Unwatch(p, w, Child)
		}
	}
	b.ReportMetric(float64(held)/1e6, "B/watch")
}

// BenchmarkMillion is a member with a million znodes: its memory, a snapshot and a start.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	before := heap()
	t := grown(n)
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(float64(heap()-before)/n, "B/znode")
	})
	stream := make([]byte, 0, n*260)
	b.Run("walk", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			stream = stream[:0]
			w := t.Snapshot(nil)
			for done := false; !done; {
				stream, done = w.Next(stream, 1000)
			}
		}
	})
	t = nil
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		for b.Loop() {
			if t, _, err := Load(bufio.NewReaderSize(bytes.NewReader(stream), 1<<16), Config{}); err != nil || t.Len() != n+105 {
				b.Fatal(err, t.Len())
			}
		}
	})
}
