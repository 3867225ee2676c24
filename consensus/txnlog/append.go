package txnlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Zeros are written ahead of a group that reaches unwritten blocks, unless the group itself is large: then
// it pays for its own blocks anyway. Measured on ext4: below 64 KiB the next file system transaction comes
// too soon, above 512 KiB the group that carries the zeros is late.
const (
	zerosAhead = 256 << 10
	largeGroup = 128 << 10
	block      = 4 << 10
)

// growing is the log file that is written to.
type growing struct {
	f      File
	name   string // with its directory
	size   int64  // of the file; 0: it is as long as what was written
	zeroed int64  // up to here blocks exist
	pos    int64  // where the next group begins; from here on all is zero
}

// Run writes groups until ctx ends, then closes the log in order: without its zero tail. It returns nil,
// or the error that the last Written had.
func (s *Store) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return s.finish()
		case g := <-s.groups:
			w := s.write(g)
			select {
			case s.written <- w:
			case <-ctx.Done(): // nobody listens
			}
			if w.Err != nil && !errors.Is(w.Err, ErrFull) {
				return w.Err
			}
		}
	}
}

// finish ends the file that is written to.
func (s *Store) finish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	return s.end()
}

// end cuts the zeros off the current file and closes it. mu is held.
func (s *Store) end() error {
	c := s.current
	if c == nil {
		return nil
	}
	s.current = nil
	err := c.f.Truncate(c.pos)
	if err == nil {
		err = c.f.Sync()
	}
	if err = errors.Join(err, c.f.Close()); err != nil {
		return s.fatal("end", c.name, err)
	}
	return nil
}

// fatal makes an error stick. mu is held.
func (s *Store) fatal(verb, name string, err error) error {
	s.broken = fmt.Errorf("txnlog: %s %s: %w", verb, name, err)
	return s.broken
}

// write makes a group durable.
func (s *Store) write(g *Group) Written {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := Written{Group: g}
	switch {
	case s.broken != nil:
		w.Err = s.broken
	case len(g.Ends) == 0:
	case !s.hasSnapshot:
		w.Err = s.fatal("append to", s.logs.path, ErrNoSnapshot)
	case !Follows(s.last, g.First):
		gap := fmt.Errorf("zxid 0x%x does not continue 0x%x", g.First, s.last)
		if s.refusing { // it was on its way when the one before it found no room
			w.Err = fmt.Errorf("txnlog: %w: %w", gap, ErrFull)
		} else {
			w.Err = s.fatal("append to", s.logs.path, gap)
		}
	default:
		w.Err = s.append(g, &w)
		s.refusing = errors.Is(w.Err, ErrFull)
	}
	return w
}

// append writes and syncs g, as a whole or not at all. mu is held.
func (s *Store) append(g *Group, w *Written) error {
	if s.roll || g.Roll || s.current == nil || s.cfg.MaxLogSize > 0 && s.current.pos >= s.cfg.MaxLogSize {
		if err := s.end(); err != nil {
			return err
		}
		if err := s.begin(g.First); err != nil {
			return err
		}
	}
	c := s.current
	undo := *c
	for from := 0; from < len(g.Ends); {
		var next int
		s.out, next = s.frames(s.out[:0], g, from)
		began := time.Now()
		err := s.put(s.out)
		w.Write += time.Since(began)
		if err != nil {
			return s.takeBack(undo, err)
		}
		if !s.cfg.NoSync {
			began = time.Now()
			err = c.f.Datasync()
			w.Sync += time.Since(began)
		}
		if err != nil {
			return s.fatal("sync", c.name, err)
		}
		from = next
	}
	s.last = g.Last
	if cap(s.out) > 2*minWindow {
		s.out = nil
	}
	return nil
}

// frames appends the frames of records from one on, as many as one write may hold.
func (s *Store) frames(b []byte, g *Group, from int) (out []byte, next int) {
	start := 0
	if from > 0 {
		start = g.Ends[from-1]
	}
	for next = from; next < len(g.Ends); next++ {
		record := g.Records[start:g.Ends[next]]
		if next > from && int64(len(b)+len(record)+frameSize) > s.window {
			break
		}
		b = appendFrame(b, record)
		start = g.Ends[next]
	}
	return b, next
}

