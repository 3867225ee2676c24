package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"example.org/ha/consensus/tree"
	"example.org/ha/consensus/txnlog"
)

// A copying is one snapshot on its way out: the loop fills buffers with some znodes at a time between its
// rounds, somebody else writes them where they belong. Two buffers go back and forth.
type copying struct {
	zxid   int64
	digest uint64 // of the tree at zxid
	chunks chan []byte
	spent  chan []byte   // buffers for the loop to fill
	gone   chan struct{} // closed when nobody takes chunks any more

	err error // set before chunks is closed early

	// the loop's own
	walk   *tree.Walk
	filled []byte    // the next chunk; nil: none
	since  time.Time // when it was filled
	ended  bool
}

// A slice of a walk takes about sliceTime of the loop, or chunkSize bytes; the clock is read every
// sliceNodes znodes.
const (
	sliceTime  = 300 * time.Microsecond
	chunkSize  = 256 << 10
	sliceNodes = 64
)

// takeWithin is how long a chunk waits to be taken: what changes in the tree meanwhile is kept for the
// snapshot, so one that nobody takes must end.
const takeWithin = 30 * time.Second

var errNotTaken = errors.New("consensus: the snapshot was not read in time")

// The snapshots that go on at a time: the store's must not wait for a slow reader of a backup.
const (
	forStore = iota
	forReader
	lanes
)

// snapshots is what the loop knows of them.
type snapshots struct {
	count, size int64 // transactions and bytes logged since the last
	after       int64 // transactions after which the next is due
	afterSize   int64
	rnd         *rand.Rand
	keeping     bool      // one is being written into the store
	last        int64     // zxid of the newest one; -1: none
	lastAt      time.Time // zero: before this start
	copying     [lanes]*copying
}

// defaultSnapCount is ZooKeeper's; logShare is how much log there must be for a snapshot where the
// configuration does not say when: one part in so many of the data.
const (
	defaultSnapCount = 100_000
	logShare         = 4
)

// arm decides when the next snapshot is due. Members of an ensemble should not all take one at once.
func (s *snapshots) arm(cfg *Config) {
	s.count, s.size = 0, 0
	count := int64(cfg.SnapCount)
	if count == 0 {
		count = defaultSnapCount
	}
	s.after = count/2 + s.rnd.Int64N(count/2+1)
	s.afterSize = cfg.SnapSize/2 + s.rnd.Int64N(cfg.SnapSize/2+1)
}

// due says that the next group begins a file of the log, and a snapshot beside it.
func (s *snapshots) due(cfg *Config, dataSize int64) bool {
	if s.size > s.afterSize {
		return true
	}
	return s.count > s.after && (cfg.SnapCount != 0 || s.size*logShare >= dataSize)
}

// applied counts a transaction.
func (s *snapshots) applied() { s.count++ }

// startSnapshot begins a snapshot for the store, if one is due and none is being written.
func (l *loop) startSnapshot() {
	s := &l.snapshots
	if s.keeping || !s.due(l.cfg, l.db.tree.DataSize()) {
		return
	}
	if c := l.copy(forStore); c != nil {
		s.arm(l.cfg)
		s.keeping = true
		l.group.Roll = true
		l.keep <- c // the keeper is idle: there is room
	}
}

// A kept says what became of a snapshot for the store.
type kept struct {
	zxid int64
	took time.Duration
	err  error
}

func (l *loop) kept(k kept) {
	l.snapshots.keeping = false
	if k.err != nil {
		l.stats.snapshotsFailed++
		l.log.Error("no snapshot: the log goes on", "zxid", hexadecimal(k.zxid), "err", k.err)
		return
	}
	l.snapshots.last, l.snapshots.lastAt = k.zxid, l.now
	l.stats.meters.SnapshotTime.Observe(int64(k.took))
	l.log.Info("snapshot written", "zxid", hexadecimal(k.zxid), "took", k.took.Round(time.Millisecond))
}

