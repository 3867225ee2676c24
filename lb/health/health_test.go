package health

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC)

// A world runs a Board under its own clock; ok answers for the servers, at once.
type world struct {
	t      *testing.T
	now    time.Time
	board  *Board
	ok     func(id string) bool
	took   time.Duration
	sent   map[string][]time.Time
	became []string
}

func newWorld(t *testing.T, node string) *world {
	return &world{
		t: t, now: start, board: NewBoard(start, node, rand.New(rand.NewPCG(1, 2))),
		ok: func(string) bool { return true }, sent: map[string][]time.Time{},
	}
}

func (w *world) step(ev Event) {
	for _, e := range slices.Clone(w.board.Step(w.now, ev)) {
		switch e := e.(type) {
		case Probe:
			w.sent[e.ID] = append(w.sent[e.ID], w.now)
			r := Result{ID: e.ID, Seq: e.Seq, OK: w.ok(e.ID), Took: w.took}
			if !r.OK {
				r.Reason = "refused"
			}
			w.now = w.now.Add(w.took)
			w.step(r)
		case Became:
			w.became = append(w.became, fmt.Sprintf("%s %v>%v: %s", e.ID, e.From, e.To, e.Reason))
		}
	}
}

// run passes d, stepping the Board exactly when it asks for it.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); ; {
		next := w.board.Deadline()
		if next.IsZero() || next.After(end) {
			w.now = end
			return
		}
		w.now = next
		w.step(nil)
	}
}

// probes passes time until id has been probed n more times.
func (w *world) probes(id string, n int) {
	for want := len(w.sent[id]) + n; len(w.sent[id]) < want; {
		w.now = w.board.Deadline()
		w.step(nil)
	}
}

func (w *world) state(id string) State {
	r, ok := w.board.Report(id)
	if !ok {
		w.t.Fatalf("no report of %q", id)
	}
	return r.State
}

// The script: each letter is one answer (+ good, - failed), after it the state that must follow.
func TestCountsAreExact(t *testing.T) {
	for _, tc := range []struct {
		name   string
		timing Timing
		begin  State
		quick  bool
		script string
	}{
		{"new server rises after two by default", Timing{}, Unknown, false, "+unknown +up"},
		{"new server, failure between", Timing{}, Unknown, false, "+unknown -unknown +unknown +up"},
		{"new server that never works is down after fall", Timing{}, Unknown, false, "-unknown -unknown -down"},
		{"quick start", Timing{}, Unknown, true, "+up"},
		{"quick start needs a good answer", Timing{}, Unknown, true, "-unknown +up"},
		{"quick is for unknown only", Timing{Fall: 1}, Unknown, true, "-down +down +up"},
		{"falls after three by default", Timing{}, Up, false, "-up -up -down"},
		{"a good answer forgives", Timing{}, Up, false, "-up -up +up -up -up -down"},
		{"rises after two by default", Timing{}, Down, false, "+down +up"},
		{"a failure begins again", Timing{}, Down, false, "+down -down +down +up"},
		{"fall 1", Timing{Fall: 1}, Up, false, "-down"},
		{"rise 1", Timing{Rise: 1}, Down, false, "+up"},
		{"rise 5", Timing{Rise: 5}, Down, false, "+down +down +down +down +up"},
		{"fall 5", Timing{Fall: 5}, Up, false, "-up -up -up -up -down"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, "n")
			w.step(Watch{ID: "a", Timing: tc.timing, State: tc.begin, Quick: tc.quick})
			for i, word := range strings.Fields(tc.script) {
				w.ok = func(string) bool { return word[0] == '+' }
				w.probes("a", 1)
				if got := w.state("a").String(); got != word[1:] {
					t.Fatalf("after answer %d of %q: state %s, want %s", i+1, tc.script, got, word[1:])
				}
			}
		})
	}
}

func TestChangesCarryTheReason(t *testing.T) {
	w := newWorld(t, "n")
	w.step(Watch{ID: "a"})
	w.probes("a", 2)
	w.ok = func(string) bool { return false }
	w.probes("a", 3)
	want := []string{"a unknown>up: 2 good in a row", "a up>down: refused"}
	if !slices.Equal(w.became, want) {
		t.Fatalf("got %q, want %q", w.became, want)
	}
	r, _ := w.board.Report("a")
	if r.Failures != 3 || r.Probes != 5 || r.Reason != "refused" || !r.Fell.Equal(w.now) {
		t.Fatalf("report %+v", r)
	}
}

