package jute

// An ID names who may: a scheme (world, auth, digest, ip, x509, sasl, super) and an identity in it.
type ID struct{ Scheme, ID string }

// An ACL grants permissions (PermRead…) to an ID.
type ACL struct {
	Perms int32
	ID    ID
}

// AppendTo appends scheme and id.
func (i ID) AppendTo(b []byte) []byte { return AppendString(AppendString(b, i.Scheme), i.ID) }

// AppendTo appends perms and id.
func (a ACL) AppendTo(b []byte) []byte { return a.ID.AppendTo(AppendInt(b, a.Perms)) }

// AppendACLs appends a vector of ACL; nil is null.
func AppendACLs(b []byte, acl []ACL) []byte {
	if acl == nil {
		return AppendInt(b, -1)
	}
	b = AppendInt(b, length(len(acl)))
	for _, a := range acl {
		b = a.AppendTo(b)
	}
	return b
}

// AppendIDs appends a vector of Id; nil is null.
func AppendIDs(b []byte, ids []ID) []byte {
	if ids == nil {
		return AppendInt(b, -1)
	}
	b = AppendInt(b, length(len(ids)))
	for _, i := range ids {
		b = i.AppendTo(b)
	}
	return b
}

// ID reads an Id.
func (d *Decoder) ID() ID { return ID{Scheme: d.String(), ID: d.String()} }

// ACLs reads a vector of ACL; null reads as nil, empty as not nil.
func (d *Decoder) ACLs() []ACL {
	n, null := d.Count(12)
	if null || d.err != nil {
		return nil
	}
	out := make([]ACL, 0, n)
	for range n {
		out = append(out, ACL{Perms: d.Int(), ID: d.ID()})
	}
	if d.err != nil {
		return nil
	}
	return out
}

// IDs reads a vector of Id.
func (d *Decoder) IDs() []ID {
	n, null := d.Count(8)
	if null || d.err != nil {
		return nil
	}
	out := make([]ID, 0, n)
	for range n {
		out = append(out, d.ID())
	}
	if d.err != nil {
		return nil
	}
	return out
}

// A Stat is what a client is told of a znode, 68 bytes.
type Stat struct {
	Czxid, Mzxid   int64
	Ctime, Mtime   int64 // wall clock, milliseconds since 1970
	Version        int32 // changes of data
	Cversion       int32 // creations and deletions of children
	Aversion       int32 // changes of the ACL
	EphemeralOwner int64 // session; 0 unless the znode is ephemeral in the narrow sense
	DataLength     int32
	NumChildren    int32
	Pzxid          int64 // of the last creation or deletion of a child
}

// AppendTo appends the 68 bytes.
func (s *Stat) AppendTo(b []byte) []byte {
	b = AppendLong(AppendLong(AppendLong(AppendLong(b, s.Czxid), s.Mzxid), s.Ctime), s.Mtime)
	b = AppendInt(AppendInt(AppendInt(b, s.Version), s.Cversion), s.Aversion)
	b = AppendInt(AppendInt(AppendLong(b, s.EphemeralOwner), s.DataLength), s.NumChildren)
	return AppendLong(b, s.Pzxid)
}

// Stat reads the 68 bytes.
func (d *Decoder) Stat() Stat {
	return Stat{
		Czxid: d.Long(), Mzxid: d.Long(), Ctime: d.Long(), Mtime: d.Long(),
		Version: d.Int(), Cversion: d.Int(), Aversion: d.Int(), EphemeralOwner: d.Long(),
		DataLength: d.Int(), NumChildren: d.Int(), Pzxid: d.Long(),
	}
}

// A StatPersisted is what the disk keeps of a znode, 60 bytes. Cversion counts creations alone, and
// EphemeralOwner also marks containers and times to live.
type StatPersisted struct {
	Czxid, Mzxid   int64
	Ctime, Mtime   int64
	Version        int32
	Cversion       int32
	Aversion       int32
	EphemeralOwner int64
	Pzxid          int64
}

// AppendTo appends the 60 bytes.
func (s *StatPersisted) AppendTo(b []byte) []byte {
	b = AppendLong(AppendLong(AppendLong(AppendLong(b, s.Czxid), s.Mzxid), s.Ctime), s.Mtime)
	b = AppendInt(AppendInt(AppendInt(b, s.Version), s.Cversion), s.Aversion)
	return AppendLong(AppendLong(b, s.EphemeralOwner), s.Pzxid)
}

