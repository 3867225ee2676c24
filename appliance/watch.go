package appliance

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/notify"
	"example.org/ha/lb"
	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// A watch is the one reader of everything that changes on this host. It passes each change on: to the
// notifier as an event, to the other hosts as this one's summary, to the virtual addresses as the
// health of what they track. One goroutine owns its state.
type watch struct {
	a          *Appliance
	health     map[string]verdict    // by VIP: what the heart was last told
	complained map[string]bool       // VIPs whose tracks people were told are not well
	hosts      map[string]string     // as last told to people
	said       []byte                // our summary
	levels     chan struct{}         // something that is looked at as a whole changed
	events     func(ev notify.Event) // the notifier's Post; replaced by tests

	mu        sync.Mutex // guards what follows; held for lines only
	heard     map[string]admin.Summary
	tracks    []admin.Track
	assumed   map[string]bool // tracks added while running count as well until they are judged
	followers map[chan vip.Change]bool
}

func newWatch(a *Appliance) *watch {
	return &watch{
		a: a, complained: map[string]bool{}, health: map[string]verdict{}, assumed: map[string]bool{}, hosts: map[string]string{},
		events: a.notifier.Post, heard: map[string]admin.Summary{}, followers: map[chan vip.Change]bool{},
		levels: make(chan struct{}, 1),
	}
}

func (w *watch) String() string { return "watch" }

// glance is how often levels are compared even if nothing signalled a change.
const glance = time.Second

func (w *watch) Run(ctx context.Context, ready func()) error {
	ready()
	var changes <-chan lb.Change
	if w.a.balancer != nil {
		changes = w.a.balancer.Changes()
	}
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	w.compare()
	for {
		select {
		case <-ctx.Done():
			w.last(changes)
			return nil
		case c := <-w.a.heart.Changes():
			w.vipChanged(c)
		case c := <-changes:
			w.serverChanged(c)
		case <-w.a.summary.Changed():
			w.listen()
		case <-w.a.tracker.Changed():
		case <-w.levels:
		case <-ticker.C:
		}
		w.compare()
	}
}

// last passes on what the parts that stopped before this one left behind.
func (w *watch) last(changes <-chan lb.Change) {
	for {
		select {
		case c := <-w.a.heart.Changes():
			w.vipChanged(c)
		case c := <-changes:
			w.serverChanged(c)
		default:
			return
		}
	}
}

// look asks for a comparison soon; any goroutine.
func (w *watch) look() {
	select {
	case w.levels <- struct{}{}:
	default:
	}
}

// compare looks at what is level, not edge: the tracks, the hosts, our own summary.
func (w *watch) compare() {
	status := w.a.heart.Status()
	w.judge()
	w.hostsChanged(status.Heartbeat.Hosts)
	summary := w.a.summarize(status.VIPs).AppendTo(nil)
	if string(summary) != string(w.said) {
		w.said = summary
		w.a.summary.Say(summary)
	}
}

// listen takes in what the other hosts say.
func (w *watch) listen() {
	in := w.a.summary.Take()
	if !in.Changed {
		return
	}
	heard := make(map[string]admin.Summary, len(in.Hosts))
	for _, h := range in.Hosts {
		if len(h.Said) == 0 {
			continue
		}
		s, err := admin.ParseSummary(h.Said)
		if err != nil {
			w.a.log.Debug("summary not understood", slog.String("host", h.Name), slog.Any("error", err))
			continue
		}
		heard[h.Name] = s
	}
	w.mu.Lock()
	w.heard = heard
	w.mu.Unlock()
}

// follow hands out every change of a virtual address from now on, until cancel.
func (w *watch) follow() (changes <-chan vip.Change, cancel func()) {
	c := make(chan vip.Change, 64)
	w.mu.Lock()
	w.followers[c] = true
	w.mu.Unlock()
	return c, func() {
		w.mu.Lock()
		delete(w.followers, c)
		w.mu.Unlock()
	}
}

func (w *watch) vipChanged(c vip.Change) {
	w.mu.Lock()
	for f := range w.followers {
		select {
		case f <- c:
		default: // it asked for one handover and was given 64 changes
		}
	}
	w.mu.Unlock()
	if ev, ok := vipEvent(c, w.a.node()); ok {
		w.events(ev)
	}
}

// serverChanged tells of a real server, if this host is the one that speaks for it: the one that holds
// a virtual address, or any host without any.
func (w *watch) serverChanged(c lb.Change) {
	vips := w.a.heart.Status().VIPs
	holds := slices.ContainsFunc(vips, func(v vip.Status) bool { return v.Held })
	if len(vips) == 0 || holds {
		w.events(serverEvent(c, w.a.node()))
	}
}

// hostsChanged tells of hosts lost and found. Every living host sees it; the one whose name sorts
// first among them speaks.
func (w *watch) hostsChanged(hosts []heartbeat.Host) {
	speaker := w.a.node()
	for _, h := range hosts {
		if h.State == hostAlive {
			speaker = min(speaker, h.Name)
		}
	}
	maps.DeleteFunc(w.hosts, func(name, _ string) bool { // those the cluster has forgotten
		return !slices.ContainsFunc(hosts, func(h heartbeat.Host) bool { return h.Name == name })
	})
	for _, h := range hosts {
		before, known := w.hosts[h.Name]
		if h.State == before && known || h.State == gossip.Suspect.String() || h.State == gossip.Unheard.String() {
			continue
		}
		w.hosts[h.Name] = h.State
		if ev, ok := hostEvent(h, known); ok && speaker == w.a.node() {
			w.events(ev)
		}
	}
}

// summarize is what this host tells the others of itself.
func (a *Appliance) summarize(vips []vip.Status) admin.Summary {
	s := admin.Summary{Version: a.opt.Version, Roles: a.config().Roles}
	for _, v := range vips {
		if v.Held {
			s.Held = append(s.Held, v.Name)
		}
	}
	slices.SortFunc(s.Held, strings.Compare)
	if a.balancer != nil {
		for _, sv := range a.balancer.Status().Services {
			s.Services = append(s.Services, admin.Service{Name: sv.Name, Healthy: sv.Healthy, Servers: len(sv.Servers)})
		}
	}
	return s
}
