// Package vip moves virtual addresses between hosts.
//
// A [Speaker] runs one vrrp.Router for each VIP, or for each group of VIPs,
// and does what it asks: it sends advertisements by one of two carriers, adds
// and removes addresses through a [Link], and tells the neighbours by
// gratuitous ARP and neighbour advertisements who answers for them.
//
// Two threads share the work. The loop thread, which also carries the
// heartbeats, owns every router: it reads adverts, sends adverts and decides,
// and it never waits for the kernel's tables. A second locked thread, the
// mover, makes the netlink calls and sends the announcements; what it has done
// comes back to the loop as an event. Everything else (configuration, health,
// commands, status) reaches the loop by a bounded mailbox and leaves it as an
// immutable snapshot.
//
// A Speaker is a heartbeat.Part: add it to the loop after the heartbeat.Node
// whose rider it uses, then run [Speaker.Run] beside the loop for its slow
// half.
package vip

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"example.org/ha/net/heartbeat"
)

// A Rider carries bodies between the hosts of the cluster: *heartbeat.Rider.
type Rider interface {
	Say(body []byte)
	Shout(body []byte)
	Take() heartbeat.Inbox
}

// A Loop brings its parts round once more: *heartbeat.Loop.
type Loop interface{ Wakeup() }

// A Link holds addresses for this host. Its methods are called on the mover's
// thread only. Add and Remove are idempotent.
type Link interface {
	Add(c Config) error
	Remove(c Config) error
	Announce(c Config) error
}

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
	Lost     uint64    `json:"lost,omitempty"` // older changes dropped unread
}

// A Speaker takes part in the election of every VIP of this host.
type Speaker struct{}

var errNotYet = errors.New("vip: not implemented")

// NewSpeaker builds a Speaker for the host of that name; nothing runs before
// the loop and Run do. rider may be nil when no VIP uses the carrier "gossip".
func NewSpeaker(host string, cfgs []Config, rider Rider, loop Loop, link Link, log *slog.Logger) (*Speaker, error) {
	return nil, errNotYet
}

// Run is the slow half: the mover and the watch over interfaces. It returns
// when ctx is done.
func (s *Speaker) Run(ctx context.Context) error { return errNotYet }

// FDs, Deadline and Wake make the Speaker a heartbeat.Part.
func (s *Speaker) FDs() []int { return nil }

// Deadline is the earliest deadline of the routers.
func (s *Speaker) Deadline() time.Time { return time.Time{} }

// Wake reads what has arrived, steps the routers and does what they ask.
func (s *Speaker) Wake(now time.Time) {}

// Apply makes cfgs the whole set of VIPs. Unchanged ones are not disturbed.
func (s *Speaker) Apply(cfgs []Config) error { return errNotYet }

// SetHealth says how the services and checks tracked for the VIP of that name
// are: delta is added to its priority, and a fault that is not empty makes it
// release its addresses until it is empty again.
func (s *Speaker) SetHealth(name string, delta int, fault string) {}

// Resign hands the VIP of that name, with its group, to the host named to, or
// to the best backup if to is empty.
func (s *Speaker) Resign(name, to string) error { return errNotYet }

// Stop resigns every VIP; the channel is closed when every address is gone.
func (s *Speaker) Stop() <-chan struct{} { return nil }

// Status is the latest snapshot; the caller must not change it.
func (s *Speaker) Status() []Status { return nil }

// Changes delivers every change of state; when nobody reads, the oldest are
// dropped and counted.
func (s *Speaker) Changes() <-chan Change { return nil }

// OpenLink is the Link of the kernel of this host.
func OpenLink(log *slog.Logger) (*Kernel, error) { return nil, errNotYet }

// Kernel is the Link that configures the interfaces of this host by netlink.
type Kernel struct{}

func (k *Kernel) Add(c Config) error      { return errNotYet }
func (k *Kernel) Remove(c Config) error   { return errNotYet }
func (k *Kernel) Announce(c Config) error { return errNotYet }
func (k *Kernel) Close() error            { return nil }
