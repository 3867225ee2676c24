package arp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
)

var (
	mac = [6]byte{0x52, 0xf9, 0xbf, 0xa3, 0xd6, 0x16}
	ip  = netip.MustParseAddr("10.99.0.100")
)

// What keepalived 2.2.7 sent at takeover, after the Ethernet header.
const captured = "0001080006040001" + "52f9bfa3d616" + "0a630064" + "ffffffffffff" + "0a630064"

func TestGratuitousIsWhatNeighboursExpect(t *testing.T) {
	want, err := hex.DecodeString(captured)
	if err != nil {
		t.Fatal(err)
	}
	if got := AppendGratuitous(nil, Request, mac, ip); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	p, err := Parse(append(want, make([]byte, 18)...)) // padded to the least Ethernet frame
	if err != nil || p != (Packet{Op: Request, SenderMAC: mac, Sender: ip, TargetMAC: broadcast, Target: ip}) {
		t.Errorf("parse: %+v, %v", p, err)
	}
}

func TestRefusedPackets(t *testing.T) {
	good := AppendGratuitous(nil, Reply, mac, ip)
	for at, name := range map[int]string{0: "hardware type", 2: "protocol", 4: "hardware length", 5: "protocol length"} {
		b := bytes.Clone(good)
		b[at]++
		if _, err := Parse(b); !errors.Is(err, ErrKind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range good {
		if _, err := Parse(good[:n]); !errors.Is(err, ErrShort) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func FuzzARP(f *testing.F) {
	f.Add(AppendGratuitous(nil, Request, mac, ip))
	f.Add(AppendGratuitous(nil, Reply, mac, netip.MustParseAddr("255.255.255.255")))
	f.Add([]byte{0, 1, 8, 0, 6, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if got := p.AppendTo(nil); !bytes.Equal(got, b[:packetLen]) {
			t.Fatalf("read %x, wrote %x", b[:packetLen], got)
		}
	})
}
