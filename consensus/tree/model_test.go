package tree

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"example.org/ha/consensus/jute"
)

// A model is the tree as somebody would write it who has all the time in the world.
type model struct {
	nodes   map[string]mnode // the root as ""
	watches map[mwatch]struct{}
	events  []Fired
	zxid    int64
}

type mnode struct {
	data []byte
	acl  []jute.ACL
	stat jute.StatPersisted
}

type mwatch struct {
	path string
	w    Watcher
	kind Kind // one
}

var (
	openList = []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "world", ID: "anyone"}}}
	readList = []jute.ACL{{Perms: 1, ID: jute.ID{Scheme: "world", ID: "anyone"}}}
)

func newModel() *model {
	m := &model{nodes: map[string]mnode{}, watches: map[mwatch]struct{}{}}
	for _, p := range []string{"", System, Quotas} {
		m.nodes[p] = mnode{data: []byte{}, acl: openList}
	}
	m.nodes[Conf] = mnode{data: []byte{}, acl: readList, stat: jute.StatPersisted{Aversion: -1}}
	return m
}

// clone leaves the watches behind.
func (m *model) clone() *model {
	return &model{nodes: maps.Clone(m.nodes), watches: map[mwatch]struct{}{}, zxid: m.zxid}
}

func split(path string) (string, string) {
	i := strings.LastIndex(path, "/")
	return path[:i], path[i+1:]
}

