package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/beat"
	"example.org/ha/appliance/notify"
	"example.org/ha/consensus"
	"example.org/ha/lb"
	"example.org/ha/lb/proxy"
	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// Options are what an appliance is told beside its configuration.
type Options struct {
	Log     *slog.Logger
	LogLost func() uint64 // counts the lines of Log that were dropped; nil: none ever
	File    string        // where Config came from, for reload; empty: it cannot be reloaded from a file
	Role    []string      // the roles named on the command line, which win over the file's
	Exe     string        // the binary whose `beat` command carries heartbeats; empty: this one
	Version string
	// Link, when set, holds the addresses in place of the kernel, and the heartbeat then runs in this
	// process on an ordinary goroutine: for demonstrations and tests, several appliances in one process.
	Link vip.Link
}

// A heart carries heartbeats and virtual addresses: a *beat.Parent, which keeps them in a process of
// their own, or a *beat.Beat, which keeps them in this one.
type heart interface {
	Run(ctx context.Context) error
	Apply(ctx context.Context, s beat.Settings) error
	SetHealth(vip string, delta int, fault string)
	Resign(ctx context.Context, vip, to string) error
	Rider(t gossip.Topic) beat.Rider
	Status() beat.Status
	Changes() <-chan vip.Change
	Ready() <-chan struct{} // closed once it has taken a configuration
}

// An Appliance is one host: its roles, built and connected. Only this type knows all of them.
type Appliance struct {
	opt     Options
	log     *slog.Logger
	started time.Time

	heart    heart
	summary  beat.Rider
	proxy    *proxy.Forwarder // nil without the role lb, as is balancer
	balancer *lb.Balancer
	member   *consensus.Member // nil without the role zab
	tracker  *lb.Tracker
	notifier *notify.Notifier
	door     *admin.Door
	roles    []Role // in the order they stop
	watch    *watch

	applying sync.Mutex // one configuration at a time

	mu       sync.Mutex    // guards what follows; held for lines only
	cfg      Config        // in force, placed
	settings beat.Settings // what the heart has of it
	file     admin.File
	ready    map[string]bool
}

// New builds an appliance from a checked configuration and connects its parts. It starts nothing,
// but it does look at the host: its name, its interfaces, the key file.
func New(cfg Config, opt Options) (*Appliance, error) {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	cfg, settings, err := place(cfg, opt, nil)
	if err != nil {
		return nil, err
	}
	a := &Appliance{
		opt: opt, log: opt.Log, started: time.Now(), cfg: cfg, settings: settings, ready: map[string]bool{},
		file: admin.File{Path: opt.File, Applied: time.Now()},
	}
	if err := a.buildHeart(); err != nil {
		return nil, err
	}
	a.roles = append(a.roles, part{partBeat, a.runHeart})
	if slices.Contains(cfg.Roles, RoleLB) {
		a.proxy = proxy.New(a.log)
		if a.balancer, err = lb.New(cfg.LB, a.proxy, a.log); err != nil {
			return nil, err
		}
		a.roles = append(a.roles, part{"lb", a.balancer.Run}, part{"proxy", a.runProxy})
	}
	if slices.Contains(cfg.Roles, RoleZAB) {
		if a.member, err = newMember(cfg.ZAB, opt); err != nil {
			return nil, err
		}
		a.roles = append(a.roles, a.member)
	}
	if a.tracker, err = lb.NewTracker(cfg.Node, cfg.tracked(), a.log); err != nil {
		return nil, err
	}
	a.notifier = notify.New(cfg.Notify, cfg.Cluster.Name, cfg.Node, a.log)
	a.watch = newWatch(a)
	a.door = admin.New(cfg.Admin, a, a.log)
	// The watch outlives what it watches, so that the last changes are told; the door outlives all,
	// so that a stop that hangs can be looked at.
	a.roles = append(a.roles, part{"track", a.tracker.Run}, a.watch, a.notifier, a.door)
	return a, nil
}

func newMember(cfg consensus.Config, opt Options) (*consensus.Member, error) {
	cfg.Version = opt.Version
	return consensus.New(cfg, opt.Log)
}

// place completes a configuration with what the host knows; drawn is the key an earlier call drew.
func place(cfg Config, opt Options, drawn []gossip.Key) (Config, beat.Settings, error) {
	hostname, err := os.Hostname()
	if err != nil && cfg.Node == "" {
		return cfg, beat.Settings{}, fmt.Errorf("appliance: find host name: %w", err)
	}
	list, err := nics()
	if err != nil {
		return cfg, beat.Settings{}, err
	}
	if opt.Link != nil {
		for i := range cfg.VIP { // the addresses are not the kernel's: any interface will do
			if cfg.VIP[i].Interface == "" {
				cfg.VIP[i].Interface = "lo"
			}
		}
		if cfg.Admin.Listen == "" {
			cfg.Admin.Listen = "none"
		}
	}
	if cfg, err = cfg.placed(hostname, list); err != nil {
		return cfg, beat.Settings{}, err
	}
	keys, err := cfg.keys(drawn)
	if err != nil {
		return cfg, beat.Settings{}, err
	}
	return cfg, beat.Settings{Node: cfg.Node, Cluster: cfg.Cluster, Keys: keys, VIPs: cfg.vips()}, nil
}

