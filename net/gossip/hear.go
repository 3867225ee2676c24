package gossip

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// hear takes one datagram. Until it is accepted nothing is changed but counters.
func (c *Core) hear(from netip.AddrPort, p []byte) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if len(p) < minPacket || len(p) > MaxPacket || p[0] != version {
		c.drop(Malformed, from)
		return
	}
	boot := [16]byte(p[1:17])
	if boot == c.cfg.Boot {
		c.drop(Mirrored, from)
		return
	}
	plain, ok := c.ring.open(c.opened, p)
	if !ok {
		c.drop(Unsealed, from)
		return
	}
	b, err := parseBeat(plain)
	if err != nil {
		c.drop(Garbled, from)
		return
	}
	if string(b.cluster) != c.cfg.Cluster {
		c.drop(WrongCluster, from)
		return
	}
	h := c.find(b.name)
	a := arrival{from: from, boot: boot, counter: binary.BigEndian.Uint64(p[17:headerLen]), size: len(p), beat: b}
	if string(b.name) == c.cfg.Name {
		if reason, ok := c.admitNamesake(a); !ok {
			c.drop(reason, from)
		}
		return
	}
	if reason, ok := c.admit(h, a); !ok {
		c.drop(reason, from)
		return
	}
	c.counters.Heard++
	c.counters.HeardBytes += uint64(len(p))
	c.accept(h, a)
}

// An arrival is a beat that was opened and parsed, and what is known of its way.
type arrival struct {
	beat
	from    netip.AddrPort
	boot    [16]byte
	counter uint64
	size    int // of the datagram
}

// admitNamesake refuses a host with our name. It is told apart from a recording of
// our own past by its echo.
func (c *Core) admitNamesake(a arrival) (Reason, bool) {
	if a.echo == c.selfCookie || c.onJoinCookie(a) != nil {
		return SameName, false
	}
	c.answer(a, c.selfCookie)
	return Hello, false
}

// admit decides whether a beat is live, new, and from the host whose name it bears.
func (c *Core) admit(h *host, a arrival) (Reason, bool) {
	if h == nil {
		cookie := c.strangerCookie(a.name)
		switch {
		case c.full():
			return TooMany, false
		case a.echo == cookie, c.onJoinCookie(a) != nil:
			return 0, true
		}
		c.answer(a, cookie)
		return Hello, false
	}
	known := h.met && a.boot == h.boot
	if known {
		if reason, ok := h.window.look(a.counter); !ok {
			return reason, false
		}
	}
	if a.echo != h.cookie && (!known || a.echo != h.accepted) && c.onJoinCookie(a) == nil {
		c.answer(a, h.cookie)
		return Hello, false
	}
	switch {
	case known && h.state == Departed:
		return Gone, false
	case known, !h.met && a.boot == h.boot:
		return 0, true
	case a.boot == h.former && h.lives():
		return SameName, false // both boots answer for themselves: two hosts
	case h.lives() && h.met && c.now < h.quietAt():
		if h.rival != a.boot {
			h.rival, h.rivalBeats = a.boot, 0
		}
		if h.rivalBeats >= 2 {
			return SameName, false
		}
		return EarlyBoot, false
	}
	return 0, true
}

// onJoinCookie finds the address of the Join list whose hello this beat answers.
func (c *Core) onJoinCookie(a arrival) *join {
	if a.flags&flagAnswer == 0 {
		return nil
	}
	for i := range c.joins {
		if c.joins[i].cookie == a.echo {
			return &c.joins[i]
		}
	}
	return nil
}

