package txnlog

import (
	"errors"
	"fmt"
	"path/filepath"
)

// A LogInfo is what reading a log file to its end tells.
type LogInfo struct {
	Records     int
	First, Last int64 // zxids
	End         int64 // offset behind the last record
	Torn        int64 // bytes behind it that a write before a crash left; the next start cuts them off
	Size        int64 // of the file; what is behind End and Torn is zero
	Gaps        []Gap
}

// A Gap is where transactions are missing between two records. It is in order if a snapshot from another
// member was taken between them.
type Gap struct {
	Offset     int64
	Prev, Next int64 // zxids
}

// ReadLog reads a log file to its end, checks what can be checked without its neighbours, and hands each
// record with its offset to visit; a record is reused by the next. FS nil is the operating system's.
func ReadLog(fs FS, name string, visit func(off int64, record []byte) error) (LogInfo, error) {
	info := LogInfo{End: headerSize}
	if fs == nil {
		fs = OS
	}
	seg, err := openSegment(fs, name)
	if errors.Is(err, errUnborn) {
		info.End = 0
		return info, nil
	}
	if err != nil {
		return info, err
	}
	defer seg.close()
	info.Size = seg.size
	for {
		off := seg.off
		record, err := seg.next()
		if err != nil {
			return info, err
		}
		if record == nil {
			break
		}
		if err := info.record(name, off, recordZxid(record)); err != nil {
			return info, err
		}
		info.End = seg.off
		if err := visit(off, record); err != nil {
			return info, err
		}
	}
	last := info.Last
	if zxid, ok := zxidOf(filepath.Base(name), logPrefix, ""); ok && info.Records == 0 {
		last = zxid - 1
	}
	t, err := seg.tail(max(minWindow, defaultMaxRecord+frameSize), last, 0)
	switch {
	case err != nil:
		return info, err
	case t.torn():
		info.Torn = t.end - t.off
	case !t.clean():
		return info, &DamageError{name, t.off, t.reason}
	}
	return info, nil
}

func (info *LogInfo) record(name string, off, zxid int64) error {
	named, hasName := zxidOf(filepath.Base(name), logPrefix, "")
	switch {
	case info.Records == 0 && hasName && zxid != named:
		return &DamageError{name, off, fmt.Sprintf("the first record is of zxid 0x%x, not the one in the file's name", zxid)}
	case info.Records == 0:
		info.First = zxid
	case zxid <= info.Last:
		return &DamageError{name, off, fmt.Sprintf("zxid 0x%x after 0x%x: out of order", zxid, info.Last)}
	case !Follows(info.Last, zxid):
		info.Gaps = append(info.Gaps, Gap{off, info.Last, zxid})
	}
	info.Records++
	info.Last = zxid
	return nil
}

// ZxidOf is the zxid in a file's name, -1 if the name is not that of a log or a snapshot.
func ZxidOf(name string) (zxid int64, snapshot bool) {
	name = filepath.Base(name)
	if zxid, ok := zxidOf(name, logPrefix, ""); ok {
		return zxid, false
	}
	for _, suffix := range []string{"", "." + CompressionGzip, "." + CompressionSnappy} {
		if zxid, ok := zxidOf(name, snapshotPrefix, suffix); ok {
			return zxid, true
		}
	}
	return -1, false
}
