package proxy

import (
	"math/rand/v2"
	"testing"
)

func drain(w *wheel, now int64) (due []int64) {
	for t := w.expired(now); t != nil; t = w.expired(now) {
		due = append(due, t.due)
	}
	return due
}

func TestWheelFiresEachTimerAtItsTick(t *testing.T) {
	var w wheel
	w.init(0)
	r := rand.New(rand.NewPCG(1, 1))
	timers := make([]timer, 300)
	waiting := map[int64]int{}
	for i := range timers {
		due := 1 + r.Int64N(wheelSlots-1)
		w.add(&timers[i], due)
		waiting[due]++
	}
	for i := 0; i < len(timers); i += 3 {
		w.remove(&timers[i])
		waiting[timers[i].due]--
	}
	for now := int64(1); now < wheelSlots; now++ {
		for _, due := range drain(&w, now) {
			if due != now {
				t.Fatalf("a timer for tick %d fired at %d", due, now)
			}
			waiting[due]--
		}
		if waiting[now] != 0 {
			t.Fatalf("%d timers of tick %d did not fire", waiting[now], now)
		}
	}
	if n := w.wait(); n != -1 {
		t.Errorf("an empty wheel waits %d ticks", n)
	}
}

func TestWheelWaitsForTheNextTimer(t *testing.T) {
	for _, now := range []int64{0, 1, 63, 64, 1000, 1023, 1024, 5000} {
		for _, ahead := range []int64{1, 2, 63, 64, 65, 500, wheelSlots - 1} {
			var w wheel
			w.init(now)
			w.add(&timer{}, now+ahead)
			if got := w.wait(); got != int(ahead) {
				t.Errorf("at %d, timer in %d ticks: waits %d", now, ahead, got)
			}
		}
	}
}

func TestWheelSurvivesALongSleep(t *testing.T) {
	var w wheel
	w.init(0)
	var a, b, late timer
	w.add(&a, 5)
	w.add(&b, wheelSlots-1)
	w.add(&late, 10*wheelSlots) // fires early: its owner looks and puts it back
	if got := drain(&w, 1<<40); len(got) != 3 {
		t.Errorf("%d timers fired, want 3", len(got))
	}
	w.add(&a, 1<<40+7)
	if got := drain(&w, 1<<40+6); got != nil {
		t.Errorf("fired early: %v", got)
	}
	if got := drain(&w, 1<<40+7); len(got) != 1 {
		t.Errorf("%d timers fired, want 1", len(got))
	}
}
