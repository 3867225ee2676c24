package vip

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/ha/net/vrrp"
)

var (
	ourAddr   = netip.MustParseAddr("10.0.0.1")
	theirAddr = netip.MustParseAddr("10.0.0.2")
)

// wired is a host with one VIP on the carrier "vrrp", whose port has no socket.
func wired(t *testing.T, w *world, change func(*Config)) (*host, *port) {
	t.Helper()
	c := wireVIP(100, ip1+"/24")
	change(&c)
	h := w.host("a", c)
	p := &port{name: "eth0", index: 1, local: ourAddr, fd: -1}
	if c.v6() {
		p.v6, p.local = true, netip.MustParseAddr("fe80::1")
	}
	p.prepare()
	h.s.post(attach{p})
	h.settle()
	return h, p
}

func advert(priority uint8) vrrp.Advertisement {
	return vrrp.Advertisement{
		Version: 3, VRID: 51, Priority: priority, Interval: 100 * time.Millisecond,
		Addresses: []netip.Addr{netip.MustParseAddr(ip1)},
	}
}

// A packet is what a receiver is given, and how.
type packet struct {
	ad       vrrp.Advertisement
	src, dst netip.Addr
	ttl      int
	form     vrrp.Checksum
	mangle   func([]byte) []byte
}

// What a receiver must accept and refuse: an Active of priority 100 hears one of
// priority 200.
func TestReceptionOfAdvertisements(t *testing.T) {
	version2 := func(p *packet) { p.ad.Version, p.ad.Interval = 2, time.Second }
	configure2 := func(c *Config) { c.Version, c.Interval = 2, time.Second }
	ipv6 := func(p *packet) {
		p.ad.IPv6, p.ad.Addresses = true, []netip.Addr{netip.MustParseAddr("fe80::5e00:1"), netip.MustParseAddr("fd00::100")}
		p.src, p.dst = netip.MustParseAddr("fe80::2"), vrrp.GroupIPv6()
	}
	configure6 := func(c *Config) { c.Addresses = prefixes("fe80::5e00:1/64", "fd00::100/64") }
	// A sum that is right again after a field was changed, without a pseudo header.
	resum := func(b []byte) []byte {
		b[6], b[7] = 0, 0
		binary.BigEndian.PutUint16(b[6:], ^onesSum(b))
		return b
	}
	tests := []struct {
		name   string
		reason string // empty: heard, and we yield
		with   func(*packet)
		cfg    func(*Config)
	}{
		{name: "keepalived's checksum"},
		{name: "RFC 9568's checksum", with: func(p *packet) { p.form = vrrp.MessageOnly }},
		{name: "wrong checksum", reason: "wrong_checksum", with: func(p *packet) {
			p.mangle = func(b []byte) []byte { b[6] ^= 1; return b }
		}},
		{name: "TTL 254", reason: "wrong_ttl", with: func(p *packet) { p.ttl = 254 }},
		{name: "other addresses", with: func(p *packet) { p.ad.Addresses = []netip.Addr{netip.MustParseAddr(ip2)} }},
		{name: "no addresses", with: func(p *packet) { p.ad.Addresses = nil }},
		{name: "count too large", reason: "too_few_addresses", with: func(p *packet) {
			p.mangle = func(b []byte) []byte { b[3] = 9; return b }
		}},
		{name: "version 2", reason: "other_version", with: func(p *packet) { p.ad.Version = 2; p.ad.Interval = time.Second }},
		{name: "type 2", reason: "unknown_type", with: func(p *packet) {
			p.mangle = func(b []byte) []byte { b[0] = 0x32; return b }
		}},
		{name: "padding", with: func(p *packet) {
			p.mangle = func(b []byte) []byte { return append(b, 0, 0, 0, 0, 0, 0) }
		}},
		{name: "other interval", with: func(p *packet) { p.ad.Interval = time.Second }},
		{name: "truncated", reason: "too_short", with: func(p *packet) {
			p.mangle = func(b []byte) []byte { return b[:5] }
		}},
		{name: "our own", reason: "own_packet", with: func(p *packet) { p.src = ourAddr }},
		{name: "unicast to a multicast router", reason: "wrong_destination", with: func(p *packet) { p.dst = ourAddr }},
		{name: "multicast to a unicast router", reason: "wrong_destination", cfg: func(c *Config) { c.Peers = []netip.Addr{theirAddr} }},
		{
			name: "unicast of a stranger", reason: "unknown_sender", with: func(p *packet) { p.dst = ourAddr },
			cfg: func(c *Config) { c.Peers = []netip.Addr{netip.MustParseAddr("10.0.0.3")} },
		},
		{name: "one address more", with: func(p *packet) {
			p.ad.Addresses = append(p.ad.Addresses, netip.MustParseAddr(ip2))
		}},
		{name: "interval 0", reason: "zero_interval", with: func(p *packet) {
			p.mangle = func(b []byte) []byte { b[4], b[5] = 0, 0; return resum(b) }
		}},
		{name: "v2", with: version2, cfg: configure2},
		{name: "v2 summed with a pseudo header", reason: "wrong_checksum", cfg: configure2, with: func(p *packet) {
			version2(p)
			p.mangle = func(b []byte) []byte {
				b[6], b[7] = 0, 0
				src, dst := p.src.As4(), p.dst.As4()
				pseudo := slices.Concat(src[:], dst[:], []byte{0, vrrp.Protocol, 0, byte(len(b))}, b)
				binary.BigEndian.PutUint16(b[6:], ^onesSum(pseudo))
				return b
			}
		}},
		{name: "v2 of another interval", reason: "other_interval", cfg: configure2, with: func(p *packet) {
			version2(p)
			p.ad.Interval = 2 * time.Second
		}},
		{name: "v2 without the password", reason: "other_auth_type", with: version2, cfg: func(c *Config) {
			configure2(c)
			c.Password = "secret"
		}},
		{name: "v2 of another password", reason: "wrong_password", with: func(p *packet) {
			version2(p)
			p.ad.AuthType, p.ad.Auth = vrrp.AuthPassword, [8]byte{'o', 't', 'h', 'e', 'r'}
		}, cfg: func(c *Config) {
			configure2(c)
			c.Password = "secret"
		}},
		{name: "v3 to a v2 router", reason: "other_version", cfg: configure2},
		{name: "IPv6", with: ipv6, cfg: configure6},
		{name: "IPv6, addresses in another order", cfg: configure6, with: func(p *packet) {
			ipv6(p)
			slices.Reverse(p.ad.Addresses)
		}},
		{name: "IPv6, global source", cfg: configure6, with: func(p *packet) {
			ipv6(p)
			p.src = netip.MustParseAddr("fd00::2")
		}},
		{name: "IPv6, hop limit 64", reason: "wrong_ttl", cfg: configure6, with: func(p *packet) {
			ipv6(p)
			p.ttl = 64
		}},
		{name: "IPv6, wrong checksum", reason: "wrong_checksum", cfg: configure6, with: func(p *packet) {
			ipv6(p)
			p.mangle = func(b []byte) []byte { b[7] ^= 1; return b }
		}},
		{
			name: "unicast of a peer, any TTL", with: func(p *packet) { p.dst, p.ttl = ourAddr, 64 },
			cfg: func(c *Config) { c.Peers = []netip.Addr{theirAddr} },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			h, port := wired(t, w, func(c *Config) {
				if tt.cfg != nil {
					tt.cfg(c)
				}
			})
			w.run(5 * time.Second)
			if st := h.status("web"); !st.Held {
				t.Fatalf("status %+v, want it held", st)
			}
			p := packet{ad: advert(200), src: theirAddr, dst: vrrp.GroupIPv4(), ttl: 255}
			if tt.with != nil {
				tt.with(&p)
			}
			msg := p.ad.AppendTo(nil, p.src, p.dst, p.form)
			if p.mangle != nil {
				msg = p.mangle(msg)
			}
			before := h.s.legs[0].inst.router.Deadline()
			h.s.hearWire(port, h.s.legs[0], msg, p.src, p.dst, p.ttl)
			h.settle()
			st := h.status("web")
			switch {
			case tt.reason == "" && (st.State != "backup" || len(st.Rejected) > 0):
				t.Errorf("state %s, rejected %v; want backup and none", st.State, st.Rejected)
			case tt.reason != "" && (st.State != "active" || st.Rejected[tt.reason] != 1 || st.Heard != 0):
				t.Errorf("state %s, heard %d, rejected %v; want active and one %s", st.State, st.Heard, st.Rejected, tt.reason)
			case tt.reason != "" && h.s.legs[0].inst.router.Deadline() != before:
				t.Error("a rejected packet has touched a timer")
			}
		})
	}
}

