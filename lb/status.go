package lb

import (
	"log/slog"
	"net/netip"
	"time"

	"example.org/ha/lb/health"
)

// ChangeKind says what changed.
type ChangeKind string

const (
	ServerUp        ChangeKind = "server up"
	ServerDown      ChangeKind = "server down"
	ServiceSorry    ChangeKind = "service sorry"    // below quorum: clients go to the sorry server
	ServiceEmpty    ChangeKind = "service empty"    // below quorum and no sorry server
	ServiceShort    ChangeKind = "service short"    // below quorum, no sorry server: the rest carry on
	ServiceRestored ChangeKind = "service restored" // at quorum again
	ServiceKept     ChangeKind = "service kept"     // too many servers failed at once: they stay
	ServiceTrusted  ChangeKind = "service trusted"  // the checks are believed again
)

// A Change is one change of state.
type Change struct {
	At      time.Time  `json:"at"`
	Kind    ChangeKind `json:"kind"`
	First   bool       `json:"first,omitempty"` // of a server: its first verdict, no change of one
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
	Condition string           `json:"condition"` // "serving", "short", "sorry", "empty"; "starting" until that is known
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
	Streak   int            `json:"streak"` // answers in a row that speak against State
	Need     int            `json:"need"`   // how many of them change it
	InTable  bool           `json:"in_table"`
}

// publish makes a snapshot of everything, and then tells what has changed: who reads a change and asks
// for the Status finds it there.
func (b *Balancer) publish() {
	st := &Status{Checks: b.checks.board.Len(), Dropped: b.dropped, Failure: b.failure}
	current := map[string]map[netip.AddrPort]int{}
	for _, v := range b.applied.Services {
		weights := map[netip.AddrPort]int{}
		for _, r := range v.Servers {
			weights[r.Address] = r.Weight
		}
		current[v.Name] = weights
	}
	for _, s := range b.services {
		ss := ServiceStatus{
			Name: s.Name, Listen: s.Listen, Protocol: s.protocol().String(), Scheduler: string(s.scheduler()),
			Healthy: s.healthy(), Condition: s.condition.String(), Protected: s.kept,
		}
		if s.Check != nil {
			ss.Check = s.Check.Kind
		}
		for _, m := range s.members {
			ss.Servers = append(ss.Servers, b.serverStatus(m, current[s.Name]))
		}
		st.Services = append(st.Services, ss)
	}
	b.status.Store(st)
	for _, c := range b.untold {
		b.tell(c)
	}
	b.untold = b.untold[:0]
	if st.Dropped != b.dropped {
		b.status.Store(new(st.withDropped(b.dropped)))
	}
}

func (s Status) withDropped(n uint64) Status {
	s.Dropped = n
	return s
}

func (b *Balancer) serverStatus(m *member, weights map[netip.AddrPort]int) ServerStatus {
	st := ServerStatus{Address: m.address, State: m.state, Weight: m.weight, Drained: m.drained, Since: m.since}
	st.Current, st.InTable = weights[m.address]
	if r, ok := b.checks.board.Report(m.check); ok {
		st.Reason, st.Probed, st.Took, st.Probes, st.Failures = r.Reason, r.Answered, r.Took, r.Probes, r.Failures
		st.Streak, st.Need = r.Streak, r.Need
	}
	return st
}

// note logs a change, which the next publish tells.
func (b *Balancer) note(c Change) {
	level := slog.LevelInfo
	if c.Kind != ServerUp && c.Kind != ServiceRestored && c.Kind != ServiceTrusted {
		level = slog.LevelWarn
	}
	attrs := []any{"service", c.Service}
	if c.Server != "" {
		attrs = append(attrs, "server", c.Server)
	}
	attrs = append(attrs, "healthy", c.Healthy, "servers", c.Servers)
	if c.Reason != "" {
		attrs = append(attrs, "reason", c.Reason)
	}
	b.log.Log(b.ctx, level, string(c.Kind), attrs...)
	b.untold = append(b.untold, c)
}

// tell puts a change into the channel, in place of the oldest if nobody reads.
func (b *Balancer) tell(c Change) {
	for {
		select {
		case b.changes <- c:
			return
		default:
		}
		select {
		case <-b.changes:
			b.dropped++
		default:
		}
	}
}
