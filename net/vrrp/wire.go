package vrrp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// Protocol is the IP protocol number; a valid packet arrives with TTL, or hop
// limit, 255 (RFC 9568, section 5.1).
const (
	Protocol = 112
	TTL      = 255
)

// GroupIPv4 and GroupIPv6 are where advertisements go by multicast.
func GroupIPv4() netip.Addr { return netip.AddrFrom4([4]byte{224, 0, 0, 18}) }

// GroupIPv6 is ff02::12.
func GroupIPv6() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12}) }

// Authentication of version 2 (RFC 2338; RFC 3768 only keeps the field).
const (
	AuthNone     uint8 = 0
	AuthPassword uint8 = 1
)

// Checksum is the form of the checksum in a v3 packet over IPv4. RFC 5798 could
// be read either way: keepalived sums a pseudo-header as IPv6 does and accepts
// nothing else, RFC 9568 settled on the message alone. Both are accepted here;
// to be understood, send the form the peer sends.
type Checksum uint8

const (
	PseudoHeader Checksum = iota // keepalived; the only form of v3 over IPv6
	MessageOnly                  // RFC 9568; the only form of v2
)

func (c Checksum) String() string {
	if c == MessageOnly {
		return "rfc9568"
	}
	return "pseudo_header"
}

// An Advertisement is the one message of VRRP.
type Advertisement struct {
	Version   uint8 // 2 or 3
	VRID      uint8
	Priority  uint8
	IPv6      bool          // the family of the virtual addresses
	Interval  time.Duration // on the wire in seconds (v2), centiseconds (v3) or microseconds (gossip)
	Addresses []netip.Addr  // not carried by gossip, which has a digest of them

	AuthType uint8   // v2
	Auth     [8]byte // v2

	// The rest is known on the gossip carrier only, where Beat is set.
	Beat      bool
	Announced bool       // the sender holds the addresses and has announced them
	Successor netip.Addr // with priority 0: who is to take over
	Digest    uint8      // of the addresses: what Digest returns
}

// AppendTo appends the message, without an IP header. src and dst are the
// addresses of that header: they go into the checksum and choose the family.
// form matters to v3 over IPv4 only.
//
//	 0               1               2               3
//	+-------+-------+---------------+---------------+---------------+
//	|version| type 1|     VRID      |   priority    | address count |
//	+-------+-------+---------------+---------------+---------------+
//	| v2: auth type | v2: int. (s)  |           checksum            |
//	| v3: 4 bits 0, interval (cs)   |                               |
//	+-------------------------------+-------------------------------+
//	|  addresses: count of 4 or of 16 bytes                         |
//	+---------------------------------------------------------------+
//	|  v2 only: 8 bytes of authentication data                      |
//	+---------------------------------------------------------------+
func (a Advertisement) AppendTo(b []byte, src, dst netip.Addr, form Checksum) []byte {
	start := len(b)
	n := min(len(a.Addresses), 255)
	b = append(b, a.Version<<4|1, a.VRID, a.Priority, byte(n))
	d := wireInterval(a.Version, a.Interval)
	if a.Version == 2 {
		b = append(b, a.AuthType, byte(d/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(d/centisecond))
	}
	b = append(b, 0, 0)
	for _, addr := range a.Addresses[:n] {
		b = appendAddr(b, addr, src.Is6() && !src.Is4In6())
	}
	if a.Version == 2 {
		b = append(b, a.Auth[:]...)
	}
	msg := b[start:]
	binary.BigEndian.PutUint16(msg[6:], ^checksum(msg, src, dst, a.Version == 3 && (src.Is6() || form == PseudoHeader)))
	return b
}

func appendAddr(b []byte, a netip.Addr, v6 bool) []byte {
	if v6 {
		x := a.As16()
		return append(b, x[:]...)
	}
	if a = a.Unmap(); !a.Is4() {
		a = netip.IPv4Unspecified()
	}
	x := a.As4()
	return append(b, x[:]...)
}

// ParseAdvertisement reads one message, without its IP header; src and dst are
// those of the header. An error is a Reject. Bytes after the message (padding
// of a short Ethernet frame) are ignored.
func ParseAdvertisement(b []byte, src, dst netip.Addr) (Advertisement, Checksum, error) {
	var a Advertisement
	form, err := a.Parse(b, src, dst)
	return a, form, err
}

// Parse is ParseAdvertisement into a, whose Addresses it uses again. After an
// error nothing in a means anything.
func (a *Advertisement) Parse(b []byte, src, dst netip.Addr) (Checksum, error) {
	*a = Advertisement{Addresses: a.Addresses[:0]}
	if len(b) < 8 {
		return 0, TooShort
	}
	src, dst = src.Unmap(), dst.Unmap()
	a.IPv6 = src.Is6()
	a.Version, a.VRID, a.Priority = b[0]>>4, b[1], b[2]
	size, trailer := 4, 0
	if a.IPv6 {
		size = 16
	}
	switch {
	case a.Version == 2 && !a.IPv6:
		trailer = len(a.Auth)
		a.AuthType, a.Interval = b[4], time.Duration(b[5])*time.Second
	case a.Version == 3:
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&0x0fff) * centisecond
	default:
		return 0, UnknownVersion
	}
	switch {
	case b[0]&0x0f != 1:
		return 0, UnknownType
	case len(b) < 8+int(b[3])*size+trailer:
		return 0, TooFewAddresses
	}
	msg := b[:8+int(b[3])*size+trailer]
	form, ok := verify(msg, a.Version, src, dst)
	switch {
	case !ok:
		return 0, WrongChecksum
	case a.VRID == 0:
		return 0, NoVRID
	case a.AuthType > AuthPassword:
		return 0, UnknownAuthType
	case a.Interval == 0: // RFC 9568 erratum 8301
		return 0, ZeroInterval
	}
	a.Addresses = slices.Grow(a.Addresses, int(b[3]))
	for p := msg[8 : len(msg)-trailer]; len(p) > 0; p = p[size:] {
		addr, _ := netip.AddrFromSlice(p[:size])
		a.Addresses = append(a.Addresses, addr)
	}
	copy(a.Auth[:], msg[len(msg)-trailer:])
	return form, nil
}

// verify finds the form of the checksum that is right.
func verify(msg []byte, version uint8, src, dst netip.Addr) (Checksum, bool) {
	if version == 2 {
		return MessageOnly, checksum(msg, src, dst, false) == 0xffff
	}
	if checksum(msg, src, dst, true) == 0xffff {
		return PseudoHeader, true
	}
	return MessageOnly, !src.Is6() && checksum(msg, src, dst, false) == 0xffff
}

// checksum is the one's complement sum of the message and, if asked for, the
// pseudo-header of its family: addresses, length, protocol (RFC 8200, section
// 8.1, whose 32-bit fields sum to the same as IPv4's 16-bit ones).
func checksum(msg []byte, src, dst netip.Addr, pseudo bool) uint16 {
	var sum uint32
	if pseudo {
		sum = sumAddr(src) + sumAddr(dst) + Protocol + uint32(len(msg))
	}
	for ; len(msg) >= 2; msg = msg[2:] {
		sum += uint32(msg[0])<<8 | uint32(msg[1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func sumAddr(a netip.Addr) uint32 {
	x, from := a.As16(), 0
	if a.Is4() || a.Is4In6() {
		from = 12
	}
	var sum uint32
	for i := from; i < 16; i += 2 {
		sum += uint32(x[i])<<8 | uint32(x[i+1])
	}
	return sum
}
