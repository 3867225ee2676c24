package vip

import (
	"strings"
	"testing"
	"time"

	"example.org/ha/net/vrrp"
)

const (
	ip1 = "10.0.0.100"
	ip2 = "10.0.0.101"
)

func web(priority uint8) Config { return gossipVIP("web", 51, priority, ip1+"/24") }

func TestHighestPriorityHoldsTheAddress(t *testing.T) {
	w := newWorld(t)
	w.host("a", web(100))
	w.host("b", web(200))
	w.host("c", web(150))
	w.run(2 * time.Second)
	w.want("b", ip1)
	for _, h := range w.hosts {
		if st := h.status("web"); st.Active != "b" {
			t.Errorf("%s says that %q is active, want b", h.name, st.Active)
		}
	}
}

func TestBackupTakesOverFromADeadHost(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.host("b", web(100))
	w.run(2 * time.Second)
	w.want("a", ip1)
	a.dead = true
	w.run(250 * time.Millisecond)
	w.want("a", ip1) // not yet: three intervals and the skew
	w.run(200 * time.Millisecond)
	w.want("a+b", ip1) // a is dead and cannot let go
	a.start(web(200))
	w.want("b", ip1) // its left-overs are removed before anything else
	w.run(2 * time.Second)
	w.want("a", ip1)
}

// Beats carry the advertisements: nothing is shouted while nothing changes.
func TestSteadyStateShoutsNothing(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	b := w.host("b", web(100))
	w.run(10 * time.Second)
	was := a.rider.shouts + b.rider.shouts
	w.run(10 * time.Second)
	if n := a.rider.shouts + b.rider.shouts - was; n != 0 {
		t.Errorf("%d shouts in 10s without a change, want none", n)
	}
	w.want("a", ip1)
}

// With beats slower than the VIP's interval each advertisement goes by itself.
func TestShoutsCarryAdvertsFasterThanBeats(t *testing.T) {
	w := newWorld(t)
	w.beat = time.Second
	a := w.host("a", web(200))
	w.host("b", web(100))
	w.run(3 * time.Second)
	was := a.rider.shouts
	w.run(10 * time.Second)
	if n := a.rider.shouts - was; n < 95 || n > 105 {
		t.Errorf("%d shouts in 10s at 100ms, want 100", n)
	}
	w.want("a", ip1)
	a.dead = true
	w.run(500 * time.Millisecond)
	w.want("a+b", ip1)
}

func TestPlannedHandoverNamesTheBestBackup(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.host("b", web(100))
	w.host("c", web(150))
	w.run(2 * time.Second)
	reply := make(chan error, 1)
	a.s.post(resign{"web", "", reply})
	w.run(5 * time.Millisecond)
	if err := <-reply; err != nil {
		t.Fatal(err)
	}
	w.want("c", ip1)
	w.run(10 * time.Second)
	w.want("c", ip1) // who has resigned does not preempt
	if st := a.status("web"); st.State != "backup" || st.Active != "c" {
		t.Errorf("a is %s and says that %q is active, want backup and c", st.State, st.Active)
	}
}

func TestHandoverToANamedHost(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.host("b", web(100))
	w.host("c", web(150))
	w.run(2 * time.Second)
	reply := make(chan error, 1)
	for _, to := range []string{"nobody", "a"} {
		a.s.post(resign{"web", to, reply})
		a.settle()
		if err := <-reply; err == nil || !strings.Contains(err.Error(), to) {
			t.Errorf("hand over to %s: error %v, want one that names it", to, err)
		}
	}
	a.s.post(resign{"mail", "", reply})
	a.settle()
	if err := <-reply; err == nil || !strings.Contains(err.Error(), "mail") {
		t.Errorf("hand over an unknown vip: error %v", err)
	}
	a.s.post(resign{"web", "b", reply})
	w.run(5 * time.Millisecond)
	if err := <-reply; err != nil {
		t.Fatal(err)
	}
	w.want("b", ip1)
}

func TestResignAloneIsRefused(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.run(2 * time.Second)
	reply := make(chan error, 1)
	a.s.post(resign{"web", "", reply})
	a.settle()
	if err := <-reply; err == nil {
		t.Error("nobody could take over and yet it resigned")
	}
	w.want("a", ip1)
}

