package appliance

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"example.org/ha/appliance/admin"
	"example.org/ha/lb"
)

// What a virtual address tracks beyond interfaces is judged here, outside the heartbeat: a service by
// the health of its real servers, a check by its probes. The verdicts are added up to one number and
// at most one fault for each address, and the heart is told when they change.

// A verdict is what the tracks of one virtual address come to.
type verdict struct {
	delta int    // added to the priority
	fault string // not empty: give the address up
}

// trackName names a check of a virtual address for the tracker and for people.
func trackName(vip string, i int) string { return fmt.Sprintf("%s.track[%d]", vip, i) }

// tracked lists the checks that a tracker must run.
func (c Config) tracked() []lb.Tracked {
	var out []lb.Tracked
	for _, v := range c.VIP {
		for i, t := range v.Track {
			if t.Check != nil {
				out = append(out, lb.Tracked{Name: trackName(v.Name, i), Check: *t.Check})
			}
		}
	}
	return out
}

// A standing is how one track is now.
type standing struct {
	known  bool // it has been judged at all
	up     bool
	reason string
}

// judge adds up the tracks and tells the heart what changed.
func (w *watch) judge() {
	cfg := w.a.config()
	w.weigh(cfg, w.a.standings(cfg))
}

// weigh is judge for tracks whose standings are known.
func (w *watch) weigh(cfg Config, standings map[string]standing) {
	var tracks []admin.Track
	w.forget(cfg)
	for _, v := range cfg.VIP {
		var sum verdict
		var faults []string
		for i, t := range v.Track {
			if t.Interface != "" {
				continue
			}
			name := trackName(v.Name, i)
			s := standings[name]
			if !s.known {
				// Before the first verdict a fresh start waits. A track added to a running host
				// must not cost the address it holds.
				s.up, s.reason = w.assumes(name), t.label()+" was not checked yet"
			}
			tracks = append(tracks, admin.Track{VIP: v.Name, Name: t.label(), Up: s.up, Weight: t.Weight, Reason: s.reason})
			switch {
			case s.up:
			case t.Weight == 0:
				faults = append(faults, s.reason)
			default:
				sum.delta += t.Weight
			}
		}
		sum.fault = strings.Join(faults, "; ")
		if before, told := w.health[v.Name]; !told && sum != (verdict{}) || told && before != sum {
			w.a.heart.SetHealth(v.Name, sum.delta, sum.fault)
			w.a.log.Info("tracked health changed", slog.String("vip", v.Name), slog.Int("delta", sum.delta), slog.String("fault", sum.fault))
			w.trackChanged(v.Name, before, sum, told)
		}
		w.health[v.Name] = sum
	}
	w.mu.Lock()
	w.tracks = tracks
	w.mu.Unlock()
}

// forget clears what was said of addresses that the configuration no longer has: one that comes back
// under the same name begins anew.
func (w *watch) forget(cfg Config) {
	for _, name := range slices.Sorted(maps.Keys(w.health)) {
		if slices.ContainsFunc(cfg.VIP, func(v VIP) bool { return v.Name == name }) {
			continue
		}
		if w.health[name] != (verdict{}) {
			w.a.heart.SetHealth(name, 0, "")
		}
		delete(w.health, name)
		delete(w.complained, name)
	}
}

// standings is how every track of cfg is, by name.
func (a *Appliance) standings(cfg Config) map[string]standing {
	out := map[string]standing{}
	for _, v := range a.tracker.Verdicts() {
		out[v.Name] = standing{known: true, up: v.Up, reason: v.Reason}
	}
	var services []lb.ServiceStatus
	if a.balancer != nil {
		services = a.balancer.Status().Services
	}
	for _, v := range cfg.VIP {
		for i, t := range v.Track {
			if t.Service == "" {
				continue
			}
			if at := slices.IndexFunc(services, func(s lb.ServiceStatus) bool { return s.Name == t.Service }); at >= 0 {
				out[trackName(v.Name, i)] = ofService(services[at])
			}
		}
	}
	return out
}

func ofService(s lb.ServiceStatus) standing {
	st := standing{known: s.Condition != "starting", up: s.Healthy > 0}
	if !st.up {
		st.reason = fmt.Sprintf("service %s: none of %d real servers is healthy", s.Name, len(s.Servers))
	}
	return st
}

// assume counts the tracks of a configuration applied to a running host as well until they are judged.
func (w *watch) assume(cfg Config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range cfg.VIP {
		for i := range v.Track {
			w.assumed[trackName(v.Name, i)] = true
		}
	}
}

func (w *watch) assumes(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.assumed[name]
}

// label names a track for people.
func (t Track) label() string {
	switch {
	case t.Interface != "":
		return "interface " + t.Interface
	case t.Service != "":
		return "service " + t.Service
	default:
		return "check " + t.Check.Kind + " " + t.Check.Address.String()
	}
}
