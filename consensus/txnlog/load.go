package txnlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Load hands the newest valid snapshot to load (r ends behind the terminator "/" of the body), then every
// record after it to apply, in order; a record is reused by the next. It returns the last zxid.
//
// If load was not called there is no snapshot: logs alone are trusted (Config.TrustEmpty), or, if last is
// 0, the history is empty, and a snapshot of zxid 0 must be committed before the first group.
//
// Only after everything was found in order the directory is put in order: a torn tail is cut, what was
// read is synced, epochs are compared and written if they are missing.
func (s *Store) Load(load func(zxid int64, r io.Reader) error, apply func(record []byte) error) (last int64, err error) {
	base, skipped, err := s.loadSnapshot(load)
	if err != nil {
		return 0, err
	}
	r := replay{store: s, hasSnapshot: base >= 0, base: max(base, 0), last: max(base, 0), skipped: skipped, apply: apply}
	if err := r.run(); err != nil {
		return 0, err
	}
	if err := r.bridged(); err != nil {
		return 0, err
	}
	if err := s.checkEpochs(r.last); err != nil {
		return 0, err
	}
	if err := r.repair(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.hasSnapshot = r.last, r.hasSnapshot || r.last > 0
	return r.last, nil
}

// replay goes over the logs that a snapshot needs.
type replay struct {
	store       *Store
	hasSnapshot bool
	base, last  int64 // zxids of the snapshot and of the last record
	apply       func(record []byte) error
	skipped     []damaged
	seen        []stamped // files that were read
	tail        tail      // of the last of them
	unborn      bool      // the last of them has no contents
}

// needed are the logs that hold, or continue, what comes after base.
func needed(logs []stamped, base int64) []stamped {
	from := 0
	for i, st := range logs {
		if st.zxid <= base+1 {
			from = i
		}
	}
	return logs[from:]
}

func (r *replay) run() error {
	logs, err := r.store.logFiles()
	if err != nil {
		return err
	}
	logs = needed(logs, r.base)
	for i, st := range logs {
		var next *stamped
		if i+1 < len(logs) {
			next = &logs[i+1]
		}
		if err := r.file(st, next); err != nil {
			return err
		}
	}
	return nil
}

// file replays one file; next is nil for the newest.
func (r *replay) file(st stamped, next *stamped) error {
	name := r.store.logs.join(st.name)
	seg, err := openSegment(r.store.cfg.FS, name)
	r.seen, r.unborn, r.tail = append(r.seen, st), errors.Is(err, errUnborn), tail{}
	if r.unborn {
		return nil
	}
	if err != nil {
		return err
	}
	defer seg.close()
	here := int64(-1) // the last zxid in this file
	for {
		off := seg.off
		record, err := seg.next()
		if err != nil {
			return err
		}
		if record == nil {
			break
		}
		zxid := recordZxid(record)
		if err := r.record(record, zxid, here, st); err != nil {
			return r.at(name, off, err)
		}
		here = zxid
	}
	last := here
	if here < 0 {
		last = st.zxid - 1
	}
	if r.tail, err = seg.tail(r.store.window, last, r.base); err != nil {
		return err
	}
	if r.tail.clean() {
		return nil
	}
	reason := r.tail.reason
	if next != nil {
		if here >= 0 && next.zxid == here+1 && Follows(here, next.zxid) {
			r.store.log.Warn("torn tail was written anew in the next log", slog.String("file", name), slog.Int64("offset", seg.off))
			return nil
		}
		if reason == "" {
			reason = "no valid record here, and this is not the newest log"
		}
	}
	if reason != "" {
		return &DamageError{name, seg.off, reason}
	}
	return nil
}

// refusal is an error that a record gives rise to.
type refusal string

func (e refusal) Error() string { return string(e) }

func (r *replay) at(name string, off int64, err error) error {
	if e, ok := errors.AsType[refusal](err); ok {
		return &DamageError{name, off, string(e)}
	}
	return fmt.Errorf("txnlog: %s: offset %d: %w", name, off, err)
}

// record replays one; here is the zxid before it in the file, -1 if it is the first.
func (r *replay) record(record []byte, zxid, here int64, st stamped) error {
	switch {
	case here < 0 && zxid != st.zxid:
		return refusal(fmt.Sprintf("the first record is of zxid 0x%x, not the one in the file's name", zxid))
	case zxid <= here:
		return refusal(fmt.Sprintf("zxid 0x%x after 0x%x: out of order", zxid, here))
	case zxid <= r.base:
		return nil
	case !r.hasSnapshot && !r.store.cfg.TrustEmpty:
		return fmt.Errorf("%w: there are logs, but their start is missing (snapshot.trust.empty=true would take them for all)", ErrNoSnapshot)
	case zxid <= r.last:
		return refusal(fmt.Sprintf("zxid 0x%x after 0x%x: in two log files", zxid, r.last))
	case !Follows(r.last, zxid):
		return refusal(fmt.Sprintf("zxid 0x%x after 0x%x: what was between is missing; is a log file gone?", zxid, r.last))
	}
	if err := r.apply(record); err != nil {
		return fmt.Errorf("apply zxid 0x%x: %w", zxid, err)
	}
	r.last = zxid
	r.skipped = slices.DeleteFunc(r.skipped, func(d damaged) bool {
		if d.zxid == zxid {
			r.note(d)
		}
		return d.zxid == zxid
	})
	return nil
}

func (r *replay) note(d damaged) {
	r.store.log.Warn("damaged snapshot is not needed", slog.String("file", d.err.File), slog.Int64("offset", d.err.Offset), slog.String("reason", d.err.Reason))
}

// bridged refuses a directory whose newer, damaged snapshot may have known what the logs do not: a log
// that holds the snapshot's own zxid holds all before it too. A snapshot that a crash cut short was never
// relied on if nothing was logged after it.
func (r *replay) bridged() error {
	for _, d := range r.skipped {
		if d.zxid == r.base || d.zxid > r.last && strings.Contains(d.err.Reason, cutShort) {
			r.note(d)
			continue
		}
		return fmt.Errorf("the logs do not hold what this snapshot held: %w", d.err)
	}
	return nil
}

// repair leaves a directory that can be written to, and that holds durably what was read: a process that
// was killed may not have synced it.
func (r *replay) repair() error {
	s := r.store
	fs := s.cfg.FS
	for i, st := range r.seen {
		name := s.logs.join(st.name)
		newest := i == len(r.seen)-1
		if newest && (r.unborn || r.tail.torn() && r.tail.off == headerSize) {
			if err := fs.Remove(name); err != nil {
				return fmt.Errorf("txnlog: remove empty log: %w", err)
			}
			s.log.Info("log without records removed", slog.String("file", name))
			continue
		}
		if err := r.settle(name, newest && r.tail.torn()); err != nil {
			return fmt.Errorf("txnlog: repair %s: %w", name, full(err))
		}
	}
	names, err := fs.ReadDir(s.snaps.path)
	if err != nil {
		return fmt.Errorf("txnlog: list %s: %w", s.snaps.path, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, unfinished+snapshotPrefix) {
			if err := fs.Remove(s.snaps.join(name)); err != nil {
				return fmt.Errorf("txnlog: remove unfinished snapshot: %w", err)
			}
		}
	}
	if err := errors.Join(fs.SyncDir(s.snaps.path), fs.SyncDir(s.logs.path)); err != nil {
		return fmt.Errorf("txnlog: sync directory: %w", err)
	}
	return nil
}

func (r *replay) settle(name string, torn bool) error {
	f, err := r.store.cfg.FS.Edit(name)
	if err != nil {
		return err
	}
	if torn {
		err = f.Truncate(r.tail.off)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && torn {
		r.store.log.Warn("torn tail of the log cut off", slog.String("file", name),
			slog.Int64("offset", r.tail.off), slog.Int64("bytes", r.tail.end-r.tail.off))
	}
	return err
}