// buildHeart makes the heart, in a process of its own unless the options hold a Link.
func (a *Appliance) buildHeart() error {
	if a.opt.Link != nil {
		b, err := beat.New(a.settings, beat.Options{Link: a.opt.Link, Log: a.log})
		if err != nil {
			return err
		}
		a.heart = b
	} else {
		a.heart = beat.NewParent(a.opt.Exe, a.settings, a.log)
	}
	a.summary = a.heart.Rider(gossip.Summary)
	return nil
}

// runHeart runs the heart; a kill reaches it as a kill, because the end of its context means resign.
func (a *Appliance) runHeart(ctx context.Context, ready func()) error {
	if b, ok := a.heart.(*beat.Beat); ok {
		own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		defer cancel(nil)
		stop := context.AfterFunc(ctx, func() {
			if context.Cause(ctx) == ErrKilled {
				b.Kill()
				return
			}
			cancel(context.Cause(ctx))
		})
		defer stop()
		ready()
		return a.heart.Run(own)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	over := make(chan struct{})
	defer close(over)
	wg.Go(func() {
		select {
		case <-a.heart.Ready():
			ready()
		case <-over:
		}
	})
	return a.heart.Run(ctx)
}

// runProxy forwards, and tells the balancer of connects that failed: real traffic is a probe too.
func (a *Appliance) runProxy(ctx context.Context, ready func()) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() {
		for {
			select {
			case <-own.Done():
				return
			case f := <-a.proxy.Passive():
				a.balancer.ConnectFailed(f.Server)
			}
		}
	})
	ready()
	return a.proxy.Run(ctx)
}

// Run starts every part, and stops them in order when ctx ends: the virtual addresses are handed over
// before the load balancer behind them lets go. It returns nil after an orderly stop, ErrKilled if that
// was the cause of ctx's end, and otherwise why a part failed.
func (a *Appliance) Run(ctx context.Context) error {
	a.log.Info("starting", slog.String("node", a.cfg.Node), slog.String("cluster", a.cfg.Cluster.Name),
		slog.Any("roles", a.cfg.Roles), slog.String("version", a.opt.Version))
	var told atomic.Bool
	stop := context.AfterFunc(ctx, func() { tellSystemd(systemdStopping) })
	defer stop()
	return runAll(ctx, a.roles, a.log, func(r Role) {
		a.mu.Lock()
		a.ready[r.String()] = true
		a.mu.Unlock()
		if a.allReady() && told.CompareAndSwap(false, true) {
			a.log.Info("ready")
			tellSystemd(systemdReady)
		}
	})
}

// allReady says that every role has been ready once.
func (a *Appliance) allReady() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ready) == len(a.roles)
}

// Release hands a virtual address, with its group, to another host: to the one named, or to the best
// backup. It returns when this host has let go, which it does only after the other has announced.
func (a *Appliance) Release(ctx context.Context, name, to string) (time.Duration, error) {
	// Whether it is active is not asked of the status, which is a moment old: the heart decides.
	if !slices.ContainsFunc(a.config().VIP, func(v VIP) bool { return v.Name == name }) {
		return 0, fmt.Errorf("%w: no virtual address of this host is called %q", admin.ErrUnknown, name)
	}
	status := a.heart.Status()
	if to != "" && !slices.ContainsFunc(status.Heartbeat.Hosts, func(h heartbeat.Host) bool { return h.Name == to && h.State == hostAlive }) {
		return 0, fmt.Errorf("%w: no living host of the cluster is called %q", admin.ErrUnknown, to)
	}
	changes, cancel := a.watch.follow()
	defer cancel()
	begin := time.Now()
	if err := a.heart.Resign(ctx, name, to); err != nil {
		return 0, fmt.Errorf("%w: %w%s", admin.ErrState, err, a.heldBy(name))
	}
	for {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("appliance: release %s: not handed over: %w", name, ctx.Err())
		case c := <-changes:
			switch {
			case c.Name != name || c.From != stateResigning: // perhaps how it came here, told late
			case c.To == stateActive:
				return 0, fmt.Errorf("%w: nobody took %s, this host holds it again: %s", admin.ErrState, name, c.Reason)
			default:
				return c.Time.Sub(begin), nil
			}
		}
	}
}

// partBeat is the part that can die and come back while the others go on.
const partBeat = "beat"

// The states of vrrp, as net/vip spells them.
const (
	stateActive    = "active"
	stateResigning = "resigning"
)

// heldBy says where to ask for an address that another host holds.
func (a *Appliance) heldBy(name string) string {
	for _, s := range a.heart.Status().VIPs {
		if s.Name == name && s.State != stateActive && s.Active != "" && s.Active != a.node() {
			return "; " + s.Active + " holds it: ask there"
		}
	}
	return ""
}

// Drain takes a real server out of new connections, or puts it back.
func (a *Appliance) Drain(service, server string, on bool) error {
	if a.balancer == nil {
		return fmt.Errorf(`%w: this host does not have the role "lb"`, admin.ErrUnknown)
	}
	if err := a.balancer.Drain(service, server, on); err != nil {
		return fmt.Errorf("%w: %w", admin.ErrUnknown, err)
	}
	return nil
}