// keepStore writes snapshots into the store and deletes those that are no longer needed, until ctx ends.
func keepStore(ctx context.Context, store *txnlog.Store, cfg *Config, log *slog.Logger, jobs <-chan *copying, results chan<- kept) {
	var purge <-chan time.Time
	if cfg.PurgeInterval > 0 {
		t := time.NewTicker(cfg.PurgeInterval)
		defer t.Stop()
		purge = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-jobs:
			start := time.Now()
			narrow := widen()
			err := c.commit(ctx, store)
			narrow()
			results <- kept{zxid: c.zxid, took: time.Since(start), err: err} // one job at a time: there is room
			if err == nil && cfg.PurgeInterval == 0 {
				purgeStore(store, cfg.Retain, log)
			}
		case <-purge:
			purgeStore(store, cfg.Retain, log)
		}
	}
}

func purgeStore(store *txnlog.Store, retain int, log *slog.Logger) {
	n, err := store.Purge(retain)
	if err != nil {
		log.Warn("purge old snapshots and logs", "err", err)
	} else if n > 0 {
		log.Info("old snapshots and logs deleted", "files", n)
	}
}

// commit writes a snapshot into the store.
func (c *copying) commit(ctx context.Context, store *txnlog.Store) error {
	s, err := store.CreateSnapshot(c.zxid)
	if err != nil {
		close(c.gone)
		return err
	}
	defer s.Abort()
	if err := c.drain(ctx, s); err != nil {
		return err
	}
	return s.Commit(c.digest)
}

// copy begins a walk over the tree as it is now; nil if its lane is taken.
func (l *loop) copy(lane int) *copying {
	if l.snapshots.copying[lane] != nil {
		return nil
	}
	walk := l.db.tree.Snapshot(l.db.timeouts)
	if walk == nil {
		return nil
	}
	c := &copying{
		zxid: walk.Zxid(), digest: walk.Digest(), walk: walk,
		chunks: make(chan []byte), spent: make(chan []byte, 2), gone: make(chan struct{}),
	}
	for range cap(c.spent) {
		c.spent <- nil
	}
	l.snapshots.copying[lane] = c
	return c
}

// slice fills a buffer.
func (l *loop) slice(c *copying, b []byte) {
	if b == nil {
		b = make([]byte, 0, chunkSize+chunkSize/4)
	}
	b = b[:0]
	start := time.Now()
	for len(b) < chunkSize && !c.ended && time.Since(start) < sliceTime {
		b, c.ended = c.walk.Next(b, sliceNodes)
	}
	l.stats.slices.add(time.Since(start).Seconds() * 1000)
	c.filled, c.since = b, l.now
}

// sent notes that the reader has the chunk. After the last one the channel is closed.
func (l *loop) sent(lane int) {
	c := l.snapshots.copying[lane]
	c.filled = nil
	if c.ended {
		close(c.chunks)
		l.endCopying(lane)
	}
}

// endCopying ends a walk.
func (l *loop) endCopying(lane int) {
	l.snapshots.copying[lane].walk.Close()
	l.snapshots.copying[lane] = nil
}

// ready is what a snapshot waits for: its chunk to be taken, or a buffer. Nil channels are never ready.
func (c *copying) ready() (chunks chan<- []byte, chunk []byte, spent <-chan []byte, gone <-chan struct{}) {
	switch {
	case c == nil:
		return nil, nil, nil, nil
	case c.filled != nil:
		return c.chunks, c.filled, nil, c.gone
	}
	return nil, nil, c.spent, c.gone
}

// abandon ends the snapshots that nobody reads.
func (l *loop) abandon() {
	for lane, c := range l.snapshots.copying {
		if c != nil && c.filled != nil && l.now.Sub(c.since) > takeWithin {
			c.err = errNotTaken
			close(c.chunks)
			l.endCopying(lane)
		}
	}
}

// drain writes a snapshot's stream to w. It must be called once, and closes gone.
func (c *copying) drain(ctx context.Context, w io.Writer) error {
	defer close(c.gone)
	for {
		select {
		case b, more := <-c.chunks:
			if !more {
				return c.err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			c.spent <- b // never full: there are as many buffers as places
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// encode writes a snapshot file to w.
func (c *copying) encode(ctx context.Context, w io.Writer) error {
	e, err := txnlog.NewSnapshotEncoder(w)
	if err != nil {
		close(c.gone)
		return fmt.Errorf("consensus: write a snapshot: %w", err)
	}
	if err := c.drain(ctx, e); err != nil {
		return fmt.Errorf("consensus: write a snapshot: %w", err)
	}
	if err := e.Seal(c.zxid, c.digest); err != nil {
		return fmt.Errorf("consensus: write a snapshot: %w", err)
	}
	return nil
}
