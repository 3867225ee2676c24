// Package scheduler chooses a real server for a new connection, by IPVS's rules and under IPVS's
// names, so that a service may move between the kernel's data path and the userspace one and keep
// its behaviour. With the same servers in the same order, sh and mh map a client to the same server
// as the kernel does (default build options, no port in the hash).
//
// One difference: where IPVS's sh and mh refuse a connection because the hashed server takes none,
// these go on to the server their "fallback" flag would choose. A proxy has to: it also asks again
// after a failed attempt.
//
// A Scheduler is not safe for concurrent use; its owner locks.
package scheduler

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"example.org/ha/lb/pool"
)

// A Scheduler picks among the servers of its last Update.
type Scheduler interface {
	// Update takes the servers of the service, sorted by address. What can be kept of the
	// scheduler's position is kept.
	Update(servers []pool.RealServer)
	// Pick returns the index of the server for a client, or -1 if none takes connections.
	Pick(client netip.Addr, l Loads) int
}

// Loads is what a Scheduler asks its owner about server i of the last Update.
type Loads interface {
	// Load is the number of established and of closing connections.
	Load(i int) (active, inactive int64)
	// Usable is false for a server this pick must pass over, whatever its weight: one that just
	// refused this very connection (IPVS: overloaded).
	Usable(i int) bool
}

// New returns the scheduler of that name; an empty name means wlc.
func New(name pool.Scheduler) (Scheduler, error) {
	switch name {
	case pool.RR:
		return &roundRobin{}, nil
	case pool.WRR:
		return &weightedRoundRobin{}, nil
	case pool.LC:
		return &least{cost: leastConnection}, nil
	case pool.WLC, "":
		return &least{cost: weightedLeastConnection}, nil
	case pool.SED:
		return &least{cost: shortestExpectedDelay}, nil
	case pool.NQ:
		return &least{cost: shortestExpectedDelay, idleFirst: true}, nil
	case pool.SH:
		return &sourceHash{}, nil
	case pool.MH:
		return &maglev{lastWeight: map[netip.AddrPort]int{}}, nil
	}
	return nil, fmt.Errorf("scheduler: %q is not a scheduler", name)
}

// takes reports whether server i may be chosen at all.
func takes(s pool.RealServer, i int, l Loads) bool { return s.Weight > 0 && l.Usable(i) }

// fold makes one word of an address: IPv4 as it is, IPv6 as the xor of its four words.
func fold(a netip.Addr) uint32 {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return binary.BigEndian.Uint32(b[:])
	}
	b := a.As16()
	return binary.BigEndian.Uint32(b[0:]) ^ binary.BigEndian.Uint32(b[4:]) ^
		binary.BigEndian.Uint32(b[8:]) ^ binary.BigEndian.Uint32(b[12:])
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// weights returns the greatest weight and the greatest common divisor of the positive ones (0 if
// there are none).
func weights(ws []int) (most, divisor int) {
	for _, w := range ws {
		if w > 0 {
			most, divisor = max(most, w), gcd(w, divisor)
		}
	}
	return most, divisor
}
