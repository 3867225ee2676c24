package clientport

import (
	"time"

	"golang.org/x/sys/unix"
)

// keepSpare is the largest buffer that a connection keeps between answers.
const keepSpare = 512

// Write queues a copy of p.
func (c *Conn) Write(p []byte) {
	if c.over {
		return
	}
	s := c.server
	if unread := c.unread.Load(); unread > 0 {
		if unread+int64(len(c.out)+len(p)) > int64(s.cfg.MaxBacklog) ||
			unread > int64(s.cfg.MaxUnread) && s.unread.Load() > int64(s.cfg.MaxBacklogs) {
			c.over, c.out = true, nil
			c.stopNow(&end{reason: TooMuchUnread, loud: true})
			return
		}
	}
	if need := len(c.out) + len(p); need > cap(c.out) {
		c.out = s.buffers.grow(c.out, need)
	}
	c.out = append(c.out, p...)
	c.writes++
	c.touch()
	if len(c.out) >= s.cfg.MaxUnread { // whether the client takes it must be known before there is more
		drain, back := c.publish()
		s.release(back)
		if drain {
			c.drain()
		}
	}
}

// Done says that n frames are answered, or will not be.
func (c *Conn) Done(n int) {
	c.done += n
	c.touch()
}

// Over says that nothing more goes out: the connection is being closed, or was aborted because its client
// did not read.
func (c *Conn) Over() bool { return c.over }

// Close ends the connection once what is queued has been sent. Later calls, and later Writes, do nothing.
func (c *Conn) Close(reason Reason) { c.close(&end{reason: reason}) }

// Refuse is Close for a mistake of the client: it is logged, with why.
func (c *Conn) Refuse(reason Reason, why error) { c.close(&end{reason: reason, why: why, loud: true}) }

func (c *Conn) close(e *end) {
	if !c.over {
		c.over, c.ask = true, e
		c.touch()
	}
}

// Abort ends the connection at once.
func (c *Conn) Abort(reason Reason) {
	c.over, c.out = true, nil
	c.stopNow(&end{reason: reason})
}

func (c *Conn) touch() {
	if !c.dirty {
		c.dirty = true
		c.server.dirty = append(c.server.dirty, c)
	}
}

// publish moves the member's part to where senders find it, and says whether somebody must become one,
// and what was answered.
func (c *Conn) publish() (drain bool, back credit) {
	back.frames, c.done = c.done, 0
	writes := c.writes
	c.writes = 0
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || c.state.Load() == aborted {
		c.server.buffers.put(c.out)
		c.out = nil
	}
	if c.gone {
		return false, credit{}
	}
	c.sent.Add(int64(writes))
	if len(c.out) > 0 {
		if len(c.pending) == 0 {
			c.pending, c.out, c.spare = c.out, c.spare, nil
		} else {
			c.pending, c.out = append(c.pending, c.out...), c.out[:0]
		}
		c.recount()
	}
	if back.frames > 0 { // after the answers are counted: the reader must see one or the other
		c.outstanding.Add(-int64(back.frames))
		c.answer(&back)
	}
	if c.ask != nil {
		if c.end == nil {
			c.end = c.ask
		}
		c.ask = nil
		c.state.CompareAndSwap(open, closing)
		if c.slow {
			c.hurry()
		}
	}
	drain = !c.busy && (len(c.pending) > 0 || c.state.Load() == closing)
	c.busy = c.busy || drain
	return drain, back
}

// answer takes the marks off large frames and heavy batches that are answered with b's frames.
func (c *Conn) answer(b *credit) {
	c.answered += int64(b.frames)
	c.marks, b.large = settle(c.marks, c.answered)
	c.heavy, b.heavy = settle(c.heavy, c.answered)
	c.weight.Add(-int64(b.heavy))
}

func settle(marks []mark, answered int64) (rest []mark, bytes int) {
	for len(marks) > 0 && marks[0].frame <= answered {
		bytes += marks[0].bytes
		marks = marks[1:]
	}
	return marks, bytes
}

// manyBytes waiting are worth counting even while the socket may take them.
const manyBytes = 64 << 10

