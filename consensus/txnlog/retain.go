package txnlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// Sizes are the lengths of all snapshots and logs (the word dirs).
func (s *Store) Sizes() (snapshots, logs int64, err error) {
	names, err := s.snapshots()
	if err != nil {
		return 0, 0, err
	}
	if snapshots, err = s.snaps.size(names); err != nil {
		return 0, 0, err
	}
	if names, err = s.logFiles(); err != nil {
		return 0, 0, err
	}
	logs, err = s.logs.size(names)
	return snapshots, logs, err
}

// Purge keeps the newest valid snapshots, as many as retain, and every log that the oldest of them needs.
// It returns how many files it removed. It may run beside everything else.
func (s *Store) Purge(retain int) (int, error) {
	snapshots, err := s.snapshots()
	if err != nil {
		return 0, err
	}
	logs, err := s.logFiles()
	if err != nil {
		return 0, err
	}
	oldest := -1 // index of the oldest to keep
	for i, st := range slices.Backward(snapshots) {
		if retain <= 0 {
			break
		}
		whole, err := s.looksWhole(st.name)
		if err != nil {
			return 0, err
		}
		if whole {
			oldest = i
			retain--
		}
	}
	if oldest < 0 || retain > 0 {
		return 0, nil
	}
	var gone []string
	for _, st := range snapshots[:oldest] {
		gone = append(gone, s.snaps.join(st.name))
	}
	for _, st := range logs[:len(logs)-len(coveredFrom(logs, snapshots[oldest].zxid))] {
		gone = append(gone, s.logs.join(st.name))
	}
	for i, name := range gone {
		if err := s.cfg.FS.Remove(name); err != nil {
			return i, fmt.Errorf("txnlog: purge: %w", err)
		}
	}
	if len(gone) > 0 {
		s.log.Info("old files removed", slog.Int("files", len(gone)), slog.String("oldest_kept", snapshots[oldest].name))
	}
	return len(gone), nil
}

// coveredFrom are the logs from the one on that holds zxid.
func coveredFrom(logs []stamped, zxid int64) []stamped {
	if zxid > 0 {
		zxid--
	}
	return needed(logs, zxid)
}

// looksWhole is the check that costs nothing: the last bytes, or the magic of what is compressed.
func (s *Store) looksWhole(name string) (bool, error) {
	f, err := s.cfg.FS.Open(s.snaps.join(name))
	if err != nil {
		return false, fmt.Errorf("txnlog: open snapshot: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return false, fmt.Errorf("txnlog: size of %s: %w", name, err)
	}
	off, want := size-int64(len(terminator)), terminator
	switch compressionOf(name) {
	case CompressionGzip:
		off, want = 0, []byte{0x1f, 0x8b}
	case CompressionSnappy:
		off, want = 0, snappyMagic
	}
	got := make([]byte, len(want))
	if off < 0 || size < int64(len(want)) {
		return false, nil
	}
	if _, err := f.ReadAt(got, off); err != nil && err != io.EOF {
		return false, fmt.Errorf("txnlog: read %s: %w", name, err)
	}
	return bytes.Equal(got, want), nil
}

// errStop ends a scan.
var errStop = errors.New("enough")

// Scan hands every durable record from zxid from on to f, in order. The record is reused by the next.
// It may run beside everything else but Truncate; a file that Purge removes meanwhile is an error.
func (s *Store) Scan(from int64, f func(record []byte) error) error {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	logs, err := s.logFiles()
	if err != nil || from > last {
		return err
	}
	for _, st := range needed(logs, from-1) {
		err := s.scanFile(st, from, last, func(record []byte, _ int64) error { return f(record) })
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scanFile hands the records of [from, last] to f, with the offset behind each.
func (s *Store) scanFile(st stamped, from, last int64, f func(record []byte, end int64) error) error {
	seg, err := openSegment(s.cfg.FS, s.logs.join(st.name))
	if errors.Is(err, errUnborn) {
		return nil
	}
	if err != nil {
		return err
	}
	defer seg.close()
	for {
		record, err := seg.next()
		if record == nil {
			return err
		}
		zxid := recordZxid(record)
		if zxid > last {
			return errStop
		}
		if zxid >= from {
			if err := f(record, seg.off); err != nil {
				return err
			}
		}
		if zxid == last {
			return errStop
		}
	}
}

// Truncate cuts the history after zxid, and removes every snapshot that may know more: a snapshot loaded
// after the cut would bring back what was undone. It is an error, and nothing is changed, if the log does
// not hold zxid or no snapshot remains: then the member needs a whole snapshot from its leader. No group
// may be on its way; the caller loads again afterwards.
func (s *Store) Truncate(zxid int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.end(); err != nil {
		return err
	}
	logs, err := s.logFiles()
	if err != nil {
		return err
	}
	cut, off, err := s.find(logs, zxid)
	if err != nil {
		return err
	}
	newer, err := s.newerThan(zxid)
	if err != nil {
		return err
	}
	// Snapshots first, then logs from the newest: at every moment what is left is a whole history.
	for _, st := range slices.Backward(newer) {
		if err := s.cfg.FS.Remove(s.snaps.join(st.name)); err != nil {
			return s.fatal("truncate", s.snaps.join(st.name), err)
		}
	}
	if err := s.cfg.FS.SyncDir(s.snaps.path); err != nil {
		return s.fatal("truncate", s.snaps.path, err)
	}
	for _, st := range slices.Backward(logs[cut+1:]) {
		if err := errors.Join(s.cfg.FS.Remove(s.logs.join(st.name)), s.cfg.FS.SyncDir(s.logs.path)); err != nil {
			return s.fatal("truncate", s.logs.join(st.name), err)
		}
	}
	name := s.logs.join(logs[cut].name)
	f, err := s.cfg.FS.Edit(name)
	if err == nil {
		err = errors.Join(f.Truncate(off), f.Sync(), f.Close())
	}
	if err != nil {
		return s.fatal("truncate", name, err)
	}
	s.last = zxid
	return nil
}

// find returns which file holds zxid, and the offset behind its record.
func (s *Store) find(logs []stamped, zxid int64) (file int, off int64, err error) {
	file = -1
	for i, st := range logs {
		if st.zxid <= zxid {
			file = i
		}
	}
	if file >= 0 {
		err = s.scanFile(logs[file], zxid, zxid, func(_ []byte, end int64) error {
			off = end
			return nil
		})
	}
	if err != nil && !errors.Is(err, errStop) {
		return 0, 0, err
	}
	if off == 0 {
		return 0, 0, fmt.Errorf("txnlog: truncate: the log does not hold zxid 0x%x", zxid)
	}
	return file, off, nil
}

// newerThan lists the snapshots that may know more than zxid: by their names, by the zxid of their digest,
// or, since Apache's server writes them while transactions are applied, by any znode in them.
func (s *Store) newerThan(zxid int64) (newer []stamped, err error) {
	snapshots, err := s.snapshots()
	if err != nil {
		return nil, err
	}
	usable := false
	for _, st := range snapshots {
		if st.zxid <= zxid {
			info, err := ReadSnapshot(s.cfg.FS, s.snaps.join(st.name), nil)
			if _, damaged := errors.AsType[*DamageError](err); err != nil && !damaged {
				return nil, err
			}
			if err == nil && max(info.MaxZxid, info.DigestZxid, info.LastZxid) <= zxid {
				usable = true
				continue
			}
		}
		newer = append(newer, st)
	}
	if !usable {
		return nil, fmt.Errorf("txnlog: truncate to 0x%x: %w", zxid, ErrNoSnapshot)
	}
	return newer, nil
}
