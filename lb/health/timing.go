package health

import (
	"errors"
	"fmt"
	"time"
)

// Timing says how often a check is made and how many results in a row change its mind.
type Timing struct {
	// Interval is the time from the start of one probe to the start of the next. Default 1s.
	Interval time.Duration `toml:"interval"`

	// Timeout is how long an answer may take. Default 500ms, or Interval if that is less.
	Timeout time.Duration `toml:"timeout"`

	// Jitter delays each probe by a random time up to this. Default: a twentieth of Interval.
	Jitter time.Duration `toml:"jitter"`

	// Rise is how many good answers in a row bring a server up. Default 2.
	Rise int `toml:"rise"`

	// Fall is how many failures in a row take a server down. Default 3.
	Fall int `toml:"fall"`

	// FastInterval replaces Interval while a server is suspect: the last answer contradicts its
	// state but the count is not reached. Default: Interval.
	FastInterval time.Duration `toml:"fast_interval"`

	// DownInterval replaces Interval while a server is down. Default: Interval.
	DownInterval time.Duration `toml:"down_interval"`

	// FlapWindow is the memory of the hold-down: from the third time a server goes down within
	// it, each further time doubles Rise, up to eight times. Default 10m; negative turns it off.
	FlapWindow time.Duration `toml:"flap_window"`
}

// Bounds of a Timing.
const (
	MinInterval = 10 * time.Millisecond
	MaxInterval = time.Hour
	MaxCount    = 1000
)

// Check reports every mistake, each naming its key.
func (t Timing) Check() error {
	var errs []error
	between := func(key string, d, low, high time.Duration) {
		if d != 0 && (d < low || d > high) {
			errs = append(errs, fmt.Errorf("%s: %v, want %v to %v", key, d, low, high))
		}
	}
	count := func(key string, n int) {
		if n < 0 || n > MaxCount {
			errs = append(errs, fmt.Errorf("%s: %d, want 1 to %d", key, n, MaxCount))
		}
	}
	between("interval", t.Interval, MinInterval, MaxInterval)
	between("timeout", t.Timeout, time.Millisecond, MaxInterval)
	between("jitter", t.Jitter, 0, t.withDefaults().Interval)
	between("fast_interval", t.FastInterval, MinInterval, MaxInterval)
	between("down_interval", t.DownInterval, MinInterval, MaxInterval)
	count("rise", t.Rise)
	count("fall", t.Fall)
	return errors.Join(errs...)
}

// Round is the time within which each check has had an answer.
func (t Timing) Round() time.Duration {
	t = t.withDefaults()
	return t.Interval + t.Jitter + t.Timeout
}

func (t Timing) withDefaults() Timing {
	orDefault(&t.Interval, time.Second)
	orDefault(&t.Timeout, min(500*time.Millisecond, t.Interval))
	orDefault(&t.Jitter, t.Interval/20)
	orDefault(&t.Rise, 2)
	orDefault(&t.Fall, 3)
	orDefault(&t.FastInterval, t.Interval)
	orDefault(&t.DownInterval, t.Interval)
	orDefault(&t.FlapWindow, 10*time.Minute)
	return t
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
