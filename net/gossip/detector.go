package gossip

import "time"

// An instant is a point on a Core's own clock: the time since its first Step,
// plus one second, so that zero means never.
type instant time.Duration

func (t instant) add(d time.Duration) instant     { return t + instant(d) }
func (t instant) since(u instant) time.Duration   { return time.Duration(t - u) }
func later(a, b instant) instant                  { return max(a, b) }
func scale(d time.Duration, f int) time.Duration  { return d * time.Duration(f) }
func clamp(d, lo, hi time.Duration) time.Duration { return min(max(d, lo), hi) }

// A detector tells silence from death.
//
// Think of a dripping tap heard from the next room. Nobody knows when the water
// was shut off, but who has listened for a while knows the rhythm, and knows
// after one and a half times the usual pause that something is odd, and after
// three times that it has stopped:
//
//	beat   beat   beat
//	 |------|------|- - - - - - - -:- - - - - - - - - : - - - - >
//	  usual  usual            1.5 usual           lost × usual
//	                          quiet: ask          lost
//
// The usual pause is the average of recent ones, between a floor (what the other
// host says its interval is) and a ceiling (ceiling × that): a slow network moves
// the average, a dead one must not.
//
// What was heard by a third host counts as life, but says nothing of the rhythm.
type detector struct {
	last    instant       // direct word
	vouched instant       // direct word to a third host, as that one told
	average time.Duration // of the pauses between regular beats
	floor   time.Duration
}

const (
	memory  = 16 // pauses that the average remembers, about
	ceiling = 2  // times the floor
)

// tune sets the pause that the other host says it makes.
func (d *detector) tune(floor time.Duration) {
	if floor != d.floor {
		d.floor, d.average = floor, floor
	}
}

// hear notes a beat; regular is true for one that keeps the rhythm, false for an
// answer or a shout that comes between.
func (d *detector) hear(now instant, regular bool) {
	if regular && d.last != 0 {
		pause := clamp(now.since(d.last), 0, scale(d.floor, 2*ceiling))
		d.average += (pause - d.average) / memory
	}
	d.last = later(d.last, now)
}

// usual is the pause that surprises nobody.
func (d *detector) usual() time.Duration {
	return clamp(d.average, d.floor, scale(d.floor, ceiling))
}

// alive is the last moment at which the other host is known to have lived.
func (d *detector) alive() instant { return later(d.last, d.vouched) }

// quietAt is when its silence becomes a reason to ask.
func (d *detector) quietAt() instant { return d.last.add(d.usual() * 3 / 2) }

// suspectAt is when the questions should have been answered: half way between
// asking and giving up.
func (d *detector) suspectAt(lost int) instant {
	return d.alive().add(d.usual() * time.Duration(3+2*lost) / 4)
}

// lostAt is when it counts as dead.
func (d *detector) lostAt(lost int) instant { return d.alive().add(scale(d.usual(), lost)) }

// forgive takes out of the silence the time in which its owner did not listen.
func (d *detector) forgive(late time.Duration, now instant) {
	if d.last != 0 {
		d.last = min(d.last.add(late), now)
	}
	if d.vouched != 0 {
		d.vouched = min(d.vouched.add(late), now)
	}
}
