package lb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.org/ha/lb/health"
	"example.org/ha/lb/probe"
)

// A Tracker runs checks that belong to no service, those of [[vip.track]].
type Tracker struct {
	node    string
	log     *slog.Logger
	do      probe.Func
	first   []Tracked
	apply   chan []Tracked
	changed chan struct{}
	ended   chan struct{}
	now     atomic.Pointer[[]Verdict]
}

// Tracked is one such check; its Address says whom to ask.
type Tracked struct {
	Name  string
	Check Check
}

// A Verdict is what a tracked check has come to.
type Verdict struct {
	Name   string
	Up     bool
	Reason string // of the last failed probe, when down
}

// NewTracker returns a Tracker for a host called node. It starts nothing.
func NewTracker(node string, tracked []Tracked, log *slog.Logger) (*Tracker, error) {
	if err := checkTracked(tracked); err != nil {
		return nil, err
	}
	t := &Tracker{
		node: node, log: log, do: probe.Do, first: tracked,
		apply: make(chan []Tracked), changed: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	t.now.Store(&[]Verdict{})
	return t, nil
}

func checkTracked(tracked []Tracked) error {
	var errs []error
	for _, t := range tracked {
		if err := t.Check.CheckTracked(); err != nil {
			errs = append(errs, fmt.Errorf("lb: track %s: %w", t.Name, err))
		}
	}
	return errors.Join(errs...)
}

// A tracking is the state of one Tracked.
type tracking struct {
	Tracked
	check  string
	state  health.State
	reason string
}

// Run checks until ctx ends. It calls ready when every check has had its first answer.
func (t *Tracker) Run(ctx context.Context, ready func()) error {
	defer close(t.ended)
	c := newChecks(time.Now(), t.node, t.do)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { c.pool.Run(ctx) })
	list := t.set(ctx, c, t.first, nil)
	readyBy := time.Now().Add(readyAfter)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if !readyBy.IsZero() && (c.answered() || !time.Now().Before(readyBy)) {
			readyBy = time.Time{}
			ready()
		}
		if next := earliest(c.board.Deadline(), readyBy); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			t.heard(list, c.step(ctx, time.Now(), nil))
		case r := <-c.pool.Results():
			t.heard(list, c.result(ctx, time.Now(), r))
		case tracked := <-t.apply:
			list = t.set(ctx, c, tracked, list)
		}
	}
}

// set replaces the checks. A check that goes on keeps its state, whatever its name is now; an edited one
// begins with the state that its name had.
func (t *Tracker) set(ctx context.Context, c *checks, tracked []Tracked, old []*tracking) []*tracking {
	var list []*tracking
	var targets []target
	for _, tr := range tracked {
		n := &tracking{Tracked: tr}
		w := target{check: tr.Check, address: tr.Check.Target(netip.AddrPort{}), quick: true}
		n.check = w.id()
		i := slices.IndexFunc(old, func(o *tracking) bool { return o.check == n.check })
		if i < 0 {
			i = slices.IndexFunc(old, func(o *tracking) bool { return o.Name == tr.Name })
		}
		if i >= 0 {
			n.state, n.reason = old[i].state, old[i].reason
		}
		w.state = n.state
		targets = append(targets, w)
		list = append(list, n)
	}
	became := c.set(ctx, time.Now(), targets)
	t.publish(list)
	t.heard(list, became)
	return list
}

func (t *Tracker) heard(list []*tracking, became []health.Became) {
	for _, ev := range became {
		for _, n := range list {
			if n.check != ev.ID {
				continue
			}
			n.state, n.reason = ev.To, ev.Reason
			if ev.To == health.Up {
				n.reason = ""
				t.log.Info("track up", "track", n.Name, "reason", ev.Reason)
			} else {
				t.log.Warn("track down", "track", n.Name, "reason", ev.Reason)
			}
		}
	}
	if len(became) > 0 {
		t.publish(list)
	}
}

func (t *Tracker) publish(list []*tracking) {
	verdicts := []Verdict{}
	for _, n := range list {
		if n.state != health.Unknown {
			verdicts = append(verdicts, Verdict{Name: n.Name, Up: n.state == health.Up, Reason: n.reason})
		}
	}
	t.now.Store(&verdicts)
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Apply replaces the checks; the state of those whose name stays is kept. Run must be running.
func (t *Tracker) Apply(tracked []Tracked) error {
	if err := checkTracked(tracked); err != nil {
		return err
	}
	select {
	case t.apply <- tracked:
		return nil
	case <-t.ended:
		return errors.New("lb: not running")
	}
}

// Verdicts is a snapshot: one for each check that has come to one, in the order given.
func (t *Tracker) Verdicts() []Verdict { return *t.now.Load() }

// Changed is signalled, capacity one, when Verdicts has something new.
func (t *Tracker) Changed() <-chan struct{} { return t.changed }
