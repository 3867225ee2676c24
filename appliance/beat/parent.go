package beat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.org/ha/net/gossip"
	"example.org/ha/net/vip"
)

const (
	// selfExe is this program also when its file was replaced.
	selfExe = "/proc/self/exe"

	answerTimeout = 10 * time.Second
	// killAfter leaves the beat process its own stopTimeout and a little.
	killAfter  = stopTimeout + 2*time.Second
	maxChanges = 256

	// A beat process that lived this long was not failing: the next
	// restart is immediate again.
	healthyAfter = 10 * time.Second
	// retryConfigure paces the repetition of a first configuration that the
	// beat process refused: an address may come, a port become free.
	retryConfigure = time.Second
)

// backoff is the pause before each restart in a row.
var backoff = []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, time.Second}

var (
	errRestarted = errors.New("beat: the beat process ended before it answered")
	errNotUp     = errors.New("beat: the beat process is not running")
)

// A Parent runs a Beat in a process of its own and keeps it running. Its
// methods are for any goroutine.
type Parent struct {
	exe  string
	args []string
	log  *slog.Logger

	seats   map[gossip.Topic]*seat
	changes chan vip.Change
	status  atomic.Pointer[Status]

	configured chan struct{} // closed when a beat process first took a configuration

	applying sync.Mutex // one Apply at a time

	mu       sync.Mutex
	settings Settings
	health   map[string]health
	seq      uint64
	// configuring is the number of the latest configuration sent.
	configuring uint64
	waiting     map[uint64]chan error
	out         *outbox // of the running process; nil: none
	ready       bool    // it has taken a configuration
	refused     string  // why it has not
	lost        uint64  // changes dropped because nobody read
}

// NewParent prepares a beat process with these settings. exe is the program to
// run; empty means this one. It starts nothing.
func NewParent(exe string, s Settings, log *slog.Logger) *Parent {
	p := &Parent{
		exe: cmp.Or(exe, selfExe), args: []string{"beat"}, log: log, settings: s,
		seats: make(map[gossip.Topic]*seat), changes: make(chan vip.Change, maxChanges),
		health: make(map[string]health), waiting: make(map[uint64]chan error),
		configured: make(chan struct{}),
	}
	for _, t := range topics {
		p.seats[t] = newSeat(p, t)
	}
	p.status.Store(&Status{Error: "not started"})
	return p
}

