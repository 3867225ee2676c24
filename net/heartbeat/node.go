package heartbeat

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"example.org/ha/net/gossip"
)

const (
	// maxBatches bounds what one Wake takes from the socket, so that a flood
	// cannot hold up the timers of the loop. The rest is taken a round later.
	maxBatches = 16

	// stalledBatches is the same for a host that stood still: enough to empty
	// a full socket, some hundredth of a second's work.
	stalledBatches = 1024

	// silence is how long a host that stood still does not beat after it has
	// emptied the socket. Its riders need a round to take back what they
	// say, and vrrp's Active listens for a millisecond more.
	silence = 2 * time.Millisecond

	// maxStalls is how often in a row a host that wakes late, and late again,
	// holds back its beat.
	maxStalls = 3

	// seats is the number of topics a node can carry.
	seats = 256
)

// A Node runs the gossip core on a loop: it is the loop's part that owns the
// UDP socket. Its methods but FDs, Deadline and Wake are for any goroutine.
type Node struct {
	name string
	log  *slog.Logger
	loop *Loop

	// On the loop's thread only.
	core    *gossip.Core
	sock    *socket
	fds     [1]int
	riders  [seats]*Rider
	joined  []*Rider // the same, without the gaps
	counts  sends
	roster  roster
	mute    time.Time                 // no beat before; zero: this host did not stand still
	stalls  int                       // times in a row that it did
	refused [gossip.Reasons]time.Time // when a drop of that reason was last logged

	// The mailbox. Each field holds the latest wish: the newer replaces the
	// older, so it has no length to bound.
	// The loop takes mu, so nothing slow happens under it; applying does.
	posted   atomic.Bool
	applying sync.Mutex
	mu       sync.Mutex
	cfg      Config // as applied last
	bind     netip.AddrPort
	join     []netip.AddrPort // nil: no news
	keys     []gossip.Key
	tune     *gossip.Tune
	moved    *socket // the socket for a new Bind
	leave    bool

	names   *resolver     // Run's
	left    chan struct{} // closed when the goodbye is sent
	targets chan []target // the join list for Run; capacity one, latest wins
	status  atomic.Pointer[Status]
}

// sends counts what the kernel did with what the core asked to send.
type sends struct{ failed, full uint64 }

// NewNode binds the socket, makes the core and adds the node to the loop.
// Nothing runs before the loop does. The logger is used on the loop's thread,
// so for a realtime loop it must be one that never blocks.
func NewNode(cfg Config, name string, keys []gossip.Key, loop *Loop, log *slog.Logger) (*Node, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	targets, err := parseTargets(cfg.Join)
	if err != nil {
		return nil, err
	}
	sock, err := bindSocket(cfg, targets)
	if err != nil {
		return nil, err
	}
	var boot [16]byte
	crand.Read(boot[:])
	var seed [16]byte
	crand.Read(seed[:])
	core, err := gossip.New(gossip.Config{
		Name: name, Cluster: cfg.Name, Keys: keys, Boot: boot, Interval: cfg.Interval, Lost: cfg.Lost,
		Rand: rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:]))),
	})
	if err != nil {
		sock.close()
		return nil, err
	}
	n := &Node{
		name: name, log: log, loop: loop, core: core, sock: sock, cfg: cfg, bind: sock.local,
		names: newResolver(log), left: make(chan struct{}), targets: make(chan []target, 1),
	}
	n.fds[0] = sock.fd
	n.targets <- targets
	n.publish(time.Now())
	loop.Add(n)
	return n, nil
}

func bindSocket(cfg Config, targets []target) (*socket, error) {
	bind := cfg.Bind
	if bind == (netip.AddrPort{}) {
		var err error
		if bind, err = defaultBind(targets); err != nil {
			return nil, err
		}
	}
	bind, err := withZoneIndex(bind)
	if err != nil {
		return nil, err
	}
	return openSocket(bind)
}

