package probe

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestScript(t *testing.T) {
	target := netip.MustParseAddrPort("10.0.0.21:80")
	for _, tc := range []struct{ script, want string }{
		{"exit 0", ""},
		{"echo fine; exit 0", ""},
		{`test "$HA_ADDRESS $HA_PORT" = "10.0.0.21 80"`, ""},
		{"exit 3", "/bin/sh: exit status 3"},
		{"echo first; echo disk full >&2; exit 1", "/bin/sh: exit status 1: disk full"},
		{"kill -9 $$", "/bin/sh: signal: killed"},
	} {
		c := Config{Kind: "script", Command: []string{"/bin/sh", "-c", tc.script}}
		wantReason(t, tc.script, ask(t, c, target, 5*time.Second), tc.want)
	}
	c := Config{Kind: "script", Command: []string{"/nonexistent"}}
	wantReason(t, "missing", ask(t, c, target, time.Second), "run /nonexistent: no such file")
}

func TestScriptOutputIsBounded(t *testing.T) {
	c := Config{Kind: "script", Command: []string{"/bin/sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x; exit 1"}}
	err := ask(t, c, netip.AddrPort{}, 10*time.Second)
	if err == nil || len(err.Error()) > 300 {
		t.Fatalf("%d bytes of reason", len(fmt.Sprint(err)))
	}
	var h head
	for range 10 {
		if n, err := h.Write(make([]byte, 1000)); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if h.buf.Len() != maxOutput {
		t.Fatalf("%d bytes kept", h.buf.Len())
	}
}

// At the timeout the script goes, and so do its children.
func TestScriptIsKilledAsAGroup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	for name, script := range map[string]string{
		"timeout":  "sleep 600 & echo $! > " + pidFile + "; wait",
		"leftover": "sleep 600 & echo $! > " + pidFile + "; exit 0",
	} {
		c := Config{Kind: "script", Command: []string{"/bin/sh", "-c", script}}
		begin := time.Now()
		err := ask(t, c, netip.AddrPort{}, 500*time.Millisecond)
		want := map[string]string{"timeout": "/bin/sh: killed: no answer in time"}[name]
		wantReason(t, name, err, want)
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
		b, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		gone(t, name, pid)
	}
}

// gone waits until a process has ended (a zombie that init has not collected has).
func gone(t *testing.T, what string, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: process %d lives on: %s", what, pid, stat)
		}
	}
}
