package clientport

import "sync"

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
	credit, large := 0, 0
	s.drains = s.drains[:0]
	for _, c := range s.dirty {
		c.dirty = false
		drain, n, bytes := c.publish()
		credit, large = credit+n, large+bytes
		if drain {
			s.drains = append(s.drains, c)
		}
	}
	s.release(credit, large)
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
func (s *Server) release(frames, large int) {
	if large > 0 {
		s.large.Add(-int64(large))
	}
	if frames > 0 && s.outstanding.Add(-int64(frames)) <= int64(s.cfg.GlobalOutstanding) && s.parkedCount.Load() > 0 {
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

// buffers are larger ones that connections take turns with.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
}

const (
	leastBuffer = 16 << 10
	mostBuffer  = 256 << 10 // larger ones are left to the collector
	mostFree    = 64
)

// grow returns a buffer with the content of b and room for need bytes, and may give b away.
func (f *buffers) grow(b []byte, need int) []byte {
	if need <= keepSpare {
		return append(make([]byte, 0, max(64, min(keepSpare, 2*need))), b...)
	}
	var grown []byte
	if need <= leastBuffer {
		f.mu.Lock()
		if n := len(f.free); n > 0 {
			grown, f.free = f.free[n-1], f.free[:n-1]
		}
		f.mu.Unlock()
	}
	if grown == nil {
		grown = make([]byte, 0, max(leastBuffer, need, 2*cap(b)))
	}
	grown = append(grown, b...)
	f.put(b)
	return grown
}

func (f *buffers) put(b []byte) {
	if cap(b) < leastBuffer || cap(b) > mostBuffer {
		return
	}
	f.mu.Lock()
	if len(f.free) < mostFree {
		f.free = append(f.free, b[:0])
	}
	f.mu.Unlock()
}