// Run starts the beat process and starts it again whenever it ends, until ctx
// ends. Then it has it hand its addresses over, and returns when it is gone.
func (p *Parent) Run(ctx context.Context) error {
	failures := 0
	for {
		began := time.Now()
		err := p.live(ctx)
		if ctx.Err() != nil {
			p.down("stopped")
			return err
		}
		if time.Since(began) > healthyAfter {
			failures = 0
		}
		wait := backoff[min(failures, len(backoff)-1)]
		failures++
		p.log.Error("beat process ended", "err", err, "restart_in", wait)
		p.down(fmt.Sprintf("ended: %v", err))
		p.restarting()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// down publishes that no process runs, and lets nobody wait for one.
func (p *Parent) down(why string) {
	p.mu.Lock()
	p.out, p.ready, p.refused = nil, false, ""
	for _, seq := range slices.Sorted(maps.Keys(p.waiting)) {
		p.waiting[seq] <- errRestarted
		delete(p.waiting, seq)
	}
	p.mu.Unlock()
	s := *p.status.Load()
	s.Running, s.Error, s.PID = false, why, 0
	p.status.Store(&s)
}

func (p *Parent) restarting() {
	s := *p.status.Load()
	s.Restarts++
	p.status.Store(&s)
}

// live runs one beat process from its start to its end.
func (p *Parent) live(ctx context.Context) error {
	ours, theirs, err := socketpair()
	if err != nil {
		return err
	}
	cmd := exec.Command(p.exe, p.args...)
	cmd.Args[0] = "ha"
	cmd.Stderr = os.Stderr
	// The signals by which the runtime interrupts a goroutine would wake the
	// loop a hundred times a second for nothing.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	err = cmd.Start()
	theirs.Close() // or its death would not end the pipe
	if err != nil {
		ours.Close()
		return fmt.Errorf("beat: start %s: %w", p.exe, err)
	}
	pp, err := newPipe(ours)
	if err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	p.log.Info("beat process started", "pid", cmd.Process.Pid)
	talking, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	out := newOutbox()
	p.introduce(out)

	var wg sync.WaitGroup
	wg.Go(func() {
		// That the process is gone shows as the end of reading, below; here
		// it only means that there was still something to tell it.
		if err := out.run(talking, pp); err != nil && !isGone(err) {
			p.log.Warn("pipe to the beat process failed", "err", err)
		}
	})
	heard := make(chan error, 1)
	wg.Go(func() { heard <- p.listen(talking, pp, out) })
	ended := make(chan error, 1)
	wg.Go(func() { ended <- cmd.Wait() })

	err = p.attend(ctx, cmd, out, heard, ended)
	hangUp()
	pp.conn.Close()
	wg.Wait()
	return err
}

// attend waits for the end of the process, which it asks for when ctx ends and
// forces when the process is silent for too long or cannot be understood.
func (p *Parent) attend(ctx context.Context, cmd *exec.Cmd, out *outbox, heard, ended <-chan error) error {
	stop := ctx.Done()
	var limit <-chan time.Time
	var why error
	kill := func(reason error) {
		why = reason
		p.log.Error("beat process killed", "pid", cmd.Process.Pid, "reason", reason)
		// Fails only if it has just ended by itself.
		_ = cmd.Process.Kill()
	}
	for {
		select {
		case <-stop:
			stop = nil
			out.push(message{Stop: true})
			limit = time.After(killAfter)
		case <-limit:
			kill(fmt.Errorf("beat: stop: no end after %v", killAfter))
		case err := <-heard:
			if err != nil {
				kill(err)
			}
			// The end of the pipe comes a moment before that of the
			// process.
			if limit == nil {
				limit = time.After(killAfter)
			}
		case err := <-ended:
			return cmp.Or(why, err)
		}
	}
}

// introduce tells a new process all it should know.
func (p *Parent) introduce(out *outbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out, p.ready, p.refused = out, false, ""
	p.tell(out)
}

// tell puts the whole of what a beat process should know; p.mu is held.
func (p *Parent) tell(out *outbox) {
	p.seq++
	p.configuring = p.seq
	out.put("configure", message{Configure: &configure{Seq: p.seq, Settings: p.settings}})
	for _, name := range slices.Sorted(maps.Keys(p.health)) {
		h := p.health[name]
		out.put("health/"+name, message{Health: &h})
	}
	for _, t := range topics {
		p.seats[t].repeat(out)
	}
}

// listen hears the process until the end of the pipe.
func (p *Parent) listen(ctx context.Context, pp *pipe, out *outbox) error {
	for {
		m, err := pp.receive()
		if err != nil {
			if ctx.Err() != nil || isEnd(err) {
				return nil
			}
			return err
		}
		switch {
		case m.Answer != nil:
			p.answered(ctx, m.Answer, out)
		case m.Change != nil:
			p.change(*m.Change)
		case m.Status != nil:
			p.publish(m.Status)
		case m.Inbox != nil:
			if s := p.seats[m.Inbox.Topic]; s != nil {
				s.hosts(m.Inbox.Hosts)
			}
		case m.Shouted != nil:
			if s := p.seats[m.Shouted.Topic]; s != nil {
				s.shouts(m.Shouted)
			}
		}
	}
}

// answered hands an answer to who waits for it, and repeats a first
// configuration that was refused.
func (p *Parent) answered(ctx context.Context, a *answer, out *outbox) {
	var err error
	if a.Error != "" {
		err = errors.New(a.Error)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	waiter, waited := p.waiting[a.Seq]
	if waited {
		delete(p.waiting, a.Seq)
		waiter <- err
	}
	if p.ready || a.Seq != p.configuring {
		return
	}
	if err == nil {
		p.ready, p.refused = true, ""
		p.tellReady()
		return
	}
	if p.refused != a.Error {
		p.log.Error("beat process cannot start", "err", err)
		p.refused = a.Error
		s := *p.status.Load()
		s.Running, s.Error = false, a.Error
		p.status.Store(&s)
	}
	time.AfterFunc(retryConfigure, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if ctx.Err() == nil && !p.ready {
			p.tell(out)
		}
	})
}

func (p *Parent) publish(s *Status) {
	s.Restarts = p.status.Load().Restarts
	p.status.Store(s)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tellReady()
}

// tellReady closes configured when the configuration was taken and Status says so too; p.mu is held.
func (p *Parent) tellReady() {
	if !p.ready || !p.status.Load().Running {
		return
	}
	select {
	case <-p.configured:
	default:
		close(p.configured)
	}
}

// change passes a change on; the oldest gives way.
func (p *Parent) change(c vip.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		c.Lost += p.lost
		p.lost = 0
		select {
		case p.changes <- c:
			return
		default:
		}
		c.Lost = 0
		select {
		case old := <-p.changes:
			p.lost += old.Lost + 1
		default:
		}
	}
}

func (p *Parent) outbox() *outbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out
}

