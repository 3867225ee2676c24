package txnlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/adler32"
)

// What a crash can leave, and what it cannot.
//
// A log grows over bytes that are zero on the disk. A group of records is one write and one sync, and the
// next group is written only after that sync; so when the power goes, everything before some offset S, the
// start of the last group, is whole, and of the sectors from S on each one has arrived or is still zero,
// in any combination. A group is at most a window of bytes. Nobody was told that it is written.
//
//	whole records │ the last group: some sectors, not others       │ zeros
//	──────────────┼──────────┬──────────┬──────────┬──────────┬────┼────────
//	              S  there   │ 00000000 │  there   │ 00000000 │    │
//	                         └ off: the first record that is not whole
//
// So the first bad record, at off, is a torn tail only if all of this holds:
//
//   - it is in the newest log file, or the next file begins with the very zxid that is missing here: then
//     a member has already cut it and written it anew;
//   - not more than a window of data follows it;
//   - it is explained by a missing sector: one of the sectors that its frame covers is zero from off, or
//     from the sector's start, to the sector's end, or the file ends before the record;
//   - if its length is legible, no valid later record begins inside it, and no other length fits its
//     checksum: else the length is what is wrong;
//   - no snapshot knows a later transaction that is only in this tail.
//
// All else is corruption: a flipped bit leaves no sector of zeros. The one case that cannot be told apart
// is a whole sector turned to zeros by the disk within the last window of the newest file.

// sector is the unit that a disk writes whole.
const sector = 512

// A tail is the end of a log file, behind its last whole record.
type tail struct {
	off, end int64  // data that is no record is in [off, end); empty: the file ends well
	reason   string // why it cannot be a torn write; empty: it is one
}

func (t *tail) clean() bool { return t.end <= t.off }
func (t *tail) torn() bool  { return !t.clean() && t.reason == "" }

// judge decides what rest, which begins at off of a file of size bytes, is. All beyond rest is zero. last
// is the zxid before off, and base that of the snapshot which the log continues.
func (t *tail) judge(rest []byte, size, window, last, base int64) {
	if base > last {
		if zxid := findRecord(rest[1:], base, maxZxid); zxid != 0 {
			t.reason = fmt.Sprintf("no valid record here, but zxid 0x%x follows and a snapshot of zxid 0x%x exists", zxid, base)
			return
		}
	}
	if int64(len(rest)) < prefixSize || t.hole(rest, prefixSize) {
		return
	}
	n := int64(binary.BigEndian.Uint32(rest[8:]))
	if n < minRecord || n+frameSize > window {
		t.reason = fmt.Sprintf("record length %d is impossible", n)
		return
	}
	if whole := n + frameSize; t.off+whole <= size && !t.hole(rest, whole) {
		t.reason = "checksum mismatch, and no sector of the record is missing"
		if rest[whole-1] != endOfTxn {
			t.reason = "no end mark, and no sector of the record is missing"
		}
		return
	}
	inside := rest[1:min(n+frameSize, int64(len(rest)))]
	if zxid := findRecord(inside, last+1, last+window); zxid != 0 {
		t.reason = fmt.Sprintf("record length %d reaches over the record of zxid 0x%x", n, zxid)
		return
	}
	if data := rest[:t.end-t.off]; len(data) >= frameSize+minRecord && data[len(data)-1] == endOfTxn &&
		uint64(adler32.Checksum(data[prefixSize:len(data)-1])) == binary.BigEndian.Uint64(data) {
		t.reason = fmt.Sprintf("record length %d, though %d fits the checksum", n, len(data)-frameSize)
	}
}

// hole says whether one of the sectors that rest[:n] touches is zero, from off on. The first four bytes
// are zero in any record: a sector that ends among them proves nothing.
func (t *tail) hole(rest []byte, n int64) bool {
	at := int64(0)
	if inSector := sector - t.off%sector; inSector <= 4 {
		at = inSector
	}
	for at < n {
		next := at + sector - (t.off+at)%sector
		if at >= int64(len(rest)) || allZero(rest[at:min(next, int64(len(rest)))]) {
			return true
		}
		at = next
	}
	return false
}

func allZero(p []byte) bool { return lastNonZero(p) < 0 }

const maxZxid = 1<<63 - 1

// findRecord looks for a whole record that begins anywhere in p and whose zxid is in (after, until]. It
// returns the zxid, else 0.
func findRecord(p []byte, after, until int64) int64 {
	for {
		// A checksum is 32 bits in 64: records begin with four zeros.
		i := bytes.Index(p, []byte{0, 0, 0, 0})
		if i < 0 || len(p)-i < frameSize+minRecord {
			return 0
		}
		q := p[i:]
		p = p[i+1:]
		n := int(binary.BigEndian.Uint32(q[8:]))
		if n < minRecord || n > len(q)-frameSize || q[prefixSize+n] != endOfTxn {
			continue
		}
		record := q[prefixSize : prefixSize+n]
		zxid := recordZxid(record)
		if zxid > after && zxid <= until && uint64(adler32.Checksum(record)) == binary.BigEndian.Uint64(q) {
			return zxid
		}
	}
}
