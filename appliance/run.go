package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Role is one job of this host. Run blocks until its context ends or the role cannot go on; it calls
// ready once, when the role does what it is for, and returns when every goroutine it started has ended.
// What it must do on the way out it does with context.WithoutCancel and a deadline of its own.
type Role interface {
	fmt.Stringer
	Run(ctx context.Context, ready func()) error
}

// ErrKilled as the cause of Run's context makes the appliance drop everything on the spot, as a crash
// would: nothing is resigned, no address is removed. Demonstrations and tests kill hosts with it.
var ErrKilled = errors.New("appliance: killed")

// errStopping is the cause roles see when they are stopped in order.
var errStopping = errors.New("appliance: stopping")

// maxStop bounds how long one role may take to stop. A planned handover at the longest advertisement
// interval takes under five seconds.
const maxStop = 20 * time.Second

// A running role.
type running struct {
	role   Role
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // valid when done is closed
}

// runAll starts every role at once, and when ctx ends, or one role returns before, stops them in the
// order given, each awaited before the next is told. It returns the error of the role that failed.
//
// No role waits for another to start: a load balancer must hold its address when there is no quorum.
func runAll(ctx context.Context, roles []Role, log *slog.Logger, ready func(Role)) error {
	all := make([]*running, len(roles))
	ended := make(chan *running, len(roles))
	var wg sync.WaitGroup
	for i, role := range roles {
		own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		r := &running{role: role, cancel: cancel, done: make(chan struct{})}
		all[i] = r
		wg.Go(func() {
			r.err = role.Run(own, sync.OnceFunc(func() { ready(role) }))
			close(r.done)
			ended <- r
		})
	}
	var failure error
	select {
	case <-ctx.Done():
		log.Info("stopping", slog.Any("cause", context.Cause(ctx)))
	case r := <-ended:
		failure = fmt.Errorf("appliance: %s ended early: %w", r.role, orEnded(r.err))
		log.Error("a part ended early, stopping the others", slog.String("part", r.role.String()), slog.Any("error", r.err))
	}
	if context.Cause(ctx) == ErrKilled {
		for _, r := range all {
			r.cancel(ErrKilled)
		}
		wg.Wait()
		return ErrKilled
	}
	return errors.Join(failure, stopAll(ctx, all))
}

// stopAll stops the roles one after another. A context that is killed meanwhile stops the waiting.
func stopAll(ctx context.Context, all []*running) error {
	var errs []error
	for _, r := range all {
		var early bool
		select {
		case <-r.done:
			early = true // its error is the failure already reported
		default:
		}
		r.cancel(errStopping)
		timer := time.NewTimer(maxStop)
		select {
		case <-r.done:
			if !early && r.err != nil && !errors.Is(r.err, context.Canceled) {
				errs = append(errs, fmt.Errorf("appliance: stop %s: %w", r.role, r.err))
			}
		case <-timer.C:
			errs = append(errs, fmt.Errorf("appliance: stop %s: still running after %v", r.role, maxStop))
		}
		timer.Stop()
	}
	return errors.Join(errs...)
}

var errNoReason = errors.New("without a reason")

func orEnded(err error) error {
	if err == nil {
		return errNoReason
	}
	return err
}

// A part is a Role made of a function, for what runs without a type of its own.
type part struct {
	name string
	run  func(ctx context.Context, ready func()) error
}

func (p part) String() string { return p.name }

func (p part) Run(ctx context.Context, ready func()) error { return p.run(ctx, ready) }
