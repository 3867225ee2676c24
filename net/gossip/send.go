package gossip

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

const (
	answersPerTick = 64  // hellos answered in an interval
	maxAnswers     = 256 // after a quiet time
	newsRoom       = 300 // bytes of the last datagram of a beat that are kept for news
	gossipRoom     = 600 // bytes of news beside a part of the table
	helloRoom      = 900 // size of a hello while probing: its answer brings news of that size
	leaveTo        = 64  // hosts that are told of a leave directly
)

// build makes the beats that everyone gets.
func (c *Core) build() {
	c.stale = false
	head := beat{
		interval: c.cfg.Interval, incarnation: c.self.incarnation,
		cluster: []byte(c.cfg.Cluster), name: []byte(c.cfg.Name),
	}.appendTo(nil)
	const limit = MaxPacket - headerLen - tagLen
	c.templates = [][]byte{head, slices.Clone(head)}
	last := &c.templates[1]
	for _, s := range c.self.says {
		if len(*last)+secHead+5+len(s.body) > limit {
			c.templates = append(c.templates, slices.Clone(head))
			last = &c.templates[len(c.templates)-1]
		}
		*last = appendSaid(*last, s.topic, s.version, s.body)
	}
	if limit-len(*last) < newsRoom {
		c.templates = append(c.templates, slices.Clone(head))
	}
}

// draft begins a datagram: the template, addressed by its cookies.
func (c *Core) draft(template int, flags byte, cookie, echo uint64) *Send {
	if c.stale {
		c.build()
	}
	s := c.sends.take()
	if s.Packet == nil {
		s.Packet = make([]byte, 0, MaxPacket)
	}
	p := append(s.Packet[:headerLen], c.templates[template]...)
	if c.mesh {
		flags |= flagMesh
	}
	p[headerLen] = flags
	binary.BigEndian.PutUint64(p[headerLen+cookieAt:], cookie)
	binary.BigEndian.PutUint64(p[headerLen+echoAt:], echo)
	s.Packet = p
	return s
}

// room is how many bytes a draft can still take.
func room(s *Send, limit int) int { return limit - tagLen - len(s.Packet) }

// pad makes a draft as long as size, sealed.
func pad(s *Send, size int) {
	n := size - tagLen - len(s.Packet) - secHead
	if n < 0 {
		return
	}
	s.Packet = appendHead(s.Packet, secPad, n)
	m := len(s.Packet)
	s.Packet = s.Packet[:m+n]
	clear(s.Packet[m:])
}

// post seals a draft and asks for it to be sent.
func (c *Core) post(s *Send, to netip.AddrPort) {
	c.counter++
	s.To = to
	s.Packet = c.ring.seal(s.Packet, c.cfg.Boot, c.counter)
	c.counters.Sent++
	c.counters.SentBytes += uint64(len(s.Packet))
	c.effects = append(c.effects, s)
}

// beatAll sends the regular beat of a mesh.
func (c *Core) beatAll() {
	if c.stale {
		c.build()
	}
	c.sweeps++
	last := len(c.templates) - 1
	space := MaxPacket - headerLen - tagLen - len(c.templates[last])
	c.extra = c.gather(c.extra[:0], space, c.sweeps%4 == 0)
	for _, h := range c.hosts {
		switch {
		case h.state == Departed, c.cold(h):
		case !h.knows():
			c.greet(h, 0)
		default:
			c.beat(h, flagTick, c.extra)
		}
	}
}

// beat says all that this host has to say, in one datagram or several.
func (c *Core) beat(h *host, flags byte, extra []byte) {
	if c.stale {
		c.build()
	}
	for i := 1; i < len(c.templates); i++ {
		s := c.draft(i, flags, h.cookie, h.theirs)
		if i == len(c.templates)-1 && extra == nil {
			c.beg(s)
		}
		if i == len(c.templates)-1 && len(extra) <= room(s, MaxPacket) {
			s.Packet = append(s.Packet, extra...)
		}
		if h.state == Dead {
			pad(s, c.helloSize()) // a new boot of it must be able to answer
		}
		c.post(s, h.addr)
		flags &^= flagTick // one beat, one mark of the rhythm
	}
}