func TestStopHandsOverAndThenRemoves(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200), gossipVIP("mail", 52, 200, ip2+"/24"))
	w.host("b", web(100), gossipVIP("mail", 52, 100, ip2+"/24"))
	w.run(2 * time.Second)
	gone := a.s.Stop()
	w.run(5 * time.Millisecond)
	w.want("b", ip1)
	w.want("b", ip2)
	select {
	case <-gone:
	default:
		t.Error("every address is gone and the channel is open")
	}
	if n := len(a.s.Status()); n != 0 {
		t.Errorf("%d vips after the stop", n)
	}
}

func TestStopAloneDoesNotWaitForASuccessor(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.run(2 * time.Second)
	gone := a.s.Stop()
	w.run(100 * time.Millisecond)
	w.want("", ip1)
	select {
	case <-gone:
	default:
		t.Error("100ms after the stop the addresses are not given up")
	}
}

func TestEqualPrioritiesHaveOneHolder(t *testing.T) {
	w := newWorld(t)
	z := w.host("z", web(100))
	w.host("a", web(100)) // the higher address
	w.run(3 * time.Second)
	w.want("z", ip1) // the first to come stays
	z.cut = true
	w.run(time.Second)
	w.want("z+a", ip1)
	z.cut = false
	w.run(2 * w.beat)
	w.want("a", ip1) // of two that are active, the higher address
	if st := z.status("web"); st.Reason != "equal priority of a higher address heard" {
		t.Errorf("z let go because of %q", st.Reason)
	}
}

// Of hosts that know no address of their own the name that sorts last wins.
func TestEqualPrioritiesWithoutAddresses(t *testing.T) {
	w := newWorld(t)
	w.unaddressed = true
	w.host("z", web(100))
	a := w.host("a", web(100))
	w.run(3 * time.Second)
	a.cut = true
	w.run(time.Second)
	a.cut = false
	w.run(2 * w.beat)
	w.want("z", ip1)
}

func TestSplitHealsToOneHolder(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	b := w.host("b", web(100))
	w.run(2 * time.Second)
	a.cut = true
	w.run(time.Second)
	w.want("a+b", ip1)
	a.cut = false
	w.run(2 * w.beat) // one beat each way
	w.want("a", ip1)
	if st := b.status("web"); st.State != "backup" {
		t.Errorf("b is %s after the split has healed", st.State)
	}
}

func TestForeignClaimIsNamedWhileItLasts(t *testing.T) {
	w := newWorld(t)
	no := false
	a := w.host("a", web(200))
	w.run(2 * time.Second)
	body, _ := appendBody(nil, ourAddr, nil, []vrrp.Advertisement{{
		Version: 3, Beat: true, VRID: 51, Priority: 10, Interval: 100 * time.Millisecond, Digest: a.s.legs[0].digest}})
	b := w.host("b", Config{Name: "x", VRID: 99, Priority: 1, Preempt: &no, Addresses: prefixes("10.9.9.9/32"), Interval: 100 * time.Millisecond})
	w.run(200 * time.Millisecond)
	b.rider.Shout(body)
	w.run(10 * time.Millisecond)
	if st := a.status("web"); !strings.Contains(st.Claim, "b") || !strings.Contains(st.Claim, "10.0.0.2") {
		t.Errorf("claim is %q, want the name and address of b", st.Claim)
	}
	w.want("a", ip1)
	w.run(2 * time.Second)
	if st := a.status("web"); st.Claim != "" {
		t.Errorf("claim is still %q after two silent seconds", st.Claim)
	}
}

func TestRejectedBodiesAreCountedAndChangeNothing(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	b := w.host("b", web(100))
	w.run(2 * time.Second)
	before := b.s.Deadline()
	for _, body := range [][]byte{{}, {1}, {9, 0}, {1, 0, 5, 51, 7}, {1, 0, 0, 1, 255}, {1, 0, 0, 7}, {1, 3, 10, 0, 0, 0, 0}} {
		a.rider.Shout(body)
	}
	b.s.Wake(w.now)
	if b.s.Deadline() != before {
		t.Error("a refused body has touched a timer")
	}
	st := b.status("web")
	if st.Rejected["malformed_beat"] != 5 || st.Rejected["unknown_version"] != 2 {
		t.Errorf("rejected %v, want 5 malformed and 2 of unknown version", st.Rejected)
	}
	w.run(time.Second)
	w.want("a", ip1)
}

