package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/notify"
)

// Reload reads the file again and applies it. An invalid file, or one that asks for what cannot change
// while running, is refused with the reason, and what was in force stays in force.
func (a *Appliance) Reload(context.Context) error {
	if a.opt.File == "" {
		return fmt.Errorf("%w: this appliance was not configured from a file", admin.ErrRefused)
	}
	if a.allReady() { // before that, READY=1 would be a lie
		tellSystemd(systemdReloading())
		defer tellSystemd(systemdReady)
	}
	a.applying.Lock() // before the file is read: of two reloads the later one reads, and applies, the later file
	defer a.applying.Unlock()
	cfg, err := Load(a.opt.File, a.opt.Role...)
	if err != nil {
		return a.refuse(err)
	}
	return a.apply(cfg)
}

// refuse notes a refusal and returns it as one.
func (a *Appliance) refuse(err error) error {
	a.mu.Lock()
	a.file.Refusals++
	a.file.Refused, a.file.RefusedAt = err.Error(), time.Now()
	a.mu.Unlock()
	a.log.Warn("configuration refused, the old one stays in force", slog.Any("error", err))
	a.notifier.Post(notify.Event{
		Kind: notify.Reload, Severity: notify.Bad, Name: a.opt.File, State: "refused", Reason: err.Error(),
		Text: fmt.Sprintf("configuration refused on %s, the old one stays in force: %v", a.node(), err),
	})
	return fmt.Errorf("%w: %w", admin.ErrRefused, err)
}

// Apply puts a checked configuration in force without disturbing what did not change. Either all parts
// take it or none keeps it: what can be refused without a change is asked first, then what others do not
// see until it is in use (a listener), then the balancer, which binds before it changes anything, and last
// the heart, because an address that moved would not come back unnoticed. After it nothing can fail.
func (a *Appliance) Apply(cfg Config) error {
	a.applying.Lock()
	defer a.applying.Unlock()
	return a.apply(cfg)
}

func (a *Appliance) apply(cfg Config) error {
	old := a.config()
	before := a.settings
	cfg, settings, err := place(cfg, a.opt, before.Keys)
	if err != nil {
		return a.refuse(err)
	}
	if err := errors.Join(frozen(old, cfg), settings.Check()); err != nil {
		return a.refuse(err)
	}
	door, err := a.door.Prepare(cfg.Admin)
	if err != nil {
		return a.refuse(err)
	}
	defer door.Drop()
	ctx := context.Background() // it is all or nothing: a caller that has gone does not stop it half way
	if err := inOrder([]step{
		{func() error { return a.applyLB(cfg) }, func() error { return a.applyLB(old) }},
		{func() error { return a.tracker.Apply(cfg.tracked()) }, func() error { return a.tracker.Apply(old.tracked()) }},
		{func() error { return a.heart.Apply(ctx, settings) }, nil},
	}); err != nil {
		return a.refuse(err)
	}
	door.Use()
	if a.member != nil {
		if err := a.member.Reload(); err != nil {
			a.log.Warn("certificates of the member not read again, the old ones stay in use", slog.Any("error", err))
		}
	}
	a.notifier.Apply(cfg.Notify)
	a.watch.assume(cfg)
	a.mu.Lock()
	a.cfg, a.settings = cfg, settings
	a.file.Reloads++
	a.file.Applied, a.file.Refused, a.file.RefusedAt = time.Now(), "", time.Time{}
	a.mu.Unlock()
	a.watch.look()
	a.log.Info("configuration applied", slog.String("file", a.opt.File))
	a.notifier.Post(notify.Event{
		Kind: notify.Reload, Severity: notify.Note, Name: a.opt.File, State: "applied",
		Text: fmt.Sprintf("configuration applied on %s", a.node()),
	})
	return nil
}

func (a *Appliance) applyLB(cfg Config) error {
	if a.balancer == nil {
		return nil
	}
	return a.balancer.Apply(cfg.LB)
}

// A step of applying a configuration, and how it is taken back. The last one needs no undo.
type step struct{ do, undo func() error }

// inOrder does all steps, or takes back those that were done when one fails.
func inOrder(steps []step) error {
	for i, s := range steps {
		if err := s.do(); err != nil {
			errs := []error{err}
			for _, done := range slices.Backward(steps[:i]) {
				if err := done.undo(); err != nil {
					errs = append(errs, fmt.Errorf("appliance: take back: %w", err))
				}
			}
			return errors.Join(errs...)
		}
	}
	return nil
}

// frozen names everything that differs and cannot change while running.
func frozen(old, cfg Config) error {
	var errs []error
	fixed := func(key string, same bool, from, to any) {
		if !same {
			errs = append(errs, fmt.Errorf("%s: cannot change from %v to %v while running: restart this host's ha", key, from, to))
		}
	}
	fixed("roles", slices.Equal(slices.Sorted(slices.Values(old.Roles)), slices.Sorted(slices.Values(cfg.Roles))), old.Roles, cfg.Roles)
	fixed("node", old.Node == cfg.Node, old.Node, cfg.Node)
	fixed("log_format", old.LogFormat == cfg.LogFormat, old.LogFormat, cfg.LogFormat)
	fixed("cluster.name", old.Cluster.Name == cfg.Cluster.Name, old.Cluster.Name, cfg.Cluster.Name)
	fixed("cluster.bind", old.Cluster.Bind == cfg.Cluster.Bind, old.Cluster.Bind, cfg.Cluster.Bind)
	if !reflect.DeepEqual(old.ZAB, cfg.ZAB) {
		errs = append(errs, errors.New("zab: this table cannot change while running: restart this host's ha"))
	}
	return errors.Join(errs...)
}
