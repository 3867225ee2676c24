package txnlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
)

// A segment is a log file that is read from its start.
type segment struct {
	name string
	f    File
	size int64
	r    *bufio.Reader
	off  int64 // where the next record begins
	buf  []byte
}

// errUnborn says that a log file has a name and nothing else: a crash came before its header was synced.
var errUnborn = errors.New("log file without contents")

func openSegment(fs FS, name string) (*segment, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("txnlog: open log: %w", err)
	}
	s := &segment{name: name, f: f, off: headerSize}
	if err := s.begin(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

// begin checks the header.
func (s *segment) begin() error {
	var err error
	if s.size, err = s.f.Size(); err != nil {
		return fmt.Errorf("txnlog: size of %s: %w", s.name, err)
	}
	s.r = bufio.NewReaderSize(io.NewSectionReader(s.f, 0, s.size), 256<<10)
	var header [headerSize]byte
	n, err := io.ReadFull(s.r, header[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fmt.Errorf("txnlog: read %s: %w", s.name, err)
	}
	magic, v := binary.BigEndian.Uint32(header[:]), binary.BigEndian.Uint32(header[4:])
	if n == headerSize && magic == logMagic && v == version {
		return nil
	}
	end, err := dataEnd(s.f, 0, s.size)
	switch {
	case err != nil:
		return fmt.Errorf("txnlog: read %s: %w", s.name, err)
	case end == 0, end <= headerSize && n < headerSize:
		return errUnborn
	}
	return &DamageError{s.name, 0, fmt.Sprintf("not a transaction log: magic %08x, version %d", magic, v)}
}

func (s *segment) close() { _ = s.f.Close() }

// next is the record at off, valid until the next call. Without an error and without a record, what is
// at off is no whole record: tail says what it is.
func (s *segment) next() ([]byte, error) {
	prefix, err := s.r.Peek(prefixSize)
	if err != nil {
		return nil, s.shortRead(err)
	}
	sum, n := binary.BigEndian.Uint64(prefix), int64(binary.BigEndian.Uint32(prefix[8:]))
	if n < minRecord || n > s.size-s.off-frameSize {
		return nil, nil
	}
	if int64(cap(s.buf)) < n+frameSize {
		s.buf = make([]byte, max(n+frameSize, 4<<10))
	}
	p := s.buf[:n+frameSize]
	if _, err := io.ReadFull(s.r, p); err != nil {
		return nil, s.shortRead(err)
	}
	record := p[prefixSize : prefixSize+n]
	if p[prefixSize+n] != endOfTxn || uint64(adler32.Checksum(record)) != sum {
		return nil, nil
	}
	s.off += n + frameSize
	return record, nil
}

func (s *segment) shortRead(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return fmt.Errorf("txnlog: read %s at %d: %w", s.name, s.off, err)
}

// tail judges what stands at off, where no whole record is; see tail.judge.
func (s *segment) tail(window, last, base int64) (tail, error) {
	end, err := dataEnd(s.f, s.off, s.size)
	if err != nil {
		return tail{}, fmt.Errorf("txnlog: read %s: %w", s.name, err)
	}
	t := tail{off: s.off, end: end}
	if end <= s.off {
		return t, nil
	}
	if end-s.off > window {
		t.reason = fmt.Sprintf("no valid record here, but %d bytes of data follow: more than one write", end-s.off)
		return t, nil
	}
	// Up to the end of the last sector of the data: what follows is zero, as if read.
	rest := make([]byte, min(end+sector, s.size)-s.off)
	if _, err := s.f.ReadAt(rest, s.off); err != nil && err != io.EOF {
		return tail{}, fmt.Errorf("txnlog: read %s at %d: %w", s.name, s.off, err)
	}
	t.judge(rest, s.size, window, last, base)
	return t, nil
}

// dataEnd is the offset behind the last byte of [from, size) that is not zero; from if all are.
func dataEnd(r io.ReaderAt, from, size int64) (int64, error) {
	buf := make([]byte, 256<<10)
	end := from
	for off := from; off < size; {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if n == 0 && err != nil {
			if err == io.EOF {
				break
			}
			return 0, err
		}
		if i := lastNonZero(buf[:n]); i >= 0 {
			end = off + int64(i) + 1
		}
		off += int64(n)
	}
	return end, nil
}

// lastNonZero is the index of the last byte that is not zero, -1 if there is none. Zero tails are long:
// eight bytes at a time.
func lastNonZero(p []byte) int {
	i := len(p)
	for i >= 8 && binary.NativeEndian.Uint64(p[i-8:]) == 0 {
		i -= 8
	}
	for i--; i >= 0 && p[i] == 0; i-- {
	}
	return i
}
