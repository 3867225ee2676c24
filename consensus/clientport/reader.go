package clientport

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// readSize is how much one read takes at most. There are maxReaders such buffers, as many as threads read at
// a time; an idle connection has none. A reader that is stopped while it has one (the collector makes those
// wait that allocate) lets others go on with less: a buffer of scantSize, which is not kept.
const (
	readSize   = 64 << 10
	maxReaders = 8
	scantSize  = 4 << 10
)

// reader is a buffer to read into.
func (s *Server) reader() []byte {
	select {
	case b := <-s.readers:
		return b
	default:
		return make([]byte, scantSize)
	}
}

// readDone takes the buffer back.
func (s *Server) readDone(b []byte) {
	if len(b) == readSize {
		s.readers <- b // never full: it holds as many as there are
	}
}

// tlsReadSize is how much of a record is taken at once; the buffer is the connection's own.
const tlsReadSize = 4 << 10

// errHello says that the head of the connection belongs to TLS.
var errHello = errors.New("a hello of TLS")

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// read serves the connection until it ends, and says why it did.
func (c *Conn) read() error {
	_ = c.nc.SetReadDeadline(time.Now().Add(c.server.cfg.Handshake))
	if c.state.Load() == aborted {
		return errAborted
	}
	if c.secure {
		return c.readTLS()
	}
	err := c.readPlain()
	if err == errHello {
		return c.readTLS()
	}
	return err
}

// readPlain waits for the socket and not in a read, which would need a buffer meanwhile.
func (c *Conn) readPlain() (end error) {
	err := c.raw.Read(func(uintptr) bool {
		for again := true; again && end == nil; {
			again, end = c.readOnce()
		}
		return end != nil
	})
	if end == nil {
		end = err
	}
	return end
}

// readOnce reads what is there, and says whether there may be more: not after a read that did not fill the
// buffer, since the next arrival wakes the reader. That spares a sync client's request one call of two. An
// end that came together with those bytes is not noticed then; but their answer meets a closed socket,
// and who closed only a half has a session that expires.
func (c *Conn) readOnce() (again bool, err error) {
	if c.mustWait() {
		c.park(c.mustWait)
	}
	if c.state.Load() == aborted {
		return false, errAborted
	}
	buf := c.server.reader()
	n, err := transfer(unix.SYS_READ, c.fd, buf)
	var b Batch
	switch {
	case err == unix.EAGAIN:
		c.server.readDone(buf)
		return false, nil
	case err == nil && n == 0:
		err = io.EOF
	case err == nil:
		b, err = c.take(buf[:n])
	}
	c.server.readDone(buf) // before waiting for the member
	return n == len(buf) || b.Word != "", c.deliver(b, err)
}

// readTLS does what readPlain does for a connection with TLS.
func (c *Conn) readTLS() error {
	t, err := c.handshake()
	if err == HTTPRequest {
		c.dismiss(HTTPRequest, httpAnswer)
		return c.readPlain()
	}
	if err != nil {
		return err
	}
	buf := make([]byte, tlsReadSize)
	for {
		if c.mustWait() {
			c.park(c.mustWait)
		}
		if c.state.Load() == aborted {
			return errAborted
		}
		n, err := t.Read(buf)
		if n > 0 {
			b, bad := c.take(buf[:n])
			if bad = c.deliver(b, bad); bad != nil {
				return bad
			}
		}
		if err != nil {
			return err
		}
	}
}

// take makes a batch of bytes that came, perhaps an empty one.
func (c *Conn) take(data []byte) (Batch, error) {
	c.bytesIn.Add(int64(len(data)))
	if c.deaf || c.state.Load() != open {
		return Batch{}, nil
	}
	if !c.greeted {
		c.head = append(c.head, data...)
		if c.server.cfg.TLSOptional && !c.secure && isHello(c.head) {
			return Batch{}, errHello
		}
		switch sniff(c.head, c.server.cfg.MaxFrame) {
		case unclear:
			return Batch{}, nil
		case aWord:
			c.deaf = true
			return Batch{Conn: c, Word: string(c.head[:lengthSize]), Frames: c.head[lengthSize:]}, nil
		case telnet:
			return Batch{}, TelnetInterrupt
		case http:
			c.dismiss(HTTPRequest, httpAnswer)
			return Batch{}, nil
		case hello:
			c.dismiss(TLSOnPlainPort, tlsAnswer)
			return Batch{}, nil
		case framed:
			data, c.head, c.greeted = c.head, nil, true
		}
	}
	frames, count, err := c.in.split(data)
	return Batch{Conn: c, Frames: frames, Count: count}, err
}

// deliver hands a batch to the member, if there is anything in it, and then returns err.
func (c *Conn) deliver(b Batch, err error) error {
	if b.Count == 0 && b.Word == "" {
		return c.weigh(err)
	}
	if !c.born {
		c.born = true
		_ = c.nc.SetReadDeadline(time.Time{})
		if c.state.Load() == aborted { // and its deadline was overwritten
			return errAborted
		}
	}
	c.received.Add(int64(max(b.Count, 1)))
	err = c.weigh(err)
	for b.Count > 0 {
		part := b
		if room := max(1, c.server.cfg.MaxOutstanding-int(c.outstanding.Load())); b.Count > room {
			n := lengthOf(b.Frames, room)
			part.Frames, part.Count = b.Frames[:n:n], room
		}
		b.Frames, b.Count = b.Frames[len(part.Frames):], b.Count-part.Count
		c.outstanding.Add(int64(part.Count))
		c.server.outstanding.Add(int64(part.Count))
		c.weighBatch(&part)
		if !c.server.send(part) {
			return errAborted
		}
		if b.Count > 0 && c.mustWait() {
			c.park(c.mustWait)
		}
		if c.state.Load() != open {
			break
		}
	}
	if b.Word != "" { // a client may close its half before the answer
		if !c.server.send(b) {
			return errAborted
		}
		c.awaitParting()
	}
	return err
}

// weigh counts large frames that have begun, for as long as they are not answered.
func (c *Conn) weigh(err error) error {
	if len(c.in.marks) == 0 {
		return err
	}
	bytes := 0
	for _, m := range c.in.marks {
		bytes += m.bytes
	}
	c.mu.Lock()
	c.marks = append(c.marks, c.in.marks...)
	c.mu.Unlock()
	c.in.marks = c.in.marks[:0]
	if c.server.large.Add(int64(bytes)) > int64(c.server.cfg.MaxLargeFrames) && err == nil {
		return TooMuchLarge
	}
	return err
}

// dismiss answers a stranger and closes.
func (c *Conn) dismiss(reason Reason, answer string) {
	c.deaf = true
	c.mu.Lock()
	c.end = &end{reason: reason, loud: true}
	c.pending = append(c.pending, answer...)
	c.state.CompareAndSwap(open, closing)
	start := !c.busy
	c.busy = true
	c.mu.Unlock()
	if start {
		c.server.flusher.push(c)
	}
}
