package txnlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"example.org/ha/consensus/jute"
)

// A Znode is one of a snapshot. Its fields are valid until the next.
type Znode struct {
	Path []byte // of the root: empty
	Data []byte // nil: null
	ACL  int64  // number in the snapshot's table, -1 open
	Stat jute.StatPersisted
}

// A SnapshotInfo is what reading a snapshot to its end tells.
type SnapshotInfo struct {
	Sessions, ACLs, Znodes int
	DataBytes              int64
	Body                   int64          // bytes after the header up to and with the terminator
	MaxZxid                int64          // of any znode's stat
	Digest                 jute.TxnDigest // of the digest section; Version 0: there is none
	DigestZxid             int64          // the tree that Digest is of
	LastZxid               int64          // of the section of 3.9; -1: there is none
	Computed               uint64         // the digest of the znodes that are there
	stat                   [statSize]byte
}

const (
	statSize = 60
	maxACLs  = 1 << 26
)

var (
	errShortSnapshot = errors.New(cutShort)
	errChecksum      = errors.New("checksum mismatch")
)

// A sumReader reads through a buffer and keeps the Adler-32 of what was consumed, no more.
type sumReader struct {
	src    io.Reader
	buf    []byte
	r, w   int
	summed int   // buf[:summed] is in adler
	base   int64 // offset of buf[0]
	adler  hash.Hash32
	err    error
}

func newSumReader(src io.Reader) *sumReader {
	return &sumReader{src: src, buf: make([]byte, 256<<10), adler: adler32.New()}
}

func (s *sumReader) offset() int64 { return s.base + int64(s.r) }

// next is the next n bytes, valid until the next call; nil after an error.
func (s *sumReader) next(n int) []byte {
	if s.err != nil {
		return nil
	}
	if s.w-s.r < n && !s.fill(n) {
		return nil
	}
	p := s.buf[s.r : s.r+n]
	s.r += n
	return p
}

// fill makes n bytes available. The buffer grows with what comes, not with what a length claims.
func (s *sumReader) fill(n int) bool {
	s.consumed()
	copy(s.buf, s.buf[s.r:s.w])
	s.base += int64(s.r)
	s.w, s.r, s.summed = s.w-s.r, 0, 0
	for s.w < n {
		if s.w == len(s.buf) {
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
		got, err := s.src.Read(s.buf[s.w:])
		s.w += got
		if err != nil && s.w < n {
			s.err = err
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				s.err = errShortSnapshot
			}
			return false
		}
	}
	return true
}

// consumed is the checksum so far.
func (s *sumReader) consumed() uint32 {
	_, _ = s.adler.Write(s.buf[s.summed:s.r])
	s.summed = s.r
	return s.adler.Sum32()
}

