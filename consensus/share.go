package consensus

import (
	"encoding/binary"
	"time"
)

// One goroutine serves all clients, so what one of them asks at once must not keep the others waiting: a
// thousand lists of a million children are minutes of work. A client that was told so much in a round
// gets the rest in later ones, and nothing while it does not read.
const (
	roundShare = 1 << 20               // bytes told to one client in one round
	roundTime  = 5 * time.Millisecond  // after which a round takes nothing more
	mostUnread = 1 << 20               // bytes on their way to a client that is told more
	lookAgain  = 20 * time.Millisecond // whether such a client has read
)

// frames takes what one read of a connection gave: whole frames. They are the member's: requests alias
// them.
func (l *loop) frames(c *client, b []byte) {
	if len(c.rest) > 0 {
		c.rest = append(c.rest, b)
		return
	}
	if b = l.work(c, b); len(b) > 0 {
		c.rest = append(c.rest, b)
		if c.stage != deciding {
			l.unfinished = append(l.unfinished, c)
		}
	}
}

// work takes frames apart, as far as the client's stage and share allow, and returns the rest.
func (l *loop) work(c *client, b []byte) []byte {
	for len(b) >= 4 && c.stage != leaving {
		if c.stage == deciding || c.share >= roundShare {
			return b
		}
		n := int(binary.BigEndian.Uint32(b))
		frame := b[4 : 4+n : 4+n]
		b = b[4+n:]
		if c.stage == fresh {
			l.handshake(c, frame)
		} else {
			l.frame(c, frame)
		}
	}
	return nil
}

// resumeWork goes on with the clients that had their share.
func (l *loop) resumeWork() {
	if len(l.unfinished) == 0 {
		return
	}
	clients := append(l.resuming[:0], l.unfinished...)
	clear(l.unfinished)
	l.unfinished = l.unfinished[:0]
	for i, c := range clients {
		clients[i] = nil
		if c.stage == leaving || c.line.Over() {
			c.rest = nil // nobody hears the answers
			continue
		}
		for len(c.rest) > 0 && !stuffed(c) {
			left := l.work(c, c.rest[0])
			if len(left) > 0 {
				c.rest[0] = left
				break
			}
			c.rest = c.rest[1:]
		}
		if len(c.rest) > 0 && c.stage != leaving {
			l.unfinished = append(l.unfinished, c)
		} else {
			c.rest = nil
		}
	}
	l.resuming = clients
}

// stuffed says that a client does not read what it was told.
func stuffed(c *client) bool { return c.line.Traffic().Unread >= mostUnread }

// resumeAt is when the loop must wake for clients whose work is not finished.
func (l *loop) resumeAt(otherwise time.Time) time.Time {
	for _, c := range l.unfinished {
		if !stuffed(c) {
			return l.now
		}
		if at := l.now.Add(lookAgain); at.Before(otherwise) {
			otherwise = at
		}
	}
	return otherwise
}

// reading says that a client which was not heard takes what it was told, slowly: what it says meanwhile,
// pings too, is not read before. That is no reason to end its session.
func (l *loop) reading(c *client) bool {
	if c == nil || c.gone {
		return false
	}
	t := c.line.Traffic()
	progress := t.Unread > 0 && t.BytesOut > c.taken || t.Unread == 0 && len(c.rest) > 0
	c.taken = t.BytesOut
	return progress
}

// heard says that a session's client lives after all, though its time was over.
func (l *loop) heard(id int64) bool {
	if !l.reading(l.owners[id]) {
		return false
	}
	l.reopen(id)
	return true
}
