package zk

import (
	"fmt"
	"strings"

	"example.org/ha/consensus/jute"
)

// CheckPath says what is wrong with a path. Servers refuse the same ones; asked here, the answer has a
// reason.
func CheckPath(path string) error {
	bad := func(why string) error { return fmt.Errorf("path %q %s: %w", path, why, jute.BadArguments) }
	switch {
	case path == "":
		return bad("is empty")
	case path[0] != '/':
		return bad(`does not begin with "/"`)
	case path == "/":
		return nil
	case path[len(path)-1] == '/':
		return bad(`ends with "/"`)
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		switch name {
		case "":
			return bad("has an empty name in it")
		case ".", "..":
			return bad("is relative")
		}
	}
	for _, r := range path {
		if !allowed(r) {
			return bad(fmt.Sprintf("has the character %U in it", r))
		}
	}
	return nil
}

// allowed keeps out control characters, surrogates and private use, the specials, and what Java has to
// write as two surrogates. Bytes that are no UTF-8 read as U+FFFD, one of the specials.
func allowed(r rune) bool {
	switch {
	case r <= 0x1f, r >= 0x7f && r <= 0x9f, r >= 0xd800 && r <= 0xf8ff, r >= 0xfff0:
		return false
	}
	return true
}

// A chroot stands before every path of a client: "" or "/a/b".
type chroot string

// full is the server's path of a client's one.
func (c chroot) full(path string) string {
	switch {
	case c == "":
		return path
	case path == "/":
		return string(c)
	}
	return string(c) + path
}

// local is the client's path of a server's one. What is not below the root stays as it is.
func (c chroot) local(path string) string {
	rest, ok := strings.CutPrefix(path, string(c))
	switch {
	case !ok, c == "":
		return path
	case rest == "":
		return "/"
	case rest[0] != '/':
		return path
	}
	return rest
}

// Join appends a name to a path.
func Join(path, name string) string {
	if path == "/" {
		return "/" + name
	}
	return path + "/" + name
}

// Parent is the path above, "/" for "/" itself.
func Parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// below says that path is root or under it.
func below(root, path string) bool {
	return root == "/" || path == root || len(path) > len(root) && path[len(root)] == '/' && path[:len(root)] == root
}
