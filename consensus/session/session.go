// Package session says when sessions expire.
//
// Time is cut into buckets one tick wide. A session that is touched moves to the bucket in which its
// timeout ends, and whole buckets expire at once:
//
//	    touched            now+timeout
//	       │                    │
//	──┬────┴────┬─────────┬─────┴───┬─────────┬──> time
//	  0         1         2         3         4   ticks
//	                                └ expires here: in (timeout, timeout+tick]
//
// So a touch costs nothing while the bucket stays the same, which is nearly always, and there is one
// timer for any number of sessions.
//
// A server that was itself standing still (paused, swapped out, its disk stuck) has heard nobody, through
// no fault of the sessions: Pause takes that time out of the Tracker's clock.
package session

import (
	"fmt"
	"slices"
	"time"
)

// A Tracker knows the sessions that have not ended. Its methods take the time of the call, which never
// goes back.
type Tracker struct {
	tick     time.Duration
	epoch    time.Time     // bucket 0 begins
	paused   time.Duration // taken out of the clock so far
	sessions map[int64]*Session
	buckets  map[int64][]*Session // those that have something in them, by number
	first    int64                // no bucket before this one has anything in it
	last     int64                // nor any after this one
}

// A Session is one client's, and may outlive many of its connections.
type Session struct {
	id      int64
	timeout time.Duration
	bucket  int64 // in which it expires; 0: it has expired, and waits for Close
	index   int   // its place in that bucket
}

// ID is the session's number.
func (s *Session) ID() int64 { return s.id }

// Timeout is what was agreed with the client.
func (s *Session) Timeout() time.Duration { return s.timeout }

// Expired reports whether the session's end has been asked for, by Expire or by End.
func (s *Session) Expired() bool { return s.bucket == 0 }

// New returns a Tracker without sessions.
func New(now time.Time, tick time.Duration) *Tracker {
	if tick <= 0 {
		panic(fmt.Sprintf("session: tick of %v", tick))
	}
	return &Tracker{tick: tick, epoch: now, sessions: map[int64]*Session{}, buckets: map[int64][]*Session{}, first: 1}
}

// Open adds a session, or changes the timeout of one that is there and touches it.
func (t *Tracker) Open(now time.Time, id int64, timeout time.Duration) *Session {
	s := t.sessions[id]
	if s == nil {
		s = &Session{id: id}
		t.sessions[id] = s
		s.timeout = timeout
		t.enter(s, t.bucket(now, timeout))
		return s
	}
	s.timeout = timeout
	t.Touch(now, s)
	return s
}

// Find returns a session, nil if it does not exist.
func (t *Tracker) Find(id int64) *Session { return t.sessions[id] }

// Len is how many sessions there are.
func (t *Tracker) Len() int { return len(t.sessions) }

// Touch gives a session its whole timeout again. It reports false if the session has expired.
func (t *Tracker) Touch(now time.Time, s *Session) bool {
	if s.bucket == 0 {
		return false
	}
	if b := t.bucket(now, s.timeout); b > s.bucket {
		t.leave(s)
		t.enter(s, b)
	}
	return true
}

// End makes a session as good as expired: it is on its way out and is not to be touched again.
func (t *Tracker) End(s *Session) {
	if s.bucket != 0 {
		t.leave(s)
	}
}

// Close removes a session, if it is there.
func (t *Tracker) Close(id int64) {
	if s := t.sessions[id]; s != nil {
		t.End(s)
		delete(t.sessions, id)
	}
}

// Pause takes d out of the clock: everything expires so much later.
func (t *Tracker) Pause(d time.Duration) { t.paused += max(d, 0) }

// Renew gives every session its whole timeout again: a server that begins to look after them has not
// heard what was said before.
func (t *Tracker) Renew(now time.Time) {
	for _, s := range t.sessions {
		t.Touch(now, s)
	}
}

// Deadline is when the next sessions expire, the zero time if there are none.
func (t *Tracker) Deadline() time.Time {
	for ; t.first <= t.last; t.first++ {
		if len(t.buckets[t.first]) > 0 {
			return t.Expires(t.buckets[t.first][0])
		}
	}
	return time.Time{}
}

// Expires is when a session expires if it is not touched; the zero time if it has.
func (t *Tracker) Expires(s *Session) time.Time {
	if s.bucket == 0 {
		return time.Time{}
	}
	return t.epoch.Add(t.paused + time.Duration(s.bucket)*t.tick)
}

// Expire returns the sessions that expire by now, oldest bucket first and by number in each. They stay
// in the Tracker, expired, until Close.
func (t *Tracker) Expire(now time.Time) (ids []int64) {
	for d := t.Deadline(); !d.IsZero() && !now.Before(d); d = t.Deadline() {
		due := t.buckets[t.first]
		delete(t.buckets, t.first)
		from := len(ids)
		for _, s := range due {
			s.bucket = 0
			ids = append(ids, s.id)
		}
		slices.Sort(ids[from:])
	}
	return ids
}

// bucket is where what happens now and lasts for d ends: at the first boundary after it.
func (t *Tracker) bucket(now time.Time, d time.Duration) int64 {
	return int64((now.Sub(t.epoch)-t.paused+d)/t.tick) + 1
}

func (t *Tracker) enter(s *Session, b int64) {
	s.bucket, s.index = b, len(t.buckets[b])
	t.buckets[b] = append(t.buckets[b], s)
	t.first, t.last = min(t.first, b), max(t.last, b)
}

// leave takes a session out of its bucket; the bucket's last one takes its place.
func (t *Tracker) leave(s *Session) {
	in := t.buckets[s.bucket]
	end := in[len(in)-1]
	in[s.index], end.index = end, s.index
	in[len(in)-1] = nil
	if in = in[:len(in)-1]; len(in) == 0 {
		delete(t.buckets, s.bucket)
	} else {
		t.buckets[s.bucket] = in
	}
	s.bucket = 0
}
