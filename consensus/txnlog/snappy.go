package txnlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/golang/snappy"
)

// Snapshots called .snappy are framed as snappy-java does it: 8 bytes of magic, version 1, least compatible
// version 1, then chunks of an int length and a snappy block. A header may stand again where a chunk could:
// streams may be joined.
var snappyMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	snappyBlock  = 32 << 10 // uncompressed bytes of a chunk that we write: snappy-java's default
	maxSnappy    = 32 << 20 // of one that we read
	snappyHeader = 16
)

var errSnappy = errors.New("not snappy framing")

type snappyWriter struct {
	w     io.Writer
	block []byte
	out   []byte
}

func newSnappyWriter(w io.Writer) (*snappyWriter, error) {
	head := append([]byte(nil), snappyMagic...)
	head = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(head, 1), 1)
	_, err := w.Write(head)
	return &snappyWriter{w: w, block: make([]byte, 0, snappyBlock), out: make([]byte, 4+snappy.MaxEncodedLen(snappyBlock))}, err
}

func (s *snappyWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), snappyBlock-len(s.block))
		s.block = append(s.block, p[:n]...)
		p = p[n:]
		if len(s.block) == snappyBlock {
			if err := s.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (s *snappyWriter) flush() error {
	if len(s.block) == 0 {
		return nil
	}
	enc := snappy.Encode(s.out[4:], s.block)
	binary.BigEndian.PutUint32(s.out, uint32(len(enc)))
	s.block = s.block[:0]
	_, err := s.w.Write(s.out[:4+len(enc)])
	return err
}

func (s *snappyWriter) Close() error { return s.flush() }

type snappyReader struct {
	r    io.Reader
	in   []byte
	out  []byte
	rest []byte // of out
}

func newSnappyReader(r io.Reader) (*snappyReader, error) {
	s := &snappyReader{r: r}
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:]) != string(snappyMagic) {
		return nil, errors.Join(errSnappy, notEOF(err))
	}
	return s, s.versions()
}

// versions reads what follows the magic.
func (s *snappyReader) versions() error {
	var head [snappyHeader - 8]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return errors.Join(errSnappy, notEOF(err))
	}
	if v := binary.BigEndian.Uint32(head[4:]); v > 1 {
		return fmt.Errorf("%w: needs version %d", errSnappy, v)
	}
	return nil
}

func notEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if err := s.chunk(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *snappyReader) chunk() error {
	var head [8]byte
	if _, err := io.ReadFull(s.r, head[:4]); err != nil {
		return err // io.EOF between chunks is the end
	}
	if string(head[:4]) == string(snappyMagic[:4]) {
		if _, err := io.ReadFull(s.r, head[4:]); err != nil || string(head[4:]) != string(snappyMagic[4:]) {
			return errors.Join(errSnappy, notEOF(err))
		}
		return s.versions()
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n > maxSnappy {
		return fmt.Errorf("%w: chunk of %d bytes", errSnappy, n)
	}
	var err error
	if s.in, err = readGrowing(s.r, s.in[:0], int(n)); err != nil {
		return fmt.Errorf("%w: chunk cut short", errSnappy)
	}
	size, err := snappy.DecodedLen(s.in)
	if err != nil || size > maxSnappy {
		return fmt.Errorf("%w: block of %d bytes", errSnappy, size)
	}
	if s.out, err = snappy.Decode(s.out[:cap(s.out)], s.in); err != nil {
		return fmt.Errorf("%w: %w", errSnappy, err)
	}
	s.rest = s.out
	return nil
}

// readGrowing appends n bytes of r to b. It takes memory for what comes, not for what a length claims.
func readGrowing(r io.Reader, b []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, 1<<20)
		if cap(b)-len(b) < step {
			b = append(make([]byte, 0, max(2*cap(b), len(b)+step)), b...)
		}
		at := len(b)
		b = b[:at+step]
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return b[:at], err
		}
		n -= step
	}
	return b, nil
}
