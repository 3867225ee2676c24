package gossip

import (
	"bytes"
	"slices"
)

// A news is something that not every host knows yet: the state of a host, or, with
// a topic, what it says. Each travels in a bounded number of datagrams, those first
// that went out least often: while a large cluster gets to know itself each host has
// a piece of news about every other, and a death must not wait behind them. Beside
// the news, each datagram carries a few old words in turn, for those who missed
// them.
type news struct {
	host  *host
	topic Topic
	word  bool
}

const (
	meshRounds  = 4 // beats to everyone that carry a piece of news
	probeRounds = 3 // times log2 of the size of the cluster
	oldWords    = 2 // hosts told of in turn
	newsAtOnce  = 40
)

func (c *Core) rounds() uint8 {
	if c.mesh {
		return meshRounds
	}
	return uint8(probeRounds * log2(c.size))
}

// spread makes the state of h news.
func (c *Core) spread(h *host) {
	h.news = c.rounds()
	c.queue(news{host: h}, h.queue)
	h.queue = true
}

// queue puts n at the head of the queue, in which it may be already.
func (c *Core) queue(n news, queued bool) {
	if i := slices.Index(c.fresh, n); queued && i >= 0 {
		copy(c.fresh[1:i+1], c.fresh[:i])
		c.fresh[0] = n
		return
	}
	c.fresh = slices.Insert(c.fresh, 0, n)
}

// spreadSaid makes news of what h says. In a mesh it is none: h says it to all.
func (c *Core) spreadSaid(h *host, s *said) {
	if c.mesh {
		return
	}
	s.news = c.rounds()
	c.queue(news{host: h, topic: s.topic, word: true}, s.queue)
	s.queue = true
}

// gather appends news, and some old words if turn is true, to p, at most space bytes.
// A host that stood still has none, until it knows what became of its own.
func (c *Core) gather(p []byte, space int, turn bool) []byte {
	if c.stalled(c.late) {
		return p
	}
	limit := len(p) + space
	n := min(len(c.fresh), newsAtOnce)
	if n > 0 {
		kept, again := c.kept[:0], c.again[:0]
		for _, item := range c.fresh[:n] {
			q, left := c.appendNews(p, item, limit)
			switch {
			case left == 0:
			case len(q) == len(p):
				kept = append(kept, item)
			default:
				again = append(again, item)
			}
			p = q
		}
		c.kept, c.again = kept, again
		c.requeue(n)
	}
	if turn {
		for range min(oldWords, len(c.hosts)+1) {
			p = c.appendTurn(p, limit)
		}
	}
	return p
}

// requeue puts what is left of the first n pieces of news back among the others:
// those that found no room at the head, those that went out behind the ones that
// did so less often.
func (c *Core) requeue(n int) {
	again, rest := c.again, c.fresh[n:]
	c.fresh = append(c.fresh[:0], c.kept...)
	for len(again) > 0 && len(rest) > 0 {
		if again[0].left() > rest[0].left() {
			c.fresh, again = append(c.fresh, again[0]), again[1:]
		} else {
			c.fresh, rest = append(c.fresh, rest[0]), rest[1:]
		}
	}
	c.fresh = append(append(c.fresh, again...), rest...)
}

// left is in how many datagrams n is still to go.
func (n news) left() uint8 {
	if !n.word {
		return n.host.news
	}
	if s := n.host.said(n.topic); s != nil {
		return s.news
	}
	return 0
}

// fill appends the part of the table that begins after a name, as far as there is room.
func (c *Core) fill(p []byte, space int, after []byte) []byte {
	limit := len(p) + space
	if len(c.hosts) == 0 || space < 2*secHead {
		return p
	}
	p = appendHead(p, secTable, 0)
	start, found := slices.BinarySearchFunc(c.hosts, string(after), compareName)
	if found {
		start++
	}
	for i := range c.hosts {
		h := c.hosts[(start+i)%len(c.hosts)]
		if !h.lives() {
			continue
		}
		q := c.appendMember(p, h)
		if len(q) > limit {
			break
		}
		p = q
		for i := range h.says {
			if q := c.appendWord(p, h, &h.says[i]); len(q) <= limit {
				p = q
			}
		}
	}
	return p
}

// appendNews appends one piece of news and returns in how many more datagrams it
// is to go. If it does not fit, p comes back as it was.
func (c *Core) appendNews(p []byte, n news, limit int) ([]byte, uint8) {
	if !n.word {
		q := c.appendMember(p, n.host)
		switch {
		case len(q) == len(p):
			n.host.news = 0
		case len(q) > limit:
			return p, n.host.news
		default:
			n.host.news--
		}
		n.host.queue = n.host.news > 0
		return q, n.host.news
	}
	s := n.host.said(n.topic)
	if s == nil {
		return p, 0
	}
	q := c.appendWord(p, n.host, s)
	if len(q) > limit {
		return p, s.news
	}
	s.news--
	s.queue = s.news > 0
	return q, s.news
}

