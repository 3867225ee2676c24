package scheduler

import (
	"math/bits"
	"net/netip"

	"example.org/ha/lb/pool"
)

// least takes the server of least cost per weight; the first of equals.
type least struct {
	servers []pool.RealServer
	cost    func(weight int, active, inactive int64) (cost, per int64)
	// idleFirst takes the first server without an established connection before any comparison.
	idleFirst bool
}

// leastConnection ignores the weight. A closing connection costs 1/256 of an established one.
func leastConnection(_ int, active, inactive int64) (cost, per int64) {
	return active<<8 + inactive, 1
}

func weightedLeastConnection(weight int, active, inactive int64) (cost, per int64) {
	return active<<8 + inactive, int64(weight)
}

// shortestExpectedDelay counts the connection to be placed with the rest, so that of two idle
// servers the faster one is chosen.
func shortestExpectedDelay(weight int, active, _ int64) (cost, per int64) {
	return active + 1, int64(weight)
}

func (s *least) Update(servers []pool.RealServer) { s.servers = servers }

func (s *least) Pick(_ netip.Addr, l Loads) int {
	best := -1
	var bestCost, bestPer int64
	for i, r := range s.servers {
		if !takes(r, i, l) {
			continue
		}
		active, inactive := l.Load(i)
		if s.idleFirst && active == 0 {
			return i
		}
		cost, per := s.cost(r.Weight, active, inactive)
		if best < 0 || lessProduct(cost, bestPer, bestCost, per) {
			best, bestCost, bestPer = i, cost, per
		}
	}
	return best
}

// lessProduct reports a*b < c*d in 128 bits. Cross-multiplied, as weights do not divide evenly.
func lessProduct(a, b, c, d int64) bool {
	h1, l1 := bits.Mul64(uint64(max(a, 0)), uint64(b))
	h2, l2 := bits.Mul64(uint64(max(c, 0)), uint64(d))
	return h1 < h2 || h1 == h2 && l1 < l2
}
