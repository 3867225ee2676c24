package txnlog

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"syscall"
)

// flushEvery is how much of a snapshot is written between two syncs: little enough that a sync of the
// log, which shares the disk, never waits for much.
const flushEvery = 4 << 20

// A Snapshot is being written under a temporary name. Write blocks on the disk, so it must not be the
// member's own goroutine that calls it.
type Snapshot struct {
	store    *Store
	zxid     int64
	name     string
	f        File
	off      int64 // bytes in the file
	flushed  int64
	buffer   *bufio.Writer
	compress io.Closer // nil: none
	encoder  *SnapshotEncoder
	done     bool
}

// CreateSnapshot begins a snapshot of the state after zxid. Snapshots may be written by any goroutine,
// beside Run.
func (s *Store) CreateSnapshot(zxid int64) (*Snapshot, error) {
	n := &Snapshot{store: s, zxid: zxid, name: snapshotName(zxid, s.cfg.Compression)}
	var err error
	if n.f, err = s.cfg.FS.Create(s.snaps.join(unfinished + n.name)); err != nil {
		return nil, fmt.Errorf("txnlog: create snapshot: %w", full(err))
	}
	n.buffer = bufio.NewWriterSize(fileWriter{n}, 256<<10)
	var w io.Writer = n.buffer
	switch s.cfg.Compression {
	case CompressionGzip:
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		w, n.compress = z, z
	case CompressionSnappy:
		z, _ := newSnappyWriter(w) // into a buffer
		w, n.compress = z, z
	}
	if n.encoder, err = NewSnapshotEncoder(w); err != nil {
		n.Abort()
		return nil, n.failed("write", err)
	}
	return n, nil
}

// A fileWriter appends to the snapshot's file.
type fileWriter struct{ n *Snapshot }

func (w fileWriter) Write(p []byte) (int, error) {
	n := w.n
	k, err := n.f.WriteAt(p, n.off)
	n.off += int64(k)
	if err == nil && n.off-n.flushed >= flushEvery {
		n.flushed = n.off
		err = n.f.Datasync()
	}
	return k, err
}

// full makes a lack of room ErrFull.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}

func (n *Snapshot) failed(verb string, err error) error {
	return fmt.Errorf("txnlog: %s snapshot %s: %w", verb, n.name, full(err))
}

// Write takes the body: the stream that begins with the count of sessions and ends with the path "/".
func (n *Snapshot) Write(p []byte) (int, error) {
	k, err := n.encoder.Write(p)
	if err != nil {
		return k, n.failed("write", err)
	}
	return k, nil
}

// Commit seals the snapshot with the digest of the tree and makes it durable under its own name.
func (n *Snapshot) Commit(digest uint64) error {
	if n.done {
		return n.failed("commit", errors.New("already ended"))
	}
	if err := n.finish(digest); err != nil {
		n.Abort()
		return n.failed("commit", err)
	}
	return n.publish()
}

// publish gives what is synced its own name.
func (n *Snapshot) publish() error {
	s := n.store
	n.done = true
	if err := n.f.Close(); err != nil {
		return n.failed("close", err)
	}
	final := s.snaps.join(n.name)
	if err := s.cfg.FS.Rename(s.snaps.join(unfinished+n.name), final); err != nil {
		return n.failed("rename", err)
	}
	if err := s.cfg.FS.SyncDir(s.snaps.path); err != nil {
		return n.failed("sync directory of", err)
	}
	return s.based(n.zxid)
}

func (n *Snapshot) finish(digest uint64) error {
	seal := n.encoder.seal
	if !n.store.cfg.NoDigest {
		seal = func() error { return n.encoder.Seal(n.zxid, digest) }
	}
	if err := seal(); err != nil {
		return err
	}
	if n.compress != nil {
		if err := n.compress.Close(); err != nil {
			return err
		}
	}
	if err := n.buffer.Flush(); err != nil {
		return err
	}
	return n.f.Sync()
}

// Abort removes what was written. After Commit it does nothing.
func (n *Snapshot) Abort() {
	if n.done {
		return
	}
	n.done = true
	_ = n.f.Close()
	if err := n.store.cfg.FS.Remove(n.store.snaps.join(unfinished + n.name)); err != nil {
		n.store.log.Warn("unfinished snapshot stays", slog.String("name", n.name), slog.Any("err", err))
	}
}

// A snapshotReader is a snapshot file, uncompressed.
type snapshotReader struct {
	io.Reader
	f File
}

func (r *snapshotReader) Close() error { return r.f.Close() }

func openSnapshot(fs FS, name string) (*snapshotReader, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("txnlog: open snapshot: %w", err)
	}
	size, err := f.Size()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("txnlog: size of %s: %w", name, err)
	}
	section := io.NewSectionReader(f, 0, size)
	r := &snapshotReader{section, f}
	switch compressionOf(name) {
	case CompressionGzip:
		r.Reader, err = gzip.NewReader(bufio.NewReaderSize(section, 64<<10))
	case CompressionSnappy:
		r.Reader, err = newSnappyReader(bufio.NewReaderSize(section, 64<<10))
	}
	if err != nil {
		_ = f.Close()
		return nil, &DamageError{name, 0, err.Error()}
	}
	return r, nil
}

// ReadSnapshot reads a snapshot file to its end, checks it, and hands each znode to visit, if there is one.
func ReadSnapshot(fs FS, name string, visit func(*Znode) error) (SnapshotInfo, error) {
	if fs == nil {
		fs = OS
	}
	r, err := openSnapshot(fs, name)
	if err != nil {
		return SnapshotInfo{}, err
	}
	defer r.Close()
	var refused error
	info, off, err := walkSnapshot(r, func(z *Znode) error {
		if visit != nil {
			refused = visit(z)
		}
		return refused
	})
	switch {
	case err == nil || refused != nil:
		return info, err
	case errors.Is(err, syscall.EIO):
		return info, fmt.Errorf("txnlog: read %s at %d: %w", name, off, err)
	}
	return info, &DamageError{name, off, err.Error()}
}

// loadSnapshot hands the newest valid snapshot to load. It returns its zxid, -1 if there is none, and what
// newer ones it passed over.
func (s *Store) loadSnapshot(load func(zxid int64, r io.Reader) error) (base int64, skipped []damaged, err error) {
	snapshots, err := s.snapshots()
	if err != nil {
		return 0, nil, err
	}
	for _, st := range slices.Backward(snapshots) {
		name := s.snaps.join(st.name)
		info, err := ReadSnapshot(s.cfg.FS, name, nil)
		if d, ok := errors.AsType[*DamageError](err); ok {
			skipped = append(skipped, damaged{st.zxid, d})
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		return st.zxid, skipped, s.loadFrom(name, st.zxid, info.Body, load)
	}
	if len(skipped) > 0 {
		return 0, nil, fmt.Errorf("no snapshot is valid; the newest: %w", skipped[0].err)
	}
	return -1, nil, nil
}

func (s *Store) loadFrom(name string, zxid, body int64, load func(zxid int64, r io.Reader) error) error {
	r, err := openSnapshot(s.cfg.FS, name)
	if err != nil {
		return err
	}
	defer r.Close()
	in := bufio.NewReaderSize(r, 256<<10)
	if _, err := in.Discard(headerSize); err != nil {
		return fmt.Errorf("txnlog: read %s: %w", name, err)
	}
	if err := load(zxid, io.LimitReader(in, body)); err != nil {
		return fmt.Errorf("txnlog: load %s: %w", name, err)
	}
	return nil
}

// damaged is a snapshot that cannot be used.
type damaged struct {
	zxid int64
	err  *DamageError
}
