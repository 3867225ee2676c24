package gossip

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// A pair, or more, of hosts wired to each other without a network in between.
type wired struct {
	cores []*Core
	now   time.Time
	queue []flight
}

type flight struct {
	from, to netip.AddrPort
	packet   []byte
}

func newWired(t testing.TB, n int, interval time.Duration, tune func(i int, cfg *Config)) *wired {
	t.Helper()
	w := &wired{now: time.Unix(1e9, 0)}
	for i := range n {
		cfg := Config{
			Name: testName(i), Cluster: "test", Keys: []Key{testKey}, Boot: [16]byte{byte(i + 1)},
			Interval: interval, Rand: rand.New(rand.NewPCG(1, uint64(i))),
		}
		if tune != nil {
			tune(i, &cfg)
		}
		core, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.cores = append(w.cores, core)
	}
	for i := range w.cores {
		w.do(i, Join{Addrs: addrs(0, n)})
	}
	w.deliver()
	return w
}

// do steps host i and keeps what it sends; it returns the other effects.
func (w *wired) do(i int, ev Event) []Effect {
	var other []Effect
	for _, e := range w.cores[i].Step(w.now, ev) {
		if s, ok := e.(*Send); ok {
			w.queue = append(w.queue, flight{testAddr(i), s.To, append([]byte(nil), s.Packet...)})
			continue
		}
		other = append(other, e)
	}
	return other
}

// deliver delivers all datagrams that are on the way, and those they cause.
func (w *wired) deliver() {
	for len(w.queue) > 0 {
		f := w.queue[0]
		w.queue = w.queue[1:]
		for i := range w.cores {
			if testAddr(i) == f.to {
				w.do(i, Heard{From: f.from, Packet: f.packet})
			}
		}
	}
}

// run lets intervals pass, in which all is delivered at once.
func (w *wired) run(intervals int) {
	for range intervals {
		w.now = w.now.Add(w.cores[0].cfg.Interval)
		for i := range w.cores {
			w.do(i, nil)
		}
		w.deliver()
	}
}

// interval lets one interval pass without a copy in between.
func (w *wired) interval() {
	w.now = w.now.Add(w.cores[0].cfg.Interval)
	for i := range w.cores {
		for _, e := range w.cores[i].Step(w.now, nil) {
			s, ok := e.(*Send)
			if !ok {
				continue
			}
			for j := range w.cores {
				if testAddr(j) == s.To {
					w.cores[j].Step(w.now, Heard{From: testAddr(i), Packet: s.Packet})
				}
			}
		}
	}
}

func TestBeatsDoNotAllocate(t *testing.T) {
	w := newWired(t, 3, 10*time.Millisecond, func(i int, cfg *Config) {
		cfg.Name += "-with-a-name-that-does-not-fit-into-a-small-buffer"
	})
	for i := range w.cores {
		w.do(i, Say{Topic: Adverts, Body: make([]byte, 40)})
	}
	w.run(200)
	before := w.cores[0].Counters()
	const runs = 100
	if n := testing.AllocsPerRun(runs, w.interval); n != 0 {
		t.Errorf("an interval of three hosts allocates %v times, want 0", n)
	}
	after := w.cores[0].Counters()
	if n := after.Sent - before.Sent; n < 2*(runs+1) {
		t.Errorf("%d beats sent in %d intervals", n, runs+1)
	}
	if n := after.Heard - before.Heard; n < 2*(runs+1) {
		t.Errorf("%d beats heard in %d intervals", n, runs+1)
	}
}

// BenchmarkInterval is the work of one host of three in one interval: two beats
// sent, two heard.
func BenchmarkInterval(b *testing.B) {
	w := newWired(b, 3, 10*time.Millisecond, nil)
	for i := range w.cores {
		w.do(i, Say{Topic: Adverts, Body: make([]byte, 40)})
	}
	w.run(200)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		w.interval()
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/3, "ns/host")
}
