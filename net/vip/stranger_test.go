package vip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.org/ha/net/vrrp"
)

// A third host whose adverts everybody must refuse disturbs nobody: neither
// two of ours, nor keepalived behind one of ours.
func TestRejectedAdvertsTouchNoTimer(t *testing.T) {
	l := newLAN(t, "a", "b", "c")
	const ip = "10.98.0.100"
	a := l.speaker("a", wireVIP(150, ip+"/24"))
	a.becomes("active")
	b := l.speaker("b", wireVIP(100, ip+"/24"))
	b.becomes("backup")
	ea := l.events("a")
	l.until(ea, "a holds it", func() bool { return l.holds("a", ip) })
	src := netip.MustParseAddr("10.98.0.3")
	ad := advert(1)
	ad.Addresses = []netip.Addr{netip.MustParseAddr(ip)}
	msg := ad.AppendTo(nil, src, vrrp.GroupIPv4(), vrrp.PseudoHeader)
	msg[6] ^= 0x55
	before, began := a.status()[0], time.Now()
	sent := l.speak("c", 50*time.Millisecond, msg)
	l.until(nil, "60 of them are sent", func() bool { return sent.Load() > 60 })
	stA, stB, took := a.status()[0], b.status()[0], time.Since(began)
	if stA.State != "active" || stB.State != "backup" || stA.Transitions != before.Transitions || stB.Transitions != 1 {
		t.Errorf("a is %s after %d changes, b %s after %d", stA.State, stA.Transitions, stB.State, stB.Transitions)
	}
	for _, st := range []Status{stA, stB} {
		if st.Rejected["wrong_checksum"] < 50 {
			t.Errorf("rejected %v, want each of 60", st.Rejected)
		}
	}
	pace := took / time.Duration(stA.Sent-before.Sent)
	if pace < 90*time.Millisecond || pace > 150*time.Millisecond {
		t.Errorf("we advertise every %v, want 100ms", pace)
	}
	if n := strings.Count(a.log.String(), "advertisement rejected"); n != 1 {
		t.Errorf("%d lines in the log for one kind of rejection within seconds", n)
	}
}

// All 255 VRIDs, at 100 ms, shared with keepalived: nobody takes over without
// need, and when the other dies all addresses come at once.
func TestAllVRIDsBesideKeepalived(t *testing.T) {
	needKeepalived(t)
	var ours []Config
	var conf strings.Builder
	d := dialects()[0]
	const global = "global_defs {\n router_id ka\n vrrp_version 3\n vrrp_rt_priority 50\n vrrp_rlimit_rttime 1000000\n}\n"
	conf.WriteString(global)
	for v := 1; v <= 255; v++ {
		ip := fmt.Sprintf("10.98.1.%d", v)
		c := d.mine(0)
		c.Name, c.VRID, c.Addresses = ip, uint8(v), prefixes(ip+"/32")
		ours = append(ours, c)
		fmt.Fprintf(&conf, "vrrp_instance VI_%d {\n state BACKUP\n interface eth0\n virtual_router_id %d\n priority 100\n advert_int 0.1\n virtual_ipaddress {\n %s/32 dev eth0\n }\n}\n", v, v, ip)
	}
	mine := func(priority uint8) []Config {
		for i := range ours {
			ours[i].Priority = priority
		}
		return ours
	}
	l := newLAN(t, "a", "b")
	l.realtime = true
	count := func(host string) int {
		return strings.Count(l.in(host, "ip", "-o", "-4", "addr", "show", "dev", "eth0"), " 10.98.1.")
	}
	heard := func(p *process, n uint64) {
		t.Helper()
		for range 3 { // the patience of until is less than the whole
			last := len(ours) - 1
			was := p.status()[last]
			l.until(nil, "adverts", func() bool {
				st := p.status()[last]
				return st.Heard+st.Sent >= was.Heard+was.Sent+n/3
			})
		}
	}
	// Ours is the one that is watched.
	a := l.speaker("a", mine(150)...)
	l.until(nil, "we hold all", func() bool { return count("a") == 255 })
	ka := l.keepalived("b", conf.String())
	l.until(nil, "keepalived is ready", func() bool { return strings.Count(ka.out.String(), "Entering BACKUP STATE") == 255 })
	heard(a, 150)
	if ka.logs("Entering MASTER STATE") {
		t.Error("keepalived took over although we were well")
	}
	a.stop()
	l.until(nil, "keepalived holds all", func() bool { return count("b") == 255 })

	// Ours is the one that watches.
	a = l.speaker("a", mine(50)...)
	a.becomes("backup")
	l.until(nil, "keepalived announces for the second time", func() bool {
		return strings.Count(ka.out.String(), "Sending/queueing gratuitous ARPs") >= 2*255
	})
	was := takeovers(a)
	heard(a, 150)
	if n := takeovers(a) - was; n > 0 {
		t.Errorf("%d changes of state although keepalived was well", n)
	}
	added := make(chan time.Time, 1)
	ea := l.events("a")
	go func() {
		for n := 0; n < 255; {
			if line, ok := <-ea; !ok {
				return
			} else if strings.Contains(line, "inet 10.98.1.") && !strings.HasPrefix(line, "Deleted") {
				n++
			}
		}
		added <- time.Now()
	}()
	l.ip("br", "link", "set", "b-eth0", "down")
	died := time.Now()
	ka.kill()
	var last time.Time
	for range 255 {
		last = a.becomes("active").Time
	}
	within(t, "ix last of 255 active", last.Sub(died), 400*time.Millisecond)
	l.until(nil, "we hold all", func() bool { return count("a") == 255 })
	within(t, "ix last of 255 held", (<-added).Sub(died), 400*time.Millisecond)
}

func takeovers(p *process) (n uint64) {
	for _, st := range p.status() {
		n += st.Transitions
	}
	return n
}
