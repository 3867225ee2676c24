package e2e

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The wall clock jumps by an hour, forth and back. Nothing happens: every
// timer runs on the monotonic clock. The clock belongs to the whole machine,
// so the test runs only where CI=true, and sets it right again within a second.
func TestClockJumps(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("moves the clock of this machine; CI=true runs it")
	}
	c := newCluster(t, options{webs: 1})
	c.healthy(1)
	p := c.ping()
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		at := time.Now()
		must(t, jump(by))
		back := func() {
			if err := jump(-by); err != nil {
				t.Errorf("the clock of this machine is now wrong by %v: %v", by, err)
			}
		}
		func() {
			defer back()
			c.steady(10 * c.interval)
		}()
		c.steady(10 * c.interval)
		if o := p.Outage(at, time.Now()); o.Longest > 200*time.Millisecond {
			t.Errorf("outage %v when the clock jumped by %v", o, by)
		}
	}
	c.holder("lb1")
	c.healthy(1)
	c.ready()
}

// jump moves CLOCK_REALTIME.
func jump(by time.Duration) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return err
	}
	then := unix.NsecToTimespec(now.Nano() + by.Nanoseconds())
	return unix.ClockSettime(unix.CLOCK_REALTIME, &then)
}
