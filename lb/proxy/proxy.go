// Package proxy forwards TCP connections and UDP flows in userspace: the embedded data path, which
// needs neither kernel modules nor privileges.
package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"example.org/ha/lb/pool"
)

// A Forwarder holds the listeners of a table and forwards what arrives.
type Forwarder struct {
	log *slog.Logger
}

// New returns a Forwarder with an empty table. It starts nothing.
func New(log *slog.Logger) *Forwarder { return &Forwarder{log: log} }

// Run forwards until ctx ends, then closes every connection and listener and returns.
func (f *Forwarder) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Apply makes want the table in force. It takes the whole desired state and may be called at any
// time, also before Run: listeners then exist and connections wait in their queues.
func (f *Forwarder) Apply(want pool.Table) error { return nil }

// ServiceStats is what one virtual service has done so far.
type ServiceStats struct {
	Name    string
	Servers []ServerStats // sorted by address; servers that left the table stay while they have connections
	// Refused counts connections and flows for which no real server could be found.
	Refused uint64
	// Persistent is the number of clients remembered.
	Persistent int
}

// ServerStats is what one real server of a virtual service has done so far.
type ServerStats struct {
	Address        netip.AddrPort
	Weight         int
	Active         int64         // connections and flows now
	Total          uint64        // connections and flows since it joined the table
	ToServer       uint64        // bytes
	ToClient       uint64        // bytes
	ConnectErrors  uint64        // attempts that failed or timed out
	ConnectLatency time.Duration // of the last sampled connection
}

// Stats returns a copy of all counters, sorted by service name.
func (f *Forwarder) Stats() []ServiceStats { return nil }

// A ConnectFailure is a connection attempt that a real server refused or left unanswered.
type ConnectFailure struct {
	Service string
	Server  netip.AddrPort
	Err     error
	At      time.Time
}

// Passive delivers connect failures. It holds 256; further ones are dropped and counted.
func (f *Forwarder) Passive() <-chan ConnectFailure { return nil }
