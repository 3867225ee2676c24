package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A script tells a file with mistakes (2) from one that cannot be read (1).
func TestCheckExitCodes(t *testing.T) {
	dir := t.TempDir()
	good, bad, none := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml"), filepath.Join(dir, "none.toml")
	for file, text := range map[string]string{good: `roles = ["vip"]`, bad: `rolls = ["vip"]`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files []string
		code  int
		says  string
	}{
		{[]string{good}, exitOK, ""},
		{[]string{none}, exitFailed, "none.toml"},
		{[]string{bad}, exitUsage, bad + `:1: rolls: unknown key; did you mean "roles"?`},
		{[]string{none, bad, good}, exitUsage, bad + ":1: "},
	} {
		var said strings.Builder
		if code := run(append([]string{"check"}, c.files...), strings.NewReader(""), io.Discard, &said); code != c.code {
			t.Errorf("ha check %v: exit code %d, want %d", c.files, code, c.code)
		}
		if !strings.Contains(said.String(), c.says) || c.says == "" && said.Len() > 0 {
			t.Errorf("ha check %v says %q, want %q in it", c.files, said.String(), c.says)
		}
	}
}
