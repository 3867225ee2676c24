package zoocfg

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// An entry is one key and its value.
type entry struct {
	file  string // "-D" for a system property
	line  int    // of its first line, from 1; 0 for a system property
	key   string
	value string
}

// place says where the entry is: zoo.cfg:12, or -D.
func (e entry) place() string {
	if e.line == 0 {
		return e.file
	}
	return e.file + ":" + strconv.Itoa(e.line)
}

// properties takes a file apart as java.util.Properties does:
//
//	# comment    ! comment
//	key=value    key: value    key value
//	key = a long \
//	      value            is "a long value"
//	key\ with\ blanks = \u0041\t
//
// Bytes are taken as they are; Java takes them for ISO 8859-1, which matters only to keys and values that
// are not ASCII. As ZooKeeper does, blanks around a value are dropped.
func properties(file, text string) ([]entry, error) {
	var out []entry
	var errs []error
	lines := naturalLines(text)
	for i := 0; i < len(lines); i++ {
		first := i + 1
		line := trimBlank(lines[i])
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) {
			line = line[:len(line)-1]
			if i+1 == len(lines) {
				break
			}
			i++
			line += trimBlank(lines[i])
		}
		key, value := split(line)
		e := entry{file: file, line: first}
		var err1, err2 error
		e.key, err1 = unescape(key)
		e.value, err2 = unescape(value)
		if err := errors.Join(err1, err2); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.place(), err))
			continue
		}
		e.key, e.value = strings.TrimSpace(e.key), strings.TrimSpace(e.value)
		out = append(out, e)
	}
	return out, errors.Join(errs...)
}

// naturalLines splits at every kind of line end.
func naturalLines(text string) []string {
	return strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
}

const blanks = " \t\f"

func trimBlank(s string) string { return strings.TrimLeft(s, blanks) }

// continues says whether a line ends with an odd number of backslashes.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// split finds the end of the key: the first =, : or blank that has no backslash before it.
func split(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if strings.IndexByte("=:"+blanks, line[i]) >= 0 {
			end = i
			break
		}
	}
	value = trimBlank(line[end:])
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = trimBlank(value[1:])
	}
	return line[:end], value
}

var errEscape = errors.New(`malformed \uxxxx encoding`)

// unescape resolves \uXXXX, \t, \n, \r and \f; a backslash before anything else is dropped.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	var units []uint16 // of \u escapes in a row, since a pair of them may be one character
	flush := func() {
		b.WriteString(string(utf16.Decode(units)))
		units = units[:0]
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			flush()
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			break
		}
		if s[i] == 'u' {
			if i+5 > len(s) {
				return "", errEscape
			}
			n, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", errEscape
			}
			units = append(units, uint16(n))
			i += 4
			continue
		}
		flush()
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		default:
			b.WriteByte(s[i])
		}
	}
	flush()
	return b.String(), nil
}