// A thousand checks in a second: no ten milliseconds see more than a few times their share of ten.
func TestChecksAreSpreadOverTheInterval(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 200 * time.Millisecond} {
		w := newWorld(t, "lb1")
		for i := range 1000 {
			w.step(Watch{ID: fmt.Sprintf("10.0.%d.%d:80 tcp", i/250, i%250), Timing: Timing{Interval: interval}})
		}
		w.run(10 * interval)
		slots := map[int64]int{}
		for _, times := range w.sent {
			if n := len(times); n < 9 || n > 11 {
				t.Fatalf("interval %v: %d probes of one check in ten intervals", interval, n)
			}
			for _, at := range times {
				slots[int64(at.Sub(start)/(interval/100))]++
			}
		}
		if most := slices.Max(values(slots)); most > 30 {
			t.Errorf("interval %v: %d probes in a hundredth of it, want at most 30", interval, most)
		}
		if len(slots) < 990 {
			t.Errorf("interval %v: probes in only %d of 1000 slots", interval, len(slots))
		}
	}
}

func values(m map[int64]int) []int {
	var v []int
	for _, n := range m {
		v = append(v, n)
	}
	return v
}

// Two hosts that ask the same server do not ask it at the same moment.
func TestHostsAreOutOfPhase(t *testing.T) {
	a, b := newWorld(t, "lb1"), newWorld(t, "lb2")
	near := 0
	for i := range 500 {
		id := fmt.Sprintf("10.0.0.1:%d tcp", i)
		for _, w := range []*world{a, b} {
			w.step(Watch{ID: id, Timing: Timing{Jitter: 1}})
			w.probes(id, 1)
		}
		gap := a.sent[id][0].Sub(b.sent[id][0]).Abs() % time.Second
		if gap = min(gap, time.Second-gap); gap < 10*time.Millisecond {
			near++
		}
		a.step(Forget{ID: id})
		b.step(Forget{ID: id})
	}
	if near > 30 { // two in a hundred are to be expected
		t.Fatalf("%d of 500 checks are within 10 ms of the other host's", near)
	}
}

func TestPhaseSurvivesARestart(t *testing.T) {
	a := newWorld(t, "lb1")
	a.step(Watch{ID: "x", Timing: Timing{Jitter: 1}})
	a.probes("x", 3)
	b := newWorld(t, "lb1")
	b.now = start.Add(1234567 * time.Microsecond)
	b.board = NewBoard(b.now, "lb1", rand.New(rand.NewPCG(3, 4)))
	b.step(Watch{ID: "x", Timing: Timing{Jitter: 1}})
	b.probes("x", 1)
	if d := b.sent["x"][0].Sub(a.sent["x"][0]); d%time.Second != 0 {
		t.Fatalf("phase moved by %v", d%time.Second)
	}
}

func TestFirstProbeComesWithinASecond(t *testing.T) {
	w := newWorld(t, "n")
	for i := range 200 {
		w.step(Watch{ID: fmt.Sprint(i), Timing: Timing{Interval: time.Minute, Jitter: time.Millisecond}, Quick: true})
	}
	w.run(1001 * time.Millisecond)
	for i := range 200 {
		if w.state(fmt.Sprint(i)) != Up {
			t.Fatalf("check %d is %v after a second", i, w.state(fmt.Sprint(i)))
		}
	}
	w.run(2 * time.Minute)
	late := 0
	for _, times := range w.sent {
		if second := times[1].Sub(start); second > 31*time.Second {
			late++
		}
	}
	if late < 50 {
		t.Fatalf("only %d of 200 second probes came after half a minute: they keep to the first second", late)
	}
}

// Slow answers do not shift the phase: after a hundred probes the check is where it began.
func TestDueTimesAreAbsolute(t *testing.T) {
	w := newWorld(t, "n")
	w.took = 300 * time.Millisecond
	w.step(Watch{ID: "a", Timing: Timing{Jitter: 1}})
	w.probes("a", 100)
	times := w.sent["a"]
	if got := times[99].Sub(times[0]); got != 99*time.Second {
		t.Fatalf("99 intervals took %v", got)
	}
}

func TestAnswersSlowerThanTheIntervalSkipATurn(t *testing.T) {
	w := newWorld(t, "n")
	w.took = 1500 * time.Millisecond
	w.step(Watch{ID: "a", Timing: Timing{Timeout: 2 * time.Second, Jitter: 1}, State: Up})
	w.probes("a", 11)
	if got := w.sent["a"][10].Sub(w.sent["a"][0]); got != 20*time.Second {
		t.Fatalf("ten probes took %v, want 20s", got)
	}
}

