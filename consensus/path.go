package consensus

import (
	"strings"
	"unicode/utf8"

	"example.org/ha/consensus/jute"
)

// validPath reports whether a znode may have this path. ZooKeeper looks at the UTF-16 units of a path, so
// nothing outside the basic plane passes: there a character is two surrogates.
func validPath(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	if path == "/" {
		return true
	}
	start := 1 // of the component
	for i := 1; i <= len(path); i++ {
		switch {
		case i == len(path) || path[i] == '/':
			if name := path[start:i]; name == "" || name == "." || name == ".." {
				return false
			}
			start = i + 1
		case path[i] < ' ' || path[i] == 0x7f:
			return false
		case path[i] >= utf8.RuneSelf:
			c, size := utf8.DecodeRuneInString(path[i:])
			if !validRune(c, size) {
				return false
			}
			i += size - 1
		}
	}
	return true
}

// validRune judges a character that takes more than one byte. What is not UTF-8, Java reads as U+FFFD,
// which is refused like its neighbours; an encoded surrogate is not UTF-8 for Go, and not allowed either.
func validRune(c rune, size int) bool {
	return size > 1 && c > 0x9f && (c < 0xd800 || c > 0xf8ff) && c < 0xfff0
}

// parentOf returns the path above, as create and delete look for it: a path is judged only once its
// parent is known to exist, so "p/b" has the parent "p", which does not exist.
func parentOf(path string) (string, jute.Code) {
	slash := strings.LastIndexByte(path, '/')
	switch {
	case slash < 0 || strings.IndexByte(path, 0) >= 0:
		return "", jute.BadArguments
	case slash == 0:
		return "/", jute.OK
	}
	return path[:slash], jute.OK
}

// The znodes that exist from the beginning.
const (
	rootPath   = "/"
	zkPath     = "/zookeeper"
	quotaPath  = "/zookeeper/quota"
	configPath = "/zookeeper/config"
)

// protected reports whether a znode must not be deleted.
func protected(path string) bool {
	switch path {
	case rootPath, zkPath, quotaPath, configPath:
		return true
	}
	return false
}