// ask sends a message that will be answered, and waits for the answer. put is
// called under p.mu with the number of the answer.
func (p *Parent) ask(ctx context.Context, put func(out *outbox, seq uint64)) error {
	p.mu.Lock()
	if p.out == nil {
		p.mu.Unlock()
		return errNotUp
	}
	p.seq++
	seq, reply := p.seq, make(chan error, 1)
	p.waiting[seq] = reply
	put(p.out, seq)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.waiting, seq)
		p.mu.Unlock()
		return fmt.Errorf("beat: wait for the beat process: %w", ctx.Err())
	}
}

// Apply makes s the settings and returns when the beat process has taken them,
// or refused them: then the old ones stay in force. While no process runs, s is
// what the next one gets.
func (p *Parent) Apply(ctx context.Context, s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	p.mu.Lock()
	old := p.settings
	p.settings = s
	p.mu.Unlock()
	err := p.ask(ctx, func(out *outbox, seq uint64) {
		p.configuring = seq
		out.put("configure", message{Configure: &configure{Seq: seq, Settings: s}})
	})
	if errors.Is(err, errNotUp) || errors.Is(err, errRestarted) {
		return nil
	}
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.settings = old
		if errors.Is(err, context.DeadlineExceeded) && p.out != nil {
			// It may yet take what it did not answer in time, so it is told to go back.
			p.tell(p.out)
		}
	}
	return err
}

// SetHealth says how what the VIP of that name tracks in this process is; see
// Beat.SetHealth. A new beat process hears it again.
func (p *Parent) SetHealth(name string, delta int, fault string) {
	h := health{VIP: name, Delta: delta, Fault: fault}
	p.mu.Lock()
	defer p.mu.Unlock()
	if delta == 0 && fault == "" {
		delete(p.health, name)
	} else {
		p.health[name] = h
	}
	if p.out != nil {
		p.out.put("health/"+name, message{Health: &h})
	}
}

// Resign hands a VIP over; see Beat.Resign.
func (p *Parent) Resign(ctx context.Context, name, to string) error {
	return p.ask(ctx, func(out *outbox, seq uint64) {
		out.push(message{Resign: &resign{Seq: seq, VIP: name, To: to}})
	})
}

// Rider is the seat of a topic: Votes or Summary. Another is nil.
func (p *Parent) Rider(t gossip.Topic) Rider {
	if s, ok := p.seats[t]; ok {
		return s
	}
	return nil
}

// Changes delivers the changes of state of the VIPs.
func (p *Parent) Changes() <-chan vip.Change { return p.changes }

// Ready is closed once a beat process has taken a configuration and told its Status.
func (p *Parent) Ready() <-chan struct{} { return p.configured }

// Status is the latest the beat process told, at most about a second old.
func (p *Parent) Status() Status { return *p.status.Load() }
