package gossip

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A host is another host, or, as Core.self, this one.
type host struct {
	name        string
	addr        netip.AddrPort
	boot        [16]byte
	former      [16]byte // the boot before
	state       State
	since       instant
	incarnation uint32
	gone        bool // no longer in the table
	joined      bool // its address is on the Join list

	// The handshake; see drawCookie.
	cookie   uint64 // what it has to echo
	accepted uint64 // what its present boot echoed when it was accepted; good for that boot
	theirs   uint64 // what it wants to be echoed; 0: not known
	met      bool   // its present boot was accepted
	window   window

	// Another boot that knocks while this one is heard.
	rival      [16]byte
	rivalBeats int // beats of the present boot since then

	detector
	interval time.Duration // as it says
	mesh     bool          // it beats to this host at every interval

	checks uint8 // pings before a suspicion becomes a loss

	told  instant // last unasked reply
	owed  uint64  // the last shout it has been sent
	says  []said
	news  uint8 // packets that shall still carry its member section
	queue bool  // it is in Core.fresh for that
}

// A said is what a host says under one topic.
type said struct {
	topic   Topic
	version uint32
	body    []byte
	news    uint8
	queue   bool
}

func (h *host) said(t Topic) *said {
	for i := range h.says {
		if h.says[i].topic == t {
			return &h.says[i]
		}
	}
	return nil
}

// lives reports whether h counts as alive.
func (h *host) lives() bool { return h.state == Alive || h.state == Suspect }

// judged reports whether the silence of h means something: it promised to beat to
// this host at every interval.
func (h *host) judged() bool { return h.mesh && h.met && h.lives() }

// knows reports whether what this host sends to h will be believed.
func (h *host) knows() bool { return h.theirs != 0 }

// reboot makes h another life of the same name.
func (h *host) reboot(boot [16]byte, cookie uint64) {
	h.former, h.boot = h.boot, boot
	h.cookie, h.accepted, h.met, h.theirs = cookie, 0, false, 0
	h.window = window{}
	h.rival, h.rivalBeats = [16]byte{}, 0
	h.detector = detector{floor: h.floor, average: h.floor}
	h.mesh = false
	h.says = nil
	h.owed = 0
}

func compareName(h *host, name string) int { return cmp.Compare(h.name, name) }

func (c *Core) find(name []byte) *host { return c.names[string(name)] }

// add puts a host into the table. The caller has seen that there is room and that
// the name is new.
func (c *Core) add(name []byte, addr netip.AddrPort, boot [16]byte) *host {
	h := &host{name: string(name), addr: addr, boot: boot, since: c.now, interval: c.cfg.Interval}
	h.cookie = c.strangerCookie(name)
	h.detector.tune(c.cfg.Interval)
	h.joined = c.onJoinList(addr)
	i, _ := slices.BinarySearchFunc(c.hosts, h.name, compareName)
	c.hosts = slices.Insert(c.hosts, i, h)
	c.names[h.name] = h
	c.feed()
	return h
}

func (c *Core) full() bool { return len(c.hosts) >= MaxHosts-1 }

// forget takes h out of the table.
func (c *Core) forget(h *host) {
	i, _ := slices.BinarySearchFunc(c.hosts, h.name, compareName)
	c.hosts = slices.Delete(c.hosts, i, i+1)
	delete(c.names, h.name)
	h.gone = true
	c.fresh = slices.DeleteFunc(c.fresh, func(n news) bool { return n.host == h })
	c.epochCookie = c.drawCookie()
	c.rotation = 0
}

// A host that is silent or gone is remembered for a while: the dead so that a
// split heals even when nobody is on the Join list, the departed so that a late
// beat does not bring them back.
const (
	rememberDead     = time.Hour
	rememberDeparted = 10 * time.Minute
	rememberUnheard  = time.Minute
	beatToDead       = 10 * time.Minute // at every interval; later only now and then
)

func (c *Core) forgetOld() {
	for i := len(c.hosts) - 1; i >= 0; i-- {
		h := c.hosts[i]
		limit := rememberDead
		switch h.state {
		case Alive, Suspect:
			continue
		case Unheard:
			limit = rememberUnheard
		case Departed:
			limit = rememberDeparted
		}
		if c.now.since(h.since) > limit && (!h.joined || h.state == Unheard) {
			c.forget(h)
		}
	}
}

// recount finds out whether this host is to beat to everyone.
func (c *Core) recount() {
	n, dead, suspects, judged := 1, 0, 0, 0
	for _, h := range c.hosts {
		if h.state != Departed && !c.cold(h) {
			n++
		}
		if h.judged() {
			judged++
		}
		switch h.state {
		case Dead:
			dead++
		case Suspect:
			suspects++
		}
	}
	c.size, c.dead, c.suspects, c.judged = n, dead, suspects, judged
	if mesh := n <= c.cfg.Mesh; mesh != c.mesh {
		c.becomeMesh(mesh)
	}
}

// cold reports whether h is dead for so long that it no longer counts.
func (c *Core) cold(h *host) bool {
	return h.state == Dead && !h.joined && c.now.since(h.since) > beatToDead
}

// becomeMesh changes between beating to everyone and probing. The others are told
// at once, because they would take missing beats for death.
func (c *Core) becomeMesh(mesh bool) {
	c.mesh = mesh
	for _, h := range c.hosts {
		if !mesh && h.state == Unheard {
			c.becomeAlive(h)
		}
		if h.lives() && h.knows() {
			c.send(h, 0, nil)
		}
	}
}

func (c *Core) becomeAlive(h *host) {
	if h.state == Alive {
		return
	}
	from := h.state
	h.state, h.since = Alive, c.now
	c.spread(h)
	c.changed = true
	if from != Suspect {
		e := c.founds.take()
		e.Host = c.view(h)
		c.effects = append(c.effects, e)
	}
}

func (c *Core) becomeSuspect(h *host) {
	h.state, h.since, h.checks = Suspect, c.now, 0
	c.changed = true
	if !h.judged() {
		c.spread(h)
	}
	e := c.suspecteds.take()
	e.Host = c.view(h)
	c.effects = append(c.effects, e)
}

// becomeLost makes h Dead or Departed.
func (c *Core) becomeLost(h *host, state State) {
	known := h.lives()
	h.state, h.since = state, c.now
	c.changed = true
	c.spread(h)
	if known {
		e := c.losts.take()
		e.Host, e.Left = c.view(h), state == Departed
		c.effects = append(c.effects, e)
	}
}

// view is h as others may see it.
func (c *Core) view(h *host) Host {
	v := Host{
		Name: h.name, Addr: h.addr, Boot: h.boot, State: h.state, Incarnation: h.incarnation,
		Since: c.wall(h.since), Mesh: h.mesh,
	}
	if h.last != 0 {
		v.Heard = c.wall(h.last)
	}
	if h.mesh {
		v.Interval = h.usual()
	}
	return v
}