func TestJitterDelaysUpToItsBound(t *testing.T) {
	w := newWorld(t, "n")
	w.step(Watch{ID: "a", Timing: Timing{Jitter: 100 * time.Millisecond}})
	w.probes("a", 400)
	phase := time.Duration(hash("a", "n") % uint64(time.Second))
	var least, most time.Duration = time.Second, 0
	for _, at := range w.sent["a"] {
		d := (time.Duration(at.UnixNano()) - phase) % time.Second
		least, most = min(least, d), max(most, d)
	}
	if most >= 100*time.Millisecond || most < 90*time.Millisecond || least > 10*time.Millisecond {
		t.Fatalf("delays of %v to %v, want 0 to 100ms", least, most)
	}
}

func TestIntervalFollowsTheState(t *testing.T) {
	timing := Timing{Interval: time.Second, FastInterval: 100 * time.Millisecond, DownInterval: 5 * time.Second, Jitter: 1}
	w := newWorld(t, "n")
	w.step(Watch{ID: "a", Timing: timing, State: Up})
	gap := func() time.Duration {
		w.probes("a", 1)
		n := len(w.sent["a"])
		return w.sent["a"][n-1].Sub(w.sent["a"][n-2])
	}
	within := func(what string, got, want time.Duration) {
		t.Helper()
		if got < want/2 || got > want*3/2 {
			t.Errorf("%s: gap %v, want about %v", what, got, want)
		}
	}
	w.probes("a", 1)
	within("up", gap(), time.Second)
	w.ok = func(string) bool { return false }
	within("up, last good", gap(), time.Second)
	within("suspect", gap(), 100*time.Millisecond)
	within("suspect", gap(), 100*time.Millisecond)
	if w.state("a") != Down {
		t.Fatal("not down")
	}
	within("down", gap(), 5*time.Second)
	w.ok = func(string) bool { return true }
	within("down", gap(), 5*time.Second)
	within("rising", gap(), 100*time.Millisecond)
}

// After the process stood still for five seconds the checks do not all go off at once.
func TestNoHerdAfterAPause(t *testing.T) {
	w := newWorld(t, "n")
	for i := range 1000 {
		w.step(Watch{ID: fmt.Sprint(i), State: Up})
	}
	w.run(3 * time.Second)
	w.sent = map[string][]time.Time{}
	w.now = w.now.Add(5 * time.Second)
	w.step(nil)
	if n := len(w.sent); n > 0 {
		t.Errorf("%d probes in the first step after the pause", n)
	}
	woke := w.now
	w.run(1100 * time.Millisecond)
	slots := map[int64]int{}
	for _, times := range w.sent {
		slots[int64(times[0].Sub(woke)/(10*time.Millisecond))]++
	}
	if most := slices.Max(values(slots)); len(w.sent) != 1000 || most > 30 {
		t.Errorf("%d of 1000 checks asked in the second after the pause, at most %d in 10 ms", len(w.sent), most)
	}
}

// A host so slow that every step is late still probes.
func TestLateStepsDoNotStarveChecks(t *testing.T) {
	w := newWorld(t, "n")
	w.step(Watch{ID: "a", Timing: Timing{Interval: 10 * time.Millisecond}, State: Up})
	for range 1000 {
		w.now = w.now.Add(20 * time.Millisecond)
		w.step(nil)
	}
	if n := len(w.sent["a"]); n < 300 {
		t.Fatalf("%d probes in 1000 late steps", n)
	}
}

func TestFlappingServerIsHeldDown(t *testing.T) {
	for _, tc := range []struct {
		name   string
		window time.Duration
		pause  time.Duration
		need   []int // good answers from Down to Up, fall after fall
	}{
		{"default window", 0, 0, []int{2, 2, 4, 8, 16, 16, 16}},
		{"off", -1, 0, []int{2, 2, 2, 2, 2, 2, 2}},
		{"falls that are far apart", 0, 6 * time.Minute, []int{2, 2, 2, 2, 2, 2, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, "n")
			w.step(Watch{ID: "a", Timing: Timing{FlapWindow: tc.window}, State: Up})
			for i, need := range tc.need {
				w.ok = func(string) bool { return false }
				w.probes("a", 3)
				w.ok = func(string) bool { return true }
				n := 0
				for ; w.state("a") == Down; n++ {
					w.probes("a", 1)
				}
				if n != need {
					t.Fatalf("after fall %d: up with %d good answers, want %d", i+1, n, need)
				}
				w.run(tc.pause)
			}
		})
	}
}

