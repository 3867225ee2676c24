package vrrp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

type captured struct {
	name     string
	src, dst netip.Addr
	message  []byte
}

func captures(t testing.TB) (all []captured) {
	text, err := os.ReadFile("testdata/keepalived.golden")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		b, err := hex.DecodeString(f[3])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, captured{f[0], addr(f[1]), addr(f[2]), b})
	}
	return all
}

// What keepalived sent is read as it was configured, and written again byte for
// byte.
func TestKeepalivedPackets(t *testing.T) {
	two := []netip.Addr{addr("10.99.0.100"), addr("10.99.0.101")}
	secret := [8]byte{'s', 'e', 'c', 'r', 'e', 't'}
	base := Advertisement{Version: 3, VRID: 51, Priority: 150, Interval: 100 * time.Millisecond, Addresses: two}
	v2, v2pass, v3ip6, v3uni := base, base, base, base
	v2.Version, v2.Interval = 2, time.Second
	v2pass = v2
	v2pass.Addresses, v2pass.AuthType, v2pass.Auth = two[:1], AuthPassword, secret
	v3ip6.IPv6, v3ip6.Addresses = true, []netip.Addr{addr("fe80::5e00:1"), addr("fd99::100")}
	v3uni.Addresses = two[:1]
	want := map[string]Advertisement{"v2": v2, "v2pass": v2pass, "v3": base, "v3ip6": v3ip6, "v3uni": v3uni}
	seen := 0
	for _, c := range captures(t) {
		kind, resign := strings.CutSuffix(c.name, "_resign")
		w := want[kind]
		if resign {
			w.Priority = Resigned
		}
		a, form, err := ParseAdvertisement(c.message, c.src, c.dst)
		if err != nil || !reflect.DeepEqual(a, w) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.name, a, err, w)
			continue
		}
		if (form == MessageOnly) != (a.Version == 2) {
			t.Errorf("%s: checksum form %v", c.name, form)
		}
		if b := a.AppendTo(nil, c.src, c.dst, form); !bytes.Equal(b, c.message) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, b, c.message)
		}
		seen++
	}
	if seen != 2*len(want) {
		t.Errorf("%d packets, want %d", seen, 2*len(want))
	}
}

// v3 over IPv4 may be summed with a pseudo-header or without. Which it was is
// told, so that the answer can be alike. v2 and IPv6 know one form.
func TestChecksumForms(t *testing.T) {
	src, dst := addr("10.99.0.1"), GroupIPv4()
	a := Advertisement{Version: 3, VRID: 1, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{addr("10.99.0.100")}}
	for _, form := range []Checksum{PseudoHeader, MessageOnly} {
		b := a.AppendTo(nil, src, dst, form)
		if _, got, err := ParseAdvertisement(b, src, dst); err != nil || got != form {
			t.Errorf("%v is read as %v, %v", form, got, err)
		}
	}
	v6 := a
	v6.Addresses = []netip.Addr{addr("fe80::1")}
	b := v6.AppendTo(nil, addr("fe80::9"), GroupIPv6(), MessageOnly)
	if _, form, err := ParseAdvertisement(b, addr("fe80::9"), GroupIPv6()); err != nil || form != PseudoHeader {
		t.Errorf("IPv6: %v, %v", form, err)
	}
	// The same message without a pseudo-header is wrong over IPv6.
	b[6], b[7] = 0, 0
	sum := ^checksum(b, netip.Addr{}, netip.Addr{}, false)
	b[6], b[7] = byte(sum>>8), byte(sum)
	if _, _, err := ParseAdvertisement(b, addr("fe80::9"), GroupIPv6()); err != WrongChecksum {
		t.Errorf("IPv6 without pseudo-header: %v", err)
	}
}

