package admin

import (
	"net/netip"
	"time"

	"example.org/ha/appliance/notify"
	"example.org/ha/lb"
	"example.org/ha/net/vip"
)

// Status is what every part of one host is doing, and what it knows of the others. It is the JSON of
// GET /status and of `ha status --json`. Times are RFC 3339; a duration named _seconds is a number.
type Status struct {
	Node    string    `json:"node"`
	Cluster string    `json:"cluster"`
	Version string    `json:"version"`
	Roles   []string  `json:"roles"`
	PID     int       `json:"pid"`
	Now     time.Time `json:"now"`
	Started time.Time `json:"started"`

	Config File          `json:"config"`
	Parts  []Part        `json:"parts"`
	Hosts  []Host        `json:"hosts"` // of the cluster, this one first, the others by name
	Gossip Gossip        `json:"gossip"`
	Beat   Beat          `json:"beat"`
	VIPs   []vip.Status  `json:"vips"`
	Tracks []Track       `json:"tracks,omitempty"`
	LB     *lb.Status    `json:"lb,omitempty"`
	ZAB    *Member       `json:"zab,omitempty"`
	Flows  []Flow        `json:"flows,omitempty"`
	Notify NotifyTargets `json:"notify"`

	LogLost uint64 `json:"log_lost,omitempty"` // log lines that could not be written
}

// A Member is this host's ZooKeeper server.
type Member struct {
	Mode        string           `json:"mode"` // as ZooKeeper spells it: standalone, leader, …
	Listen      []netip.AddrPort `json:"listen"`
	Zxid        int64            `json:"zxid"` // of the last transaction applied
	Znodes      int              `json:"znodes"`
	Sessions    int              `json:"sessions"`
	Connections int              `json:"connections"`
	Watches     int              `json:"watches"`
	Outstanding int              `json:"outstanding"`         // requests taken and not answered
	FullSince   time.Time        `json:"full_since,omitzero"` // since when the disk has no room for the log
}

// File is the configuration in force.
type File struct {
	Path      string    `json:"path"`
	Applied   time.Time `json:"applied"`
	Reloads   uint64    `json:"reloads"`
	Refusals  uint64    `json:"refusals"`
	Refused   string    `json:"refused,omitempty"` // why the latest reload changed nothing; empty when it did
	RefusedAt time.Time `json:"refused_at,omitzero"`
}

// A Part is one role or helper process of this host.
type Part struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"` // why it is not
}

// A Host of the cluster, as this one sees it.
type Host struct {
	Name    string         `json:"name"`
	Address netip.AddrPort `json:"address,omitzero"`
	State   string         `json:"state"` // "self", "alive", "suspect", "lost", "left"
	Since   time.Time      `json:"since,omitzero"`
	Heard   time.Time      `json:"heard,omitzero"`
	Said    *Summary       `json:"said,omitempty"`
}

// Gossip is the heartbeat core.
type Gossip struct {
	At         time.Time         `json:"at"` // of the snapshot, about a second old at most
	Bind       netip.AddrPort    `json:"bind,omitzero"`
	Interval   float64           `json:"interval_seconds"`
	Lost       int               `json:"lost"` // beats of silence before a host counts as lost
	Sent       uint64            `json:"beats_sent"`
	SentBytes  uint64            `json:"sent_bytes"`
	Heard      uint64            `json:"beats_heard"`
	Bytes      uint64            `json:"heard_bytes"`
	Forgiven   uint64            `json:"forgiven"`          // times this host came late and did not count the silence
	SendFailed uint64            `json:"send_failed"`       // the kernel refused the datagram
	Dropped    map[string]uint64 `json:"dropped,omitempty"` // by reason
}

// Beat is the process (or, in a demonstration, the goroutine) that carries heartbeats and addresses.
type Beat struct {
	PID      int     `json:"pid,omitempty"`
	Restarts uint64  `json:"restarts"`
	Realtime bool    `json:"realtime"`
	Why      string  `json:"why,omitempty"` // what the kernel did not grant
	LateMax  float64 `json:"late_max_seconds"`
	LateP99  float64 `json:"late_p99_seconds"`
	Rounds   uint64  `json:"rounds"`
}

// A Track is a condition of a virtual address that is judged outside the heartbeat.
type Track struct {
	VIP    string `json:"vip"`
	Name   string `json:"name"`
	Up     bool   `json:"up"`
	Weight int    `json:"weight"`
	Reason string `json:"reason,omitempty"`
}

// A Flow is what the forwarder did for one real server of one service. With Server empty it is what
// could be given to none.
type Flow struct {
	Service string `json:"service"`
	Server  string `json:"server"`
	Active  int64  `json:"active"`
	Total   uint64 `json:"total"`
	Failed  uint64 `json:"failed"` // connects that the real server did not answer
	In      uint64 `json:"received_bytes"`
	Out     uint64 `json:"sent_bytes"`
}

// NotifyTargets is the state of the notifications.
type NotifyTargets = notify.Counters

// Ready is false when some part is not.
func (s Status) Ready() bool {
	for _, p := range s.Parts {
		if !p.Ready {
			return false
		}
	}
	return true
}