// recount tells what waits for a slow client. mu is held.
func (c *Conn) recount() {
	n := int64(0)
	if c.slow || len(c.pending) > manyBytes {
		n = int64(c.left + len(c.cipher) + len(c.pending))
	}
	if before := c.unread.Swap(n); before != n {
		c.server.unread.Add(n - before)
	}
}

// drain sends what is queued. Who calls it has busy, and has it no more afterwards.
func (c *Conn) drain() {
	for c.next() {
		switch err := c.push(); err {
		case nil:
		case unix.EAGAIN:
			c.mu.Lock()
			c.slow, c.left = true, len(c.sending)-c.offset
			c.recount()
			c.mu.Unlock()
			c.hurry()
			go c.drainSlowly()
			return
		default:
			c.lose()
			return
		}
	}
}

// drainSlowly goes on when the socket takes something again.
func (c *Conn) drainSlowly() {
	var end error
	err := c.raw.Write(func(uintptr) bool {
		for {
			before := c.offset
			switch end = c.push(); end {
			case nil:
				if !c.next() {
					return true
				}
				continue
			case unix.EAGAIN:
				if c.offset > before {
					c.mu.Lock()
					c.left = len(c.sending) - c.offset
					c.recount()
					c.mu.Unlock()
					c.hurry()
					c.wake()
				}
				return false
			}
			return true
		}
	})
	if err != nil || end != nil {
		c.lose()
	}
}

// push writes what is in sending until the socket is full.
func (c *Conn) push() error {
	for c.offset < len(c.sending) {
		n, err := transfer(unix.SYS_WRITE, c.fd, c.sending[c.offset:])
		if err != nil {
			return err
		}
		c.offset += n
		c.bytesOut.Add(int64(n))
	}
	return nil
}

// next takes what is to be sent; when there is nothing it gives busy back.
func (c *Conn) next() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recycle()
	for {
		switch {
		case c.state.Load() == aborted:
			c.giveBack()
			return false
		case len(c.cipher) > 0:
			c.sending, c.cipher = c.cipher, nil
		case len(c.pending) > 0 && c.tls == nil:
			c.sending, c.pending = c.pending, nil
		case len(c.pending) > 0:
			c.encrypt()
			continue
		case c.state.Load() == closing:
			c.part()
			continue
		default:
			c.giveBack()
			return false
		}
		if c.slow {
			c.left = len(c.sending)
		}
		if c.unread.Load() > 0 {
			c.recount()
		}
		return true
	}
}

// recycle finds a use for the buffer that has been sent. mu is held.
func (c *Conn) recycle() {
	if c.sending != nil {
		if cap(c.sending) <= keepSpare && c.tls == nil {
			c.spare = c.sending[:0]
		} else {
			c.server.buffers.put(c.sending)
		}
		c.sending, c.offset = nil, 0
	}
}

// part tells the client that nothing follows. mu is held, but not while TLS writes.
func (c *Conn) part() {
	if c.tls != nil && !c.noted {
		c.noted = true
		c.mu.Unlock()
		_ = c.tls.CloseWrite() // an error is the connection's, which ends anyway
		c.mu.Lock()
		return
	}
	c.server.discount(c) // before the client can know, and come again
	_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	if c.state.CompareAndSwap(closing, parted) {
		_ = c.nc.SetReadDeadline(time.Now().Add(linger))
	}
	if c.state.Load() == aborted {
		_ = c.nc.SetDeadline(longAgo)
	}
	c.wake()
}

// lose drops what cannot be sent, and the connection.
func (c *Conn) lose() {
	c.stopNow(&end{reason: ConnectionLost})
	c.mu.Lock()
	c.recycle()
	c.giveBack()
	c.mu.Unlock()
}

// giveBack ends the right to send. mu is held.
func (c *Conn) giveBack() {
	if c.state.Load() == aborted {
		c.cipher, c.pending = nil, nil
	}
	c.busy, c.left, c.slow = false, 0, false
	if c.unread.Load() > 0 {
		c.recount()
		c.wake()
	}
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}
