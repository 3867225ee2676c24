package fourletter

import (
	"math"
	"math/bits"
)

// The buckets of a Summary: values below 16 have one each, every power of two above has 16, so that a
// quantile is wrong by at most a sixteenth. Values from 2^42 on, in nanoseconds 73 minutes, share the last.
const (
	subBits   = 4
	topBits   = 42
	bucketLen = (topBits-subBits)<<subBits + 1<<subBits
)

// A Summary counts what happened how often and how much, in fixed memory of 5 KiB. Its zero value is ready.
// It is not safe for use by more than one goroutine: it belongs to whom it counts for.
type Summary struct {
	count    int64
	sum      int64
	min, max int64
	// Two windows, so that quantiles speak of the last one or two and not of the whole life.
	window [2][bucketLen]uint32
	now    uint8
}

// Observe counts one value; those below 0 count as 0.
func (s *Summary) Observe(v int64) {
	if v < 0 {
		v = 0
	}
	if s.count == 0 || v < s.min {
		s.min = v
	}
	if v > s.max {
		s.max = v
	}
	s.count++
	s.sum += v
	s.window[s.now&1][bucket(v)]++
}

// Reset forgets everything.
func (s *Summary) Reset() { *s = Summary{} }

// Rotate ends a window: what was seen before the one that ends leaves the quantiles. Count, sum, min and
// max stay.
func (s *Summary) Rotate() {
	s.now = (s.now + 1) & 1
	s.window[s.now] = [bucketLen]uint32{}
}

// bucket is where a value is counted.
func bucket(v int64) int {
	u := uint64(v)
	n := bits.Len64(u)
	if n <= subBits {
		return int(u)
	}
	if n > topBits {
		return bucketLen - 1
	}
	shift := n - subBits - 1
	return (shift+1)<<subBits + int(u>>shift)&(1<<subBits-1)
}

// middle is the value a bucket stands for.
func middle(b int) int64 {
	if b < 2<<subBits {
		return int64(b)
	}
	shift := b>>subBits - 1
	low := int64(1<<subBits+b&(1<<subBits-1)) << shift
	return low + int64(1)<<shift/2
}

// into fills in a metric, dividing every value by unit.
func (s *Summary) into(m *Metric, unit float64) {
	m.Count, m.Sum, m.Min, m.Max = s.count, float64(s.sum)/unit, float64(s.min)/unit, float64(s.max)/unit
	for i := range m.Quantiles {
		m.Quantiles[i] = math.NaN()
	}
	var total uint64
	for i := range bucketLen {
		total += uint64(s.window[0][i]) + uint64(s.window[1][i])
	}
	if total == 0 {
		return
	}
	rank, seen := 0, uint64(0)
	for i := range bucketLen {
		seen += uint64(s.window[0][i]) + uint64(s.window[1][i])
		for rank < len(QuantileRanks) && float64(seen) >= QuantileRanks[rank]*float64(total) {
			m.Quantiles[rank] = float64(min(max(middle(i), s.min), s.max)) / unit
			rank++
		}
	}
}

// A SummarySet is summaries by key, the first component of a path. It has room for maxKeys: what comes
// after is not counted, since keys come from clients.
type SummarySet struct{ byKey map[string]*Summary }

// maxKeys bounds the memory of a SummarySet at half a MiB.
const maxKeys = 100

// Observe counts a value under the first component of a path: /a of /a/b/c. The root has no key.
func (s *SummarySet) Observe(path string, v int64) {
	key := namespace(path)
	if key == "" {
		return
	}
	one := s.byKey[key]
	if one == nil {
		if len(s.byKey) >= maxKeys {
			return
		}
		if s.byKey == nil {
			s.byKey = map[string]*Summary{}
		}
		one = new(Summary)
		s.byKey[key] = one
	}
	one.Observe(v)
}

func namespace(path string) string {
	if len(path) < 2 || path[0] != '/' {
		return ""
	}
	path = path[1:]
	for i := range len(path) {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return path
}
