package tree

// Limits are what a znode zookeeper_limits says; -1: no limit.
type Limits struct {
	Count, Bytes         int64 // soft: exceeding them is only logged
	CountHard, BytesHard int64
}

// A Quota is the one that counts for a path: of the longest prefix that has limits.
type Quota struct {
	Path         string // of the subtree
	Limits       Limits
	Count, Bytes int64 // used: znodes, bytes of data
}

// Quota finds the quota that path falls under, itself included; path need not exist.
func (t *Tree) Quota(path string) (Quota, bool) { return Quota{}, false }

// ParseLimits reads the text of a znode zookeeper_limits or zookeeper_stats; what is not there is -1.
func ParseLimits(text []byte) (Limits, error) { return Limits{}, nil }

// AppendTo appends the text: "count=N,bytes=N", and the hard limits if there are any.
func (l Limits) AppendTo(b []byte) []byte { return b }