func parseTargets(join []string) ([]target, error) {
	targets := make([]target, 0, len(join))
	for _, text := range join {
		t, err := parseTarget(text)
		if err != nil {
			return nil, fmt.Errorf("heartbeat: read join list: %w", err)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// Join takes the seat of a topic; each topic has one. Only before the loop
// runs.
func (n *Node) Join(t gossip.Topic) *Rider {
	if n.riders[t] != nil {
		panic(fmt.Sprintf("heartbeat: topic %d has a rider already", t))
	}
	r := newRider(n, t)
	n.riders[t] = r
	n.joined = append(n.joined, r)
	// To ride is to say something, if only nothing: others then send their
	// shouts here.
	r.Say(nil)
	return r
}

// Bound is the address the node beats from.
func (n *Node) Bound() netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bind
}

// Apply changes the configuration of a running node. What it cannot change is
// an error, and then nothing is changed. The name of the cluster is such: it
// decides who belongs to whom.
func (n *Node) Apply(cfg Config, keys []gossip.Key) error {
	cfg = cfg.WithDefaults()
	if err := cfg.Check(); err != nil {
		return err
	}
	targets, err := parseTargets(cfg.Join)
	if err != nil {
		return err
	}
	if len(keys) == 0 || len(keys) > gossip.MaxKeys {
		return fmt.Errorf("cluster.key_file: %d keys, want 1 to %d", len(keys), gossip.MaxKeys)
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	old := n.config()
	if cfg.Name != old.Name {
		return fmt.Errorf("cluster.name: %q cannot become %q without a restart", old.Name, cfg.Name)
	}
	var moved *socket
	if cfg.Bind != old.Bind {
		if moved, err = bindSocket(cfg, targets); err != nil {
			return err
		}
	}
	n.mu.Lock()
	if moved != nil {
		if n.moved != nil {
			n.moved.close()
		}
		n.moved, n.bind = moved, moved.local
	}
	n.cfg = cfg
	n.keys = slices.Clone(keys)
	n.tune = &gossip.Tune{Interval: cfg.Interval, Lost: cfg.Lost}
	n.mu.Unlock()
	select {
	case <-n.targets:
	default:
	}
	n.targets <- targets
	n.post()
	return nil
}

func (n *Node) config() Config {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cfg
}

// Leave tells the others that this host goes, in the loop's next round, and
// closes the channel when that is sent. The node neither sends nor hears after
// it.
func (n *Node) Leave() <-chan struct{} {
	n.mu.Lock()
	n.leave = true
	n.mu.Unlock()
	n.post()
	return n.left
}

// Close closes the socket. Only after the loop has ended.
func (n *Node) Close() {
	n.applying.Lock()
	defer n.applying.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sock.close()
	if n.moved != nil {
		n.moved.close()
	}
}

// post brings the loop round to the mailbox and the riders.
func (n *Node) post() {
	n.posted.Store(true)
	n.loop.Wakeup()
}

// FDs is the socket.
func (n *Node) FDs() []int { return n.fds[:] }

// Deadline is the core's, or at once when something was posted.
func (n *Node) Deadline() time.Time {
	if n.posted.Load() {
		return time.Unix(0, 0)
	}
	d := n.core.Deadline()
	if !d.IsZero() && d.Before(n.mute) {
		d = n.mute
	}
	if p := n.roster.due; !p.IsZero() && (d.IsZero() || p.Before(d)) {
		return p
	}
	return d
}

// Wake drains the socket before it looks at the clock: what arrived while the
// host stood still counts as heard.
func (n *Node) Wake(now time.Time) {
	n.receive(now, n.wakes(now))
	if n.posted.Load() {
		n.take(now)
	}
	if d := n.core.Deadline(); !d.IsZero() && !now.Before(d) && !now.Before(n.mute) {
		n.mute, n.stalls = time.Time{}, 0
		n.do(now, n.core.Step(now, nil))
	}
	if p := n.roster.due; !p.IsZero() && !now.Before(p) {
		n.publish(now)
	}
}

// wakes notices that the host stood still, and says how many batches to take
// from the socket. What the riders say may have become wrong meanwhile: another
// host may hold, rightly, what they say they hold, and would yield to the word
// of a higher priority while this one yields to its. So they are handed all that
// others said, and asked again, before anybody hears from this host.
// On a host that stands still all the time that must end, or it never speaks.
func (n *Node) wakes(now time.Time) (batches int) {
	if !n.core.Stalled(now) {
		return maxBatches
	}
	again := n.mute.IsZero() || now.Sub(n.mute) >= silence
	if again && n.stalls < maxStalls {
		n.stalls++
		n.mute = now.Add(silence)
	}
	return stalledBatches
}

func (n *Node) receive(now time.Time, batches int) {
	for range batches {
		got := n.sock.receive()
		for i := range got {
			from, packet, ok := n.sock.packet(i)
			if !ok {
				packet = nil // too long: the core counts it as malformed
			}
			n.do(now, n.core.Step(now, gossip.Heard{From: from, Packet: packet}))
		}
		if got < batch {
			return
		}
	}
}

// take does what was posted.
func (n *Node) take(now time.Time) {
	n.posted.Store(false)
	n.mu.Lock()
	join, keys, tune, moved, leave := n.join, n.keys, n.tune, n.moved, n.leave
	n.join, n.keys, n.tune, n.moved, n.leave = nil, nil, nil, nil, false
	n.mu.Unlock()
	if moved != nil {
		n.log.Info("bind address changed", "from", n.sock.local, "to", moved.local)
		n.sock.close()
		n.sock, n.fds[0] = moved, moved.fd
	}
	if keys != nil {
		n.do(now, n.core.Step(now, gossip.Rekey{Keys: keys}))
	}
	if tune != nil {
		n.do(now, n.core.Step(now, *tune))
	}
	if join != nil {
		n.do(now, n.core.Step(now, gossip.Join{Addrs: join}))
	}
	for _, r := range n.joined {
		n.speak(now, r)
	}
	if leave {
		n.do(now, n.core.Step(now, gossip.Leave{}))
		n.publish(now)
		select {
		case <-n.left:
		default:
			close(n.left)
		}
	}
}

// speak passes on what a rider has to say.
func (n *Node) speak(now time.Time, r *Rider) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.says {
		r.says = false
		n.send(now, n.core.Step(now, gossip.Say{Topic: r.topic, Body: r.saying}))
	}
	for i, body := range r.shout {
		n.send(now, n.core.Step(now, gossip.Shout{Topic: r.topic, Body: body}))
		r.shout[i] = nil
	}
	r.shout = r.shout[:0]
}

// send does the effects of a Say or Shout, which cannot deliver anything.
func (n *Node) send(now time.Time, effects []gossip.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case *gossip.Send:
			n.transmit(e)
		case *gossip.Dropped:
			n.dropped(now, e)
		}
	}
}