// send says the least: that this host lives; what is special to h; what is thought
// of h, if it is in doubt; and, while probing, news.
func (c *Core) send(h *host, flags byte, special []byte) {
	if !h.knows() {
		c.greet(h, flags)
		return
	}
	c.post(c.compose(h, flags, special, MaxPacket), h.addr)
}

// sendTable is send, filled up with the part of the table that was asked for.
func (c *Core) sendTable(h *host, after []byte) {
	s := c.compose(h, 0, nil, gossipRoom)
	s.Packet = c.fill(s.Packet, room(s, MaxPacket), after)
	c.post(s, h.addr)
}

func (c *Core) compose(h *host, flags byte, special []byte, news int) *Send {
	s := c.draft(0, flags, h.cookie, h.theirs)
	c.beg(s)
	s.Packet = append(s.Packet, special...)
	if h.state == Suspect || h.state == Dead {
		s.Packet = c.appendMember(s.Packet, h)
	}
	if !c.mesh {
		s.Packet = c.gather(s.Packet, min(room(s, MaxPacket), news), true)
	}
	return s
}

// beg asks for a part of the receiver's table, if this host is new.
func (c *Core) beg(s *Send) {
	if c.hungry() {
		s.Packet[headerLen] |= flagHungry
		s.Packet = appendAfter(s.Packet, c.cursor)
	}
}

// tell makes h hear what is thought of it, with the least state that it will refute.
func (c *Core) tell(h *host, state State) {
	s := c.draft(0, 0, h.cookie, h.theirs)
	m := member{state: state, incarnation: h.incarnation, boot: h.boot, addr: h.addr}
	s.Packet = m.appendTo(s.Packet, h.name)
	c.post(s, h.addr)
}

// helloSize is the size of a hello: no smaller than any answer to it.
func (c *Core) helloSize() int {
	if !c.mesh {
		return helloRoom
	}
	return minPacket + len(c.cfg.Cluster) + MaxName
}

// greet says hello to a host that this one only knows by hearsay.
func (c *Core) greet(h *host, flags byte) {
	if h.addr.IsValid() {
		c.sendHello(h.addr, h.cookie, flags)
	}
}

func (c *Core) sendHello(to netip.AddrPort, cookie uint64, flags byte) {
	s := c.draft(0, flags, cookie, 0)
	c.beg(s)
	pad(s, c.helloSize())
	c.post(s, to)
}

// answer answers a hello, in no more bytes than it had, and not too often: a
// recording must not make this host a source of traffic. Answers are not answered.
func (c *Core) answer(a arrival, cookie uint64) {
	if a.flags&flagAnswer != 0 || c.answers == 0 {
		return
	}
	if minPacket+len(c.cfg.Cluster)+len(c.cfg.Name)-2 > a.size {
		return
	}
	c.answers--
	c.counters.Answered++
	s := c.draft(0, flagAnswer, cookie, a.cookie)
	if !c.mesh {
		if room(s, a.size) > 200 {
			c.beg(s)
		}
		after, ok := a.after()
		news := MaxPacket
		if ok {
			news = gossipRoom / 2
		}
		s.Packet = c.gather(s.Packet, min(room(s, a.size), news), true)
		if ok {
			s.Packet = c.fill(s.Packet, room(s, a.size), after)
		}
	}
	c.post(s, a.from)
}

// setJoins takes the whole Join list; what is known of an address that stays, stays.
func (c *Core) setJoins(addrs []netip.AddrPort) {
	old := c.joins
	c.joins = nil
	for _, a := range addrs {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if !a.Addr().IsValid() || a.Port() == 0 || c.onJoinList(a) {
			continue
		}
		if len(c.joins) == MaxHosts {
			c.drop(TooMany, a)
			break
		}
		j := join{addr: a, cookie: c.drawCookie(), next: c.now}
		if i := slices.IndexFunc(old, func(j join) bool { return j.addr == a }); i >= 0 {
			j = old[i]
		}
		c.joins = append(c.joins, j)
	}
	for _, h := range c.hosts {
		h.joined = c.onJoinList(h.addr)
	}
	c.changed = true
	c.hello()
}

