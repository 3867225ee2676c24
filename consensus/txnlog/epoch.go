package txnlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Names of the epoch files, beside the snapshots. Each holds a decimal number.
const (
	acceptedEpoch = "acceptedEpoch"
	currentEpoch  = "currentEpoch"
	epochTmp      = ".tmp"
)

// Epochs are the two numbers that a member remembers apart from its history: the newest epoch that it has
// promised to follow, and the newest one whose history it holds.
type Epochs struct{ Accepted, Current int64 }

// Epochs is valid after Load.
func (s *Store) Epochs() Epochs { return s.epochs }

// SetAcceptedEpoch makes an epoch durable before it returns.
func (s *Store) SetAcceptedEpoch(epoch int64) error {
	if err := s.writeEpoch(acceptedEpoch, epoch); err != nil {
		return err
	}
	s.epochs.Accepted = epoch
	return nil
}

// SetCurrentEpoch makes an epoch durable before it returns. The history of that epoch must be durable.
func (s *Store) SetCurrentEpoch(epoch int64) error {
	if err := s.writeEpoch(currentEpoch, epoch); err != nil {
		return err
	}
	s.epochs.Current = epoch
	return nil
}

func (s *Store) writeEpoch(name string, epoch int64) error {
	if err := s.replace(name, strconv.AppendInt(nil, epoch, 10)); err != nil {
		return fmt.Errorf("txnlog: write %s: %w", name, full(err))
	}
	return nil
}

// replace writes a small file as a whole or not at all.
func (s *Store) replace(name string, text []byte) error {
	fs, tmp := s.cfg.FS, s.snaps.join(name+epochTmp)
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = fs.Remove(tmp) // a half-written one would be believed
		return err
	}
	if err := fs.Rename(tmp, s.snaps.join(name)); err != nil {
		return err
	}
	return fs.SyncDir(s.snaps.path)
}

// parseEpoch reads the contents of an epoch file: the first line counts.
func parseEpoch(text []byte) (int64, error) {
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSpace(line)
	epoch, err := strconv.ParseInt(line, 10, 64)
	if err != nil || epoch < 0 {
		return 0, fmt.Errorf("%.20q is not an epoch", line)
	}
	return epoch, nil
}

// readEpoch returns -1 if the file does not exist.
func (s *Store) readEpoch(name string) (int64, error) {
	f, err := s.cfg.FS.Open(s.snaps.join(name))
	if errors.Is(err, os.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("txnlog: open %s: %w", name, err)
	}
	defer f.Close()
	text := make([]byte, 64)
	n, err := f.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("txnlog: read %s: %w", name, err)
	}
	epoch, err := parseEpoch(text[:n])
	if err != nil {
		return 0, &DamageError{s.snaps.join(name), 0, err.Error()}
	}
	return epoch, nil
}

// checkEpochs compares the files with the last zxid, as Apache's server does at its start. A missing file
// is the epoch of the last zxid. A server alone counts for nobody, and Apache's then reads no such file:
// one that is behind is raised.
func (s *Store) checkEpochs(last int64) error {
	current, err := s.readEpoch(currentEpoch)
	if err != nil {
		return err
	}
	switch {
	case current < 0:
		if err := s.SetCurrentEpoch(epochOf(last)); err != nil {
			return err
		}
	case epochOf(last) > current:
		// A crash between writing the file and renaming it.
		tmp, err := s.readEpoch(currentEpoch + epochTmp)
		if s.cfg.Alone && err == nil && tmp < epochOf(last) {
			s.cfg.Log.Warn("epoch file raised to that of the last zxid", "file", s.snaps.join(currentEpoch), "from", current, "to", epochOf(last))
			tmp = epochOf(last)
		}
		if err != nil || tmp < epochOf(last) {
			return errors.Join(fmt.Errorf("txnlog: %s: current epoch %d is older than the last zxid 0x%x",
				s.snaps.join(currentEpoch), current, last), err)
		}
		if err := s.SetCurrentEpoch(tmp); err != nil {
			return err
		}
	default:
		s.epochs.Current = current
	}
	accepted, err := s.readEpoch(acceptedEpoch)
	if err != nil {
		return err
	}
	if accepted < 0 || s.cfg.Alone && accepted < s.epochs.Current {
		accepted = s.epochs.Current
		if err := s.SetAcceptedEpoch(accepted); err != nil {
			return err
		}
	}
	s.epochs.Accepted = accepted
	if accepted < s.epochs.Current {
		return fmt.Errorf("txnlog: %s: accepted epoch %d is older than the current epoch %d",
			s.snaps.join(acceptedEpoch), accepted, s.epochs.Current)
	}
	return nil
}
