package tree

import (
	"iter"
	"maps"
	"slices"

	"example.org/ha/consensus/jute"
)

// An Ownership is what a znode's owner makes of it.
type Ownership uint8

// Regular znodes stay until deleted; the others go with their session, when they are empty, or in time.
const (
	Regular Ownership = iota
	Ephemeral
	Container
	TTL
)

// Ownership says what owner means under this tree's Config.
func (t *Tree) Ownership(owner int64) Ownership {
	switch {
	case owner == 0:
		return Regular
	case owner == jute.ContainerOwner:
		return Container
	case t.cfg.ExtendedTypes && (owner&jute.TTLMask == jute.TTLMask || t.cfg.EmulateTTL353 && owner < 0):
		return TTL
	}
	return Ephemeral
}

// owners are the sets of znodes that somebody else than a client deletes. Node.slot is the place in the set.
type owners struct {
	sessions   map[int64][]*Node
	ephemerals int
	expendable []*Node // containers, and znodes with a time to live
}

func (o *owners) add(n *Node, kind Ownership) {
	switch kind {
	case Ephemeral:
		set := o.sessions[n.owner]
		n.slot = int32(len(set))
		o.sessions[n.owner] = append(set, n)
		o.ephemerals++
	case Container, TTL:
		n.slot = int32(len(o.expendable))
		o.expendable = append(o.expendable, n)
	}
}

func (o *owners) remove(n *Node, kind Ownership) {
	switch kind {
	case Ephemeral:
		set := without(o.sessions[n.owner], n)
		if len(set) == 0 {
			delete(o.sessions, n.owner)
		} else {
			o.sessions[n.owner] = set
		}
		o.ephemerals--
	case Container, TTL:
		o.expendable = without(o.expendable, n)
	}
}

func without(set []*Node, n *Node) []*Node {
	end := len(set) - 1
	set[n.slot] = set[end]
	set[n.slot].slot = n.slot
	set[end] = nil
	return set[:end]
}

// Ephemerals are the paths that session owns, sorted.
func (t *Tree) Ephemerals(session int64) []string {
	set := t.owners.sessions[session]
	if len(set) == 0 {
		return nil
	}
	paths := make([]string, 0, len(set))
	for _, n := range set {
		paths = append(paths, n.path)
	}
	slices.Sort(paths)
	return paths
}

// Owned is the number of ephemerals of a session.
func (t *Tree) Owned(session int64) int { return len(t.owners.sessions[session]) }

// EphemeralCount is the number of ephemerals of all sessions.
func (t *Tree) EphemeralCount() int { return t.owners.ephemerals }

// EphemeralSessions gives the sessions that own ephemerals, ascending.
func (t *Tree) EphemeralSessions() iter.Seq[int64] {
	return slices.Values(slices.Sorted(maps.Keys(t.owners.sessions)))
}

// Expendable gives the paths of the containers and znodes with a time to live that may be deleted now
// (milliseconds since 1970): containers that are empty and had children, or never had any for longer
// than maxNeverUsed (milliseconds; 0: they wait for ever), and znodes without children that nobody
// changed for longer than they live. The tree must not change meanwhile.
func (t *Tree) Expendable(now, maxNeverUsed int64) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, n := range t.owners.expendable {
			if t.expendable(n, now, maxNeverUsed) && !yield(n.path) {
				return
			}
		}
	}
}

func (t *Tree) expendable(n *Node, now, maxNeverUsed int64) bool {
	if n.children > 0 {
		return false
	}
	idle := now - n.mtime
	if t.Ownership(n.owner) == Container {
		return n.cversion > 0 || maxNeverUsed > 0 && idle > maxNeverUsed
	}
	ttl := n.owner & jute.MaxTTL
	return ttl > 0 && idle > ttl
}
