package health

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// members reads one letter each: u up, d down since before the round, D down since a moment ago,
// n never up, ? unknown.
func members(now time.Time, letters string) []Member {
	var ms []Member
	for _, l := range letters {
		switch l {
		case 'u':
			ms = append(ms, Member{State: Up})
		case 'd':
			ms = append(ms, Member{State: Down, Fell: now.Add(-time.Hour)})
		case 'D':
			ms = append(ms, Member{State: Down, Fell: now.Add(-time.Second / 2)})
		case 'n':
			ms = append(ms, Member{State: Down})
		case '?':
			ms = append(ms, Member{})
		}
	}
	return ms
}

func TestGuardKeepsWhatFellInOneRound(t *testing.T) {
	for _, tc := range []struct {
		members, keep string
		share         float64
	}{
		{"uuuu", "....", 0.5},
		{"uuDD", "....", 0.5}, // half is not more than half
		{"uDDD", ".kkk", 0.5},
		{"DDDD", "kkkk", 0.5},
		{"ddDDD", "..kkk", 0.5}, // what was down before stays down
		{"dddD", "....", 0.5},
		{"nnnn", "....", 0.5}, // never up, nothing to keep
		{"????", "....", 0.5},
		{"D", ".", 0.5}, // one failure is no pattern
		{"DD", "kk", 0.5},
		{"uuuuuuuDDD", ".......kkk", 0.2},
		{"DDDD", "....", 0},
		{"DDDD", "....", 1},
		{"", "", 0.5},
	} {
		g := Guard{Share: tc.share, Window: time.Second}
		keep := make([]bool, len(tc.members))
		on := g.Judge(start, members(start, tc.members), keep)
		var got strings.Builder
		for _, k := range keep {
			got.WriteString(map[bool]string{true: "k", false: "."}[k])
		}
		if got.String() != tc.keep || on != slices.Contains(keep, true) {
			t.Errorf("%q share %v: keep %q on %t, want %q", tc.members, tc.share, got.String(), on, tc.keep)
		}
	}
}

func TestGuardLetsGoWhenChecksAreBelievedAgain(t *testing.T) {
	g := Guard{Share: 0.5, Window: time.Second}
	ms := members(start, "DDDu")
	keep := make([]bool, 4)
	judge := func(after time.Duration) bool { return g.Judge(start.Add(after), ms, keep) }
	if !judge(0) {
		t.Fatal("three of four fell in one round and are not kept")
	}
	ms[3] = Member{State: Down, Fell: start.Add(5 * time.Second)}
	if !judge(10*time.Second) || !slices.Equal(keep, []bool{true, true, true, true}) {
		t.Fatalf("a fourth that falls during the same trouble: %v", keep)
	}
	ms[0].State = Up
	if !judge(11*time.Second) || !slices.Equal(keep, []bool{false, true, true, true}) {
		t.Fatalf("one is back: %v", keep)
	}
	ms[1].State = Up
	if judge(12*time.Second) || slices.Contains(keep, true) {
		t.Fatalf("half are back, the rest must go: %v", keep)
	}
	if judge(13*time.Second) || slices.Contains(keep, true) {
		t.Fatalf("it began again by itself: %v", keep)
	}
}

func TestGuardDoesNotSeeSlowDecay(t *testing.T) {
	g := Guard{Share: 0.5, Window: time.Second}
	ms := members(start, "uuuu")
	keep := make([]bool, 4)
	for i := range 4 {
		now := start.Add(time.Duration(i) * time.Minute)
		ms[i] = Member{State: Down, Fell: now}
		if g.Judge(now, ms, keep) {
			t.Fatalf("kept after fall %d, a minute from the last", i+1)
		}
	}
}

func TestWatermark(t *testing.T) {
	w := Watermark{Quorum: 3, Hysteresis: 1}
	for i, step := range []struct {
		weight int
		enough bool
	}{{3, true}, {2, true}, {1, false}, {2, false}, {3, false}, {4, true}, {2, true}, {0, false}} {
		if got := w.Step(step.weight); got != step.enough {
			t.Errorf("step %d, weight %d: %t", i, step.weight, got)
		}
	}
	w = Watermark{Quorum: 1}
	for i, step := range []struct {
		weight int
		enough bool
	}{{0, false}, {1, true}, {0, false}} {
		if got := w.Step(step.weight); got != step.enough {
			t.Errorf("quorum 1, step %d, weight %d: %t", i, step.weight, got)
		}
	}
}
