package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// A dialogue is one conversation of raw bytes with a server: what each connection sent, what it got, in
// order. Its transcript is compared with the one that Apache's server gave, byte by byte but for these:
// zxids are told from the one at the dialogue's start, so that what consumes one is compared too; times and
// passwords are zero; a session's id is the number of the connection that got it; lists of children,
// whose order is nobody's promise, are sorted.
//
// A line is "name > bytes | words" or "name < bytes | words"; long frames are their length and checksum.
type dialogue struct {
	*testing.T
	addr     string
	lines    []string
	zxid     int64
	sessions []int64
	count    int // exchanges
}

// golden plays a dialogue and compares it with what is kept. Deviations are lines of the transcript
// where ours is another on purpose: Apache's words, ours.
func golden(t *testing.T, s *zookeeperServer, name string, play func(*dialogue), deviations ...deviation) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		d := &dialogue{T: t, addr: s.addr()}
		play(d)
		exchanges.Add(int64(d.count))
		got := strings.Join(d.lines, "\n") + "\n"
		want := keep(t, "golden/"+name+".txt", got)
		if underTest() == apache {
			deviations = nil
		}
		for _, dev := range deviations {
			if !strings.Contains(want, dev.apache) {
				t.Errorf("%s: %q is not in the transcript of Apache's server", dev.why, dev.apache)
			}
			want = strings.ReplaceAll(want, dev.apache, dev.ours)
		}
		compare(t, got, want)
	})
}

// A deviation is where ours answers otherwise on purpose.
type deviation struct{ why, apache, ours string }

// compare shows the first lines that differ, with what led to them.
func compare(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	shown := 0
	for i := range max(len(g), len(w)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a == b {
			continue
		}
		before := ""
		if i > 0 && i <= len(g) {
			before = g[i-1]
		}
		if brief(a) != brief(b) {
			a, b = brief(a), brief(b)
		}
		t.Errorf("line %d differs\n  after:  %s\n  ours:   %s\n  apache: %s", i+1, before, a, b)
		if shown++; shown == 5 {
			break
		}
	}
}

// brief is a line without its bytes.
func brief(line string) string {
	who, _, _ := strings.Cut(line, " ")
	_, words, _ := strings.Cut(line, "|")
	return who + words
}

// A talker is one connection of a dialogue.
type talker struct {
	*dialogue
	name    string
	c       net.Conn
	session int64
	passwd  []byte
	xid     int32
	asked   map[int32]jute.Op
	over    bool
}

// open connects and says nothing yet.
func (d *dialogue) open(name string) *talker {
	d.Helper()
	c, err := net.Dial("tcp", d.addr)
	must(d.T, err)
	d.Cleanup(func() { c.Close() })
	return &talker{dialogue: d, name: name, c: c, asked: map[int32]jute.Op{}}
}

// connect opens a connection and asks for a new session.
func (d *dialogue) connect(name string) *talker {
	d.Helper()
	t := d.open(name)
	t.hello(jute.ConnectRequest{Timeout: 10000, Password: make([]byte, 16), HasReadOnly: true})
	return t
}

// hello sends a connect request and notes the response.
func (t *talker) hello(r jute.ConnectRequest) {
	t.Helper()
	masked := r
	masked.Password, masked.SessionID = make([]byte, len(r.Password)), t.alias(r.SessionID)
	b := r.AppendTo(nil)
	t.note(">", masked.AppendTo(nil), fmt.Sprintf("connect timeout %d session %d", r.Timeout, masked.SessionID))
	t.sendFrame(b)
	t.helloReply()
}

func (t *talker) helloReply() {
	t.Helper()
	t.count++
	b := t.frame()
	if b == nil {
		return
	}
	r, err := jute.ParseConnectResponse(b)
	must(t.T, err)
	if r.SessionID != 0 {
		t.session, t.passwd = r.SessionID, slices.Clone(r.Password)
		if !slices.Contains(t.sessions, t.session) {
			t.sessions = append(t.sessions, t.session)
		}
	}
	zero := r.Password == nil || string(r.Password) == string(make([]byte, 16))
	r.SessionID, r.Password = t.alias(r.SessionID), make([]byte, len(r.Password))
	t.note("<", r.AppendTo(nil), fmt.Sprintf("timeout %d session %d readOnly %v zero password %v", r.Timeout, r.SessionID, r.ReadOnly, zero))
	if t.zxid == 0 && t.session != 0 {
		t.zxid = t.now()
	}
}

// now asks, unnoted, for the last zxid.
func (t *talker) now() int64 {
	t.Helper()
	t.sendFrame(jute.AppendBool(jute.AppendString(header(1<<20, jute.OpExists), "/"), false))
	d := jute.NewDecoder(t.mustFrame())
	return d.ReplyHeader().Zxid
}

// alias is the name of a session in transcripts: the number of the connection that got it first.
func (d *dialogue) alias(session int64) int64 {
	if i := slices.Index(d.sessions, session); i >= 0 {
		return int64(i + 1)
	}
	return session
}

