package lb

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"example.org/ha/lb/health"
	"example.org/ha/lb/pool"
)

// A service is a virtual service at work. The Balancer's goroutine owns it.
type service struct {
	Service
	members   []*member
	guard     health.Guard
	mark      health.Watermark
	condition condition
	kept      bool // the guard is on
}

// A member is a real server of one service.
type member struct {
	address netip.AddrPort
	weight  int
	check   string // the check's ID; empty: no check, always up
	state   health.State
	since   time.Time // of state
	fell    time.Time // when it last went from up to down
	warm    time.Time // when it came up, for the slow start; zero: it need not
	drained bool      // by the operator
	kept    bool      // down, but the guard keeps it
	initial bool      // it was there when the balancer started
}

// condition is what a service can do, in the words of the change that tells of it.
type condition string

const (
	unsettled condition = "" // at the start, until enough is known
	serving   condition = condition(ServiceRestored)
	short     condition = condition(ServiceShort)
	sorry     condition = condition(ServiceSorry)
	empty     condition = condition(ServiceEmpty)
)

func (c condition) String() string {
	if c == unsettled {
		return "starting"
	} else if c == serving {
		return "serving"
	}
	return strings.TrimPrefix(string(c), "service ")
}

// A seat is the place of a real server in a service.
type seat struct {
	service *service
	member  *member
}

// seatsOf finds the seats that each check speaks for.
func seatsOf(services []*service) map[string][]seat {
	seats := map[string][]seat{}
	for _, s := range services {
		for _, m := range s.members {
			if m.check != "" {
				seats[m.check] = append(seats[m.check], seat{s, m})
			}
		}
	}
	return seats
}

// build makes the services of cfg. What is known of a server stays known: from its own check on the
// board, or if that has been edited from the same server in old; and the operator's drain. Nothing in
// old is changed.
func build(now time.Time, cfg Config, old []*service, board *health.Board) ([]*service, []target) {
	var services []*service
	targets := map[string]target{}
	for _, sc := range cfg.Services {
		i := slices.IndexFunc(old, func(s *service) bool { return s.Name == sc.Name })
		var prev *service
		if i >= 0 {
			prev = old[i]
		}
		s := newService(sc, prev)
		for _, r := range sc.Servers {
			m := newMember(now, r, prev.member(r.Address), old == nil)
			s.members = append(s.members, m)
			if sc.Check == nil {
				if m.state != health.Up {
					m.become(now, health.Unknown, health.Up)
				}
				continue
			}
			t := target{check: *sc.Check, address: sc.Check.Target(r.Address), quick: old == nil}
			m.check = t.id()
			t.state = agreed(m.state, targets[m.check].state)
			targets[m.check] = t
		}
		services = append(services, s)
	}
	settle(now, services, targets, board)
	return services, slices.Collect(maps.Values(targets))
}

// agreed is what a check believes at its beginning when its servers come from services with different
// opinions: an edit never takes a server out.
func agreed(a, b health.State) health.State {
	switch {
	case a == health.Up || b == health.Up:
		return health.Up
	case a == health.Unknown:
		return b
	}
	return a
}

// settle gives every member the state that its check has on the board, or will begin with.
func settle(now time.Time, services []*service, targets map[string]target, board *health.Board) {
	for _, s := range services {
		for _, m := range s.members {
			if r, ok := board.Report(m.check); ok {
				m.state, m.since, m.fell = r.State, r.Since, r.Fell
			} else if m.check != "" && m.state != targets[m.check].state {
				m.state, m.since = targets[m.check].state, now
			}
		}
	}
}

// newService takes over what prev, which may be nil, had come to.
func newService(cfg Service, prev *service) *service {
	s := &service{Service: cfg}
	quorum := max(cfg.Quorum, 1)
	if prev == nil {
		s.guard = health.Guard{Share: cfg.Protect, Window: cfg.round()}
		s.mark = health.Watermark{Quorum: quorum, Hysteresis: cfg.Hysteresis}
		return s
	}
	s.condition, s.kept = prev.condition, prev.kept
	s.guard = prev.guard.With(cfg.Protect, cfg.round())
	s.mark = prev.mark.With(quorum, cfg.Hysteresis)
	return s
}

// newMember takes over what prev knew.
func newMember(now time.Time, r Server, prev *member, start bool) *member {
	m := &member{address: r.Address, since: now, initial: start}
	if prev != nil {
		*m = *prev
	}
	m.check, m.weight = "", 1
	if r.Weight != nil {
		m.weight = *r.Weight
	}
	return m
}