// accept believes a beat.
func (c *Core) accept(h *host, a arrival) {
	if h == nil {
		h = c.add(a.name, a.from, a.boot)
		h.owed = c.shoutSeq
		c.changed = true
	}
	if j := c.onJoinCookie(a); j != nil {
		j.cookie = c.drawCookie() // good for one answer
	}
	first := !h.met || h.boot != a.boot
	if first {
		c.meet(h, a)
	}
	h.window.mark(a.counter)
	if h.addr != a.from {
		h.addr = a.from
		h.joined = c.onJoinList(h.addr)
	}
	h.theirs = a.cookie
	h.interval = a.interval
	if mesh := a.flags&flagMesh != 0; mesh != h.mesh {
		h.mesh, c.changed = mesh, true
	}
	if h.rival != [16]byte{} {
		h.rivalBeats++
	}
	h.tune(a.interval)
	h.hear(c.now, a.flags&flagTick != 0)
	c.revive(h, a.incarnation, first)
	c.unfold(h, a.sections)
	if h.state == Departed {
		return
	}
	after, hungry := a.after()
	switch {
	case a.flags&flagAnswer != 0 && c.mesh && !c.stalled(c.late):
		c.beat(h, 0, nil)
	case hungry && !c.mesh && (first || a.flags&(flagAnswer|flagPing) != 0):
		c.sendTable(h, after)
	case a.flags&(flagAnswer|flagPing) != 0:
		c.send(h, 0, nil)
	}
	if first {
		c.catchUp(h)
	}
	c.report(h)
}

// meet takes another boot of h as its present one.
func (c *Core) meet(h *host, a arrival) {
	if h.boot != a.boot {
		h.reboot(a.boot, 0)
		if h.state != Unheard {
			h.state = Dead // so that it is found again
		}
	}
	h.accepted, h.cookie, h.met = a.echo, c.drawCookie(), true
	h.window = window{}
	c.changed = true
}

// revive takes the word of h itself that it lives. In a mesh the word is enough.
// Elsewhere others have heard that it is suspect or lost, and only a higher
// incarnation will convince them: h is told, so that it can say so.
func (c *Core) revive(h *host, incarnation uint32, first bool) {
	if first && !c.mesh && h.former != [16]byte{} && h.incarnation >= incarnation {
		c.tell(h, Suspect) // others know of its former boot, under an incarnation that it has to exceed
	}
	switch {
	case incarnation > h.incarnation && incarnation != 1<<32-1:
		h.incarnation = incarnation
		if h.state == Alive {
			c.spread(h)
		}
		c.becomeAlive(h)
	case first, h.mesh, c.mesh, h.state == Unheard:
		c.becomeAlive(h)
	case h.state != Alive && c.now.since(h.told) >= c.cfg.Interval:
		h.told = c.now
		c.send(h, 0, nil) // carries what is thought of it
	}
}

// unfold reads the sections of an accepted beat.
func (c *Core) unfold(h *host, p []byte) {
	table := false
	for len(p) > 0 {
		var kind byte
		var body []byte
		kind, body, p, _ = cutSection(p)
		switch kind {
		case secSaid:
			c.hearSaid(h, Topic(body[0]), binary.BigEndian.Uint32(body[1:]), body[5:])
		case secShout:
			c.deliver(h, Topic(body[0]), body[1:], true)
		case secLeave:
			c.becomeLost(h, Departed)
		case secMember:
			m, _ := parseMember(body)
			c.hearMember(m)
			if table && c.hungry() {
				c.cursor = string(m.name)
			}
		case secTable:
			table = true
		case secWord:
			w, _ := parseWord(body)
			c.hearWord(w)
		case secAsk:
			name, _, _ := cutName(body)
			c.hearAsk(h, name)
		case secAnswer:
			name, _, _ := cutName(body[4:])
			c.hearAnswer(name, binary.BigEndian.Uint32(body))
		}
	}
}

// hearSaid takes what h says itself.
func (c *Core) hearSaid(h *host, t Topic, version uint32, body []byte) {
	s := h.said(t)
	switch {
	case s == nil:
		if len(h.says) == MaxTopics {
			c.drop(TooLong, h.addr)
			return
		}
		h.says = append(h.says, said{topic: t, version: version, body: bytes.Clone(body)})
		c.spreadSaid(h, &h.says[len(h.says)-1])
	case version < s.version:
		return // overtaken on the way
	case version > s.version:
		s.version = version
		s.body = append(s.body[:0], body...)
		c.spreadSaid(h, s)
	}
	c.deliver(h, t, body, false)
}

func (c *Core) deliver(h *host, t Topic, body []byte, shout bool) {
	e := c.delivers.take()
	e.From, e.Topic, e.Body, e.Shout = h.name, t, body, shout
	c.effects = append(c.effects, e)
}
