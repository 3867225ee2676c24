package txnlog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"strconv"
	"strings"
)

// What both kinds of file begin with: magic, version 2, and a database id that means nothing any more.
const (
	logMagic   = 0x5a4b4c47 // ZKLG
	snapMagic  = 0x5a4b534e // ZKSN
	version    = 2
	headerSize = 16
)

// A record of a log is framed by its Adler-32 in 8 bytes, its length in 4, and a 'B' behind it.
const (
	prefixSize = 12
	frameSize  = prefixSize + 1
	minRecord  = 32 // a txn header
	endOfTxn   = 'B'
)

// Names of files. An unfinished file has a name that Apache's server does not look at.
const (
	logPrefix      = "log."
	snapshotPrefix = "snapshot."
	unfinished     = "unfinished."
)

// A stamped file has a zxid in its name: a log that of its first record, a snapshot that of its state.
type stamped struct {
	name string
	zxid int64
}

func logName(zxid int64) string { return logPrefix + strconv.FormatInt(zxid, 16) }

func snapshotName(zxid int64, compression string) string {
	name := snapshotPrefix + strconv.FormatInt(zxid, 16)
	if compression != CompressionNone {
		name += "." + compression
	}
	return name
}

func zxidOf(name, prefix, suffix string) (int64, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	hex, ok := strings.CutSuffix(rest, suffix)
	if !ok || hex == "" || hex[0] == '+' || hex[0] == '-' {
		return 0, false
	}
	zxid, err := strconv.ParseInt(hex, 16, 64)
	return zxid, err == nil
}

// compressionOf tells from a snapshot's name.
func compressionOf(name string) string {
	switch {
	case strings.HasSuffix(name, "."+CompressionGzip):
		return CompressionGzip
	case strings.HasSuffix(name, "."+CompressionSnappy):
		return CompressionSnappy
	}
	return CompressionNone
}

// A zxid is an epoch in the high 32 bits and a counter in the low.
func epochOf(zxid int64) int64   { return zxid >> 32 }
func counterOf(zxid int64) int64 { return zxid & 0xffffffff }

func compareZxid(a, b int64) int { return cmp.Compare(a, b) }

// Follows says whether nothing can stand between two transactions: counters run without gaps, because
// failed requests take a zxid and are logged too, and begin at 1 in each epoch.
func Follows(prev, next int64) bool {
	return next == prev+1 && epochOf(next) == epochOf(prev) || epochOf(next) > epochOf(prev) && counterOf(next) == 1
}

func appendHeader(b []byte, magic uint32, dbid int64) []byte {
	b = binary.BigEndian.AppendUint32(b, magic)
	b = binary.BigEndian.AppendUint32(b, version)
	return binary.BigEndian.AppendUint64(b, uint64(dbid))
}

// appendFrame appends a record as the log has it.
func appendFrame(b, record []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(adler32.Checksum(record)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(record)))
	return append(append(b, record...), endOfTxn)
}

// recordZxid reads the zxid out of a record's txn header.
func recordZxid(record []byte) int64 { return int64(binary.BigEndian.Uint64(record[12:])) }

// A DamageError says where a file is not what was written. Nothing is repaired by guessing: restore the
// file, or take the member's data from another member or a backup.
type DamageError struct {
	File   string
	Offset int64 // in the uncompressed contents
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("txnlog: %s: offset %d: %s", e.File, e.Offset, e.Reason)
}

// cutShort is why a snapshot is damaged that ends too early: what a crash leaves of one that Apache's
// server was writing.
const cutShort = "snapshot is cut short"
