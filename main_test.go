package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Scripts rely on these: the codes, and on which stream a message stands.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	for file, text := range map[string]string{
		good: "roles = [\"vip\"]\n",
		bad:  "roles = [\"vip\"]\nnode = 3\n[cluster]\nlost = 1\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket := "--socket=" + filepath.Join(dir, "none")
	key := filepath.Join(dir, "key")
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"version"}, exitOK, "ha devel linux/", ""},
		{[]string{"--help"}, exitOK, "Exit codes:", ""},
		{[]string{"vip", "release", "--help"}, exitOK, "ha vip release web --to lb2", ""},
		{[]string{"fly"}, exitUsage, "", "unexpected argument fly"},
		{[]string{"vip"}, exitUsage, "", `expected one of "ls", "release"`},
		{[]string{"run"}, exitUsage, "", "missing flags"},
		{[]string{"run", "-c", bad}, exitUsage, "", "bad.toml:2: node:"},
		{[]string{"check", good}, exitOK, "", ""},
		{[]string{"check", good, bad}, exitUsage, "", "bad.toml:4: cluster.lost:"},
		{[]string{"check", filepath.Join(dir, "absent")}, exitFailed, "", "no such file"},
		{[]string{"status", socket}, exitUnreachable, "", "no appliance answers at"},
		{[]string{"vip", "ls", socket}, exitUnreachable, "", "no appliance answers at"},
		{[]string{"reload", socket}, exitUnreachable, "", "no appliance answers at"},
		{[]string{"server", "drain", "web", "10.0.0.1:80", socket}, exitUnreachable, "", "no appliance answers at"},
		{[]string{"keygen", key}, exitOK, "wrote a key", ""},
		{[]string{"keygen", key}, exitFailed, "", "exists"},
		{[]string{"keygen", "--add", key}, exitOK, "wrote a key", ""},
		{[]string{"dev", "--address", "x"}, exitUsage, "", "--address"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(c.args, strings.NewReader(""), &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("ha %s: code %d, want %d with %q and %q\nstdout: %s\nstderr: %s",
				strings.Join(c.args, " "), code, c.code, c.stdout, c.stderr, &stdout, &stderr)
		}
	}
}
