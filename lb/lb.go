// Package lb balances: it keeps the forwarder's table equal to what the configuration, the health of
// the real servers and the operator want it to be.
//
//	configuration ──┐
//	probe.Pool ──> health.Board ──> states ──┐
//	clients' failed connections ──┘          ├──> pool.Reduce ──> pool.Table ──> Forwarder
//	the operator's drain ────────────────────┘
//
// One goroutine, in [Balancer.Run], owns all of it. It does not react to a change by changing the
// table: it notes the change and, ten milliseconds later and every few seconds anyway, works out the
// whole table anew and hands it over. So twenty servers that die together cost one step, and whatever
// was lost or changed behind our back is put right.
//
// A server whose checks fail leaves the table and one that recovers comes back; nothing else moves. An
// empty pool is never invented: a configuration that the forwarder refuses changes nothing, and
// servers whose check is only edited keep the state they had.
package lb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"example.org/ha/lb/health"
	"example.org/ha/lb/pool"
	"example.org/ha/lb/probe"
)

const (
	coalesce   = 10 * time.Millisecond // from a change to the table, for others to join it
	repair     = 2 * time.Second       // the table is handed over at least this often
	readyAfter = 5 * time.Second       // Run is ready then even if a check has no answer yet
)

// A Forwarder makes a table real. lb/proxy is one.
type Forwarder interface {
	// Apply replaces the whole table; what did not change is not disturbed. On an error the old
	// table stays in force.
	Apply(pool.Table) error
}

// A Balancer is the load balancer of one host.
type Balancer struct {
	forwarder Forwarder
	log       *slog.Logger
	do        probe.Func
	cfg       Config // at the start

	commands chan command
	failed   chan netip.AddrPort
	changes  chan Change
	ended    chan struct{}
	status   atomic.Pointer[Status]

	// What follows belongs to Run's goroutine.
	ctx      context.Context // of Run
	checks   *checks
	services []*service
	seats    map[string][]seat // by check ID
	applied  pool.Table        // by the forwarder
	due      time.Time         // of the next reconciliation
	untold   []Change          // since the last publish, which comes within coalesce
	dropped  uint64
	failure  string
}

// A command is Apply or Drain, on its way to Run's goroutine.
type command struct {
	cfg             *Config
	service, server string
	drain           bool
	done            chan error // capacity one
}

// New returns a Balancer. It starts nothing.
func New(cfg Config, forwarder Forwarder, log *slog.Logger) (*Balancer, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("lb: %w", err)
	}
	b := &Balancer{
		forwarder: forwarder, log: log, do: probe.Do, cfg: cfg,
		commands: make(chan command), failed: make(chan netip.AddrPort, 256),
		changes: make(chan Change, 256), ended: make(chan struct{}),
	}
	b.status.Store(&Status{})
	return b, nil
}

// Run balances until ctx ends; then it leaves the table as it is, for the forwarder's owner to stop.
// It calls ready when every check has had its first answer and the table is in force. It is called once.
func (b *Balancer) Run(ctx context.Context, ready func()) error {
	defer close(b.ended)
	now := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.ctx, b.checks = ctx, newChecks(now, b.cfg.Node, b.do)
	wg.Go(func() { b.checks.pool.Run(ctx) })
	services, targets := build(now, b.cfg, nil, b.checks.board)
	b.services, b.seats = services, seatsOf(services)
	if err := b.reconcile(now); err != nil {
		return fmt.Errorf("lb: apply table: %w", err)
	}
	b.heard(now, b.checks.set(ctx, now, targets))
	b.publish()
	readyBy := now.Add(readyAfter)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if !readyBy.IsZero() && (b.checks.answered() || !time.Now().Before(readyBy)) {
			b.reconcileLogged(time.Now())
			readyBy = time.Time{}
			ready()
		}
		timer.Reset(time.Until(earliest(b.checks.board.Deadline(), b.due, readyBy)))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			b.heard(time.Now(), b.checks.step(ctx, time.Now(), nil))
		case r := <-b.checks.pool.Results():
			b.heard(time.Now(), b.checks.result(ctx, time.Now(), r))
		case server := <-b.failed:
			b.connectFailed(server)
		case c := <-b.commands:
			c.done <- b.command(c)
		}
		if now := time.Now(); !now.Before(b.due) {
			b.reconcileLogged(now)
		}
	}
}

// heard takes over what checks have come to.
func (b *Balancer) heard(now time.Time, became []health.Became) {
	for _, ev := range became {
		for _, seat := range b.seats[ev.ID] {
			seat.member.become(now, ev.From, ev.To)
			kind := ServerDown
			if ev.To == health.Up {
				kind = ServerUp
			}
			b.note(Change{At: now, Kind: kind, First: ev.From == health.Unknown, Service: seat.service.Name, Server: seat.member.address.String(),
				Reason: ev.Reason, Healthy: seat.service.healthy(), Servers: len(seat.service.members)})
			b.soon(now)
		}
	}
}

