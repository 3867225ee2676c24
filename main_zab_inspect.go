package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/txnlog"
)

type zabInspectCmd struct {
	Paths  []string `arg:"" name:"path" type:"path" help:"Logs, snapshots, or directories of them."`
	Znodes bool     `help:"List the znodes of snapshots."`
	Quiet  bool     `short:"q" help:"Print one line for each file, not the transactions."`
}

func (zabInspectCmd) Help() string {
	return `Prints transaction logs and snapshots, ours or Apache ZooKeeper's, as text, and verifies them: checksums,
order of transactions, and the digest of each snapshot against its znodes. It changes nothing, and
needs no member. It ends with 1 if something is damaged, and says in which file and at which offset.

  ha zab inspect /var/lib/zookeeper/version-2
  ha zab inspect --znodes snapshot.5f3
  ha zab inspect -q /var/lib/zookeeper && echo all in order

A line of a log: zxid, time, session and its request number, transaction, digest of the tree after it.`
}

func (c zabInspectCmd) Run(s *surroundings) error {
	out := bufio.NewWriterSize(s.stdout, 64<<10)
	i := inspection{out: out, znodes: c.Znodes, quiet: c.Quiet}
	for _, path := range c.Paths {
		i.path(path)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("inspect: print: %w", err)
	}
	return errors.Join(i.errs...)
}

// An inspection goes over files and gathers what is wrong with them.
type inspection struct {
	out           io.Writer
	znodes, quiet bool
	errs          []error
}

func (i *inspection) bad(err error) {
	if err != nil {
		i.errs = append(i.errs, err)
	}
}

func (i *inspection) path(path string) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		i.bad(fmt.Errorf("inspect: %w", err))
	case st.IsDir():
		i.directory(path)
	default:
		_, snapshot := txnlog.ZxidOf(path)
		if snapshot || magicOf(path) == "ZKSN" {
			_ = i.snapshot(path)
		} else {
			_ = i.log(path)
		}
	}
}

// magicOf tells what a file is whose name does not.
func magicOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	magic := make([]byte, 4)
	_, _ = io.ReadFull(f, magic)
	return string(magic)
}

