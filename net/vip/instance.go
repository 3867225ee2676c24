package vip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.org/ha/net/vrrp"
)

// A phase is how far an instance has come before its router runs.
type phase uint8

const (
	waiting  phase = iota // for one that stops and has the same addresses
	cleaning              // addresses left by a killed process are being removed
	running
)

// An instance runs one router for one VIP, or for the VIPs of one group.
type instance struct {
	key      string
	legs     []*leg // in the order of the configuration; the first decides ties
	vrids    []uint8
	router   *vrrp.Router
	phase    phase
	stopping bool
	ended    bool // Stopped was given
	pending  int  // moves under way
	failure  string

	local       netip.Addr
	peer        netip.Addr // the active router last heard
	priority    uint8      // after tracking
	fault       string
	since       time.Time
	transitions uint64
	reason      string
	warnings    []string // of the present state, bounded
	claim       string
	claimAt     time.Time
}

// A leg is one VIP: its addresses, and its VRID on the wire.
type leg struct {
	cfg    Config
	inst   *instance
	v6     bool
	digest uint8
	admit  vrrp.Config
	addrs  []netip.Addr

	held      bool   // the addresses of have are configured
	have      Config // what the mover was last asked to add
	announces bool   // an announcement is under way
	expels    bool   // an expulsion is

	*counters
	complained [vrrp.Rejects]time.Time

	// gossip
	speaks  bool
	covered bool
	said    vrrp.Advertisement

	// vrrp
	port    *port
	form    vrrp.Checksum
	heardAd vrrp.Advertisement
	sendErr syscall.Errno
	refresh time.Time
}

const (
	maxWarnings   = 8
	complainEvery = 10 * time.Second // one log line per reason
)

func (l *leg) wire() bool      { return l.cfg.Carrier == carrierVRRP }
func (i *instance) wire() bool { return i.legs[0].wire() }

func (i *instance) named(name string) bool {
	return slices.ContainsFunc(i.legs, func(l *leg) bool { return l.cfg.Name == name })
}

func (i *instance) busy() bool {
	return i.pending > 0 || slices.ContainsFunc(i.legs, func(l *leg) bool { return l.announces || l.expels })
}

// blockedBy says whether other stops but still has what i needs.
func (i *instance) blockedBy(other *instance) bool {
	if other == i || !other.stopping {
		return false
	}
	for _, l := range i.legs {
		for _, m := range other.legs {
			if l.cfg.VRID == m.cfg.VRID && l.cfg.Carrier == m.cfg.Carrier ||
				slices.ContainsFunc(l.addrs, func(a netip.Addr) bool { return slices.Contains(m.addrs, a) }) {
				return true
			}
		}
	}
	return false
}

// candidacy is the priority with which this host could take over.
func (i *instance) candidacy() uint8 {
	if i.phase != running || i.stopping || i.router.State() == vrrp.Faulty || i.router.State() == vrrp.Initialize {
		return 0
	}
	return i.router.Priority()
}

// place is what makes a VIP another one when it changes: everything else can be
// changed in place.
func (c Config) place() string {
	return fmt.Sprint(c.Carrier, " ", c.Interface, " ", c.v6(), " ", c.VRID, " ", c.Version, " ", c.VirtualMAC)
}

func (c Config) addrs() []netip.Addr {
	all := make([]netip.Addr, len(c.Addresses))
	for i, p := range c.Addresses {
		all[i] = p.Addr()
	}
	return all
}

// router is the configuration of the router of which c is the first leg.
func (c Config) router(local netip.Addr) vrrp.Config {
	r := vrrp.Config{
		VRID: c.VRID, Version: c.Version, Priority: c.Priority, Interval: c.Interval,
		Preempt: c.preempts(), PreemptDelay: c.PreemptDelay, Wait: c.startupDelay(), Addresses: c.addrs(), Local: local,
	}
	if c.Password != "" {
		r.AuthType = vrrp.AuthPassword
		copy(r.Auth[:], c.Password)
	}
	return r
}

