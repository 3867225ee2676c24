package proxy

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// latencyEvery is how many connections share one measured connect.
const latencyEvery = 16

// adopt makes a conn of an accepted socket: reads what the client may already have sent, picks a
// server and connects to it.
func (w *worker) adopt(fd int32, from *sockaddr, s *service) {
	c := w.conns.take()
	w.open++
	c.fd = [2]int32{fd, -1}
	c.service, c.client = s, from.addrPort()
	c.lastUsed = w.tick
	c.half[clientSide].readable, c.half[serverSide].writable = true, true
	// The listener carries TCP_NODELAY and its children inherit it.
	c.half[serverSide].nodelay = true

	var first []byte
	n, err := recv(fd, w.buffer)
	switch {
	case err == syscall.EAGAIN:
		c.half[clientSide].readable = false
	case err != 0:
		w.end(c, true)
		return
	case n == 0:
		c.half[clientSide].eof = true
	default:
		first = w.buffer[:n]
		c.half[clientSide].readable = n == len(w.buffer)
	}
	if s.options.Load().sendProxy {
		h := ProxyHeader{Source: c.client, Destination: localAddr(fd)}
		first = append(h.AppendTo(make([]byte, 0, 64+len(first))), first...)
	}
	if !w.watch(c, clientSide, false) {
		w.end(c, true)
		return
	}
	w.begin(c)
	w.dial(c, first)
}

// begin sets the time that an attempt may take.
func (w *worker) begin(c *conn) {
	c.patience = w.tick + c.service.options.Load().firstTimeout()
	w.wheel.remove(&c.timer)
	w.wheel.add(&c.timer, c.patience)
}

// dial connects c to a real server it was not offered to yet, and again to another when that fails
// at once. first is what the client said so far; it is written or held. It returns false when c is
// no longer the caller's business: it has ended, or a later attempt took over.
func (w *worker) dial(c *conn, first []byte) bool {
	for {
		if c.attempts < maxAttempts {
			c.server, c.known = c.service.pick(c.client.Addr(), c.tried[:c.attempts], w.tick)
		}
		if c.server == nil {
			c.service.refused.Add(1)
			w.end(c, true)
			return false
		}
		err := w.connect(c, len(first) > 0)
		if err == 0 {
			break
		}
		w.failed(c, err)
	}
	h := &c.half[clientSide]
	h.writable = true
	if len(first) > 0 {
		// Optimistic: on a near network the handshake is through by now. The server side is not
		// registered yet, so no event can be asked for.
		h.watching = true
		if !w.write(c, clientSide, first) {
			return false
		}
	}
	// A sampled connect wants to know its end; a connect nobody waits for does not.
	room := !h.writable || c.dialed != 0 && c.connecting
	if !w.watch(c, serverSide, room) {
		w.end(c, true)
		return false
	}
	if h.readable || h.eof {
		return w.pump(c, clientSide)
	}
	return true
}

// connect opens c's server side and begins the handshake.
func (w *worker) connect(c *conn, dataWaits bool) syscall.Errno {
	to := &c.server.to
	fd, err := socket(to.family(), unix.SOCK_STREAM)
	if err != 0 {
		return err
	}
	if dataWaits {
		// The first data can carry the handshake's last ACK: one packet less.
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
	}
	c.fd[serverSide], c.connecting, c.dialed = fd, true, 0
	if c.server.total.Load()%latencyEvery == 1 {
		c.dialed = time.Now().UnixNano()
	}
	switch err = connect(fd, to); err {
	case 0:
		w.established(c)
	case syscall.EINPROGRESS:
	default:
		closeFD(fd)
		c.fd[serverSide] = -1
		return err
	}
	return 0
}

func (w *worker) established(c *conn) {
	c.connecting = false
	if c.dialed != 0 {
		c.server.latency.Store(time.Now().UnixNano() - c.dialed)
		c.dialed = 0
	}
}

// failed takes c off a server it could not be connected to.
func (w *worker) failed(c *conn, err syscall.Errno) {
	w.blame(c.service, c.server, err)
	c.tried[c.attempts] = c.server
	c.attempts++
	w.leaveServer(c)
}

// connectFailed handles an attempt that failed after dial returned: the client's bytes are held, so
// another server gets all of them.
func (w *worker) connectFailed(c *conn, err syscall.Errno) {
	if err == 0 {
		err = syscall.ECONNRESET
	}
	closeFD(c.fd[serverSide])
	c.fd[serverSide], c.connecting = -1, false
	w.failed(c, err)
	h := &c.half[clientSide]
	first := h.held
	eof, readable := h.eof, h.readable
	*h = half{eof: eof, readable: readable}
	c.half[serverSide] = half{writable: true, nodelay: true}
	w.begin(c)
	w.dial(c, first)
	w.blocks.put(first)
}

// due handles c's timer: a handshake that takes too long, or silence.
func (w *worker) due(c *conn) {
	o := c.service.options.Load()
	if c.connecting {
		switch {
		case connected(c.fd[serverSide]):
		case w.tick < c.patience: // the wheel is shorter than that
			w.wheel.add(&c.timer, c.patience)
			return
		default:
			w.connectFailed(c, syscall.ETIMEDOUT)
			return
		}
		w.established(c)
	}
	if idle := w.tick - c.lastUsed; idle >= o.idleTimeout {
		w.idleEnded.Add(1)
		w.end(c, true)
		return
	}
	w.wheel.add(&c.timer, c.lastUsed+o.idleTimeout)
}
