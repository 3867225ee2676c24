// Package txnlog keeps a member's history on the disk, in Apache ZooKeeper's files: a directory of its
// server can be opened here, and one of ours there.
//
//	version-2/log.<zxid>         transactions from zxid on, each with a checksum
//	version-2/snapshot.<zxid>    the whole state after zxid
//	version-2/currentEpoch, acceptedEpoch
//
// The state is the newest valid snapshot and every transaction after it. Open takes the directory, Load
// hands out that state, Run appends groups of transactions: all that waits becomes one write and one sync,
// and the answer comes when it is durable.
//
//	store, err := txnlog.Open(cfg)
//	last, err := store.Load(tree.Load, tree.Apply)
//	go store.Run(ctx)
//	store.Groups() <- group; w := <-store.Written()
//
// What a crash may leave at the end of the newest log is cut off; see tail.go for how it is told from
// damage. Damage is an error with file and offset: nothing is guessed, and a refused directory is not
// changed. Transactions that are missing between two records or files are damage too.
//
// New bytes are written over blocks that hold zeros already: a write into a hole changes the file system's
// metadata too, and its sync then takes twice as long. The zeros go with the write of a group, some
// hundred kilobytes ahead, once for hundreds of groups; the rest up to the file's size is a hole, as
// Apache's server leaves it.
package txnlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

// ErrFull says that there is no room for a group. Nothing of it is in the log, and later groups may succeed.
var ErrFull = errors.New("no space left on the device")

// ErrInUse says that another process, or another Store of this one, has the directory.
var ErrInUse = errors.New("directory is in use by a running server")

// ErrNoSnapshot says that there is no snapshot to begin with: of logs, the start is missing.
var ErrNoSnapshot = errors.New("no usable snapshot")

// Compressions of snapshots (Config.Compression).
const (
	CompressionNone   = ""
	CompressionGzip   = "gz"
	CompressionSnappy = "snappy"
)

// Defaults and fixed sizes.
const (
	defaultPreAlloc  = 64 << 20
	defaultMaxRecord = 2 << 20
	minWindow        = 4 << 20
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
	Alone       bool   // a server of no ensemble: epochs that are behind the log are raised, not refused
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

// Written says what became of a Group. With ErrFull nothing of it is in the log and the store goes on: it
// refuses, with ErrFull too, groups that do not continue what is in the log. Any other error is fatal:
// what is on the disk is unknown, Run has ended and the member must stop.
type Written struct {
	Group       *Group
	Err         error
	Write, Sync time.Duration
}

// A Store is the durable history of one member. Open, Load, then Run.
type Store struct {
	cfg     Config
	log     *slog.Logger
	snaps   directory
	logs    directory
	locks   []io.Closer
	groups  chan *Group
	written chan Written
	window  int64  // most bytes of one write; see tail.go
	epochs  Epochs // the member's goroutine has them
	out     []byte // frames of the group at hand

	mu          sync.Mutex // the fields below: Run has them while it writes
	current     *growing   // nil: the next group begins a file
	last        int64      // zxid of the last record that is durable
	roll        bool       // the next group begins a file
	hasSnapshot bool
	refusing    bool  // the last answer was ErrFull
	broken      error // after it nothing is written
}

// Open takes the directories for this process, creating them if they are missing. Nothing else in them is
// changed before Load.
func Open(cfg Config) (*Store, error) {
	cfg.LogDir = cmp.Or(cfg.LogDir, cfg.DataDir)
	cfg.PreAlloc = cmp.Or(cfg.PreAlloc, defaultPreAlloc)
	cfg.MaxRecord = cmp.Or(cfg.MaxRecord, defaultMaxRecord)
	cfg.FS = cmp.Or(cfg.FS, OS)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	switch cfg.Compression {
	case CompressionNone, CompressionGzip, CompressionSnappy:
	default:
		return nil, fmt.Errorf("txnlog: compression %q: neither %q nor %q", cfg.Compression, CompressionGzip, CompressionSnappy)
	}
	s := &Store{
		cfg: cfg, log: cfg.Log,
		snaps:   directory{cfg.FS, filepath.Join(cfg.DataDir, "version-2")},
		logs:    directory{cfg.FS, filepath.Join(cfg.LogDir, "version-2")},
		groups:  make(chan *Group),
		written: make(chan Written, 1),
		window:  max(minWindow, int64(cfg.MaxRecord)+frameSize),
	}
	if err := s.take(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// take creates and locks the directories, and refuses those whose contents were mixed up.
func (s *Store) take() error {
	dirs := []directory{s.snaps}
	if s.logs.path != s.snaps.path {
		dirs = append(dirs, s.logs)
	}
	for _, d := range dirs {
		if err := d.fs.MkdirAll(d.path); err != nil {
			return fmt.Errorf("txnlog: create %s: %w", d.path, full(err))
		}
		if err := d.fs.SyncDir(filepath.Dir(d.path)); err != nil {
			return fmt.Errorf("txnlog: sync %s: %w", filepath.Dir(d.path), err)
		}
		lock, err := d.fs.Lock(d.path)
		if err != nil {
			return fmt.Errorf("txnlog: %w", err)
		}
		s.locks = append(s.locks, lock)
	}
	if len(dirs) == 1 {
		return nil
	}
	stray, err := s.snaps.named(logPrefix, "")
	if err == nil && len(stray) > 0 {
		err = fmt.Errorf("txnlog: %s holds transaction logs, though logs belong to %s", s.snaps.join(stray[0].name), s.logs.path)
	}
	if err != nil {
		return err
	}
	if stray, err = s.logs.named(snapshotPrefix, "", ".gz", ".snappy"); err == nil && len(stray) > 0 {
		err = fmt.Errorf("txnlog: %s is a snapshot in the directory of logs; snapshots belong to %s", s.logs.join(stray[0].name), s.snaps.path)
	}
	return err
}

// Groups is taken from when the disk is free.
func (s *Store) Groups() chan<- *Group { return s.groups }

// Written has one answer for each group, in order.
func (s *Store) Written() <-chan Written { return s.written }

// Close gives the directories back. Run must have returned.
func (s *Store) Close() error {
	var errs []error
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		errs = append(errs, s.current.f.Close())
		s.current = nil
	}
	for _, l := range s.locks {
		errs = append(errs, l.Close())
	}
	s.locks = nil
	s.broken = errors.Join(s.broken, errors.New("txnlog: closed"))
	return errors.Join(errs...)
}

func (s *Store) snapshots() ([]stamped, error) {
	return s.snaps.named(snapshotPrefix, "", "."+CompressionGzip, "."+CompressionSnappy)
}

func (s *Store) logFiles() ([]stamped, error) { return s.logs.named(logPrefix, "") }

// based notes that there is a snapshot. One that is newer than the log, received from another member, is
// what the log goes on from, in a new file.
func (s *Store) based(zxid int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hasSnapshot = true
	if zxid > s.last {
		s.last, s.roll = zxid, true
	}
	return nil
}
