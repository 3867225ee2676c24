package vrrp

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

type row map[string]string // event -> effects

// with is the row of a state that ignores all but these events.
func with(changes row) row {
	all := row{}
	for _, e := range tableEvents() {
		all[e.name] = ""
	}
	delete(all, "stop") // ends every state
	for name := range changes {
		if _, known := all[name]; !known && name != "stop" {
			panic("no event " + name)
		}
	}
	maps.Copy(all, changes)
	return all
}

func table() map[State]row {
	const assert = "advertise priority 100 announced, announce"
	const yields = "became active -> backup: higher priority heard"
	return map[State]row{
		Initialize: with(row{"start": "became initialize -> backup: started",
			"stop": "became initialize -> initialize: asked to stop, stopped"}),
		Backup: with(row{
			"heard 0, we are named": "advertise priority 100, became backup -> active: named as successor, acquire",
			"fault":                 "became backup -> fault: check failed",
			"stop":                  "became backup -> initialize: asked to stop, stopped"}),
		Active: with(row{"heard higher": yields, "heard announced": yields + ", release", "heard lower": assert,
			"heard equal, higher address": "became active -> backup: equal priority of a higher address heard",
			"heard equal, lower address":  assert,
			"heard 0":                     "advertise priority 100 announced", "heard 0, we are named": "advertise priority 100 announced",
			"heard 0, another is named": "advertise priority 100 announced",
			"set priority":              "advertise priority 50 announced", "reconfigure": "advertise priority 200 announced",
			"fault":        "advertise priority 0, became active -> fault: check failed, release",
			"address lost": "acquire",
			"resign":       "became active -> resigning: asked to hand over, advertise priority 0",
			"stop":         "became active -> resigning: asked to stop, advertise priority 0"}),
		Resigning: with(row{
			"heard announced": "became resigning -> backup: handed over, release",
			"fault":           "became resigning -> fault: check failed, release",
			"address lost":    "acquire", "stop": ""}),
		Faulty: with(row{"recovered": "became fault -> backup: recovered",
			"stop": "became fault -> initialize: asked to stop, stopped"}),
	}
}

type tableEvent struct {
	name string
	ev   Event
}

func tableEvents() []tableEvent {
	cfg := testConfig("10.99.0.1", 200)
	announced := heard("10.99.0.9", 150)
	announced.Beat, announced.Announced, announced.Digest = true, true, Digest(cfg.Addresses)
	named := heard("10.99.0.9", 0)
	named.Beat, named.Successor = true, cfg.Local
	other := named
	other.Successor = addr("10.99.0.7")
	return []tableEvent{
		{"nil", nil}, {"start", Start{}}, {"heard higher", heard("10.99.0.9", 150)},
		{"heard announced", announced}, {"heard lower", heard("10.99.0.9", 50)},
		{"heard equal, higher address", heard("10.99.0.9", 100)}, {"heard equal, lower address", heard("10.99.0.0", 100)},
		{"heard 0", heard("10.99.0.9", 0)}, {"heard 0, we are named", named}, {"heard 0, another is named", other},
		{"heard ourselves", heard("10.99.0.1", 250)},
		{"set priority", SetPriority{Priority: 50}}, {"set local", SetLocal{Local: addr("10.99.0.200")}},
		{"reconfigure", Reconfigure{Config: cfg}}, {"fault", Fault{Reason: "check failed"}}, {"recovered", Recovered{}},
		{"acquired", Acquired{}}, {"address failed", AddressFailed{}}, {"address lost", AddressLost{}}, {"released", Released{}},
		{"resign", Resign{}}, {"stop", Stop{}},
	}
}

// The table lists every state with every event and what comes of it. A state
// that is not in it, or an event kind that is not tried, fails the test.
func TestEveryStateAndEvent(t *testing.T) {
	cfg := testConfig("10.99.0.1", 100)
	states := map[State]func() *Router{
		Initialize: func() *Router { return New(cfg) },
		Backup:     func() *Router { return inBackup(cfg) },
		Active:     func() *Router { return inActive(cfg) },
		Resigning: func() *Router {
			r := inActive(cfg)
			r.Step(epoch, Resign{})
			return r
		},
		Faulty: func() *Router {
			r := inBackup(cfg)
			r.Step(epoch, Fault{Reason: "link down"})
			return r
		},
	}
	rows, events := table(), tableEvents()
	for s := Initialize; s <= Faulty; s++ {
		for _, e := range events {
			t.Run(fmt.Sprintf("%v/%s", s, e.name), func(t *testing.T) {
				want, listed := rows[s][e.name]
				if !listed {
					t.Fatal("not in the table")
				}
				r := states[s]()
				expectState(t, r, s)
				expect(t, "effects", r.Step(ms(50), e.ev), want)
			})
		}
	}
	for _, kind := range declaredEvents(t) {
		if !slices.ContainsFunc(events, func(e tableEvent) bool { return fmt.Sprintf("%T", e.ev) == "vrrp."+kind }) {
			t.Errorf("event %s is not tried", kind)
		}
	}
}

