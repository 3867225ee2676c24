package proxy

import (
	"net/netip"
	"time"
)

// maxClients bounds what one service remembers. At the limit the expired are swept, at most once a
// second; if none is, a new client is scheduled like any other and not remembered.
const maxClients = 1 << 18

// clients remembers which server each client was given (IPVS: persistence templates). A drained or
// departed server is not used again (IPVS: expire_quiescent_template). The owner locks.
type clients struct {
	timeout   int64 // ticks; 0: persistence is off
	bits4     int
	bits6     int
	known     map[netip.Addr]*remembered
	lastSweep int64
}

// A remembered client stays while it has connections and for the timeout after the last one.
type remembered struct {
	server      *server
	expires     int64 // tick; counts only without connections
	connections int
}

func (c *clients) configure(timeout time.Duration, mask int) {
	if timeout <= 0 {
		*c = clients{}
		return
	}
	c.timeout = ticksOf(timeout, timeout)
	if mask <= 0 || mask > 32 {
		mask = 32
	}
	if c.known == nil || c.bits4 != mask {
		c.known = map[netip.Addr]*remembered{}
	}
	c.bits4, c.bits6 = mask, 96+mask
}

func (c *clients) key(a netip.Addr) netip.Addr {
	bits := c.bits6
	if a = a.Unmap(); a.Is4() {
		bits = c.bits4
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return a // an address with a zone
	}
	return p.Addr()
}

func (c *clients) find(a netip.Addr, now int64) *remembered {
	if c.timeout == 0 {
		return nil
	}
	r := c.known[c.key(a)]
	if r == nil || r.connections == 0 && r.expires <= now {
		return nil
	}
	return r
}

func (c *clients) remember(a netip.Addr, s *server, now int64) *remembered {
	if c.timeout == 0 {
		return nil
	}
	k := c.key(a)
	if c.known[k] == nil && len(c.known) >= maxClients && !c.sweep(now) {
		return nil
	}
	r := &remembered{server: s, expires: now + c.timeout}
	c.known[k] = r
	return r
}

// sweep forgets the expired and reports whether there is room.
func (c *clients) sweep(now int64) bool {
	if now-c.lastSweep < int64(time.Second/tick) {
		return false
	}
	c.lastSweep = now
	for k, r := range c.known {
		if r.connections == 0 && r.expires <= now {
			delete(c.known, k)
		}
	}
	return len(c.known) < maxClients
}
