package zk

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// A Phase is how things stand between a client and its servers.
type Phase uint8

// The phases. A session lives in Connected, ReadOnly and Suspended.
const (
	Connecting Phase = iota // no session yet
	Connected
	ReadOnly  // connected to a server without a quorum: reads only, perhaps old
	Suspended // the connection is lost; the session may live or not
	Expired   // a server said that the session is over
	Closed    // the client is at its end
)

func (p Phase) String() string {
	return [...]string{"connecting", "connected", "read-only", "suspended", "expired", "closed"}[p]
}

// A Session is what it takes to take up a session, by another process too.
type Session struct {
	ID       int64
	Password []byte
}

func (s Session) String() string { return fmt.Sprintf("0x%x", uint64(s.ID)) }

// MarshalJSON keeps the password out of logs and status pages.
func (s Session) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// A State is what is known of the session at one moment.
type State struct {
	Phase       Phase
	Session     Session       // ID 0: none yet
	Timeout     time.Duration // as negotiated
	Server      string        // the address connected to, or connected to last
	Since       time.Time     // when Phase began
	Connections uint64        // so far; another value: the connection was another
	Err         error         // why not connected: the last attempt's error, or what ended the client
}

// Live says that requests are being sent.
func (s State) Live() bool { return s.Phase == Connected || s.Phase == ReadOnly }

// A board shows the latest state to any number of readers.
type board struct {
	mu      sync.Mutex
	state   State
	changed chan struct{} // closed and replaced at each change of phase
}

func (b *board) get() (State, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.changed
}

// set applies f; readers are woken if the phase or the connection is another one.
func (b *board) set(now time.Time, f func(s *State)) State {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.state
	f(&b.state)
	if b.state.Phase != old.Phase || b.state.Connections != old.Connections {
		b.state.Since = now
		close(b.changed)
		b.changed = make(chan struct{})
	}
	return b.state
}

// A Lease says until when the session is alive without asking anybody.
//
// A server starts the session's time anew when it reads a request, which is after the request was sent: so
// the session lives at least Timeout longer than the sending of any request that was answered. Clocks are
// not compared, only their rate counts; a host that was suspended has to ask again before it trusts this.
//
// Answered holds for a standalone member and for the leader. A follower answers reads and pings by itself
// and tells the leader when the leader next asks, so one that is cut off goes on answering while the leader
// lets the session expire. Behind a follower only Committed counts, the sending of the last write or sync
// that came back; and it speaks for the ensemble only if its leader takes a forwarded request for a sign of
// life. Apache's leader does not: it hears of it up to half a tick later, and never if the follower dies
// in between.
type Lease struct {
	Session   int64
	Timeout   time.Duration
	Answered  time.Time // sending time of the last answered request
	Committed time.Time // the same, of those that passed the leader
}

// Until is the moment up to which the session is alive: by the word of this server, or, if committed, by the
// leader's. It is in the past if there is no session.
func (l Lease) Until(committed bool) time.Time {
	at := l.Answered
	if committed {
		at = l.Committed
	}
	if l.Session == 0 || at.IsZero() {
		return time.Time{}
	}
	return at.Add(l.Timeout)
}