// appendTurn appends what is known of the host whose turn it is.
func (c *Core) appendTurn(p []byte, limit int) []byte {
	c.rotation %= len(c.hosts) + 1
	h := c.self
	if c.rotation < len(c.hosts) {
		h = c.hosts[c.rotation]
	}
	c.rotation++
	if h != c.self {
		if !h.lives() {
			return p
		}
		if q := c.appendMember(p, h); len(q) <= limit {
			p = q
		}
	}
	if c.mesh {
		return p
	}
	for i := range h.says {
		if q := c.appendWord(p, h, &h.says[i]); len(q) <= limit {
			p = q
		}
	}
	return p
}

// appendMember appends the state of h, or nothing if it cannot be told: only heard
// of, or at an address that means something here alone.
func (c *Core) appendMember(p []byte, h *host) []byte {
	if h.state == Unheard || !h.addr.IsValid() || h.addr.Addr().Zone() != "" {
		return p
	}
	return member{state: h.state, incarnation: h.incarnation, boot: h.boot, addr: h.addr}.appendTo(p, h.name)
}

func (c *Core) appendWord(p []byte, h *host, s *said) []byte {
	if h == c.self {
		return appendSaid(p, s.topic, s.version, s.body)
	}
	return word{topic: s.topic, version: s.version, boot: h.boot, body: s.body}.appendTo(p, h.name)
}

// hearMember takes what another host thinks of a third, or of this one.
func (c *Core) hearMember(m member) {
	if string(m.name) == c.cfg.Name {
		c.hearOfSelf(m)
		return
	}
	h := c.find(m.name)
	if h == nil {
		if m.state > Suspect || c.full() {
			return
		}
		h = c.add(m.name, m.addr, m.boot)
		h.incarnation = m.incarnation
		c.changed = true
		if !c.mesh {
			c.becomeAlive(h)
		}
		return
	}
	if c.mesh {
		// Who beats to everyone judges for himself; only an address is worth knowing.
		if !h.lives() && m.state == Alive && m.incarnation > h.incarnation {
			h.addr = m.addr
			h.joined = c.onJoinList(h.addr)
		}
		return
	}
	if h.judged() && c.now < h.quietAt() {
		return
	}
	same := m.boot == h.boot
	if m.incarnation < h.incarnation || m.incarnation == h.incarnation && (!same || m.state <= h.state) {
		return
	}
	c.overrule(h, m)
}

// overrule replaces what is thought of h by newer news.
func (c *Core) overrule(h *host, m member) {
	if m.boot != h.boot {
		h.reboot(m.boot, c.drawCookie())
		if h.lives() {
			h.state = Dead // so that it is found again
		}
	}
	h.incarnation = m.incarnation
	switch m.state {
	case Alive:
		if !h.met || !h.lives() {
			h.addr = m.addr
			h.joined = c.onJoinList(h.addr)
		}
		if h.state == Alive {
			c.spread(h)
		}
		c.becomeAlive(h)
	case Suspect:
		switch h.state {
		case Suspect:
			h.since, h.checks = c.now, 0 // a new suspicion, since the last was refuted
			c.spread(h)
		case Alive:
			c.becomeSuspect(h)
		}
	default:
		if h.state != m.state {
			c.becomeLost(h, m.state)
		}
	}
}

// hearOfSelf refutes: whoever thinks that this host is suspect, lost, or still its
// former boot, is overruled by a higher incarnation.
func (c *Core) hearOfSelf(m member) {
	if m.incarnation < c.self.incarnation || m.boot == c.cfg.Boot && m.state == Alive {
		return
	}
	c.self.incarnation = m.incarnation + 1
	c.counters.Refuted++
	c.stale = true
}

// hearWord takes what a host says from another one's mouth.
func (c *Core) hearWord(w word) {
	h := c.find(w.name)
	if h == nil || h.boot != w.boot {
		return
	}
	s := h.said(w.topic)
	switch {
	case s == nil && len(h.says) < MaxTopics:
		h.says = append(h.says, said{topic: w.topic, version: w.version, body: bytes.Clone(w.body)})
		s = &h.says[len(h.says)-1]
	case s != nil && w.version > s.version:
		s.version = w.version
		s.body = append(s.body[:0], w.body...)
	default:
		return
	}
	c.spreadSaid(h, s)
	c.deliver(h, w.topic, s.body, false)
}

// hungry reports whether this host probably knows too few others: it started a
// moment ago, or it did and still learns. News of a single host makes nobody hungry.
func (c *Core) hungry() bool { return c.now < c.hungryUntil }

// feed notes that there was something to learn.
func (c *Core) feed() {
	if c.hungry() {
		c.hungryUntil = c.now.add(scale(c.cfg.Interval, hungryFor+len(c.hosts)/hungryShare))
	}
}

const (
	hungryFor   = 10 // intervals without anything new
	hungryShare = 16 // and one more for that many hosts, so that the whole table comes round
)
