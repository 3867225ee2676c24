package appliance

import (
	"slices"
	"strconv"
	"strings"
)

// The decoder names the line of one mistake and stops. An operator wants the line of each, also of
// those that only Check finds, when the text is long gone. So the text gets an index of its own: which
// key stands where. It reads no values, only their extent, and it is not strict: what it cannot make
// sense of it skips to the end of the line, because the decoder refuses it anyway.

// An entry is one key of the file.
type entry struct {
	path  []string // "lb", "service", "[0]", "listen"; "[n]" is the n-th element of an array of tables
	line  int      // from 1
	start int      // extent of the whole statement the key belongs to, as byte offsets
	end   int
	value string // the text of the value; empty for a table header
	leaf  bool   // a key with a value that holds no further entries
}

func (e entry) String() string { return pathString(e.path) }

// pathString writes a path as people read it: lb.service[0].listen.
func pathString(path []string) string {
	var b strings.Builder
	for _, p := range path {
		if b.Len() > 0 && p[0] != '[' {
			b.WriteByte('.')
		}
		b.WriteString(p)
	}
	return b.String()
}

// An index is every key of a file, in the order of the text.
type index []entry

// find returns the entry of a path such as "lb.service[0].listen", or of what contains it.
func (x index) find(path string) (entry, bool) {
	for path != "" {
		if i := slices.IndexFunc(x, func(e entry) bool { return e.String() == path }); i >= 0 {
			return x[i], true
		}
		cut := strings.LastIndexAny(path, ".[")
		path = path[:max(cut, 0)]
	}
	return entry{}, false
}

// A scanner walks the text once.
type scanner struct {
	text  string
	pos   int
	line  int
	count map[string]int // arrays of tables: how many elements so far
	out   index
	begin int // of the statement being read
	first int // its entries start here in out
	depth int
}

// Bounds against text that is made to hurt: deeper nesting is skipped like an error.
const maxDepth = 32

// indexOf reads the keys of text.
func indexOf(text string) index {
	s := &scanner{text: text, line: 1, count: map[string]int{}}
	var table []string
	for s.skipBlank(); s.pos < len(s.text); s.skipBlank() {
		s.begin, s.first = s.pos, len(s.out)
		if s.text[s.pos] == '[' {
			table = s.header()
		} else {
			s.pair(table)
		}
		s.skipLine()
		for i := range s.out[s.first:] {
			s.out[s.first+i].start, s.out[s.first+i].end = s.begin, s.pos
		}
	}
	return s.out
}

// skipBlank passes white space, line ends and comments.
func (s *scanner) skipBlank() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		case '#':
			s.skipLine()
			continue
		default:
			return
		}
		s.pos++
	}
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.text) && (s.text[s.pos] == ' ' || s.text[s.pos] == '\t') {
		s.pos++
	}
}

// skipLine goes to the end of the line, not past it.
func (s *scanner) skipLine() {
	if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
		s.pos += i
	} else {
		s.pos = len(s.text)
	}
}

