package beat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// stopTimeout bounds how long a Beat waits, on its way out, for its addresses
// to be taken over and removed.
const stopTimeout = 5 * time.Second

// Settings are what the configuration file decides about a Beat.
type Settings struct {
	Node    string // the name of this host
	Cluster heartbeat.Config
	Keys    []gossip.Key // the first seals, all open
	VIPs    []vip.Config
}

// Check reports every mistake.
func (s Settings) Check() error {
	var errs []error
	if s.Node == "" {
		errs = append(errs, errors.New("node: is required"))
	}
	if len(s.Keys) == 0 {
		errs = append(errs, errors.New("cluster.key_file: holds no key"))
	}
	return errors.Join(append(errs, s.Cluster.Check(), vip.CheckAll(s.VIPs))...)
}

// withDefaults returns s as the parts want it.
func (s Settings) withDefaults() Settings {
	s.Cluster = s.Cluster.WithDefaults()
	vips := make([]vip.Config, len(s.VIPs))
	for i, c := range s.VIPs {
		vips[i] = c.Defaults(s.Cluster.Interval)
	}
	s.VIPs = vips
	return s
}

// Options are what the program decides about a Beat.
type Options struct {
	// Realtime takes the whole process for the beat: see heartbeat.LoopConfig.
	Realtime bool

	// Link holds the addresses. Default: the kernel's interfaces.
	Link vip.Link

	// Log may block: the loop is kept from waiting for it.
	Log *slog.Logger

	speak func(s Settings, r *heartbeat.Rider, l *heartbeat.Loop, o Options) (speaker, error)
}

// Status is what a Beat is doing.
type Status struct {
	Running   bool               `json:"running"`         // the beat process is up, or the beat is in this process
	Error     string             `json:"error,omitempty"` // why it is not
	PID       int                `json:"pid,omitempty"`   // of the beat process
	Restarts  uint64             `json:"restarts"`        // of the beat process
	Heartbeat heartbeat.Status   `json:"heartbeat"`
	VIPs      []vip.Status       `json:"vips"`
	Loop      heartbeat.Lateness `json:"loop"`
	Dropped   uint64             `json:"dropped"` // events the pipe forgot because this side was slow
}

// A Rider is a seat at one topic: a *heartbeat.Rider in the process of the
// beat, and one at the end of the pipe.
type Rider interface {
	Say(body []byte)
	Shout(body []byte)
	Changed() <-chan struct{}
	Take() heartbeat.Inbox
}

// speaker is what a Beat needs of a vip.Speaker.
type speaker interface {
	heartbeat.Part
	Run(ctx context.Context) error
	Apply(cfgs []vip.Config) error
	SetHealth(name string, delta int, fault string)
	Resign(name, to string) error
	Stop() <-chan struct{}
	Status() []vip.Status
	Changes() <-chan vip.Change
}

// topics are those a Beat carries for others; Adverts is the speaker's.
var topics = []gossip.Topic{gossip.Votes, gossip.Summary}

// A Beat is a loop with a node and a speaker on it.
type Beat struct {
	logs    *logQueue
	loop    *heartbeat.Loop
	node    *heartbeat.Node
	speaker speaker
	riders  map[gossip.Topic]*heartbeat.Rider
	killed  chan struct{}
	kill    sync.Once

	mu       sync.Mutex
	settings Settings
}

// New composes a Beat. It binds the socket; nothing but the log runs before Run.
func New(s Settings, o Options) (_ *Beat, err error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	var logs *logQueue
	o.Log, logs = queueLog(o.Log)
	defer func() {
		if err != nil {
			logs.flush()
		}
	}()
	loop, err := heartbeat.NewLoop(heartbeat.LoopConfig{Realtime: o.Realtime, Log: o.Log})
	if err != nil {
		return nil, err
	}
	node, err := heartbeat.NewNode(s.Cluster, s.Node, s.Keys, loop, o.Log)
	if err != nil {
		return nil, err
	}
	b := &Beat{
		logs: logs, loop: loop, node: node, settings: s,
		riders: make(map[gossip.Topic]*heartbeat.Rider), killed: make(chan struct{}),
	}
	adverts := node.Join(gossip.Adverts)
	for _, t := range topics {
		b.riders[t] = node.Join(t)
	}
	speak := o.speak
	if speak == nil {
		speak = newSpeaker
	}
	if b.speaker, err = speak(s, adverts, loop, o); err != nil {
		node.Close()
		return nil, err
	}
	loop.Add(b.speaker)
	return b, nil
}

