package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// One test per sentence of RFC 9568 (RFC 3768 where it says so) that a peer
// depends on. Each begins with the sentence, in our words.

const interval = 100 * time.Millisecond

func ms(n float64) time.Time {
	return epoch.Add(time.Duration(n * float64(time.Millisecond)))
}

func heard(from string, priority uint8) Heard {
	return Heard{From: addr(from), Advertisement: Advertisement{Version: 3, VRID: 51, Priority: priority,
		Interval: interval, Addresses: []netip.Addr{addr("10.99.0.100")}}}
}

// inBackup is a router of priority 100 that was started at 0 and follows an
// active one of priority 150, heard at 0.
func inBackup(cfg Config) *Router {
	r := New(cfg)
	r.Step(epoch, Start{})
	r.Step(epoch, heard("10.99.0.9", 150))
	return r
}

// inActive is active since 0, with its addresses up and its train passed.
func inActive(cfg Config) *Router {
	r := New(cfg)
	r.Step(epoch.Add(-time.Hour), Start{})
	for r.State() != Active {
		r.Step(expiry(r), nil)
	}
	r.Step(expiry(r), Acquired{})
	for r.Deadline().Before(epoch.Add(-cfg.Interval)) {
		r.Step(expiry(r), nil)
	}
	r.rule.advertAt = epoch
	r.Step(epoch, nil)
	return r
}

func expect(t *testing.T, what string, got []Effect, want string) {
	t.Helper()
	if s := showAll(got); s != want {
		t.Errorf("%s:\n got %s\nwant %s", what, s, want)
	}
}

func expectState(t *testing.T, r *Router, s State) {
	t.Helper()
	if r.State() != s {
		t.Errorf("state is %v, want %v", r.State(), s)
	}
}

// expiry lets the router look whether it is awake until its next timer, and
// returns when that is.
func expiry(r *Router) time.Time {
	for r.State() == Backup && r.Deadline().Before(earliest(r.watch.downAt, r.handover.releaseAt)) {
		r.Step(r.Deadline(), nil)
	}
	return r.Deadline()
}

func expectDeadline(t *testing.T, r *Router, want time.Time) {
	t.Helper()
	if d := expiry(r); !d.Equal(want) {
		t.Errorf("deadline is %v, want %v", d.Sub(epoch), want.Sub(epoch))
	}
}

// 6.1: Skew_Time is ((256 - Priority) * Active_Adver_Interval) / 256, and
// Active_Down_Interval three intervals and that. RFC 3768, 6.1: in version 2 the
// skew is counted in seconds.
func TestTimers(t *testing.T) {
	for _, c := range []struct {
		version, priority uint8
		interval          time.Duration
		skew, down        time.Duration
	}{
		{3, 100, time.Second, 609375 * time.Microsecond, 3609375 * time.Microsecond},
		{3, 100, 100 * time.Millisecond, 60937500, 360937500},
		{3, 254, 10 * time.Millisecond, 78125, 30078125},
		{3, 1, 3 * time.Millisecond, 2988281, 11988281},
		{2, 100, time.Second, 609375 * time.Microsecond, 3609375 * time.Microsecond},
		{2, 254, 3 * time.Second, 7812500, 9007812500},
	} {
		if s := skewTime(c.version, c.priority, c.interval); s != c.skew {
			t.Errorf("v%d, priority %d, %v: skew %v, want %v", c.version, c.priority, c.interval, s, c.skew)
		}
		if d := activeDownInterval(c.version, c.priority, c.interval); d != c.down {
			t.Errorf("v%d, priority %d, %v: activeDown %v, want %v", c.version, c.priority, c.interval, d, c.down)
		}
	}
}

// 6.4.1 (105-150): at startup with priority 255 send an ADVERTISEMENT, announce,
// and become Active.
func TestOwnerStartsActive(t *testing.T) {
	r := New(testConfig("10.99.0.1", Owner))
	expect(t, "start", r.Step(epoch, Start{}), "advertise priority 255, became initialize -> active: started as owner of the addresses, acquire")
	expect(t, "acquired", r.Step(epoch, Acquired{}), "announce, advertise priority 255 announced")
}

