package arp

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Operations.
const (
	Request uint16 = 1
	Reply   uint16 = 2
)

const (
	headerLen = 14 // of Ethernet
	packetLen = 28

	etherTypeARP  = 0x0806
	etherTypeIPv4 = 0x0800
	hardwareEther = 1
)

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Reasons why Parse refuses a packet.
var (
	ErrShort = errors.New("arp: parse packet: too short")
	ErrKind  = errors.New("arp: parse packet: not IPv4 over Ethernet")
)

// A Packet is an ARP packet for IPv4 over Ethernet.
type Packet struct {
	Op        uint16
	SenderMAC [6]byte
	Sender    netip.Addr
	TargetMAC [6]byte
	Target    netip.Addr
}

// AppendTo appends the packet, without an Ethernet header (RFC 826).
//
//	+-----------------+-----------------+
//	| hardware type 1 | protocol 0x0800 |
//	+--------+--------+-----------------+
//	| len 6  | len 4  |    operation    |
//	+--------+--------+-----------------+
//	| sender MAC (6)   sender IPv4 (4)  |
//	| target MAC (6)   target IPv4 (4)  |
//	+-----------------------------------+
func (p Packet) AppendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, hardwareEther)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv4)
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, p.Op)
	sender, target := p.Sender.As4(), p.Target.As4()
	b = append(b, p.SenderMAC[:]...)
	b = append(b, sender[:]...)
	b = append(b, p.TargetMAC[:]...)
	return append(b, target[:]...)
}

// Parse reads a packet, without its Ethernet header; padding is ignored.
func Parse(b []byte) (Packet, error) {
	if len(b) < packetLen {
		return Packet{}, ErrShort
	}
	if binary.BigEndian.Uint16(b) != hardwareEther || binary.BigEndian.Uint16(b[2:]) != etherTypeIPv4 || b[4] != 6 || b[5] != 4 {
		return Packet{}, ErrKind
	}
	return Packet{
		Op:        binary.BigEndian.Uint16(b[6:]),
		SenderMAC: [6]byte(b[8:14]),
		Sender:    netip.AddrFrom4([4]byte(b[14:18])),
		TargetMAC: [6]byte(b[18:24]),
		Target:    netip.AddrFrom4([4]byte(b[24:28])),
	}, nil
}

// AppendGratuitous appends an ARP packet, without an Ethernet header, that says
// ip is at mac and asks nothing: sender and target are the same address.
func AppendGratuitous(b []byte, op uint16, mac [6]byte, ip netip.Addr) []byte {
	ip = ip.Unmap()
	return Packet{Op: op, SenderMAC: mac, Sender: ip, TargetMAC: broadcast, Target: ip}.AppendTo(b)
}

func appendHeader(b []byte, from [6]byte) []byte {
	b = append(b, broadcast[:]...)
	b = append(b, from[:]...)
	return binary.BigEndian.AppendUint16(b, etherTypeARP)
}
