package vip

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// attempts is how often a test that counts milliseconds may try: a machine that
// stands still for a moment says nothing about us.
const attempts = 3

// A client beside the two does not notice a planned handover, in either
// direction, whatever the interval is.
func TestPlannedHandoverBesideKeepalived(t *testing.T) {
	needKeepalived(t)
	for _, interval := range []time.Duration{time.Second, 100 * time.Millisecond, 10 * time.Millisecond} {
		d := dialects()[0]
		d.ours.Interval = interval
		// With ordinary scheduling it makes false takeovers at 10ms.
		d.global = "vrrp_version 3\n vrrp_rt_priority 50\n vrrp_rlimit_rttime 1000000"
		t.Run(fmt.Sprint("ours-resigns/", interval), func(t *testing.T) { t.Parallel(); oursResigns(t, d) })
		t.Run(fmt.Sprint("theirs-resigns/", interval), func(t *testing.T) { t.Parallel(); theirsResigns(t, d) })
	}
}

// oursResigns, i-d: we keep the address until keepalived has it.
func oursResigns(t *testing.T, d dialect) {
	l := newLAN(t, "a", "b", "c")
	l.realtime = true
	ea, eb := l.events("a"), l.events("b")
	for range attempts {
		ours := l.speaker("a", d.mine(150))
		ours.becomes("active")
		l.until(ea, "we hold it", func() bool { return l.holds("a", d.ip) })
		ka := l.keepalived("b", d.config(100))
		ka.becomes(eb, "BACKUP")
		p := l.probe("c", d.ip)
		ours.stop()
		lost, hole := p.outage(l)
		t.Logf("%d probes lost, hole %v (the probe itself stood still for %v)", lost, hole, p.late)
		if l.oneHolder(d.ip, "a", "b") != "b" {
			t.Fatal("keepalived does not hold it")
		}
		if ka.kill(); lost == 0 {
			return
		}
		l.ip("b", "addr", "flush", "dev", "eth0", "to", d.ip)
	}
	t.Errorf("probes lost in each of %d handovers", attempts)
}

// theirsResigns, iii-b: keepalived drops the address at once, and we are there
// within 5 ms.
func theirsResigns(t *testing.T, d dialect) {
	l := newLAN(t, "a", "b", "c")
	l.realtime = true
	ea, eb := l.events("a"), l.events("b")
	for range attempts {
		ka := l.keepalived("b", d.config(150))
		l.until(eb, "keepalived holds it", func() bool { return l.holds("b", d.ip) })
		ours := l.speaker("a", d.mine(100))
		ours.becomes("backup")
		p := l.probe("c", d.ip)
		ka.terminate()
		lost, hole := p.outage(l)
		t.Logf("%d probes lost, hole %v (the probe itself stood still for %v)", lost, hole, p.late)
		if l.oneHolder(d.ip, "a", "b") != "a" {
			t.Fatal("we do not hold it")
		}
		ours.kill()
		if hole <= 5*time.Millisecond {
			return
		}
		l.until(ea, "it is gone", func() bool { return !l.holds("a", d.ip) || l.flush("a", d.ip) })
	}
	t.Errorf("a hole of more than 5ms in each of %d handovers", attempts)
}

func (l *lan) flush(host, ip string) bool {
	l.ip(host, "addr", "flush", "dev", "eth0", "to", ip)
	return true
}

// A sync group of keepalived, IPv4 and IPv6, beside a group of ours.
func TestGroupBesideKeepalived(t *testing.T) {
	needKeepalived(t)
	four, six := dialects()[0], dialects()[3]
	config := func(priority int) string {
		instance := func(d dialect, name string) string {
			_, text, _ := strings.Cut(d.config(priority), "vrrp_instance VI_0 {")
			return "vrrp_instance " + name + " {" + text
		}
		return "global_defs {\n router_id ka\n vrrp_version 3\n}\nvrrp_sync_group G {\n group {\n VI_4\n VI_6\n }\n}\n" +
			instance(four, "VI_4") + instance(six, "VI_6")
	}
	mine := func(priority uint8) []Config {
		v4, v6 := four.mine(priority), six.mine(priority)
		v6.Name, v4.Group, v6.Group = "web6", "G", "G"
		return []Config{v4, v6}
	}
	l := newLAN(t, "a", "b")
	ea, eb := l.events("a"), l.events("b")
	both := func(host string) func() bool {
		return func() bool { return l.holds(host, four.ip) && l.holds(host, six.ip) }
	}
	none := func(host string) func() bool {
		return func() bool { return !l.holds(host, four.ip) && !l.holds(host, six.ip) }
	}
	ours := l.speaker("a", mine(100)...)
	ours.becomes("active")
	l.until(ea, "we hold both", both("a"))
	ka := l.keepalived("b", config(150))
	l.until(eb, "keepalived holds both", both("b"))
	l.until(ea, "we let go of both", none("a"))
	ka.terminate()
	l.until(ea, "we hold both again", both("a"))
	ka = l.keepalived("b", config(50))
	ka.becomes(eb, "BACKUP")
	ours.stop()
	l.until(eb, "keepalived holds both again", both("b"))
	if !none("a")() {
		t.Error("we have stopped and hold an address")
	}
	ours = l.speaker("a", mine(100)...)
	l.until(ea, "we preempt both", both("a"))
	l.until(eb, "keepalived lets go of both", none("b"))
	for _, st := range ours.status() {
		if len(st.Rejected) > 0 || st.State != "active" {
			t.Errorf("%s is %s and has rejected %v", st.Name, st.State, st.Rejected)
		}
	}
}
