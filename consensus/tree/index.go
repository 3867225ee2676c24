package tree

import (
	"hash/maphash"
	"math/bits"
)

// An index finds a znode by its path: a hash table with chains through the znodes themselves. It grows a
// bucket at a time (linear hashing), so that no insertion waits while a million znodes move.
//
//	buckets below split and from low on   hash mod 2*low
//	the others                            hash mod low
type index struct {
	seed     maphash.Seed
	segments [][]*Node // bucket i is segments[i/segment][i%segment]
	len      int       // znodes
	low      uint32    // power of two
	split    uint32    // next bucket to be divided
}

const segment = 512

func newIndex() index {
	return index{seed: maphash.MakeSeed(), segments: [][]*Node{make([]*Node, segment)}, low: segment}
}

func (x *index) bucket(hash uint32) **Node {
	i := hash & (x.low - 1)
	if i < x.split {
		i = hash & (2*x.low - 1)
	}
	return &x.segments[i/segment][i%segment]
}

func (x *index) find(path string) *Node {
	hash := uint32(maphash.String(x.seed, path))
	for n := *x.bucket(hash); n != nil; n = n.chain {
		if n.hash == hash && n.path == path {
			return n
		}
	}
	return nil
}

func (x *index) insert(n *Node) {
	n.hash = uint32(maphash.String(x.seed, n.path))
	x.put(n)
}

// put inserts a znode that has its hash.
func (x *index) put(n *Node) {
	b := x.bucket(n.hash)
	n.chain, *b = *b, n
	if x.len++; x.len > int(x.low+x.split) {
		x.grow()
	}
}

// reserve makes an empty index as large as n znodes need.
func (x *index) reserve(n int) {
	if x.len > 0 || n <= segment {
		return
	}
	x.low = 1 << (bits.Len(uint(n)) - 1)
	x.split = uint32(n) - x.low
	x.segments = make([][]*Node, (n+segment-1)/segment)
	for i := range x.segments {
		x.segments[i] = make([]*Node, segment)
	}
}

// grow divides one bucket between itself and a new one at the end.
func (x *index) grow() {
	end := x.low + x.split
	if end/segment == uint32(len(x.segments)) {
		x.segments = append(x.segments, make([]*Node, segment))
	}
	old := x.bucket(x.split)
	rest := *old
	*old = nil
	if x.split++; x.split == x.low {
		x.low, x.split = 2*x.low, 0
	}
	for rest != nil {
		n := rest
		rest = n.chain
		b := x.bucket(n.hash)
		n.chain, *b = *b, n
	}
}

func (x *index) remove(n *Node) {
	b := x.bucket(n.hash)
	for *b != n {
		b = &(*b).chain
	}
	*b, n.chain = n.chain, nil
	x.len--
}

// twice is a znode whose path another has too, nil if there is none. Insertion does not look: in a loop of
// its own, over all buckets, looking costs a tenth.
func (x *index) twice() *Node {
	for i := range x.low + x.split {
		for n := x.segments[i/segment][i%segment]; n != nil; n = n.chain {
			for m := n.chain; m != nil; m = m.chain {
				if m.hash == n.hash && m.path == n.path {
					return n
				}
			}
		}
	}
	return nil
}