func (n *Node) do(now time.Time, effects []gossip.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case *gossip.Send:
			n.transmit(e)
		case *gossip.Deliver:
			r := n.riders[e.Topic]
			switch {
			case r == nil:
			case e.Shout:
				r.shouted(e.From, e.Body)
			default:
				r.said(now, e.From, e.Body)
			}
		case *gossip.Found:
			n.log.Info("host found", "host", e.Host.Name, "address", e.Host.Addr)
			n.tell(now, e.Host, true, false)
		case *gossip.Suspected:
			n.log.Warn("host suspected", "host", e.Host.Name, "address", e.Host.Addr, "heard", e.Host.Heard)
			n.publish(now)
		case *gossip.Lost:
			if e.Left {
				n.log.Info("host left", "host", e.Host.Name, "address", e.Host.Addr)
			} else {
				n.log.Warn("host lost", "host", e.Host.Name, "address", e.Host.Addr, "heard", e.Host.Heard)
			}
			n.tell(now, e.Host, false, e.Left)
		case *gossip.Dropped:
			n.dropped(now, e)
		}
	}
	if len(effects) > 0 && n.roster.due.IsZero() {
		n.roster.due = n.roster.published.Add(n.roster.pause())
	}
}

func (n *Node) transmit(e *gossip.Send) {
	switch n.sock.send(e.To, e.Packet) {
	case 0:
	case unix.EAGAIN, unix.ENOBUFS:
		n.counts.full++
	default:
		n.counts.failed++
	}
}

// tell passes a host's life or death to every rider and to the status.
func (n *Node) tell(now time.Time, h gossip.Host, alive, left bool) {
	for _, r := range n.joined {
		r.host(h.Name, h.Addr, alive, left)
	}
	n.publish(now)
}

// loud are the drops that an operator can do something about. Noise from
// outside is only counted.
var loud = map[gossip.Reason]string{
	gossip.SameName:     "two hosts have one name",
	gossip.WrongCluster: "a host of another cluster has our key",
	gossip.TooMany:      "the table of hosts is full",
	gossip.TooLong:      "a rider said more than a beat carries",
	gossip.BadKeys:      "list of keys refused",
	gossip.BadTune:      "interval refused",
}

const loudPause = time.Minute

func (n *Node) dropped(now time.Time, e *gossip.Dropped) {
	text, ok := loud[e.Reason]
	if !ok || now.Sub(n.refused[e.Reason]) < loudPause {
		return
	}
	n.refused[e.Reason] = now
	n.log.Warn(text, "from", e.From)
}

// Status returns the latest snapshot; it is never written again.
func (n *Node) Status() Status { return *n.status.Load() }
