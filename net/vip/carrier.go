package vip

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unsafe"

	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vrrp"
)

// On the gossip carrier an advertisement is state, not an event: a host says in
// every beat which routers it advertises and with which priority, so a beat
// that is heard is an advertisement heard, at no cost in packets. It is shouted
// as well when it changes (takeover, resignation), because a change cannot wait
// for the next beat, and each time if the beats are slower than its interval.
//
//	body  := version (1)  length  address  count  backup*  beat
//	address := the sender's own, 0, 4 or 16 bytes: breaks ties of equal priority
//	backup := VRID  priority          a router that could take over; priority 0: in fault
//	beat  := what vrrp.AppendBeat writes
const (
	bodyVersion = 1
	maxBody     = 1024 // of one topic, a limit of gossip
	maxPeers    = 4096 // hosts, likewise
)

var errBody = errors.New("vip: parse body: malformed")

type backup struct{ vrid, priority uint8 }

// appendBody appends as many ads as fit, and says how many those were.
func appendBody(b []byte, own netip.Addr, backups []backup, ads []vrrp.Advertisement) ([]byte, int) {
	end := len(b) + maxBody
	b = append(b, bodyVersion)
	switch {
	case own.Is4():
		a := own.As4()
		b = append(append(b, byte(len(a))), a[:]...)
	case own.Is6():
		a := own.As16()
		b = append(append(b, byte(len(a))), a[:]...)
	default:
		b = append(b, 0)
	}
	b = append(b, byte(len(backups)))
	for _, c := range backups {
		b = append(b, c.vrid, c.priority)
	}
	return vrrp.AppendBeat(b, ads, end-len(b))
}

// parseBody reads the sender's address, and appends to backups and ads what a
// body says; after an error both are as they were.
func parseBody(body []byte, backups []backup, ads []vrrp.Advertisement) (netip.Addr, []backup, []vrrp.Advertisement, error) {
	var own netip.Addr
	if len(body) < 2 {
		return own, backups, ads, errBody
	}
	if body[0] != bodyVersion {
		return own, backups, ads, vrrp.UnknownVersion
	}
	size, rest := int(body[1]), body[2:]
	if size != 0 && size != 4 && size != 16 || len(rest) < size+1 {
		return own, backups, ads, errBody
	}
	own, _ = netip.AddrFromSlice(rest[:size]) // none if it says none
	n, rest := int(rest[size]), rest[size+1:]
	if len(rest) < 2*n {
		return netip.Addr{}, backups, ads, errBody
	}
	all, err := vrrp.ParseBeat(rest[2*n:], ads)
	if err != nil {
		return netip.Addr{}, backups, ads, err
	}
	for p := rest[:2*n]; len(p) > 0; p = p[2:] {
		backups = append(backups, backup{p[0], p[1]})
	}
	return own.Unmap(), backups, all, nil
}

// identity is what a host goes by on the gossip carrier in place of an address:
// ten bytes of its name, so that of equal priorities and addresses the name that
// sorts last wins, and six of a hash, so that long names stay apart. It is never an IPv4-mapped address
// because a name does not begin with a zero byte.
func identity(name string) netip.Addr {
	var a [16]byte
	copy(a[:10], name)
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	for i := range 6 {
		a[10+i] = byte(h >> (8 * i))
	}
	return netip.AddrFrom16(a)
}

// A peer is another host of the cluster as the rider shows it.
type peer struct {
	name    string
	id      netip.Addr
	addr    netip.Addr // as we see it
	rank    netip.Addr // as it says, to all alike
	alive   bool
	beats   uint64
	said    *byte // the body parsed last: rider bodies are never written again
	size    int
	backups []backup
	ads     []vrrp.Advertisement
}

// priority is what the peer would bring to a router; 0 if it cannot take over.
func (p *peer) priority(vrid uint8) uint8 {
	for _, b := range p.backups {
		if b.vrid == vrid {
			return b.priority
		}
	}
	return 0
}

