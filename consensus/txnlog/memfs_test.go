package txnlog

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// memFS is a file system that can lose its power. What was not synced is in a cache: crash keeps any part
// of it, sector by sector, and any of the changes of directories.
type memFS struct {
	mu      sync.Mutex
	live    map[string]*inode
	durable map[string]*inode
	locked  map[string]bool
	ops     int // changes so far
	crashAt int // the change that panics with powerCut; 0: none
	rng     *rand.Rand
	blocks  int // of 4 KiB that are free; negative: no limit
	failing map[string]error
}

// inode is a file: what a reader sees, and what the disk has.
type inode struct {
	data      []byte
	disk      []byte
	dirty     map[int]bool // sectors of data that the disk may not have
	allocated map[int]bool // blocks
}

type powerCut struct{}

func newMemFS(rng *rand.Rand) *memFS {
	return &memFS{live: map[string]*inode{}, durable: map[string]*inode{}, locked: map[string]bool{}, rng: rng, blocks: -1, failing: map[string]error{}}
}

// change counts one, and cuts the power before or after it has an effect.
func (m *memFS) change(effect func()) {
	m.ops++
	if m.ops != m.crashAt {
		effect()
		return
	}
	if m.rng.IntN(2) == 0 {
		effect()
	}
	panic(powerCut{})
}

func (m *memFS) fault(op string) error {
	err := m.failing[op]
	delete(m.failing, op)
	return err
}

// crash is what the disk holds after the power came back.
func (m *memFS) crash() *memFS {
	out := newMemFS(m.rng)
	out.blocks = m.blocks
	for _, name := range slices.Sorted(maps.Keys(m.durable)) { // changed since, or not
		n, now := m.durable[name], m.live[name]
		if now != n && m.rng.IntN(2) == 0 {
			n = now
		}
		if n != nil {
			out.live[name] = n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.live)) {
		if m.durable[name] == nil && m.rng.IntN(2) == 0 {
			out.live[name] = m.live[name]
		}
	}
	copies := map[*inode]*inode{}
	for _, name := range slices.Sorted(maps.Keys(out.live)) {
		n := out.live[name]
		if copies[n] == nil {
			copies[n] = n.survive(m.rng)
		}
		out.live[name] = copies[n]
	}
	out.durable = maps.Clone(out.live)
	return out
}

// survive mixes what was synced with what was not.
func (n *inode) survive(rng *rand.Rand) *inode {
	size := len(n.disk)
	switch rng.IntN(3) {
	case 0:
		size = len(n.data)
	case 1:
		lo, hi := min(size, len(n.data)), max(size, len(n.data))
		size = lo + rng.IntN(hi-lo+1)
	}
	if len(n.dirty) == 0 && len(n.data) == len(n.disk) {
		size = len(n.disk)
	}
	disk := make([]byte, size)
	copy(disk, n.disk)
	sectors := slices.Sorted(maps.Keys(n.dirty))
	arrived := func(i int) bool { return rng.IntN(2) == 0 }
	cut := rng.IntN(len(sectors) + 1)
	switch rng.IntN(4) {
	case 0:
		arrived = func(i int) bool { return i < cut }
	case 1:
		arrived = func(i int) bool { return i >= cut }
	case 2:
		arrived = func(i int) bool { return i != cut }
	}
	for i, s := range sectors {
		from, to := s*sector, min((s+1)*sector, size)
		if arrived(i) && from < to {
			clear(disk[from:to])
			if from < len(n.data) {
				copy(disk[from:to], n.data[from:])
			}
		}
	}
	return &inode{data: disk, disk: slices.Clone(disk), dirty: map[int]bool{}, allocated: maps.Clone(n.allocated)}
}

func (m *memFS) MkdirAll(string) error { return nil }

func (m *memFS) ReadDir(dir string) (names []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.live {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *memFS) open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.live[name]
	if n == nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return &memFile{m, n}, nil
}

func (m *memFS) Open(name string) (File, error) { return m.open(name) }
func (m *memFS) Edit(name string) (File, error) { return m.open(name) }

