package zk

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"example.org/ha/consensus/jute"
)

// batch is the number of bytes after which a write to the socket is full enough.
const batch = 64 << 10

// A Call is a request on its way.
type Call struct {
	req  jute.Request
	path string // as the caller wrote it
	pipe *pipeline
	one  *OneShot // to be set when the reply says so
	done chan struct{}

	// What follows is the pipeline's until done is closed, then anybody's to read.
	xid       int32
	phase     callPhase
	abandoned bool // nobody waits
	own       bool // the client's, beyond the limit of requests
	at        time.Time
	reply     Reply
	err       error
}

type callPhase uint8

const (
	queued callPhase = iota
	sent
	finished
)

// Done is closed when the reply is here or will never come.
func (k *Call) Done() <-chan struct{} { return k.done }

// Wait returns the reply. If ctx ends first, a request that was not sent yet never will be, and one that was
// sent may be carried out: Uncertain tells.
func (k *Call) Wait(ctx context.Context) (Reply, error) {
	select {
	case <-k.done:
	default:
		select {
		case <-k.done:
		case <-ctx.Done():
			if err := k.pipe.abandon(k, context.Cause(ctx)); err != nil {
				return Reply{}, err
			}
			<-k.done // the reply was being taken apart
		}
	}
	return k.reply, k.err
}

// fail names the request in an error.
func (k *Call) fail(err error) error {
	return &Error{Op: k.req.Op, Path: k.path, Part: -1, Sent: k.phase != queued, Err: err}
}

// A pipeline holds the requests that are not answered, in the order of their start: first those that were
// sent, then those that were not. Callers push, the session's owner takes, the reader pops.
type pipeline struct {
	wake  chan struct{} // capacity one: there is something to take
	slots chan struct{} // one for each request in here: the limit
	over  chan struct{} // closed with ended
	retry bool          // reads are sent again after a loss
	limit int           // bytes of a request
	watch *watches

	mu        sync.Mutex
	xid       int32
	queued    fifo
	sent      fifo
	auths     []*authCall
	unproved  int // how many of auths, from the front, are answered on this connection
	attached  bool
	control   []byte // frames of the client's own, that go before what is queued
	ended     error
	answered  time.Time
	committed time.Time
	heard     time.Time
	pinged    time.Time // of the ping under way; zero: none
}

// An authCall is one proof and who waits for its first answer.
type authCall struct {
	auth Auth
	done chan struct{} // closed at the first answer
	err  error
	told bool
}

func newPipeline(cfg Config, w *watches) *pipeline {
	return &pipeline{
		wake: make(chan struct{}, 1), slots: make(chan struct{}, cfg.MaxInFlight), over: make(chan struct{}),
		retry: cfg.RetryReads, limit: cfg.MaxRequest, watch: w,
	}
}

// push queues k, or finishes it if the client is at its end.
func (p *pipeline) push(ctx context.Context, k *Call) {
	refuse := func(err error) {
		k.err, k.phase = k.fail(err), finished
		p.unwatch(k)
		close(k.done)
	}
	if n := length(&k.req); n > p.limit {
		refuse(fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, p.limit))
		return
	}
	select {
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			refuse(context.Cause(ctx))
			return
		case <-p.over:
		}
	}
	p.mu.Lock()
	if p.ended != nil {
		p.mu.Unlock()
		refuse(p.ended)
		return
	}
	p.queued.push(k)
	attached := p.attached
	p.mu.Unlock()
	if attached {
		p.kick()
	}
}

func (p *pipeline) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// abandon makes nobody look at k's reply, unless it is here already: then it returns nil.
func (p *pipeline) abandon(k *Call, cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := k.fail(cause)
	switch k.phase {
	case queued:
		p.queued.remove(k)
		p.unwatch(k)
		k.err, k.phase = err, finished
		close(k.done)
		<-p.slots
	case sent:
		k.abandoned = true
	case finished:
		return nil
	}
	return err
}

// take appends the frames of what waits to b, up to a batch.
func (p *pipeline) take(b []byte, now time.Time) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b = append(b, p.control...)
	p.control = p.control[:0]
	for len(b) < batch && p.queued.len() > 0 {
		k := p.queued.pop()
		if k.xid == 0 {
			k.xid = p.nextXid()
		}
		k.phase, k.at = sent, now
		switch {
		case k.one != nil:
			k.req.Watch = p.watch.plan(k.one)
		case k.req.Op == jute.OpAddWatch:
			p.watch.hold(k.req.Path)
		}
		b = appendFrame(b, k.xid, &k.req)
		p.sent.push(k)
	}
	if p.queued.len() > 0 {
		p.kick()
	}
	return b
}

// nextXid counts through the positive numbers; the others have meanings.
func (p *pipeline) nextXid() int32 {
	if p.xid == math.MaxInt32 {
		p.xid = 0
	}
	p.xid++
	return p.xid
}

