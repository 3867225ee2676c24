package vip

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.org/ha/net/arp"
	"example.org/ha/net/ndp"
	"example.org/ha/net/vrrp"
)

// What we send, as another host on the link sees it.
func TestFormOnTheWire(t *testing.T) {
	l := newLAN(t, "a", "c")
	wire := l.capture("c", "eth0")
	v3, v2, v6 := wireVIP(150, "10.98.0.100/24"), wireVIP(150, "10.98.0.101/24"), wireVIP(150, "fe80::5e00:1/64", "fd98::100/64")
	v2.Name, v2.VRID, v2.Version, v2.Interval, v2.Password = "two", 52, 2, time.Second, "secret"
	v6.Name, v6.VRID = "six", 53
	a := l.speaker("a", v3, v2, v6)
	for active := map[string]bool{}; len(active) < 3; {
		active[a.next("active", func(an answer) bool { return an.Change != nil && an.Change.To == "active" }).Change.Name] = true
	}
	announced := func(ip string) bool { return len(wire.find(gratuitous(ip))) >= 4 }
	l.until(nil, "all are announced", func() bool {
		return announced("10.98.0.100") && announced("10.98.0.101") && len(wire.find(unsolicited("fd98::100"))) >= 2
	})
	mac := hardwareAddr(t, l, "a")
	a.stop()
	resigned := func(vrid byte) func([]byte) bool {
		return func(f []byte) bool { m, _, _ := advertOf(f); return len(m) > 2 && m[1] == vrid && m[2] == 0 }
	}
	for _, vrid := range []byte{51, 52, 53} {
		l.until(nil, "priority 0 is seen", func() bool { return len(wire.find(resigned(vrid))) > 0 })
	}

	seen := make(map[uint8]int)
	for _, f := range wire.find(func(f []byte) bool { m, _, _ := advertOf(f); return m != nil }) {
		msg, src, dst := advertOf(f)
		ad, form, err := vrrp.ParseAdvertisement(msg, src, dst)
		if err != nil {
			t.Fatalf("our advert is refused: %v\n%s", err, dump(f))
		}
		seen[ad.VRID]++
		checkFrame(t, f, mac)
		switch ad.VRID {
		case 51:
			if ad.Version != 3 || form != vrrp.PseudoHeader || src.String() != "10.98.0.1" || ad.Interval != 100*time.Millisecond || len(msg) != 12 {
				t.Errorf("from %v, form %v, %d bytes: %+v", src, form, len(msg), ad)
			}
		case 52:
			if ad.Version != 2 || src.String() != "10.98.0.1" || ad.Interval != time.Second || string(ad.Auth[:6]) != "secret" || len(msg) != 20 {
				t.Errorf("from %v, %d bytes: %+v", src, len(msg), ad)
			}
		case 53:
			if ad.Version != 3 || !src.IsLinkLocalUnicast() || ad.Addresses[0].String() != "fe80::5e00:1" || len(msg) != 40 {
				t.Errorf("from %v, %d bytes: %+v", src, len(msg), ad)
			}
		}
	}
	if seen[51] < 2 || seen[52] < 2 || seen[53] < 2 {
		t.Errorf("adverts by VRID: %v, want some of each", seen)
	}
	checkARP(t, wire, "10.98.0.100", mac)
	checkNA(t, wire, "fd98::100", mac)
}

func hardwareAddr(t *testing.T, l *lan, host string) net.HardwareAddr {
	t.Helper()
	mac, err := net.ParseMAC(strings.TrimSpace(l.in(host, "cat", "/sys/class/net/eth0/address")))
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// advertOf is the VRRP message of a frame and its addresses; nil if it is not one.
func advertOf(f []byte) (msg []byte, src, dst netip.Addr) {
	switch {
	case len(f) >= 34 && binary.BigEndian.Uint16(f[12:]) == 0x0800 && f[23] == 112:
		ip := f[14:]
		return ip[int(ip[0]&15)*4 : binary.BigEndian.Uint16(ip[2:])], netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	case len(f) >= 54 && binary.BigEndian.Uint16(f[12:]) == 0x86dd && f[20] == 112:
		ip := f[14:]
		return ip[40 : 40+binary.BigEndian.Uint16(ip[4:])], netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	}
	return nil, src, dst
}

// checkFrame checks what is around an advert.
func checkFrame(t *testing.T, f []byte, mac net.HardwareAddr) {
	t.Helper()
	group, tos, ttl := net.HardwareAddr{1, 0, 0x5e, 0, 0, 0x12}, f[15], f[22]
	if f[12] == 0x86 {
		group, tos, ttl = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 0x12}, f[14]<<4|f[15]>>4, f[21]
	} else if sum := onesSum(f[14:34]); sum != 0xffff {
		t.Errorf("the sum of the IP header is %#x", sum)
	}
	if !bytes.Equal(f[:6], group) || !bytes.Equal(f[6:12], mac) || tos != 0xc0 || ttl != 255 {
		t.Errorf("advert to %v from %v, TOS %#x, TTL %d; want %v, %v, 0xc0, 255", net.HardwareAddr(f[:6]), net.HardwareAddr(f[6:12]), tos, ttl, group, mac)
	}
}

func gratuitous(ip string) func(f []byte) bool {
	addr := netip.MustParseAddr(ip)
	return func(f []byte) bool {
		if len(f) < 42 || binary.BigEndian.Uint16(f[12:]) != 0x0806 {
			return false
		}
		p, err := arp.Parse(f[14:])
		return err == nil && p.Sender == addr && p.Target == addr
	}
}

// checkARP wants requests and replies in equal number: some stacks believe only
// one of them.
func checkARP(t *testing.T, wire *capture, ip string, mac net.HardwareAddr) {
	t.Helper()
	count := make(map[uint16]int)
	for _, f := range wire.find(gratuitous(ip)) {
		p, _ := arp.Parse(f[14:])
		count[p.Op]++
		if !bytes.Equal(f[:6], []byte{255, 255, 255, 255, 255, 255}) || !bytes.Equal(f[6:12], mac) || !bytes.Equal(p.SenderMAC[:], mac) {
			t.Errorf("gratuitous ARP is not from %v to all:\n%s", mac, dump(f))
		}
	}
	if count[arp.Request] < 2 || count[arp.Request] != count[arp.Reply] {
		t.Errorf("gratuitous ARP by operation: %v, want as many requests as replies", count)
	}
}

func unsolicited(ip string) func(f []byte) bool {
	addr := netip.MustParseAddr(ip)
	return func(f []byte) bool {
		if len(f) < 78 || binary.BigEndian.Uint16(f[12:]) != 0x86dd || f[20] != 58 || f[54] != 136 {
			return false
		}
		return netip.AddrFrom16([16]byte(f[62:78])) == addr
	}
}

func checkNA(t *testing.T, wire *capture, ip string, mac net.HardwareAddr) {
	t.Helper()
	for _, f := range wire.find(unsolicited(ip)) {
		src, dst := netip.AddrFrom16([16]byte(f[22:38])), netip.AddrFrom16([16]byte(f[38:54]))
		a, err := ndp.Parse(f[54:], src, dst)
		if err != nil || !a.Override || a.Solicited || dst.String() != "ff02::1" || f[21] != 255 || !bytes.Equal(f[6:12], mac) {
			t.Errorf("neighbour advertisement to %v, hop limit %d: %+v, %v", dst, f[21], a, err)
		}
	}
}