func (m *memFS) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault("create"); err != nil {
		return nil, err
	}
	if n := m.live[name]; n != nil {
		m.change(func() { n.truncate(0) })
		return &memFile{m, n}, nil
	}
	n := &inode{dirty: map[int]bool{}, allocated: map[int]bool{}}
	m.change(func() { m.live[name] = n })
	return &memFile{m, n}, nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change(func() {
		m.live[to] = m.live[from]
		delete(m.live, from)
	})
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.live[name]
	if n == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	m.change(func() {
		delete(m.live, name)
		if m.blocks >= 0 {
			m.blocks += len(n.allocated)
		}
	})
	return nil
}

func (m *memFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault("syncdir"); err != nil {
		return err
	}
	m.change(func() {
		maps.DeleteFunc(m.durable, func(name string, _ *inode) bool { return filepath.Dir(name) == dir })
		for name, n := range m.live {
			if filepath.Dir(name) == dir {
				m.durable[name] = n
			}
		}
	})
	return nil
}

type unlocker func()

func (u unlocker) Close() error { u(); return nil }

func (m *memFS) Lock(dir string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked[dir] {
		return nil, ErrInUse
	}
	m.locked[dir] = true
	return unlocker(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.locked, dir)
	}), nil
}

type memFile struct {
	m *memFS
	n *inode
}

func (f *memFile) Close() error { return nil }

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.fault("read"); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes as many blocks as there is room for.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.fault("write"); err != nil {
		return 0, err
	}
	room := len(p)
	var fresh []int
	for b := int(off) / block; b*block < int(off)+len(p); b++ {
		if f.n.allocated[b] || f.m.blocks < 0 {
			continue
		}
		if len(fresh) == f.m.blocks {
			room = max(b*block-int(off), 0)
			break
		}
		fresh = append(fresh, b)
	}
	part := p[:room]
	f.m.change(func() {
		for _, b := range fresh {
			f.n.allocated[b] = true
			f.m.blocks--
		}
		f.n.write(part, int(off))
		if f.m.rng.IntN(4) == 0 {
			f.n.writeBack(f.m.rng)
		}
	})
	if room < len(p) {
		return room, syscall.ENOSPC
	}
	return len(p), nil
}

func (n *inode) write(p []byte, off int) {
	if len(p) == 0 {
		return
	}
	if grow := off + len(p) - len(n.data); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	}
	copy(n.data[off:], p)
	for s := off / sector; s*sector < off+len(p); s++ {
		n.dirty[s] = true
	}
}

func (n *inode) sync() {
	size := len(n.data)
	if size > len(n.disk) {
		n.disk = append(n.disk, make([]byte, size-len(n.disk))...)
	}
	n.disk = slices.Clip(n.disk[:size])
	for s := range n.dirty {
		if from := s * sector; from < size {
			copy(n.disk[from:min(from+sector, size)], n.data[from:])
		}
	}
	clear(n.dirty)
}

// writeBack is what a kernel does by itself: some sectors reach the disk before anybody asks. They stay
// dirty, so that no test can rely on it.
func (n *inode) writeBack(rng *rand.Rand) {
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		from, to := s*sector, min((s+1)*sector, len(n.data))
		if from >= to || rng.IntN(3) == 0 {
			continue
		}
		if to > len(n.disk) {
			n.disk = append(n.disk, make([]byte, to-len(n.disk))...)
		}
		copy(n.disk[from:to], n.data[from:to])
	}
}

func (n *inode) truncate(size int) {
	if size >= len(n.data) {
		n.data = append(n.data, make([]byte, size-len(n.data))...)
		return
	}
	for s := size / sector; s*sector < len(n.data); s++ {
		n.dirty[s] = true
	}
	n.data = slices.Clip(n.data[:size])
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.fault("truncate"); err != nil {
		if err == errLie {
			return nil
		}
		return err
	}
	f.m.change(func() {
		for b := range f.n.allocated {
			if b*block >= int(size) {
				delete(f.n.allocated, b)
				if f.m.blocks >= 0 {
					f.m.blocks++
				}
			}
		}
		f.n.truncate(int(size))
	})
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.fault("sync"); err != nil {
		return err
	}
	f.m.change(func() {
		f.n.sync()
	})
	return nil
}

func (f *memFile) Datasync() error { return f.Sync() }

var (
	errIO  = errors.New("input/output error")
	errLie = errors.New("says that it did")
)
