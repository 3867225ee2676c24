package vip

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// A host that does not hold an address does not have it: whoever adds it by
// hand, with whatever prefix length, and in whatever state the host is.
func TestAddressAddedByHandIsRemoved(t *testing.T) {
	l := newLAN(t, "a", "b")
	const ip, other, ip6 = "10.98.0.100", "10.98.0.101", "fd98::100"
	ours, second := wireVIP(100, ip+"/24"), wireVIP(100, ip6+"/64")
	second.Name, second.VRID = "web6", 52
	l.ip("b", "addr", "add", ip+"/31", "dev", "eth0") // left from before the start, in another form
	a := l.speaker("a", wireVIP(200, ip+"/24"))
	a.becomes("active")
	b := l.speaker("b", ours, second)
	b.becomes("backup")
	eb := l.events("b")
	gone := func(address string) func() bool { return func() bool { return !l.holds("b", address) } }
	l.until(eb, "what was left is removed", gone(ip))

	// A real server has the address on its loopback, and an address that is
	// nobody's is nobody's business.
	l.ip("b", "addr", "add", ip+"/32", "dev", "lo")
	l.ip("b", "addr", "add", other+"/24", "dev", "eth0")
	for _, form := range []string{"/24", "/32"} {
		l.ip("b", "addr", "add", ip+form, "dev", "eth0")
		l.until(eb, ip+form+" is removed", func() bool {
			return !strings.Contains(l.in("b", "ip", "-br", "addr", "show", "dev", "eth0"), ip+"/")
		})
	}
	if !l.holds("b", ip) || !l.holds("b", other) {
		t.Error("an address on loopback, or of nobody, was removed too")
	}
	l.ip("b", "addr", "del", ip+"/32", "dev", "lo")
	if st := b.status()[0]; st.State != "backup" || st.Transitions != 1 {
		t.Errorf("status %+v, want backup all the time", st)
	}
	l.oneHolder(ip, "a", "b")
	b.next("web6 active", func(an answer) bool { return an.Change != nil && an.Change.Name == "web6" && an.Change.To == "active" })
	l.until(eb, "b holds web6", func() bool { return l.holds("b", ip6) }) // while web is a backup

	// In fault, and at the end.
	b.say("fault web")
	b.becomes("fault")
	l.ip("b", "addr", "add", ip+"/24", "dev", "eth0")
	l.until(eb, "it is removed in fault", gone(ip))
	if !l.holds("b", ip6) {
		t.Error("the address of the other VIP is gone")
	}
	b.stop()
	l.oneHolder(ip, "a", "b")
	if n := strings.Count(b.log.String(), "address removed that somebody else had added"); n != 4 {
		t.Errorf("%d of 4 removals are in the log:\n%s", n, b.log)
	}
}

// A fakeWatcher is a memoryLink that sees addresses.
type fakeWatcher struct {
	watcher
	*memoryLink
}

func (f fakeWatcher) expel(device string, p netip.Prefix) (bool, error) {
	was := slices.Contains(f.holds, p)
	return was, f.Remove(Config{Addresses: []netip.Prefix{p}})
}

func TestWhatIsNeededIsNotExpelled(t *testing.T) {
	w := newWorld(t)
	h := w.host("a")
	h.s.link = fakeWatcher{memoryLink: h.link}
	h.s.post(linkState{name: "eth0", index: 2, up: true})
	see := func(text string) {
		p := netip.MustParsePrefix(text)
		if !slices.Contains(h.link.holds, p) {
			h.link.holds = append(h.link.holds, p)
		}
		h.s.post(sighting{2, p})
		h.settle()
	}
	vip := func(name string, vrid, priority uint8, addrs ...string) Config {
		c := gossipVIP(name, vrid, priority, addrs...)
		c.Interface = "eth0"
		return c
	}
	h.apply(vip("web", 1, 100, ip1+"/24"), vip("owned", 2, 255, ip2+"/24"))
	see(ip1 + "/24")
	w.want("", ip1)
	w.run(5e9)
	w.want("a", ip1)
	see(ip1 + "/24") // the mover's own work
	see(ip2 + "/24")
	w.want("a", ip1)
	w.want("a", ip2)
	h.s.SetHealth("owned", 0, "broken")
	h.settle()
	see(ip2 + "/24") // in fault, and yet its own
	w.want("a", ip2)
	// The address moves to another VIP, which is a backup for a while.
	h.apply(vip("other", 3, 100, ip1+"/24"))
	see(ip1 + "/24")
	w.run(5e9)
	w.want("a", ip1)
	if st := h.status("other"); st.State != "active" || !st.Held {
		t.Errorf("other is %+v", st)
	}
}
