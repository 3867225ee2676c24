package e2e

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// A caller is a client of the tests: one connection, its requests written as records.
type caller struct {
	c       net.Conn
	xid     int32
	session int64
	passwd  []byte
	timeout int32
}

// call connects. A session and its password take that session up again.
func call(addr string, session int64, passwd []byte) (*caller, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if passwd == nil {
		passwd = make([]byte, 16)
	}
	k := &caller{c: c}
	r := jute.ConnectRequest{Timeout: 40000, SessionID: session, Password: passwd, HasReadOnly: true}
	b, err := k.exchange(r.AppendTo(nil))
	if err != nil {
		c.Close()
		return nil, err
	}
	resp, err := jute.ParseConnectResponse(b)
	if err != nil || resp.SessionID == 0 {
		c.Close()
		return nil, fmt.Errorf("session %x was refused: %v", session, err)
	}
	k.session, k.passwd, k.timeout = resp.SessionID, slices.Clone(resp.Password), resp.Timeout
	return k, nil
}

func mustCall(t *testing.T, addr string) *caller {
	t.Helper()
	k, err := call(addr, 0, nil)
	must(t, err)
	t.Cleanup(func() { k.c.Close() })
	return k
}

func (k *caller) exchange(p []byte) ([]byte, error) {
	k.c.SetDeadline(time.Now().Add(patience))
	if _, err := k.c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)); err != nil {
		return nil, err
	}
	return k.read()
}

func (k *caller) read() ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(k.c, head); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head))
	_, err := io.ReadFull(k.c, b)
	return b, err
}

// do asks and returns the body of the answer.
func (k *caller) do(op jute.Op, parts ...any) (jute.Decoder, jute.Code, error) {
	k.xid++
	b, err := k.exchange(append(header(k.xid, op), body(parts...)...))
	if err != nil {
		return jute.Decoder{}, 0, err
	}
	d := jute.NewDecoder(b)
	h := d.ReplyHeader()
	if h.Xid != k.xid {
		return d, 0, fmt.Errorf("answer to %d, not to %d", h.Xid, k.xid)
	}
	return d, h.Err, nil
}

// must demands that it was done.
func (k *caller) must(t *testing.T, op jute.Op, parts ...any) jute.Decoder {
	t.Helper()
	d, code, err := k.do(op, parts...)
	must(t, err)
	if code != jute.OK {
		t.Fatalf("%v %v: %v", op, parts[:min(1, len(parts))], code)
	}
	return d
}

// dump writes the tree as text, a line for each znode with all that clients can see of it.
func (k *caller) dump(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	k.dumpTo(t, &b, path)
	return b.String()
}

func (k *caller) dumpTo(t *testing.T, b *strings.Builder, path string) {
	t.Helper()
	d := k.must(t, jute.OpGetData, path, false)
	data, stat := d.Buffer(), d.Stat()
	d = k.must(t, jute.OpGetACL, path)
	fmt.Fprintf(b, "%s %d %08x %v %+v\n", path, len(data), crc32.ChecksumIEEE(data), d.ACLs(), stat)
	d = k.must(t, jute.OpGetChildren, path, false)
	children := d.Strings()
	slices.Sort(children)
	for _, c := range children {
		k.dumpTo(t, b, strings.TrimSuffix(path, "/")+"/"+c)
	}
}