func (l *leg) set(c Config) {
	l.cfg, l.v6, l.addrs = c, c.v6(), c.addrs()
	l.digest = vrrp.Digest(l.addrs)
	l.admit = c.router(netip.Addr{})
	if c.Checksum == "rfc9568" {
		l.form = vrrp.MessageOnly
	} else if c.Checksum == "keepalived" {
		l.form = vrrp.PseudoHeader
	}
}

// plan sorts configurations into instances: by group, or each for itself.
func plan(cfgs []Config) (keys []string, sets [][]Config) {
	at := make(map[string]int)
	for _, c := range cfgs {
		key := "group " + c.Group
		if c.Group == "" {
			key = c.place()
		}
		n, ok := at[key]
		if !ok {
			n = len(sets)
			at[key] = n
			sets = append(sets, nil)
		}
		sets[n] = append(sets[n], c)
	}
	for _, set := range sets {
		var places []string
		for _, c := range set {
			places = append(places, c.place())
		}
		slices.Sort(places)
		keys = append(keys, set[0].Group+"/"+strings.Join(places, "/"))
	}
	return keys, sets
}

// configure makes cfgs the whole set. What is gone resigns first.
func (s *Speaker) configure(cfgs []Config) {
	if s.stopping {
		return
	}
	keys, sets := plan(cfgs)
	for _, i := range s.instances {
		if !slices.Contains(keys, i.key) {
			s.retire(i)
		}
	}
	var order []*instance
	for n, key := range keys {
		have := slices.IndexFunc(s.instances, func(i *instance) bool { return i.key == key && !i.stopping })
		if have >= 0 {
			s.reconfigure(s.instances[have], sets[n])
			order = append(order, s.instances[have])
		} else {
			order = append(order, s.newInstance(key, sets[n]))
		}
	}
	for _, i := range s.instances {
		if i.stopping {
			order = append(order, i)
		}
	}
	s.instances, s.legs = order, s.legs[:0]
	for _, i := range order {
		s.legs = append(s.legs, i.legs...)
	}
	s.register()
	s.sweep()
	s.judgeAll()
	s.stale = true
	if s.gossip != nil {
		s.gossip.dirty = true
	}
}

func (s *Speaker) newInstance(key string, cfgs []Config) *instance {
	i := &instance{key: key, since: s.now, priority: cfgs[0].Priority}
	for _, c := range cfgs {
		l := &leg{inst: i, counters: new(counters)}
		l.set(c)
		i.legs = append(i.legs, l)
		i.vrids = append(i.vrids, c.VRID)
	}
	i.local = s.localOf(i)
	i.router = vrrp.New(s.routerOf(i))
	return i
}

// routerOf is the configuration of the router of i.
func (s *Speaker) routerOf(i *instance) vrrp.Config {
	c := i.legs[0].cfg.router(i.local)
	if !i.wire() {
		c.Rank = s.gossip.own
	}
	return c
}

// localOf is the address by which the routers of others know ours.
func (s *Speaker) localOf(i *instance) netip.Addr {
	switch l := i.legs[0]; {
	case !l.wire():
		return s.gossip.id
	case l.port != nil:
		return l.port.local
	}
	return netip.Addr{}
}