func (s *scanner) take(c byte) bool {
	if s.pos < len(s.text) && s.text[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// header reads [table] or [[array of tables]] and returns its path.
func (s *scanner) header() []string {
	line := s.line
	s.pos++
	array := s.take('[')
	path := s.place(nil, s.key())
	if array && len(path) > 0 {
		path = s.element(path)
	}
	if len(path) > 0 {
		s.out = append(s.out, entry{path: path, line: line})
	}
	return path
}

// place appends key to path; each array of tables on the way means its last element.
func (s *scanner) place(path, key []string) []string {
	path = slices.Clone(path)
	for i, k := range key {
		path = append(path, k)
		if n := s.count[pathString(path)]; n > 0 && i < len(key)-1 {
			path = append(path, "["+strconv.Itoa(n-1)+"]")
		}
	}
	return path
}

// element begins the next element of an array of tables.
func (s *scanner) element(path []string) []string {
	name := pathString(path)
	n := s.count[name]
	s.count[name]++
	return append(slices.Clone(path), "["+strconv.Itoa(n)+"]")
}

// key reads a dotted key; what it cannot read ends it.
func (s *scanner) key() []string {
	var key []string
	for {
		s.skipSpace()
		part := s.keyPart()
		if part == "" {
			return key
		}
		key = append(key, part)
		s.skipSpace()
		if !s.take('.') {
			return key
		}
	}
}

func (s *scanner) keyPart() string {
	if s.pos >= len(s.text) {
		return ""
	}
	from := s.pos
	if q := s.text[s.pos]; q == '"' || q == '\'' {
		s.quoted()
		part := s.text[from:s.pos]
		if plain, err := strconv.Unquote(part); err == nil && bare(plain) {
			return plain
		}
		if plain := strings.Trim(part, "'"); q == '\'' && bare(plain) {
			return plain
		}
		return part
	}
	for s.pos < len(s.text) && bare(s.text[s.pos:s.pos+1]) {
		s.pos++
	}
	return s.text[from:s.pos]
}

// bare says that a key needs no quotes.
func bare(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

// pair reads key = value within table.
func (s *scanner) pair(table []string) {
	line := s.line
	path := s.place(table, s.key())
	s.skipSpace()
	if len(path) == len(table) || !s.take('=') {
		return
	}
	// The dotted keys of a.b.c = 1 define a and a.b too; only the last has a value.
	i := len(s.out)
	s.out = append(s.out, entry{path: path, line: line, leaf: true})
	s.skipSpace()
	from := s.pos
	tables := s.val(path)
	s.out[i].value = strings.TrimSpace(s.text[from:s.pos])
	s.out[i].leaf = !tables
}

// val passes one value; it says whether the value holds tables, whose keys it has then entered.
func (s *scanner) val(path []string) (tables bool) {
	if s.pos >= len(s.text) {
		return false
	}
	s.depth++
	defer func() { s.depth-- }()
	switch c := s.text[s.pos]; {
	case s.depth > maxDepth:
		s.skipLine()
	case c == '"' || c == '\'':
		s.quoted()
	case c == '[':
		return s.array(path)
	case c == '{':
		s.inline(path)
		return true
	default:
		for s.pos < len(s.text) && !strings.ContainsRune(",]}#\n", rune(s.text[s.pos])) {
			s.pos++
		}
	}
	return false
}

func (s *scanner) array(path []string) (tables bool) {
	s.pos++
	for {
		s.skipBlank()
		if s.pos >= len(s.text) || s.take(']') {
			return tables
		}
		before := s.pos
		if s.text[s.pos] == '{' {
			p := s.element(path)
			s.out = append(s.out, entry{path: p, line: s.line})
			s.inline(p)
			tables = true
		} else {
			s.val(path)
		}
		s.skipBlank()
		if !s.take(',') && s.pos == before {
			return tables // neither a value nor the end: the decoder will say what is wrong
		}
	}
}

func (s *scanner) inline(path []string) {
	s.pos++
	for {
		s.skipBlank()
		if s.pos >= len(s.text) || s.take('}') {
			return
		}
		before := s.pos
		if s.depth < maxDepth {
			s.depth++
			s.pair(path)
			s.depth--
		}
		s.skipBlank()
		if !s.take(',') && s.pos == before {
			return
		}
	}
}

// quoted passes a string of any of the four kinds, counting lines.
func (s *scanner) quoted() {
	q := s.text[s.pos : s.pos+1]
	triple := strings.HasPrefix(s.text[s.pos:], strings.Repeat(q, 3))
	if triple {
		s.pos += 3
	} else {
		s.pos++
	}
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '\\' && q == `"`:
			s.pos++ // whatever follows is escaped; a line end there is counted below
			if s.pos < len(s.text) && s.text[s.pos] != '\n' {
				s.pos++
			}
			continue
		case c == '\n' && !triple:
			return // not closed: the decoder refuses it
		case c == '\n':
			s.line++
		case triple && strings.HasPrefix(s.text[s.pos:], strings.Repeat(q, 3)):
			s.pos += 3
			for s.take(q[0]) { // up to two quotes may precede the closing three
			}
			return
		case c == q[0] && !triple:
			s.pos++
			return
		}
		s.pos++
	}
}