func (c *Core) onJoinList(a netip.AddrPort) bool {
	return slices.ContainsFunc(c.joins, func(j join) bool { return j.addr == a })
}

// hello knocks at the addresses of the Join list where no living host is known.
func (c *Core) hello() {
	for i := range c.joins {
		j := &c.joins[i]
		if c.now < j.next {
			continue
		}
		pause := c.cfg.Interval
		if j.tries++; j.tries > 8 {
			pause = max(pause, time.Second)
		}
		j.next = c.now.add(pause)
		if c.livesAt(j.addr) {
			j.tries, j.next = 0, c.now.add(max(c.cfg.Interval, time.Second))
			continue
		}
		if j.tries > 8 {
			j.cookie = c.drawCookie()
		}
		c.sendHello(j.addr, j.cookie, 0)
	}
}

func (c *Core) livesAt(a netip.AddrPort) bool {
	return slices.ContainsFunc(c.hosts, func(h *host) bool { return h.addr == a && h.lives() })
}

// say replaces what this host says under a topic.
func (c *Core) say(t Topic, body []byte) {
	s := c.self.said(t)
	if len(body) > MaxBody || s == nil && len(c.self.says) == MaxTopics {
		c.drop(TooLong, netip.AddrPort{})
		return
	}
	if s == nil {
		c.self.says = append(c.self.says, said{topic: t})
		s = &c.self.says[len(c.self.says)-1]
	}
	s.version++
	s.body = append(s.body[:0], body...)
	c.stale = true
	c.spreadSaid(c.self, s)
}

// A shouted is a shout that is still worth sending to a host met late.
type shouted struct {
	topic Topic
	body  []byte
	at    instant
}

const keptShouts = 8

// shout sends an event to every host that rides the topic. One whose cookie is
// not known yet gets it after a handshake, if that does not take too long.
func (c *Core) shout(t Topic, body []byte) {
	if len(body) > MaxBody {
		c.drop(TooLong, netip.AddrPort{})
		return
	}
	k := &c.shouts[c.shoutSeq%keptShouts]
	c.shoutSeq++
	k.topic, k.at, k.body = t, c.now, append(k.body[:0], body...)
	for _, h := range c.hosts {
		switch {
		case !h.lives() || h.said(t) == nil:
			h.owed = c.shoutSeq
		case h.knows():
			c.sendShout(h, k)
			h.owed = c.shoutSeq
		default:
			c.greet(h, 0)
		}
	}
}

func (c *Core) sendShout(h *host, k *shouted) {
	s := c.draft(0, 0, h.cookie, h.theirs)
	s.Packet = appendShout(s.Packet, k.topic, k.body)
	c.counters.Shouts++
	c.post(s, h.addr)
}

// catchUp sends the shouts that h missed because the handshake came first.
func (c *Core) catchUp(h *host) {
	h.owed = max(h.owed, c.shoutSeq-min(c.shoutSeq, keptShouts))
	for ; h.owed < c.shoutSeq; h.owed++ {
		k := &c.shouts[h.owed%keptShouts]
		if h.said(k.topic) != nil && c.now.since(k.at) <= scale(c.cfg.Interval, c.cfg.Lost) {
			c.sendShout(h, k)
		}
	}
}

// leave tells the others that this host goes: twice, because nobody will ask.
func (c *Core) leave() {
	c.left = true
	var tell []*host
	for _, h := range c.hosts {
		if h.lives() && h.knows() {
			tell = append(tell, h)
		}
	}
	if len(tell) > leaveTo {
		c.cfg.Rand.Shuffle(len(tell), func(i, j int) { tell[i], tell[j] = tell[j], tell[i] })
		tell = tell[:leaveTo]
	}
	for range 2 {
		for _, h := range tell {
			s := c.draft(0, 0, h.cookie, h.theirs)
			s.Packet = appendHead(s.Packet, secLeave, 0)
			c.post(s, h.addr)
		}
	}
}