// 6.4.1 (155-170): otherwise set Active_Adver_Interval to Advertisement_Interval,
// the timer to Active_Down_Interval, and become Backup.
func TestOthersStartInBackup(t *testing.T) {
	r := New(testConfig("10.99.0.1", 100))
	expect(t, "start", r.Step(epoch, Start{}), "became initialize -> backup: started")
	expectDeadline(t, r, epoch.Add(360937500))
}

// 6.4.2 (360-375): when the Active_Down_Timer fires send an ADVERTISEMENT,
// announce, set the Adver_Timer and become Active.
func TestBackupTakesOver(t *testing.T) {
	r := inBackup(testConfig("10.99.0.1", 100))
	down := epoch.Add(360937500)
	expectDeadline(t, r, down)
	expect(t, "just before", r.Step(down.Add(-1), nil), "")
	expect(t, "at the time", r.Step(down, nil), "advertise priority 100, became backup -> active: the active router fell silent, acquire")
	expectDeadline(t, r, down.Add(interval))
}

// 6.4.2 (415-420): priority zero sets the timer to Skew_Time. We wait less: to
// order the backups it takes microseconds, not a share of the interval.
func TestBackupHearsResignation(t *testing.T) {
	r := inBackup(testConfig("10.99.0.1", 100))
	expect(t, "priority 0", r.Step(ms(50), heard("10.99.0.9", 0)), "")
	expectDeadline(t, r, ms(51.56))
	expect(t, "again", r.Step(ms(51), heard("10.99.0.9", 0)), "")
	expectDeadline(t, r, ms(51.56))
}

// 6.4.2: who is not the active router cannot resign from it.
func TestBackupIgnoresResignationOfOthers(t *testing.T) {
	r := inBackup(testConfig("10.99.0.1", 100))
	r.Step(ms(50), heard("10.99.0.8", 0))
	expectDeadline(t, r, epoch.Add(360937500))
}

// 6.4.2 (430-440): of a priority not lower, or without Preempt_Mode, learn the
// interval and reset the timer.
func TestBackupFollows(t *testing.T) {
	for _, priority := range []uint8{100, 101, 255} {
		r := inBackup(testConfig("10.99.0.1", 100))
		r.Step(ms(50), heard("10.99.0.9", priority))
		expectDeadline(t, r, ms(410.9375))
	}
	cfg := testConfig("10.99.0.1", 100)
	cfg.Preempt = false
	r := inBackup(cfg)
	r.Step(ms(50), heard("10.99.0.9", 1))
	expectDeadline(t, r, ms(410.9375))

	e := heard("10.99.0.9", 150)
	e.Interval = 2 * interval
	r = inBackup(testConfig("10.99.0.1", 100))
	r.Step(ms(50), e)
	expectDeadline(t, r, ms(50+721.875))
}

// RFC 3768, 6.4.2: version 2 learns nothing, the timer is of our own interval.
func TestVersion2DoesNotLearn(t *testing.T) {
	cfg := testConfig("10.99.0.1", 100)
	cfg.Version, cfg.Interval = 2, time.Second
	r := New(cfg)
	r.Step(epoch, Start{})
	e := heard("10.99.0.9", 150)
	e.Version, e.Interval = 2, 3*time.Second
	r.Step(epoch, e)
	expectDeadline(t, r, ms(3609.375))
}

// 6.4.2 (445-455): otherwise discard the ADVERTISEMENT: the timer goes on.
func TestBackupDiscardsLowerPriority(t *testing.T) {
	r := New(testConfig("10.99.0.1", 100))
	r.Step(epoch, Start{})
	for i := range 3 {
		expect(t, "lower", r.Step(ms(50*float64(i+1)), heard("10.99.0.9", 99)), "")
		expectDeadline(t, r, epoch.Add(360937500))
	}
}

// 6.4.3 (710-720): when the Adver_Timer fires send an ADVERTISEMENT and reset it.
func TestActiveAdvertises(t *testing.T) {
	r := inActive(testConfig("10.99.0.1", 100))
	for i := range 5 {
		at := ms(100 * float64(i+1))
		expectDeadline(t, r, at)
		expect(t, "timer, 3 ms late", r.Step(at.Add(3*time.Millisecond), nil), "advertise priority 100 announced")
	}
}

