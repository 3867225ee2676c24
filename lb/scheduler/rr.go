package scheduler

import (
	"net/netip"

	"example.org/ha/lb/pool"
)

// roundRobin takes each server in turn, whatever its weight.
type roundRobin struct {
	servers []pool.RealServer
	last    int            // index chosen last
	at      netip.AddrPort // its address: the turn goes on from there after an Update
}

func (s *roundRobin) Update(servers []pool.RealServer) {
	s.servers = servers
	s.last = len(servers) - 1
	for i, r := range servers {
		if s.at.IsValid() && r.Address.Compare(s.at) <= 0 {
			s.last = i
		}
	}
}

func (s *roundRobin) Pick(_ netip.Addr, l Loads) int {
	n := len(s.servers)
	for step := 1; step <= n; step++ {
		i := (s.last + step) % n
		if takes(s.servers[i], i, l) {
			s.last, s.at = i, s.servers[i].Address
			return i
		}
	}
	return -1
}

// weightedRoundRobin goes round in passes. The pass weight starts at the greatest weight and falls
// by the greatest common divisor with each pass; a pass takes every server that weighs at least as
// much. So weights 4, 3, 2 give A, A B, A B C, A B C: interleaved, not in bursts.
//
// As in IPVS the pass weights are shifted down by divisor-1, so that the last pass has weight 1.
type weightedRoundRobin struct {
	servers []pool.RealServer
	at      int // index chosen last in this pass, -1 before the first
	pass    int // the current pass weight
	top     int // pass weight of the first pass
	step    int
}

func (s *weightedRoundRobin) Update(servers []pool.RealServer) {
	s.servers = servers
	ws := make([]int, len(servers))
	for i, r := range servers {
		ws[i] = r.Weight
	}
	most, divisor := weights(ws)
	s.at, s.step = -1, max(divisor, 1)
	s.top = max(most-(s.step-1), 0)
	switch {
	case s.pass > s.top || s.pass == 0:
		s.pass = s.top
	case s.step > 1:
		s.pass = min(s.pass/s.step*s.step+1, s.top)
	}
}

func (s *weightedRoundRobin) Pick(_ netip.Addr, l Loads) int {
	if s.top == 0 {
		return -1
	}
	heaviest := 0 // of those that may be chosen, asked for once the present pass has none
	for {
		for i := s.at + 1; i < len(s.servers); i++ {
			if s.servers[i].Weight >= s.pass && takes(s.servers[i], i, l) {
				s.at = i
				return i
			}
		}
		if heaviest == 0 {
			if heaviest = s.heaviest(l); heaviest == 0 {
				return -1
			}
		}
		s.at = -1
		if s.pass -= s.step; s.pass <= 0 {
			s.pass = s.top
		}
		if above := s.pass - heaviest; above > 0 { // passes that choose nobody
			s.pass -= (above + s.step - 1) / s.step * s.step
		}
	}
}

func (s *weightedRoundRobin) heaviest(l Loads) int {
	most := 0
	for i, r := range s.servers {
		if takes(r, i, l) {
			most = max(most, r.Weight)
		}
	}
	return most
}
