package appliance

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"example.org/ha/net/gossip"
)

// WriteKey makes a cluster key in a new file that only its owner can read. With add it puts the key
// into an existing file as the second: hosts that read the file open beats sealed with it, and go on
// sealing with the first, so that no host is deaf while the file is copied round. It never overwrites.
func WriteKey(path string, add bool) error {
	var key gossip.Key
	rand.Read(key[:])
	line := base64.StdEncoding.EncodeToString(key[:])
	if !add {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("appliance: make folder of the key: %w", err)
		}
		text := "# The key of a cluster: whoever has it is a member. The first key seals, all open.\n" + line + "\n"
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("appliance: %s exists: use --add to add a key to it, or remove it", path)
		}
		if err != nil {
			return fmt.Errorf("appliance: create key file: %w", err)
		}
		_, err = f.WriteString(text)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("appliance: write key file: %w", err)
		}
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("appliance: read key file: %w", err)
	}
	text, err = secondKey(text, line)
	if err != nil {
		return fmt.Errorf("appliance: add key to %s: %w", path, err)
	}
	// A new file put in its place: a reader sees the old keys or the new ones, never half of them.
	next := path + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return fmt.Errorf("appliance: write key file: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(fmt.Errorf("appliance: replace key file: %w", err), os.Remove(next))
	}
	return nil
}

// secondKey puts line after the first key of text, and keeps what else it holds.
func secondKey(text []byte, line string) ([]byte, error) {
	if _, err := gossip.ParseKeys(text); err != nil {
		return nil, err
	}
	end := 0
	for i := 0; i < len(text); {
		j := i
		for j < len(text) && text[j] != '\n' {
			j++
		}
		if _, err := gossip.ParseKeys(text[i:j]); err == nil {
			end = min(j+1, len(text))
			break
		}
		i = j + 1
	}
	var out []byte
	out = append(out, text[:end]...)
	if out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	out = append(out, line+"\n"...)
	out = append(out, text[end:]...)
	_, err := gossip.ParseKeys(out)
	return out, err
}
