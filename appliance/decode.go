package appliance

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A Mistake is one thing wrong with a configuration file.
type Mistake struct {
	File    string
	Line    int
	Key     string // empty when the text is not TOML at all
	Message string
}

func (m Mistake) Error() string {
	if m.Key == "" {
		return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Message)
	}
	return fmt.Sprintf("%s:%d: %s: %s", m.File, m.Line, m.Key, m.Message)
}

// Mistakes is every mistake of one file, in the order of its lines.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i := range m {
		lines[i] = m[i].Error()
	}
	return strings.Join(lines, "\n")
}

// A decoding collects the mistakes of one file. A statement with a mistake is blanked out, so that
// what comes after it is still read, and keys under it are not reported once more as missing.
type decoding struct {
	file     string
	text     []byte
	index    index
	mistakes Mistakes
	blanked  []string // paths whose values are gone
	broken   bool     // what is left of the text says nothing of its values
}

const (
	maxSize     = 4 << 20
	maxMistakes = 200 // a longer list helps nobody
	maxSyntax   = 50  // rounds of repair
)

// decode reads text into cfg as far as it can be read.
func decode(file string, text []byte, cfg any) *decoding {
	d := &decoding{file: file, text: slices.Clone(text)}
	if len(text) > maxSize {
		d.report(1, "", "the file is longer than %d bytes", maxSize)
		d.broken = true
		return d
	}
	if !d.repairSyntax() {
		d.broken = true
		return d
	}
	d.index = indexOf(string(d.text))
	root := reflect.TypeOf(cfg).Elem()
	d.checkKeys(root)
	d.checkValues(root)
	md, err := toml.Decode(string(d.text), cfg)
	if err != nil { // only what the checks above cannot see: report it, at least once
		d.report(1, "", "%s", bareMessage(err))
	}
	if err == nil && len(d.mistakes) == 0 {
		for _, key := range md.Undecoded() {
			d.at(key.String(), "unknown key")
		}
	}
	return d
}

func (d *decoding) report(line int, key, format string, args ...any) {
	m := Mistake{File: d.file, Line: line, Key: key, Message: fmt.Sprintf(format, args...)}
	if len(d.mistakes) < maxMistakes && !slices.Contains(d.mistakes, m) {
		d.mistakes = append(d.mistakes, m)
	}
}

// at reports a mistake of a key that the index knows, or whose table it knows.
func (d *decoding) at(path, format string, args ...any) {
	line := 1
	if e, ok := d.index.find(path); ok {
		line = e.line
	}
	d.report(line, path, format, args...)
}

