package gossip

import (
	"math"
	"time"
)

// witnesses is how many others are asked whether they hear a silent host.
const witnesses = 3

// judge draws conclusions from the silence of hosts that promised to beat at
// every interval, and asks where there is doubt.
func (c *Core) judge() {
	if c.judged == 0 && !c.changed {
		return
	}
	var pause time.Duration
	for _, h := range c.hosts {
		if !h.judged() {
			continue
		}
		switch {
		case c.now >= h.lostAt(c.cfg.Lost):
			c.becomeLost(h, Dead)
			continue
		case c.now >= h.suspectAt(c.cfg.Lost):
			if h.state == Alive {
				c.becomeSuspect(h)
			}
		case h.state == Suspect:
			c.becomeAlive(h) // others hear it
		}
		if c.now >= h.quietAt() && (pause == 0 || h.sweepPause(c) < pause) {
			pause = h.sweepPause(c)
		}
	}
	if pause == 0 || c.now < c.sweepAt {
		return
	}
	c.sweepAt = c.now.add(pause)
	c.sweep()
}

// sweepPause is the time between two questions about h: short, so that with two
// hosts several lost datagrams in a row do not look like a death; longer where h
// is not heard here for good, but elsewhere.
func (h *host) sweepPause(c *Core) time.Duration {
	if c.now.since(h.last) > scale(h.usual(), c.cfg.Lost) {
		return h.usual() / 2
	}
	return h.usual() / 4
}

// sweep asks every quiet host whether it lives, and every second time asks
// witnesses, each about all quiet hosts at once.
func (c *Core) sweep() {
	c.asks++
	special := c.special[:0]
	for _, h := range c.hosts {
		if !h.judged() || c.now < h.quietAt() {
			continue
		}
		c.counters.Probes++
		c.send(h, flagPing, nil)
		if len(special)+secHead+1+len(h.name) < MaxPacket/2 {
			special = appendAsk(special, h.name)
		}
	}
	c.special = special
	if c.asks%2 == 0 || len(special) == 0 {
		return
	}
	c.ask(nil, special)
}

// ask sends questions to a few others that live; about, if any, is not one of them.
func (c *Core) ask(about *host, questions []byte) {
	n := len(c.hosts)
	if n == 0 {
		return
	}
	found := 0
	start, step := c.cfg.Rand.IntN(n), 1+c.cfg.Rand.IntN(n)
	for gcd(step, n) != 1 {
		step = 1 + step%n
	}
	for i := range min(n, 8*witnesses) {
		w := c.hosts[(start+i*step)%n]
		if w == about || w.state != Alive || !w.knows() || w.mesh && c.now >= w.quietAt() {
			continue
		}
		c.counters.Asked++
		c.send(w, 0, questions)
		if found++; found == witnesses {
			return
		}
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// judgement is when judge has to look again.
func (c *Core) judgement() instant {
	next := instant(math.MaxInt64)
	if c.judged == 0 {
		return next
	}
	for _, h := range c.hosts {
		if !h.judged() {
			continue
		}
		next = min(next, h.lostAt(c.cfg.Lost))
		if h.state == Alive {
			next = min(next, h.suspectAt(c.cfg.Lost))
		}
		if quiet := h.quietAt(); quiet > c.now {
			next = min(next, quiet)
		} else {
			next = min(next, later(c.sweepAt, c.now+1))
		}
	}
	return next
}

// An errand is a question that cannot be answered yet: about was asked in turn.
type errand struct {
	from, about *host
	at          instant
}

const maxErrands = 64

// hearAsk answers whether a host is heard. The name may be our own: then the asker
// does not hear us.
func (c *Core) hearAsk(from *host, name []byte) {
	h := c.find(name)
	if h == nil || h == from || h.state == Departed {
		return
	}
	age := c.now.since(h.last)
	fresh := h.last != 0 && age < c.cfg.Interval
	if h.last != 0 && (fresh || h.mesh && age < scale(h.usual(), c.cfg.Lost)) {
		c.special = appendAnswer(c.special[:0], age, h.name)
		c.send(from, 0, c.special)
		if fresh {
			return
		}
	}
	if len(c.errands) == maxErrands {
		return
	}
	c.errands = append(c.errands, errand{from: from, about: h, at: c.now})
	c.counters.Probes++
	c.send(h, flagPing, nil)
}

// report does the errands that wait for a word of h.
func (c *Core) report(h *host) {
	for i := 0; i < len(c.errands); {
		e := c.errands[i]
		if e.about != h {
			i++
			continue
		}
		c.errands[i] = c.errands[len(c.errands)-1]
		c.errands = c.errands[:len(c.errands)-1]
		if !e.from.gone {
			c.special = appendAnswer(c.special[:0], 0, h.name)
			c.send(e.from, 0, c.special)
		}
	}
}

// hearAnswer takes the word of a third host that it heard another.
func (c *Core) hearAnswer(name []byte, micros uint32) {
	h := c.find(name)
	if h == nil {
		return
	}
	if age := instant(time.Duration(micros) * time.Microsecond); age < c.now {
		h.vouched = later(h.vouched, c.now-age)
	}
}

// Pace is the interval at which every host is told what this one says; 0 when
// the cluster is too large for that and state spreads as news.
func (c *Core) Pace() time.Duration {
	if !c.mesh {
		return 0
	}
	return c.cfg.Interval
}
