// Package jute holds the records of ZooKeeper's wire and disk, and their encoding.
//
// Integers are big-endian and signed. A string and a buffer are an int length and that many bytes; length
// -1 is null, which is not the same as empty. A vector is an int count and its elements. A record is its
// fields in order: no tag, no length, no version, so both sides must know what comes next.
//
//	frame   int length, then that many bytes              client port, both ways
//	request RequestHeader{xid, op}, then the body of op   see Request
//	reply   ReplyHeader{xid, zxid, err}, then a body only if err is 0
//	txn     TxnHeader, Txn, perhaps a TxnDigest           the log, and a PROPOSAL: the same bytes
//
// Strings are carried as the bytes that came: Java writes supplementary characters as two surrogates of
// three bytes each, which is not UTF-8, and a path that was changed on the way would be another znode.
package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrShort says that the bytes ended before the record did, ErrLength that a length is negative or longer
// than what is there.
var (
	ErrShort  = errors.New("jute: record cut short")
	ErrLength = errors.New("jute: length out of range")
)

// A Decoder takes records apart. Its first error sticks: later calls return zero values, so a record's
// fields can be read one after the other and Err asked once.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder reads from b, which Buffer and Rest alias.
func NewDecoder(b []byte) Decoder { return Decoder{b: b} }

// Err is the first error, nil if there was none.
func (d *Decoder) Err() error { return d.err }

// Rest is what has not been read.
func (d *Decoder) Rest() []byte { return d.b }

// Fail sets the error, unless there is one already.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *Decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if len(d.b) < n {
		d.Fail(ErrShort)
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

// Bool reads one byte; any but 0 is true.
func (d *Decoder) Bool() bool { return d.Byte() != 0 }

// Int reads 4 bytes.
func (d *Decoder) Int() int32 {
	if p := d.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

// Long reads 8 bytes.
func (d *Decoder) Long() int64 {
	if p := d.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// Buffer reads a buffer, which aliases the input: nil for null, not nil for empty.
func (d *Decoder) Buffer() []byte {
	n := d.Int()
	switch {
	case d.err != nil || n == -1:
		return nil
	case n < 0 || int(n) > len(d.b):
		d.Fail(fmt.Errorf("%w: buffer of %d, %d bytes left", ErrLength, n, len(d.b)))
		return nil
	}
	return d.take(int(n))
}

// String reads a string; null reads as empty.
func (d *Decoder) String() string { return string(d.Buffer()) }

// Count reads the length of a vector whose elements take at least size bytes each; null reads as 0, and
// null reports which it was.
func (d *Decoder) Count(size int) (n int, null bool) {
	c := d.Int()
	switch {
	case d.err != nil:
		return 0, false
	case c == -1:
		return 0, true
	case c < 0 || int64(c)*int64(size) > int64(len(d.b)):
		d.Fail(fmt.Errorf("%w: vector of %d, %d bytes left", ErrLength, c, len(d.b)))
		return 0, false
	}
	return int(c), false
}

// Strings reads a vector of strings; null reads as nil, empty as not nil.
func (d *Decoder) Strings() []string {
	n, null := d.Count(4)
	if null || d.err != nil {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, d.String())
	}
	if d.err != nil {
		return nil
	}
	return out
}

// AppendBool appends one byte.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendInt appends 4 bytes.
func AppendInt(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendLong appends 8 bytes.
func AppendLong(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendBuffer appends a buffer; nil is null.
func AppendBuffer(b, p []byte) []byte {
	if p == nil {
		return AppendInt(b, -1)
	}
	return append(AppendInt(b, length(len(p))), p...)
}

// AppendString appends a string, never null.
func AppendString(b []byte, s string) []byte {
	return append(AppendInt(b, length(len(s))), s...)
}

// AppendStrings appends a vector of strings; nil is null.
func AppendStrings(b []byte, s []string) []byte {
	if s == nil {
		return AppendInt(b, -1)
	}
	b = AppendInt(b, length(len(s)))
	for _, v := range s {
		b = AppendString(b, v)
	}
	return b
}

// BeginFrame leaves room for a frame's length; EndFrame, given the length of b before, fills it in.
func BeginFrame(b []byte) []byte { return append(b, 0, 0, 0, 0) }

// EndFrame completes the frame that began at start.
func EndFrame(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(length(len(b)-start-4)))
	return b
}

// length narrows what the limits of every caller keep far below 2 GiB.
func length(n int) int32 {
	if n > math.MaxInt32 {
		panic(fmt.Sprintf("jute: length %d does not fit the format", n))
	}
	return int32(n)
}
