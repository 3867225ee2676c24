package txnlog

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// What a group costs on the disk of this machine: its latency, and the time for each record.
func BenchmarkGroup(b *testing.B) {
	for _, n := range []int{1, 16, 128, 3000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			s, err := Open(Config{DataDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Load(nil, nil); err != nil {
				b.Fatal(err)
			}
			s.hasSnapshot = true
			ctx := b.Context()
			go func() { _ = s.Run(ctx) }()
			g := groupOf(1, int64(n))
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				s.Groups() <- g
				if w := <-s.Written(); w.Err != nil {
					b.Fatal(w.Err)
				}
				took = append(took, time.Since(began))
				g.First, g.Last = g.First+int64(n), g.Last+int64(n)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
		})
	}
}

// Checking a snapshot of 100,000 znodes of 100 bytes, as every load does first.
func BenchmarkWalk(b *testing.B) {
	var file bytes.Buffer
	e, _ := NewSnapshotEncoder(&file)
	body := jute.AppendInt(jute.AppendInt(nil, 0), 0)
	st := jute.StatPersisted{Czxid: 1}
	for i := range 100000 {
		body = jute.AppendBuffer(jute.AppendString(body, fmt.Sprintf("/bench/node%07d", i)), bytes.Repeat([]byte{'x'}, 100))
		body = st.AppendTo(jute.AppendLong(body, -1))
	}
	_, _ = e.Write(append(body, terminator...))
	_ = e.Seal(1, 1)
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		if _, _, err := walkSnapshot(bytes.NewReader(file.Bytes()), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// Reading a log.
func BenchmarkSegment(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(Config{DataDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.hasSnapshot = true
	for first := int64(1); first < 100000; first += 1000 {
		if w := s.write(groupOf(first, first+999)); w.Err != nil {
			b.Fatal(w.Err)
		}
	}
	for b.Loop() {
		if info, err := ReadLog(nil, s.current.name, func(int64, []byte) error { return nil }); err != nil || info.Records != 100000 {
			b.Fatal(info, err)
		}
	}
}
