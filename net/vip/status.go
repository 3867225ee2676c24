package vip

import (
	"net/netip"
	"sync/atomic"
	"time"

	"example.org/ha/net/vrrp"
)

// A Status is what one VIP is doing on this host.
type Status struct {
	Name      string         `json:"name"`
	Group     string         `json:"group,omitempty"`
	VRID      uint8          `json:"vrid"`
	State     string         `json:"state"`    // vrrp.State's name
	Priority  uint8          `json:"priority"` // as advertised: after tracking
	Addresses []netip.Prefix `json:"addresses"`
	Interface string         `json:"interface"`
	Carrier   string         `json:"carrier"`
	Interval  time.Duration  `json:"interval"`
	Held      bool           `json:"held"`  // the addresses are configured here
	Since     time.Time      `json:"since"` // of State
	// Active is the host that holds the addresses as far as is known here, and
	// ActiveAddr the address it speaks from; empty when nobody was heard.
	Active      string     `json:"active,omitempty"`
	ActiveAddr  netip.Addr `json:"active_addr,omitzero"`
	Transitions uint64     `json:"transitions"`
	Reason      string     `json:"reason"` // of the latest change of state
	// Claim names another sender that also advertises as active, while we do.
	Claim    string            `json:"claim,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
	Sent     uint64            `json:"sent"`
	Heard    uint64            `json:"heard"`
	Rejected map[string]uint64 `json:"rejected,omitempty"` // by reason
}

// A Change is one change of state of one VIP.
type Change struct {
	Time     time.Time `json:"time"`
	Name     string    `json:"name"`
	VRID     uint8     `json:"vrid"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Reason   string    `json:"reason"`
	Priority uint8     `json:"priority"`
	Lost     uint64    `json:"lost,omitempty"` // older changes dropped unread since Run began
}

// counters move with every packet, so they are read when asked for instead of
// being part of the snapshot.
type counters struct {
	sent, heard atomic.Uint64
	rejected    [vrrp.Rejects]atomic.Uint64
}

// A snapshot is a Status whose counters are still to be read.
type snapshot struct {
	Status
	*counters
}

// Status is what every VIP is doing, in the order of the configuration. The
// caller must not change what it points to.
func (s *Speaker) Status() []Status {
	snaps := *s.status.Load()
	all := make([]Status, 0, len(snaps))
	for _, n := range snaps {
		if c := n.counters; c != nil {
			n.Sent, n.Heard = c.sent.Load(), c.heard.Load()
			for r := range c.rejected {
				if v := c.rejected[r].Load(); v > 0 {
					if n.Rejected == nil {
						n.Rejected = make(map[string]uint64)
					}
					n.Rejected[vrrp.Reject(r).String()] = v
				}
			}
		}
		all = append(all, n.Status)
	}
	return all
}

// publishPace is the least time between snapshots, for each VIP in them: they
// are garbage afterwards, and the more of it the more VIPs move.
const publishPace = 100 * time.Microsecond

// publish renews the snapshot, or sees to it that a later Wake does. It
// allocates, so it is for changes only.
func (s *Speaker) publish() {
	if s.renewAt.After(s.now) {
		if s.deadline.IsZero() || s.renewAt.Before(s.deadline) {
			s.deadline = s.renewAt
		}
		return
	}
	s.stale = false
	s.renewAt = s.now.Add(time.Duration(len(s.legs)) * publishPace)
	all := make([]snapshot, 0, len(s.legs))
	for _, i := range s.instances {
		for _, l := range i.legs {
			all = append(all, snapshot{s.describe(i, l), l.counters})
		}
	}
	s.status.Store(&all)
}

func (s *Speaker) describe(i *instance, l *leg) Status {
	st := Status{
		Name: l.cfg.Name, Group: l.cfg.Group, VRID: l.cfg.VRID, State: i.router.State().String(), Priority: i.router.Priority(),
		Addresses: l.cfg.Addresses, Interface: l.cfg.Interface, Carrier: l.cfg.Carrier, Interval: l.cfg.Interval,
		Held: l.held, Since: i.since, Transitions: i.transitions, Reason: i.reason, Claim: i.claim,
	}
	st.Warnings = append(st.Warnings, i.warnings...)
	st.ActiveAddr = i.peer
	switch {
	case i.router.State() == vrrp.Active:
		st.Active, st.ActiveAddr = s.host, i.local
		if !i.wire() {
			st.ActiveAddr = s.gossip.own // local is an identity, nobody's address
		}
	case i.wire():
		if p := s.hostAt(i.peer); p != nil {
			st.Active = p.name
		} else if i.peer.IsValid() {
			st.Active = i.peer.String()
		}
	case i.peer.IsValid():
		st.Active, st.ActiveAddr = i.peer.String(), netip.Addr{}
		if p := s.gossip.named(i.peer); p != nil {
			st.Active, st.ActiveAddr = p.name, p.addr
		}
	}
	return st
}

// hostAt is the host of the cluster that speaks VRRP from an address: if it
// beats from the same one. nil if none is known, or it is not of the cluster.
func (s *Speaker) hostAt(addr netip.Addr) *peer {
	if s.gossip == nil || !addr.IsValid() {
		return nil
	}
	return s.gossip.at(addr)
}

// tell reports a change of state to whoever reads Changes.
func (s *Speaker) tell(c Change) {
	for {
		c.Lost = s.missed.Load()
		select {
		case s.changes <- c:
			return
		default:
		}
		select {
		case <-s.changes:
			s.missed.Add(1)
		default:
		}
	}
}
