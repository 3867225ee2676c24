package tree

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Names of the znodes that hold a quota, under /zookeeper/quota and the path it is for.
const (
	LimitsName = "zookeeper_limits"
	StatsName  = "zookeeper_stats"
)

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

// A usage is a quota and the znode zookeeper_stats that shows it. Every member counts for itself: no
// transaction says so, and the tree's digest leaves it out.
type usage struct {
	Quota
	stats *Node // nil: nobody made it, or it was deleted
}

// Quota finds the quota that path falls under, itself included; path need not exist. The root has none.
func (t *Tree) Quota(path string) (Quota, bool) {
	if u := t.usageOf(path); u != nil {
		return u.Quota, true
	}
	return Quota{}, false
}

// EachQuota gives all quotas, sorted by path.
func (t *Tree) EachQuota() iter.Seq[Quota] {
	return func(yield func(Quota) bool) {
		for _, path := range slices.Sorted(maps.Keys(t.quotas)) {
			if !yield(t.quotas[path].Quota) {
				return
			}
		}
	}
}

func (t *Tree) usageOf(path string) *usage {
	if len(t.quotas) == 0 {
		return nil
	}
	for len(path) > 1 {
		if u, ok := t.quotas[path]; ok {
			return u
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return nil
}

// account adds to what the quota over path has used.
func (t *Tree) account(path string, count, bytes int64) {
	u := t.usageOf(path)
	if u == nil {
		return
	}
	u.Count += count
	u.Bytes += bytes
	t.show(u)
}

// show writes the znode zookeeper_stats, whose stat stays as it is.
func (t *Tree) show(u *usage) {
	if u.stats == nil {
		return
	}
	t.walks.save(u.stats)
	grown := -int64(len(u.stats.data))
	u.stats.data = Limits{Count: u.Count, Bytes: u.Bytes, CountHard: -1, BytesHard: -1}.AppendTo(nil)
	t.size += grown + int64(len(u.stats.data))
}

// quotaOf takes apart the path of a znode that holds a quota.
func quotaOf(path string) (subtree, name string) {
	rest, ok := strings.CutPrefix(path, Quotas+"/")
	if !ok {
		return "", ""
	}
	i := strings.LastIndexByte(rest, '/')
	if i < 1 {
		return "", ""
	}
	return path[len(Quotas) : len(Quotas)+1+i], rest[i+1:]
}

// quotaCreated begins to count when limits appear, and counts again when stats do.
func (t *Tree) quotaCreated(n *Node) {
	subtree, name := quotaOf(n.path)
	switch name {
	case LimitsName:
		u := &usage{Quota: Quota{Path: subtree}, stats: t.index.find(Quotas + subtree + "/" + StatsName)}
		u.Limits, _ = ParseLimits(n.data) // a text that nobody understands limits nothing
		t.quotas[subtree] = u
		t.measure(u)
		t.show(u)
	case StatsName:
		u, ok := t.quotas[subtree]
		if !ok {
			u = &usage{Quota: Quota{Path: subtree}} // shows the usage once, and is kept up to date only with limits
		}
		u.stats = n
		t.measure(u)
		t.show(u)
	}
}

// quotaLoaded finds the quotas of a tree that was not grown by Apply.
func (t *Tree) quotaLoaded() {
	for n := range t.index.find(Quotas).below() {
		if _, name := quotaOf(n.path); name == LimitsName {
			t.quotaCreated(n)
		}
	}
}

// quotaChanged notes limits that a client set; what it claims to use is put right at once.
func (t *Tree) quotaChanged(n *Node) {
	subtree, name := quotaOf(n.path)
	u, ok := t.quotas[subtree]
	if !ok {
		return
	}
	switch name {
	case LimitsName:
		u.Limits, _ = ParseLimits(n.data)
	case StatsName:
		t.show(u)
	}
}

func (t *Tree) quotaDeleted(n *Node) {
	subtree, name := quotaOf(n.path)
	switch name {
	case LimitsName:
		delete(t.quotas, subtree)
	case StatsName:
		if u, ok := t.quotas[subtree]; ok {
			u.stats = nil
		}
	}
}

// measure counts a subtree, its top included.
func (t *Tree) measure(u *usage) {
	u.Count, u.Bytes = 0, 0
	top := t.index.find(u.Path)
	if top == nil {
		return
	}
	for n := range top.below() {
		u.Count++
		u.Bytes += int64(len(n.data))
	}
}

// ParseLimits reads the text of a znode zookeeper_limits or zookeeper_stats: key=number, separated by "," or
// ";". What is not there is -1; so is what has no number, since old parsers are fed an extra "=".
func ParseLimits(text []byte) (Limits, error) {
	l := Limits{Count: -1, Bytes: -1, CountHard: -1, BytesHard: -1}
	for field := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == ',' || r == ';' }) {
		key, number, _ := strings.Cut(strings.TrimSpace(field), "=")
		number = strings.Trim(number, "= ")
		v := int64(-1)
		if number != "" {
			var err error
			if v, err = strconv.ParseInt(number, 10, 64); err != nil {
				return Limits{Count: -1, Bytes: -1, CountHard: -1, BytesHard: -1}, fmt.Errorf("tree: parse quota %.100q: %q is no number", text, number)
			}
		}
		switch key {
		case "count":
			l.Count = v
		case "bytes":
			l.Bytes = v
		case "countHardLimit":
			l.CountHard = v
		case "byteHardLimit":
			l.BytesHard = v
		}
	}
	return l, nil
}

// AppendTo appends the text: "count=N,bytes=N", and the hard limits if there are any, after the "=" that
// keeps old parsers from stumbling over them.
func (l Limits) AppendTo(b []byte) []byte {
	b = strconv.AppendInt(append(b, "count="...), l.Count, 10)
	b = strconv.AppendInt(append(b, ",bytes="...), l.Bytes, 10)
	if l.CountHard == -1 && l.BytesHard == -1 {
		return b
	}
	b = append(b, '=')
	if l.BytesHard != -1 {
		b = strconv.AppendInt(append(b, ";byteHardLimit="...), l.BytesHard, 10)
	}
	if l.CountHard != -1 {
		b = strconv.AppendInt(append(b, ";countHardLimit="...), l.CountHard, 10)
	}
	return b
}