func newSpeaker(s Settings, r *heartbeat.Rider, l *heartbeat.Loop, o Options) (speaker, error) {
	link := o.Link
	if link == nil {
		kernel, err := vip.OpenLink(o.Log)
		if err != nil {
			return nil, err
		}
		link = kernel
	}
	sp, err := vip.NewSpeaker(s.Node, s.VIPs, r, l, link, o.Log)
	if err != nil {
		return nil, err
	}
	return sp, nil
}

// Run runs the Beat until ctx ends. Then it hands every address over, says
// goodbye and returns: after five seconds at the latest, with an error if an
// address is still there.
func (b *Beat) Run(ctx context.Context) error {
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(what string, run func(context.Context) error) {
		wg.Go(func() {
			err := run(inner)
			if inner.Err() == nil {
				cancel(fmt.Errorf("beat: %s ended: %w", what, cmpErr(err)))
			}
		})
	}
	start("loop", b.loop.Run)
	start("node", b.node.Run)
	start("speaker", b.speaker.Run)

	var err error
	select {
	case <-ctx.Done():
		err = b.resign(inner)
		cancel(nil)
	case <-b.killed:
		cancel(nil)
	case <-inner.Done():
		err = context.Cause(inner)
	}
	wg.Wait()
	b.node.Close()
	b.logs.flush()
	return err
}

var errEarly = errors.New("it returned before its context did")

func cmpErr(err error) error {
	if err == nil {
		return errEarly
	}
	return err
}

// resign is the orderly way out: addresses first, because handing them over
// needs the node.
func (b *Beat) resign(inner context.Context) error {
	ctx, cancel := context.WithTimeout(inner, stopTimeout)
	defer cancel()
	select {
	case <-b.speaker.Stop():
	case <-ctx.Done():
		return fmt.Errorf("beat: stop: addresses are still held after %v", stopTimeout)
	}
	select {
	case <-b.node.Leave():
	case <-ctx.Done():
		return errors.New("beat: stop: the loop does not come round")
	}
	return nil
}

// Kill ends Run at once, without resigning, as a crash would: for the demo.
func (b *Beat) Kill() { b.kill.Do(func() { close(b.killed) }) }

// Apply makes s the settings. It changes all or nothing; VIPs that are the same
// are not disturbed.
func (b *Beat) Apply(_ context.Context, s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	s = s.withDefaults()
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.Node != b.settings.Node {
		return fmt.Errorf("node: %q cannot become %q without a restart", b.settings.Node, s.Node)
	}
	if err := b.node.Apply(s.Cluster, s.Keys); err != nil {
		return err
	}
	if err := b.speaker.Apply(s.VIPs); err != nil {
		return errors.Join(err, b.node.Apply(b.settings.Cluster, b.settings.Keys))
	}
	b.settings = s
	return nil
}

// SetHealth says how what the VIP of that name tracks in other processes is:
// delta is added to its priority, a fault that is not empty takes its addresses
// away until it is empty again.
func (b *Beat) SetHealth(vip string, delta int, fault string) { b.speaker.SetHealth(vip, delta, fault) }

// Resign hands a VIP, with its group, to the host named to, or to the best
// backup if to is empty.
func (b *Beat) Resign(_ context.Context, vip, to string) error { return b.speaker.Resign(vip, to) }

// Rider is the seat of a topic: Votes or Summary. Another is nil.
func (b *Beat) Rider(t gossip.Topic) Rider {
	if r, ok := b.riders[t]; ok {
		return r
	}
	return nil
}

// Changes delivers the changes of state of the VIPs.
func (b *Beat) Changes() <-chan vip.Change { return b.speaker.Changes() }

// Ready is closed: New took the configuration.
func (b *Beat) Ready() <-chan struct{} { return closed }

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Status is a snapshot.
func (b *Beat) Status() Status {
	return Status{
		Running: true, Heartbeat: b.node.Status(), VIPs: b.speaker.Status(), Loop: b.loop.Lateness(),
	}
}