// pop takes the call that a reply answers off the front.
func (p *pipeline) pop(xid int32, now time.Time) (*Call, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = now
	if p.sent.len() == 0 {
		return nil, fmt.Errorf("%w: reply %d to no request", ErrProtocol, xid)
	}
	if want := p.sent.front().xid; want != xid {
		return nil, fmt.Errorf("%w: reply %d where %d was due", ErrProtocol, xid, want)
	}
	k := p.sent.pop()
	k.phase = finished
	p.answered = later(p.answered, k.at)
	return k, nil
}

// through notes that a request sent at that time passed the leader.
func (p *pipeline) through(at time.Time) {
	p.mu.Lock()
	p.committed = later(p.committed, at)
	p.mu.Unlock()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// finish hands k, popped before, to who waits for it.
func (p *pipeline) finish(k *Call, r Reply, err error) {
	k.reply, k.err = r, err
	close(k.done)
	if !k.own {
		<-p.slots
	}
}

// lose finishes calls that have their error.
func (p *pipeline) lose(calls []*Call) {
	for _, k := range calls {
		p.unwatch(k)
		p.finish(k, Reply{}, k.err)
	}
}

// unwatch gives up the watch that k should have set.
func (p *pipeline) unwatch(k *Call) {
	if k.one != nil {
		p.watch.planned(k.one, 0, false)
	}
}

// attach begins a connection whose handshake was sent at that time: it appends the proofs, which go first.
// From now on requests may be taken.
func (p *pipeline) attach(b []byte, at, now time.Time) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached, p.heard, p.pinged, p.unproved = true, now, time.Time{}, 0
	p.answered, p.committed = later(p.answered, at), later(p.committed, at)
	p.control = p.control[:0]
	for _, a := range p.auths {
		b = appendAuth(b, a.auth)
	}
	if p.queued.len() > 0 {
		p.kick()
	}
	return b
}

// detach ends a connection: what was sent fails with err, or waits to be sent again.
func (p *pipeline) detach(err error) {
	p.mu.Lock()
	p.attached = false
	var lost []*Call
	var again fifo
	for p.sent.len() > 0 {
		k := p.sent.pop()
		if p.retry && reads(k.req.Op) && !k.abandoned && p.ended == nil {
			k.phase = queued
			if k.one != nil {
				p.watch.unplan(k.one)
			}
			again.push(k)
			continue
		}
		k.err, k.phase = k.fail(err), finished
		lost = append(lost, k)
	}
	for p.queued.len() > 0 {
		again.push(p.queued.pop())
	}
	p.queued = again
	p.mu.Unlock()
	p.lose(lost)
}

// drop fails what waits, for a session that is over: it was meant for that one.
func (p *pipeline) drop(err error) {
	p.mu.Lock()
	var lost []*Call
	for p.queued.len() > 0 {
		k := p.queued.pop()
		k.err, k.phase = k.fail(err), finished
		lost = append(lost, k)
	}
	p.answered, p.committed = time.Time{}, time.Time{}
	p.mu.Unlock()
	p.lose(lost)
}

// last queues the client's own last request.
func (p *pipeline) last(r jute.Request) *Call {
	k := &Call{req: r, pipe: p, own: true, done: make(chan struct{})}
	p.mu.Lock()
	p.queued.push(k)
	p.mu.Unlock()
	return k
}

// refuse starts no request any more.
func (p *pipeline) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = err
		close(p.over)
		for _, a := range p.auths {
			if !a.told {
				a.told, a.err = true, err
				close(a.done)
			}
		}
	}
}

// end refuses everything from now on, and fails what is left.
func (p *pipeline) end(err error) {
	p.refuse(err)
	p.detach(err)
	p.drop(err)
}

// prove adds a proof to those that begin every connection, and sends it if there is one now.
func (p *pipeline) prove(a *authCall) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return p.ended
	}
	p.auths = append(p.auths, a)
	if p.attached {
		p.control = appendAuth(p.control, a.auth)
		p.kick()
	}
	return nil
}

// proved takes the answer to the oldest proof not answered on this connection.
func (p *pipeline) proved(code jute.Code) (Auth, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unproved >= len(p.auths) {
		return Auth{}, fmt.Errorf("%w: answer to no proof", ErrProtocol)
	}
	a := p.auths[p.unproved]
	p.unproved++
	if !a.told {
		a.told = true
		if code != jute.OK {
			a.err = code
		}
		close(a.done)
	}
	return a.auth, nil
}

// A fifo is a queue of calls.
type fifo struct {
	q    []*Call
	head int
}

func (f *fifo) len() int     { return len(f.q) - f.head }
func (f *fifo) front() *Call { return f.q[f.head] }
func (f *fifo) push(k *Call) { f.q = append(f.q, k) }

func (f *fifo) pop() *Call {
	k := f.q[f.head]
	f.q[f.head] = nil
	f.head++
	switch {
	case f.head == len(f.q):
		f.q, f.head = f.q[:0], 0
	case f.head >= 64 && f.head*2 >= len(f.q): // the front half is empty
		f.q = slices.Delete(f.q, 0, f.head)
		f.head = 0
	}
	return k
}

func (f *fifo) remove(k *Call) {
	if i := slices.Index(f.q[f.head:], k); i >= 0 {
		f.q = slices.Delete(f.q, f.head+i, f.head+i+1)
	}
}
