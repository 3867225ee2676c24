package vip

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
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

func TestAddressDeletedByHandReturns(t *testing.T) {
	for _, cidr := range []string{"10.98.0.100/24", "fd98::100/64"} {
		l := newLAN(t, "a")
		ip := netip.MustParsePrefix(cidr).Addr().String()
		a := l.speaker("a", wireVIP(200, cidr))
		a.becomes("active")
		ea := l.events("a")
		l.until(ea, "it is held", func() bool { return l.holds("a", ip) })
		arps := l.lines(exec.Command("ip", "netns", "exec", l.prefix+"a", "tcpdump", "-lni", "eth0", "arp or icmp6"))
		l.ip("a", "addr", "del", cidr, "dev", "eth0")
		l.until(ea, "it is held again", func() bool { return l.holds("a", ip) })
		l.until(nil, "it is announced again", func() bool {
			for {
				select {
				case line := <-arps:
					if strings.Contains(line, ip) {
						return true
					}
				default:
					return false
				}
			}
		})
		if st := a.status()[0]; st.State != "active" || st.Transitions != 2 {
			t.Errorf("%s: status %+v, want active all the time", cidr, st)
		}
		a.stop()
		if !strings.Contains(a.log.String(), "removed by somebody else") {
			t.Errorf("%s: the log does not tell of the deletion:\n%s", cidr, a.log)
		}
	}
}

func TestLinkDownIsAFault(t *testing.T) {
	l := newLAN(t, "a", "b")
	const ip = "10.98.0.100"
	a := l.speaker("a", wireVIP(200, ip+"/24"))
	a.becomes("active")
	b := l.speaker("b", wireVIP(100, ip+"/24"))
	b.becomes("backup")
	ea, eb := l.events("a"), l.events("b")
	l.ip("br", "link", "set", "a-eth0", "down")
	if c := a.becomes("fault"); !strings.Contains(c.Reason, "eth0 is down") {
		t.Errorf("reason %q does not name the interface", c.Reason)
	}
	b.becomes("active")
	l.until(ea, "a lets go", func() bool { return !l.holds("a", ip) })
	l.until(eb, "b holds it", func() bool { return l.holds("b", ip) })
	l.ip("br", "link", "set", "a-eth0", "up")
	a.becomes("active")
	l.until(eb, "b lets go", func() bool { return !l.holds("b", ip) })
	l.oneHolder(ip, "a", "b")
}

func TestInterfaceDeletedAndMadeAgain(t *testing.T) {
	l := newLAN(t, "a", "b")
	const ip = "10.98.0.100"
	a := l.speaker("a", wireVIP(200, ip+"/24"))
	a.becomes("active")
	b := l.speaker("b", wireVIP(100, ip+"/24"))
	b.becomes("backup")
	ea, eb := l.events("a"), l.events("b")
	l.ip("a", "link", "del", "eth0")
	a.becomes("fault")
	b.becomes("active")
	l.cable("a", "eth0", 1)
	a.becomes("active") // heard and hears through sockets of the new interface
	b.becomes("backup")
	l.until(eb, "b lets go", func() bool { return !l.holds("b", ip) })
	l.until(ea, "a holds it", func() bool { return l.holds("a", ip) })
	l.oneHolder(ip, "a", "b")
}

func TestInterfaceIsFoundByTheSubnet(t *testing.T) {
	l := newLAN(t, "a")
	c := wireVIP(200, "10.98.0.100/24")
	c.Interface = ""
	a := l.speaker("a", c)
	a.becomes("active")
	if st := a.status()[0]; st.Interface != "eth0" {
		t.Errorf("interface %q, want eth0", st.Interface)
	}
}

func TestTrackedInterface(t *testing.T) {
	l := newLAN(t, "a", "b")
	l.cable("a", "eth1", 11)
	const ip = "10.98.0.100"
	c := wireVIP(200, ip+"/24")
	c.Track = []Track{{Interface: "eth1", Weight: -150}}
	a := l.speaker("a", c)
	a.becomes("active")
	b := l.speaker("b", wireVIP(100, ip+"/24"))
	b.becomes("backup")
	l.ip("br", "link", "set", "a-eth1", "down")
	b.becomes("active")
	a.becomes("backup")
	if st := a.status()[0]; st.Priority != 50 {
		t.Errorf("status %+v, want priority 50", st)
	}
	l.ip("br", "link", "set", "a-eth1", "up")
	a.becomes("active")
	c.Track[0].Weight = 0
	a.apply(c)
	l.ip("br", "link", "set", "a-eth1", "down")
	a.becomes("fault")
	b.becomes("active")
}

