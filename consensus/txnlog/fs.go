package txnlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// FS is the part of a file system that the store depends on: the operating system's, or in tests one
// that loses what was not synced, fills up and breaks.
type FS interface {
	MkdirAll(dir string) error
	ReadDir(dir string) ([]string, error) // names of files, sorted; none if dir does not exist
	Open(name string) (File, error)       // for reading
	Edit(name string) (File, error)       // an existing file, for reading and writing
	Create(name string) (File, error)     // empty, for reading and writing; an existing file is emptied
	Rename(from, to string) error         // replaces to
	Remove(name string) error
	SyncDir(dir string) error           // creations, renames and removals in dir are durable after it
	Lock(dir string) (io.Closer, error) // ErrInUse if somebody has it
}

// A File is read and written at offsets.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error     // contents, size and everything needed to read them
	Datasync() error // the same, without times
}

// OS is the operating system's file system.
var OS FS = osFS{}

type osFS struct{}

type osFile struct{ *os.File }

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o755) }

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

func file(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Open(name string) (File, error) { return file(os.Open(name)) }

func (osFS) Edit(name string) (File, error) { return file(os.OpenFile(name, os.O_RDWR, 0)) }

func (osFS) Create(name string) (File, error) {
	return file(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644))
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock locks the directory itself, so that no file appears which Apache's server would wonder about.
func (osFS) Lock(dir string) (io.Closer, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = d.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return d, nil
}

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Datasync is repeated when a signal interrupts it, which is not a failure to write.
func (f osFile) Datasync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// A directory knows which files of it are ours.
type directory struct {
	fs   FS
	path string // ends in version-2
}

func (d directory) join(name string) string { return filepath.Join(d.path, name) }

// named lists the files called prefix.<hex zxid><a suffix of suffixes>, in the order of their zxids.
func (d directory) named(prefix string, suffixes ...string) ([]stamped, error) {
	names, err := d.fs.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("txnlog: list %s: %w", d.path, err)
	}
	var out []stamped
	for _, name := range names {
		for _, suffix := range suffixes {
			if zxid, ok := zxidOf(name, prefix, suffix); ok {
				out = append(out, stamped{name, zxid})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b stamped) int { return compareZxid(a.zxid, b.zxid) })
	return out, nil
}

// size adds up the lengths of files.
func (d directory) size(files []stamped) (int64, error) {
	var sum int64
	for _, st := range files {
		f, err := d.fs.Open(d.join(st.name))
		if errors.Is(err, os.ErrNotExist) { // purged meanwhile
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("txnlog: open %s: %w", d.join(st.name), err)
		}
		n, err := f.Size()
		_ = f.Close()
		if err != nil {
			return 0, fmt.Errorf("txnlog: size of %s: %w", d.join(st.name), err)
		}
		sum += n
	}
	return sum, nil
}
