package tree

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"

	"example.org/ha/consensus/jute"
)

// Errors of a stream that is no snapshot.
var (
	errLength = errors.New("length out of range")
	errTwice  = errors.New("stands there twice")
	errOrphan = errors.New("has no parent")
	errNoRoot = errors.New("the root is missing")
)

const (
	maxLength = 1 << 30 // of a path, of data: beyond what any jute.maxbuffer let in
	readAhead = 1 << 16 // believed without having been read
)

// Load reads a snapshot, up to and with the path "/" that ends it: the tree, and the sessions with their
// timeouts in milliseconds. LastZxid is the caller's to set. An error names the byte, counted from the
// first that Load read, at which the stream stops to make sense.
//
//	int n, n × {session long, timeout int}
//	int n, n × {id long, vector of ACL}
//	{path string, data buffer, acl long, StatPersisted}…, parents before children, the root as ""
//	path "/"
//
// A znode may name an ACL that is not there (ZOOKEEPER-4846): then nobody may do anything with it.
func Load(r *bufio.Reader, cfg Config) (*Tree, map[int64]int32, error) {
	l := loader{r: r, t: empty(cfg), acls: map[int64]*acl{}}
	sessions, err := l.sessions()
	if err == nil {
		err = l.lists()
	}
	for done := false; err == nil && !done; {
		done, err = l.node()
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, nil, fmt.Errorf("tree: load snapshot: byte %d: %w", l.offset, err)
	}
	if l.t.root == nil {
		return nil, nil, fmt.Errorf("tree: load snapshot: %w", errNoRoot)
	}
	l.gather()
	if n := l.t.index.twice(); n != nil {
		return nil, nil, fmt.Errorf("tree: load snapshot: znode %.200q: %w", n.path, errTwice)
	}
	for _, e := range slices.Clone(l.t.acls.all) {
		if e.refs == 0 {
			l.t.acls.forget(e)
		}
	}
	l.t.beget()
	l.t.quotaLoaded()
	return l.t, sessions, nil
}

type loader struct {
	r      *bufio.Reader
	t      *Tree
	acls   map[int64]*acl
	last   *Node
	loose  []*Node // not in the index yet
	offset int64
	buf    []byte
}

// take reads n bytes, which are good until the next take.
func (l *loader) take(n int) ([]byte, error) {
	l.buf = l.buf[:0]
	for len(l.buf) < n {
		have := len(l.buf)
		want := min(n, have+readAhead)
		if want > cap(l.buf) {
			l.buf = append(make([]byte, 0, max(want, 2*cap(l.buf), 256)), l.buf...)
		}
		l.buf = l.buf[:want]
		got, err := io.ReadFull(l.r, l.buf[have:])
		if l.offset += int64(got); err != nil {
			return nil, err
		}
	}
	return l.buf, nil
}

func (l *loader) int() (int32, error) {
	b, err := l.take(4)
	if err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(b)), nil
}