func (d *dialogue) note(who string, b []byte, words string) {
	text := hex.EncodeToString(b)
	if len(b) > 600 {
		text = fmt.Sprintf("(%d bytes, crc %08x)", len(b), crc32.ChecksumIEEE(b))
	}
	d.lines = append(d.lines, strings.TrimRight(who+" "+text+" | "+words, " "))
}

func (t *talker) note(way string, b []byte, words string) {
	t.dialogue.note(t.name+" "+way, b, words)
}

func header(xid int32, op jute.Op) []byte {
	return jute.AppendInt(jute.AppendInt(nil, xid), int32(op))
}

// body puts a request together: string and []byte with their lengths (nil: length -1), int as 4 bytes,
// int64 as 8, bool, lists of ACL and of strings, and raw as it is.
func body(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch v := p.(type) {
		case nil:
			b = jute.AppendInt(b, -1)
		case string:
			b = jute.AppendString(b, v)
		case []byte:
			b = jute.AppendBuffer(b, v)
		case int:
			b = jute.AppendInt(b, int32(v))
		case jute.Op:
			b = jute.AppendInt(b, int32(v))
		case int64:
			b = jute.AppendLong(b, v)
		case bool:
			b = jute.AppendBool(b, v)
		case []jute.ACL:
			b = jute.AppendACLs(b, v)
		case []string:
			b = jute.AppendStrings(b, v)
		case raw:
			b = append(b, v...)
		default:
			panic(fmt.Sprintf("body of a %T", p))
		}
	}
	return b
}

type raw []byte

// ask sends a request and notes everything until its answer.
func (t *talker) ask(op jute.Op, parts ...any) {
	t.Helper()
	t.xid++
	t.askAs(t.xid, op, parts...)
}

// askAs does so with an xid that means something.
func (t *talker) askAs(xid int32, op jute.Op, parts ...any) {
	t.Helper()
	t.tell(xid, op, parts...)
	if op == jute.OpPing {
		xid = jute.XidPing // whatever it was asked with
	}
	t.hear(xid)
}

// tell sends a request and does not wait.
func (t *talker) tell(xid int32, op jute.Op, parts ...any) {
	t.Helper()
	b := append(header(xid, op), body(parts...)...)
	t.note(">", b, op.String())
	t.asked[xid] = op
	t.sendFrame(b)
}

// hear notes everything until the answer with this xid.
func (t *talker) hear(xid int32) {
	t.Helper()
	t.count++
	for {
		b := t.frame()
		if b == nil || t.reply(b) == xid {
			return
		}
	}
}

// settle notes what is on its way: everything until the answer to a read, which comes after the events
// of every change that was answered before.
func (t *talker) settle() {
	t.Helper()
	t.ask(jute.OpExists, "/settle", false)
}

func (t *talker) sendFrame(b []byte) {
	t.Helper()
	t.send(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
}

// send sends bytes as they are; that the other side has closed shows when its answer is awaited.
func (t *talker) send(b []byte) {
	t.Helper()
	t.c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := t.c.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

// silence is how long to wait for what may not come.
const silence = 3 * time.Second

// frame reads one; nil: the connection is closed, or there was no answer, which is noted.
func (t *talker) frame() []byte {
	t.Helper()
	if t.over {
		return nil
	}
	t.c.SetReadDeadline(time.Now().Add(silence))
	head := make([]byte, 4)
	_, err := io.ReadFull(t.c, head)
	var b []byte
	if err == nil {
		n := binary.BigEndian.Uint32(head)
		if n > 64<<20 {
			t.Fatalf("%s: a frame of %d bytes", t.name, n)
		}
		b = make([]byte, n)
		_, err = io.ReadFull(t.c, b)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.note("<", nil, "no answer")
		t.over = true
		return nil
	case err != nil:
		t.note("<", nil, "closed")
		t.over = true
		return nil
	}
	return b
}

func (t *talker) mustFrame() []byte {
	t.Helper()
	b := t.frame()
	if b == nil {
		t.Fatalf("%s: the connection ended", t.name)
	}
	return b
}

// closed demands to see the end of the connection.
func (t *talker) closed() {
	t.Helper()
	t.count++
	for {
		b := t.frame()
		if b == nil {
			return
		}
		t.reply(b)
	}
}

// reply notes an answer or an event and returns its xid.
func (t *talker) reply(b []byte) int32 {
	t.Helper()
	if len(b) < 16 {
		t.note("<", b, "not a reply")
		return 0
	}
	m := &mask{dialogue: t.dialogue, in: b}
	xid := int32(binary.BigEndian.Uint32(b))
	code := jute.Code(binary.BigEndian.Uint32(b[12:]))
	words := []string{fmt.Sprintf("xid %d", xid)}
	m.copy(4)
	words = append(words, m.zxid("zxid"))
	m.copy(4)
	words = append(words, code.String())
	layout := layouts[t.asked[xid]]
	if xid == jute.XidNotification {
		layout = "iis"
		words = append(words, "event")
	}
	if len(m.in) > 0 {
		words = append(words, m.body(layout)...)
	}
	t.note("<", m.out, strings.Join(words, ", "))
	return xid
}
