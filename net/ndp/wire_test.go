package ndp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
)

var (
	mac = [6]byte{0x52, 0xf9, 0xbf, 0xa3, 0xd6, 0x16}
	ip  = netip.MustParseAddr("fd99::100")
)

// What keepalived 2.2.7 sent at takeover; its IPv6 header has no traffic class.
const (
	capturedHeader = "333300000001" + "52f9bfa3d616" + "86dd" + "60000000" + "0020" + "3a" + "ff" +
		"fd990000000000000000000000000100" + "ff020000000000000000000000000001"
	capturedMessage = "880070b8" + "20000000" + "fd990000000000000000000000000100" + "0201" + "52f9bfa3d616"
)

func TestFrameIsKeepaliveds(t *testing.T) {
	want, err := hex.DecodeString(capturedHeader + capturedMessage)
	if err != nil {
		t.Fatal(err)
	}
	got := AppendFrame(nil, ip, mac, false)
	got[14] = 0x60
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// The frame, taken apart by offset.
func TestUnsolicitedAdvertisement(t *testing.T) {
	for _, router := range []bool{false, true} {
		b := AppendFrame(nil, ip, mac, router)
		if len(b) != frameLen {
			t.Fatalf("%d bytes, want %d", len(b), frameLen)
		}
		ether, ip6, icmp := b[:14], b[14:54], b[54:]
		if !bytes.Equal(ether, append(append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac[:]...), 0x86, 0xdd)) {
			t.Errorf("Ethernet header %x", ether)
		}
		if ip6[0]>>4 != 6 || ip6[4] != 0 || ip6[5] != 32 || ip6[6] != 58 || ip6[7] != 255 {
			t.Errorf("IPv6 header %x", ip6)
		}
		src, dst := netip.AddrFrom16([16]byte(ip6[8:24])), netip.AddrFrom16([16]byte(ip6[24:40]))
		if src != ip || dst != netip.MustParseAddr("ff02::1") {
			t.Errorf("from %v to %v", src, dst)
		}
		a, err := Parse(icmp, src, dst)
		if want := (Advertisement{Router: router, Override: true, Target: ip, MAC: mac, HasMAC: true}); err != nil || a != want {
			t.Errorf("got %+v, %v, want %+v", a, err, want)
		}
	}
}

func TestRefusedMessages(t *testing.T) {
	src, dst := ip, allNodes()
	a := Advertisement{Override: true, Target: ip, MAC: mac, HasMAC: true}
	good := a.AppendTo(nil, src, dst)
	mend := func(b []byte) []byte {
		b[2], b[3] = 0, 0
		sum := ^checksum(b, src, dst)
		b[2], b[3] = byte(sum>>8), byte(sum)
		return b
	}
	change := func(at int, to byte) []byte { b := bytes.Clone(good); b[at] = to; return mend(b) }
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"good", good, nil}, {"empty", nil, ErrShort}, {"23 bytes", good[:23], ErrShort},
		{"solicitation", change(0, 135), ErrType}, {"code 1", change(1, 1), ErrType},
		{"checksum", append(good[:2:2], append([]byte{0, 0}, good[4:]...)...), ErrChecksum},
		{"multicast target", change(8, 0xff), ErrTarget},
		{"option of length 0", change(25, 0), ErrOption}, {"option longer than the message", change(25, 2), ErrOption},
		{"option cut", mend(bytes.Clone(good[:30])), ErrOption},
		{"other option", change(24, 1), nil}, {"no option", mend(bytes.Clone(good[:24])), nil},
	} {
		got, err := Parse(c.b, src, dst)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if got.HasMAC != (c.name == "good") {
			t.Errorf("%s: MAC address %v", c.name, got.HasMAC)
		}
	}
}

func FuzzNDP(f *testing.F) {
	f.Add(AppendFrame(nil, ip, mac, true)[headerLen:])
	f.Add(Advertisement{Solicited: true, Target: ip}.AppendTo(nil, ip, allNodes()))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Parse(b, ip, allNodes())
		if errors.Is(err, ErrChecksum) { // where most inputs die
			b = bytes.Clone(b)
			b[2], b[3] = 0, 0
			sum := ^checksum(b, ip, allNodes())
			b[2], b[3] = byte(sum>>8), byte(sum)
			if a, err = Parse(b, ip, allNodes()); errors.Is(err, ErrChecksum) {
				t.Fatalf("checksum %x of %x is refused", sum, b)
			}
		}
		if err != nil {
			return
		}
		if again, err := Parse(a.AppendTo(nil, ip, allNodes()), ip, allNodes()); err != nil || again != a {
			t.Fatalf("written and read again: %+v, %v, want %+v", again, err, a)
		}
	})
}