func TestConnectFailuresHastenButDoNotDecide(t *testing.T) {
	w := newWorld(t, "n")
	w.step(Watch{ID: "a", Timing: Timing{Interval: 10 * time.Second, Jitter: 1}, State: Up})
	w.probes("a", 1)
	w.run(2 * time.Second)
	w.step(ConnectFailed{ID: "a", Reason: "client"})
	if d := w.board.Deadline().Sub(w.now); d > 0 {
		t.Fatalf("next probe in %v, want at once", d)
	}
	for range 1000 { // the probe that was hastened is answered well, then these
		w.step(ConnectFailed{ID: "a", Reason: "client"})
	}
	if r, _ := w.board.Report("a"); r.State != Up || r.Streak != 2 || r.Reason != "client" {
		t.Fatalf("after a thousand failures of clients: %+v", r)
	}
	w.ok = func(string) bool { return false }
	w.probes("a", 1)
	if w.state("a") != Down {
		t.Fatal("one failed probe after failed connections did not decide")
	}
}

func TestConnectFailuresAgainstAGoodProbe(t *testing.T) {
	w := newWorld(t, "n")
	w.step(Watch{ID: "a", Timing: Timing{Jitter: 1}, State: Up})
	w.probes("a", 1)
	for range 100 { // ten seconds of clients that fail every 100 µs, though probes are well
		for range 1000 {
			w.now = w.now.Add(100 * time.Microsecond)
			w.step(ConnectFailed{ID: "a", Reason: "client"})
		}
	}
	if w.state("a") != Up {
		t.Fatal("clients' failures alone took the server down")
	}
	if n := len(w.sent["a"]); n > 102 {
		t.Fatalf("%d probes in ten intervals, want at most ten in each", n)
	}
}

func TestConnectFailureOfAServerThatIsNotUpIsNothing(t *testing.T) {
	for _, s := range []State{Unknown, Down} {
		w := newWorld(t, "n")
		w.step(Watch{ID: "a", State: s})
		before := w.board.Deadline()
		w.step(ConnectFailed{ID: "a"})
		w.step(ConnectFailed{ID: "nobody"})
		if r, _ := w.board.Report("a"); r.Streak != 0 || !w.board.Deadline().Equal(before) {
			t.Errorf("%v: %+v", s, r)
		}
	}
}

func TestStaleAnswersAreIgnored(t *testing.T) {
	b := NewBoard(start, "n", rand.New(rand.NewPCG(1, 2)))
	b.Step(start, Watch{ID: "a", Timing: Timing{Rise: 1}})
	due := b.Deadline()
	p := b.Step(due, nil)[0].(Probe)
	if !b.Deadline().IsZero() {
		t.Fatal("a second probe is due while one is under way")
	}
	if out := b.Step(due, Result{ID: "a", Seq: p.Seq + 1, OK: true}); len(out) != 0 {
		t.Fatalf("answer to another probe: %v", out)
	}
	b.Step(due, Forget{ID: "a"})
	b.Step(due, Watch{ID: "a", Timing: Timing{Rise: 1}})
	later := b.Deadline()
	if q := b.Step(later, nil)[0].(Probe); q.Seq == p.Seq {
		t.Fatal("a check that began again numbers its probes again")
	}
	if out := b.Step(later, Result{ID: "a", Seq: p.Seq, OK: true}); len(out) != 0 {
		t.Fatalf("answer from before: %v", out)
	}
	if out := b.Step(later, Result{ID: "gone", Seq: 1, OK: true}); len(out) != 0 {
		t.Fatalf("answer for nobody: %v", out)
	}
}

func TestWatchAgainChangesNothing(t *testing.T) {
	w := newWorld(t, "n")
	w.step(Watch{ID: "a"})
	w.probes("a", 2)
	before, due := mustReport(w, "a"), w.board.Deadline()
	w.step(Watch{ID: "a", State: Down})
	if got := mustReport(w, "a"); got != before || !w.board.Deadline().Equal(due) {
		t.Fatalf("got %+v, want %+v", got, before)
	}
	w.step(Forget{ID: "a"})
	w.step(Forget{ID: "a"})
	if w.board.Len() != 0 || !w.board.Deadline().IsZero() {
		t.Fatal("something is left of a forgotten check")
	}
}

func mustReport(w *world, id string) Report {
	r, ok := w.board.Report(id)
	if !ok {
		w.t.Fatalf("no report of %q", id)
	}
	return r
}

func TestTimingCheck(t *testing.T) {
	if err := (Timing{}).Check(); err != nil {
		t.Errorf("zero value: %v", err)
	}
	bad := Timing{Interval: time.Millisecond, Timeout: 2 * time.Hour, Jitter: -1, Rise: -1, Fall: 1001, FastInterval: 1, DownInterval: 1}
	err := bad.Check()
	for _, key := range []string{"interval:", "timeout:", "jitter:", "rise:", "fall:", "fast_interval:", "down_interval:"} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("no word of %s in %v", key, err)
		}
	}
	if d := (Timing{Interval: 100 * time.Millisecond}).withDefaults().Timeout; d != 100*time.Millisecond {
		t.Errorf("timeout of a short interval: %v", d)
	}
}
