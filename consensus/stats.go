package consensus

import (
	"time"

	"example.org/ha/consensus/fourletter"
	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
)

// stats counts what the member does.
type stats struct {
	// since the start, or the word srst
	since          time.Time
	received, sent int64
	requests       figure // milliseconds from a request's arrival to its answer
	responses      fourletter.Sizes
	proposals      fourletter.Sizes

	// since the start
	authFailed, refused, swept, stalls int64
	snapshotsFailed, slowSyncs         int64
	slices                             figure // milliseconds that a slice of a snapshot held the loop

	digests []fourletter.Digest // the last ones, oldest first

	traceMask int64 // of the words gtmk and stmk: there is nothing that it traces
	meters    fourletter.Meters
}

// A figure is a sum with its bounds.
type figure struct {
	count         int64
	sum, min, max float64
}

func (f *figure) add(v float64) {
	if f.count == 0 || v < f.min {
		f.min = v
	}
	f.max = max(f.max, v)
	f.count++
	f.sum += v
}

func (f *figure) average() float64 {
	if f.count == 0 {
		return 0
	}
	return f.sum / float64(f.count)
}

func (s *stats) reset(now time.Time) {
	s.since = now
	s.received, s.sent, s.requests = 0, 0, figure{}
	none := fourletter.Sizes{Last: -1, Min: -1, Max: -1}
	s.responses, s.proposals = none, none
	s.meters.Reset()
}

func (s *stats) latency(d time.Duration) { s.requests.add(float64(d/time.Microsecond) / 1000) }

// size notes the size of one thing more.
func size(s *fourletter.Sizes, n int) {
	if s.Last = n; s.Min < 0 || n < s.Min {
		s.Min = n
	}
	s.Max = max(s.Max, n)
}

// synced counts a group that is on the disk; queued is how long its first transaction waited for it.
func (s *stats) synced(records int, queued, write, sync, warning time.Duration) {
	m := &s.meters
	m.LogQueueTime.Observe(int64(queued - write - sync))
	m.LogQueueFlushTime.Observe(int64(queued))
	m.LogBatch.Observe(int64(records))
	m.LogTime.Observe(int64(write))
	m.SyncTime.Observe(int64(sync))
	m.LogFlushTime.Observe(int64(write + sync))
	m.Logged += int64(records)
	m.Commits += int64(records)
	if sync > warning {
		s.slowSyncs++
	}
}

// Of every digestEvery-th transaction the digest is kept, and of them the last digestsKept: members of an
// ensemble are compared by them.
const (
	digestEvery = 128
	digestsKept = 1024
)

func (s *stats) digest(zxid int64, t *tree.Tree) {
	if zxid%digestEvery != 0 {
		return
	}
	if len(s.digests) == digestsKept {
		s.digests = s.digests[:copy(s.digests, s.digests[1:])]
	}
	s.digests = append(s.digests, fourletter.Digest{Zxid: zxid, Digest: int64(t.Digest())})
}

// answered counts a request by what it was.
func (s *stats) answered(a *asked, now time.Time) {
	d := int64(now.Sub(a.at))
	if a.turn != delivered {
		s.meters.ReadLatency.Observe(d)
		return
	}
	s.meters.UpdateLatency.Observe(d)
	s.meters.PropagationLatency.Observe(d)
}

// fired counts the watches that one change has fired.
func (s *stats) fired(fired []tree.Fired) {
	var n [5]int64
	for i := range fired {
		if t := fired[i].Type; t > 0 && int(t) < len(n) {
			n[t]++
		}
	}
	m := &s.meters
	for t, x := range map[jute.EventType]*fourletter.Summary{
		jute.EventCreated: &m.CreatedWatches, jute.EventDeleted: &m.DeletedWatches,
		jute.EventDataChanged: &m.ChangedWatches, jute.EventChildrenChanged: &m.ChildrenWatches,
	} {
		if n[t] > 0 {
			x.Observe(n[t])
		}
	}
}

func (s *stats) loaded(l *loading, now time.Time) {
	s.meters.LoadTime.Observe(int64(now.Sub(l.at.start)))
	s.meters.LoadSnapshotTime.Observe(int64(l.at.replay.Sub(l.at.start)))
	s.meters.LoadTxnsTime.Observe(int64(now.Sub(l.at.replay)))
	s.meters.LoadTxns.Observe(int64(l.txns))
}

// A tally is what a connection's line in "cons" says.
type tally struct {
	since          time.Time
	received, sent int64
	lastOp         jute.Op
	lastCxid       int64 // -1: none
	lastZxid       int64 // -1: none
	lastResponse   time.Time
	latencies      figure // milliseconds
	lastLatency    float64
}

func newTally(now time.Time) tally { return tally{since: now, lastCxid: -1, lastZxid: -1} }

func (t *tally) began(xid int32, op jute.Op) {
	t.received++
	t.lastOp = op
	if xid >= 0 {
		t.lastCxid = int64(xid)
	}
}

func (t *tally) ended(h jute.ReplyHeader, now time.Time) {
	t.sent++
	t.lastResponse = now
	if h.Zxid > 0 {
		t.lastZxid = h.Zxid
	}
}

func (t *tally) latency(d time.Duration) {
	t.lastLatency = float64(d / time.Millisecond)
	t.latencies.add(t.lastLatency)
}
