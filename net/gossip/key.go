package gossip

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// A Key seals and opens beats. Whoever has it is a member of the cluster.
type Key [32]byte

// String hides the key, so that it cannot slip into a log.
func (Key) String() string { return "(a cluster key)" }

// ParseKeys reads a list of keys: one a line, in base64, with # comments. The
// first one seals. An error names the line, never its content.
func ParseKeys(text []byte) ([]Key, error) {
	var keys []Key
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("gossip: parse keys: line %d: not base64", n)
		}
		if len(raw) != len(Key{}) {
			return nil, fmt.Errorf("gossip: parse keys: line %d: %d bytes, want %d", n, len(raw), len(Key{}))
		}
		key := Key(raw)
		for i, k := range keys {
			if k == key {
				return nil, fmt.Errorf("gossip: parse keys: line %d: the same as key %d", n, i+1)
			}
		}
		if len(keys) == MaxKeys {
			return nil, fmt.Errorf("gossip: parse keys: line %d: more than %d keys", n, MaxKeys)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("gossip: parse keys: no key")
	}
	return keys, nil
}
