package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// On the gossip carrier a host says in one body what all its routers advertise.
// 255 of them, of one interval, take 771 bytes. All integers are big-endian.
//
//	body  := version (1) group*
//	group := flags  interval in µs (3 bytes)  successor (0, 4 or 16 bytes)  router*  0
//	router := VRID (never 0)  priority  digest of the addresses
const (
	beatVersion = 1

	flagIPv6       = 1 << 0 // the virtual addresses are IPv6
	flagAnnounced  = 1 << 1
	flagSuccessor4 = 1 << 2
	flagSuccessor6 = 1 << 3
	flagsKnown     = flagIPv6 | flagAnnounced | flagSuccessor4 | flagSuccessor6

	maxBeatInterval = 1<<24 - 1 // µs, 16.7 s
	maxBeatRouters  = 512       // of one body: 255 VRIDs in each family
)

// Digest condenses a list of addresses, whatever its order, so that two hosts
// can see that theirs differ.
func Digest(addrs []netip.Addr) uint8 {
	var all uint32
	for _, a := range addrs {
		h := uint32(2166136261) // FNV-1a
		for _, x := range a.Unmap().As16() {
			h = (h ^ uint32(x)) * 16777619
		}
		h ^= h >> 15 // the sum below must not cancel what is alike in the low bits
		all += h * 2654435761
	}
	return uint8(all>>24) ^ uint8(len(addrs))
}

// AppendBeat appends as many advertisements as fit in room bytes, and says how
// many those were: the rest belongs into a further body. Neighbours in ads of
// equal flags, interval and successor share a header, so sort by these.
func AppendBeat(b []byte, ads []Advertisement, room int) ([]byte, int) {
	if len(ads) == 0 || room < 1 {
		return b, 0
	}
	end := len(b) + room
	b = append(b, beatVersion)
	for i := range ads {
		a := &ads[i]
		fresh := i == 0 || !sameGroup(a, &ads[i-1])
		if len(b)+beatSize(a, fresh, i > 0) > end {
			return b, i
		}
		if fresh {
			if i > 0 {
				b = append(b, 0)
			}
			b = appendGroup(b, a)
		}
		b = append(b, a.VRID, a.Priority, a.Digest)
	}
	return b, len(ads)
}

func beatFlags(a *Advertisement) byte {
	var f byte
	if a.IPv6 {
		f |= flagIPv6
	}
	if a.Announced {
		f |= flagAnnounced
	}
	switch s := a.Successor.Unmap(); {
	case s.Is4():
		f |= flagSuccessor4
	case s.Is6():
		f |= flagSuccessor6
	}
	return f
}

func beatMicros(a *Advertisement) uint32 {
	return uint32(min(max(a.Interval/time.Microsecond, 1), maxBeatInterval))
}

func sameGroup(a, b *Advertisement) bool {
	return beatFlags(a) == beatFlags(b) && beatMicros(a) == beatMicros(b) && plain(a.Successor) == plain(b.Successor)
}

func beatSize(a *Advertisement, fresh, closes bool) int {
	n := 3
	if !fresh {
		return n
	}
	if closes {
		n++
	}
	switch f := beatFlags(a); {
	case f&flagSuccessor4 != 0:
		n += 4
	case f&flagSuccessor6 != 0:
		n += 16
	}
	return n + 4
}

func appendGroup(b []byte, a *Advertisement) []byte {
	us := beatMicros(a)
	b = append(b, beatFlags(a), byte(us>>16), byte(us>>8), byte(us))
	if s := a.Successor.Unmap(); s.IsValid() {
		b = appendAddr(b, s, s.Is6())
	}
	return b
}

// ParseBeat appends to ads what a body of the gossip carrier says. It refuses a
// body as a whole, with MalformedBeat, ZeroInterval or UnknownVersion, and then
// returns ads as it was.
func ParseBeat(body []byte, ads []Advertisement) ([]Advertisement, error) {
	had := len(ads)
	if len(body) == 0 {
		return ads, nil
	}
	if body[0] != beatVersion {
		return ads, UnknownVersion
	}
	for p := body[1:]; len(p) > 0; {
		group, rest, err := parseGroup(p)
		if err != nil {
			return ads[:had], err
		}
		for p = rest; len(p) > 0 && p[0] != 0; p = p[3:] {
			if len(p) < 3 || len(ads)-had == maxBeatRouters {
				return ads[:had], MalformedBeat
			}
			group.VRID, group.Priority, group.Digest = p[0], p[1], p[2]
			ads = append(ads, group)
		}
		if len(p) > 0 {
			p = p[1:]
		}
	}
	return ads, nil
}

func parseGroup(p []byte) (a Advertisement, rest []byte, err error) {
	if len(p) < 4 {
		return a, nil, MalformedBeat
	}
	flags := p[0]
	us := binary.BigEndian.Uint32(p) & maxBeatInterval
	size := 0
	switch flags & (flagSuccessor4 | flagSuccessor6) {
	case flagSuccessor4:
		size = 4
	case flagSuccessor6:
		size = 16
	case flagSuccessor4 | flagSuccessor6:
		return a, nil, MalformedBeat
	}
	if p = p[4:]; flags&^flagsKnown != 0 || len(p) < size {
		return a, nil, MalformedBeat
	}
	if us == 0 {
		return a, nil, ZeroInterval
	}
	a = Advertisement{
		Version: 3, Beat: true,
		Interval:  time.Duration(us) * time.Microsecond,
		IPv6:      flags&flagIPv6 != 0,
		Announced: flags&flagAnnounced != 0,
	}
	if size > 0 {
		s, _ := netip.AddrFromSlice(p[:size])
		a.Successor = s.Unmap()
	}
	return a, p[size:], nil
}
