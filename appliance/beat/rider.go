package beat

import (
	"bytes"
	"slices"
	"strconv"
	"sync"

	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
)

// maxShouts bounds the events waiting for the reader of a seat.
const maxShouts = 64

// A seat is a rider at the main process's end of the pipe.
type seat struct {
	topic   gossip.Topic
	parent  *Parent
	changed chan struct{}

	mu      sync.Mutex
	said    []byte // the latest Say; repeated to a new beat process
	says    bool
	in      heartbeat.Inbox
	dropped uint64 // by this end
	remote  uint64 // by the other
}

func newSeat(p *Parent, t gossip.Topic) *seat {
	return &seat{topic: t, parent: p, changed: make(chan struct{}, 1)}
}

// Say sets the state that rides in every beat until replaced.
func (s *seat) Say(body []byte) {
	s.mu.Lock()
	s.said, s.says = bytes.Clone(body), true
	s.mu.Unlock()
	s.repeat(s.parent.outbox())
}

// repeat says the latest word again; o is nil while no process runs.
func (s *seat) repeat(o *outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o != nil && s.says {
		o.put("say/"+strconv.Itoa(int(s.topic)), message{Say: &word{Topic: s.topic, Body: s.said}})
	}
}

// Shout sends an event. While no beat process runs it is lost, as a packet is.
func (s *seat) Shout(body []byte) {
	o := s.parent.outbox()
	if o == nil {
		s.mu.Lock()
		s.dropped++
		s.mu.Unlock()
		return
	}
	o.push(message{Shout: &word{Topic: s.topic, Body: bytes.Clone(body)}})
}

// Changed has a value when Take has something to report.
func (s *seat) Changed() <-chan struct{} { return s.changed }

// Take returns what was heard since the last Take. What beats repeat does not
// cross the pipe: Beats and Heard of a host are those of its latest change.
func (s *seat) Take() heartbeat.Inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.in
	in.Dropped = s.dropped + s.remote
	s.in.Shouts, s.in.Changed, s.in.Heard = nil, false, false
	return in
}

func (s *seat) hosts(hosts []heartbeat.HostState) {
	s.mu.Lock()
	s.in.Hosts, s.in.Changed, s.in.Heard = hosts, true, true
	s.mu.Unlock()
	poke(s.changed)
}

func (s *seat) shouts(m *shouted) {
	s.mu.Lock()
	s.remote = m.Dropped
	s.in.Shouts = append(slices.Clip(s.in.Shouts), m.Shouts...)
	if over := len(s.in.Shouts) - maxShouts; over > 0 {
		s.in.Shouts = slices.Delete(s.in.Shouts, 0, over)
		s.dropped += uint64(over)
	}
	s.mu.Unlock()
	poke(s.changed)
}