// StatPersisted reads the 60 bytes.
func (d *Decoder) StatPersisted() StatPersisted {
	return StatPersisted{
		Czxid: d.Long(), Mzxid: d.Long(), Ctime: d.Long(), Mtime: d.Long(),
		Version: d.Int(), Cversion: d.Int(), Aversion: d.Int(), EphemeralOwner: d.Long(), Pzxid: d.Long(),
	}
}

// A ConnectRequest opens a connection: a new session, or one to take up again.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    int64
	Timeout         int32 // milliseconds asked for
	SessionID       int64 // 0: a new session
	Password        []byte
	ReadOnly        bool // a server without quorum will do
	HasReadOnly     bool // the flag was there: then the response has one too
}

// AppendTo appends the record, with the flag if HasReadOnly.
func (c *ConnectRequest) AppendTo(b []byte) []byte {
	b = AppendInt(AppendLong(AppendInt(b, c.ProtocolVersion), c.LastZxidSeen), c.Timeout)
	b = AppendBuffer(AppendLong(b, c.SessionID), c.Password)
	if c.HasReadOnly {
		b = AppendBool(b, c.ReadOnly)
	}
	return b
}

// ParseConnectRequest reads the first frame of a connection; Password aliases b.
func ParseConnectRequest(b []byte) (ConnectRequest, error) {
	d := NewDecoder(b)
	c := ConnectRequest{ProtocolVersion: d.Int(), LastZxidSeen: d.Long(), Timeout: d.Int(), SessionID: d.Long(), Password: d.Buffer()}
	if d.err == nil && len(d.b) > 0 {
		c.ReadOnly, c.HasReadOnly = d.Bool(), true
	}
	return c, d.err
}

// A ConnectResponse answers a ConnectRequest. Timeout 0 says that the session is not valid.
type ConnectResponse struct {
	ProtocolVersion int32
	Timeout         int32 // milliseconds granted
	SessionID       int64
	Password        []byte // 16 bytes
	ReadOnly        bool   // this server has no quorum
	HasReadOnly     bool
}

// AppendTo appends the record, with the flag if HasReadOnly.
func (c *ConnectResponse) AppendTo(b []byte) []byte {
	b = AppendLong(AppendInt(AppendInt(b, c.ProtocolVersion), c.Timeout), c.SessionID)
	b = AppendBuffer(b, c.Password)
	if c.HasReadOnly {
		b = AppendBool(b, c.ReadOnly)
	}
	return b
}

// ParseConnectResponse reads the first frame of a server; Password aliases b.
func ParseConnectResponse(b []byte) (ConnectResponse, error) {
	d := NewDecoder(b)
	c := ConnectResponse{ProtocolVersion: d.Int(), Timeout: d.Int(), SessionID: d.Long(), Password: d.Buffer()}
	if d.err == nil && len(d.b) > 0 {
		c.ReadOnly, c.HasReadOnly = d.Bool(), true
	}
	return c, d.err
}

// A ReplyHeader begins every frame of a server but the first.
type ReplyHeader struct {
	Xid  int32
	Zxid int64
	Err  Code
}

// AppendTo appends 16 bytes.
func (h ReplyHeader) AppendTo(b []byte) []byte {
	return AppendInt(AppendLong(AppendInt(b, h.Xid), h.Zxid), int32(h.Err))
}

// ReplyHeader reads 16 bytes.
func (d *Decoder) ReplyHeader() ReplyHeader {
	return ReplyHeader{Xid: d.Int(), Zxid: d.Long(), Err: Code(d.Int())}
}

// A WatcherEvent is the body of a notification.
type WatcherEvent struct {
	Type  EventType
	State int32
	Path  string
}

// AppendTo appends the record.
func (e WatcherEvent) AppendTo(b []byte) []byte {
	return AppendString(AppendInt(AppendInt(b, int32(e.Type)), e.State), e.Path)
}

// WatcherEvent reads the record.
func (d *Decoder) WatcherEvent() WatcherEvent {
	return WatcherEvent{Type: EventType(d.Int()), State: d.Int(), Path: d.String()}
}

// A MultiHeader stands before each part of a multi, asked or answered, and ends it with Done.
type MultiHeader struct {
	Type Op
	Done bool
	Err  Code
}

// AppendTo appends 9 bytes.
func (h MultiHeader) AppendTo(b []byte) []byte {
	return AppendInt(AppendBool(AppendInt(b, int32(h.Type)), h.Done), int32(h.Err))
}

// MultiHeader reads 9 bytes.
func (d *Decoder) MultiHeader() MultiHeader {
	return MultiHeader{Type: Op(d.Int()), Done: d.Bool(), Err: Code(d.Int())}
}

// MultiEnd ends a multi.
var MultiEnd = MultiHeader{Type: -1, Done: true, Err: -1}
