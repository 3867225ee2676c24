package gossip

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// rhythm is a detector that has heard n beats, each pause after the one before,
// from one second on; it returns the moment of the last.
func rhythm(floor, pause time.Duration, n int) (*detector, instant) {
	d := new(detector)
	d.tune(floor)
	now := instant(time.Second)
	d.hear(now, true)
	for range n - 1 {
		now = now.add(pause)
		d.hear(now, true)
	}
	return d, now
}

func TestUsualPauseStaysBetweenFloorAndCeiling(t *testing.T) {
	for _, tt := range []struct {
		name        string
		pause       time.Duration
		least, most time.Duration
	}{
		{"on time", 100 * ms, 100 * ms, 100 * ms},
		{"faster than promised", 10 * ms, 100 * ms, 100 * ms},
		{"all at once", 0, 100 * ms, 100 * ms},
		{"a slow network", 150 * ms, 149 * ms, 150 * ms},
		{"at the ceiling", 200 * ms, 199 * ms, 200 * ms},
		{"beyond the ceiling", 10 * time.Second, 200 * ms, 200 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := rhythm(100*ms, tt.pause, 200)
			if got := d.usual(); got < tt.least || got > tt.most {
				t.Errorf("usual pause %v after many of %v, want %v to %v", got, tt.pause, tt.least, tt.most)
			}
		})
	}
}

// One long pause, as a lost beat or a break makes it, moves the average by no more
// than its share.
func TestOneLongPauseHardlyMovesTheAverage(t *testing.T) {
	d, now := rhythm(100*ms, 100*ms, 50)
	d.hear(now.add(time.Hour), true)
	if got, most := d.usual(), 100*ms+(2*ceiling-1)*100*ms/memory; got <= 100*ms || got > most {
		t.Errorf("usual pause %v after one of an hour, want at most %v", got, most)
	}
}

func TestIrregularBeatIsLifeButNoRhythm(t *testing.T) {
	d, now := rhythm(100*ms, 150*ms, 100)
	before := d.usual()
	for range 100 {
		now = now.add(ms)
		d.hear(now, false)
	}
	if d.usual() != before {
		t.Errorf("answers moved the average from %v to %v", before, d.usual())
	}
	if d.alive() != now {
		t.Errorf("alive at %d, want %d", d.alive(), now)
	}
	d.hear(now.add(-time.Second), false)
	if d.alive() != now {
		t.Error("time went back")
	}
}

// The three points of doubt, counted from the last beat: at 1.5 usual pauses, half
// way, and at lost of them.
func TestPointsOfDoubt(t *testing.T) {
	for _, tt := range []struct {
		pause                time.Duration
		lost                 int
		quiet, suspect, dead time.Duration
	}{
		{100 * ms, 3, 150 * ms, 225 * ms, 300 * ms},
		{100 * ms, 2, 150 * ms, 175 * ms, 200 * ms},
		{100 * ms, 10, 150 * ms, 575 * ms, 1000 * ms},
		{0, 3, 150 * ms, 225 * ms, 300 * ms},         // the floor holds
		{time.Hour, 3, 300 * ms, 450 * ms, 600 * ms}, // the ceiling holds
	} {
		d, now := rhythm(100*ms, tt.pause, 300)
		if tt.pause > 200*ms {
			d.average = time.Hour
		}
		got := [3]time.Duration{d.quietAt().since(now), d.suspectAt(tt.lost).since(now), d.lostAt(tt.lost).since(now)}
		if want := [3]time.Duration{tt.quiet, tt.suspect, tt.dead}; got != want {
			t.Errorf("pauses of %v, lost %d: quiet, suspect, dead at %v, want %v", tt.pause, tt.lost, got, want)
		}
	}
}

// What a third host heard puts off the loss, but not the question.
func TestVouchedLifePutsOffTheLoss(t *testing.T) {
	d, now := rhythm(100*ms, 100*ms, 50)
	quiet := d.quietAt()
	d.vouched = now.add(250 * ms)
	if got := d.lostAt(3).since(now); got != 550*ms {
		t.Errorf("lost at %v, want 550ms", got)
	}
	if got := d.suspectAt(3).since(now); got != 475*ms {
		t.Errorf("suspect at %v, want 475ms", got)
	}
	if d.quietAt() != quiet {
		t.Error("hearsay counts as hearing")
	}
	d.vouched = now.add(-time.Second)
	if got := d.lostAt(3).since(now); got != 300*ms {
		t.Errorf("an old word moved the loss to %v", got)
	}
}

func TestTuneForgetsTheOldRhythmOnce(t *testing.T) {
	d, now := rhythm(100*ms, 180*ms, 200)
	learnt := d.usual()
	d.tune(100 * ms)
	if d.usual() != learnt {
		t.Errorf("the same floor again: %v, want %v", d.usual(), learnt)
	}
	d.tune(10 * ms)
	if d.usual() != 10*ms || d.lostAt(3).since(now) != 30*ms {
		t.Errorf("a new floor: usual %v, lost at %v", d.usual(), d.lostAt(3).since(now))
	}
}

func TestForgivenTimeIsNoSilence(t *testing.T) {
	d, now := rhythm(100*ms, 100*ms, 50)
	woke := now.add(5*time.Second + 40*ms)
	d.forgive(5*time.Second, woke)
	if got := woke.since(d.alive()); got != 40*ms {
		t.Errorf("%v of silence left, want 40ms", got)
	}
	d.forgive(time.Hour, woke)
	if d.alive() != woke {
		t.Error("forgiven into the future")
	}
	never := new(detector)
	never.forgive(time.Second, woke)
	if never.last != 0 || never.vouched != 0 {
		t.Error("one that was never heard has been heard")
	}
}

