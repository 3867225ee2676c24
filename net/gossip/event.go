package gossip

import (
	"net/netip"
	"time"
)

// An Event is something that happened to this host: one of Heard, Join, Say,
// Shout, Rekey, Tune and Leave.
type Event interface{ event() }

// Heard is one datagram, as it came. Packet is not kept after Step returns.
type Heard struct {
	From   netip.AddrPort
	Packet []byte
}

// Join is the whole list of addresses at which other hosts may be found. Each
// Join replaces the one before. Own addresses may be in it: they are found out.
type Join struct{ Addrs []netip.AddrPort }

// Say makes Body this host's state under Topic until the next Say replaces it.
// It makes this host ride the topic; with an empty Body it rides and says nothing.
// Body is copied. At most MaxBody bytes.
type Say struct {
	Topic Topic
	Body  []byte
}

// Shout sends Body at once, one time, to every living host that rides the Topic.
// Body is copied. At most MaxBody bytes.
type Shout struct {
	Topic Topic
	Body  []byte
}

// Rekey replaces the list of keys: the first seals, all open.
type Rekey struct{ Keys []Key }

// Tune changes how often this host beats and how many silent beats mean lost.
// A zero field leaves the value as it is.
type Tune struct {
	Interval time.Duration
	Lost     int
}

// Leave tells the others that this host goes. Nothing is sent or heard after it.
type Leave struct{}

func (Heard) event() {}
func (Join) event()  {}
func (Say) event()   {}
func (Shout) event() {}
func (Rekey) event() {}
func (Tune) event()  {}
func (Leave) event() {}

// An Effect is something the machine asks for or tells: one of *Send, *Deliver,
// *Found, *Suspected, *Lost and *Dropped. Effects and all they point to are good
// until the next Step.
type Effect interface{ effect() }

// Send asks for one datagram.
type Send struct {
	To     netip.AddrPort
	Packet []byte
}

// Deliver hands over what another host said or shouted. What a host says is
// delivered with every beat that carries it, so that a rider can tell a repeated
// word from silence; it is never older than what was delivered before.
type Deliver struct {
	From  string
	Topic Topic
	Body  []byte
	Shout bool
}

// Found tells of a host that lives: new, come back, or started again (Host.Boot differs).
type Found struct{ Host Host }

// Suspected tells of a host that is silent and, so far, was not heard by those asked.
type Suspected struct{ Host Host }

// Lost tells of a host that counts as dead, or, with Left, said that it goes.
type Lost struct {
	Host Host
	Left bool
}

// Dropped tells of a datagram or a command that was refused and changed nothing.
type Dropped struct {
	Reason Reason
	From   netip.AddrPort // invalid if it was a command
}

func (*Send) effect()      {}
func (*Deliver) effect()   {}
func (*Found) effect()     {}
func (*Suspected) effect() {}
func (*Lost) effect()      {}
func (*Dropped) effect()   {}

// A State is what this host thinks of another.
type State uint8

// The states of a host, in the order in which one overrules another within one
// incarnation.
const (
	Unheard  State = iota // told of by others, not heard yet
	Alive                 // heard, or vouched for
	Suspect               // silent; others are being asked
	Dead                  // silent too long
	Departed              // said that it goes
)

var stateNames = [...]string{"unheard", "alive", "suspect", "lost", "left"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// A Host is another host, as this one sees it.
type Host struct {
	Name        string
	Addr        netip.AddrPort
	Boot        [16]byte
	State       State
	Incarnation uint32
	Since       time.Time     // of State
	Heard       time.Time     // last beat accepted from it; zero if it was never heard directly
	Interval    time.Duration // average between its beats, while it beats to this host
	Mesh        bool          // it beats to this host at every interval
}

// A Reason says why something was dropped.
type Reason uint8

// The reasons, each with a counter of its own in Counters.Dropped.
const (
	Malformed    Reason = iota // not a beat: too short, too long, another version
	Unsealed                   // no key of ours opens it: forged, damaged or another cluster's
	Garbled                    // sealed with our key, but its content breaks the format
	WrongCluster               // sealed with our key, but names another cluster
	Hello                      // its echo is not our cookie: the first word of a host, or a recording
	Replayed                   // its counter was seen
	TooOld                     // its counter is older than the replay window
	Mirrored                   // our own beat came back
	SameName                   // two hosts with one name: it bears our name, or that of a host that lives
	EarlyBoot                  // a restarted host whose former self was still heard a moment ago
	Gone                       // a late beat of a host that left
	TooMany                    // the table of hosts is full
	TooLong                    // a body longer than MaxBody, or more than MaxTopics topics
	BadKeys                    // a list of keys that is empty or too long
	BadTune                    // an interval or a count out of range
	reasons
)

var reasonNames = [reasons]string{
	"malformed", "unsealed", "garbled", "wrong cluster", "hello", "replayed", "too old", "mirrored",
	"two hosts with one name", "early boot", "gone", "too many hosts", "too long", "bad keys", "bad tune",
}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons is the number of reasons: those below it are valid.
const Reasons = int(reasons)

// Counters count since the start.
type Counters struct {
	Sent, SentBytes   uint64          // datagrams asked for
	Heard, HeardBytes uint64          // datagrams accepted
	Answered          uint64          // hellos answered
	Shouts            uint64          // shouts sent, one for each host
	Probes            uint64          // hosts asked whether they live
	Asked             uint64          // hosts asked whether they hear another
	Refuted           uint64          // times this host said that it lives after all
	Forgiven          uint64          // times this host came late and did not count silence
	Dropped           [Reasons]uint64 // by Reason
}
