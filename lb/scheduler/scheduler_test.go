package scheduler

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"example.org/ha/lb/pool"
)

// loads is a table of counters and of servers to pass over.
type loads struct {
	active, inactive []int64
	unusable         []bool
}

func newLoads(n int) *loads {
	return &loads{make([]int64, n), make([]int64, n), make([]bool, n)}
}

func (l *loads) Load(i int) (active, inactive int64) { return l.active[i], l.inactive[i] }
func (l *loads) Usable(i int) bool                   { return !l.unusable[i] }

// servers returns one server a weight, in address order.
func servers(weights ...int) (out []pool.RealServer) {
	for i, w := range weights {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		out = append(out, pool.RealServer{Address: netip.AddrPortFrom(a, 80), Weight: w})
	}
	return out
}

func mustNew(t *testing.T, name pool.Scheduler, s []pool.RealServer) Scheduler {
	t.Helper()
	x, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	x.Update(s)
	return x
}

func client(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{172, byte(16 + n>>16), byte(n >> 8), byte(n)})
}

// sequence picks n times and writes the servers as letters.
func sequence(s Scheduler, l Loads, n int) string {
	var b strings.Builder
	for i := range n {
		if k := s.Pick(client(i), l); k < 0 {
			b.WriteByte('-')
		} else {
			b.WriteByte('A' + byte(k))
		}
	}
	return b.String()
}

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		name    pool.Scheduler
		weights []int
		want    string
	}{
		{pool.RR, []int{1, 5, 1}, "ABCABCABC"},
		{pool.RR, []int{1, 0, 1}, "ACACAC"},
		{pool.RR, []int{0, 0}, "--"},
		{pool.WRR, []int{4, 3, 2}, "AABABCABC" + "AABABCABC"},
		{pool.WRR, []int{4, 2}, "AABAAB"},
		{pool.WRR, []int{100, 50, 50}, "AABCAABC"},
		{pool.WRR, []int{1, 1, 1}, "ABCABC"},
		{pool.WRR, []int{0, 3, 0}, "BBBB"},
		{pool.WRR, []int{0, 0}, "--"},
		{pool.WRR, nil, "-"},
	} {
		s := mustNew(t, c.name, servers(c.weights...))
		if got := sequence(s, newLoads(len(c.weights)), len(c.want)); got != c.want {
			t.Errorf("%s of %v: %s, want %s", c.name, c.weights, got, c.want)
		}
	}
}

func TestRoundRobinGoesOnAfterAnUpdate(t *testing.T) {
	all := servers(1, 1, 1, 1)
	s := mustNew(t, pool.RR, all)
	l := newLoads(4)
	sequence(s, l, 2) // B was last
	s.Update(slices.Delete(slices.Clone(all), 1, 2))
	if got := sequence(s, l, 3); got != "BCA" { // the letters of what is left: C, D, A of old
		t.Errorf("after B left: %s, want BCA", got)
	}
}

func TestLeast(t *testing.T) {
	for _, c := range []struct {
		name             pool.Scheduler
		weights          []int
		active, inactive []int64
		want             int
		why              string
	}{
		{pool.LC, []int{1, 9}, []int64{1, 1}, []int64{0, 0}, 0, "lc does not look at weights; the first of equals"},
		{pool.LC, []int{1, 1}, []int64{1, 0}, []int64{0, 255}, 1, "255 closing connections weigh less than one established"},
		{pool.LC, []int{1, 1}, []int64{1, 0}, []int64{0, 257}, 0, "257 weigh more"},
		{pool.LC, []int{1, 0}, []int64{9, 0}, []int64{0, 0}, 0, "weight 0 takes nothing"},
		{pool.WLC, []int{1, 3}, []int64{1, 2}, []int64{0, 0}, 1, "2/3 is less than 1/1"},
		{pool.WLC, []int{1, 3}, []int64{0, 0}, []int64{0, 0}, 0, "idle servers are equal whatever their weights"},
		{pool.SED, []int{1, 3}, []int64{0, 0}, []int64{0, 0}, 1, "sed counts the newcomer: 1/3 is less than 1/1"},
		{pool.SED, []int{1, 3}, []int64{0, 3}, []int64{0, 0}, 0, "4/3 is more than 1/1"},
		{pool.NQ, []int{1, 9}, []int64{0, 1}, []int64{0, 0}, 0, "nq takes the idle one though 1/1 is more than 2/9"},
		{pool.NQ, []int{1, 9}, []int64{1, 1}, []int64{0, 0}, 1, "nobody idle: as sed"},
		{pool.NQ, []int{0, 9}, []int64{0, 1}, []int64{0, 0}, 1, "idle but drained"},
		{"", []int{1, 3}, []int64{1, 2}, []int64{0, 0}, 1, "the default is wlc"},
	} {
		s := mustNew(t, c.name, servers(c.weights...))
		if got := s.Pick(client(0), &loads{c.active, c.inactive, make([]bool, len(c.weights))}); got != c.want {
			t.Errorf("%s: picked %d, want %d: %s", c.name, got, c.want, c.why)
		}
	}
}