// reconfigure changes in place what a reload has changed; the legs of an
// instance are the same ones, perhaps in another order.
func (s *Speaker) reconfigure(i *instance, cfgs []Config) {
	changed, moved := false, false
	legs := make([]*leg, 0, len(cfgs))
	for _, c := range cfgs {
		n := slices.IndexFunc(i.legs, func(l *leg) bool { return l.cfg.place() == c.place() })
		l := i.legs[n]
		legs = append(legs, l)
		if !sameConfig(l.cfg, c) {
			moved = moved || !slices.Equal(l.cfg.Addresses, c.Addresses) || !slices.Equal(l.cfg.Routes, c.Routes)
			l.set(c)
			changed = true
		}
	}
	// The router was made with the VRID of the leg that was first.
	first := i.legs[0]
	i.legs = legs
	if !changed {
		return
	}
	n := slices.Index(i.legs, first)
	i.legs[0], i.legs[n] = i.legs[n], i.legs[0]
	s.log.Info("vip reconfigured", "vip", first.cfg.Name, "vrid", first.cfg.VRID)
	s.step(i, vrrp.Reconfigure{Config: s.routerOf(i)})
	i.priority = first.cfg.Priority
	if moved {
		// The router sees a change of addresses of the first leg only; this
		// covers the others, prefix lengths and routes. It is no change if the
		// router has asked already.
		s.step(i, vrrp.AddressLost{})
	}
}

func sameConfig(a, b Config) bool {
	return a.Name == b.Name && slices.Equal(a.Addresses, b.Addresses) && a.Interface == b.Interface && a.Priority == b.Priority &&
		a.preempts() == b.preempts() && a.PreemptDelay == b.PreemptDelay && a.Interval == b.Interval &&
		slices.Equal(a.Peers, b.Peers) && a.Password == b.Password && a.Checksum == b.Checksum && a.Fence == b.Fence &&
		a.Group == b.Group && slices.Equal(a.Routes, b.Routes) && slices.Equal(a.Track, b.Track)
}

// clean removes what a killed process has left, before the router starts.
func (s *Speaker) clean(i *instance) {
	i.phase = cleaning
	s.register()
	i.local = s.localOf(i)
	s.step(i, vrrp.SetLocal{Local: i.local})
	for _, l := range i.legs {
		i.pending++
		s.move(job{leg: l, kind: removing, cfg: l.cfg})
	}
}

// step gives the router an event and does what it asks.
func (s *Speaker) step(i *instance, ev vrrp.Event) {
	for _, e := range i.router.Step(s.now, ev) {
		switch e := e.(type) {
		case *vrrp.Advertise:
			s.advertise(i, &e.Advertisement)
		case vrrp.Acquire:
			for _, l := range i.legs {
				i.pending++
				s.move(job{leg: l, kind: adding, cfg: l.cfg, old: l.have})
				l.have = l.cfg
			}
		case vrrp.Release:
			for _, l := range i.legs {
				i.pending++
				s.move(job{leg: l, kind: removing, cfg: l.have})
			}
		case vrrp.Announce:
			for _, l := range i.legs {
				if !l.announces {
					l.announces = true
					s.call(job{leg: l, kind: announcing, cfg: l.cfg})
				}
			}
		case vrrp.Became:
			s.became(i, e)
		case vrrp.Warn:
			s.warn(i, e)
		case vrrp.Stopped:
			i.ended = true
		}
	}
	if p := i.router.Peer(); p != i.peer {
		i.peer, s.stale = p, true
	}
	if d := i.router.Deadline(); !d.IsZero() && (s.deadline.IsZero() || d.Before(s.deadline)) {
		s.deadline = d
	}
}

func (s *Speaker) became(i *instance, e vrrp.Became) {
	i.since, i.reason = s.now, e.Why
	i.transitions++
	i.claim = ""
	if e.To == vrrp.Backup || e.To == vrrp.Initialize {
		i.warnings = nil
	}
	s.stale = true
	for _, l := range i.legs {
		if s.gossip != nil && !l.wire() {
			if e.To == vrrp.Backup || e.To == vrrp.Initialize {
				s.gossip.silence(l)
			}
			s.gossip.dirty = true
		}
		s.log.Info("vip state", "vip", l.cfg.Name, "vrid", l.cfg.VRID, "from", e.From, "to", e.To, "why", e.Why,
			"priority", i.router.Priority())
		s.tell(Change{Time: s.now, Name: l.cfg.Name, VRID: l.cfg.VRID, From: e.From.String(), To: e.To.String(),
			Reason: e.Why, Priority: i.router.Priority()})
	}
}

