package proxy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestProxyHeaderGoesThereAndBack(t *testing.T) {
	for _, h := range []ProxyHeader{
		{Source: netip.MustParseAddrPort("192.0.2.1:4000"), Destination: netip.MustParseAddrPort("198.51.100.2:80")},
		{Source: netip.MustParseAddrPort("[2001:db8::1]:4000"), Destination: netip.MustParseAddrPort("[2001:db8::2]:443")},
		{Local: true},
	} {
		b := h.AppendTo(nil)
		got, n, err := ParseProxyHeader(append(b, "GET /"...))
		if err != nil || got != h || n != len(b) {
			t.Errorf("%+v: got %+v, %d of %d bytes, %v", h, got, n, len(b), err)
		}
		for cut := range len(b) {
			if _, _, err := ParseProxyHeader(b[:cut]); !errors.Is(err, errShortProxy) {
				t.Errorf("%+v cut to %d bytes: %v, want incomplete", h, cut, err)
			}
		}
	}
}

func TestProxyHeaderMixesFamiliesAsIPv6(t *testing.T) {
	b := ProxyHeader{Source: netip.MustParseAddrPort("192.0.2.1:1"), Destination: netip.MustParseAddrPort("[2001:db8::2]:2")}.AppendTo(nil)
	h, _, err := ParseProxyHeader(b)
	if err != nil || h.Source.Addr() != netip.MustParseAddr("::ffff:192.0.2.1") {
		t.Errorf("got %+v, %v", h, err)
	}
}

func TestProxyHeaderRefusesWhatItIsNot(t *testing.T) {
	good := string(ProxyHeader{Source: netip.MustParseAddrPort("1.2.3.4:5"), Destination: netip.MustParseAddrPort("1.2.3.5:6")}.AppendTo(nil))
	for what, in := range map[string]string{
		"another protocol":   "GET / HTTP/1.1\r\n",
		"version 1":          good[:12] + "\x11" + good[13:],
		"unknown command":    good[:12] + "\x22" + good[13:],
		"too short for IPv4": good[:14] + "\x00\x0b" + good[16:],
		"too long":           good[:14] + "\xff\xff" + good[16:],
	} {
		if h, _, err := ParseProxyHeader([]byte(in)); err == nil || errors.Is(err, errShortProxy) {
			t.Errorf("%s: got %+v, %v", what, h, err)
		}
	}
	if h, n, err := ParseProxyHeader([]byte(good[:13] + "\x00" + good[14:])); err != nil || !h.Local || n != len(good) {
		t.Errorf("unspecified family: got %+v, %d, %v, want local", h, n, err)
	}
}

func FuzzPROXY(f *testing.F) {
	f.Add([]byte(proxySignature))
	f.Add(ProxyHeader{Local: true}.AppendTo(nil))
	f.Add(ProxyHeader{Source: netip.MustParseAddrPort("1.2.3.4:5"), Destination: netip.MustParseAddrPort("1.2.3.5:6")}.AppendTo(nil))
	f.Add(ProxyHeader{Source: netip.MustParseAddrPort("[::1]:5"), Destination: netip.MustParseAddrPort("[::2]:6")}.AppendTo(nil))
	f.Add([]byte(proxySignature + "\x21\x11\x00\x0f" + strings.Repeat("a", 12) + "\x04\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseProxyHeader(b)
		if err != nil {
			return
		}
		if n > len(b) || n < proxyFixed {
			t.Fatalf("%d bytes used of %d", n, len(b))
		}
		again, _, err := ParseProxyHeader(h.AppendTo(nil))
		if err != nil {
			t.Fatalf("%+v does not parse again: %v", h, err)
		}
		if again.Source.Port() != h.Source.Port() || again.Source.Addr().Unmap() != h.Source.Addr().Unmap() {
			t.Fatalf("got %+v, want %+v", again, h)
		}
	})
}