// lonely is a Core in a wired pair whose other host falls silent.
func lonely(t *testing.T) (*wired, *Core) {
	t.Helper()
	w := newWired(t, 2, 100*ms, nil)
	w.run(50)
	return w, w.cores[0]
}

// state steps the clock of host 0 by d, with nil, and returns what it thinks of 1.
func state(w *wired, d time.Duration) State {
	w.now = w.now.Add(d)
	w.do(0, nil)
	w.queue = nil
	return w.cores[0].Hosts()[0].State
}

// A Core that steps in time suspects, and loses, at the points of doubt and not a
// moment sooner.
func TestSilenceOfAHostOnTime(t *testing.T) {
	w, c := lonely(t)
	last := w.now
	for {
		next := c.Deadline()
		silent := next.Sub(last)
		got := state(w, next.Sub(w.now))
		want := Alive
		switch {
		case silent >= 300*ms:
			want = Dead
		case silent >= 225*ms:
			want = Suspect
		}
		if got != want {
			t.Fatalf("after %v: %v, want %v", silent, got, want)
		}
		if got == Dead {
			if silent > 300*ms {
				t.Errorf("lost after %v", silent)
			}
			return
		}
	}
}

// Lateness of up to half of what means lost is the others' risk; beyond it is
// forgiven, whole.
func TestOwnLatenessIsForgiven(t *testing.T) {
	for _, tt := range []struct {
		late time.Duration
		want State
	}{
		{150*ms - 1, Suspect}, // 100ms to the deadline and 150ms late: beyond 225ms
		{150*ms + 1, Alive},
		{time.Hour, Alive},
	} {
		w, c := lonely(t)
		late := c.Deadline().Sub(w.now) + tt.late
		if got := state(w, late); got != tt.want {
			t.Errorf("%v late: %v, want %v", tt.late, got, tt.want)
		}
		forgiven := c.Counters().Forgiven
		if (forgiven == 1) != (tt.want == Alive) || forgiven > 1 {
			t.Errorf("%v late: forgiven %d times", tt.late, forgiven)
		}
		// It is forgiven once: the silence that follows counts.
		if got := state(w, 100*ms); tt.want == Alive && got != Alive {
			t.Errorf("%v late and an interval: %v", tt.late, got)
		}
		state(w, 100*ms)
		if got := state(w, 100*ms); got != Dead {
			t.Errorf("%v late and three intervals: %v, want dead", tt.late, got)
		}
	}
}

// What is heard, or said, before the Step that lets time pass takes nothing off the
// lateness.
func TestLatenessIsRememberedWhileTheSocketIsDrained(t *testing.T) {
	w := newWired(t, 3, 100*ms, nil)
	w.run(50)
	c := w.cores[0]
	w.now = w.now.Add(5 * time.Second)
	w.do(1, nil)
	for _, f := range w.queue {
		if f.to == testAddr(0) {
			w.do(0, Heard{From: f.from, Packet: f.packet})
		}
	}
	w.queue = nil
	if !c.Stalled(w.now) {
		t.Error("hearing one host made this one prompt")
	}
	w.do(0, Say{Topic: Votes, Body: []byte("x")})
	if got := len(w.queue); got != 0 {
		t.Errorf("a word sent %d datagrams before its time", got)
	}
	w.do(0, nil)
	for _, h := range c.Hosts() {
		if h.State != Alive {
			t.Errorf("%s is %v", h.Name, h.State)
		}
	}
	if c.Stalled(w.now) {
		t.Error("still stalled after the Step that let time pass")
	}
}

func TestStalledFromTwoIntervalsOn(t *testing.T) {
	for _, tt := range []struct{ lost, intervals int }{{2, 1}, {3, 2}, {30, 2}} {
		w := newWired(t, 2, 100*ms, func(_ int, cfg *Config) { cfg.Lost = tt.lost })
		w.run(10)
		due := w.cores[0].Deadline()
		limit := time.Duration(tt.intervals) * 100 * ms
		if w.cores[0].Stalled(due.Add(limit - 1)) {
			t.Errorf("lost %d: stalled %v after the deadline", tt.lost, limit-1)
		}
		if !w.cores[0].Stalled(due.Add(limit)) {
			t.Errorf("lost %d: not stalled %v after the deadline", tt.lost, limit)
		}
	}
}

// A beat that is heard puts off the deadline that its sender's silence had set.
func TestDeadlineMovesWithWhatIsHeard(t *testing.T) {
	w := newWired(t, 2, 100*ms, func(i int, cfg *Config) {
		if i == 0 {
			cfg.Interval = 10 * time.Second // its own beats set no deadline here
		}
	})
	for range 30 {
		w.now = w.now.Add(100 * ms)
		w.do(0, nil)
		w.do(1, nil)
		w.deliver()
	}
	c := w.cores[0]
	for range 20 {
		w.now = w.now.Add(100 * ms)
		w.do(1, nil)
		w.deliver()
		if got := c.Deadline().Sub(w.now); got < 149*ms || got > 160*ms {
			t.Fatalf("deadline in %v after a beat, want 150ms", got)
		}
	}
}