func TestShareFollowsWeight(t *testing.T) {
	const picks = 40_000
	weights := []int{1, 2, 5}
	for _, name := range pool.Schedulers() {
		t.Run(string(name), func(t *testing.T) {
			s, l := mustNew(t, name, servers(weights...)), newLoads(3)
			got := make([]int, 3)
			r := rand.New(rand.NewPCG(1, 2))
			for i := range picks {
				k := s.Pick(client(int(r.Uint32()&0xffffff)), l)
				got[k]++
				l.active[k]++ // nobody leaves: least schedulers fill up in proportion
				_ = i
			}
			want := weights
			if name == pool.RR || name == pool.LC {
				want = []int{1, 1, 1}
			}
			sum := want[0] + want[1] + want[2]
			for i := range got {
				share := float64(got[i]) / picks
				if fair := float64(want[i]) / float64(sum); share < fair*0.93 || share > fair*1.07 {
					t.Errorf("server %d of weight %d: share %.3f, want %.3f", i, weights[i], share, fair)
				}
			}
		})
	}
}

// Whatever the scheduler: a server that takes connections is found, one that takes none is not.
func TestNeverPicksWhatTakesNone(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, name := range pool.Schedulers() {
		s := mustNew(t, name, nil)
		if got := s.Pick(client(1), newLoads(0)); got != -1 {
			t.Errorf("%s: picked %d of none", name, got)
		}
		for round := range 400 {
			n := 1 + r.IntN(6)
			ws := make([]int, n)
			l := newLoads(n)
			any := false
			for i := range ws {
				ws[i] = r.IntN(4) * r.IntN(30)
				l.unusable[i] = r.IntN(3) == 0
				l.active[i] = int64(r.IntN(5))
				any = any || ws[i] > 0 && !l.unusable[i]
			}
			s.Update(servers(ws...))
			for range 8 {
				k := s.Pick(client(r.IntN(1<<20)), l)
				if any && (k < 0 || ws[k] == 0 || l.unusable[k]) || !any && k != -1 {
					t.Fatalf("%s round %d: picked %d; weights %v, unusable %v", name, round, k, ws, l.unusable)
				}
			}
		}
	}
}

func TestHashIsStable(t *testing.T) {
	for _, name := range []pool.Scheduler{pool.SH, pool.MH} {
		a, b := mustNew(t, name, servers(1, 2, 3)), mustNew(t, name, servers(1, 2, 3))
		l := newLoads(3)
		for i := range 1000 {
			if x, y := a.Pick(client(i), l), b.Pick(client(i), l); x != y {
				t.Fatalf("%s: two nodes send client %d to %d and %d", name, i, x, y)
			}
		}
	}
}

