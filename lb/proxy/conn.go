package proxy

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// The two sides of a connection, and the two directions by the side they read from.
const (
	clientSide = 0
	serverSide = 1
)

// A conn joins a client's socket to a server's. It belongs to one worker and lives in its slab; an
// idle one holds nothing but this struct and its two descriptors.
type conn struct {
	timer
	fd      [2]int32
	half    [2]half
	service *service
	server  *server
	known   *remembered
	tried   [maxAttempts]*server
	client  netip.AddrPort

	gen        int32 // odd-one-out check for events that outlived the connection
	attempts   uint8
	open       bool
	connecting bool // no proof yet that the server's side is established
	inactive   bool // counted as half-closed
	queued     bool // in the worker's ready list
	lastUsed   int64
	patience   int64 // tick at which the handshake has taken too long
	dialed     int64 // nanoseconds, when sampled
}

// maxAttempts is how many real servers one connection is offered to, the sorry server included.
const maxAttempts = 4

// A half is one direction: from fd[i] to fd[1-i].
type half struct {
	held     []byte // read but not yet written; nil but under backpressure
	pipe     *pipe  // in bulk mode, while bytes are in it or flow
	full     uint8  // reads in a row that filled the buffer
	readable bool   // the source may have more
	writable bool   // the destination took all it was given so far
	hangup   bool   // the source's end of stream has arrived behind what is readable
	urgent   bool   // urgent data is on its way: a read ends there, however much lies behind
	eof      bool   // it has been read
	shut     bool   // and passed on
	sent     bool   // the destination has been written to
	nodelay  bool   // set on the destination: from the second write on Nagle could delay
	watching bool   // the destination is watched for room
}

func (h *half) pending() bool { return h.held != nil || h.pipe != nil && h.pipe.bytes > 0 }

// slab hands out conns by index, so that an epoll event can carry the index.
type slab struct {
	chunks []*[slabChunk]conn
	free   []int32
}

const slabChunk = 256

func (s *slab) at(i int32) *conn { return &s.chunks[i/slabChunk][i%slabChunk] }

func (s *slab) take() *conn {
	if len(s.free) == 0 {
		base := int32(len(s.chunks) * slabChunk)
		s.chunks = append(s.chunks, new([slabChunk]conn))
		for i := int32(slabChunk - 1); i >= 0; i-- {
			s.at(base + i).owner = base + i
			s.free = append(s.free, base+i)
		}
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	c := s.at(i)
	c.open = true
	return c
}

func (s *slab) put(c *conn) {
	*c = conn{timer: timer{owner: c.owner}, gen: (c.gen + 1) & genMask}
	s.free = append(s.free, c.owner)
}

// all calls each open connection.
func (s *slab) all(yield func(*conn) bool) {
	for _, chunk := range s.chunks {
		for i := range chunk {
			if chunk[i].open && !yield(&chunk[i]) {
				return
			}
		}
	}
}

const watchRead = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff

// id is what events about one side of c carry, beside its generation. The server's side has a new
// socket with each attempt, and an event about the one before may still be under way.
func (c *conn) id(side int) int32 {
	if side == serverSide {
		return c.owner<<4 | int32(c.attempts)<<1 | serverSide
	}
	return c.owner << 4
}

// watch registers one side. Edge-triggered: once for the life of the connection, and for room to
// write only where there was none.
func (w *worker) watch(c *conn, side int, room bool) bool {
	events := uint32(watchRead)
	if room {
		events |= unix.EPOLLOUT
	}
	c.half[1-side].watching = room
	return epollControl(w.epfd, unix.EPOLL_CTL_ADD, c.fd[side], events, c.id(side), c.gen) == 0
}

// watchRoom asks for an event when the destination of direction d can take more.
func (w *worker) watchRoom(c *conn, d int) {
	h := &c.half[d]
	h.writable = false
	if !h.watching {
		h.watching = true
		epollControl(w.epfd, unix.EPOLL_CTL_MOD, c.fd[1-d], watchRead|unix.EPOLLOUT, c.id(1-d), c.gen)
	}
}

// end closes both sides and gives everything back. With reset the sides still open get RST.
func (w *worker) end(c *conn, reset bool) {
	for _, fd := range c.fd {
		if fd < 0 {
			continue
		}
		if reset {
			resetOnClose(fd)
		}
		closeFD(fd)
	}
	w.dropHeld(&c.half[clientSide])
	w.dropHeld(&c.half[serverSide])
	w.leaveServer(c)
	w.wheel.remove(&c.timer)
	w.conns.put(c)
	w.open--
}

// leaveServer takes c off its server's counters.
func (w *worker) leaveServer(c *conn) {
	if c.server == nil {
		return
	}
	if c.inactive {
		c.server.inactive.Add(-1)
	} else {
		c.server.active.Add(-1)
	}
	c.service.release(c.known, w.tick)
	c.server, c.known, c.inactive = nil, nil, false
}

func (w *worker) dropHeld(h *half) {
	if h.held != nil {
		w.blocks.put(h.held)
		h.held = nil
	}
	if h.pipe != nil {
		w.pipes.put(h.pipe)
		h.pipe = nil
	}
}
