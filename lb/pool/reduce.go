package pool

import (
	"fmt"
	"net/netip"
	"time"
)

// State is what has become of a configured server. The zero value is Up.
type State uint8

const (
	Up State = iota
	Warming
	Down
	Draining
	Maint
)

func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Warming:
		return "warming"
	case Down:
		return "down"
	case Draining:
		return "draining"
	case Maint:
		return "maint"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// A Server is a configured server and all that is known of it.
type Server struct {
	Address     netip.AddrPort
	Weight      int       // as configured; 0 drains it
	Healthy     bool      // what its checks say
	Since       time.Time // when it last became healthy; zero: it always was, no slow start
	Drain       bool      // ordered by the operator or the registry
	Maintenance bool      // ordered by the operator
}

// A Service is a virtual service as configured, with all that is known of its servers.
// VirtualService.Servers is ignored.
type Service struct {
	VirtualService
	SlowStart time.Duration // a server that became healthy reaches its weight in this time; 0: at once
	Members   []Server      // addresses unique, any order
}

const (
	// warmSteps is the number of steps from a tenth of the weight to all of it.
	warmSteps = 10
	// weightScale multiplies every weight of a service with slow start, at all times, so that a tenth
	// of weight 1 is a whole number and no other server's weight changes while one warms up.
	weightScale = warmSteps
)

// State returns what has become of m at now under a slow start time, the weight the data path shall
// see, and whether it stands in the table at all.
func (m Server) State(now time.Time, slowStart time.Duration) (s State, weight int, listed bool) {
	full := m.Weight
	if slowStart > 0 {
		full *= weightScale
	}
	switch {
	case m.Maintenance:
		return Maint, 0, false
	case m.Drain, m.Weight == 0 && m.Healthy:
		return Draining, 0, true
	case !m.Healthy:
		return Down, 0, false
	}
	if step := warmStep(now, m.Since, slowStart); step < warmSteps {
		return Warming, m.Weight * step, true
	}
	return Up, full, true
}

// warmStep is the tenth of its weight a server healthy since then has reached: 1 to 10.
func warmStep(now, since time.Time, slowStart time.Duration) int {
	if slowStart <= 0 || since.IsZero() {
		return warmSteps
	}
	age := max(now.Sub(since), 0)
	if age >= slowStart {
		return warmSteps
	}
	return int(age*warmSteps/slowStart) + 1
}

// Next returns when the state of m changes by the passing of time alone, or zero.
func (m Server) Next(now time.Time, slowStart time.Duration) time.Time {
	s, _, _ := m.State(now, slowStart)
	if s != Warming {
		return time.Time{}
	}
	step := warmStep(now, m.Since, slowStart)
	// Rounded up: a deadline that falls short of the step by a nanosecond would be asked for again.
	return m.Since.Add((slowStart*time.Duration(step) + warmSteps - 1) / warmSteps)
}

// Reduce folds services into the table that shall be in force at now, and says when to ask again
// because a server warms up (zero: only when something happens). A service none of whose servers
// takes new connections gets its sorry server, with weight 1, if it has one.
func Reduce(now time.Time, services []Service) (t Table, next time.Time) {
	for _, s := range services {
		v := s.VirtualService
		v.Servers = nil
		taking := 0
		for _, m := range s.Members {
			_, weight, listed := m.State(now, s.SlowStart)
			if !listed {
				continue
			}
			v.Servers = append(v.Servers, RealServer{Address: m.Address, Weight: weight})
			taking += weight
			if n := m.Next(now, s.SlowStart); !n.IsZero() && (next.IsZero() || n.Before(next)) {
				next = n
			}
		}
		if taking == 0 && v.Sorry.IsValid() {
			v.Servers = withSorry(v.Servers, v.Sorry)
		}
		t.Services = append(t.Services, v)
	}
	return t.Sorted(), next
}

func withSorry(servers []RealServer, sorry netip.AddrPort) []RealServer {
	for i := range servers {
		if servers[i].Address == sorry {
			servers[i].Weight = 1
			return servers
		}
	}
	return append(servers, RealServer{Address: sorry, Weight: 1})
}
