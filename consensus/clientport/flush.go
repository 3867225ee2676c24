package clientport

import (
	"math/bits"
	"sync"
)

// A flusher sends for connections that are not slow, away from the member.
type flusher struct {
	mu    sync.Mutex
	queue []*Conn // each at most once: they are busy
	bell  chan struct{}
}

func (f *flusher) push(conns ...*Conn) {
	f.mu.Lock()
	f.queue = append(f.queue, conns...)
	f.mu.Unlock()
	select {
	case f.bell <- struct{}{}:
	default:
	}
}

// run ends when stop is closed; no connection may be queued any more then.
func (f *flusher) run(stop <-chan struct{}) {
	var work []*Conn
	for {
		select {
		case <-f.bell:
		case <-stop:
			return
		}
		f.mu.Lock()
		work, f.queue = f.queue, work[:0]
		f.mu.Unlock()
		for _, c := range work {
			c.drain()
		}
		clear(work)
	}
}

// few is up to how many connections Flush sends for itself: to wake the flusher costs more.
const few = 1

// Flush makes what the member did to its connections since the last Flush take effect. It does not block.
func (s *Server) Flush() {
	if len(s.dirty) == 0 {
		return
	}
	var back credit
	s.drains = s.drains[:0]
	for _, c := range s.dirty {
		c.dirty = false
		drain, b := c.publish()
		back.add(b)
		if drain {
			s.drains = append(s.drains, c)
		}
	}
	s.release(back)
	for _, c := range s.dirty {
		c.wake()
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
	if len(s.drains) > few {
		s.flusher.push(s.drains...)
	} else {
		for _, c := range s.drains {
			c.drain()
		}
	}
	clear(s.drains)
}

// release takes back what frames held while they were not answered, and lets readers go on.
func (s *Server) release(b credit) {
	if b.large > 0 {
		s.large.Add(-int64(b.large))
	}
	if b.heavy > 0 {
		s.weight.Add(-int64(b.heavy))
	}
	if b.frames > 0 && s.outstanding.Add(-int64(b.frames)) <= int64(s.cfg.GlobalOutstanding) && s.parkedCount.Load() > 0 {
		s.parkMu.Lock()
		for c := range s.parked {
			c.wake()
		}
		s.parkMu.Unlock()
	}
}

func (s *Server) park(c *Conn) {
	s.parkMu.Lock()
	s.parked[c] = struct{}{}
	s.parkMu.Unlock()
	s.parkedCount.Add(1)
}

func (s *Server) unpark(c *Conn) {
	s.parkMu.Lock()
	delete(s.parked, c)
	s.parkMu.Unlock()
	s.parkedCount.Add(-1)
}

// buffers are larger ones that connections take turns with, by size: each twice the one before.
type buffers struct {
	mu   sync.Mutex
	free [sizes][][]byte
	held int // bytes in free
}

const (
	leastBuffer = 16 << 10
	sizes       = 5
	mostBuffer  = leastBuffer << (sizes - 1) // larger ones are left to the collector
	mostHeld    = 2 << 20
)

// sizeFor is the index of the least size for n bytes.
func sizeFor(n int) int { return bits.Len(uint(max(n, 1)-1) / leastBuffer) }

// grow returns a buffer with the content of b and room for need bytes, and may give b away.
func (f *buffers) grow(b []byte, need int) []byte {
	if need <= keepSpare {
		return append(make([]byte, 0, max(64, min(keepSpare, 2*need))), b...)
	}
	grown := append(f.get(need), b...)
	f.put(b)
	return grown
}

func (f *buffers) get(need int) []byte {
	if need > mostBuffer {
		return make([]byte, 0, need+need/2)
	}
	size := sizeFor(need)
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.free[size]); n > 0 {
		b := f.free[size][n-1]
		f.free[size] = f.free[size][:n-1]
		f.held -= cap(b)
		return b
	}
	return make([]byte, 0, leastBuffer<<size)
}

func (f *buffers) put(b []byte) {
	if cap(b) < leastBuffer || cap(b) > mostBuffer {
		return
	}
	size := sizeFor(cap(b))
	if cap(b) < leastBuffer<<size {
		size-- // one that append has made
	}
	f.mu.Lock()
	if f.held+cap(b) <= mostHeld {
		f.free[size] = append(f.free[size], b[:0])
		f.held += cap(b)
	}
	f.mu.Unlock()
}