// A gossipCarrier says and hears for all VIPs with carrier "gossip".
type gossipCarrier struct {
	rider Rider
	self  string
	id    netip.Addr
	own   netip.Addr // our address, as we say it
	peers []*peer    // sorted by name

	backups []backup
	ads     []vrrp.Advertisement // what we say in every beat, in the order of the wire
	loud    []vrrp.Advertisement // what goes out at once
	heard   []vrrp.Advertisement // scratch
	body    []byte
	dirty   bool // what we say is not what is
	moved   bool // a peer has come, or has another address
}

func newGossipCarrier(host string, rider Rider) *gossipCarrier {
	g := &gossipCarrier{rider: rider, self: host, id: identity(host), body: make([]byte, 0, maxBody), dirty: true}
	if r, ok := rider.(interface{ Address() netip.Addr }); ok {
		if a := r.Address(); a.IsValid() && !a.IsUnspecified() {
			g.own = a.Unmap().WithZone("")
		}
	}
	return g
}

// covers says that beats alone carry an advertisement of that interval.
func (g *gossipCarrier) covers(interval time.Duration) bool {
	beat, ok := g.rider.(interface{ Interval() time.Duration })
	if !ok {
		return false
	}
	d := beat.Interval()
	return d > 0 && d <= interval
}

func (g *gossipCarrier) peer(name string) *peer {
	i, ok := slices.BinarySearchFunc(g.peers, name, func(p *peer, name string) int { return strings.Compare(p.name, name) })
	if ok {
		return g.peers[i]
	}
	p := &peer{name: name, id: identity(name)}
	if len(g.peers) < maxPeers {
		g.peers = slices.Insert(g.peers, i, p)
	}
	return p
}

// at finds a peer by its address.
func (g *gossipCarrier) at(addr netip.Addr) *peer {
	for _, p := range g.peers {
		if p.addr == addr {
			return p
		}
	}
	return nil
}

// named finds a peer by its identity.
func (g *gossipCarrier) named(id netip.Addr) *peer {
	for _, p := range g.peers {
		if p.id == id {
			return p
		}
	}
	return nil
}

// take reads the rider and gives every advertisement to hear. What a host says
// comes before what it shouted: the shout is newer.
func (g *gossipCarrier) take(hear func(p *peer, a *vrrp.Advertisement), reject func(p *peer, err error)) {
	in := g.rider.Take()
	if in.Heard || in.Changed {
		for i := range in.Hosts {
			g.host(&in.Hosts[i], hear, reject)
		}
		if in.Changed {
			g.forget(in.Hosts)
		}
	}
	for i := range in.Shouts {
		s := &in.Shouts[i]
		if s.From == g.self {
			continue
		}
		p := g.peer(s.From)
		p.addr = s.Addr.Addr()
		rank, _, ads, err := parseBody(s.Body, nil, g.heard[:0])
		g.heard = ads[:0]
		if err != nil {
			reject(p, err)
			continue
		}
		p.rank = rank
		for i := range ads {
			hear(p, &ads[i])
		}
	}
}

func (g *gossipCarrier) host(h *heartbeat.HostState, hear func(p *peer, a *vrrp.Advertisement), reject func(p *peer, err error)) {
	if h.Name == g.self {
		return
	}
	p := g.peer(h.Name)
	if addr := h.Addr.Addr(); p.addr != addr {
		p.addr, g.moved = addr, true
	}
	p.alive = h.Alive
	news := false
	if s := unsafe.SliceData(h.Said); s != p.said || len(h.Said) != p.size {
		p.said, p.size, news = s, len(h.Said), true
		var err error
		p.backups, p.ads = p.backups[:0], p.ads[:0]
		if len(h.Said) > 0 {
			p.rank, p.backups, p.ads, err = parseBody(h.Said, p.backups, p.ads)
		}
		if err != nil {
			reject(p, err)
		}
	}
	beat := h.Beats != p.beats
	p.beats = h.Beats
	if !beat || !h.Alive {
		return
	}
	for i := range p.ads {
		// A resignation is an event: said again it would restart what it began.
		if news || p.ads[i].Priority != vrrp.Resigned {
			hear(p, &p.ads[i])
		}
	}
}