func (s *Speaker) warn(i *instance, e vrrp.Warn) {
	why := e.Why
	if e.From.IsValid() {
		why += ": " + s.sender(i, e.From)
	}
	if !slices.Contains(i.warnings, why) {
		i.warnings = append(i.warnings, why)
		if len(i.warnings) > maxWarnings {
			i.warnings = slices.Delete(i.warnings, 0, 1)
		}
	}
	s.stale = true
	s.log.Warn("vip warning", "vip", i.legs[0].cfg.Name, "vrid", i.legs[0].cfg.VRID, "why", why)
}

// sender names who spoke from an address.
func (s *Speaker) sender(i *instance, from netip.Addr) string {
	p := s.hostAt(from)
	if !i.wire() {
		p = s.gossip.named(from)
	}
	if p == nil {
		return from.String()
	}
	return p.name + " (" + p.addr.String() + ")"
}

// advertise sends one advertisement for each leg.
func (s *Speaker) advertise(i *instance, a *vrrp.Advertisement) {
	for _, l := range i.legs {
		if l.wire() {
			s.sendWire(l, a)
		} else {
			s.gossip.advertise(l, *a)
		}
		l.sent.Add(1)
	}
	if i.claim != "" && s.now.Sub(i.claimAt) > 3*a.Interval {
		i.claim, s.stale = "", true
	}
	s.refresh(i)
}

// hearGossip takes an advertisement of another host of the cluster. One for a
// VRID that is not configured here is nobody's mistake.
func (s *Speaker) hearGossip(p *peer, a *vrrp.Advertisement) {
	if l := s.byVRID[a.VRID]; l != nil {
		s.heard(l, p.id, p.rank, a)
	}
}

func (s *Speaker) rejectGossip(p *peer, err error) {
	// The body is refused as a whole, so it counts for every leg it could
	// have been about.
	r, ok := err.(vrrp.Reject)
	if !ok {
		r = vrrp.MalformedBeat
	}
	for _, l := range s.legs {
		if !l.wire() {
			s.rejected(l, r, p.addr)
		}
	}
}

// heard gives the router an advertisement that was admitted.
func (s *Speaker) heard(l *leg, from, rank netip.Addr, a *vrrp.Advertisement) {
	i := l.inst
	l.counters.heard.Add(1)
	if i.router.State() == vrrp.Active && a.Priority != vrrp.Resigned {
		if i.claim == "" {
			i.claim, s.stale = s.sender(i, from), true
			s.log.Warn("vip claimed by another", "vip", l.cfg.Name, "vrid", l.cfg.VRID, "by", i.claim, "priority", a.Priority)
		}
		i.claimAt = s.now
	}
	s.scratch.From, s.scratch.Rank, s.scratch.Advertisement = from, rank, *a
	if l != i.legs[0] {
		if l.wire() && a.Priority == i.router.Priority() && i.router.State() == vrrp.Active {
			return // ties of a group are decided on its first leg, the same everywhere
		}
		// The router compares with the addresses of its own leg.
		s.scratch.VRID, s.scratch.Addresses, s.scratch.Digest = i.legs[0].cfg.VRID, i.legs[0].addrs, i.legs[0].digest
	}
	s.step(i, &s.scratch)
}

// rejected counts a packet that changes nothing, and says so now and then.
func (s *Speaker) rejected(l *leg, r vrrp.Reject, from netip.Addr) {
	n := l.counters.rejected[r].Add(1)
	if r == vrrp.OwnPacket || !l.complained[r].IsZero() && s.now.Sub(l.complained[r]) < complainEvery {
		return
	}
	l.complained[r] = s.now
	s.log.Warn("vip advertisement rejected", "vip", l.cfg.Name, "vrid", l.cfg.VRID, "reason", r.String(),
		slog.Any("from", from), "rejected", n)
}
