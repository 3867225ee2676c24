package ndp

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

const (
	etherTypeIPv6 = 0x86dd
	icmpv6        = 58 // next header
	hopLimit      = 255

	typeAdvertisement = 136
	flagRouter        = 0x80
	flagSolicited     = 0x40
	flagOverride      = 0x20

	optionTargetMAC = 2

	headerLen        = 14 + 40 // Ethernet, IPv6
	advertisementLen = 24
	optionLen        = 8
	frameLen         = headerLen + advertisementLen + optionLen
)

// Reasons why Parse refuses a message.
var (
	ErrShort    = errors.New("ndp: parse advertisement: too short")
	ErrType     = errors.New("ndp: parse advertisement: not a neighbour advertisement")
	ErrChecksum = errors.New("ndp: parse advertisement: wrong checksum")
	ErrTarget   = errors.New("ndp: parse advertisement: target is multicast")
	ErrOption   = errors.New("ndp: parse advertisement: malformed option")
)

// allNodes is ff02::1.
func allNodes() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x01}) }

// An Advertisement is a neighbour advertisement.
type Advertisement struct {
	Router    bool // the sender forwards
	Solicited bool
	Override  bool // believe it even if another MAC address is known
	Target    netip.Addr
	MAC       [6]byte // target link-layer address
	HasMAC    bool
}

// AppendTo appends the ICMPv6 message (RFC 4861, section 4.4); src and dst, of
// the IPv6 header, go into its checksum.
//
//	+--------+--------+-----------------+
//	|  136   | code 0 |    checksum     |
//	+-+-+-+--+--------+-----------------+
//	|R|S|O|           reserved          |
//	+-+-+-+-----------------------------+
//	|        target address (16)        |
//	+--------+--------+-----------------+
//	|   2    | 1 (x 8)| MAC address (6) |
//	+--------+--------+-----------------+
func (a Advertisement) AppendTo(b []byte, src, dst netip.Addr) []byte {
	start := len(b)
	b = append(b, typeAdvertisement, 0, 0, 0, a.flags(), 0, 0, 0)
	target := a.Target.As16()
	b = append(b, target[:]...)
	if a.HasMAC {
		b = append(b, optionTargetMAC, optionLen/8)
		b = append(b, a.MAC[:]...)
	}
	binary.BigEndian.PutUint16(b[start+2:], ^checksum(b[start:], src, dst))
	return b
}

func (a Advertisement) flags() (f byte) {
	if a.Router {
		f |= flagRouter
	}
	if a.Solicited {
		f |= flagSolicited
	}
	if a.Override {
		f |= flagOverride
	}
	return f
}

// Parse reads an ICMPv6 message, under the rules of RFC 4861, section 7.1.2.
func Parse(b []byte, src, dst netip.Addr) (Advertisement, error) {
	if len(b) < advertisementLen {
		return Advertisement{}, ErrShort
	}
	if b[0] != typeAdvertisement || b[1] != 0 {
		return Advertisement{}, ErrType
	}
	if checksum(b, src, dst) != 0xffff {
		return Advertisement{}, ErrChecksum
	}
	a := Advertisement{
		Router:    b[4]&flagRouter != 0,
		Solicited: b[4]&flagSolicited != 0,
		Override:  b[4]&flagOverride != 0,
		Target:    netip.AddrFrom16([16]byte(b[8:24])),
	}
	if a.Target.IsMulticast() {
		return Advertisement{}, ErrTarget
	}
	for p := b[advertisementLen:]; len(p) > 0; p = p[int(p[1])*8:] {
		if len(p) < 8 || p[1] == 0 || len(p) < int(p[1])*8 {
			return Advertisement{}, ErrOption
		}
		if p[0] == optionTargetMAC && p[1] == 1 {
			a.MAC, a.HasMAC = [6]byte(p[2:8]), true
		}
	}
	return a, nil
}

// AppendFrame appends the whole Ethernet frame of an unsolicited advertisement
// to all nodes, from the announced address itself.
func AppendFrame(b []byte, ip netip.Addr, mac [6]byte, router bool) []byte {
	ip = ip.WithZone("")
	src, dst := ip.As16(), allNodes().As16()
	b = append(b, 0x33, 0x33, dst[12], dst[13], dst[14], dst[15]) // RFC 2464, section 7
	b = append(b, mac[:]...)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
	b = append(b, 0x6c, 0, 0, 0) // version 6, traffic class CS6
	b = binary.BigEndian.AppendUint16(b, advertisementLen+optionLen)
	b = append(b, icmpv6, hopLimit)
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	return Advertisement{Router: router, Override: true, Target: ip, MAC: mac, HasMAC: true}.AppendTo(b, ip, allNodes())
}

// checksum is the one's complement sum of the message and the pseudo-header of
// RFC 8200, section 8.1.
func checksum(msg []byte, src, dst netip.Addr) uint16 {
	s, d := src.As16(), dst.As16()
	sum := uint32(len(msg)) + icmpv6
	for _, p := range [...][]byte{s[:], d[:], msg} {
		for ; len(p) >= 2; p = p[2:] {
			sum += uint32(binary.BigEndian.Uint16(p))
		}
		if len(p) == 1 {
			sum += uint32(p[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
