package clientport

import (
	"encoding/binary"
	"fmt"
	"slices"

	"example.org/ha/consensus/fourletter"
)

// A splitter cuts a stream of bytes into frames: an int length, then that many bytes. What it keeps of an
// unfinished frame grows with what came, never with what was announced.
type splitter struct {
	max   int    // longest frame
	large int    // frames above it are marked; 0: none
	part  []byte // the beginning of a frame, its length first
	seen  int64  // whole frames so far
	marks []mark // large frames whose length came since somebody took them away
}

// A mark is a large frame, finished or not.
type mark struct {
	frame int64 // the first of the connection is 1
	bytes int
}

const lengthSize = 4

// split takes the next bytes and returns the whole frames they complete, in memory of their own. After an
// error nothing more can be read; the frames that came before it are good.
func (s *splitter) split(data []byte) (frames []byte, count int, err error) {
	if len(s.part) > 0 {
		if frames, data, err = s.finish(data); err != nil || frames == nil {
			return nil, 0, err
		}
		count = 1
	}
	whole := 0
	for len(data)-whole >= lengthSize {
		var n int
		if n, err = s.length(data[whole:], int64(count)+1); err != nil || len(data)-whole-lengthSize < n {
			break
		}
		whole += lengthSize + n
		count++
	}
	s.seen += int64(count)
	if whole > 0 {
		frames = append(frames, data[:whole]...)
	}
	if rest := data[whole:]; err == nil && len(rest) > 0 {
		s.part = slices.Clone(rest)
	}
	return frames, count, err
}

// finish adds to the unfinished frame; it returns the frame once it is whole, and what follows it.
func (s *splitter) finish(data []byte) (frame, rest []byte, err error) {
	if missing := lengthSize - len(s.part); missing > 0 {
		k := min(missing, len(data))
		s.part, data = append(s.part, data[:k]...), data[k:]
		if k < missing {
			return nil, nil, nil
		}
		if _, err := s.length(s.part, 1); err != nil {
			return nil, nil, err
		}
	}
	size := lengthSize + int(binary.BigEndian.Uint32(s.part))
	k := min(size-len(s.part), len(data))
	if need := len(s.part) + k; need > cap(s.part) {
		grown := make([]byte, len(s.part), min(size, max(need, 2*cap(s.part))))
		copy(grown, s.part)
		s.part = grown
	}
	s.part, data = append(s.part, data[:k]...), data[k:]
	if len(s.part) < size {
		return nil, nil, nil
	}
	frame, s.part = s.part, nil
	return frame, data, nil
}

// length reads the length of the frame that is the next after those seen.
func (s *splitter) length(b []byte, next int64) (int, error) {
	n := int32(binary.BigEndian.Uint32(b))
	switch {
	case n < 0:
		return 0, fmt.Errorf("%w: %d", FrameNegative, n)
	case int(n) > s.max:
		return 0, fmt.Errorf("%w: %d bytes, at most %d", FrameTooLong, n, s.max)
	}
	if s.large > 0 && int(n) > s.large {
		s.marks = append(s.marks, mark{s.seen + next, int(n)})
	}
	return int(n), nil
}

// lengthOf is how many bytes the first n frames have.
func lengthOf(frames []byte, n int) (bytes int) {
	for range n {
		bytes += lengthSize + int(binary.BigEndian.Uint32(frames[bytes:]))
	}
	return bytes
}

// What the first bytes of a connection are.
type opening int

const (
	unclear opening = iota // more are needed
	framed
	aWord
	telnet // Ctrl-C of a telnet client, a command that ZooKeeper's servers close on
	http
	hello // of TLS
)

var telnetInterrupt = [lengthSize]byte{0xff, 0xf4, 0xff, 0xfd}

// HTTP's methods are lengths above 1 GiB, a hello is one of 369 MB: where a frame may be as long as that
// it is taken for a frame.
func sniff(b []byte, maxFrame int) opening {
	if len(b) < lengthSize {
		return unclear
	}
	head := b[:lengthSize]
	switch {
	case fourletter.IsWord(head):
		if string(head) == "stmk" && len(b) < lengthSize+fourletter.MaskLen {
			return unclear
		}
		return aWord
	case [lengthSize]byte(head) == telnetInterrupt:
		return telnet
	case slices.Contains([]string{"GET ", "HEAD", "POST", "PUT ", "OPTI", "DELE", "PRI "}, string(head)):
		return http
	case isHello(b) && int64(binary.BigEndian.Uint32(b)) > int64(maxFrame):
		return hello
	}
	return framed
}

// isHello recognises the record that begins TLS: a handshake, of any version since SSL 3. On a port that
// takes both, the first byte decides alone.
func isHello(b []byte) bool {
	return b[0] == 22 && (len(b) < 2 || b[1] == 3) && (len(b) < 3 || b[2] <= 4)
}

// What strangers are told.
const (
	httpAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" +
		"This is the port of ZooKeeper's clients, which do not speak HTTP.\n"
	tlsAnswer = "\x15\x03\x01\x00\x02\x02\x28" // alert: fatal, handshake_failure
)
