package txnlog

import (
	"encoding/binary"
	"hash"
	"hash/adler32"
	"io"

	"example.org/ha/consensus/jute"
)

// A snapshot, before compression:
//
//	header    magic ZKSN, version 2, database id -1                          16 bytes
//	body      sessions, ACLs, znodes; the path "/" ends it
//	seal      Adler-32 of all bytes so far in 8 bytes, then the string "/"   13 bytes
//	digest    zxid, digest version, digest of the tree; and a seal           33 bytes, optional
//	zxid      the last zxid; and a seal                                      21 bytes, optional, since 3.9
//
// Apache's servers of any age read up to the first seal that they know.
const (
	sealSize   = 13
	digestSize = 8 + 4 + 8 + sealSize
	zxidSize   = 8 + sealSize
)

// terminator ends the body and every seal.
var terminator = []byte{0, 0, 0, 1, '/'}

// A SnapshotEncoder writes a snapshot file, uncompressed, to anything: a backup.
type SnapshotEncoder struct {
	w   io.Writer
	sum hash.Hash32
	err error
}

// NewSnapshotEncoder writes the file header.
func NewSnapshotEncoder(w io.Writer) (*SnapshotEncoder, error) {
	e := &SnapshotEncoder{w: w, sum: adler32.New()}
	_, err := e.Write(appendHeader(nil, snapMagic, -1))
	return e, err
}

// Write takes the body: the stream that begins with the count of sessions and ends with the path "/".
func (e *SnapshotEncoder) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	_, _ = e.sum.Write(p)
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}

// Seal ends the file, with the digest of the tree after zxid.
func (e *SnapshotEncoder) Seal(zxid int64, digest uint64) error {
	if err := e.seal(); err != nil {
		return err
	}
	b := jute.TxnDigest{Version: jute.DigestVersion, Tree: digest}.AppendTo(jute.AppendLong(nil, zxid))
	if _, err := e.Write(b); err != nil {
		return err
	}
	return e.seal()
}

func (e *SnapshotEncoder) seal() error {
	b := binary.BigEndian.AppendUint64(nil, uint64(e.sum.Sum32()))
	_, err := e.Write(append(b, terminator...))
	return err
}
