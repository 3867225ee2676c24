package vip

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func grouped(c Config, name string) Config {
	c.Group = name
	return c
}

func pair(priority uint8) []Config {
	return []Config{
		grouped(gossipVIP("in", 51, priority, ip1+"/24"), "gw"),
		grouped(gossipVIP("out", 52, priority, ip2+"/24", "fd00::101/64"), "gw"),
	}
}

func TestGroupMovesAsOne(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", pair(200)...)
	b := w.host("b", pair(100)...)
	w.run(2 * time.Second)
	w.want("a", ip1)
	w.want("a", ip2)
	w.want("a", "fd00::101")

	a.s.SetHealth("out", 0, "no uplink")
	w.run(20 * time.Millisecond)
	w.want("b", ip1)
	w.want("b", ip2)
	for _, name := range []string{"in", "out"} {
		if st := a.status(name); st.State != "fault" || !strings.Contains(st.Reason, "out: no uplink") {
			t.Errorf("%s is %s because %q, want fault because of out", name, st.State, st.Reason)
		}
	}
	a.s.SetHealth("out", 0, "")
	w.run(2 * time.Second)
	w.want("a", ip1)
	w.want("a", ip2)

	reply := make(chan error, 1)
	a.s.post(resign{"in", "b", reply})
	w.run(20 * time.Millisecond)
	w.want("b", ip1)
	w.want("b", ip2)

	b.dead = true
	b.link.holds = nil
	w.run(time.Second)
	w.want("a", ip1)
	w.want("a", ip2)
}

func TestHealthLowersThePriority(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.host("b", web(150))
	w.run(2 * time.Second)
	a.s.SetHealth("web", -20, "")
	w.run(time.Second)
	w.want("a", ip1)
	if p := a.status("web").Priority; p != 180 {
		t.Errorf("priority %d, want 180", p)
	}
	a.s.SetHealth("web", -1000, "")
	w.run(time.Second)
	w.want("b", ip1)
	if p := a.status("web").Priority; p != 1 {
		t.Errorf("priority %d, want 1: tracking never reaches 0", p)
	}
	a.s.SetHealth("web", 0, "")
	w.run(time.Second)
	w.want("a", ip1)
}

func TestFaultReleasesWithoutWaiting(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.host("b", web(100))
	w.run(2 * time.Second)
	a.s.SetHealth("web", 0, "check mysql fails")
	w.run(5 * time.Millisecond)
	w.want("b", ip1)
}

func TestBestBackupIsNotOneInFault(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.host("b", web(100))
	c := w.host("c", web(150))
	w.run(2 * time.Second)
	c.s.SetHealth("web", 0, "disk full")
	w.run(time.Second)
	a.s.Stop()
	w.run(5 * time.Millisecond)
	w.want("b", ip1)
}

func TestReloadOfTheSameDisturbsNothing(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	b := w.host("b", web(100))
	w.run(2 * time.Second)
	before, deadline, log := a.status("web"), b.s.Deadline(), len(a.link.log)
	a.apply(web(200))
	b.apply(web(100))
	if b.s.Deadline() != deadline {
		t.Error("the reload has touched a timer")
	}
	w.run(time.Second)
	after := a.status("web")
	if after.Transitions != before.Transitions || after.Since != before.Since || len(a.link.log) != log {
		t.Errorf("before %+v, after %+v, link %q", before, after, a.link.log)
	}
}

func TestReloadAddsAddressesBeforeItRemovesOthers(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.run(2 * time.Second)
	transitions := a.status("web").Transitions
	a.link.log = nil
	a.apply(gossipVIP("web", 51, 200, ip2+"/24"))
	w.run(time.Second)
	w.want("", ip1)
	w.want("a", ip2)
	if want := []string{"+" + ip2 + "/24", "-" + ip1 + "/24"}; !slices.Equal(a.link.log, want) {
		t.Errorf("link did %q, want %q", a.link.log, want)
	}
	if n := a.status("web").Transitions; n != transitions {
		t.Error("a change of addresses has changed the state")
	}
}

func TestReloadInAGroupChangesTheSecondVIPToo(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", pair(200)...)
	w.run(2 * time.Second)
	cfgs := pair(200)
	cfgs[1].Addresses = prefixes("10.0.0.102/24")
	a.link.log = nil
	a.apply(cfgs...)
	w.run(time.Second)
	w.want("a", ip1)
	w.want("", ip2)
	w.want("a", "10.0.0.102")
	if slices.Contains(a.link.log, "-"+ip1+"/24") {
		t.Errorf("the other VIP of the group was touched: %q", a.link.log)
	}
}

