package beat

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"example.org/ha/net/gossip"
)

const (
	// statusEvery paces the status that nothing triggers, statusPause the
	// status after a change.
	statusEvery = time.Second
	statusPause = 50 * time.Millisecond
)

// Child is the beat process: it talks to the main process over the descriptor
// fd and returns when that one said stop or is gone, after the addresses are
// gone too. newLog makes the logger from the writer it is to use, which may
// block: the beat is kept from waiting for it; nil means text lines. Signals that ask a process to end are ignored: they reach the
// whole process group or service, and the main process decides the order in
// which its parts end.
func Child(fd int, newLog func(io.Writer) *slog.Logger) error {
	return child(fd, newLog, Options{Realtime: true})
}

func child(fd int, newLog func(io.Writer) *slog.Logger, o Options) error {
	// A log whose reader is gone must not end the process either.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	syscall.CloseOnExec(fd)
	p, err := newPipe(os.NewFile(uintptr(fd), "main"))
	if err != nil {
		return err
	}
	if newLog == nil {
		newLog = func(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
	}
	log, queue := queueLog(newLog(os.Stderr))
	defer queue.flush()
	o.Log = log
	c := &conversation{pipe: p, out: newOutbox(), options: o, ended: make(chan error, 1)}
	return c.run()
}

// A conversation is the beat process's end of the pipe.
type conversation struct {
	pipe    *pipe
	out     *outbox
	options Options
	beat    *Beat
	watch   context.Context // of what reports to the main process; outlives the beat's
	wg      sync.WaitGroup
	ended   chan error // what Beat.Run returned
}

func (c *conversation) run() error {
	writing, stopWriting := context.WithCancel(context.Background())
	defer stopWriting()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
	c.watch = watch

	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := c.out.run(writing, c.pipe); err != nil && !isGone(err) {
			c.options.Log.Error("pipe to the main process failed", "err", err)
		}
	}()
	incoming := make(chan message)
	gone := make(chan error, 1)
	go func() { gone <- c.read(ctx, incoming) }()

	why, err := c.serve(ctx, incoming, gone)
	c.options.Log.Info("beat process ends", "reason", why)
	cancel()
	if c.beat != nil && err == nil {
		err = <-c.ended
	}
	stopWatching()
	c.wg.Wait()
	stopWriting()
	// A main process that does not read must not keep this one alive.
	c.pipe.conn.SetDeadline(time.Now().Add(time.Second))
	<-written
	c.pipe.conn.Close()
	return err
}

func (c *conversation) read(ctx context.Context, incoming chan<- message) error {
	for {
		m, err := c.pipe.receive()
		if err != nil {
			return err
		}
		select {
		case incoming <- m:
		case <-ctx.Done():
			return nil
		}
	}
}

// serve does what the main process says until it says stop, is gone, or the
// beat itself fails.
func (c *conversation) serve(ctx context.Context, incoming <-chan message, gone <-chan error) (why string, err error) {
	for {
		select {
		case m := <-incoming:
			if m.Stop {
				return "the main process stops", nil
			}
			c.hear(ctx, m)
		case err := <-gone:
			if errors.Is(err, io.EOF) {
				return "the main process is gone", nil
			}
			return "the main process cannot be understood: " + err.Error(), nil
		case err := <-c.ended:
			return "the beat failed", err
		}
	}
}

func (c *conversation) hear(ctx context.Context, m message) {
	switch {
	case m.Configure != nil:
		c.answer(m.Configure.Seq, c.configure(ctx, m.Configure.Settings))
	case c.beat == nil:
		// Not configured yet. The main process repeats health and words
		// after each configuration it sends; a resignation is refused.
		if m.Resign != nil {
			c.answer(m.Resign.Seq, errors.New("the beat process has no configuration yet"))
		}
	case m.Health != nil:
		c.beat.SetHealth(m.Health.VIP, m.Health.Delta, m.Health.Fault)
	case m.Resign != nil:
		c.answer(m.Resign.Seq, c.beat.Resign(ctx, m.Resign.VIP, m.Resign.To))
	case m.Say != nil:
		if r := c.beat.Rider(m.Say.Topic); r != nil {
			r.Say(m.Say.Body)
		}
	case m.Shout != nil:
		if r := c.beat.Rider(m.Shout.Topic); r != nil {
			r.Shout(m.Shout.Body)
		}
	}
}

func (c *conversation) answer(seq uint64, err error) {
	a := &answer{Seq: seq}
	if err != nil {
		a.Error = err.Error()
	}
	c.out.push(message{Answer: a})
}

// configure starts the beat, or changes the running one.
func (c *conversation) configure(ctx context.Context, s Settings) error {
	if c.beat != nil {
		return c.beat.Apply(ctx, s)
	}
	b, err := New(s, c.options)
	if err != nil {
		return err
	}
	c.beat = b
	go func() { c.ended <- b.Run(ctx) }()
	nudge := make(chan struct{}, 1)
	c.wg.Go(func() { c.watchChanges(nudge) })
	for _, t := range topics {
		c.wg.Go(func() { c.watchRider(t, nudge) })
	}
	c.wg.Go(func() { c.watchStatus(nudge) })
	return nil
}

func (c *conversation) watchChanges(nudge chan<- struct{}) {
	for {
		select {
		case change := <-c.beat.Changes():
			c.out.push(message{Change: &change})
			poke(nudge)
		case <-c.watch.Done():
			for len(c.beat.Changes()) > 0 {
				change := <-c.beat.Changes()
				c.out.push(message{Change: &change})
			}
			return
		}
	}
}

func (c *conversation) watchRider(t gossip.Topic, nudge chan<- struct{}) {
	r := c.beat.Rider(t)
	key := "inbox/" + strconv.Itoa(int(t))
	for {
		select {
		case <-r.Changed():
			in := r.Take()
			if in.Changed {
				// The slice is the rider's; the message is encoded later.
				c.out.put(key, message{Inbox: &inbox{Topic: t, Hosts: append(in.Hosts[:0:0], in.Hosts...)}})
			}
			if len(in.Shouts) > 0 {
				c.out.push(message{Shouted: &shouted{Topic: t, Shouts: append(in.Shouts[:0:0], in.Shouts...), Dropped: in.Dropped}})
			}
			poke(nudge)
		case <-c.watch.Done():
			return
		}
	}
}

func (c *conversation) watchStatus(nudge <-chan struct{}) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	waiting := true
	for {
		select {
		case <-c.watch.Done():
			return
		case <-nudge:
			if !waiting {
				waiting = true
				pause.Reset(statusPause)
			}
			continue
		case <-pause.C:
			waiting = false
		case <-tick.C:
		}
		s := c.beat.Status()
		s.PID, s.Dropped = os.Getpid(), c.out.lost()
		c.out.put("status", message{Status: &s})
	}
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