func TestIPv6HasNoDuplicateDetection(t *testing.T) {
	l := newLAN(t, "a")
	l.in("a", "sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1", "net.ipv6.conf.eth0.dad_transmits=5")
	ea := l.events("a")
	a := l.speaker("a", wireVIP(200, "fd98::100/64", "fd98::101/128"))
	a.becomes("active")
	l.until(ea, "it is held", func() bool { return l.holds("a", "fd98::101") })
	out := l.in("a", "ip", "addr", "show", "dev", "eth0")
	if strings.Contains(out, "tentative") {
		t.Errorf("an address is tentative:\n%s", out)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "fd98::101/128") && !strings.Contains(line, "deprecated") {
			t.Errorf("a /128 could become a source: %s", line)
		}
	}
}

func TestVirtualMAC(t *testing.T) {
	l := newLAN(t, "a", "b")
	const ip = "10.98.0.100"
	c := wireVIP(200, ip+"/24")
	c.VirtualMAC = true
	ea, eb := l.events("a"), l.events("b")
	a := l.speaker("a", c)
	a.becomes("active")
	l.until(ea, "a holds it", func() bool { return l.holds("a", ip) })
	if out := l.in("a", "ip", "-d", "link", "show", "ha.51"); !strings.Contains(out, "00:00:5e:00:01:33") || !strings.Contains(out, "mode private") {
		t.Errorf("the device is not a private macvlan with the virtual MAC:\n%s", out)
	}
	l.in("b", "ping", "-c1", "-W2", ip)
	if out := l.in("b", "ip", "neigh", "show", ip); !strings.Contains(out, "00:00:5e:00:01:33") {
		t.Errorf("the neighbour learnt another MAC: %s", out)
	}
	c.Priority = 100
	b := l.speaker("b", c)
	b.becomes("backup")
	a.kill()
	b.becomes("active")
	l.until(eb, "b holds it", func() bool { return l.holds("b", ip) })
	a = l.speaker("a", c)
	a.becomes("backup")
	if out := l.in("a", "ip", "link"); strings.Contains(out, "ha.51") {
		t.Errorf("the left-over device is still there:\n%s", out)
	}
}

func TestRoutesComeAndGo(t *testing.T) {
	l := newLAN(t, "a")
	c := wireVIP(200, "10.98.0.100/24")
	c.Routes = []Route{
		{Destination: netip.MustParsePrefix("192.0.2.0/24"), Via: netip.MustParseAddr("10.98.0.9"), Source: netip.MustParseAddr("10.98.0.100")},
		{Destination: netip.MustParsePrefix("198.51.100.0/24"), Table: 100, Metric: 7},
	}
	routes := l.lines(exec.Command("ip", "netns", "exec", l.prefix+"a", "ip", "monitor", "route"))
	a := l.speaker("a", c)
	a.becomes("active")
	all := func() string { return l.in("a", "ip", "route", "show", "table", "all") }
	l.until(routes, "both routes", func() bool {
		return strings.Contains(all(), "192.0.2.0/24 via 10.98.0.9 dev eth0 src 10.98.0.100") &&
			strings.Contains(all(), "198.51.100.0/24 dev eth0 table 100 scope link metric 7")
	})
	a.stop()
	if out := all(); strings.Contains(out, "192.0.2.0") || strings.Contains(out, "198.51.100.0") {
		t.Errorf("routes are left:\n%s", out)
	}
}

// Two VIPs of one subnet, which is nobody else's: the kernel would take the
// second away with the first.
func TestRemovalOfOneKeepsTheOthersOfItsSubnet(t *testing.T) {
	l := newLAN(t, "a")
	one, two := wireVIP(200, "10.55.0.1/24"), wireVIP(200, "10.55.0.2/24")
	two.Name, two.VRID = "mail", 52
	a := l.speaker("a", one, two)
	ea := l.events("a")
	l.until(ea, "both are held", func() bool { return l.holds("a", "10.55.0.1") && l.holds("a", "10.55.0.2") })
	a.apply(two)
	l.until(ea, "the first is gone", func() bool { return !l.holds("a", "10.55.0.1") })
	if !l.holds("a", "10.55.0.2") {
		t.Error("the second address went with the first")
	}
	a.stop()
	if strings.Contains(a.log.String(), "somebody else") {
		t.Errorf("it had to be added again:\n%s", a.log)
	}
}

