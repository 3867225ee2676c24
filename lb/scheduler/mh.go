package scheduler

import (
	"math/bits"
	"net/netip"

	"example.org/ha/lb/pool"
)

const (
	mhSize = 4093 // prime: every skip visits every slot
	mhBits = 6    // weights are shifted down to this many bits
)

// The two keys of the kernel's permutation: the first also hashes the client.
const (
	mhOffsetKey = 2654435761
	mhSkipKey   = 2654446892
)

// maglev looks the client's address up in a table filled by the algorithm of Eisenbud et al.,
// "Maglev", NSDI 2016, section 3.4: the servers take turns, each taking the next free slot of a
// permutation of its own, so that when a server leaves few slots change hands besides its own.
//
// A drained server keeps its slots (by its last weight above zero) and is only passed over: draining
// moves nobody else's clients.
type maglev struct {
	servers    []pool.RealServer
	lastWeight map[netip.AddrPort]int
	slots      []int32 // empty when no server ever had weight
}

func (s *maglev) Update(servers []pool.RealServer) {
	last := make(map[netip.AddrPort]int, len(servers))
	ws := make([]int, len(servers))
	for i, r := range servers {
		w := r.Weight
		if w <= 0 {
			w = s.lastWeight[r.Address]
		}
		last[r.Address], ws[i] = w, w
	}
	s.servers, s.lastWeight = servers, last
	s.fill(ws)
}

func (s *maglev) fill(ws []int) {
	s.slots = s.slots[:0]
	most, divisor := weights(ws)
	if most == 0 {
		return
	}
	shift := max(bits.Len(uint(most/divisor))-mhBits, 0)
	at, skip := make([]uint32, len(ws)), make([]uint32, len(ws))
	for i, r := range s.servers {
		at[i] = mhHash(r.Address.Addr(), r.Address.Port(), mhOffsetKey, 0) % mhSize
		skip[i] = mhHash(r.Address.Addr(), r.Address.Port(), mhSkipKey, 0)%(mhSize-1) + 1
	}
	for range mhSize {
		s.slots = append(s.slots, -1)
	}
	for left := mhSize; ; {
		for i, w := range ws {
			if w <= 0 {
				continue
			}
			for range max(w/divisor>>shift, 1) {
				for s.slots[at[i]] >= 0 {
					at[i] = (at[i] + skip[i]) % mhSize
				}
				s.slots[at[i]] = int32(i)
				if left--; left == 0 {
					return
				}
			}
		}
	}
}

func (s *maglev) Pick(client netip.Addr, l Loads) int {
	if len(s.slots) == 0 {
		return -1
	}
	h := mhHash(client, 0, mhOffsetKey, 0) % mhSize
	if i := int(s.slots[h]); takes(s.servers[i], i, l) {
		return i
	}
	for n := range uint32(mhSize) {
		offset := (n + h) % mhSize
		slot := mhHash(client, 0, mhOffsetKey, offset) % mhSize
		if i := int(s.slots[slot]); takes(s.servers[i], i, l) {
			return i
		}
	}
	return first(s.servers, l)
}

func mhHash(a netip.Addr, port uint16, key uint64, offset uint32) uint32 {
	return sipHash13(offset+uint32(port)+fold(a), key, key)
}

// sipHash13 is SipHash-1-3 of the four little-endian bytes of v, cut to 32 bits: the kernel's
// hsiphash on 64-bit machines.
func sipHash13(v uint32, k0, k1 uint64) uint32 {
	v0, v1 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d
	v2, v3 := k0^0x6c7967656e657261, k1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	last := 4<<56 | uint64(v) // the length goes into the top byte of the last word
	v3 ^= last
	round()
	v0 ^= last
	v2 ^= 0xff
	for range 3 {
		round()
	}
	return uint32(v0 ^ v1 ^ v2 ^ v3)
}