func TestReloadChangesPriorityAndIntervalInPlace(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	b := w.host("b", web(100))
	w.run(2 * time.Second)
	c := web(210)
	c.Interval = time.Second
	a.apply(c)
	w.run(3 * time.Second)
	w.want("a", ip1)
	if st := a.status("web"); st.Priority != 210 || st.Interval != time.Second || st.Transitions != 2 {
		t.Errorf("status %+v, want priority 210, interval 1s and no further transition", st)
	}
	b.apply(web(220))
	w.run(5 * time.Second)
	w.want("b", ip1)
}

func TestReloadRemovesWithAHandover(t *testing.T) {
	w := newWorld(t)
	mail := func(p uint8) Config { return gossipVIP("mail", 52, p, ip2+"/24") }
	a := w.host("a", web(200), mail(200))
	w.host("b", web(100), mail(100))
	w.run(2 * time.Second)
	a.apply(mail(200))
	w.run(5 * time.Millisecond)
	w.want("b", ip1)
	w.want("a", ip2)
	if n := len(a.s.Status()); n != 1 {
		t.Errorf("%d vips after one of two was removed", n)
	}
	a.apply(mail(200), web(200))
	w.run(2 * time.Second)
	w.want("a", ip1)
}

func TestReloadUnderAnotherNameKeepsTheAddress(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.run(2 * time.Second)
	a.link.log = nil
	c := web(200)
	c.Name = "www"
	a.apply(c)
	w.run(time.Second)
	w.want("a", ip1)
	if len(a.link.log) > 0 {
		t.Errorf("a new name moved addresses: %q", a.link.log)
	}
	a.status("www")
}

// The address goes from one VRID to another: the new one waits for the old.
func TestReloadMovesAnAddressToAnotherVIP(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.run(2 * time.Second)
	a.apply(gossipVIP("web", 77, 200, ip1+"/24"))
	w.run(2 * time.Second)
	w.want("a", ip1)
	if st := a.status("web"); st.VRID != 77 || st.State != "active" {
		t.Errorf("status %+v, want VRID 77 active", st)
	}
}

func TestApplyRefusesAndKeepsTheOld(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.run(2 * time.Second)
	if err := a.s.Apply([]Config{web(200), web(200)}); err == nil {
		t.Error("the same vip twice was accepted")
	}
	a.settle()
	w.run(time.Second)
	w.want("a", ip1)
}

func TestStopDuringAReload(t *testing.T) {
	w := newWorld(t)
	a := w.host("a", web(200))
	w.host("b", web(100))
	w.run(2 * time.Second)
	if err := a.s.Apply([]Config{gossipVIP("web", 77, 200, ip1+"/24")}); err != nil {
		t.Fatal(err)
	}
	gone := a.s.Stop()
	w.run(time.Second)
	w.want("b", ip1)
	select {
	case <-gone:
	default:
		t.Error("not stopped")
	}
}

// 255 VIPs of one host, all of them in the beats, and all taken over.
func TestAllVRIDsFitIntoTheBeats(t *testing.T) {
	w := newWorld(t)
	var hi, lo []Config
	for v := 1; v <= 255; v++ {
		ip := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(v)}), 16).String()
		hi = append(hi, gossipVIP(ip, uint8(v), 200, ip))
		lo = append(lo, gossipVIP(ip, uint8(v), 100, ip))
	}
	a := w.host("a", hi...)
	b := w.host("b", lo...)
	w.run(3 * time.Second)
	if n := len(a.link.holds); n != 255 {
		t.Fatalf("a holds %d addresses, want 255", n)
	}
	if len(a.rider.said) > maxBody {
		t.Errorf("%d bytes are said, want at most %d", len(a.rider.said), maxBody)
	}
	was := a.rider.shouts
	w.run(3 * time.Second)
	if n := a.rider.shouts - was; n > 0 {
		t.Errorf("%d shouts in steady state", n)
	}
	a.dead = true
	w.run(500 * time.Millisecond)
	if n := len(b.link.holds); n != 255 {
		t.Errorf("b holds %d addresses, want 255", n)
	}
}