// 6.4.3 (730-735): priority zero is answered by an ADVERTISEMENT at once.
func TestActiveHearsResignation(t *testing.T) {
	r := inActive(testConfig("10.99.0.1", 100))
	expect(t, "priority 0", r.Step(ms(50), heard("10.99.0.9", 0)), "advertise priority 100 announced")
	expectDeadline(t, r, ms(150))
}

// 6.4.3 (745-775): a greater priority, or an equal one of a greater address, as
// unsigned integers, makes it Backup. It sends nothing. The addresses stay for
// the moment the other needs to put up its own.
func TestActiveYields(t *testing.T) {
	for _, c := range []struct {
		from     string
		priority uint8
		why      string
	}{
		{"10.99.0.1", 101, "higher priority heard"},
		{"10.99.0.200", 100, "equal priority of a higher address heard"},
	} {
		r := inActive(testConfig("10.99.0.100", 100))
		expect(t, c.why, r.Step(ms(50), heard(c.from, c.priority)), "became active -> backup: "+c.why)
		expectDeadline(t, r, ms(60))
		expect(t, "grace over", r.Step(ms(60), nil), "release")
		expectDeadline(t, r, ms(410.9375))
	}
}

// 6.4.3 (780-790): otherwise discard it and send an ADVERTISEMENT at once, to
// assert the state; bounded, for a sender that does not hear us.
func TestActiveAsserts(t *testing.T) {
	for _, e := range []Heard{heard("10.99.0.200", 99), heard("10.99.0.9", 100)} {
		r := inActive(testConfig("10.99.0.100", 100))
		expect(t, "lower claim", r.Step(ms(30), e), "advertise priority 100 announced, announce")
		expect(t, "soon again", r.Step(ms(30.1), e), "")
		expectState(t, r, Active)
	}
}

// 6.4.2 (380-385), 6.4.3 (655-680): a Shutdown event in Backup makes Initialize;
// in Active an ADVERTISEMENT with priority 0 goes out first.
func TestShutdown(t *testing.T) {
	r := inBackup(testConfig("10.99.0.1", 100))
	expect(t, "stop in Backup", r.Step(ms(1), Stop{}), "became backup -> initialize: asked to stop, stopped")
	r = inActive(testConfig("10.99.0.1", 100))
	expect(t, "stop in Active", r.Step(ms(1), Stop{Alone: true}), "became active -> resigning: asked to stop, advertise priority 0")
	expectDeadline(t, r, ms(101))
	expect(t, "priority 0 again", r.Step(ms(101), nil), "advertise priority 0")
	expectDeadline(t, r, ms(111.9375))
	expect(t, "nobody there", r.Step(ms(111.9375), nil), "became resigning -> initialize: nobody took over, release")
	expect(t, "gone", r.Step(ms(113), Released{}), "stopped")
	expectDeadline(t, r, time.Time{})
}

// Erratum 8301: an interval of 0 is dropped.
func TestIntervalZeroIsDropped(t *testing.T) {
	r := inBackup(testConfig("10.99.0.1", 100))
	e := heard("10.99.0.9", 150)
	e.Interval = 0
	r.Step(ms(50), e)
	expectDeadline(t, r, epoch.Add(360937500))
}

// 7.1: different addresses may be logged; we do not drop the packet for them.
func TestOtherAddressesAreAccepted(t *testing.T) {
	r := inBackup(testConfig("10.99.0.1", 100))
	e := heard("10.99.0.9", 150)
	e.Addresses = []netip.Addr{addr("10.99.0.101"), addr("10.99.0.100")}
	const warning = "warn another router has other virtual addresses (10.99.0.9)"
	expect(t, "other list", r.Step(ms(50), e), warning)
	expectDeadline(t, r, ms(410.9375))
	expect(t, "again", r.Step(ms(60), e), "")
	expect(t, "none", r.Step(ms(70), heard("10.99.0.9", 150)), "")
	e.Addresses = nil
	expect(t, "without", r.Step(ms(80), e), warning)
}