func (m *model) children(path string) (names []string) {
	for p := range m.nodes {
		if p == "" {
			continue
		}
		if up, name := split(p); up == path {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *model) below(path string) (out []string) {
	for p := range m.nodes {
		if strings.HasPrefix(p, path+"/") {
			out = append(out, p)
		}
	}
	return out
}

func (m *model) apply(h jute.TxnHeader, x jute.Txn) jute.Code {
	m.zxid = h.Zxid
	switch x.Type { // the usage of quotas is shown after each change, as a multi may end a quota
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		return m.create(h, x)
	case jute.OpDelete, jute.OpDeleteContainer:
		return m.delete(x.Path, h.Zxid)
	case jute.OpSetData, jute.OpReconfig:
		n, ok := m.nodes[rootless(x.Path)]
		if !ok {
			return jute.NoNode
		}
		n.data, n.stat.Version, n.stat.Mzxid, n.stat.Mtime = x.Data, x.Version, h.Zxid, h.Time
		m.nodes[rootless(x.Path)] = n
		m.usage()
		m.fire(jute.EventDataChanged, x.Path, Data|Persistent, n.acl)
	case jute.OpSetACL:
		n, ok := m.nodes[rootless(x.Path)]
		if !ok {
			return jute.NoNode
		}
		n.acl, n.stat.Aversion = x.ACL, x.Version
		m.nodes[rootless(x.Path)] = n
	case jute.OpCloseSession:
		for _, p := range x.Paths {
			m.delete(p, h.Zxid)
		}
		for _, p := range m.ephemerals(h.Session) {
			m.delete(p, h.Zxid)
		}
	case jute.OpMulti:
		for _, op := range x.Ops {
			if op.Type == jute.OpError && op.Err != jute.OK {
				return op.Err
			}
		}
		code := jute.OK
		for _, op := range x.Ops {
			if c := m.apply(h, op); code == jute.OK {
				code = c
			}
		}
		return code
	case jute.OpError:
		return x.Err
	}
	return jute.OK
}

func rootless(path string) string {
	if path == "/" {
		return ""
	}
	return path
}

func (m *model) create(h jute.TxnHeader, x jute.Txn) jute.Code {
	up, _ := split(x.Path)
	parent, ok := m.nodes[up]
	if !ok {
		return jute.NoNode
	}
	v := x.ParentCVersion
	if v == -1 {
		v = parent.stat.Cversion + 1
	}
	if v > parent.stat.Cversion {
		parent.stat.Cversion, parent.stat.Pzxid = v, h.Zxid
		m.nodes[up] = parent
	}
	if _, ok := m.nodes[x.Path]; ok {
		return jute.NodeExists
	}
	n := mnode{data: x.Data, acl: x.ACL, stat: jute.StatPersisted{Czxid: h.Zxid, Mzxid: h.Zxid, Pzxid: h.Zxid, Ctime: h.Time, Mtime: h.Time}}
	switch {
	case x.Type == jute.OpCreateContainer:
		n.stat.EphemeralOwner = -1 << 63
	case x.Type == jute.OpCreateTTL:
		n.stat.EphemeralOwner = -1<<56 + x.TTL
	case x.Ephemeral:
		n.stat.EphemeralOwner = h.Session
	}
	if subtree, name := split(x.Path); name == StatsName {
		n.data = m.measure(strings.TrimPrefix(subtree, Quotas))
	}
	m.nodes[x.Path] = n
	m.usage()
	m.fire(jute.EventCreated, x.Path, Data|Persistent, n.acl)
	m.fire(jute.EventChildrenChanged, rooted(up), Child|Persistent, parent.acl)
	return jute.OK
}

func (m *model) delete(path string, zxid int64) jute.Code {
	up, _ := split(path)
	parent, ok := m.nodes[up]
	if !ok {
		return jute.NoNode
	}
	parent.stat.Pzxid = max(parent.stat.Pzxid, zxid)
	m.nodes[up] = parent
	n, ok := m.nodes[path]
	if !ok {
		return jute.NoNode
	}
	for _, p := range m.below(path) {
		delete(m.nodes, p)
	}
	delete(m.nodes, path)
	m.usage()
	m.fire(jute.EventDeleted, path, Data|Child|Persistent, n.acl)
	m.fire(jute.EventChildrenChanged, rooted(up), Child|Persistent, parent.acl)
	return jute.OK
}

func (m *model) ephemerals(session int64) (out []string) {
	for p, n := range m.nodes {
		if n.stat.EphemeralOwner == session {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func (m *model) fire(e jute.EventType, path string, kinds Kind, acl []jute.ACL) {
	var hear []Watcher
	for w := range m.watches {
		above := w.path == path || w.path == "/" || strings.HasPrefix(path, w.path+"/")
		if w.path == path && w.kind&kinds != 0 || w.kind == Recursive && above && e != jute.EventChildrenChanged {
			hear = append(hear, w.w)
			if w.kind&(Data|Child) != 0 {
				delete(m.watches, w)
			}
		}
	}
	slices.Sort(hear)
	for _, w := range slices.Compact(hear) {
		m.events = append(m.events, Fired{w, e, path, acl})
	}
}

func (m *model) digest() (sum uint64) {
	for p, n := range m.nodes {
		if strings.HasPrefix(p, "/zookeeper/") {
			continue
		}
		s := n.stat
		b := append([]byte(p), n.data...)
		for _, v := range []int64{s.Czxid, s.Mzxid, s.Pzxid, s.Ctime, s.Mtime} {
			b = jute.AppendLong(b, v)
		}
		b = jute.AppendInt(jute.AppendInt(jute.AppendInt(b, s.Version), s.Cversion), s.Aversion)
		sum += uint64(crc32.ChecksumIEEE(jute.AppendLong(b, s.EphemeralOwner)))
	}
	return sum
}

// usage shows what quotas count, in the znodes where they show it; quotas of these tests do not nest.
func (m *model) usage() {
	for p, n := range m.nodes {
		if p == "" {
			continue
		}
		subtree, name := split(p)
		if _, limited := m.nodes[subtree+"/"+LimitsName]; name == StatsName && limited {
			n.data = m.measure(strings.TrimPrefix(subtree, Quotas))
			m.nodes[p] = n
		}
	}
}

func (m *model) measure(subtree string) []byte {
	count, size := 0, 0
	if n, ok := m.nodes[subtree]; ok {
		count, size = 1, len(n.data)
		for _, b := range m.below(subtree) {
			count, size = count+1, size+len(m.nodes[b].data)
		}
	}
	return fmt.Appendf(nil, "count=%d,bytes=%d", count, size)
}

func (m *model) view() string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(m.nodes)) {
		n := m.nodes[p]
		fmt.Fprintf(&b, "%q %q null=%v %+v %v %v\n", rooted(p), n.data, n.data == nil, n.stat, n.acl, m.children(p))
	}
	return b.String()
}

// view is the same of a Tree, with all that must agree within it checked.
func view(tr *Tree) (string, error) {
	var b strings.Builder
	size, count := int64(0), 0
	var lines []string
	for n := range tr.root.below() {
		count++
		size += int64(len(n.path) + len(n.data))
		names := slices.Sorted(n.Children())
		if len(names) != n.NumChildren() {
			return "", fmt.Errorf("%s: %d children, says %d", n.path, len(names), n.NumChildren())
		}
		if tr.Node(n.path) != n {
			return "", fmt.Errorf("%s: the index does not find it", n.path)
		}
		if up, _, _ := parentPath(n.path); n != tr.root && n.Parent() != tr.Node(up) {
			return "", fmt.Errorf("%s: hangs on %v", n.path, n.Parent())
		}
		lines = append(lines, fmt.Sprintf("%q %q null=%v %+v %v %v\n", n.path, n.data, n.data == nil, n.Persisted(), n.ACL(), names))
	}
	slices.Sort(lines)
	for _, l := range lines {
		b.WriteString(l)
	}
	if tr.Len() != count+1 || tr.DataSize() != size {
		return "", fmt.Errorf("Len %d, DataSize %d; counted %d, %d", tr.Len(), tr.DataSize(), count+1, size)
	}
	return b.String(), nil
}

func sameEvents(got, want []Fired) bool {
	return slices.EqualFunc(got, want, func(a, b Fired) bool {
		return a.Watcher == b.Watcher && a.Type == b.Type && a.Path == b.Path && slices.Equal(a.ACL, b.ACL)
	})
}

func sameData(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
