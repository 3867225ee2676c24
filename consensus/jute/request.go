package jute

import (
	"errors"
	"fmt"
)

// A Request is the body of any client request. Op says which fields count; the comments name them.
type Request struct {
	Op      Op
	Path    string    // all but multi, multiRead, setWatches, auth, sasl, reconfig, whoAmI, closeSession; getEphemerals: the prefix
	Data    []byte    // create…, setData; auth: the proof; sasl: the token. Aliases the input
	ACL     []ACL     // create…, setACL
	Flags   int32     // create…
	TTL     int64     // createTTL, milliseconds
	Version int32     // delete, setData, setACL, check: the version expected, -1 any
	Watch   bool      // exists, getData, getChildren…
	Mode    int32     // addWatch: the mode; checkWatches and removeWatches: the type; auth: its type, 0; createSession: the timeout
	Scheme  string    // auth
	Ops     []Request // multi, multiRead
	Watches *Watches  // setWatches, setWatches2
	Members *Members  // reconfig
}

// Watches is what setWatches registers again after a connection was lost.
type Watches struct {
	RelativeZxid          int64
	Data, Exist, Child    []string
	Persistent, Recursive []string // setWatches2 only
}

// Members is what reconfig asks for.
type Members struct {
	Joining, Leaving, New string
	ConfigID              int64 // version expected, -1 any
}

// ErrMulti says that a multi holds what it may not.
var ErrMulti = errors.New("jute: operation not allowed in this multi")

// ErrNull says that there is no path where one must be.
var ErrNull = errors.New("jute: null path")

// maxMulti bounds the parts of one multi; a part takes at least 13 bytes of the frame anyway.
const maxMulti = 1 << 20

// ParseRequest reads the body of a request for op. Bytes left over are ignored, as ZooKeeper does.
func ParseRequest(op Op, body []byte) (Request, error) {
	d := NewDecoder(body)
	r := d.request(op)
	if d.err != nil {
		return Request{Op: op}, fmt.Errorf("%v: %w", op, d.err)
	}
	return r, nil
}

func (d *Decoder) request(op Op) Request {
	r := Request{Op: op}
	switch op {
	case OpCreate, OpCreate2, OpCreateContainer:
		r.Path, r.Data, r.ACL, r.Flags = d.path(), d.Buffer(), d.ACLs(), d.Int()
	case OpCreateTTL:
		r.Path, r.Data, r.ACL, r.Flags, r.TTL = d.path(), d.Buffer(), d.ACLs(), d.Int(), d.Long()
	case OpDelete, OpCheck:
		r.Path, r.Version = d.path(), d.Int()
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		r.Path, r.Watch = d.path(), d.Bool()
	case OpSetData:
		r.Path, r.Data, r.Version = d.String(), d.Buffer(), d.Int()
	case OpGetACL, OpGetAllChildren, OpDeleteContainer:
		r.Path = d.path()
	case OpSync, OpGetEphemerals:
		r.Path = d.String()
	case OpSetACL:
		r.Path, r.ACL, r.Version = d.String(), d.ACLs(), d.Int()
	case OpCheckWatches, OpRemoveWatches:
		r.Path, r.Mode = d.path(), d.Int()
	case OpAddWatch:
		r.Path, r.Mode = d.String(), d.Int()
	case OpMulti, OpMultiRead:
		r.Ops = d.parts(op)
	case OpReconfig:
		r.Members = &Members{Joining: d.String(), Leaving: d.String(), New: d.String(), ConfigID: d.Long()}
	case OpAuth:
		r.Mode, r.Scheme, r.Data = d.Int(), d.String(), d.Buffer()
	case OpSetWatches, OpSetWatches2:
		w := &Watches{RelativeZxid: d.Long(), Data: d.paths(), Exist: d.paths(), Child: d.paths()}
		if op == OpSetWatches2 {
			w.Persistent, w.Recursive = d.paths(), d.paths()
		}
		r.Watches = w
	case OpSASL:
		r.Data = d.Buffer()
	case OpCreateSession:
		r.Mode = d.Int()
	case OpPing, OpCloseSession, OpWhoAmI:
	default:
		d.Fail(fmt.Errorf("jute: %v is not a request", op))
	}
	return r
}

// path reads a path that must not be null. ZooKeeper lets null pass for the other requests, where it means
// what an empty path does.
func (d *Decoder) path() string {
	p := d.Buffer()
	if p == nil {
		d.Fail(ErrNull)
	}
	return string(p)
}

// parts reads the parts of a multi.
func (d *Decoder) parts(op Op) []Request {
	ops := []Request{}
	for {
		h := d.MultiHeader()
		if d.err != nil || h.Done {
			return ops
		}
		switch {
		case len(ops) == maxMulti:
			d.Fail(ErrLength)
		case op == OpMulti && partOfMulti(h.Type), op == OpMultiRead && (h.Type == OpGetData || h.Type == OpGetChildren):
			ops = append(ops, d.request(h.Type))
		default:
			d.Fail(fmt.Errorf("%w: %v", ErrMulti, h.Type))
		}
	}
}

// paths reads a vector of strings that may not be null.
func (d *Decoder) paths() []string {
	p := d.Strings()
	if p == nil {
		d.Fail(ErrLength)
	}
	return p
}

func partOfMulti(op Op) bool {
	switch op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL, OpDelete, OpSetData, OpCheck:
		return true
	}
	return false
}

// AppendTo appends the body.
func (r *Request) AppendTo(b []byte) []byte {
	switch r.Op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
		b = AppendInt(AppendACLs(AppendBuffer(AppendString(b, r.Path), r.Data), r.ACL), r.Flags)
		if r.Op == OpCreateTTL {
			b = AppendLong(b, r.TTL)
		}
	case OpDelete, OpCheck:
		b = AppendInt(AppendString(b, r.Path), r.Version)
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		b = AppendBool(AppendString(b, r.Path), r.Watch)
	case OpSetData:
		b = AppendInt(AppendBuffer(AppendString(b, r.Path), r.Data), r.Version)
	case OpGetACL, OpSync, OpGetEphemerals, OpGetAllChildren, OpDeleteContainer:
		b = AppendString(b, r.Path)
	case OpSetACL:
		b = AppendInt(AppendACLs(AppendString(b, r.Path), r.ACL), r.Version)
	case OpCheckWatches, OpRemoveWatches, OpAddWatch:
		b = AppendInt(AppendString(b, r.Path), r.Mode)
	case OpMulti, OpMultiRead:
		for i := range r.Ops {
			b = r.Ops[i].AppendTo(MultiHeader{Type: r.Ops[i].Op, Err: -1}.AppendTo(b))
		}
		b = MultiEnd.AppendTo(b)
	case OpReconfig:
		m := r.Members
		b = AppendLong(AppendString(AppendString(AppendString(b, m.Joining), m.Leaving), m.New), m.ConfigID)
	case OpAuth:
		b = AppendBuffer(AppendString(AppendInt(b, r.Mode), r.Scheme), r.Data)
	case OpSetWatches, OpSetWatches2:
		w := r.Watches
		b = AppendStrings(AppendStrings(AppendStrings(AppendLong(b, w.RelativeZxid), w.Data), w.Exist), w.Child)
		if r.Op == OpSetWatches2 {
			b = AppendStrings(AppendStrings(b, w.Persistent), w.Recursive)
		}
	case OpSASL:
		b = AppendBuffer(b, r.Data)
	case OpCreateSession:
		b = AppendInt(b, r.Mode)
	}
	return b
}
