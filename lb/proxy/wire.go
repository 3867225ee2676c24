package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// The PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt, section 2.2): a binary header in
// front of the stream that tells a real server whose connection it is.
//
//	signature 12 | version 4 bits = 2, command 4 bits | family 4 bits, transport 4 bits | length 2
//	source address | destination address | source port 2 | destination port 2 | TLVs

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyFixed     = 16
	// maxProxyHeader bounds what a parser reads; TLVs beyond it are refused.
	maxProxyHeader = 1024

	proxyLocal   = 0x20
	proxyCommand = 0x21
	proxyTCP4    = 0x11
	proxyTCP6    = 0x21
)

// A ProxyHeader names the two ends of the connection a proxy accepted. Local means that the proxy
// speaks for itself (a check) and the addresses say nothing.
type ProxyHeader struct {
	Local       bool
	Source      netip.AddrPort
	Destination netip.AddrPort
}

// errShortProxy means that more bytes may make a whole header.
var errShortProxy = errors.New("proxy: header is not complete")

// AppendTo appends the header. Two addresses of different families both go as IPv6.
func (h ProxyHeader) AppendTo(b []byte) []byte {
	b = append(b, proxySignature...)
	src, dst := h.Source.Addr().Unmap(), h.Destination.Addr().Unmap()
	switch {
	case h.Local || !src.IsValid() || !dst.IsValid():
		return append(b, proxyLocal, 0, 0, 0)
	case src.Is4() && dst.Is4():
		b = append(b, proxyCommand, proxyTCP4, 0, 12)
		b = append(b, src.AsSlice()...)
		b = append(b, dst.AsSlice()...)
	default:
		b = append(b, proxyCommand, proxyTCP6, 0, 36)
		s, d := src.As16(), dst.As16()
		b = append(append(b, s[:]...), d[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, h.Source.Port())
	return binary.BigEndian.AppendUint16(b, h.Destination.Port())
}

// ParseProxyHeader reads a header from the start of b and returns its length. Unknown TLVs are
// skipped; an unknown family or transport counts as Local, as the specification asks.
func ParseProxyHeader(b []byte) (h ProxyHeader, n int, err error) {
	if head := min(len(b), len(proxySignature)); string(b[:head]) != proxySignature[:head] {
		return h, 0, errors.New("proxy: parse PROXY header: no signature")
	}
	if len(b) < proxyFixed {
		return h, 0, errShortProxy
	}
	n = proxyFixed + int(binary.BigEndian.Uint16(b[14:]))
	if n > maxProxyHeader {
		return h, 0, fmt.Errorf("proxy: parse PROXY header: %d bytes, at most %d", n, maxProxyHeader)
	}
	if b[12] != proxyLocal && b[12] != proxyCommand {
		return h, 0, fmt.Errorf("proxy: parse PROXY header: version and command 0x%02x", b[12])
	}
	if len(b) < n {
		return h, 0, errShortProxy
	}
	body := b[proxyFixed:n]
	switch {
	case b[12] == proxyCommand && b[13] == proxyTCP4:
		if len(body) < 12 {
			return h, 0, fmt.Errorf("proxy: parse PROXY header: %d address bytes, want 12", len(body))
		}
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[0:4])), binary.BigEndian.Uint16(body[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[4:8])), binary.BigEndian.Uint16(body[10:]))
	case b[12] == proxyCommand && b[13] == proxyTCP6:
		if len(body) < 36 {
			return h, 0, fmt.Errorf("proxy: parse PROXY header: %d address bytes, want 36", len(body))
		}
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[0:16])), binary.BigEndian.Uint16(body[32:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[16:32])), binary.BigEndian.Uint16(body[34:]))
	default:
		h.Local = true
	}
	return h, n, nil
}
