// Package fourletter says how a member is, in the words ZooKeeper's operators and their programs know.
//
// A connection whose first four bytes are one of Words is no client: it gets one text answer and is
// closed. The same facts leave as JSON over HTTP (package adminport) and as metrics. All of them are made
// here from one Status, which the member fills at one instant:
//
//	"mntr" ──> Wants("mntr") ──> member: Status ──> Text("mntr", status) ──> bytes
//
// Programs parse these answers, so the order of lines, the names and the types of numbers are Apache
// ZooKeeper's of version 3.8, and tests compare them with what its server said. Two words do something:
// srst and crst reset counters. The member does that; here they have only their answer.
//
// Nothing here waits, reads a clock or knows a socket.
package fourletter

import (
	"slices"
	"strings"
)

// Words are all that are answered, by name.
var Words = []string{
	"conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr", "stat",
	"stmk", "wchc", "wchp", "wchs",
}

// MaskLen is how many bytes follow the word stmk, the mask to set; no other word has an argument.
const MaskLen = 8

// IsWord says whether four bytes, the first of a connection, are a word. Any other four are the length of
// a frame.
func IsWord(b []byte) bool {
	_, found := slices.BinarySearch(Words, string(b))
	return found
}

// NotServing is the answer to a word that needs a serving member.
const NotServing = "This ZooKeeper instance is not currently serving requests"

// A Whitelist says which words are answered.
type Whitelist struct{ words []string }

// Safe is the whitelist of a configuration that names none: the words that read little, change nothing and
// are asked by health checks and monitors. Apache's default is srvr alone.
var Safe = Whitelist{words: []string{"conf", "isro", "mntr", "ruok", "srvr", "stat"}}

// ParseWhitelist takes the words of a configuration, or "*" for all. srvr is always in it, since programs
// cannot find a leader without it. Names that are no words are returned.
func ParseWhitelist(words []string) (w Whitelist, unknown []string) {
	w.words = []string{"srvr"}
	for _, word := range words {
		word = strings.TrimSpace(word)
		switch {
		case word == "*":
			return Whitelist{words: Words}, nil
		case word == "":
		case IsWord([]byte(word)):
			w.words = append(w.words, word)
		default:
			unknown = append(unknown, word)
		}
	}
	slices.Sort(w.words)
	w.words = slices.Compact(w.words)
	return w, unknown
}

// With is w and one word more.
func (w Whitelist) With(word string) Whitelist {
	words := append(slices.Clone(w.words), word)
	slices.Sort(words)
	return Whitelist{words: slices.Compact(words)}
}

// Has says whether a word is to be answered. The zero Whitelist has none.
func (w Whitelist) Has(word string) bool { return slices.Contains(w.words, word) }

func (w Whitelist) String() string { return strings.Join(w.words, ",") }

// Refusal answers a word that is not in the whitelist.
func Refusal(word string) []byte {
	return []byte(word + " is not executed because it is not in the whitelist.\n")
}

// Want says which parts of a Status cost something and are asked for; what is not wanted may stay empty.
type Want uint

// The parts. What no constant names is cheap and always filled.
const (
	WantConnections Want = 1 << iota // Connections
	WantSessions                     // Sessions and Ephemerals
	WantWatches                      // Watches, by session
	WantSizes                        // DataDirSize and LogDirSize: reads directories
	WantMetrics                      // Metrics
	WantSettings                     // Settings, Config text, Environment
	WantDigests                      // Digests
)

// Wants says what the answer to a word needs.
func Wants(word string) Want {
	switch word {
	case "stat", "cons":
		return WantConnections
	case "conf":
		return WantSettings | WantSizes
	case "envi":
		return WantSettings
	case "dirs":
		return WantSizes
	case "dump":
		return WantSessions | WantConnections
	case "wchs", "wchc", "wchp":
		return WantWatches
	case "mntr":
		return WantMetrics
	case "hash":
		return WantDigests
	}
	return 0
}
