// Package txnlog keeps a ZooKeeper member's history on disk, in Apache ZooKeeper's formats.
package txnlog

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"
)

// ErrFull says that there is no room for a group. Nothing of it is in the log, and later groups may succeed.
var ErrFull = errors.New("txnlog: no space left on the device")

// ErrInUse says that another process, or another Store of this one, has the directory.
var ErrInUse = errors.New("txnlog: directory is in use by a running server")

// Compressions of snapshots (Config.Compression).
const (
	CompressionNone   = ""
	CompressionGzip   = "gz"
	CompressionSnappy = "snappy"
)

// Config says where the history lives. Files are in version-2 below each directory.
type Config struct {
	DataDir     string // snapshots and epochs
	LogDir      string // transaction logs; empty: DataDir
	PreAlloc    int64  // bytes a log file grows by; 0: 64 MiB; negative: none
	MaxLogSize  int64  // bytes after which a new log file begins (txnLogSizeLimitInKb); 0: no limit
	MaxRecord   int    // bytes of the largest record (jute.maxbuffer and extrasize); 0: 2 MiB
	NoSync      bool   // forceSync=no: an acknowledged write may be lost with the power
	TrustEmpty  bool   // snapshot.trust.empty: logs without any snapshot are the whole history
	NoDigest    bool   // digest.enabled=false: snapshots carry no digest section
	Compression string // of snapshots that are written: "", "gz", "snappy"
	FS          FS     // nil: the operating system's
	Log         *slog.Logger
}

// A Group is what waits to be written: it reaches the disk with one write and one sync.
type Group struct {
	Records     []byte // header, txn and digest of each, one after the other, unframed
	Ends        []int  // where each record ends in Records
	First, Last int64  // zxids
	Roll        bool   // begin a new log file with this group
}

// Written says what became of a Group. With ErrFull nothing of it is in the log and the store goes on;
// any other error is fatal: what is on the disk is unknown, Run has ended and the member must stop.
type Written struct {
	Group       *Group
	Err         error
	Write, Sync time.Duration
}

// A Store is the durable history of one member. Open, Load, then Run.
type Store struct {
	groups  chan *Group
	written chan Written
}

// Open takes the directories for this process, creating them if they are missing, and reads the epochs.
// Nothing in them is changed yet.
func Open(cfg Config) (*Store, error) { panic("unwritten") }

// Load hands the newest valid snapshot to load (r ends after the terminator "/"; load may be called
// again for another snapshot, and then starts from nothing), then every record after it to apply, in
// order. It returns the last zxid. Without any snapshot and log load is not called: the history is empty,
// and a snapshot with zxid 0 must be committed before the first group. The record is reused by the next call.
func (s *Store) Load(load func(zxid int64, r io.Reader) error, apply func(record []byte) error) (last int64, err error) {
	panic("unwritten")
}

// Run writes groups until ctx ends, then closes the log in order: without its zero tail. Groups that
// were taken are finished first.
func (s *Store) Run(ctx context.Context) error { panic("unwritten") }

// Groups is taken from when the disk is free.
func (s *Store) Groups() chan<- *Group { return s.groups }

// Written has one answer for each group, in order.
func (s *Store) Written() <-chan Written { return s.written }

// Close gives the directories back. Run must have returned.
func (s *Store) Close() error { panic("unwritten") }

// CreateSnapshot begins a snapshot of the state after zxid. It may be used by one goroutine at a time,
// any one, beside Run; at most one snapshot is open.
func (s *Store) CreateSnapshot(zxid int64) (*Snapshot, error) { panic("unwritten") }

// A Snapshot is being written under a temporary name. Write takes the stream that begins with the count
// of sessions and ends with the terminator "/"; it blocks on the disk, so not the member's goroutine
// should call it.
type Snapshot struct{}

func (s *Snapshot) Write(p []byte) (int, error) { panic("unwritten") }

// Commit seals the snapshot with the digest of the tree and makes it durable under its own name.
func (s *Snapshot) Commit(digest uint64) error { panic("unwritten") }

// Abort removes what was written. After Commit it does nothing.
func (s *Snapshot) Abort() { panic("unwritten") }

// A SnapshotEncoder writes a snapshot file, uncompressed, to anything: a backup.
type SnapshotEncoder struct{}

// NewSnapshotEncoder writes the file header.
func NewSnapshotEncoder(w io.Writer) (*SnapshotEncoder, error) { panic("unwritten") }

// Write takes the stream, as Snapshot.Write does.
func (e *SnapshotEncoder) Write(p []byte) (int, error) { panic("unwritten") }

// Seal writes checksums, zxid and digest.
func (e *SnapshotEncoder) Seal(zxid int64, digest uint64) error { panic("unwritten") }

// Truncate cuts the history after zxid, also every snapshot that may know more. Run must be idle; the
// caller loads again afterwards.
func (s *Store) Truncate(zxid int64) error { panic("unwritten") }

// Scan hands every logged record from zxid from on to f, as far as it is synced. The record is reused.
func (s *Store) Scan(from int64, f func(record []byte) error) error { panic("unwritten") }

// Purge keeps the newest valid snapshots, as many as retain, and every log that the oldest of them needs.
// It returns how many files it removed.
func (s *Store) Purge(retain int) (int, error) { panic("unwritten") }

// Epochs are the two numbers that a member remembers apart from its history.
type Epochs struct{ Accepted, Current int64 }

// Epochs is valid after Load.
func (s *Store) Epochs() Epochs { panic("unwritten") }

// SetAcceptedEpoch makes an epoch durable before it returns.
func (s *Store) SetAcceptedEpoch(epoch int64) error { panic("unwritten") }

// SetCurrentEpoch makes an epoch durable before it returns.
func (s *Store) SetCurrentEpoch(epoch int64) error { panic("unwritten") }

// Sizes are the bytes that snapshots and logs occupy (the word dirs).
func (s *Store) Sizes() (snapshots, logs int64, err error) { panic("unwritten") }
