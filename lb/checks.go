package lb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"example.org/ha/lb/health"
	"example.org/ha/lb/probe"
)

// checks runs a Board: it hands the Board's questions to a pool of probes and the answers back. One
// goroutine owns it.
type checks struct {
	board   *health.Board
	pool    *probe.Pool
	targets map[string]target   // by check ID
	silent  map[string]struct{} // those that have had no answer yet
}

// A target is one distinct check: everything that asks the same of the same address in the same rhythm
// shares it, so a server behind ten services is asked once.
type target struct {
	check   Check
	address netip.AddrPort
	state   health.State // what is believed when the check begins
	quick   bool
}

func (t target) id() string {
	return fmt.Sprintf("%v %s %+v", t.address, t.check.Key(), t.check.Timing)
}

func newChecks(now time.Time, node string, do probe.Func) *checks {
	return &checks{
		board:   health.NewBoard(now, node, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))),
		pool:    probe.NewPool(do),
		targets: map[string]target{},
		silent:  map[string]struct{}{},
	}
}

// set makes want the whole set of checks; what is in it already goes on undisturbed.
func (c *checks) set(ctx context.Context, now time.Time, want []target) []health.Became {
	var became []health.Became
	wanted := make(map[string]target, len(want))
	for _, t := range want {
		id := t.id()
		if _, shared := wanted[id]; shared {
			continue
		}
		wanted[id] = t
		if _, known := c.targets[id]; !known {
			c.targets[id], c.silent[id] = t, struct{}{}
			became = append(became, c.step(ctx, now, health.Watch{ID: id, Timing: t.check.Timing, State: t.state, Quick: t.quick})...)
		}
	}
	for id := range c.targets {
		if _, ok := wanted[id]; !ok {
			delete(c.targets, id)
			delete(c.silent, id)
			became = append(became, c.step(ctx, now, health.Forget{ID: id})...)
		}
	}
	return became
}

// step steps the Board and sends out the probes it asks for. What it returns is the caller's.
func (c *checks) step(ctx context.Context, now time.Time, ev health.Event) []health.Became {
	var became []health.Became
	for _, e := range c.board.Step(now, ev) {
		switch e := e.(type) {
		case health.Probe:
			t := c.targets[e.ID]
			c.pool.Ask(ctx, probe.Request{ID: e.ID, Seq: e.Seq, Config: t.check.Config, Target: t.address, Timeout: e.Timeout})
		case health.Became:
			became = append(became, e)
		}
	}
	return became
}

// result hands an answer to the Board.
func (c *checks) result(ctx context.Context, now time.Time, r probe.Result) []health.Became {
	delete(c.silent, r.ID)
	ev := health.Result{ID: r.ID, Seq: r.Seq, OK: r.Err == nil, Took: r.Took}
	if r.Err != nil {
		ev.Reason = r.Err.Error()
	}
	return c.step(ctx, now, ev)
}

// answered reports whether every check has had an answer.
func (c *checks) answered() bool { return len(c.silent) == 0 }

// earliest is the first of several deadlines, of which zero ones are none.
func earliest(deadlines ...time.Time) time.Time {
	deadlines = slices.DeleteFunc(deadlines, time.Time.IsZero)
	if len(deadlines) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(deadlines, time.Time.Compare)
}