func TestIntervalOnTheWire(t *testing.T) {
	for _, c := range []struct {
		version    uint8
		says, read time.Duration
	}{
		{3, 3 * time.Millisecond, 10 * time.Millisecond}, {3, 14 * time.Millisecond, 10 * time.Millisecond},
		{3, 16 * time.Millisecond, 20 * time.Millisecond}, {3, time.Hour, 40950 * time.Millisecond},
		{2, 3 * time.Millisecond, time.Second}, {2, 2600 * time.Millisecond, 3 * time.Second}, {2, time.Hour, 255 * time.Second},
	} {
		b := Advertisement{Version: c.version, VRID: 1, Interval: c.says}.AppendTo(nil, addr("10.0.0.1"), GroupIPv4(), PseudoHeader)
		if a, _, err := ParseAdvertisement(b, addr("10.0.0.1"), GroupIPv4()); err != nil || a.Interval != c.read {
			t.Errorf("v%d %v: read %v, %v, want %v", c.version, c.says, a.Interval, err, c.read)
		}
	}
}

// mend makes the checksum of a changed message right, so that the reason below
// is what is found.
func mend(b []byte, src, dst netip.Addr) []byte {
	b[6], b[7] = 0, 0
	sum := ^checksum(b, src, dst, b[0]>>4 == 3)
	b[6], b[7] = byte(sum>>8), byte(sum)
	return b
}

func TestRefusedPackets(t *testing.T) {
	src, dst := addr("10.99.0.2"), GroupIPv4()
	good := func(version uint8) []byte {
		return Advertisement{Version: version, VRID: 51, Priority: 100, Interval: time.Second,
			Addresses: []netip.Addr{addr("10.99.0.100")}}.AppendTo(nil, src, dst, PseudoHeader)
	}
	change := func(version uint8, at int, to byte) []byte {
		b := good(version)
		b[at] = to
		return mend(b, src, dst)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, TooShort}, {"7 bytes", good(3)[:7], TooShort},
		{"version 1", change(3, 0, 0x11), UnknownVersion}, {"version 4", change(3, 0, 0x41), UnknownVersion},
		{"type 2", change(3, 0, 0x32), UnknownType}, {"type 0", change(2, 0, 0x20), UnknownType},
		{"count too large", change(3, 3, 2), TooFewAddresses}, {"count 255", change(3, 3, 255), TooFewAddresses},
		{"address cut", good(3)[:11], TooFewAddresses}, {"v2 without authentication data", good(2)[:12], TooFewAddresses},
		{"VRID 0", change(3, 1, 0), NoVRID}, {"AH", change(2, 4, 2), UnknownAuthType},
		{"v3 interval 0", mend(append(append(good(3)[:4:4], 0xf0, 0), good(3)[6:]...), src, dst), ZeroInterval},
		{"v2 interval 0", change(2, 5, 0), ZeroInterval},
		{"checksum", append(good(3)[:6:6], append([]byte{1, 2}, good(3)[8:]...)...), WrongChecksum},
		{"v2 checksum", append(good(2)[:6:6], append([]byte{1, 2}, good(2)[8:]...)...), WrongChecksum},
		{"v3", good(3), nil}, {"v2", good(2), nil},
		{"reserved bits", change(3, 4, 0xf0), nil},
		{"padding", append(good(3), 1, 2, 3, 4, 5, 6), nil}, {"v2 padding", append(good(2), 1, 2, 3, 4, 5, 6), nil},
		{"no address", change(3, 3, 0)[:8:8], WrongChecksum},
		{"no address, right sum", mend(append(good(3)[:3:3], 0, 0, 100, 0, 0), src, dst), nil},
	} {
		if _, _, err := ParseAdvertisement(c.b, src, dst); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, _, err := ParseAdvertisement(good(2), addr("fe80::1"), GroupIPv6()); err != UnknownVersion {
		t.Errorf("v2 over IPv6: %v", err)
	}
	// A v2 packet is never summed with a pseudo-header.
	b := good(2)
	b[6], b[7] = 0, 0
	sum := ^checksum(b, src, dst, true)
	b[6], b[7] = byte(sum>>8), byte(sum)
	if _, _, err := ParseAdvertisement(b, src, dst); err != WrongChecksum {
		t.Errorf("v2 with pseudo-header: %v", err)
	}
}