// err is every mistake, by line.
func (d *decoding) err() error {
	if len(d.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(d.mistakes, func(a, b Mistake) int { return cmp.Compare(a.Line, b.Line) })
	return d.mistakes
}

// repairSyntax blanks out what is not TOML, one statement a round.
func (d *decoding) repairSyntax() bool {
	for range maxSyntax {
		var any map[string]any
		_, err := toml.Decode(string(d.text), &any)
		if err == nil {
			return true
		}
		parse, ok := errors.AsType[toml.ParseError](err)
		if !ok || parse.Position.Line < 1 {
			d.report(1, "", "%s", bareMessage(err))
			return false
		}
		key := strings.TrimSpace(parse.LastKey)
		if strings.Contains(parse.Message, "has already been defined") {
			key = ""
		}
		d.report(parse.Position.Line, key, "%s", parse.Message)
		// The decoder may notice only further on that something began and did not end.
		line := parse.Position.Line
		for line > 0 && !d.blankLine(line) {
			line--
		}
		if line == 0 {
			return false
		}
	}
	return false
}

// blankLine empties the statement that reaches over a line, or else the line itself. It returns false
// if there was nothing left to empty, so that repairs end.
func (d *decoding) blankLine(line int) bool {
	start := 0
	for range line - 1 {
		i := slices.Index(d.text[start:], '\n')
		if i < 0 {
			return false
		}
		start += i + 1
	}
	end := start
	for end < len(d.text) && d.text[end] != '\n' {
		end++
	}
	for _, e := range indexOf(string(d.text)) {
		if e.start <= start && start < e.end || e.start >= start && e.start < end {
			d.blanked = append(d.blanked, e.String())
			start, end = min(start, e.start), max(end, e.end)
		}
	}
	return d.blank(start, end)
}

// blank writes spaces, and keeps the line ends so that lines keep their numbers.
func (d *decoding) blank(start, end int) (changed bool) {
	for i := start; i < min(end, len(d.text)); i++ {
		if c := d.text[i]; c != '\n' && c != '\r' && c != ' ' {
			d.text[i], changed = ' ', true
		}
	}
	return changed
}

// checkKeys reports every key that cfg has no field for.
func (d *decoding) checkKeys(root reflect.Type) {
	var unknown []string
	for _, e := range d.index {
		path := e.String()
		if slices.ContainsFunc(unknown, func(u string) bool { return within(path, u) }) {
			continue
		}
		if at, known := walk(root, e.path); at >= 0 {
			bad := pathString(e.path[:at+1])
			unknown = append(unknown, bad)
			d.report(e.line, bad, "unknown key%s", suggest(e.path[at], known))
		}
	}
}

// within says that path is u or lies under it.
func within(path, u string) bool {
	rest, ok := strings.CutPrefix(path, u)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// walk follows path through the types; at is the first part that has no place, or -1, and known are
// the keys that would have one.
func walk(t reflect.Type, path []string) (at int, known []string) {
	for i, part := range path {
		t = plain(t)
		switch {
		case opaque(t):
			return -1, nil
		case part[0] == '[' && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
			t = t.Elem()
		case t.Kind() == reflect.Map:
			t = t.Elem()
		case t.Kind() == reflect.Struct && part[0] != '[':
			fields := keys(t)
			f, ok := fields[part]
			if !ok {
				names := make([]string, 0, len(fields))
				for name := range fields {
					names = append(names, name)
				}
				return i, slices.Sorted(slices.Values(names))
			}
			t = f
		default:
			return -1, nil // a value where a table is meant, or the reverse: a type error, reported as such
		}
	}
	return -1, nil
}

// typeAt is the type that the value at path is decoded into, or nil.
func typeAt(t reflect.Type, path []string) reflect.Type {
	for _, part := range path {
		t = plain(t)
		switch {
		case opaque(t):
			return nil
		case part[0] == '[' && t.Kind() == reflect.Slice, t.Kind() == reflect.Map:
			t = t.Elem()
		case t.Kind() == reflect.Struct:
			f, ok := keys(t)[part]
			if !ok {
				return nil
			}
			t = f
		default:
			return nil
		}
	}
	return t
}

func plain(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

var textual = reflect.TypeFor[encoding.TextUnmarshaler]()

// opaque says that a type reads its value by itself.
func opaque(t reflect.Type) bool {
	return t.Kind() == reflect.Interface || t == reflect.TypeFor[time.Duration]() || reflect.PointerTo(t).Implements(textual)
}

// keys lists the fields of a struct under their TOML names. Embedded structs lend theirs, and a field
// of the struct itself hides one that it embeds, as in Go.
func keys(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		if f.Anonymous && f.Tag.Get("toml") == "" && plain(f.Type).Kind() == reflect.Struct {
			for name, ft := range keys(plain(f.Type)) {
				if _, own := out[name]; !own {
					out[name] = ft
				}
			}
		}
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if f.IsExported() && name != "-" && (name != "" || !f.Anonymous) {
			out[cmp.Or(name, f.Name)] = f.Type
		}
	}
	return out
}

// checkValues decodes every value by itself, so that each one that does not fit is reported, not the
// first alone.
func (d *decoding) checkValues(root reflect.Type) {
	var spoilt []entry
	for _, e := range d.index {
		t := typeAt(root, e.path)
		if t == nil || e.value == "" {
			continue
		}
		if !e.leaf && plain(t).Kind() != reflect.String && !opaque(plain(t)) && plain(t).Kind() != reflect.Bool && !number(plain(t)) {
			continue // its keys are entries of their own
		}
		one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Value", Type: t, Tag: `toml:"value"`}}))
		if _, err := toml.Decode("value = "+e.value, one.Interface()); err != nil {
			d.report(e.line, e.String(), "%s", cmp.Or(advise(t, e.value), bareMessage(err)))
			spoilt = append(spoilt, e)
		} else if plain(t) == reflect.TypeFor[time.Duration]() && advise(t, e.value) != "" {
			d.report(e.line, e.String(), "%s", advise(t, e.value)) // the decoder takes a number for nanoseconds
			spoilt = append(spoilt, e)
		}
	}
	for _, e := range d.index {
		if e.value == "" && e.path[len(e.path)-1][0] != '[' {
			if t := typeAt(root, e.path); t != nil && plain(t).Kind() != reflect.Struct && plain(t).Kind() != reflect.Map {
				d.report(e.line, e.String(), "is a table here, and must be %s", kindOf(plain(t)))
				spoilt = append(spoilt, e)
			}
		}
		if e.value == "" && e.path[len(e.path)-1][0] == '[' {
			if t := typeAt(root, e.path[:len(e.path)-1]); t != nil && plain(t).Kind() != reflect.Slice {
				name := pathString(e.path[:len(e.path)-1])
				d.report(e.line, name, "is a list of tables here, and must be %s", kindOf(plain(t)))
				spoilt = append(spoilt, e)
			}
		}
	}
	for _, e := range spoilt {
		d.spoil(e)
	}
}

func number(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64
}

func kindOf(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Struct && !opaque(t), t.Kind() == reflect.Map:
		return "one table"
	case t.Kind() == reflect.Slice && plain(t.Elem()).Kind() == reflect.Struct && !opaque(plain(t.Elem())):
		return "a list of tables, in double brackets"
	case t.Kind() == reflect.Slice:
		return "a list of values"
	}
	return "a value"
}

// spoil takes a statement out of the text. For a table's header that is the whole table.
func (d *decoding) spoil(e entry) {
	for _, other := range d.index {
		if other.start == e.start || e.value == "" && within(other.String(), e.String()) {
			d.blanked = append(d.blanked, other.String())
			d.blank(other.start, other.end)
		}
	}
}

// suggest names the known key that was probably meant, or else all there are.
func suggest(got string, known []string) string {
	best, least := "", len(got)/3+1
	for _, k := range known {
		if n := distance(strings.ToLower(got), k); n < least {
			best, least = k, n
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case len(known) > 0:
		return "; there are " + strings.Join(known, ", ")
	}
	return ""
}

// distance counts the letters to insert, delete, replace or swap with their neighbour.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := range len(a) {
		before, last, row := rows[i%3], rows[(i+1)%3], rows[(i+2)%3]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