// soon asks for a reconciliation after a moment in which other changes may join.
func (b *Balancer) soon(now time.Time) {
	if at := now.Add(coalesce); at.Before(b.due) {
		b.due = at
	}
}

// reconcile works out the table and hands it over.
func (b *Balancer) reconcile(now time.Time) error {
	table, next := b.reduce(now, b.services)
	b.due = earliest(now.Add(repair), next)
	if err := b.forwarder.Apply(table); err != nil {
		return err
	}
	b.applied = table
	return nil
}

// reduce judges every service, tells what became of it, and returns the table.
func (b *Balancer) reduce(now time.Time, services []*service) (pool.Table, time.Time) {
	var ps []pool.Service
	for _, s := range services {
		p, changed := s.judge(now)
		ps = append(ps, p)
		for _, kind := range changed {
			b.note(Change{At: now, Kind: kind, Service: s.Name, Healthy: s.healthy(), Servers: len(s.members)})
		}
	}
	return pool.Reduce(now, ps)
}

// reconcileLogged keeps the balancer going when the forwarder fails: it is asked again at the next
// repair, and the failure is said once.
func (b *Balancer) reconcileLogged(now time.Time) {
	err := b.reconcile(now)
	switch {
	case err != nil && err.Error() != b.failure:
		b.failure = err.Error()
		b.log.Error("forwarder refuses the table", "error", err)
	case err == nil && b.failure != "":
		b.failure = ""
		b.log.Info("forwarder has the table again")
	}
	b.publish()
}

// connectFailed hands a client's failure to every check of that server.
func (b *Balancer) connectFailed(server netip.AddrPort) {
	now := time.Now()
	told := map[string]bool{"": true}
	for _, s := range b.services {
		if m := s.member(server); m != nil && !told[m.check] {
			told[m.check] = true
			b.heard(now, b.checks.step(b.ctx, now, health.ConnectFailed{ID: m.check, Reason: "a client's connection failed"}))
		}
	}
}

func (b *Balancer) command(c command) error {
	now := time.Now()
	if c.cfg == nil {
		return b.drain(now, c)
	}
	services, targets := build(now, *c.cfg, b.services, b.checks.board)
	table := tableOnTrial(now, services)
	if err := b.forwarder.Apply(table); err != nil {
		return fmt.Errorf("lb: apply table: %w", err)
	}
	b.services, b.seats = services, seatsOf(services)
	b.heard(now, b.checks.set(b.ctx, now, targets))
	b.reconcileLogged(now)
	return nil
}

// tableOnTrial is what reduce would return. The services may yet be thrown away, so their guards and
// marks are not moved and nobody is told.
func tableOnTrial(now time.Time, services []*service) pool.Table {
	var ps []pool.Service
	for _, s := range services {
		trial := *s
		p, _ := trial.judge(now)
		ps = append(ps, p)
	}
	table, _ := pool.Reduce(now, ps)
	return table
}

func (b *Balancer) drain(now time.Time, c command) error {
	for _, s := range b.services {
		if s.Name != c.service {
			continue
		}
		m, err := s.named(c.server)
		if err != nil {
			return err
		}
		if m.drained != c.drain {
			m.drained = c.drain
			b.log.Info("drain", "service", s.Name, "server", m.address, "on", c.drain)
			b.reconcileLogged(now)
		}
		return nil
	}
	return fmt.Errorf("lb: no service %q", c.service)
}

// Apply replaces the configuration; the health of servers that stay is kept. If the forwarder cannot
// take it, the old one stays in force. Run must be running.
func (b *Balancer) Apply(cfg Config) error {
	if err := cfg.Check(); err != nil {
		return fmt.Errorf("lb: %w", err)
	}
	return b.send(command{cfg: &cfg})
}

// Drain takes a server, "ip:port" or "ip" if that is unique, out of new connections, or puts it back.
// Its established connections stay. The order holds until Run ends. Run must be running.
func (b *Balancer) Drain(service, server string, on bool) error {
	return b.send(command{service: service, server: server, drain: on})
}

func (b *Balancer) send(c command) error {
	c.done = make(chan error, 1)
	select {
	case b.commands <- c:
		return <-c.done
	case <-b.ended:
		return errors.New("lb: not running")
	}
}

// ConnectFailed reports that the forwarder could not connect to a real server: it counts as a failed
// probe, but never as the last one that takes the server down. It does not block; when too many come
// at once, one more or less says nothing new.
func (b *Balancer) ConnectFailed(server netip.AddrPort) {
	select {
	case b.failed <- server:
	default:
	}
}

// Healthy is how many real servers of a service take connections; 0 for an unknown service.
func (b *Balancer) Healthy(service string) int {
	for _, s := range b.Status().Services {
		if s.Name == service {
			return s.Healthy
		}
	}
	return 0
}

// Status is a snapshot, never changed again, at most a few seconds old in its counters and at most
// some milliseconds in its states.
func (b *Balancer) Status() Status { return *b.status.Load() }

// Changes carries every change of state; when nobody reads, the oldest are dropped and counted.
func (b *Balancer) Changes() <-chan Change { return b.changes }