// forget drops the peers that the rider no longer lists.
func (g *gossipCarrier) forget(hosts []heartbeat.HostState) {
	g.peers = slices.DeleteFunc(g.peers, func(p *peer) bool {
		return !slices.ContainsFunc(hosts, func(h heartbeat.HostState) bool { return h.Name == p.name })
	})
}

// successor is the living host that would bring the highest priority to all of
// the routers; nil if there is none. With a name it is that host or nil.
func (g *gossipCarrier) successor(vrids []uint8, name string) *peer {
	var best *peer
	var most uint8
	for _, p := range g.peers {
		if !p.alive || name != "" && p.name != name {
			continue
		}
		least := uint8(255)
		for _, v := range vrids {
			least = min(least, p.priority(v))
		}
		// Of equal ones the highest address, and then the last name, as the
		// routers decide.
		if least > most || least > 0 && least == most && p.rank.Compare(best.rank) >= 0 {
			best, most = p, least
		}
	}
	return best
}

// advertise takes note of what a router advertises.
func (g *gossipCarrier) advertise(l *leg, a vrrp.Advertisement) {
	a.Beat, a.VRID, a.IPv6, a.Addresses, a.Digest = true, l.cfg.VRID, l.v6, nil, l.digest
	switch {
	case !l.speaks || !sameSaid(l.said, a):
		l.speaks, l.said, g.dirty = true, a, true
	case l.covered && g.covers(l.cfg.Interval):
		return
	}
	g.loud = append(g.loud, a)
}

// silence takes back what a router advertised.
func (g *gossipCarrier) silence(l *leg) {
	if l.speaks {
		l.speaks, g.dirty = false, true
	}
}

func sameSaid(a, b vrrp.Advertisement) bool {
	return a.Priority == b.Priority && a.Interval == b.Interval && a.Announced == b.Announced &&
		a.Successor == b.Successor && a.Digest == b.Digest
}

// flush sends what this round has gathered.
func (g *gossipCarrier) flush(legs []*leg) {
	if g.dirty {
		g.say(legs)
		g.dirty = false
	}
	slices.SortFunc(g.loud, wireOrder)
	for rest := g.loud; len(rest) > 0; {
		var n int
		g.body, n = appendBody(g.body[:0], g.own, nil, rest)
		g.rider.Shout(g.body)
		rest = rest[n:]
	}
	g.loud = g.loud[:0]
}

// say puts the state of all legs into the beats. What does not fit is not
// covered, so it is shouted at its interval.
func (g *gossipCarrier) say(legs []*leg) {
	g.backups, g.ads = g.backups[:0], g.ads[:0]
	for _, l := range legs {
		switch {
		case l.wire():
		case l.speaks:
			g.ads = append(g.ads, l.said)
		default:
			g.backups = append(g.backups, backup{l.cfg.VRID, l.inst.candidacy()})
		}
	}
	slices.SortFunc(g.ads, wireOrder)
	var n int
	g.body, n = appendBody(g.body[:0], g.own, g.backups, g.ads)
	g.rider.Say(g.body)
	for _, l := range legs {
		if !l.wire() && l.speaks {
			l.covered = slices.ContainsFunc(g.ads[:n], func(a vrrp.Advertisement) bool { return a.VRID == l.cfg.VRID })
		}
	}
}

// wireOrder brings together what shares a header in a body.
func wireOrder(a, b vrrp.Advertisement) int {
	flag := func(x bool) int {
		if x {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(flag(a.IPv6), flag(b.IPv6)), cmp.Compare(flag(a.Announced), flag(b.Announced)),
		cmp.Compare(a.Interval, b.Interval), a.Successor.Compare(b.Successor), cmp.Compare(a.VRID, b.VRID))
}
