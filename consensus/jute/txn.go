package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A TxnHeader begins every transaction, 32 bytes.
type TxnHeader struct {
	Session int64 // who asked; 0: the server itself
	Cxid    int32 // the request's xid
	Zxid    int64
	Time    int64 // wall clock of the leader, milliseconds since 1970
	Type    Op
}

// AppendTo appends 32 bytes.
func (h *TxnHeader) AppendTo(b []byte) []byte {
	b = AppendLong(AppendInt(AppendLong(b, h.Session), h.Cxid), h.Zxid)
	return AppendInt(AppendLong(b, h.Time), int32(h.Type))
}

// TxnHeader reads 32 bytes.
func (d *Decoder) TxnHeader() TxnHeader {
	return TxnHeader{Session: d.Long(), Cxid: d.Int(), Zxid: d.Long(), Time: d.Long(), Type: Op(d.Int())}
}

// A Txn is the outcome of a request, to be applied by every member. Type says which fields count.
type Txn struct {
	Type           Op
	Path           string   // all but error, sessions and multi
	Data           []byte   // create…, setData, reconfig; aliases what it was read from
	ACL            []ACL    // create…, setACL
	Ephemeral      bool     // create, create2
	ParentCVersion int32    // create…: the parent's count of creations after this one; -1 in old logs: one more than now
	TTL            int64    // createTTL, milliseconds
	Version        int32    // setData, setACL, reconfig, check: the version after
	Err            Code     // error
	Timeout        int32    // createSession, milliseconds
	Paths          []string // closeSession: the ephemerals to delete; nil: not written (before 3.6)
	Ops            []Txn    // multi
}

// AppendTo appends the record, without its type: the header has it, or the multi around it.
func (t *Txn) AppendTo(b []byte) []byte {
	switch t.Type {
	case OpCreate, OpCreate2:
		b = AppendACLs(AppendBuffer(AppendString(b, t.Path), t.Data), t.ACL)
		b = AppendInt(AppendBool(b, t.Ephemeral), t.ParentCVersion)
	case OpCreateContainer:
		b = AppendInt(AppendACLs(AppendBuffer(AppendString(b, t.Path), t.Data), t.ACL), t.ParentCVersion)
	case OpCreateTTL:
		b = AppendInt(AppendACLs(AppendBuffer(AppendString(b, t.Path), t.Data), t.ACL), t.ParentCVersion)
		b = AppendLong(b, t.TTL)
	case OpDelete, OpDeleteContainer:
		b = AppendString(b, t.Path)
	case OpSetData, OpReconfig:
		b = AppendInt(AppendBuffer(AppendString(b, t.Path), t.Data), t.Version)
	case OpSetACL:
		b = AppendInt(AppendACLs(AppendString(b, t.Path), t.ACL), t.Version)
	case OpCheck:
		b = AppendInt(AppendString(b, t.Path), t.Version)
	case OpError:
		b = AppendInt(b, int32(t.Err))
	case OpCreateSession:
		b = AppendInt(b, t.Timeout)
	case OpCloseSession:
		if t.Paths != nil {
			b = AppendStrings(b, t.Paths)
		}
	case OpMulti:
		b = AppendInt(b, length(len(t.Ops)))
		for i := range t.Ops {
			b = AppendInt(b, int32(t.Ops[i].Type))
			start := len(b)
			b = EndFrame(t.Ops[i].AppendTo(BeginFrame(b)), start)
		}
	}
	return b
}

// ErrTxnType says that a transaction is of a type that no member applies.
var ErrTxnType = errors.New("jute: unknown transaction type")

// Txn reads the record of a type. What follows it in the input is not touched.
func (d *Decoder) Txn(typ Op) Txn { return d.txn(typ, false) }

func (d *Decoder) txn(typ Op, part bool) Txn {
	t := Txn{Type: typ}
	switch typ {
	case OpCreate, OpCreate2:
		t.Path, t.Data, t.ACL, t.Ephemeral = d.String(), d.Buffer(), d.ACLs(), d.Bool()
		t.ParentCVersion = -1
		if len(d.b) >= 4 { // absent before ZooKeeper 3.4 (CreateTxnV0)
			t.ParentCVersion = d.Int()
		}
	case OpCreateContainer:
		t.Path, t.Data, t.ACL, t.ParentCVersion = d.String(), d.Buffer(), d.ACLs(), d.Int()
	case OpCreateTTL:
		t.Path, t.Data, t.ACL, t.ParentCVersion, t.TTL = d.String(), d.Buffer(), d.ACLs(), d.Int(), d.Long()
	case OpDelete, OpDeleteContainer:
		t.Path = d.String()
	case OpSetData, OpReconfig:
		t.Path, t.Data, t.Version = d.String(), d.Buffer(), d.Int()
	case OpSetACL:
		t.Path, t.ACL, t.Version = d.String(), d.ACLs(), d.Int()
	case OpCheck:
		t.Path, t.Version = d.String(), d.Int()
	case OpError:
		t.Err = Code(d.Int())
	case OpCreateSession:
		t.Timeout = d.Int()
	case OpCloseSession:
		// Without a list of paths nothing stands here, or a digest at once, which begins with its version;
		// two paths would be longer than that.
		if len(d.b) >= 4 && !(len(d.b) == 12 && binary.BigEndian.Uint32(d.b) == uint32(DigestVersion)) {
			t.Paths = d.Strings()
		}
	case OpMulti:
		if part {
			d.Fail(ErrMulti)
			break
		}
		n, _ := d.Count(8)
		t.Ops = make([]Txn, 0, n)
		for range n {
			typ := Op(d.Int())
			in := NewDecoder(d.Buffer())
			if d.err != nil {
				break
			}
			t.Ops = append(t.Ops, in.txn(typ, true))
			if in.err != nil {
				d.Fail(in.err)
			}
		}
	default:
		d.Fail(fmt.Errorf("%w: %d", ErrTxnType, int32(typ)))
	}
	return t
}

// A TxnDigest says what the digest of the tree is after a transaction, 12 bytes; it may be absent.
type TxnDigest struct {
	Version int32 // 2
	Tree    uint64
}

// DigestVersion is how digests are computed since ZooKeeper 3.6.1.
const DigestVersion int32 = 2

// AppendTo appends 12 bytes.
func (t TxnDigest) AppendTo(b []byte) []byte {
	return AppendLong(AppendInt(b, t.Version), int64(t.Tree))
}

// A LoggedTxn is a record of the log, which is the body of a PROPOSAL too.
type LoggedTxn struct {
	Header TxnHeader
	Txn    Txn
	Digest TxnDigest // Version 0: there was none
}

// AppendTo appends header, record, and the digest if there is one.
func (l *LoggedTxn) AppendTo(b []byte) []byte {
	b = l.Txn.AppendTo(l.Header.AppendTo(b))
	if l.Digest.Version != 0 {
		b = l.Digest.AppendTo(b)
	}
	return b
}

// ParseLoggedTxn reads a record of the log; Data aliases b. Unknown bytes after the digest are ignored.
func ParseLoggedTxn(b []byte) (LoggedTxn, error) {
	d := NewDecoder(b)
	l := LoggedTxn{Header: d.TxnHeader()}
	l.Txn = d.Txn(l.Header.Type)
	if d.err == nil && len(d.b) >= 12 {
		l.Digest = TxnDigest{Version: d.Int(), Tree: uint64(d.Long())}
	}
	if d.err != nil {
		return l, fmt.Errorf("zxid 0x%x: %w", l.Header.Zxid, d.err)
	}
	return l, nil
}