func TestAdmit(t *testing.T) {
	v3 := Config{VRID: 51, Interval: time.Second}
	v2 := Config{VRID: 51, Version: 2, Interval: time.Second, AuthType: AuthPassword, Auth: [8]byte{'x'}}
	a3 := Advertisement{Version: 3, VRID: 51, Interval: 5 * time.Second}
	a2 := Advertisement{Version: 2, VRID: 51, Interval: time.Second, AuthType: AuthPassword, Auth: [8]byte{'x'}}
	with := func(a Advertisement, f func(*Advertisement)) Advertisement { f(&a); return a }
	for _, c := range []struct {
		name string
		cfg  Config
		a    Advertisement
		want error
	}{
		{"v3", v3, a3, nil}, {"v2", v2, a2, nil},
		{"other router", v3, with(a3, func(a *Advertisement) { a.VRID = 52 }), OtherVRID},
		{"v2 for v3", v3, a2, OtherVersion}, {"v3 for v2", v2, a3, OtherVersion},
		{"interval", v2, with(a2, func(a *Advertisement) { a.Interval *= 2 }), OtherInterval},
		{"no authentication", v2, with(a2, func(a *Advertisement) { a.AuthType = AuthNone }), OtherAuthType},
		{"password", v2, with(a2, func(a *Advertisement) { a.Auth[7] = 'y' }), WrongPassword},
		{"beat", v3, Advertisement{VRID: 51, Version: 3, Beat: true}, nil},
	} {
		if err := c.cfg.Admit(c.a); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestRejectNames(t *testing.T) {
	seen := map[string]bool{}
	for i := range Rejects {
		name := Reject(i).String()
		if name == "" || seen[name] {
			t.Errorf("reason %d: name %q is empty or used twice", i, name)
		}
		seen[name] = true
	}
}

func beatAds(n int) (ads []Advertisement) {
	for i := range n {
		ads = append(ads, Advertisement{Version: 3, Beat: true, VRID: uint8(i%255 + 1), Priority: uint8(i * 7), IPv6: i >= 255,
			Interval: 3 * time.Millisecond, Announced: i%255 < 200, Digest: uint8(i * 3)})
	}
	return ads
}

// 255 virtual routers fit in one body of gossip, and come out as they went in.
func TestBeatHolds255Routers(t *testing.T) {
	ads := beatAds(255)
	ads[254].Priority, ads[254].Successor = 0, addr("fd99::1")
	body, n := AppendBeat(nil, ads, 1024)
	if n != 255 || len(body) > 1024 {
		t.Fatalf("%d routers in %d bytes", n, len(body))
	}
	got, err := ParseBeat(body, nil)
	if err != nil || !reflect.DeepEqual(got, ads) {
		t.Fatalf("%v:\n got %+v\nwant %+v", err, got, ads)
	}
}

// What does not fit goes into further bodies, nothing is lost or torn.
func TestBeatPages(t *testing.T) {
	ads := beatAds(510)
	ads[3].Successor = addr("10.0.0.1")
	for room := 24; room < 1024; room += 13 {
		var got []Advertisement
		for rest := ads; len(rest) > 0; {
			body, n := AppendBeat([]byte("before"), rest, room)
			if n == 0 || len(body)-6 > room {
				t.Fatalf("room %d: %d routers in %d bytes", room, n, len(body)-6)
			}
			var err error
			if got, err = ParseBeat(body[6:], got); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if !reflect.DeepEqual(got, ads) {
			t.Fatalf("room %d: what came out differs", room)
		}
	}
	if b, n := AppendBeat(nil, ads, 7); n != 0 || len(b) > 7 {
		t.Errorf("7 bytes: %d routers in %d", n, len(b))
	}
}

func TestRefusedBeats(t *testing.T) {
	good, _ := AppendBeat(nil, beatAds(1), 1024)
	change := func(at int, to byte) []byte { b := bytes.Clone(good); b[at] = to; return b }
	kept := beatAds(2)
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"good", good, nil}, {"empty", nil, nil}, {"version alone", good[:1], nil}, {"version 2", change(0, 2), UnknownVersion},
		{"group cut", good[:4], MalformedBeat}, {"router cut", good[:7], MalformedBeat}, {"unknown flag", change(1, 0x10), MalformedBeat},
		{"two successors", change(1, 12), MalformedBeat}, {"successor cut", change(1, 4), MalformedBeat},
		{"interval 0", change(3, 0), ZeroInterval},
		{"513 routers", append(good[:5:5], bytes.Repeat([]byte{1, 1, 1}, 513)...), MalformedBeat},
	} {
		if c.name == "interval 0" {
			c.b[2], c.b[4] = 0, 0
		}
		got, err := ParseBeat(c.b, kept)
		if !errors.Is(err, c.want) || err != nil && len(got) != len(kept) {
			t.Errorf("%s: %v, %d routers, want %v", c.name, err, len(got), c.want)
		}
	}
}

func TestDigest(t *testing.T) {
	a, b, c := addr("10.0.0.1"), addr("10.0.0.2"), addr("fd99::1")
	if Digest([]netip.Addr{a, b, c}) != Digest([]netip.Addr{c, a, b}) {
		t.Error("the order matters")
	}
	same := 0
	for i := range 1000 {
		x := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		if Digest([]netip.Addr{a, x}) == Digest([]netip.Addr{a, x.Next()}) {
			same++
		}
	}
	if same > 20 {
		t.Errorf("%d of 1000 neighbours have the same digest", same)
	}
}

func FuzzAdvertisement(f *testing.F) {
	for _, c := range captures(f) {
		f.Add(c.message, c.src.Is6())
	}
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		src, dst := addr("10.99.0.2"), GroupIPv4()
		if v6 {
			src, dst = addr("fe80::99:2"), GroupIPv6()
		}
		a, form, err := ParseAdvertisement(b, src, dst)
		if err != nil {
			if _, ok := err.(Reject); !ok {
				t.Fatalf("error is %T", err)
			}
			// Most inputs die at the checksum: give the rest of the parser a chance.
			if err != WrongChecksum {
				return
			}
			size := 8 + int(b[3])*len(src.AsSlice())
			if b[0]>>4 == 2 {
				size += 8
			}
			if a, form, err = ParseAdvertisement(mend(bytes.Clone(b[:size]), src, dst), src, dst); err != nil {
				return
			}
		}
		if a.Interval <= 0 || a.VRID == 0 || a.IPv6 != v6 {
			t.Fatalf("accepted %+v", a)
		}
		again, form2, err := ParseAdvertisement(a.AppendTo(nil, src, dst, form), src, dst)
		if err != nil || !reflect.DeepEqual(a, again) || form2 != form && form == PseudoHeader {
			t.Fatalf("written and read again: %v, %v\n got %+v\nwant %+v", err, form2, again, a)
		}
	})
}

func FuzzBeatAdvertisement(f *testing.F) {
	for _, n := range []int{0, 1, 3, 255} {
		b, _ := AppendBeat(nil, beatAds(n), 1024)
		f.Add(b)
	}
	named := beatAds(2)
	named[0].Successor, named[1].Successor = addr("10.0.0.1"), addr("fd99::1")
	b, _ := AppendBeat(nil, named, 1024)
	f.Add(b)
	f.Fuzz(func(t *testing.T, body []byte) {
		ads, err := ParseBeat(body, nil)
		if err != nil {
			return
		}
		out, n := AppendBeat(nil, ads, 1<<16)
		if n != len(ads) {
			t.Fatalf("wrote %d of %d", n, len(ads))
		}
		again, err := ParseBeat(out, nil)
		if err != nil || len(ads) > 0 && !reflect.DeepEqual(ads, again) {
			t.Fatalf("written and read again: %v\n got %+v\nwant %+v", err, again, ads)
		}
	})
}