// declaredEvents reads the source for the types that are Events.
func declaredEvents(t *testing.T) (kinds []string) {
	src, err := os.ReadFile("event.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(src)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "func" && f[2] == "event()" {
			kinds = append(kinds, strings.Trim(f[1], "()"))
		}
	}
	if len(kinds) < 10 {
		t.Fatalf("found only %v", kinds)
	}
	return kinds
}

// A further priority 0, once a successor is heard, would make third routers
// (keepalived) challenge it.
func TestResigningFallsSilentForItsSuccessor(t *testing.T) {
	r := inActive(testConfig("10.99.0.1", 150))
	r.Step(ms(1), Resign{})
	e := heard("10.99.0.9", 100)
	e.Beat, e.Digest = true, Digest(r.cfg.Addresses)
	expect(t, "successor, not yet announced", r.Step(ms(2), e), "")
	expectDeadline(t, r, ms(1+300+100*255/256.+100))
	expect(t, "it could not", r.Step(ms(3), Heard{From: e.From, Advertisement: Advertisement{VRID: 51, Interval: interval}}), "")
	expectDeadline(t, r, ms(3))
	expect(t, "anybody else?", r.Step(ms(3), nil), "advertise priority 0")
	expect(t, "successor again", r.Step(ms(4), e), "")
	e.Announced = true
	expect(t, "announced", r.Step(ms(5), e), "became resigning -> backup: handed over, release")
	expectDeadline(t, r, ms(5+300+100*106/256.))
}

// A fault that comes in the pause after the addresses could not be added
// outlasts it.
func TestFaultOutlastsThePauseAfterAFailure(t *testing.T) {
	r := New(testConfig("10.99.0.1", 100))
	r.Step(epoch, Start{})
	r.Step(expiry(r), nil)
	r.Step(ms(400), AddressFailed{Reason: "x"})
	expectState(t, r, Faulty)
	expectDeadline(t, r, ms(1400))
	r.Step(ms(500), Fault{Reason: "link down"})
	expectDeadline(t, r, time.Time{})
	r.Step(ms(600), Recovered{})
	expectState(t, r, Backup)

	r = New(testConfig("10.99.0.1", 100))
	expect(t, "fault before start", r.Step(epoch, Fault{Reason: "link down"}), "")
	expect(t, "start", r.Step(epoch, Start{}), "became initialize -> fault: link down")
	expect(t, "recovered", r.Step(epoch, Recovered{}), "became fault -> backup: recovered")
}

// Addresses that cannot be added are tried again ever more rarely, until they
// can.
func TestPauseAfterAFailureGrows(t *testing.T) {
	r := New(testConfig("10.99.0.1", 100))
	r.Step(epoch, Start{})
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		now := expiry(r)
		r.Step(now, nil)
		r.Step(now, AddressFailed{Reason: "x"})
		r.Step(now, Released{})
		expectState(t, r, Faulty)
		expectDeadline(t, r, now.Add(pause*time.Second))
		r.Step(expiry(r), nil)
		expectState(t, r, Backup)
	}
	now := expiry(r)
	r.Step(now, nil)
	r.Step(now, Acquired{})
	r.Step(now, AddressLost{})
	r.Step(now, AddressFailed{Reason: "x"})
	expectDeadline(t, r, now.Add(time.Second))
}

