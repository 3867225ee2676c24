package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/txnlog"
)

// zabBody is a snapshot's: a root alone.
func zabBody() []byte {
	b := jute.AppendInt(jute.AppendInt(nil, 0), 0)
	st := jute.StatPersisted{}
	b = st.AppendTo(jute.AppendLong(jute.AppendBuffer(jute.AppendString(b, ""), []byte{}), -1))
	return jute.AppendString(b, "/")
}

// zabHistory writes a snapshot and a log of three transactions, and returns the file of the log.
func zabHistory(t *testing.T, dir string) string {
	t.Helper()
	s, err := txnlog.Open(txnlog.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Load(nil, nil); err != nil {
		t.Fatal(err)
	}
	snap, err := s.CreateSnapshot(0)
	if err == nil {
		_, err = snap.Write(zabBody())
	}
	if err == nil {
		err = snap.Commit(0)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.Run(ctx) }()
	g := &txnlog.Group{First: 1, Last: 3}
	for i, x := range []jute.Txn{
		{Type: jute.OpCreate, Path: "/a b", Data: []byte("data")},
		{Type: jute.OpError, Err: jute.NoNode},
		{Type: jute.OpMulti, Ops: []jute.Txn{{Type: jute.OpDelete, Path: "/a b"}, {Type: jute.OpSetData, Path: "/c", Data: []byte("d"), Version: 4}}},
	} {
		l := jute.LoggedTxn{Header: jute.TxnHeader{Session: 0xabc, Cxid: int32(i), Zxid: int64(i + 1), Time: 1700000000123, Type: x.Type}, Txn: x,
			Digest: jute.TxnDigest{Version: 2, Tree: 0x77}}
		g.Records = l.AppendTo(g.Records)
		g.Ends = append(g.Ends, len(g.Records))
	}
	s.Groups() <- g
	if w := <-s.Written(); w.Err != nil {
		t.Fatal(w.Err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "version-2", "log.1")
}

// zab runs a command of ha zab.
func zab(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(append([]string{"zab"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestZabInspect(t *testing.T) {
	dir := t.TempDir()
	log := zabHistory(t, dir)
	code, out, stderr := zab("inspect", "--znodes", dir)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, want := range []string{
		"snapshot.0: 1 znodes, 0 bytes of data, 0 sessions",
		"\n/ 0 bytes czxid 0x0",
		`0x1 2023-11-14T22:13:20.123Z session 0xabc cxid 0 create "/a b" 4 bytes digest 0x77`,
		"0x2 2023-11-14T22:13:20.123Z session 0xabc cxid 1 error -101 (no node) digest 0x77",
		`multi [delete "/a b"; setData /c 1 bytes version 4]`,
		"log.1: 3 transactions, zxid 0x1 to 0x3",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	text[100] ^= 1
	if err := os.WriteFile(log, text, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = zab("inspect", "-q", dir)
	if code != exitFailed || !strings.Contains(stderr, log+": offset ") {
		t.Errorf("a flipped bit: exit %d, %s", code, stderr)
	}
}

func TestZabInspectMissingLog(t *testing.T) {
	dir := t.TempDir()
	log := zabHistory(t, dir)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	// The same records once more under a name that leaves a gap.
	if err := os.WriteFile(filepath.Join(dir, "version-2", "log.9"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := zab("inspect", "-q", dir)
	if code != exitFailed || !strings.Contains(stderr, "is a log file gone?") || !strings.Contains(stderr, "not the one in the file's name") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// A member that answers with a snapshot, cut to a length.
func zabMember(t *testing.T, length int) *httptest.Server {
	var file bytes.Buffer
	e, err := txnlog.NewSnapshotEncoder(&file)
	if err == nil {
		_, err = e.Write(zabBody())
	}
	if err == nil {
		err = e.Seal(0x2a, 5)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/commands/snapshot" || r.Header.Get("Authorization") != "digest super:secret" {
			http.Error(w, "not you", http.StatusForbidden)
			return
		}
		_, _ = w.Write(file.Bytes()[:min(length, file.Len())])
	}))
	t.Cleanup(s.Close)
	return s
}

func TestZabBackupAndRestore(t *testing.T) {
	backups, data := t.TempDir(), t.TempDir()
	member := zabMember(t, 1<<20)
	if code, _, stderr := zab("backup", backups, "--from", member.URL); code != exitFailed || !strings.Contains(stderr, "403") || !strings.Contains(stderr, "--auth") {
		t.Errorf("nobody in particular asks: exit %d, %s", code, stderr)
	}
	t.Setenv("HA_ZAB_AUTH", "digest:super:secret")
	code, out, stderr := zab("backup", backups, "--from", member.URL)
	file := filepath.Join(backups, "snapshot.2a")
	if code != exitOK || out != file+": zxid 0x2a, 1 znodes, 0 sessions\n" {
		t.Fatalf("exit %d: %s%s", code, out, stderr)
	}
	if code, _, stderr := zab("restore", file, "--data-dir", data); code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	s, err := txnlog.Open(txnlog.Config{DataDir: data})
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := zab("restore", file, "--data-dir", data, "--force"); code != exitFailed || !strings.Contains(stderr, "in use") {
		t.Errorf("while it runs: exit %d, %s", code, stderr)
	}
	last, err := s.Load(func(zxid int64, r io.Reader) error {
		body, err := io.ReadAll(r)
		if !bytes.Equal(body, zabBody()) {
			t.Errorf("zxid 0x%x: %x", zxid, body)
		}
		return err
	}, nil)
	if err != nil || last != 0x2a {
		t.Errorf("0x%x, %v", last, err)
	}
	_ = s.Close()
	if code, _, stderr := zab("restore", file, "--data-dir", data); code != exitFailed || !strings.Contains(stderr, "--force") {
		t.Errorf("a history is there: exit %d, %s", code, stderr)
	}
	if code, out, stderr := zab("restore", file, "--data-dir", data, "--force"); code != exitOK || !strings.Contains(out, "what was there is in") {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
	if kept, _ := filepath.Glob(filepath.Join(data, "version-2.*", "snapshot.2a")); len(kept) != 1 {
		t.Errorf("nothing was kept: %v", kept)
	}
}

// A backup that was cut off, or is none, leaves no file; one that is damaged is not restored.
func TestZabBackupIsWholeOrNothing(t *testing.T) {
	t.Setenv("HA_ZAB_AUTH", "digest:super:secret")
	for _, length := range []int{0, 10, 60, 100} {
		dir := t.TempDir()
		code, _, stderr := zab("backup", filepath.Join(dir, "b"), "--from", zabMember(t, length).URL)
		left, _ := os.ReadDir(dir)
		if code != exitFailed || len(left) != 0 {
			t.Errorf("%d bytes: exit %d, %d files, %s", length, code, len(left), stderr)
		}
	}
	file := filepath.Join(t.TempDir(), "snapshot.1")
	if err := os.WriteFile(file, []byte("ZKSN and so on"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	if code, _, stderr := zab("restore", file, "--data-dir", dir); code != exitFailed || !strings.Contains(stderr, fmt.Sprint(file, ": offset 0")) {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a directory was made for a file that is none")
	}
}
