package zk

import (
	"bytes"
	"fmt"

	"example.org/ha/consensus/jute"
)

// A Reply is the body of any reply; the operation says which fields count.
type Reply struct {
	Zxid     int64         // of the write, or of what the server had seen when it read
	Path     string        // create, sync
	Data     []byte        // getData, reconfig; nil for null
	Stat     jute.Stat     // create, exists, getData, setData, getACL, setACL, getChildren2, reconfig
	Children []string      // getChildren: in no order
	Paths    []string      // getEphemerals
	ACL      []jute.ACL    // getACL
	Count    int           // getAllChildrenNumber
	IDs      []jute.ID     // whoAmI
	Results  []MultiResult // multi, multiRead
}

// A MultiResult is what became of one part of a multi.
type MultiResult struct {
	Op       jute.Op // of the reply: any kind of create reads create2; error if Err is not nil
	Err      error   // a jute.Code; of a failed multi OK stands for parts before the one refused
	Path     string
	Data     []byte
	Stat     jute.Stat
	Children []string
}

// appendFrame appends a whole request.
func appendFrame(b []byte, xid int32, r *jute.Request) []byte {
	start := len(b)
	b = jute.AppendInt(jute.AppendInt(jute.BeginFrame(b), xid), int32(r.Op))
	return jute.EndFrame(r.AppendTo(b), start)
}

func appendAuth(b []byte, a Auth) []byte {
	return appendFrame(b, jute.XidAuth, &jute.Request{Op: jute.OpAuth, Scheme: a.Scheme, Data: a.Proof})
}

// parseReply reads the body of a reply without error to op. It keeps nothing of body.
func parseReply(op jute.Op, body []byte) (Reply, error) {
	d := jute.NewDecoder(body)
	var r Reply
	switch op {
	case jute.OpCreate, jute.OpSync:
		r.Path = d.String()
	case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		r.Path, r.Stat = d.String(), d.Stat()
	case jute.OpExists, jute.OpSetData, jute.OpSetACL:
		r.Stat = d.Stat()
	case jute.OpGetData, jute.OpReconfig:
		r.Data, r.Stat = bytes.Clone(d.Buffer()), d.Stat()
	case jute.OpGetACL:
		r.ACL, r.Stat = d.ACLs(), d.Stat()
	case jute.OpGetChildren:
		r.Children = d.Strings()
	case jute.OpGetChildren2:
		r.Children, r.Stat = d.Strings(), d.Stat()
	case jute.OpGetEphemerals:
		r.Paths = d.Strings()
	case jute.OpGetAllChildren:
		r.Count = int(d.Int())
	case jute.OpWhoAmI:
		r.IDs = d.IDs()
	case jute.OpMulti, jute.OpMultiRead:
		r.Results = parseResults(&d)
	}
	if err := d.Err(); err != nil {
		return Reply{}, fmt.Errorf("%w: reply to %v: %w", ErrProtocol, op, err)
	}
	return r, nil
}

func parseResults(d *jute.Decoder) []MultiResult {
	out := []MultiResult{}
	for {
		h := d.MultiHeader()
		if d.Err() != nil || h.Done {
			return out
		}
		r := MultiResult{Op: h.Type}
		switch h.Type {
		case jute.OpError:
			r.Err = jute.Code(d.Int())
		case jute.OpCreate:
			r.Path = d.String()
		case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
			r.Path, r.Stat = d.String(), d.Stat()
		case jute.OpSetData:
			r.Stat = d.Stat()
		case jute.OpGetData:
			r.Data, r.Stat = bytes.Clone(d.Buffer()), d.Stat()
		case jute.OpGetChildren:
			r.Children = d.Strings()
		case jute.OpDelete, jute.OpCheck, jute.OpDeleteContainer:
		default:
			d.Fail(fmt.Errorf("%w: part of a multi: %v", ErrProtocol, h.Type))
		}
		out = append(out, r)
	}
}

// failed finds the part that made a multi fail. The others carry OK or RuntimeInconsistency, which only say
// that they were before or behind it.
func failed(results []MultiResult) (int, jute.Code) {
	part, first := -1, jute.OK
	for i, r := range results {
		code, _ := r.Err.(jute.Code)
		switch {
		case r.Err == nil || code == jute.OK:
		case code != jute.RuntimeInconsistency:
			return i, code
		case part < 0:
			part, first = i, code
		}
	}
	return part, first
}

// length is how long the frame of a request will be, without its own length, or a few bytes more.
func length(r *jute.Request) int {
	n := 8 + 40 + len(r.Path) + len(r.Data) + len(r.Scheme)
	for _, a := range r.ACL {
		n += 12 + len(a.ID.Scheme) + len(a.ID.ID)
	}
	for i := range r.Ops {
		n += 1 + length(&r.Ops[i])
	}
	if m := r.Members; m != nil {
		n += len(m.Joining) + len(m.Leaving) + len(m.New)
	}
	return n
}

// reads says that an operation changes nothing that others see, so that it may be sent again.
func reads(op jute.Op) bool {
	switch op {
	case jute.OpExists, jute.OpGetData, jute.OpGetACL, jute.OpGetChildren, jute.OpGetChildren2, jute.OpSync, jute.OpMultiRead,
		jute.OpGetEphemerals, jute.OpGetAllChildren, jute.OpWhoAmI, jute.OpCheckWatches, jute.OpAddWatch, jute.OpRemoveWatches:
		return true
	}
	return false
}

// passesLeader says that only the leader can have answered.
func passesLeader(op jute.Op) bool {
	switch op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL, jute.OpDelete, jute.OpSetData, jute.OpSetACL,
		jute.OpMulti, jute.OpSync, jute.OpReconfig:
		return true
	}
	return false
}