// The startup delay counts once, and a reload keeps the state.
func TestWaitAndReconfigure(t *testing.T) {
	cfg := testConfig("10.99.0.1", 100)
	cfg.Wait = 2 * time.Second
	r := New(cfg)
	r.Step(epoch, Start{})
	expectDeadline(t, r, ms(2360.9375))
	r.Step(ms(10), heard("10.99.0.9", 150))
	expectDeadline(t, r, ms(370.9375))

	cfg.Interval, cfg.Priority, cfg.Preempt = 20*time.Millisecond, 120, false
	expect(t, "reload in Backup", r.Step(ms(20), Reconfigure{Config: cfg}), "")
	expectDeadline(t, r, ms(370.9375)) // the pace is the active router's
	r.Step(ms(30), heard("10.99.0.9", 50))
	expectDeadline(t, r, ms(30+300+100*136/256.))

	a := inActive(testConfig("10.99.0.1", 100))
	expect(t, "reload in Active", a.Step(ms(1), Reconfigure{Config: cfg}), "advertise priority 120 announced")
	expectDeadline(t, a, ms(21))
	cfg.Addresses = []netip.Addr{addr("10.99.0.7")}
	expect(t, "other addresses", a.Step(ms(2), Reconfigure{Config: cfg}), "advertise priority 120, acquire")
	expect(t, "added", a.Step(ms(3), Acquired{}), "announce, advertise priority 120 announced")
}

// The time in which a Backup stood still is no silence of the active router.
func TestStandstillIsNotSilence(t *testing.T) {
	for _, c := range []struct {
		name      string
		from, to  float64 // of the standstill, ms after the last advertisement
		takesOver float64
	}{
		{"awake", 0, 0, 360.9375},
		{"asleep between two advertisements", 10, 90, 360.9375},
		{"a little late", 150, 174, 360.9375},
		{"asleep early", 20, 340, 550.9375},           // the look at 150 came 190 late
		{"asleep over the end", 200, 5000, 5160.9375}, // the look at 200
		{"asleep at the very end", 360.5, 400, 500},   // one interval at least
	} {
		t.Run(c.name, func(t *testing.T) {
			r := inBackup(testConfig("10.99.0.1", 100))
			for r.State() == Backup {
				now := r.Deadline()
				if asleep := ms(c.from).Before(now) || ms(c.from).Equal(now); asleep && now.Before(ms(c.to)) {
					now = ms(c.to)
				}
				r.Step(now, nil)
				if r.State() == Active && !now.Equal(ms(c.takesOver)) {
					t.Errorf("takes over at %v, want %v", now.Sub(epoch), ms(c.takesOver).Sub(epoch))
				}
			}
		})
	}
}

// A Backup on a host that is always late takes over in the end.
func TestForgivenessIsBounded(t *testing.T) {
	r := inBackup(testConfig("10.99.0.1", 100))
	now := epoch
	for steps := 0; r.State() == Backup; steps++ {
		now = r.Deadline().Add(30 * time.Millisecond)
		r.Step(now, nil)
		if steps > 100 {
			t.Fatal("still waits after", now.Sub(epoch))
		}
	}
	if took := now.Sub(epoch); took < 400*time.Millisecond || took > 5*time.Second {
		t.Errorf("took over after %v", took)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	cfg := testConfig("10.99.0.1", 100)
	r := inActive(cfg)
	for range 10 {
		r.Step(expiry(r), nil)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if effs := r.Step(expiry(r), nil); len(effs) != 1 {
			t.Fatalf("active: %s", showAll(effs))
		}
	}); n != 0 {
		t.Errorf("an Active that advertises allocates %v times", n)
	}
	b, now := inBackup(cfg), epoch
	addrs := append(cfg.Addresses, addr("10.99.0.7"), addr("10.99.0.8"))
	src, dst := addr("10.99.0.9"), GroupIPv4()
	packet := Advertisement{Version: 3, VRID: 51, Priority: 150, Interval: interval, Addresses: addrs}.AppendTo(nil, src, dst, PseudoHeader)
	var a Advertisement
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(interval)
		if _, err := a.Parse(packet, src, dst); err != nil {
			t.Fatal(err)
		}
		b.Step(now, Heard{From: src, Advertisement: a})
		b.Step(now, nil)
	}); n != 0 {
		t.Errorf("a Backup that hears a packet allocates %v times", n)
	}
	body, _ := AppendBeat(nil, []Advertisement{{VRID: 51, Priority: 150, Interval: interval, Announced: true}}, 1024)
	var ads []Advertisement
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(interval)
		var err error
		if ads, err = ParseBeat(body, ads[:0]); err != nil {
			t.Fatal(err)
		}
		b.Step(now, Heard{From: src, Advertisement: ads[0]})
	}); n != 0 {
		t.Errorf("a Backup that hears a beat allocates %v times", n)
	}
}
