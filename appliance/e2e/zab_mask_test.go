package e2e

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"example.org/ha/consensus/jute"
)

// exchanges counts what all dialogues compared.
var exchanges atomic.Int64

// layouts says what the body of an answer holds: s string, b buffer, i int, l long, S stat, A list of ACL,
// V list of strings in any order, C list of scheme and name in any order, m the results of a multi.
var layouts = map[jute.Op]string{
	jute.OpCreate: "s", jute.OpCreate2: "sS", jute.OpCreateContainer: "sS", jute.OpCreateTTL: "sS",
	jute.OpExists: "S", jute.OpGetData: "bS", jute.OpSetData: "S", jute.OpGetACL: "AS", jute.OpSetACL: "S",
	jute.OpGetChildren: "V", jute.OpGetChildren2: "VS", jute.OpSync: "s", jute.OpMulti: "m", jute.OpMultiRead: "m",
	jute.OpReconfig: "bS", jute.OpSASL: "b", jute.OpGetEphemerals: "V", jute.OpGetAllChildren: "i",
	jute.OpAddWatch: "i", jute.OpWhoAmI: "C",
}

// A mask copies an answer, without what differs from one run to the next.
type mask struct {
	*dialogue
	in, out []byte
}

func (m *mask) copy(n int) []byte {
	n = min(n, len(m.in))
	p := m.in[:n]
	m.out, m.in = append(m.out, p...), m.in[n:]
	return p
}

func (m *mask) int() int32 {
	if p := m.copy(4); len(p) == 4 {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (m *mask) bytes() []byte {
	n := m.int()
	if n < 0 {
		return nil
	}
	return m.copy(int(n))
}

// put replaces the next 8 bytes.
func (m *mask) put(f func(int64) int64) int64 {
	if len(m.in) < 8 {
		m.copy(8)
		return 0
	}
	v := f(int64(binary.BigEndian.Uint64(m.in)))
	m.out, m.in = binary.BigEndian.AppendUint64(m.out, uint64(v)), m.in[8:]
	return v
}

// zxid is told from the start of the dialogue; 0 and -1 mean something.
func (m *mask) zxid(name string) string {
	v := m.put(func(v int64) int64 {
		if v <= 0 {
			return v
		}
		return v - m.dialogue.zxid + 1<<32
	})
	if v <= 0 {
		return fmt.Sprintf("%s %d", name, v)
	}
	return fmt.Sprintf("%s z%+d", name, v-1<<32)
}

func (m *mask) stat() string {
	time := func(v int64) int64 { return min(max(v, 0), 1) }
	s := []string{m.zxid("czxid"), m.zxid("mzxid")}
	m.put(time)
	m.put(time)
	s = append(s, fmt.Sprintf("version %d cversion %d aversion %d", m.int(), m.int(), m.int()))
	s = append(s, fmt.Sprintf("owner %d", m.put(m.alias)))
	s = append(s, fmt.Sprintf("length %d children %d", m.int(), m.int()), m.zxid("pzxid"))
	return "{" + strings.Join(s, " ") + "}"
}

// body masks a body by its layout, and what is left over is shown.
func (m *mask) body(layout string) []string {
	words := m.fields(layout)
	if len(m.in) > 0 {
		words = append(words, fmt.Sprintf("%d more bytes", len(m.in)))
		m.copy(len(m.in))
	}
	return words
}

func (m *mask) fields(layout string) (words []string) {
	for _, l := range layout {
		switch l {
		case 's', 'b':
			words = append(words, fmt.Sprintf("%.60q", m.bytes()))
		case 'i':
			words = append(words, fmt.Sprint(m.int()))
		case 'S':
			words = append(words, m.stat())
		case 'A':
			words = append(words, m.acls())
		case 'V':
			words = append(words, m.list())
		case 'C':
			words = append(words, m.names())
		case 'm':
			words = append(words, m.multi())
		}
	}
	return words
}

func (m *mask) acls() string {
	var s []string
	n := m.int()
	for range n {
		s = append(s, fmt.Sprintf("%d %s:%s", m.int(), m.bytes(), m.bytes()))
	}
	return fmt.Sprintf("%v", s)
}

// names sorts, too.
func (m *mask) names() string {
	n := m.int()
	start := len(m.out)
	var s []string
	for range n {
		from := len(m.out)
		m.bytes()
		m.bytes()
		s = append(s, string(m.out[from:]))
	}
	slices.Sort(s)
	m.out = append(m.out[:start], strings.Join(s, "")...)
	return fmt.Sprintf("%q", s)
}

// list sorts.
func (m *mask) list() string {
	n := m.int()
	start := len(m.out)
	var s []string
	for range n {
		s = append(s, string(m.bytes()))
	}
	slices.Sort(s)
	m.out = m.out[:start]
	for _, v := range s {
		m.out = jute.AppendString(m.out, v)
	}
	return fmt.Sprintf("%q", s)
}

func (m *mask) multi() string {
	var s []string
	for len(m.in) >= 9 {
		typ, done, code := jute.Op(m.int()), m.copy(1)[0], jute.Code(m.int())
		if done != 0 {
			s = append(s, "end")
			break
		}
		part := typ.String() + " " + code.String()
		layout := layouts[typ]
		if typ == jute.OpError {
			layout = "i"
		}
		s = append(s, strings.TrimSpace(part+" "+strings.Join(m.fields(layout), " ")))
	}
	return "[" + strings.Join(s, "; ") + "]"
}
