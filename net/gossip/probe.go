package gossip

import (
	"math/bits"
	"slices"
	"time"
)

// A prober asks one host after the other whether it lives, and remembers whom it
// asked until they answered or the patience ends.
type prober struct {
	order []*host // a random order, drawn anew after each round
	next  int
	out   []probe
	dead  int // where the search for the next dead host begins
}

type probe struct {
	host  *host
	sent  instant
	ticks int
}

func (p *prober) clear() { p.out = p.out[:0] }

// probed reports whether only asking tells if h lives.
func probed(h *host) bool { return h.lives() && !h.judged() }

// probe is the part of an interval's work that does not grow with the cluster:
// one ping, the questions about earlier ones, one try to reach a dead host.
func (c *Core) probe() {
	c.conclude()
	if h := c.prober.choose(c); h != nil {
		c.counters.Probes++
		c.send(h, flagPing, nil)
		c.prober.out = append(c.prober.out, probe{host: h, sent: c.now})
	}
	if c.hungry() && !c.mesh {
		c.pull()
	}
	c.doubt()
	c.reach()
	patience := scale(c.cfg.Interval, c.cfg.Lost)
	c.errands = slices.DeleteFunc(c.errands, func(e errand) bool {
		return e.from.gone || e.about.gone || c.now.since(e.at) > patience
	})
}

// pull asks for parts of the table where there is no need for a handshake.
func (c *Core) pull() {
	asked := 0
	for range 20 {
		h := c.hosts[c.cfg.Rand.IntN(len(c.hosts))]
		if h.state == Alive && h.knows() && asked < pulls {
			asked++
			c.send(h, flagPing, nil)
		}
	}
}

const pulls = 2

// conclude looks after the pings that are out.
func (c *Core) conclude() {
	kept := c.prober.out[:0]
	for _, p := range c.prober.out {
		h := p.host
		p.ticks++
		switch {
		case h.gone || !probed(h) || h.alive() >= p.sent:
		case p.ticks >= c.cfg.Lost:
			if h.state == Alive {
				c.becomeSuspect(h)
			}
			c.send(h, flagPing, nil) // carries the suspicion: a chance to refute
		default:
			c.counters.Probes++
			c.send(h, flagPing, nil)
			c.special = appendAsk(c.special[:0], h.name)
			c.ask(h, c.special)
			kept = append(kept, p)
		}
	}
	c.prober.out = kept
}

// choose returns the next host to ping, nil if there is none.
func (p *prober) choose(c *Core) *host {
	for range 2 {
		for p.next < len(p.order) {
			h := p.order[p.next]
			p.next++
			if !h.gone && probed(h) {
				return h
			}
		}
		p.order, p.next = p.order[:0], 0
		for _, h := range c.hosts {
			if probed(h) {
				p.order = append(p.order, h)
			}
		}
		if len(p.order) == 0 {
			return nil
		}
		c.cfg.Rand.Shuffle(len(p.order), func(i, j int) { p.order[i], p.order[j] = p.order[j], p.order[i] })
	}
	return nil
}

// suspicion is how long a suspected host has time to hear of it and to say that it
// lives: time for news to go round twice.
func (c *Core) suspicion() time.Duration {
	return scale(c.cfg.Interval, c.cfg.Lost+2*log2(c.size))
}

// log2 of n+1, rounded up.
func log2(n int) int { return bits.Len(uint(n)) }

// A host is lost only after this one asked it itself: the news that it lives may
// have come too late, or only the road back may be cut. How many are asked in one
// interval is bounded; the others wait for their turn, or for the news.
const (
	checks        = 2
	checksPerTick = 2
)

// doubt ends suspicions.
func (c *Core) doubt() {
	if c.suspects == 0 {
		return
	}
	limit := c.suspicion()
	asked := 0
	start := c.cfg.Rand.IntN(len(c.hosts))
	for i := range c.hosts {
		h := c.hosts[(start+i)%len(c.hosts)]
		if h.state != Suspect || h.judged() {
			continue
		}
		age := c.now.since(later(h.since, h.alive()))
		switch {
		case age >= limit && h.checks >= checks:
			c.becomeLost(h, Dead)
		case age >= limit-scale(c.cfg.Interval, c.cfg.Lost) && asked < checksPerTick:
			asked++
			h.checks++
			c.counters.Probes++
			c.send(h, flagPing, nil)
		}
	}
}

// reach knocks at one dead host in each interval, so that a split heals.
func (c *Core) reach() {
	if c.dead == 0 {
		return
	}
	for range len(c.hosts) {
		h := c.hosts[c.prober.dead%len(c.hosts)]
		c.prober.dead = (c.prober.dead + 1) % len(c.hosts)
		if h.state != Dead {
			continue
		}
		if c.mesh && !c.cold(h) {
			return // the beat to everyone reaches it
		}
		c.send(h, flagPing, nil)
		return
	}
}
