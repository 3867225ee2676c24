package vip

import (
	"net/netip"
	"slices"

	"example.org/ha/net/vrrp"
)

// A linkState is what the kernel says about one interface.
type linkState struct {
	name  string
	index int
	up    bool
	gone  bool
}

// addressGone says that an address was removed from an interface and is not
// there now.
type addressGone struct {
	name string
	addr netip.Addr
}

// watches says whether interfaces are looked at: not when the Link is no
// kernel's.
func (s *Speaker) watches() bool {
	_, ok := s.link.(watcher)
	return ok
}

func (s *Speaker) sighted(l linkState) {
	if have, ok := s.links[l.name]; ok && have == l {
		return
	}
	if l.gone {
		delete(s.links, l.name)
	} else {
		s.links[l.name] = l
	}
	s.judgeAll()
}

// addressGone puts back what somebody else removed, while it should be there.
func (s *Speaker) addressGone(g addressGone) {
	for _, l := range s.legs {
		if l.held && l.inst.pending == 0 && l.device() == g.name && slices.Contains(l.addrs, g.addr) {
			s.log.Warn("vip address removed by somebody else, adding it again", "vip", l.cfg.Name, "address", g.addr)
			s.step(l.inst, vrrp.AddressLost{})
			return
		}
	}
}

func (l *leg) device() string { return l.cfg.device() }

func (s *Speaker) judgeAll() {
	for _, i := range s.instances {
		if i.phase == running && !i.stopping {
			s.judge(i)
		}
	}
}

// judge works out whether this host is fit to hold the addresses of i, and
// with which priority, and tells the router what has changed.
func (s *Speaker) judge(i *instance) {
	fault, weight := "", 0
	for _, l := range i.legs {
		f, w := s.fitness(l)
		if f != "" && fault == "" {
			if fault = f; len(i.legs) > 1 {
				fault = l.cfg.Name + ": " + f
			}
		}
		weight += w
	}
	base := int(i.legs[0].cfg.Priority)
	priority := uint8(base)
	if base != int(vrrp.Owner) {
		priority = uint8(min(max(base+weight, 1), 254))
	}
	if priority != i.priority {
		i.priority, s.stale = priority, true
		s.step(i, vrrp.SetPriority{Priority: priority})
		s.dirty(i)
	}
	if fault == i.fault {
		return
	}
	i.fault, s.stale = fault, true
	if fault != "" {
		s.step(i, vrrp.Fault{Reason: fault})
	} else {
		s.step(i, vrrp.Recovered{})
	}
	s.dirty(i)
}

// dirty says that the beats no longer say what is.
func (s *Speaker) dirty(i *instance) {
	if !i.wire() {
		s.gossip.dirty = true
	}
}

// fitness is what is wrong with a leg: why it cannot serve, or what its failing
// tracks add to the priority.
func (s *Speaker) fitness(l *leg) (fault string, weight int) {
	c := l.cfg
	if s.watches() {
		switch link, ok := s.links[c.Interface]; {
		case c.Interface == "":
			return "no interface has a subnet that holds " + c.Addresses[0].Addr().String(), 0
		case !ok:
			return "interface " + c.Interface + " does not exist", 0
		case !link.up:
			return "interface " + c.Interface + " is down", 0
		}
	}
	if l.wire() {
		switch {
		case l.port == nil:
			return "no socket on interface " + c.Interface + " yet", 0
		case l.port.err != nil:
			return l.port.err.Error(), 0
		}
	}
	for _, t := range c.Track {
		if t.Interface == "" || s.links[t.Interface].up || !s.watches() {
			continue
		}
		if t.Weight == 0 {
			return "tracked interface " + t.Interface + " is down", 0
		}
		weight += t.Weight
	}
	h := s.health[c.Name]
	return h.fault, weight + h.delta
}
