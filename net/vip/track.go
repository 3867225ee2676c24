package vip

import (
	"log/slog"
	"net/netip"
	"slices"

	"example.org/ha/net/vrrp"
)

// maxSightings bounds what is remembered of addresses on interfaces: all that
// can be configured, and then the oldest is forgotten.
const maxSightings = maxInstances * maxAddresses

// A linkState is what the kernel says about one interface.
type linkState struct {
	name  string
	index int
	up    bool
	gone  bool
}

// A sighting says that a virtual address is on an interface, whoever added it.
type sighting struct {
	index  int
	prefix netip.Prefix
}

// A stray is a virtual address that should not be where it is.
type stray struct {
	sighting
	device string
	was    bool // it was there when it was to be removed
}

// addressGone says that a virtual address was removed from an interface and is
// not there now.
type addressGone sighting

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
		s.sightings = slices.DeleteFunc(s.sightings, func(g sighting) bool { return g.index == l.index })
	} else {
		s.links[l.name] = l
	}
	s.judgeAll()
}

// addressGone puts back what somebody else removed, while it should be there.
func (s *Speaker) addressGone(g addressGone) {
	s.unsee(sighting(g))
	for _, l := range s.legs {
		if l.held && l.inst.pending == 0 && s.links[l.device()].index == g.index && slices.Contains(l.cfg.Addresses, g.prefix) {
			s.log.Warn("vip address removed by somebody else, adding it again", "vip", l.cfg.Name, "address", g.prefix.Addr())
			s.step(l.inst, vrrp.AddressLost{})
			return
		}
	}
}

// seen takes note of a virtual address on an interface. Mostly it is the one
// the mover has just added.
func (s *Speaker) seen(g sighting) {
	if slices.Contains(s.sightings, g) {
		return
	}
	if len(s.sightings) == maxSightings {
		s.sightings = slices.Delete(s.sightings, 0, 1)
	}
	s.sightings = append(s.sightings, g)
	for _, l := range s.legs {
		if slices.Contains(l.addrs, g.prefix.Addr()) {
			s.expel(l.inst)
		}
	}
}

func (s *Speaker) unsee(g sighting) {
	s.sightings = slices.DeleteFunc(s.sightings, func(h sighting) bool { return h == g })
}

// expel removes the addresses of i that are on its interface although i does
// not hold them: two hosts would answer for them. They were added by hand, or
// left by another program. What the owner has is its own; and an interface that
// is not that of the VIP is nobody's business here: a real server has the
// address on its loopback.
func (s *Speaker) expel(i *instance) {
	if i.phase != running || i.pending > 0 || i.router.State() == vrrp.Active || i.router.State() == vrrp.Resigning {
		return
	}
	for _, l := range i.legs {
		if l.held || l.cfg.Priority == vrrp.Owner {
			continue
		}
		for _, g := range s.sightings {
			name := s.interfaceOf(l, g.index)
			if s.expelling || name == "" || !slices.Contains(l.addrs, g.prefix.Addr()) || s.needed(l, g) {
				continue
			}
			s.expelling, l.expels = true, true
			s.move(job{leg: l, kind: expelling, stray: stray{sighting: g, device: name}})
		}
	}
}

// needed says whether another leg has, or is about to have, what l has not:
// while a reload moves an address from one VIP to another.
func (s *Speaker) needed(l *leg, g sighting) bool {
	return slices.ContainsFunc(s.legs, func(m *leg) bool {
		return m != l && (m.held || m.inst.pending > 0) && s.interfaceOf(m, g.index) != "" &&
			(slices.Contains(m.addrs, g.prefix.Addr()) || slices.Contains(m.have.Addresses, g.prefix))
	})
}

// expelled takes the completion of an expulsion. One at a time is under way;
// here the others have their turn.
func (s *Speaker) expelled(d done) {
	l := d.leg
	s.expelling, l.expels = false, false
	s.unsee(d.stray.sighting) // when it failed too: it would fail again
	switch {
	case d.err != nil:
		s.log.Error("vip address on a host that does not hold it was not removed", "vip", l.cfg.Name, "vrid", l.cfg.VRID,
			"address", d.stray.prefix, slog.Any("err", d.err))
	case d.stray.was:
		s.log.Warn("vip address removed that somebody else had added", "vip", l.cfg.Name, "vrid", l.cfg.VRID,
			"address", d.stray.prefix, "interface", d.stray.device, "state", l.inst.router.State().String())
	}
	for _, i := range s.instances {
		s.expel(i)
	}
	s.sweep()
}

// interfaceOf is the name of the interface of that index if it is one of the
// leg's: the one that carries its addresses, or the parent of that.
func (s *Speaker) interfaceOf(l *leg, index int) string {
	for _, name := range [...]string{l.device(), l.cfg.Interface} {
		if link, ok := s.links[name]; ok && link.index == index {
			return name
		}
	}
	return ""
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
