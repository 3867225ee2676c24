package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0)

const tick = 2 * time.Second

func at(d time.Duration) time.Time { return start.Add(d) }

// A session expires after its timeout, and within one tick of it.
func TestExpiresWithinATickOfTheTimeout(t *testing.T) {
	for _, c := range []struct{ touched, timeout, want time.Duration }{
		{0, 4 * time.Second, 6 * time.Second},
		{0, 4*time.Second - 1, 4 * time.Second},
		{0, 1, 2 * time.Second},
		{1999 * time.Millisecond, 4 * time.Second, 6 * time.Second},
		{2 * time.Second, 4 * time.Second, 8 * time.Second},
		{time.Hour, 40 * time.Second, time.Hour + 42*time.Second},
	} {
		k := New(start, tick)
		s := k.Open(at(c.touched), 7, c.timeout)
		if got := k.Deadline(); !got.Equal(at(c.want)) || !k.Expires(s).Equal(got) {
			t.Errorf("touched at %v, timeout %v: expires at %v, want %v", c.touched, c.timeout, got.Sub(start), c.want)
		}
		if ids := k.Expire(at(c.want - 1)); ids != nil || s.Expired() {
			t.Errorf("touched at %v, timeout %v: expired too early", c.touched, c.timeout)
		}
		if ids := k.Expire(at(c.want)); !slices.Equal(ids, []int64{7}) || !s.Expired() {
			t.Errorf("touched at %v, timeout %v: not expired in time: %v", c.touched, c.timeout, ids)
		}
	}
}

// Every state of a session (absent, alive, expired, closed) under every call.
func TestStates(t *testing.T) {
	k := New(start, tick)
	if k.Find(1) != nil || k.Len() != 0 || !k.Deadline().IsZero() || k.Expire(at(time.Hour)) != nil {
		t.Error("absent: something is there")
	}
	k.Close(1) // of an absent session: nothing

	s := k.Open(start, 1, 10*time.Second)
	if k.Find(1) != s || s.ID() != 1 || s.Timeout() != 10*time.Second || s.Expired() || !k.Touch(at(time.Second), s) {
		t.Error("alive: not as opened")
	}
	if k.Open(at(time.Second), 1, 20*time.Second) != s || s.Timeout() != 20*time.Second || k.Len() != 1 {
		t.Error("alive, opened again: another session, or the old timeout")
	}

	k.End(s)
	k.End(s) // twice is once
	if !s.Expired() || k.Touch(at(2*time.Second), s) || k.Expire(at(time.Hour)) != nil || !k.Expires(s).IsZero() {
		t.Error("ended: still touched or expired")
	}
	if k.Find(1) != s || k.Len() != 1 {
		t.Error("ended: forgotten before Close")
	}
	if k.Open(at(2*time.Second), 1, time.Second) != s || !s.Expired() {
		t.Error("ended, opened again: came back to life")
	}

	k.Close(1)
	if k.Find(1) != nil || k.Len() != 0 {
		t.Error("closed: still there")
	}
	if k.Open(at(3*time.Second), 1, 10*time.Second); k.Find(1) == s || k.Find(1).Expired() {
		t.Error("closed and opened: not a new session")
	}
}

func TestTouchNeverShortens(t *testing.T) {
	k := New(start, tick)
	s := k.Open(start, 1, 40*time.Second)
	k.Open(start, 1, 4*time.Second) // taken up again with a shorter timeout
	if got := k.Expires(s); !got.Equal(at(42 * time.Second)) {
		t.Errorf("expires at %v: what was granted before was taken back", got.Sub(start))
	}
	k.Touch(at(41*time.Second), s)
	if got := k.Expires(s); !got.Equal(at(46 * time.Second)) {
		t.Errorf("expires at %v, want the new timeout from the last touch", got.Sub(start))
	}
}

func TestPauseDelaysAll(t *testing.T) {
	k := New(start, tick)
	k.Open(start, 1, 4*time.Second)
	k.Pause(10 * time.Second)
	k.Pause(-time.Hour) // clocks do not run backwards
	if k.Expire(at(15*time.Second)) != nil {
		t.Error("expired in the pause")
	}
	k.Open(at(15*time.Second), 2, 4*time.Second)
	if ids := k.Expire(at(16 * time.Second)); !slices.Equal(ids, []int64{1}) {
		t.Errorf("after the pause %v expired, want session 1", ids)
	}
	if got := k.Deadline(); got.Before(at(19*time.Second)) || got.After(at(21*time.Second)) {
		t.Errorf("a session opened after the pause expires at %v", got.Sub(start))
	}
}

func TestRenew(t *testing.T) {
	k := New(start, tick)
	k.Open(start, 1, 4*time.Second)
	ended := k.Open(start, 2, 4*time.Second)
	k.End(ended)
	k.Renew(at(5 * time.Second))
	if ids := k.Expire(at(8 * time.Second)); ids != nil {
		t.Errorf("%v expired at once", ids)
	}
	if ids := k.Expire(at(11 * time.Second)); !slices.Equal(ids, []int64{1}) {
		t.Errorf("%v expired, want session 1 alone", ids)
	}
}

// A short timeout that is opened after a long one still expires in time.
func TestShortAfterLong(t *testing.T) {
	k := New(start, tick)
	k.Open(start, 1, time.Hour)
	k.Deadline()
	k.Open(start, 2, 4*time.Second)
	if got := k.Deadline(); !got.Equal(at(6 * time.Second)) {
		t.Errorf("deadline %v, want 6s", got.Sub(start))
	}
}

func TestTickMustBePositive(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a tick of 0 was accepted")
		}
	}()
	New(start, 0)
}

// Against a naive model: a map from session to the instant it may be expired from.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			k, now := New(start, tick), start
			earliest := map[int64]time.Time{} // no sooner
			for range 3000 {
				now = now.Add(time.Duration(rnd.Int64N(int64(time.Second))))
				id := 1 + rnd.Int64N(40)
				timeout := 4*time.Second + time.Duration(rnd.Int64N(int64(30*time.Second)))
				switch rnd.IntN(4) {
				case 0:
					s := k.Open(now, id, timeout)
					if e := now.Add(timeout); !s.Expired() && e.After(earliest[id]) {
						earliest[id] = e
					}
				case 1:
					if s := k.Find(id); s != nil && k.Touch(now, s) {
						if e := now.Add(s.Timeout()); e.After(earliest[id]) {
							earliest[id] = e
						}
					}
				case 2:
					k.Close(id)
					delete(earliest, id)
				}
				due := k.Expire(now)
				for _, id := range due {
					if e := earliest[id]; now.Before(e) {
						t.Fatalf("session %d expired %v too early", id, e.Sub(now))
					}
					k.Close(id)
					delete(earliest, id)
				}
				for id, e := range earliest {
					if s := k.Find(id); s == nil || now.Sub(e) > tick {
						t.Fatalf("session %d: should have expired %v ago, or vanished (%v)", id, now.Sub(e), s)
					}
				}
				if k.Len() != len(earliest) {
					t.Fatalf("%d sessions, want %d", k.Len(), len(earliest))
				}
			}
		})
	}
}

func BenchmarkTouch(b *testing.B) {
	k := New(start, tick)
	s := k.Open(start, 1, 30*time.Second)
	now := start
	for b.Loop() {
		now = now.Add(time.Microsecond)
		k.Touch(now, s)
	}
}
