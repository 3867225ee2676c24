package consensus

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/fourletter"
	"example.org/ha/consensus/quorum"
	"example.org/ha/consensus/session"
	"example.org/ha/consensus/txnlog"
	"example.org/ha/consensus/zab"
)

// A loop is everything that one goroutine owns: what the member knows, and who waits for what. It works
// in rounds: take what has come, propose what was prepared, give out what was answered.
type loop struct {
	cfg *Config
	log *slog.Logger

	now  time.Time // of this round
	wall int64     // the same, milliseconds since 1970
	wake time.Time // when the last wait was to end at the latest; zero: never

	patience time.Time // no session expires before

	db       *database
	zab      *zab.Peer
	sessions *session.Tracker
	sweeper  sweeper
	full     fullness

	clients     map[uint64]*client // by the connection's ID
	owners      map[int64]*client  // by session: the connection it is on
	dirty       []*client          // those that have something to be flushed
	unfinished  []*client          // those with a rest, in turn
	resuming    []*client          // between rounds, its memory
	hung        bool               // a connection was closed in this round
	nextSession int64

	next     int64         // zxid of the next write that is prepared
	inflight fifo[*asked]  // prepared and not delivered, by zxid
	spare    []*asked      // requests to be used again
	outs     [][]byte      // large buffers for what clients are told
	group    *txnlog.Group // what gathers while the disk is busy
	writing  *txnlog.Group // what the log has
	idle     *txnlog.Group // a spare one

	gathering, writingSince time.Time // when the first write of each of those two came

	snapshots snapshots
	stats     stats
	started   time.Time
	quotaSaid time.Time // when a quota that is passed was logged last

	port    port
	batches <-chan clientport.Batch
	groups  chan<- *txnlog.Group
	results <-chan txnlog.Written
	keep    chan<- *copying
	epoch   func(int64) error // makes an epoch durable
	failed  error             // why the loop must end
	keptOut <-chan kept
	control <-chan control
	words   fourletter.Whitelist
	traffic func() (clientport.Traffic, map[clientport.Reason]uint64) // nil: not counted
	users   map[string]string                                         // of SASL, with their passwords; nil: nobody
	measure func(conn uint64, word string)                            // reads the directories, for a word
}

// A port is where the connections are: a *clientport.Server, or a test.
type port interface{ Flush() }

// A round takes at most so many batches before it proposes and answers.
const maxBatches = 256

// newLoop returns a loop that serves a database whose log ends at its tree's last zxid.
func newLoop(now time.Time, cfg *Config, log *slog.Logger, db *database) *loop {
	self := quorum.SID(cfg.ID)
	last := db.tree.LastZxid()
	l := &loop{
		cfg: cfg, log: log, db: db, started: now,
		zab:      zab.New(zab.Config{ID: self, Voters: quorum.Majority(self), Last: last}),
		sessions: session.New(now, cfg.Tick),
		clients:  map[uint64]*client{}, owners: map[int64]*client{},
		next: last + 1, group: new(txnlog.Group),
		nextSession: firstSessionID(cfg.ID, now.UnixMilli()),
	}
	l.at(now)
	l.stats.reset(now)
	l.stats.traceMask = fourletter.DefaultTraceMask
	l.snapshots.last = -1
	l.snapshots.rnd = rand.New(rand.NewPCG(uint64(now.UnixNano()), uint64(cfg.ID)))
	l.snapshots.arm(cfg)
	l.sweeper.next = now.Add(cfg.ContainerInterval)
	for id, timeout := range db.timeouts {
		l.sessions.Open(now, id, millis(timeout))
	}
	l.do(l.zab.Step(now, zab.Elected{Leader: self}))
	return l
}

// at begins a round.
func (l *loop) at(now time.Time) { l.now, l.wall = now, now.UnixMilli() }

// run works until ctx ends, or the log fails.
func (l *loop) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		deadline := l.deadline()
		l.wake = deadline
		timer.Reset(max(0, time.Until(deadline)))
		if err := l.wait(ctx, timer); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := l.drain(); err != nil {
			return err
		}
		l.round()
		if l.failed != nil {
			return l.failed
		}
	}
}

// wait blocks until something comes, and takes it.
func (l *loop) wait(ctx context.Context, timer *time.Timer) error {
	groups, group := l.ready()
	lane0, lane1 := l.snapshots.copying[forStore], l.snapshots.copying[forReader]
	chunks0, chunk0, spent0, gone0 := lane0.ready()
	chunks1, chunk1, spent1, gone1 := lane1.ready()
	select {
	case b := <-l.batches:
		l.begin()
		l.batch(&b)
	case w := <-l.results:
		l.begin()
		return l.wrote(w)
	case groups <- group:
		l.taken()
		l.begin()
	case chunks0 <- chunk0:
		l.begin()
		l.sent(forStore)
	case chunks1 <- chunk1:
		l.begin()
		l.sent(forReader)
	case b := <-spent0:
		l.begin()
		l.slice(lane0, b)
	case b := <-spent1:
		l.begin()
		l.slice(lane1, b)
	case <-gone0:
		l.begin()
		l.endCopying(forStore)
	case <-gone1:
		l.begin()
		l.endCopying(forReader)
	case k := <-l.keptOut:
		l.begin()
		l.kept(k)
	case q := <-l.control:
		l.begin()
		l.question(q)
	case <-timer.C:
		l.begin()
	case <-ctx.Done():
	}
	return nil
}

// begin sets the round's time, and notices if it has come late.
func (l *loop) begin() {
	l.at(time.Now())
	l.notice()
}

// drain takes what else waits, without blocking.
func (l *loop) drain() error {
	for range maxBatches {
		if time.Since(l.now) > roundTime {
			return nil
		}
		select {
		case b := <-l.batches:
			l.batch(&b)
		case w := <-l.results:
			if err := l.wrote(w); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// round does what is due, and gives out what was answered.
func (l *loop) round() {
	l.resumeWork()
	l.expire()
	l.sweep()
	l.startSnapshot()
	l.abandon()
	l.stats.meters.Rotate(l.now)
	l.agree()
	if groups, group := l.ready(); groups != nil && l.failed == nil {
		select {
		case groups <- group:
			l.taken()
		default:
		}
	}
	l.flush()
}

// ready is the group that the log may have, if it is free and there is one.
func (l *loop) ready() (chan<- *txnlog.Group, *txnlog.Group) {
	if l.writing != nil || l.group.Last == 0 {
		return nil, nil
	}
	return l.groups, l.group
}

// taken notes that the log has the group.
func (l *loop) taken() {
	l.writing, l.writingSince = l.group, l.gathering
	l.stats.meters.LogQueueSize.Observe(int64(len(l.group.Ends)))
	l.snapshots.size += int64(len(l.writing.Records))
	l.gather()
}

// deadline is when the loop has to wake at the latest.
func (l *loop) deadline() time.Time {
	d := l.now.Add(time.Hour)
	if l.sessions.Len() > 0 {
		d = l.now.Add(beat)
		if s := l.sessions.Deadline(); !s.IsZero() && s.Before(d) {
			d = s
		}
	}
	if l.sweeper.next.Before(d) {
		d = l.sweeper.next
	}
	if l.now.Before(l.patience) && d.Before(l.patience) {
		d = l.patience
	}
	if l.full.refuses(l.now) && d.Before(l.full.probe) {
		d = l.full.probe // nothing of the above can be done before
	}
	if d = l.resumeAt(d); d.Before(l.now) {
		return l.now
	}
	return d
}