func TestOtherAddressesAreWarnedOfAndFollowed(t *testing.T) {
	w := newWorld(t)
	w.host("a", gossipVIP("web", 51, 200, ip1+"/24", ip2+"/24"))
	b := w.host("b", web(100))
	w.run(3 * time.Second)
	w.want("a", ip1)
	if st := b.status("web"); len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "a (10.0.0.1)") {
		t.Errorf("warnings %q, want one that names a", st.Warnings)
	}
}

func TestAddressThatCannotBeAddedGoesToTheNext(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	b := w.host("b", web(100))
	a.link.broken = true
	w.run(3 * time.Second)
	w.want("b", ip1)
	a.link.broken = false
	w.run(5 * time.Second)
	w.want("b", ip1) // who has failed disturbs nobody who serves
	b.s.Stop()
	w.run(time.Second)
	w.want("a", ip1)
}

func TestUnconfiguredVRIDIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.host("a", web(200))
	b := w.host("b", gossipVIP("mail", 52, 200, ip2+"/24"))
	w.run(2 * time.Second)
	w.want("a", ip1)
	w.want("b", ip2)
	if st := b.status("mail"); len(st.Rejected) > 0 || st.Heard > 0 {
		t.Errorf("b counts what is not for it: heard %d, rejected %v", st.Heard, st.Rejected)
	}
}

func TestChangesAreBoundedAndCountWhatIsLost(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	for range 300 {
		a.s.tell(Change{Name: "web"})
	}
	var last Change
	n := 0
	for len(a.s.changes) > 0 {
		last = <-a.s.Changes()
		n++
	}
	if n != cap(a.s.changes) || last.Lost == 0 {
		t.Errorf("read %d changes, the last says %d lost; want %d and more than none", n, last.Lost, cap(a.s.changes))
	}
}

func TestBeatPathDoesNotAllocate(t *testing.T) {
	for _, who := range []string{"active", "backup"} {
		t.Run(who, func(t *testing.T) {
			w := newWorld(t)
			a := w.host("a", web(200))
			b := w.host("b", web(100))
			w.run(20 * time.Second) // the train of announcements has passed
			h, other := a, b
			if who == "backup" {
				h, other = b, a
			}
			sent, heard := h.status("web").Sent, h.status("web").Heard
			const rounds = 200
			n := testing.AllocsPerRun(rounds, func() {
				w.now = w.now.Add(w.beat)
				h.rider.hears(other, true)
				h.s.Wake(w.now)
			})
			if n != 0 {
				t.Errorf("%v allocations per beat", n)
			}
			st := h.status("web")
			if did := max(st.Sent-sent, st.Heard-heard); did < rounds {
				t.Errorf("only %d adverts in %d rounds: the path was not taken", did, rounds)
			}
		})
	}
}

// On the wire a router is an address; which host of the cluster has it is known
// by its beats.
func TestStatusNamesTheHostOnTheWire(t *testing.T) {
	w := newWorld(t)
	h, port := wired(t, w, func(*Config) {})
	ad := advert(200)
	h.s.hearWire(port, h.s.legs[0], ad.AppendTo(nil, theirAddr, vrrp.GroupIPv4(), vrrp.PseudoHeader), theirAddr, vrrp.GroupIPv4(), 255)
	w.run(time.Millisecond)
	if st := h.status("web"); st.Active != theirAddr.String() || st.ActiveAddr != theirAddr {
		t.Errorf("%q at %v is active, want the address of a stranger", st.Active, st.ActiveAddr)
	}
	w.host("b") // at that address
	w.beatAll()
	w.run(time.Millisecond)
	if st := h.status("web"); st.Active != "b" || st.ActiveAddr != theirAddr {
		t.Errorf("%q at %v is active, want b", st.Active, st.ActiveAddr)
	}
}