// directory inspects all the files of one, snapshots first, and whether the logs join.
func (i *inspection) directory(dir string) {
	if inner := filepath.Join(dir, "version-2"); isDir(inner) {
		dir = inner
	}
	names, err := txnlog.OS.ReadDir(dir)
	if err != nil {
		i.bad(fmt.Errorf("inspect: %w", err))
		return
	}
	var logs []string
	newest := int64(-1) // snapshot in order
	for _, name := range names {
		zxid, snapshot := txnlog.ZxidOf(name)
		switch {
		case snapshot:
			if i.snapshot(filepath.Join(dir, name)) == nil {
				newest = max(newest, zxid)
			}
		case zxid >= 0:
			logs = append(logs, filepath.Join(dir, name))
		}
	}
	slices.SortFunc(logs, func(a, b string) int {
		x, _ := txnlog.ZxidOf(a)
		y, _ := txnlog.ZxidOf(b)
		return int(min(max(x-y, -1), 1))
	})
	var prev *txnlog.LogInfo
	for k, file := range logs {
		if prev != nil {
			i.joins(prev, logs[k-1], file, newest)
		}
		prev = i.log(file)
	}
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// joins compares the end of a log with the name of the next.
func (i *inspection) joins(prev *txnlog.LogInfo, name, next string, newest int64) {
	zxid, _ := txnlog.ZxidOf(next)
	together := txnlog.Follows(prev.Last, zxid)
	switch {
	case prev.Records == 0:
	case prev.Torn > 0 && zxid != prev.Last+1:
		i.bad(fmt.Errorf("inspect: %s: offset %d: %d bytes that are no record, and it is not the newest log", name, prev.End, prev.Torn))
	case !together && zxid <= prev.Last:
		i.bad(fmt.Errorf("inspect: %s: begins with zxid 0x%x, though %s reaches 0x%x", next, zxid, filepath.Base(name), prev.Last))
	case !together && newest < zxid-1:
		i.bad(fmt.Errorf("inspect: %s: begins with zxid 0x%x, but %s ends with 0x%x: is a log file gone?", next, zxid, filepath.Base(name), prev.Last))
	}
}

func (i *inspection) log(file string) *txnlog.LogInfo {
	fmt.Fprintf(i.out, "%s: transaction log\n", file)
	info, err := txnlog.ReadLog(nil, file, func(off int64, record []byte) error {
		l, err := jute.ParseLoggedTxn(record)
		if err != nil {
			i.bad(&txnlog.DamageError{File: file, Offset: off, Reason: err.Error()})
			return nil
		}
		if !i.quiet {
			fmt.Fprintln(i.out, txnLine(&l))
		}
		return nil
	})
	i.bad(err)
	for _, g := range info.Gaps {
		fmt.Fprintf(i.out, "%s: offset %d: from zxid 0x%x to 0x%x; in order only after a snapshot from another member\n", file, g.Offset, g.Prev, g.Next)
	}
	if info.Torn > 0 {
		fmt.Fprintf(i.out, "%s: offset %d: %d bytes of a write that a crash cut short; the next start removes them\n", file, info.End, info.Torn)
	}
	fmt.Fprintf(i.out, "%s: %d transactions, zxid 0x%x to 0x%x, %d bytes of %d\n", file, info.Records, info.First, info.Last, info.End, info.Size)
	return &info
}

// txnLine is one transaction.
func txnLine(l *jute.LoggedTxn) string {
	h := &l.Header
	b := fmt.Sprintf("0x%x %s session 0x%x cxid %d %s", h.Zxid, time.UnixMilli(h.Time).UTC().Format("2006-01-02T15:04:05.000Z"), h.Session, h.Cxid, txnText(&l.Txn))
	if l.Digest.Version != 0 {
		b += fmt.Sprintf(" digest 0x%x", l.Digest.Tree)
	}
	return b
}

func txnText(t *jute.Txn) string {
	switch t.Type {
	case jute.OpError:
		return fmt.Sprintf("error %d (%s)", int32(t.Err), t.Err.String())
	case jute.OpCreateSession:
		return fmt.Sprintf("createSession timeout %d ms", t.Timeout)
	case jute.OpCloseSession:
		paths := make([]string, len(t.Paths))
		for k, p := range t.Paths {
			paths[k] = quoted(p)
		}
		return strings.TrimSpace("closeSession " + strings.Join(paths, " "))
	case jute.OpMulti:
		parts := make([]string, len(t.Ops))
		for k := range t.Ops {
			parts[k] = txnText(&t.Ops[k])
		}
		return "multi [" + strings.Join(parts, "; ") + "]"
	case jute.OpDelete, jute.OpDeleteContainer:
		return fmt.Sprintf("%v %s", t.Type, quoted(t.Path))
	case jute.OpSetACL, jute.OpCheck:
		return fmt.Sprintf("%v %s version %d", t.Type, quoted(t.Path), t.Version)
	case jute.OpSetData, jute.OpReconfig:
		return fmt.Sprintf("%v %s %d bytes version %d", t.Type, quoted(t.Path), len(t.Data), t.Version)
	}
	text := fmt.Sprintf("%v %s %d bytes", t.Type, quoted(t.Path), len(t.Data))
	if t.Ephemeral {
		text += " ephemeral"
	}
	if t.TTL > 0 {
		text += fmt.Sprintf(" ttl %d ms", t.TTL)
	}
	return text
}

// quoted shows a path as it is if that is one word that a terminal may have.
func quoted(path string) string {
	if q := strconv.Quote(path); q != `"`+path+`"` || path == "" || strings.ContainsAny(path, " ;[]") {
		return q
	}
	return path
}

func (i *inspection) snapshot(file string) error {
	fmt.Fprintf(i.out, "%s: snapshot\n", file)
	info, err := txnlog.ReadSnapshot(nil, file, func(z *txnlog.Znode) error {
		if i.znodes {
			path := quoted(string(z.Path))
			if len(z.Path) == 0 {
				path = "/"
			}
			st := &z.Stat
			fmt.Fprintf(i.out, "%s %d bytes czxid 0x%x mzxid 0x%x pzxid 0x%x version %d cversion %d aversion %d owner 0x%x\n", path,
				len(z.Data), st.Czxid, st.Mzxid, st.Pzxid, st.Version, st.Cversion, st.Aversion, uint64(st.EphemeralOwner))
		}
		return nil
	})
	if err != nil {
		i.bad(err)
		return err
	}
	fmt.Fprintf(i.out, "%s: %d znodes, %d bytes of data, %d sessions, %d ACLs, newest zxid of a znode 0x%x\n", file,
		info.Znodes, info.DataBytes, info.Sessions, info.ACLs, info.MaxZxid)
	zxid, ok := txnlog.ZxidOf(file)
	exact := info.Digest.Version == jute.DigestVersion && (!ok || info.DigestZxid == zxid && info.MaxZxid <= zxid)
	switch {
	case info.Digest.Version == 0 || info.Digest.Tree == 0:
		fmt.Fprintf(i.out, "%s: no digest\n", file)
	case info.Digest.Tree == info.Computed:
		fmt.Fprintf(i.out, "%s: digest 0x%x of zxid 0x%x, as computed\n", file, info.Digest.Tree, info.DigestZxid)
	case !exact:
		fmt.Fprintf(i.out, "%s: digest 0x%x of zxid 0x%x; written while transactions were applied, so not comparable\n", file, info.Digest.Tree, info.DigestZxid)
	default:
		err = fmt.Errorf("inspect: %s: digest 0x%x of zxid 0x%x, but that of the znodes is 0x%x", file, info.Digest.Tree, info.DigestZxid, info.Computed)
		i.bad(err)
	}
	return err
}
