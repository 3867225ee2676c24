package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Part is one resident of a Loop. The loop calls all methods on its own
// thread and never two at a time, so a part needs no lock for what only they
// touch.
type Part interface {
	// FDs returns the descriptors whose readability wakes the loop. It is
	// asked before every sleep, so it returns a slice the part keeps.
	FDs() []int

	// Deadline is the latest time for the next Wake: zero means never, a
	// time in the past at once.
	Deadline() time.Time

	// Wake drains the descriptors, takes what was posted, steps machines
	// and does their effects. It never blocks.
	Wake(now time.Time)
}

// LoopConfig says how a loop runs.
type LoopConfig struct {
	// Realtime asks for a locked thread under SCHED_FIFO. It changes the
	// whole process (priorities, memory locking, garbage collection), so it
	// is for a process that does nothing but this.
	Realtime bool

	// Priority is the SCHED_FIFO priority of the process; the loop's thread
	// is one above, so that nothing else of the process can delay it.
	// Default 50, 1 to 98.
	Priority int

	// Log hears once what was granted. Default: nobody.
	Log *slog.Logger
}

const (
	defaultPriority = 50

	// maxParts bounds the parts of one loop, maxFDs their descriptors
	// together: the poll set is one array that never grows.
	maxParts = 16
	maxFDs   = 2048

	// realtimeSleep bounds one sleep of a realtime loop. The thread keeps
	// its share of the Go scheduler (its P) while it sleeps, so this bounds
	// how long the rest of the process can wait for it.
	realtimeSleep = 100 * time.Millisecond

	// yieldEvery is how often a realtime loop lets the Go scheduler have its
	// thread, if it asks.
	yieldEvery = 100 * time.Millisecond
)

// What a goroutine that wants the loop's attention must know about it.
const (
	awake    = iota // in a round
	asleep          // in ppoll, or about to be
	notified        // somebody called Wakeup since the round began
)

// A Loop wakes its parts when their descriptors are readable or the earliest
// of their deadlines has come.
type Loop struct {
	cfg     LoopConfig
	parts   []Part
	eventfd int
	state   atomic.Int32
	stopped atomic.Bool
	late    lateness
	grant   atomic.Pointer[grant]

	polls   [maxFDs + 1]unix.PollFd
	drain   [8]byte
	yielded time.Time // when the Go scheduler was last listened to
	rounds  atomic.Uint64
}

// NewLoop makes a loop. It starts nothing.
func NewLoop(cfg LoopConfig) (*Loop, error) {
	if cfg.Priority == 0 {
		cfg.Priority = defaultPriority
	}
	if cfg.Priority < 1 || cfg.Priority > 98 {
		return nil, fmt.Errorf("heartbeat: make loop: priority %d is not within 1 to 98", cfg.Priority)
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("heartbeat: make eventfd: %w", err)
	}
	l := &Loop{cfg: cfg, eventfd: fd}
	l.grant.Store(&grant{})
	runtime.AddCleanup(l, func(fd int) { unix.Close(fd) }, fd)
	return l, nil
}

// Add gives the loop a part; it is woken after the parts added before it.
// Only before Run.
func (l *Loop) Add(p Part) {
	if len(l.parts) == maxParts {
		panic(fmt.Sprintf("heartbeat: a loop holds at most %d parts", maxParts))
	}
	l.parts = append(l.parts, p)
}

// Wakeup makes the loop come round once more. Any goroutine may call it,
// also a part from its Wake; it costs a system call only when the loop sleeps.
func (l *Loop) Wakeup() {
	if l.state.Swap(notified) != asleep {
		return
	}
	one := uint64(1)
	// The counter is at its limit only when the loop is already due.
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(l.eventfd), uintptr(unsafe.Pointer(&one)), 8)
}

// Lateness reports how late the loop woke up, and how it is scheduled.
func (l *Loop) Lateness() Lateness {
	r := l.late.report()
	g := l.grant.Load()
	r.Realtime, r.Why, r.Rounds = g.realtime, g.why, l.rounds.Load()
	return r
}

// Run runs the parts until ctx ends, and returns nil then. Whether realtime
// was granted is in Lateness.
func (l *Loop) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		l.stopped.Store(true)
		l.Wakeup()
	})()
	if l.cfg.Realtime {
		runtime.LockOSThread()
		// Never unlocked: the thread keeps its priority and dies with
		// the goroutine, rather than to run others at it.
		g := enterRealtime(l.cfg.Priority)
		l.grant.Store(&g)
		l.announce(g)
	}
	for !l.stopped.Load() {
		if err := l.round(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loop) announce(g grant) {
	switch {
	case l.cfg.Log == nil:
	case !g.realtime:
		l.cfg.Log.Warn("realtime scheduling refused: false failovers are likely at short intervals", "reason", g.why)
	case g.why != "":
		l.cfg.Log.Warn("realtime scheduling granted in part", "priority", l.cfg.Priority+1, "refused", g.why)
	default:
		l.cfg.Log.Info("realtime scheduling granted", "priority", l.cfg.Priority+1)
	}
}

// round sleeps once and wakes every part once. It does not allocate.
func (l *Loop) round() error {
	n, err := l.gather()
	if err != nil {
		return err
	}
	var due time.Time
	for _, p := range l.parts {
		if d := p.Deadline(); !d.IsZero() && (due.IsZero() || d.Before(due)) {
			due = d
		}
	}
	began := time.Now()
	if due.IsZero() || due.After(began) {
		if errno := l.sleep(n, began, due); errno != 0 && errno != unix.EINTR {
			return fmt.Errorf("heartbeat: poll: %w", errno)
		}
	} else {
		l.state.Store(awake)
	}
	now := time.Now()
	if !due.IsZero() && !now.Before(due) {
		// A deadline that was past before the sleep asks for "at once".
		l.late.record(now, now.Sub(later(due, began)))
	}
	l.rounds.Add(1)
	for _, p := range l.parts {
		p.Wake(now)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// gather fills the poll set and returns how many entries it has.
func (l *Loop) gather() (int, error) {
	l.polls[0] = unix.PollFd{Fd: int32(l.eventfd), Events: unix.POLLIN}
	n := 1
	for _, p := range l.parts {
		for _, fd := range p.FDs() {
			if n == len(l.polls) {
				return 0, errors.New("heartbeat: gather descriptors: more than the poll set holds")
			}
			l.polls[n] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
			n++
		}
	}
	return n, nil
}

// sleep waits for a descriptor, a Wakeup or due.
func (l *Loop) sleep(n int, now, due time.Time) syscall.Errno {
	if !l.state.CompareAndSwap(awake, asleep) {
		// Notified during the round: go round again without sleeping.
		l.state.Store(awake)
		return 0
	}
	var timeout *unix.Timespec
	var ts unix.Timespec
	if !due.IsZero() {
		ts = unix.NsecToTimespec(int64(due.Sub(now)))
		timeout = &ts
	}
	var errno syscall.Errno
	if l.cfg.Realtime {
		if due.IsZero() || due.Sub(now) > realtimeSleep {
			ts = unix.NsecToTimespec(int64(realtimeSleep))
		}
		deaf := now.Sub(l.yielded) < yieldEvery
		if !deaf {
			l.yielded = now
		}
		errno = pinnedPoll(&l.polls[0], n, &ts, deaf)
	} else {
		_, _, errno = syscall.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.polls[0])), uintptr(n),
			uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	}
	l.state.Store(awake)
	if l.polls[0].Revents != 0 {
		syscall.RawSyscall(unix.SYS_READ, uintptr(l.eventfd), uintptr(unsafe.Pointer(&l.drain)), 8)
	}
	return errno
}