func (s *sumReader) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *sumReader) int() int32 {
	if p := s.next(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (s *sumReader) long() int64 {
	if p := s.next(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// length reads that of a string or a buffer; -1 is null.
func (s *sumReader) length() int {
	n := s.int()
	if n < -1 {
		s.fail(fmt.Errorf("length %d", n))
		return 0
	}
	return int(n)
}

func (s *sumReader) buffer() []byte {
	n := s.length()
	if n < 0 || s.err != nil {
		return nil
	}
	if p := s.next(n); p != nil {
		return p
	}
	return nil
}

// seal checks one.
func (s *sumReader) seal() {
	want := s.consumed()
	got := s.long()
	if s.err == nil && uint64(got) != uint64(want) {
		s.fail(errChecksum)
		return
	}
	if p := s.next(len(terminator)); p != nil && !bytes.Equal(p, terminator) {
		s.fail(errors.New("no end mark behind the checksum"))
	}
}

// walkSnapshot reads an uncompressed snapshot to its end, checks everything that can be checked and hands
// each znode to visit, if there is one. It returns the offset that it reached.
func walkSnapshot(r io.Reader, visit func(*Znode) error) (info SnapshotInfo, off int64, err error) {
	s := newSumReader(r)
	if p := s.next(headerSize); p != nil {
		if magic, v := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:]); magic != snapMagic || v != version {
			return info, 0, fmt.Errorf("not a snapshot: magic %08x, version %d", magic, v)
		}
	}
	info.LastZxid = -1
	info.tables(s)
	if err := info.znodes(s, visit); err != nil {
		return info, s.offset(), err
	}
	info.Body = s.offset() - headerSize
	s.seal()
	info.sections(s)
	return info, s.offset(), s.err
}

// tables reads past sessions and ACLs.
func (info *SnapshotInfo) tables(s *sumReader) {
	info.Sessions = max(s.length(), 0)
	for range info.Sessions {
		if s.next(12) == nil {
			return
		}
	}
	info.ACLs = max(s.length(), 0)
	for range info.ACLs {
		if s.long(); s.err != nil {
			return
		}
		n := s.length()
		if n > maxACLs {
			s.fail(fmt.Errorf("list of %d ACLs", n))
		}
		for range n {
			if s.int(); s.err != nil {
				return
			}
			s.buffer()
			s.buffer()
		}
	}
}

func (info *SnapshotInfo) znodes(s *sumReader, visit func(*Znode) error) error {
	var path []byte
	var z Znode
	for {
		n := s.length()
		if n < 0 {
			s.fail(errors.New("znode without a path"))
		}
		p := s.next(max(n, 0))
		if s.err != nil {
			return nil
		}
		if n == 1 && p[0] == '/' {
			return nil
		}
		path = append(path[:0], p...) // reading the data may move the buffer
		z.Path = path
		n = s.length()
		rest := s.next(max(n, 0) + 8 + statSize)
		if rest == nil {
			return nil
		}
		z.Data = nil
		if n >= 0 {
			z.Data = rest[:n:n]
		}
		rest = rest[max(n, 0):]
		d := jute.NewDecoder(rest)
		z.ACL, z.Stat = d.Long(), d.StatPersisted()
		info.Znodes++
		info.DataBytes += int64(len(z.Data))
		info.MaxZxid = max(info.MaxZxid, z.Stat.Czxid, z.Stat.Mzxid, z.Stat.Pzxid)
		info.Computed += info.digest(&z)
		if visit != nil {
			if err := visit(&z); err != nil {
				return err
			}
		}
	}
}

var outsideDigest = []byte("/zookeeper/")

// digest is what a znode adds to the digest of the tree, version 2: what lies below /zookeeper counts for
// nothing, because members compute it by themselves.
func (info *SnapshotInfo) digest(z *Znode) uint64 {
	if bytes.HasPrefix(z.Path, outsideDigest) {
		return 0
	}
	sum := crc32.Update(crc32.ChecksumIEEE(z.Path), crc32.IEEETable, z.Data)
	b, st := info.stat[:0], &z.Stat
	b = jute.AppendLong(jute.AppendLong(jute.AppendLong(b, st.Czxid), st.Mzxid), st.Pzxid)
	b = jute.AppendLong(jute.AppendLong(b, st.Ctime), st.Mtime)
	b = jute.AppendInt(jute.AppendInt(jute.AppendInt(b, st.Version), st.Cversion), st.Aversion)
	b = jute.AppendLong(b, st.EphemeralOwner)
	return uint64(crc32.Update(sum, crc32.IEEETable, b))
}

// sections reads what may follow the first seal. Their presence shows in how much is left.
func (info *SnapshotInfo) sections(s *sumReader) {
	if s.err != nil {
		return
	}
	left := s.left(digestSize + zxidSize + 32)
	if left >= digestSize {
		info.DigestZxid = s.long()
		info.Digest.Version = s.int()
		if info.Digest.Version < jute.DigestVersion { // a string of hexadecimal digits
			text := string(s.buffer())
			v, err := strconv.ParseUint(strings.TrimPrefix(text, "-"), 16, 64)
			if s.err == nil && err != nil && text != "" {
				s.fail(fmt.Errorf("digest %q", text))
			}
			info.Digest.Tree = v
		} else {
			info.Digest.Tree = uint64(s.long())
		}
		s.seal()
		left = s.left(zxidSize + 1)
	}
	if s.err == nil && left == zxidSize {
		info.LastZxid = s.long()
		s.seal()
		left = 0
	}
	if s.err == nil && left != 0 {
		s.fail(errors.New("unknown bytes behind the last checksum"))
	}
}

// left is how many bytes there are still, at most limit.
func (s *sumReader) left(limit int) int {
	if s.err != nil {
		return 0
	}
	if s.w-s.r < limit && !s.fill(limit) && s.err == errShortSnapshot {
		s.err = nil
	}
	return min(s.w-s.r, limit)
}