// The last of 255 addresses is there soon after the first.
func TestTakeoverOfAllVRIDs(t *testing.T) {
	l := newLAN(t, "a", "b")
	set := func(priority uint8) (all []Config) {
		for v := 1; v <= 255; v++ {
			c := wireVIP(priority, fmt.Sprintf("10.98.1.%d/32", v))
			c.Name, c.VRID = fmt.Sprint("vip", v), uint8(v)
			all = append(all, c)
		}
		return all
	}
	count := func(host string) int {
		return strings.Count(l.in(host, "ip", "-4", "-o", "addr", "show", "dev", "eth0"), "10.98.1.")
	}
	a := l.speaker("a", set(200)...)
	ea := l.events("a")
	l.until(ea, "a holds all", func() bool { return count("a") == 255 })
	b := l.speaker("b", set(100)...)
	for range 255 {
		b.becomes("backup")
	}
	lines := l.lines(exec.Command("ip", "netns", "exec", l.prefix+"b", "ip", "-ts", "monitor", "address"))
	l.ip("br", "link", "set", "a-eth0", "down")
	crash := time.Now()
	a.kill()
	var at time.Duration
	limit := time.After(patience)
	for n := 0; n < 255; {
		select {
		case line := <-lines:
			if strings.Contains(line, "10.98.1.") && !strings.Contains(line, "Deleted") {
				n++
				at = time.Since(crash)
			}
		case <-limit:
			t.Fatalf("%d of 255 addresses after %v\n%s", n, patience, b.log)
		}
	}
	t.Logf("the last of 255 addresses is there %v after the crash (activeDown 361ms)", at.Round(time.Millisecond))
	if at > 2*time.Second {
		t.Errorf("the last of 255 addresses took %v", at)
	}
}

// With real heartbeats below: the planned handover has no hole, since the new
// holder announces before the old one lets go, and a crash is noticed.
func TestGossipMovesAnAddress(t *testing.T) {
	l := newLAN(t, "h1", "h2")
	const ip = "10.98.0.100"
	vip := func(priority uint8) Config {
		return Config{Name: "web", VRID: 51, Addresses: prefixes(ip+"/24", "fd98::100/64"), Interface: "eth0",
			Priority: priority, Interval: 20 * time.Millisecond}
	}
	e1, e2 := l.events("h1"), l.events("h2")
	one := l.speaker("h1", vip(200))
	one.becomes("active")
	two := l.speaker("h2", vip(100))
	two.becomes("backup")
	l.until(e1, "h1 holds it", func() bool { return l.holds("h1", ip) && l.holds("h1", "fd98::100") })
	l.until(nil, "h2 knows that h1 is active", func() bool { return two.status()[0].Active == "h1" })
	l.until(nil, "h1 has gone to backup", func() bool {
		one.say("resign web")
		return one.status()[0].State == "backup"
	})
	resigned := one.status()[0].Since
	took := two.becomes("active").Time
	t.Logf("h2 was active %v before h1 had let go", resigned.Sub(took))
	if took.After(resigned) {
		t.Errorf("h1 let go %v before h2 was active", took.Sub(resigned))
	}
	l.until(e2, "h2 holds it", func() bool { return l.holds("h2", ip) && l.holds("h2", "fd98::100") })
	l.until(e1, "h1 lets go", func() bool { return !l.holds("h1", ip) && !l.holds("h1", "fd98::100") })
	if st := one.status()[0]; st.Active != "h2" || st.ActiveAddr != netip.MustParseAddr("10.98.0.2") {
		t.Errorf("h1 says that %q at %v is active, want h2 at 10.98.0.2", st.Active, st.ActiveAddr)
	}
	l.ip("br", "link", "set", "h2-eth0", "down")
	died := time.Now()
	two.kill()
	t.Logf("h1 was active %v after h2 died (activeDown 64ms)", one.becomes("active").Time.Sub(died))
	one.stop()
	if l.holds("h1", ip) {
		t.Error("h1 has stopped and still holds the address")
	}
}