func TestMaglevMovesFew(t *testing.T) {
	const clients = 20_000
	ws := slices.Repeat([]int{1}, 10)
	all := servers(ws...)
	s, l := mustNew(t, pool.MH, all), newLoads(10)
	before := make([]netip.AddrPort, clients)
	for i := range before {
		before[i] = all[s.Pick(client(i), l)].Address
	}
	count := func(now []pool.RealServer, gone netip.AddrPort) (moved, others int) {
		for i := range before {
			if before[i] == gone {
				continue
			}
			others++
			if now[s.Pick(client(i), l)].Address != before[i] {
				moved++
			}
		}
		return moved, others
	}
	drained := slices.Clone(all)
	drained[3].Weight = 0
	s.Update(drained)
	if moved, _ := count(drained, all[3].Address); moved != 0 {
		t.Errorf("draining one server moved %d clients of others", moved)
	}
	left := slices.Delete(slices.Clone(all), 3, 4)
	s.Update(left)
	if moved, others := count(left, all[3].Address); moved*100 > others*5 {
		t.Errorf("one of ten leaving moved %d of %d clients of others", moved, others)
	}
}

func TestSourceHashSlots(t *testing.T) {
	s := &sourceHash{}
	s.Update(servers(1, 0, 3))
	// Each as many slots in a row as it weighs; weight 0 still fills one.
	for i, want := range []int32{0, 1, 2, 2, 2, 0, 1, 2, 2, 2} {
		if s.slots[i] != want {
			t.Errorf("slot %d: server %d, want %d", i, s.slots[i], want)
		}
	}
	// hash_32(0xac100001, 8) is the top byte of the product with 0x61C88647.
	a := netip.MustParseAddr("172.16.0.1")
	folded := uint32(0xac100001)
	want := s.slots[folded*0x61C88647>>24]
	l := newLoads(3)
	if want == 1 {
		t.Fatal("the example must not hash to the drained server")
	}
	if got := s.Pick(a, l); got != int(want) {
		t.Errorf("got server %d, want %d", got, want)
	}
	if v4, mapped := s.Pick(a, l), s.Pick(netip.AddrFrom16(a.As16()), l); v4 != mapped {
		t.Errorf("an IPv4 client is another one when mapped: %d, %d", v4, mapped)
	}
}

// The kernel's own vector (lib/tests/siphash_kunit.c, 64-bit hsiphash, four bytes 0, 1, 2, 3).
func TestHashIsTheKernels(t *testing.T) {
	if got := sipHash13(0x03020100, 0x0706050403020100, 0x0f0e0d0c0b0a0908); got != 0x88d38328 {
		t.Errorf("got %#x, want 0x88d38328", got)
	}
}

func TestUnknownNameIsAnError(t *testing.T) {
	if _, err := New("best"); err == nil || !strings.Contains(err.Error(), `"best"`) {
		t.Errorf("error %v, want one that quotes the name", err)
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, name := range pool.Schedulers() {
		s, l := mustNew(t, name, servers(1, 2, 3)), newLoads(3)
		c := client(7)
		if n := testing.AllocsPerRun(100, func() { s.Pick(c, l) }); n != 0 {
			t.Errorf("%s: %v allocations a pick", name, n)
		}
	}
}

func Example() {
	s, _ := New(pool.WRR)
	s.Update([]pool.RealServer{
		{Address: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 2},
		{Address: netip.MustParseAddrPort("10.0.0.2:80"), Weight: 1},
	})
	idle := &loads{make([]int64, 2), make([]int64, 2), make([]bool, 2)}
	for range 6 {
		fmt.Print(s.Pick(netip.MustParseAddr("192.0.2.1"), idle), " ")
	}
	// Output: 0 0 1 0 0 1
}

// Who takes nothing costs no passes: this must not go through 65,535 of them for each pick.
func TestWRRPassesOverTheHeavyAtOnce(t *testing.T) {
	s := servers(65535, 65534, 2, 1)
	l := newLoads(4)
	l.unusable[0], l.unusable[1] = true, true
	picks := testing.Benchmark(func(b *testing.B) {
		x, _ := New(pool.WRR)
		x.Update(s)
		for b.Loop() {
			x.Pick(client(0), l)
		}
	})
	if each := picks.NsPerOp(); each > 20_000 {
		t.Errorf("%d ns a pick", each)
	}
	x := mustNew(t, pool.WRR, s)
	if got := sequence(x, l, 6); got != "CCDCCD" {
		t.Errorf("picked %s, want C twice as often as D", got)
	}
	l.unusable[2], l.unusable[3] = true, true
	if got := sequence(x, l, 2); got != "--" {
		t.Errorf("picked %s where nobody takes any", got)
	}
}
