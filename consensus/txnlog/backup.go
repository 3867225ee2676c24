package txnlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
)

// ErrFuzzy says that a snapshot was written while transactions were applied: alone it is no state that
// ever was, and its log is needed beside it.
var ErrFuzzy = errors.New("snapshot holds parts of later transactions")

// Zxid is that of the state which a snapshot alone holds. The name counts if it is a snapshot's, else the
// sections at the end.
func (info *SnapshotInfo) Zxid(name string) (int64, error) {
	zxid, ok := ZxidOf(name)
	if !ok {
		zxid = -1
	}
	if info.LastZxid >= 0 && !ok {
		zxid = info.LastZxid
	}
	if info.Digest.Version > 0 && zxid < 0 {
		zxid = info.DigestZxid
	}
	switch known := max(info.MaxZxid, info.DigestZxid, info.LastZxid); {
	case zxid < 0:
		return 0, fmt.Errorf("txnlog: %s: neither its name nor its contents say of which zxid it is: call it snapshot.<zxid>", name)
	case known > zxid:
		return 0, fmt.Errorf("txnlog: %s: %w: of zxid 0x%x, with znodes of 0x%x", name, ErrFuzzy, zxid, known)
	}
	return zxid, nil
}

// Holds lists what the directories hold, besides directories.
func (s *Store) Holds() (files []string, err error) {
	dirs := []directory{s.snaps}
	if s.logs.path != s.snaps.path {
		dirs = append(dirs, s.logs)
	}
	for _, d := range dirs {
		names, err := d.fs.ReadDir(d.path)
		if err != nil {
			return nil, fmt.Errorf("txnlog: list %s: %w", d.path, err)
		}
		for _, name := range names {
			files = append(files, d.join(name))
		}
	}
	return files, nil
}

// Install makes a snapshot file the whole history of directories that hold nothing. The file must be
// one of this zxid, and valid.
func (s *Store) Install(file string, zxid int64) error {
	if held, err := s.Holds(); err != nil || len(held) > 0 {
		return errors.Join(err, fmt.Errorf("txnlog: install %s: %s holds %d files", file, s.snaps.path, len(held)))
	}
	from, err := s.cfg.FS.Open(file)
	if err != nil {
		return fmt.Errorf("txnlog: open %s: %w", file, err)
	}
	defer from.Close()
	size, err := from.Size()
	if err != nil {
		return fmt.Errorf("txnlog: size of %s: %w", file, err)
	}
	name := snapshotName(zxid, compressionOf(file))
	n := &Snapshot{store: s, zxid: zxid, name: name}
	if n.f, err = s.cfg.FS.Create(s.snaps.join(unfinished + name)); err != nil {
		return n.failed("create", err)
	}
	n.buffer = bufio.NewWriterSize(fileWriter{n}, 256<<10)
	_, err = io.Copy(n.buffer, io.NewSectionReader(from, 0, size))
	if err == nil {
		err = n.buffer.Flush()
	}
	if err == nil {
		err = n.f.Sync()
	}
	if err != nil {
		n.Abort()
		return n.failed("write", err)
	}
	if err := n.publish(); err != nil {
		return err
	}
	s.log.Info("snapshot installed", slog.String("file", filepath.Join(s.snaps.path, name)))
	return nil
}
