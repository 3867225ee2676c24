// Package lb balances: it keeps the forwarder's table equal to what the configuration, the health of
// the real servers and the operator want it to be.
package lb

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"example.org/ha/lb/health"
	"example.org/ha/lb/pool"
)

// A Forwarder makes a table real. lb/proxy is one.
type Forwarder interface {
	// Apply replaces the whole table; what did not change is not disturbed.
	Apply(pool.Table) error
}

// A Balancer is the load balancer of one host.
type Balancer struct{}

// New returns a Balancer for a Config that passes its Check. It starts nothing.
func New(cfg Config, forwarder Forwarder, log *slog.Logger) (*Balancer, error) { return nil, nil }

// Run balances until ctx ends. It calls ready when every check has had its first answer.
func (b *Balancer) Run(ctx context.Context, ready func()) error { return nil }

// Apply replaces the configuration; the health of servers whose check did not change is kept.
func (b *Balancer) Apply(cfg Config) error { return nil }

// Drain takes a server out of new connections, or puts it back. Its established connections stay.
func (b *Balancer) Drain(service, server string, on bool) error { return nil }

// ConnectFailed reports that the forwarder could not connect to a real server: it counts as a failed
// probe, but never as the last one that takes the server down. It does not block.
func (b *Balancer) ConnectFailed(server netip.AddrPort) {}

// Healthy is how many real servers of a service take connections; 0 for an unknown service.
func (b *Balancer) Healthy(service string) int { return 0 }

// Status is a snapshot, never changed again.
func (b *Balancer) Status() Status { return Status{} }

// Changes carries every change of state; when nobody reads, the oldest are dropped and counted.
func (b *Balancer) Changes() <-chan Change { return nil }

// ChangeKind says what changed.
type ChangeKind string

const (
	ServerUp        ChangeKind = "server up"
	ServerDown      ChangeKind = "server down"
	ServiceSorry    ChangeKind = "service sorry"    // below quorum: clients go to the sorry server
	ServiceEmpty    ChangeKind = "service empty"    // below quorum and no sorry server
	ServiceRestored ChangeKind = "service restored" // at quorum again
	ServiceKept     ChangeKind = "service kept"     // too many servers failed at once: they stay
	ServiceTrusted  ChangeKind = "service trusted"  // the checks are believed again
)

// A Change is one change of state.
type Change struct {
	At      time.Time  `json:"at"`
	Kind    ChangeKind `json:"kind"`
	Service string     `json:"service"`
	Server  string     `json:"server,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Healthy int        `json:"healthy"`
	Servers int        `json:"servers"`
}

// Status is what the load balancer is doing.
type Status struct {
	Services []ServiceStatus `json:"services"`
	Checks   int             `json:"checks"`            // distinct checks; services share them
	Dropped  uint64          `json:"changes_dropped"`   // changes that nobody read in time
	Failure  string          `json:"failure,omitempty"` // why the forwarder does not have the table
}

// ServiceStatus is the state of one virtual service.
type ServiceStatus struct {
	Name      string           `json:"name"`
	Listen    []netip.AddrPort `json:"listen"`
	Protocol  string           `json:"protocol"`
	Scheduler string           `json:"scheduler"`
	Check     string           `json:"check,omitempty"` // the kind
	Healthy   int              `json:"healthy"`
	Sorry     bool             `json:"sorry"`     // below quorum
	Protected bool             `json:"protected"` // failed servers are kept
	Servers   []ServerStatus   `json:"servers"`
}

// ServerStatus is the state of one real server.
type ServerStatus struct {
	Address  netip.AddrPort `json:"address"`
	State    health.State   `json:"state"`
	Weight   int            `json:"weight"`           // as configured
	Current  int            `json:"current"`          // as given to the forwarder now
	Drained  bool           `json:"drained"`          // by the operator
	Since    time.Time      `json:"since"`            // of State
	Reason   string         `json:"reason,omitempty"` // of the last failed probe
	Probed   time.Time      `json:"probed"`           // the last answer
	Took     time.Duration  `json:"took_ns"`
	Probes   uint64         `json:"probes"`
	Failures uint64         `json:"failures"`
	InTable  bool           `json:"in_table"`
}

// A Tracker runs checks that belong to no service, those of [[vip.track]].
type Tracker struct{}

// Tracked is one such check; its Address says whom to ask.
type Tracked struct {
	Name  string
	Check Check
}

// A Verdict is what a tracked check has come to.
type Verdict struct {
	Name   string
	Up     bool
	Reason string
}

// NewTracker returns a Tracker for a host called node. It starts nothing.
func NewTracker(node string, tracked []Tracked, log *slog.Logger) (*Tracker, error) { return nil, nil }

// Run checks until ctx ends.
func (t *Tracker) Run(ctx context.Context, ready func()) error { return nil }

// Apply replaces the checks; the state of those that did not change is kept.
func (t *Tracker) Apply(tracked []Tracked) error { return nil }

// Verdicts is a snapshot: one for each check that has come to one, in the order given.
func (t *Tracker) Verdicts() []Verdict { return nil }

// Changed is signalled, capacity one, when Verdicts has something new.
func (t *Tracker) Changed() <-chan struct{} { return nil }