func (l *loader) long() (int64, error) {
	b, err := l.take(8)
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

func checked(n int32) (int, error) {
	if n < 0 || n > maxLength {
		return 0, fmt.Errorf("%w: %d", errLength, n)
	}
	return int(n), nil
}

func (l *loader) sessions() (map[int64]int32, error) {
	n, err := l.int()
	if err != nil {
		return nil, err
	}
	if _, err = checked(n); err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	out := map[int64]int32{}
	for range n {
		b, err := l.take(12)
		if err != nil {
			return nil, err
		}
		out[int64(binary.BigEndian.Uint64(b))] = int32(binary.BigEndian.Uint32(b[8:]))
	}
	return out, nil
}

// lists reads the table of ACLs.
func (l *loader) lists() error {
	n, err := l.int()
	if err != nil {
		return err
	}
	if _, err = checked(n); err != nil {
		return fmt.Errorf("ACL lists: %w", err)
	}
	for range n {
		id, err := l.long()
		if err != nil {
			return err
		}
		list, err := l.list()
		if err != nil {
			return fmt.Errorf("ACL list %d: %w", id, err)
		}
		if _, ok := l.acls[id]; ok || id == openID {
			return fmt.Errorf("ACL list %d: %w", id, errTwice)
		}
		l.acls[id] = l.t.acls.enter(id, list)
	}
	return nil
}

// list reads a vector of ACL; null reads as nil.
func (l *loader) list() ([]jute.ACL, error) {
	n, err := l.int()
	if err != nil || n == -1 {
		return nil, err
	}
	if _, err := checked(n); err != nil {
		return nil, err
	}
	list := make([]jute.ACL, 0, min(n, 64))
	for range n {
		a := jute.ACL{}
		if a.Perms, err = l.int(); err != nil {
			return nil, err
		}
		if a.ID.Scheme, err = l.string(); err != nil {
			return nil, err
		}
		if a.ID.ID, err = l.string(); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func (l *loader) string() (string, error) {
	n, err := l.int()
	if err != nil || n == -1 {
		return "", err
	}
	size, err := checked(n)
	if err != nil {
		return "", err
	}
	b, err := l.take(size)
	return string(b), err
}

func (l *loader) data() ([]byte, error) {
	n, err := l.int()
	if err != nil || n == -1 {
		return nil, err
	}
	size, err := checked(n)
	if err != nil {
		return nil, err
	}
	if size > readAhead {
		b, err := l.take(size)
		return copied(b), err
	}
	out := make([]byte, size)
	got, err := io.ReadFull(l.r, out)
	l.offset += int64(got)
	return out, err
}

// node reads one znode, or the end.
func (l *loader) node() (done bool, err error) {
	n := &Node{}
	if n.path, err = l.string(); err != nil {
		return false, fmt.Errorf("path: %w", err)
	}
	if n.path == Root {
		return true, nil
	}
	if n.data, err = l.data(); err != nil {
		return false, fmt.Errorf("data of %.200q: %w", n.path, err)
	}
	b, err := l.take(68)
	if err != nil {
		return false, fmt.Errorf("stat of %.200q: %w", n.path, err)
	}
	n.acl = l.acl(int64(binary.BigEndian.Uint64(b)))
	d := jute.NewDecoder(b[8:])
	s := d.StatPersisted()
	n.czxid, n.mzxid, n.ctime, n.mtime, n.pzxid = s.Czxid, s.Mzxid, s.Ctime, s.Mtime, s.Pzxid
	n.version, n.cversion, n.aversion, n.owner = s.Version, s.Cversion, s.Aversion, s.EphemeralOwner
	if err := l.place(n); err != nil {
		return false, fmt.Errorf("znode %.200q: %w", n.path, err)
	}
	return false, nil
}

// acl is the list with an id, with one more znode.
func (l *loader) acl(id int64) *acl {
	if id == openID {
		return l.t.acls.open
	}
	e, ok := l.acls[id]
	if !ok {
		e = l.t.acls.enter(id, []jute.ACL{{Perms: 0, ID: jute.ID{Scheme: "world", ID: "anyone"}}})
		l.acls[id] = e
	}
	e.refs++
	return e
}

func (l *loader) place(n *Node) error {
	if n.path == "" {
		n.path = Root
		if l.t.root != nil {
			return errTwice
		}
		l.settle(nil, n)
		return nil
	}
	above, _, ok := parentPath(n.path)
	if !ok {
		return errOrphan
	}
	parent := l.last // of a stream in preorder, it or something above it is the parent
	for parent != nil && parent.path != above {
		parent = parent.parent
	}
	if parent == nil {
		l.gather()
		if parent = l.t.index.find(above); parent == nil {
			return errOrphan
		}
	}
	l.settle(parent, n)
	return nil
}

func (l *loader) settle(parent, n *Node) {
	l.t.settle(parent, n)
	n.hash = uint32(maphash.String(l.t.index.seed, n.path))
	l.last, l.loose = n, append(l.loose, n)
}

// gather puts the loose znodes into the index: in a loop of its own, since there the processor waits for the
// memory of many at a time.
func (l *loader) gather() {
	l.t.index.reserve(len(l.loose))
	for _, n := range l.loose {
		l.t.index.put(n)
	}
	clear(l.loose)
	l.loose = l.loose[:0]
}
