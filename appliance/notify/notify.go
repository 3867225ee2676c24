// Package notify tells people what changed: by mail, by webhook, by a command.
//
// Events come in through Post, which never blocks. A pure machine, the digest, gathers them: the first
// event of a quiet time goes out after a short wait (Config.Gather), together with everything that the
// same failure brought along; after that at most one message leaves per Config.Digest. So a storm is
// one mail now and one digest a minute, and a single failure is one mail after two seconds.
//
//	Post ──> digest (bounded, drops the oldest, counts) ──> one queue per target ──> mail
//	                                                                            ├──> webhook
//	                                                                            └──> exec
//
// Each target has its own goroutine and its own bounded queue, so that a mail server that hangs delays
// no webhook. A failed delivery is repeated with growing waits for up to an hour, because the network
// that fails is often the one the mail needs. What had to be dropped is counted, and the next message
// says so.
//
// Which host speaks: every host knows the state of every real server, and two directors must not both
// mail it. The appliance posts events of real servers only where this host holds a virtual address;
// events of this host itself (its virtual addresses, its configuration) it posts always.
package notify

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Kind says what an Event is about. Config.Events chooses among them.
type Kind string

const (
	VIP    Kind = "vip"    // a virtual address came to or left this host
	Server Kind = "server" // a real server went down or came back
	Host   Kind = "host"   // a host of the cluster was lost or found
	Health Kind = "track"  // a tracked check of a virtual address changed
	Reload Kind = "reload" // a changed configuration was applied or refused
)

// Kinds lists every Kind, in the order the documentation gives them.
var kinds = []Kind{VIP, Server, Host, Health, Reload}

// Severity orders events within one message: the worst gives the subject.
type Severity uint8

const (
	Good Severity = iota // something recovered
	Note                 // something changed, nothing is broken
	Bad                  // something is broken
)

func (s Severity) String() string { return [...]string{"good", "note", "bad"}[min(s, Bad)] }

// MarshalText makes JSON carry the word, not the number.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// An Event is one change of state, in words a person understands.
type Event struct {
	Time     time.Time `json:"time"`
	Kind     Kind      `json:"kind"`
	Severity Severity  `json:"severity"`
	Name     string    `json:"name"`             // the virtual address's, service's or host's name
	Object   string    `json:"object,omitempty"` // the real server, for instance
	State    string    `json:"state"`            // "down", "up", "active", "lost" …
	Reason   string    `json:"reason,omitempty"`
	Text     string    `json:"text"` // one sentence: "web: 10.0.0.21:80 is down on lb1: connection refused"
}

// Counters are totals since the start.
type Counters struct {
	Posted    uint64            `json:"posted"`
	Dropped   uint64            `json:"dropped"` // events that found the digest full
	Delivered map[string]uint64 `json:"delivered"`
	Failed    map[string]uint64 `json:"failed"`    // attempts that failed
	Abandoned map[string]uint64 `json:"abandoned"` // messages given up or pushed out of a full queue
	LastError string            `json:"last_error,omitempty"`
}

// A Notifier gathers events and delivers them. Post, Apply and Counters may be called from any goroutine.
type Notifier struct {
	cluster, host string
	log           *slog.Logger
	targets       func(Config) []target // replaced by tests

	mu      sync.Mutex // guards what follows; held for lines only
	cfg     Config
	digest  digest
	total   Counters
	wake    chan struct{}
	applied chan struct{}
}

// New returns a Notifier that speaks for host in cluster. It sends nothing before Run.
func New(cfg Config, cluster, host string, log *slog.Logger) *Notifier {
	n := &Notifier{
		cluster: cluster, host: host, log: log, cfg: cfg.Filled(),
		wake: make(chan struct{}, 1), applied: make(chan struct{}, 1),
		total: Counters{Delivered: map[string]uint64{}, Failed: map[string]uint64{}, Abandoned: map[string]uint64{}},
	}
	n.targets = func(c Config) []target { return c.targets(host) }
	n.digest = newDigest(n.cfg)
	return n
}

// Post takes an event. It never blocks: when the digest is full the oldest event is dropped and counted.
func (n *Notifier) Post(ev Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.cfg.Events, ev.Kind) || n.cfg.silent() {
		return
	}
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	n.total.Posted++
	n.total.Dropped += n.digest.add(time.Now(), ev)
	poke(n.wake)
}

// Apply puts a changed configuration in force. Gathered events are kept, and go to the new targets; while
// the targets stay the same, so do the messages that wait for another attempt.
func (n *Notifier) Apply(cfg Config) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.cfg
	n.cfg = cfg.Filled()
	n.total.Dropped += n.digest.tune(n.cfg)
	if n.cfg.sameTargets(before) {
		poke(n.wake)
	} else {
		poke(n.applied)
	}
}

// Counters returns a copy of the totals.
func (n *Notifier) Counters() Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.total
	c.Delivered, c.Failed, c.Abandoned = clone(c.Delivered), clone(c.Failed), clone(c.Abandoned)
	return c
}

func (n *Notifier) String() string { return "notify" }

// Run delivers until ctx ends, and then once more what was gathered, for at most five seconds.
func (n *Notifier) Run(ctx context.Context, ready func()) error {
	ready()
	for ctx.Err() == nil {
		n.session(ctx)
	}
	return nil
}

// lastWords bounds the deliveries on the way out.
const lastWords = 5 * time.Second

// session runs one set of targets, until the context ends or another configuration is applied.
func (n *Notifier) session(ctx context.Context) {
	n.mu.Lock()
	targets := n.targets(n.cfg)
	n.mu.Unlock()
	var wg sync.WaitGroup
	live, cancel := context.WithCancel(context.WithoutCancel(ctx))
	boxes := make([]*outbox, len(targets))
	for i, t := range targets {
		boxes[i] = newOutbox(t, n)
		wg.Go(func() { boxes[i].run(live) })
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for again := true; again; {
		n.mu.Lock()
		due := n.digest.due(time.Now())
		deadline := n.digest.deadline()
		n.mu.Unlock()
		if len(due.events) > 0 {
			n.spread(boxes, due)
			continue
		}
		timer.Reset(wait(deadline))
		select {
		case <-ctx.Done():
			again = false
		case <-n.applied:
			again = false
		case <-n.wake:
		case <-timer.C:
		}
	}
	if ctx.Err() != nil {
		n.mu.Lock()
		last := n.digest.take(time.Now())
		n.mu.Unlock()
		if len(last.events) > 0 {
			n.spread(boxes, last)
		}
	}
	for _, b := range boxes {
		b.close()
	}
	stop := time.AfterFunc(lastWords, cancel)
	wg.Wait()
	stop.Stop()
	cancel()
}

// spread composes one message of a batch and puts it in every target's queue.
func (n *Notifier) spread(boxes []*outbox, b batch) {
	m := compose(n.cluster, n.host, b)
	for _, box := range boxes {
		box.put(m)
	}
}

// count records the end of one attempt.
func (n *Notifier) count(kind string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.total.Failed[kind]++
		n.total.LastError = err.Error()
		return
	}
	n.total.Delivered[kind]++
}

// abandon records a message that will not be delivered.
func (n *Notifier) abandon(kind string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.total.Abandoned[kind]++
}

func wait(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return time.Hour
	}
	return max(0, time.Until(deadline))
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func clone(m map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	maps.Copy(out, m)
	return out
}
