package clientport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSplitWherever(t *testing.T) {
	stream := slices.Concat(frame("first"), frame(""), frame("third, longer"), frame("4"))
	for first := range len(stream) {
		for second := first; second <= len(stream); second++ {
			s := splitter{max: 100}
			var got []byte
			count := 0
			for _, part := range [][]byte{stream[:first], stream[first:second], stream[second:]} {
				frames, n, err := s.split(part)
				if err != nil {
					t.Fatal(err)
				}
				got, count = append(got, frames...), count+n
			}
			if !bytes.Equal(got, stream) || count != 4 || s.part != nil {
				t.Fatalf("cut at %d and %d: %d frames %q, left %q", first, second, count, got, s.part)
			}
		}
	}
}

// The bytes that come are not kept: the reader's buffer is for others too.
func TestSplitCopies(t *testing.T) {
	s := splitter{max: 100}
	buf := slices.Concat(frame("one"), frame("two")[:5])
	frames, _, _ := s.split(buf)
	clear(buf)
	if !bytes.Equal(frames, frame("one")) {
		t.Errorf("got %q", frames)
	}
	copy(buf, "wo")
	if frames, _, _ = s.split(buf[:2]); !bytes.Equal(frames, frame("two")) {
		t.Errorf("got %q", frames)
	}
}

func TestSplitLimits(t *testing.T) {
	length := func(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	for _, c := range []struct {
		name string
		in   []byte
		good int
		want error
	}{
		{"as long as allowed", frame("0123456789"), 1, nil},
		{"one longer", frame("01234567890"), 0, FrameTooLong},
		{"negative", length(-1), 0, FrameNegative},
		{"most negative", length(-1 << 31), 0, FrameNegative},
		{"longest", length(1<<31 - 1), 0, FrameTooLong},
		{"after good ones", slices.Concat(frame("a"), frame("b"), length(-7), frame("c")), 2, FrameNegative},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := splitter{max: 10}
			if frames, n, err := s.split(c.in); n != c.good || !errors.Is(err, c.want) || len(frames) != c.good*5 && c.want != nil {
				t.Errorf("%d frames %q, %v", n, frames, err)
			}
			s, n := splitter{max: 10}, 0
			var err error
			for i := range c.in {
				var k int
				if _, k, err = s.split(c.in[i : i+1]); err != nil {
					break
				}
				n += k
			}
			if n != c.good || !errors.Is(err, c.want) {
				t.Errorf("byte by byte: %d frames, %v", n, err)
			}
		})
	}
}

// An announcement costs nothing.
func TestSplitAllocatesWhatCame(t *testing.T) {
	s := splitter{max: 1 << 30}
	if _, _, err := s.split(append(binary.BigEndian.AppendUint32(nil, 1<<30), 1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.split(make([]byte, 1000)); err != nil || cap(s.part) > 4096 {
		t.Errorf("%d bytes kept for 1005, %v", cap(s.part), err)
	}
}

func TestSplitMarksLargeFramesOnce(t *testing.T) {
	stream := slices.Concat(frame("small"), frame("just above"), frame("ninebytes"), frame("quite large it is"))
	for size := 1; size <= len(stream); size++ {
		s := splitter{max: 100, large: 9}
		for part := range slices.Chunk(stream, size) {
			if _, _, err := s.split(part); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(s.marks, []mark{{2, 10}, {4, 17}}) {
			t.Errorf("in pieces of %d: %v", size, s.marks)
		}
	}
}

func TestSniff(t *testing.T) {
	for _, c := range []struct {
		in   string
		max  int
		want opening
	}{
		{"", 100, unclear}, {"ruo", 100, unclear}, {"ruok", 100, aWord}, {"ruok\n", 100, aWord}, {"xyzw", 100, framed},
		{"stmk1234567", 100, unclear}, {"stmk12345678", 100, aWord},
		{"\xff\xf4\xff\xfd", 100, telnet}, {"GET / HTTP/1.1", 100, http}, {"HEAD", 100, http}, {"POST", 100, http},
		{"\x16\x03\x01\x02", 100, hello}, {"\x16\x03\x01\x02", 1 << 30, framed}, {"\x16\x03\x09\x02", 100, framed},
		{"\x00\x00\x00\x2d", 100, framed},
	} {
		if got := sniff([]byte(c.in), c.max); got != c.want {
			t.Errorf("%q: %v, want %v", c.in, got, c.want)
		}
	}
}

// However a stream is cut, the same frames come out, and the same end.
func FuzzSplit(f *testing.F) {
	f.Add(slices.Concat(frame("a"), frame(""), frame("bcd")), uint64(1))
	f.Add([]byte{0, 0, 0, 1, 'x', 0xff, 0xff, 0xff, 0xff}, uint64(2))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		const most = 1000
		wantFrames, wantBad := []byte(nil), false
		for rest := stream; len(rest) >= 4; {
			n := int64(int32(binary.BigEndian.Uint32(rest)))
			if wantBad = n < 0 || n > most; wantBad || int64(len(rest)) < 4+n {
				break
			}
			wantFrames, rest = append(wantFrames, rest[:4+n]...), rest[4+n:]
		}
		r := rand.New(rand.NewPCG(seed, 0))
		s := splitter{max: most, large: 50}
		var got []byte
		var err error
		for rest := stream; len(rest) > 0 && err == nil; {
			n := 1 + r.IntN(len(rest))
			var frames []byte
			frames, _, err = s.split(rest[:n])
			got, rest = append(got, frames...), rest[n:]
		}
		if !bytes.Equal(got, wantFrames) || wantBad != (err != nil) {
			t.Errorf("%d bytes of frames, want %d; %v", len(got), len(wantFrames), err)
		}
		sniff(stream, most)
	})
}
