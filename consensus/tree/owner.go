package tree

import "iter"

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
func (t *Tree) Ownership(owner int64) Ownership { return Regular }

// Ephemerals are the paths that session owns, sorted.
func (t *Tree) Ephemerals(session int64) []string { return nil }

// EphemeralCount is the number of ephemerals of all sessions.
func (t *Tree) EphemeralCount() int { return 0 }

// EphemeralSessions gives the sessions that own ephemerals, ascending.
func (t *Tree) EphemeralSessions() iter.Seq[int64] { return func(func(int64) bool) {} }

// Expendable gives the paths of the containers and znodes with a time to live that may be deleted now
// (milliseconds since 1970): containers that are empty and had children, or never had any for longer
// than maxNeverUsed (milliseconds; 0: they wait for ever), and znodes without children that nobody
// changed for longer than they live. The tree must not change meanwhile.
func (t *Tree) Expendable(now, maxNeverUsed int64) iter.Seq[string] {
	return func(func(string) bool) {}
}
