package probe

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Limits of a Pool. A probe that waits for an answer costs a descriptor and a few kilobytes, one that
// starts a process costs far more; and no host is asked more than a few things at once.
const (
	maxRunning    = 1024
	maxProcesses  = 64
	maxPerAddress = 4
	maxWaiting    = 1 << 17 // more checks than anybody has: beyond, a probe fails at once
)

// overdue is how long a probe may outstay its timeout before it is given up. Its place in the limits
// stays taken until it really ends.
const overdue = time.Second

var (
	errStuck = errors.New("probe did not end in time")
	errBusy  = errors.New("too many probes wait for their turn")
)

// A Request is one probe to make.
type Request struct {
	ID      string // returned in the Result
	Seq     uint64 // likewise
	Config  Config
	Target  netip.AddrPort
	Timeout time.Duration // counted from when the probe starts, not while it waits for its turn
}

// A Result is the outcome of one Request; each gets exactly one.
type Result struct {
	ID   string
	Seq  uint64
	Err  error // nil: well
	Took time.Duration
}

// A Pool makes probes, a bounded number at once. A Request that finds the limits reached waits for its
// turn.
type Pool struct {
	do      Func
	in      chan Request
	results chan Result
}

// NewPool returns a Pool that probes with do, which is Do but in tests.
func NewPool(do Func) *Pool {
	return &Pool{do: do, in: make(chan Request), results: make(chan Result)}
}

// Ask hands over a request. It does not wait for anything but Run, nor for results to be read.
func (p *Pool) Ask(ctx context.Context, r Request) {
	select {
	case p.in <- r:
	case <-ctx.Done():
	}
}

// Results carries the outcomes in the order in which they came.
func (p *Pool) Results() <-chan Result { return p.results }

// Run works until ctx ends; then it abandons what is under way, and returns when that has ended.
func (p *Pool) Run(ctx context.Context) {
	t := turns{parked: map[netip.Addr][]Request{}, perAddr: map[netip.Addr]int{}}
	ended := make(chan Request)
	done := make(chan Result)
	var out []Result
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		for r, ok := t.next(); ok; r, ok = t.next() {
			wg.Go(func() { p.one(ctx, r, done, ended) })
		}
		var results chan Result
		var first Result
		if len(out) > 0 {
			results, first = p.results, out[0]
		}
		select {
		case <-ctx.Done():
			return
		case r := <-p.in:
			if t.waiting+len(out) >= maxWaiting {
				out = append(out, Result{ID: r.ID, Seq: r.Seq, Err: errBusy})
				continue
			}
			t.add(r)
		case r := <-ended:
			t.end(r)
		case r := <-done:
			out = append(out, r)
		case results <- first:
			out = out[1:]
		}
	}
}

// one makes one probe. A Func that does not keep its promise to end with its context costs its place,
// not the answer.
func (p *Pool) one(ctx context.Context, r Request, done chan<- Result, ended chan<- Request) {
	start := time.Now()
	answer := make(chan error, 1)
	limited, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	go func() { answer <- p.do(limited, r.Config, r.Target) }()
	giveUp := time.NewTimer(r.Timeout + overdue)
	defer giveUp.Stop()
	var err error
	stuck := false
	select {
	case err = <-answer:
	case <-giveUp.C:
		err, stuck = errStuck, true
	case <-ctx.Done():
		// Its context ended with ours, so it ends now, and nobody wants the answer.
		giveUp.Reset(overdue)
		select {
		case <-answer:
		case <-giveUp.C:
		}
		return
	}
	select {
	case done <- Result{ID: r.ID, Seq: r.Seq, Err: err, Took: time.Since(start)}:
	case <-ctx.Done():
		return
	}
	if stuck {
		select {
		case <-answer:
		case <-ctx.Done():
			return
		}
	}
	select {
	case ended <- r:
	case <-ctx.Done():
	}
}

// turns says whose turn it is. It is used by one goroutine.
type turns struct {
	ready     []Request                // in the order asked
	processes []Request                // those that wait for one of the few processes
	parked    map[netip.Addr][]Request // those that wait for their address
	perAddr   map[netip.Addr]int       // running
	running   int
	forked    int // running processes
	waiting   int
}

func (t *turns) add(r Request) {
	t.waiting++
	if isProcess(r) {
		t.processes = append(t.processes, r)
	} else {
		t.ready = append(t.ready, r)
	}
}

// next takes the next request that may run now.
func (t *turns) next() (Request, bool) {
	for t.forked < maxProcesses && len(t.processes) > 0 {
		r := t.processes[0]
		t.processes = t.processes[1:]
		if t.start(r) {
			t.forked++
			return r, true
		}
	}
	for t.running-t.forked < maxRunning && len(t.ready) > 0 {
		r := t.ready[0]
		t.ready = t.ready[1:]
		if t.start(r) {
			return r, true
		}
	}
	return Request{}, false
}

// start counts r in, or parks it behind others of its address.
func (t *turns) start(r Request) bool {
	a := r.Target.Addr()
	if t.perAddr[a] >= maxPerAddress {
		t.parked[a] = append(t.parked[a], r)
		return false
	}
	t.perAddr[a]++
	t.running++
	t.waiting--
	return true
}

func (t *turns) end(r Request) {
	a := r.Target.Addr()
	t.running--
	if isProcess(r) {
		t.forked--
	}
	if t.perAddr[a]--; t.perAddr[a] == 0 {
		delete(t.perAddr, a)
	}
	if q := t.parked[a]; len(q) > 0 {
		t.waiting--
		t.add(q[0])
		if t.parked[a] = q[1:]; len(q) == 1 {
			delete(t.parked, a)
		}
	}
}

func isProcess(r Request) bool {
	k, _ := kindNamed(r.Config.Kind)
	return k.process
}
