package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// A server is killed under load, 200 times, and started again on what it left. Each client creates
// znodes in a row, many at a time; after the crash those that are there are the first so many of them, at
// least all that were acknowledged and at most all that were sent: nothing acknowledged is lost, nothing
// appears out of order, and what was refused is not there.
func TestKilledUnderLoad(t *testing.T) {
	rounds := 200
	if testing.Short() || underTest() == apache {
		rounds = 10
	}
	s := newZookeeper(t, underTest(), "maxClientCnxns=0\n", "zookeeper.snapCount=2000")
	counts := map[string]int{}
	var acked, kept int
	var start time.Duration
	for round := range rounds {
		k := mustCall(t, s.addr())
		top := fmt.Sprintf("/r%d", round)
		k.must(t, jute.OpCreate, top, nil, open, 0)
		var workers [6]*worker
		for i := range workers {
			p := fmt.Sprintf("%s/w%d", top, i)
			k.must(t, jute.OpCreate, p, nil, open, 0)
			workers[i] = newWorker(t, s.addr(), p)
		}
		var wg sync.WaitGroup
		for _, w := range workers {
			wg.Go(w.write)
			wg.Go(w.read)
		}
		<-time.After(time.Duration(10+round*7%40) * time.Millisecond)
		k.c.Close()
		s.stop(syscall.SIGKILL)
		wg.Wait()
		s.start()
		start = max(start, s.cost)
		k = mustCall(t, s.addr())
		for _, w := range workers {
			counts[w.path] = w.check(t, k)
			acked += int(w.acked.Load())
			kept += counts[w.path]
		}
		k.c.Close()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	// What was there after one crash is there after all of them.
	k := mustCall(t, s.addr())
	for path, n := range counts {
		d := k.must(t, jute.OpGetChildren, path, false)
		if got := len(d.Strings()); got != n {
			t.Errorf("%s had %d znodes after its crash and has %d after the last", path, n, got)
		}
	}
	t.Logf("%d rounds: %d writes acknowledged, %d found; the slowest start took %v", rounds, acked, kept, start)
}

// A worker creates znodes in a row and counts what is acknowledged.
type worker struct {
	*testing.T
	*caller
	path        string
	sent, acked atomic.Int64
	window      chan struct{} // outstanding requests
	done        chan struct{}
}

func newWorker(t *testing.T, addr, path string) *worker {
	return &worker{T: t, caller: mustCall(t, addr), path: path, window: make(chan struct{}, 30), done: make(chan struct{})}
}

// write goes on until the connection ends. Every other request is refused: it creates what exists.
func (w *worker) write() {
	for n := int64(0); ; n++ {
		select {
		case w.window <- struct{}{}:
		case <-w.done:
			return
		}
		var b []byte
		for xid, path := range []string{fmt.Sprintf("%s/%d", w.path, n), w.path} {
			p := append(header(int32(2*n)+int32(xid), jute.OpCreate), body(path, binary.BigEndian.AppendUint64(nil, uint64(n)), open, 0)...)
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
		}
		w.sent.Store(n + 1)
		if _, err := w.c.Write(b); err != nil {
			return
		}
	}
}

func (w *worker) read() {
	defer close(w.done)
	w.c.SetReadDeadline(time.Now().Add(patience))
	for xid := int32(0); ; xid++ {
		b, err := w.caller.read()
		if err != nil {
			return
		}
		d := jute.NewDecoder(b)
		h := d.ReplyHeader()
		want := jute.OK
		if xid%2 == 1 {
			want = jute.NodeExists
			<-w.window
		} else {
			w.acked.Add(1)
		}
		if h.Xid != xid || h.Err != want {
			w.Errorf("%s: answer %+v to request %d", w.path, h, xid)
			return
		}
	}
}

// check says how many znodes are there.
func (w *worker) check(t *testing.T, k *caller) int {
	t.Helper()
	d := k.must(t, jute.OpGetChildren2, w.path, false)
	n, stat := len(d.Strings()), d.Stat()
	if n < int(w.acked.Load()) || n > int(w.sent.Load()) {
		t.Errorf("%s: %d znodes, %d were acknowledged, %d sent", w.path, n, w.acked.Load(), w.sent.Load())
	}
	if int(stat.Cversion) != n || stat.Version != 0 {
		t.Errorf("%s: %d znodes, and its stat is %+v", w.path, n, stat)
	}
	last := int64(0)
	for i := range n {
		d, code, err := k.do(jute.OpGetData, fmt.Sprintf("%s/%d", w.path, i), false)
		if err = errors.Join(err, d.Err()); err != nil || code != jute.OK {
			t.Errorf("%s: of %d znodes, %d is not there: %v %v", w.path, n, i, code, err)
			return n
		}
		data, stat := d.Buffer(), d.Stat()
		if len(data) != 8 || int(binary.BigEndian.Uint64(data)) != i || stat.Czxid <= last {
			t.Errorf("%s/%d: data %x, zxid %x after %x", w.path, i, data, stat.Czxid, last)
		}
		last = stat.Czxid
	}
	return n
}
