package scheduler

import (
	"net/netip"

	"example.org/ha/lb/pool"
)

const (
	shBits = 8
	shSize = 1 << shBits
	golden = 0x61C88647 // 2^32 / golden ratio squared, the kernel's hash_32 multiplier
)

// sourceHash looks the client's address up in a table of 256 slots, which the servers fill in
// order, each as many slots in a row as it weighs. A server of weight 0 still fills one.
type sourceHash struct {
	servers []pool.RealServer
	slots   [shSize]int32
}

func (s *sourceHash) Update(servers []pool.RealServer) {
	s.servers = servers
	if len(servers) == 0 {
		return
	}
	server, filled := 0, 0
	for i := range s.slots {
		s.slots[i] = int32(server)
		if filled++; filled >= servers[server].Weight {
			server, filled = (server+1)%len(servers), 0
		}
	}
}

func (s *sourceHash) Pick(client netip.Addr, l Loads) int {
	if len(s.servers) == 0 {
		return -1
	}
	h := fold(client) * golden >> (32 - shBits)
	if i := int(s.slots[h]); takes(s.servers[i], i, l) {
		return i
	}
	// IPVS's fallback order: an offset that starts at the slot itself is added to the hash.
	for n := range uint32(shSize) {
		offset := (n + h) % shSize
		if i := int(s.slots[(offset+h)%shSize]); takes(s.servers[i], i, l) {
			return i
		}
	}
	return first(s.servers, l)
}

// first is the last resort of the hashing schedulers: a server too light or too late to own a slot.
func first(servers []pool.RealServer, l Loads) int {
	for i, r := range servers {
		if takes(r, i, l) {
			return i
		}
	}
	return -1
}