// begin creates a log file. Its header is durable, under its name, before any group is written: recovery
// relies on it.
func (s *Store) begin(first int64) error {
	c := &growing{name: s.logs.join(logName(first)), pos: headerSize}
	f, err := s.cfg.FS.Create(c.name)
	if err != nil {
		return s.noRoom("create", c.name, err)
	}
	c.f = f
	s.out = appendHeader(s.out[:0], logMagic, 0)
	if s.cfg.PreAlloc > 0 {
		c.size = s.cfg.PreAlloc + headerSize
		c.zeroed = min(zerosAhead, c.size)
		s.out = append(s.out, make([]byte, c.zeroed-headerSize)...)
	}
	_, err = f.WriteAt(s.out, 0)
	if err == nil && c.size > 0 {
		err = f.Truncate(c.size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.cfg.FS.SyncDir(s.logs.path)
	}
	if err != nil {
		return s.noRoom("begin", c.name, errors.Join(err, s.discard(c)))
	}
	s.current, s.roll = c, false
	return nil
}

// discard removes a log file without records.
func (s *Store) discard(c *growing) error {
	if err := errors.Join(c.f.Close(), s.cfg.FS.Remove(c.name)); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return s.cfg.FS.SyncDir(s.logs.path)
}

func (s *Store) noRoom(verb, name string, err error) error {
	if err := full(err); errors.Is(err, ErrFull) {
		return fmt.Errorf("txnlog: %s %s: %w", verb, name, err)
	}
	return s.fatal(verb, name, err)
}

// put writes frames at the end, and zeros behind them where blocks are missing.
func (s *Store) put(frames []byte) error {
	c := s.current
	end := c.pos + int64(len(frames))
	if c.size > 0 && end+block >= c.size {
		size := c.size
		for end+block >= size {
			size += s.cfg.PreAlloc
		}
		if err := c.f.Truncate(size); err != nil {
			return err
		}
		c.size = size
	}
	n := len(frames)
	if c.size > 0 && end > c.zeroed && n < largeGroup {
		c.zeroed = min((end+zerosAhead)&^(block-1), c.size)
		frames = append(frames, zeros[:c.zeroed-end]...)
		s.out = frames
	}
	if _, err := c.f.WriteAt(frames, c.pos); err != nil {
		return err
	}
	c.pos = end
	c.zeroed = max(c.zeroed, end)
	return nil
}

var zeros [zerosAhead]byte

// takeBack undoes a group after a write that failed. Only for want of room the store goes on, and only
// once it is durable, and seen, that nothing of the group is there.
func (s *Store) takeBack(undo growing, cause error) error {
	c := s.current
	cause = full(cause)
	if !errors.Is(cause, ErrFull) {
		return s.fatal("write", c.name, cause)
	}
	if undo.pos == headerSize {
		s.current = nil
		if err := s.discard(c); err != nil {
			return s.fatal("take back", c.name, err)
		}
		return fmt.Errorf("txnlog: write %s: %w", c.name, cause)
	}
	err := c.f.Truncate(undo.pos)
	if err == nil && undo.size > 0 {
		err = c.f.Truncate(undo.size)
	}
	if err == nil {
		err = c.f.Sync()
	}
	if err == nil {
		err = s.nothingAfter(undo.pos, undo.size)
	}
	if err != nil {
		return s.fatal("take back", c.name, err)
	}
	undo.zeroed = undo.pos
	*c = undo
	s.log.Warn("no room for transactions", slog.String("file", c.name), slog.Int64("offset", c.pos))
	return fmt.Errorf("txnlog: write %s: %w", c.name, cause)
}

// nothingAfter proves that the current file is zero from pos, and as long as it should be.
func (s *Store) nothingAfter(pos, size int64) error {
	have, err := s.current.f.Size()
	if err != nil {
		return err
	}
	if have != max(pos, size) {
		return fmt.Errorf("size is %d, not %d", have, max(pos, size))
	}
	end, err := dataEnd(s.current.f, pos, min(have, pos+s.window))
	if err == nil && end > pos {
		err = fmt.Errorf("data at %d is still there", end-1)
	}
	return err
}
