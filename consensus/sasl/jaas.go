package sasl

import (
	"fmt"
	"strings"
)

// ParseJAAS reads the section of that name of a JAAS login configuration, as Java's
// java.security.auth.login.config names it, and returns its users. file stands in the messages.
//
//	Server {
//	    org.apache.zookeeper.server.auth.DigestLoginModule required
//	    user_super="secret"
//	    user_bob="bobs";
//	};
func ParseJAAS(file string, text []byte, section string) (map[string]string, error) {
	l := &lexer{file: file, rest: string(text), line: 1}
	for {
		name, ok, err := l.next()
		if err != nil || !ok {
			if err == nil {
				err = fmt.Errorf("%s: no section %q", file, section)
			}
			return nil, err
		}
		body, err := l.section(name)
		if err != nil {
			return nil, err
		}
		if name == section {
			if len(body.users) == 0 && !body.digest {
				return nil, fmt.Errorf("%s: section %s has no DigestLoginModule: other mechanisms (Kerberos) are not spoken", file, section)
			}
			return body.users, nil
		}
	}
}

// A login is a section's content.
type login struct {
	digest bool // it has a DigestLoginModule
	users  map[string]string
}

// section reads { module flag key=value … ; … } ;
func (l *lexer) section(name string) (login, error) {
	out := login{users: map[string]string{}}
	if err := l.want("{"); err != nil {
		return out, err
	}
	for {
		module, ok, err := l.next()
		switch {
		case err != nil:
			return out, err
		case !ok:
			return out, l.errorf("section %s does not end", name)
		case module == "}":
			return out, l.want(";")
		}
		digest := strings.HasSuffix(module, "DigestLoginModule")
		out.digest = out.digest || digest
		if _, _, err := l.next(); err != nil { // required, sufficient, …
			return out, err
		}
		if err := l.options(digest, out.users); err != nil {
			return out, err
		}
	}
}

// options reads key=value … ; and keeps those of a DigestLoginModule.
func (l *lexer) options(keep bool, into map[string]string) error {
	for {
		key, ok, err := l.next()
		switch {
		case err != nil:
			return err
		case !ok:
			return l.errorf("a module does not end with ;")
		case key == ";":
			return nil
		}
		if err := l.want("="); err != nil {
			return err
		}
		value, ok, err := l.next()
		if err != nil {
			return err
		}
		if !ok {
			return l.errorf("%s has no value", key)
		}
		if name, ok := strings.CutPrefix(key, "user_"); ok && keep && name != "" {
			into[name] = value
		}
	}
}

// A lexer takes a JAAS file apart: words, quoted strings and the signs { } ; =.
type lexer struct {
	file string
	rest string
	line int
}

func (l *lexer) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", l.file, l.line, fmt.Sprintf(format, args...))
}

func (l *lexer) want(sign string) error {
	got, ok, err := l.next()
	if err == nil && (!ok || got != sign) {
		err = l.errorf("%.40q where %q should be", got, sign)
	}
	return err
}

// next is the next word; not ok at the end of the file.
func (l *lexer) next() (word string, ok bool, err error) {
	if err := l.space(); err != nil || l.rest == "" {
		return "", false, err
	}
	switch c := l.rest[0]; c {
	case '{', '}', ';', '=':
		l.rest = l.rest[1:]
		return string(c), true, nil
	case '"':
		value, rest, closed := unquote(l.rest[1:])
		if !closed {
			return "", false, l.errorf("quotes do not end")
		}
		l.line += strings.Count(l.rest[:len(l.rest)-len(rest)], "\n")
		l.rest = rest
		return value, true, nil
	}
	i := strings.IndexAny(l.rest, "{};=\" \t\r\n")
	if i < 0 {
		i = len(l.rest)
	}
	word, l.rest = l.rest[:i], l.rest[i:]
	return word, true, nil
}

// space skips blanks and comments.
func (l *lexer) space() error {
	for l.rest != "" {
		skip := 1
		switch {
		case strings.ContainsRune(" \t\r\n", rune(l.rest[0])):
		case strings.HasPrefix(l.rest, "//"), l.rest[0] == '#':
			if skip = strings.IndexByte(l.rest, '\n'); skip < 0 {
				skip = len(l.rest)
			}
		case strings.HasPrefix(l.rest, "/*"):
			end := strings.Index(l.rest[2:], "*/")
			if end < 0 {
				return l.errorf("a comment does not end")
			}
			skip = end + 4
		default:
			return nil
		}
		l.line += strings.Count(l.rest[:skip], "\n")
		l.rest = l.rest[skip:]
	}
	return nil
}
