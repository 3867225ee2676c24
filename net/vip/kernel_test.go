package vip

import (
	"testing"
)

func TestAddressMovesBetweenHosts(t *testing.T) {
	for name, ip := range map[string]string{"IPv4": "10.98.0.100", "IPv6": "fd98::100"} {
		t.Run(name, func(t *testing.T) {
			cidr := ip + "/24"
			if name == "IPv6" {
				cidr = ip + "/64"
			}
			l := newLAN(t, "a", "b")
			a := l.speaker("a", wireVIP(200, cidr))
			a.becomes("active")
			ea, eb := l.events("a"), l.events("b")
			l.until(ea, "a holds it", func() bool { return l.holds("a", ip) })
			b := l.speaker("b", wireVIP(100, cidr))
			b.becomes("backup")

			a.stop()
			b.becomes("active")
			l.until(eb, "b holds it", func() bool { return l.holds("b", ip) })
			if l.holds("a", ip) {
				t.Error("a has stopped and still holds the address")
			}

			a = l.speaker("a", wireVIP(200, cidr))
			a.becomes("active") // preempts
			b.becomes("backup")
			l.until(eb, "b lets go", func() bool { return !l.holds("b", ip) })
			l.until(ea, "a holds it", func() bool { return l.holds("a", ip) })

			a.kill()
			b.becomes("active")
			l.until(eb, "b holds it", func() bool { return l.holds("b", ip) })
			if !l.holds("a", ip) {
				t.Fatal("a killed process cannot clean up; this test expects a left-over")
			}
			a = l.speaker("a", wireVIP(50, cidr))
			a.becomes("backup")
			if l.holds("a", ip) {
				t.Error("the left-over address is still there after the start")
			}
			l.oneHolder(ip, "a", "b")
			a.stop()
			b.stop()
			if l.holds("b", ip) {
				t.Error("b has stopped and still holds the address")
			}
		})
	}
}
