package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// bulkAfter is how many reads in a row must fill the buffer before a direction is spliced.
	bulkAfter = 2
	// roundsPerTurn bounds what one direction moves before other connections get their turn.
	roundsPerTurn = 8
)

// event handles what epoll reported about one side of c.
func (w *worker) event(c *conn, side int, events uint32) {
	c.lastUsed = w.tick
	if side == serverSide && c.connecting {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			if err := socketError(c.fd[serverSide]); err != 0 || !connected(c.fd[serverSide]) {
				w.connectFailed(c, err)
				return
			}
		}
		w.established(c)
	}
	in, out := &c.half[side], &c.half[1-side]
	if events&unix.EPOLLOUT != 0 {
		out.writable = true
	}
	if events&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		in.readable = true
		if in.urgent = events&unix.EPOLLPRI != 0; in.urgent {
			in.full = 0 // a splice takes the mark for the end
		}
		// After an error the end of stream must be read, not concluded: it is the error that tells
		// RST from FIN.
		if events&unix.EPOLLERR != 0 {
			if in.eof {
				w.end(c, true)
				return
			}
			in.hangup = false
		} else if events&unix.EPOLLRDHUP != 0 {
			in.hangup = true
		}
		if !w.pump(c, side) {
			return
		}
	}
	if events&unix.EPOLLOUT != 0 && (out.readable || out.pending() || out.eof) {
		w.pump(c, 1-side)
	}
}

// pump moves what it can from side d to the other. It returns false when c has ended.
func (w *worker) pump(c *conn, d int) bool {
	h := &c.half[d]
	if h.pending() && !h.writable {
		return true
	}
	if !w.flush(c, d) {
		return false
	}
	for round := 0; h.readable && h.writable && !h.eof && !h.pending(); round++ {
		if round == roundsPerTurn {
			w.again(c)
			return true
		}
		var ok bool
		if h.full >= bulkAfter {
			ok = w.splice(c, d)
		} else {
			ok = w.copy(c, d)
		}
		if !ok {
			return false
		}
	}
	return w.passEnd(c, d)
}

// copy reads once and writes what it read.
func (w *worker) copy(c *conn, d int) bool {
	h := &c.half[d]
	n, err := recv(c.fd[d], w.buffer)
	switch {
	case err == syscall.EAGAIN:
		h.readable = false
		return true
	case err == syscall.EINTR:
		return true
	case err != 0:
		w.end(c, true)
		return false
	case n == 0:
		h.eof, h.readable = true, false
		return true
	}
	switch {
	case h.urgent:
		// The urgent byte itself is not passed on. Only EAGAIN tells that nothing is left.
		w.givePipe(h)
	case n < len(w.buffer):
		// Drained: what comes later raises an event of its own. If the end of stream was there
		// before this read, nothing can come later.
		h.full, h.readable, h.eof = 0, false, h.hangup
	default:
		h.full++
	}
	return w.write(c, d, w.buffer[:n])
}

// write sends b to the other side of direction d and holds what is not taken.
func (w *worker) write(c *conn, d int, b []byte) bool {
	h := &c.half[d]
	flags := 0
	if h.eof {
		flags = unix.MSG_MORE // the FIN follows at once: one packet carries both
	} else if h.sent && !h.nodelay {
		h.nodelay = true
		setInt(c.fd[1-d], unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	n, err := send(c.fd[1-d], b, flags)
	switch {
	case err == 0:
		h.sent = true
		if d == clientSide && c.connecting {
			w.established(c)
		}
	case err == syscall.EAGAIN:
		n = 0
	case d == clientSide && c.connecting:
		w.hold(h, b)
		w.connectFailed(c, err)
		return false
	default:
		w.end(c, true)
		return false
	}
	c.server.traffic[w.index].bytes[d].Add(uint64(n))
	if n < len(b) {
		w.hold(h, b[n:])
		w.watchRoom(c, d)
	}
	return true
}

func (w *worker) hold(h *half, b []byte) {
	h.held = append(w.blocks.take(len(b)), b...)
}

// flush writes what direction d holds. It returns false when c has ended.
func (w *worker) flush(c *conn, d int) bool {
	h := &c.half[d]
	if h.held != nil && h.writable {
		b := h.held
		h.held = nil
		ok := w.write(c, d, b)
		w.blocks.put(b)
		if !ok {
			return false
		}
	}
	if h.pipe != nil && h.pipe.bytes > 0 && h.writable {
		return w.drainPipe(c, d)
	}
	return true
}

// splice moves up to a pipe full.
func (w *worker) splice(c *conn, d int) bool {
	h := &c.half[d]
	if h.pipe == nil {
		if h.pipe = w.pipes.take(); h.pipe == nil {
			return w.copy(c, d)
		}
	}
	n, err := splice(c.fd[d], h.pipe.write, pipeBytes)
	switch {
	case err == syscall.EAGAIN:
		h.readable = false
		w.givePipe(h)
		return true
	case err == syscall.EINTR:
		return true
	case err == syscall.EINVAL:
		// Not a socket that can be spliced: back to copying, for good measure from the start.
		h.full = 0
		w.givePipe(h)
		return true
	case err != 0:
		w.end(c, true)
		return false
	case n == 0:
		h.eof, h.readable = true, false
		w.givePipe(h)
		return true
	}
	if n < bufferBytes/4 {
		h.full-- // a trickle: copying is cheaper
	} else {
		h.full = bulkAfter + 4
	}
	h.pipe.bytes = n
	return w.drainPipe(c, d)
}

func (w *worker) drainPipe(c *conn, d int) bool {
	h := &c.half[d]
	for h.pipe.bytes > 0 {
		n, err := splice(h.pipe.read, c.fd[1-d], h.pipe.bytes)
		switch {
		case err == syscall.EAGAIN:
			w.watchRoom(c, d)
			return true
		case err == syscall.EINTR:
		case err != 0:
			w.end(c, true)
			return false
		default:
			h.pipe.bytes -= n
			c.server.traffic[w.index].bytes[d].Add(uint64(n))
		}
	}
	if h.full < bulkAfter {
		w.givePipe(h)
	}
	return true
}

func (w *worker) givePipe(h *half) {
	if h.pipe != nil {
		w.pipes.put(h.pipe)
		h.pipe = nil
	}
}

// passEnd passes on the end of stream of side d once everything before it is written, and ends c
// when both directions are done. It returns false when c has ended.
func (w *worker) passEnd(c *conn, d int) bool {
	h := &c.half[d]
	if !h.eof || h.shut || h.pending() {
		return true
	}
	if d == clientSide && c.connecting {
		// A shutdown would abort the handshake. Ask to be told when it is through.
		if !connected(c.fd[serverSide]) {
			w.watchRoom(c, d)
			return true
		}
		w.established(c)
	}
	h.shut = true
	if c.half[1-d].shut {
		w.end(c, false)
		return false
	}
	shutdownWrite(c.fd[1-d])
	if !c.inactive {
		c.inactive = true
		c.server.inactive.Add(1)
		c.server.active.Add(-1)
	}
	return true
}

// again puts c in line for another turn in this round of the loop.
func (w *worker) again(c *conn) {
	if !c.queued {
		c.queued = true
		w.ready = append(w.ready, ref{c.owner, c.gen})
	}
}
