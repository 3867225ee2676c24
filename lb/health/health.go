// Package health decides when a real server is asked whether it is well, and what its answers mean.
//
// A Board is a wall of light bulbs, one for each distinct check, with a hand that walks past them all
// once an interval. Each bulb has its own place on the walk, given by a hash of its name and of the
// host's: so the work is spread evenly, a check keeps its place over a restart, and two hosts that ask
// the same servers do so at different moments. Places are absolute, an answer that comes late moves
// nothing.
//
//	          rise good answers               fall failures
//	Unknown ────────────────────> Up ────────────────────────> Down
//	   │                          ^                             │
//	   │  fall failures           └───── rise good answers ─────┘
//	   └───────────────────────────────────────────────────────>┘
//
// A server that is Unknown is new: it gets nothing until it has shown that it works. On a Board that
// starts, where everything is new, one good answer does (Watch.Quick), or every restart of the load
// balancer would be an outage of rise intervals.
//
// Three things temper the counts. A server that keeps falling is held down: see Timing.FlapWindow. A
// connection that failed under a client counts as a failed probe and hastens the next one, but a server
// goes down only by a probe of our own. And a Guard mistrusts a round of checks that would take out most
// of a pool.
//
// The package is pure: the owner hands in the time and the events, and carries out the effects.
package health

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// An Event is one of Watch, Forget, Result and ConnectFailed.
type Event interface{ event() }

// Watch begins a check. Watching what is watched already changes nothing.
type Watch struct {
	ID     string
	Timing Timing // passes its Check; zero fields mean their defaults
	State  State  // what is believed already: a server whose check was only edited stays up
	Quick  bool   // while Unknown, one good answer is enough
}

// Forget ends a check.
type Forget struct{ ID string }

// Result is the answer to the Probe with the same ID and Seq; any other is ignored.
type Result struct {
	ID     string
	Seq    uint64
	OK     bool
	Reason string // of a failure
	Took   time.Duration
}

// ConnectFailed says that a client's connection to the server could not be made.
type ConnectFailed struct {
	ID     string
	Reason string
}

func (Watch) event()         {}
func (Forget) event()        {}
func (Result) event()        {}
func (ConnectFailed) event() {}

// An Effect is one of Probe and Became.
type Effect interface{ effect() }

// Probe asks the owner to probe, and to answer with a Result whatever happens.
type Probe struct {
	ID      string
	Seq     uint64
	Timeout time.Duration
}

// Became says that a check has come to another opinion.
type Became struct {
	ID       string
	From, To State
	Reason   string // the last failure, or how many good answers there were
}

func (Probe) effect()  {}
func (Became) effect() {}

// A Board holds the checks of one host.
type Board struct {
	node   string
	anchor time.Time // a reading of both clocks: phases are of the wall clock, steps of the monotonic one
	rand   *rand.Rand
	checks map[string]*check
	due    queue
	seq    uint64 // of the last probe: no two are alike, even of a check that ended and began again
	out    []Effect
}

// NewBoard returns an empty Board for the host called node.
func NewBoard(now time.Time, node string, r *rand.Rand) *Board {
	return &Board{node: node, anchor: now, rand: r, checks: map[string]*check{}}
}

// Step expires what is due at now, then takes the event, which may be nil. The result is good until
// the next Step.
func (b *Board) Step(now time.Time, ev Event) []Effect {
	b.out = b.out[:0]
	for len(b.due) > 0 && !b.due[0].due.IsZero() && !b.due[0].due.After(now) {
		c := b.due[0]
		if late := now.Sub(c.due) > c.period()/2; late && !c.skipped {
			// This process stood still, and so everything is due at once: each check takes up its
			// own phase again. Only once in a row, or a slow host would never probe.
			c.skipped = true
			b.schedule(c, now)
			continue
		}
		b.seq++
		b.out = append(b.out, c.send(now, b.seq))
		heap.Fix(&b.due, c.index)
	}
	switch ev := ev.(type) {
	case nil:
	case Watch:
		b.watch(now, ev)
	case Forget:
		if c := b.checks[ev.ID]; c != nil {
			delete(b.checks, ev.ID)
			heap.Remove(&b.due, c.index)
		}
	case Result:
		if c := b.checks[ev.ID]; c != nil && c.asked && c.seq == ev.Seq {
			b.out = c.result(now, ev, b.out)
			b.schedule(c, now)
		}
	case ConnectFailed:
		if c := b.checks[ev.ID]; c != nil && c.connectFailed(now, ev) {
			heap.Fix(&b.due, c.index)
		}
	default:
		panic(fmt.Sprintf("health: unknown event %T", ev))
	}
	return b.out
}

// Deadline is when the next probe is due; zero: none is.
func (b *Board) Deadline() time.Time {
	if len(b.due) == 0 {
		return time.Time{}
	}
	return b.due[0].due
}

// Len is how many checks there are.
func (b *Board) Len() int { return len(b.checks) }

// Report is what is known of a check.
func (b *Board) Report(id string) (Report, bool) {
	c := b.checks[id]
	if c == nil {
		return Report{}, false
	}
	return c.Report, true
}

func (b *Board) watch(now time.Time, ev Watch) {
	if b.checks[ev.ID] != nil {
		return
	}
	c := &check{id: ev.ID, timing: ev.Timing.withDefaults(), quick: ev.Quick, hash: hash(ev.ID, b.node)}
	c.State, c.Since = ev.State, now
	b.checks[ev.ID] = c
	heap.Push(&b.due, c)
	b.schedule(c, now)
}

// schedule gives c the next moment of its own: the first after now that has the check's phase in its
// present period, and a little jitter.
func (b *Board) schedule(c *check, now time.Time) {
	period := c.period()
	phase := time.Duration(c.hash % uint64(period))
	steady := time.Duration(b.anchor.UnixNano()) + now.Sub(b.anchor)
	wait := (phase - steady%period + period) % period
	if wait == 0 && !c.sent.IsZero() {
		wait = period
	}
	// A change of period changes the phase; the step between two phases is never a small one.
	if !c.sent.IsZero() && now.Add(wait).Sub(c.sent) < period/2 {
		wait += period
	}
	c.due = now.Add(wait)
	if c.timing.Jitter > 0 {
		c.due = c.due.Add(time.Duration(b.rand.Int64N(int64(c.timing.Jitter))))
	}
	heap.Fix(&b.due, c.index)
}

// hash is FNV-1a with the finishing steps of MurmurHash3: names that differ in one digit must not end
// up beside each other.
func hash(parts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, p := range parts {
		for i := range len(p) {
			h = (h ^ uint64(p[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211 // no byte of UTF-8: "ab","c" is not "a","bc"
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// A queue is a heap of checks by due time; a check with a probe under way is not due and sorts last.
type queue []*check

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	a, b := q[i].due, q[j].due
	switch {
	case a.IsZero():
		return false
	case b.IsZero():
		return true
	}
	return a.Before(b)
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	c := x.(*check)
	c.index = len(*q)
	*q = append(*q, c)
}

func (q *queue) Pop() any {
	old := *q
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return c
}
