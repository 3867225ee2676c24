package txnlog

import "io"

// FS is the part of a file system that the store depends on: the operating system's, or in tests one
// that loses what was not synced, fills up and breaks.
type FS interface {
	MkdirAll(dir string) error
	ReadDir(dir string) ([]string, error) // names of files, sorted; none if dir does not exist
	Open(name string) (File, error)       // for reading
	Edit(name string) (File, error)       // an existing file, for reading and writing
	Create(name string) (File, error)     // empty, for reading and writing; an existing file is emptied
	Rename(from, to string) error         // replaces to
	Remove(name string) error             //
	SyncDir(dir string) error             // creations, renames and removals in dir are durable after it
	Lock(dir string) (io.Closer, error)   // ErrInUse if somebody has it
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