// member finds a real server; it may be called on nil, which has none.
func (s *service) member(a netip.AddrPort) *member {
	if s == nil {
		return nil
	}
	for _, m := range s.members {
		if m.address == a {
			return m
		}
	}
	return nil
}

// round is the time in which servers that die together are all found down.
func (s Service) round() time.Duration {
	if s.Check == nil {
		return 0
	}
	return s.Check.Round()
}

// judge brings guard, watermark and condition up to date and says what the reducer must know. changed
// lists what became of the service as a whole.
func (s *service) judge(now time.Time) (p pool.Service, changed []ChangeKind) {
	views := make([]health.Member, len(s.members))
	keep := make([]bool, len(s.members))
	for i, m := range s.members {
		views[i] = health.Member{State: m.state, Fell: m.fell}
	}
	kept := s.guard.Judge(now, views, keep)
	weight, settled := 0, true
	for i, m := range s.members {
		m.kept = keep[i]
		if m.takes() {
			weight += m.weight
		}
		settled = settled && m.state != health.Unknown
	}
	if settled || s.condition != unsettled || weight >= s.mark.Quorum {
		if c := s.conditionOf(weight, s.mark.Step(weight)); c != s.condition {
			if !(s.condition == unsettled && c == serving) {
				changed = append(changed, ChangeKind(c))
			}
			s.condition = c
		}
	}
	if kept != s.kept {
		s.kept = kept
		changed = append(changed, map[bool]ChangeKind{true: ServiceKept, false: ServiceTrusted}[kept])
	}
	return s.reducible(), changed
}

func (s *service) conditionOf(weight int, enough bool) condition {
	switch {
	case enough:
		return serving
	case s.Sorry.IsValid():
		return sorry
	case weight > 0:
		return short
	}
	return empty
}

// takes reports whether the server gets new connections, as far as it alone is concerned.
func (m *member) takes() bool {
	return m.healthy() && !m.drained && m.weight > 0
}

func (m *member) healthy() bool { return m.state == health.Up || m.kept }

// reducible is the service as the reducer wants it. Below quorum, with a sorry server, the healthy
// servers are drained: what is established on them may end, what is new goes to the sorry server.
func (s *service) reducible() pool.Service {
	p := pool.Service{
		VirtualService: pool.VirtualService{
			Name: s.Name, Listen: s.Listen, Protocol: s.protocol(), Scheduler: s.scheduler(),
			Persistent: s.Persistent, PersistentMask: s.PersistentMask, Sorry: s.Sorry, SendProxy: s.SendProxy,
			ConnectTimeout: s.ConnectTimeout, IdleTimeout: s.IdleTimeout, UDPTimeout: s.UDPTimeout,
			DrainTimeout: s.DrainTimeout, CutDown: s.CutDown,
		},
		SlowStart: s.SlowStart,
	}
	for _, m := range s.members {
		p.Members = append(p.Members, pool.Server{
			Address: m.address, Weight: m.weight, Healthy: m.healthy(), Since: m.warm,
			Drain: m.healthy() && (m.drained || s.condition == sorry),
		})
	}
	return p
}

func (s Service) scheduler() pool.Scheduler { return cmp.Or(s.Scheduler, pool.WLC) }

// named finds a server by "ip:port", or by "ip" if only one has it.
func (s *service) named(name string) (*member, error) {
	var found *member
	for _, m := range s.members {
		switch name {
		case m.address.String():
			return m, nil
		case m.address.Addr().String():
			if found != nil {
				return nil, fmt.Errorf("lb: service %q has several servers at %s, say which port", s.Name, name)
			}
			found = m
		}
	}
	if found == nil {
		return nil, fmt.Errorf("lb: service %q has no server %q", s.Name, name)
	}
	return found, nil
}

// healthy counts the servers that get new connections.
func (s *service) healthy() int {
	n := 0
	for _, m := range s.members {
		if m.takes() {
			n++
		}
	}
	return n
}

// become takes over what a check has come to. A server that comes up warms up first, but not one that
// was there when the balancer started: all of them at a tenth is no gentler than all of them at once.
func (m *member) become(now time.Time, from, to health.State) {
	m.state, m.since = to, now
	switch {
	case from == health.Up:
		m.fell = now
	case to == health.Up && !(from == health.Unknown && m.initial):
		m.warm = now
	}
}
