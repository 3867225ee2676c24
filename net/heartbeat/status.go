package heartbeat

import (
	"encoding/hex"
	"net/netip"
	"time"

	"example.org/ha/net/gossip"
)

// Status is an immutable snapshot of a node.
type Status struct {
	Name     string         `json:"name"`
	Cluster  string         `json:"cluster"`
	Bind     netip.AddrPort `json:"bind"`
	Interval time.Duration  `json:"interval"`
	Lost     int            `json:"lost"`
	Time     time.Time      `json:"time"` // of the snapshot
	Hosts    []Host         `json:"hosts"`
	Counters Counters       `json:"counters"`
}

// Host is another host as this one sees it.
type Host struct {
	Name     string         `json:"name"`
	Addr     netip.AddrPort `json:"addr"`
	Boot     string         `json:"boot"`  // identifies one start of it
	State    string         `json:"state"` // gossip.State's name
	Since    time.Time      `json:"since"` // of State
	Heard    time.Time      `json:"heard,omitzero"`
	Interval time.Duration  `json:"interval"` // average between its beats
	Mesh     bool           `json:"mesh"`     // it beats to this host at every interval
}

// Counters count since the node began.
type Counters struct {
	Sent       uint64            `json:"sent"`
	SentBytes  uint64            `json:"sent_bytes"`
	Heard      uint64            `json:"heard"`
	HeardBytes uint64            `json:"heard_bytes"`
	Answered   uint64            `json:"answered"`
	Shouts     uint64            `json:"shouts"`
	Probes     uint64            `json:"probes"`
	Asked      uint64            `json:"asked"`
	Refuted    uint64            `json:"refuted"`
	Forgiven   uint64            `json:"forgiven"`
	SendFailed uint64            `json:"send_failed"` // refused by the kernel: no route, no permission
	SendFull   uint64            `json:"send_full"`   // the send buffer was full
	Dropped    map[string]uint64 `json:"dropped"`     // by reason
}

// roster paces the snapshots. A change of a host's state is published at once;
// what every beat changes, counters and times, at most once a second, and less
// often when there are many hosts to copy.
type roster struct {
	published time.Time
	due       time.Time // zero: nothing to publish
	hosts     int
}

func (r *roster) pause() time.Duration { return time.Second * time.Duration(1+r.hosts/64) }

// publish makes a new snapshot, and brings the riders' lists of hosts in line
// with the core's, which may have learnt a new address or forgotten a host.
func (n *Node) publish(now time.Time) {
	cfg := n.config()
	hosts := n.core.Hosts()
	s := &Status{
		Name: n.name, Cluster: cfg.Name, Bind: n.sock.local, Interval: cfg.Interval, Lost: cfg.Lost, Time: now,
		Hosts: make([]Host, len(hosts)), Counters: n.counters(),
	}
	known := make(map[string]bool, len(hosts))
	for i, h := range hosts {
		known[h.Name] = true
		if h.State != gossip.Unheard {
			for _, r := range n.joined {
				r.host(h.Name, h.Addr, h.State < gossip.Dead, h.State == gossip.Departed)
			}
		}
		s.Hosts[i] = Host{
			Name: h.Name, Addr: h.Addr, Boot: hex.EncodeToString(h.Boot[:]), State: h.State.String(),
			Since: h.Since, Heard: h.Heard, Interval: h.Interval, Mesh: h.Mesh,
		}
	}
	for _, r := range n.joined {
		r.forget(known)
	}
	n.roster = roster{published: now, hosts: len(hosts)}
	n.status.Store(s)
}

func (n *Node) counters() Counters {
	c := n.core.Counters()
	out := Counters{
		Sent: c.Sent, SentBytes: c.SentBytes, Heard: c.Heard, HeardBytes: c.HeardBytes, Answered: c.Answered,
		Shouts: c.Shouts, Probes: c.Probes, Asked: c.Asked, Refuted: c.Refuted, Forgiven: c.Forgiven,
		SendFailed: n.counts.failed, SendFull: n.counts.full, Dropped: make(map[string]uint64),
	}
	for i, count := range c.Dropped {
		if count > 0 {
			out.Dropped[gossip.Reason(i).String()] = count
		}
	}
	return out
}