func TestChecksumFollowsThePeer(t *testing.T) {
	w := newWorld(t)
	h, port := wired(t, w, func(*Config) {})
	l := h.s.legs[0]
	for _, form := range []vrrp.Checksum{vrrp.MessageOnly, vrrp.PseudoHeader} {
		h.s.hearWire(port, l, advert(200).AppendTo(nil, theirAddr, vrrp.GroupIPv4(), form), theirAddr, vrrp.GroupIPv4(), 255)
		if l.form != form {
			t.Errorf("we send form %v after %v was heard", l.form, form)
		}
	}
	h2, port2 := wired(t, newWorld(t), func(c *Config) { c.Checksum = "keepalived" })
	l = h2.s.legs[0]
	h2.s.hearWire(port2, l, advert(200).AppendTo(nil, theirAddr, vrrp.GroupIPv4(), vrrp.MessageOnly), theirAddr, vrrp.GroupIPv4(), 255)
	if l.form != vrrp.PseudoHeader {
		t.Error("a configured form was given up")
	}
}

// Two ports on loopback, one of which speaks to the other: the path of system
// calls, there and back.
func TestWirePathDoesNotAllocate(t *testing.T) {
	needNamespaces(t)
	lo1, lo2 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	p := openPort("lo", 1, false, lo1)
	if p.err != nil {
		t.Fatal(p.err)
	}
	defer p.close()
	w := newWorld(t)
	c := wireVIP(100, ip1+"/24")
	c.Interface, c.Peers = "lo", []netip.Addr{lo1, lo2}
	h := w.host("a", c)
	h.s.post(attach{p})
	h.settle()
	w.run(20 * time.Second) // the train of announcements has passed
	l := h.s.legs[0]
	q := openPort("lo", 1, false, lo2)
	if q.err != nil {
		t.Fatal(q.err)
	}
	defer q.close()
	const rounds = 100
	ad := advert(50)
	before, sent := l.counters.heard.Load(), l.sent.Load()
	waiting := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	n := testing.AllocsPerRun(rounds, func() {
		q.out.buf = ad.AppendTo(q.out.buf[:0], lo2, lo1, vrrp.PseudoHeader)
		if errno := q.send(lo1); errno != 0 {
			t.Fatal(errno)
		}
		unix.Poll(waiting, 1000)
		w.now = w.now.Add(100 * time.Millisecond)
		h.s.drain(p)
		h.s.now = w.now
		h.s.expire()
	})
	if heard := l.counters.heard.Load() - before; heard < rounds || l.sent.Load()-sent < rounds {
		t.Fatalf("heard %d and sent %d in %d rounds", heard, l.sent.Load()-sent, rounds)
	}
	if n != 0 {
		t.Errorf("%v allocations per advert", n)
	}
}
