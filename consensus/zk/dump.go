package zk

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"example.org/ha/consensus/jute"
)

// A Record is one znode of a dump, one line of JSON. A znode without data has neither Data nor Base64.
type Record struct {
	Path   string   `json:"path"`
	Data   *string  `json:"data,omitempty"`   // if it is UTF-8
	Base64 *string  `json:"base64,omitempty"` // otherwise
	ACL    []string `json:"acl,omitempty"`    // scheme:id:permissions; none: open
	Kind   string   `json:"kind,omitempty"`   // ephemeral, container, ttl, persistent (the default)
	TTL    int64    `json:"ttl,omitempty"`    // milliseconds
}

// Kinds of znodes in a Record. Servers do not tell clients which znodes are containers or have a time to
// live, so a dump has only the first; a record written otherwise may have all.
const (
	KindEphemeral = "ephemeral"
	KindContainer = "container"
	KindTTL       = "ttl"
)

func recordOf(z Znode) Record {
	r := Record{Path: z.Path}
	switch {
	case z.Data == nil:
	case utf8.Valid(z.Data):
		r.Data = new(string(z.Data))
	default:
		r.Base64 = new(base64.StdEncoding.EncodeToString(z.Data))
	}
	for _, a := range z.ACL {
		r.ACL = append(r.ACL, FormatACL([]jute.ACL{a}))
	}
	if len(r.ACL) == 1 && r.ACL[0] == "world:anyone:cdrwa" {
		r.ACL = nil
	}
	if z.Stat.EphemeralOwner != 0 {
		r.Kind = KindEphemeral
	}
	return r
}

// parse checks a record and returns what it says.
func (r *Record) parse() (data []byte, acl []jute.ACL, err error) {
	if err := CheckPath(r.Path); err != nil {
		return nil, nil, err
	}
	switch {
	case r.Data != nil && r.Base64 != nil:
		return nil, nil, errors.New("data and base64: one of them")
	case r.Data != nil:
		data = []byte(*r.Data)
	case r.Base64 != nil:
		if data, err = base64.StdEncoding.DecodeString(*r.Base64); err != nil {
			return nil, nil, fmt.Errorf("base64: %w", err)
		}
	}
	acl = OpenACL()
	if len(r.ACL) > 0 {
		acl = nil
	}
	for _, text := range r.ACL {
		a, err := parseEntry(text)
		if err != nil {
			return nil, nil, err
		}
		acl = append(acl, a)
	}
	switch r.Kind {
	case "", "persistent", KindEphemeral, KindContainer:
	case KindTTL:
		if r.TTL <= 0 || r.TTL > jute.MaxTTL {
			return nil, nil, fmt.Errorf("ttl: %d ms is out of range", r.TTL)
		}
	default:
		return nil, nil, fmt.Errorf("kind: %q is none of persistent, ephemeral, container, ttl", r.Kind)
	}
	return data, acl, nil
}

// Dump writes a subtree as lines of JSON, parents first, and says how many. The servers' own /zookeeper is
// left out, and so are ephemeral znodes unless asked for. It is no snapshot: writes go on meanwhile.
func (c *Client) Dump(ctx context.Context, root string, ephemerals bool, w io.Writer) (int, error) {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	n := 0
	for z, err := range c.Walk(ctx, root, WalkConfig{Data: true, ACL: true, Skip: c.reserved}) {
		if err != nil {
			return n, errors.Join(err, out.Flush())
		}
		if z.Stat.EphemeralOwner != 0 && !ephemerals {
			continue
		}
		if err := lines.Encode(recordOf(z)); err != nil {
			return n, fmt.Errorf("zk: dump %s: %w", z.Path, err)
		}
		n++
	}
	if err := out.Flush(); err != nil {
		return n, fmt.Errorf("zk: dump %s: %w", root, err)
	}
	return n, nil
}

// Existing says what Restore does with a znode that is there already.
type Existing uint8

// The choices.
const (
	Refuse    Existing = iota // stop
	Keep                      // leave it as it is
	Overwrite                 // give it the data and the ACL of the record
)

// RestoreConfig says how to restore.
type RestoreConfig struct {
	To         string // put the first record's znode here, and the others below; default: where they were
	Existing   Existing
	Ephemerals bool // make persistent znodes of ephemeral ones, which are left out otherwise
	DryRun     bool // look, and change nothing
	Skip       int  // lines that were restored before
}

// Restored counts what became of the lines.
type Restored struct {
	Lines       int `json:"lines"` // done, with those skipped: where to go on
	Created     int `json:"created"`
	Kept        int `json:"kept"`
	Overwritten int `json:"overwritten"`
	LeftOut     int `json:"left_out"`
}

const (
	maxLine     = 64 << 20
	maxAttempts = 20 // of one record whose outcome a lost connection hides
)

// Restore makes the znodes of a dump, and what is missing above the first. Records go out many at a time; a
// lost connection is survived. If it stops, all before Restored.Lines is done, and Skip goes on from there.
func (c *Client) Restore(ctx context.Context, r io.Reader, cfg RestoreConfig) (Restored, error) {
	x := restore{client: c, cfg: cfg}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, batch), maxLine)
	line := 0
	for in.Scan() {
		line++
		if err := x.add(ctx, line, in.Bytes()); err != nil {
			return x.done, err
		}
	}
	if err := in.Err(); err != nil {
		return x.done, fmt.Errorf("zk: restore: line %d: %w", line+1, err)
	}
	return x.done, x.flush(ctx)
}

// restore is one under way.
type restore struct {
	client  *Client
	cfg     RestoreConfig
	from    string // the first record's path
	pending []*restoring
	done    Restored
}

// restoring is one record of a batch.
type restoring struct {
	line    int
	leave   bool // nothing to do
	create  jute.Request
	path    string
	calls   []*Call
	tries   int
	unknown bool // an attempt may have been carried out
	exists  bool
}

// add reads a line.
func (x *restore) add(ctx context.Context, line int, text []byte) error {
	bad := func(err error) error { return fmt.Errorf("zk: restore: line %d: %w", line, err) }
	if len(strings.TrimSpace(string(text))) == 0 {
		x.pending = append(x.pending, &restoring{line: line, leave: true})
		return nil
	}
	var rec Record
	if err := json.Unmarshal(text, &rec); err != nil {
		return bad(errors.Join(err, x.flush(ctx)))
	}
	data, acl, err := rec.parse()
	if err != nil {
		return bad(errors.Join(err, x.flush(ctx)))
	}
	first := x.from == ""
	if first {
		x.from = rec.Path
	}
	path := rec.Path
	if x.cfg.To != "" && below(x.from, path) {
		path = chroot(strings.TrimSuffix(x.cfg.To, "/")).full(chroot(strings.TrimSuffix(x.from, "/")).local(path))
	}
	p := &restoring{line: line, path: path, leave: line <= x.cfg.Skip || x.client.reserved(path)}
	p.create = createRequest(path, data, Persistent, acl)
	switch {
	case rec.Kind == KindEphemeral && !x.cfg.Ephemerals:
		p.leave = true
		x.done.LeftOut++
	case rec.Kind == KindContainer:
		p.create = createRequest(path, data, Container, acl)
	case rec.Kind == KindTTL:
		p.create = ttlRequest(path, data, 0, false, acl)
		p.create.TTL = rec.TTL
	}
	if above := Parent(path); first && above != path && !x.cfg.DryRun {
		if err := x.client.CreateAll(ctx, above, nil); err != nil {
			return bad(err)
		}
	}
	x.pending = append(x.pending, p)
	if len(x.pending) == 4*ahead {
		return x.flush(ctx)
	}
	return nil
}

// flush does what is pending, in order; it counts lines only as far as all before are done.
func (x *restore) flush(ctx context.Context) error {
	todo := x.pending
	x.pending = nil
	for len(todo) > 0 {
		for _, p := range todo {
			x.send(ctx, p)
		}
		var again []*restoring
		for _, p := range todo {
			retry, err := x.settle(ctx, p, len(again) > 0)
			if err != nil {
				return fmt.Errorf("zk: restore: line %d: %w", p.line, err)
			}
			if retry {
				again = append(again, p)
			} else if len(again) == 0 {
				x.done.Lines = p.line
			}
		}
		if len(again) == 0 {
			x.done.Lines = todo[len(todo)-1].line
		}
		todo = again
	}
	return nil
}

// send starts the requests for one record.
func (x *restore) send(ctx context.Context, p *restoring) {
	p.calls = p.calls[:0]
	c := x.client
	switch {
	case p.leave:
	case x.cfg.DryRun:
		p.calls = append(p.calls, c.Start(ctx, jute.Request{Op: jute.OpExists, Path: p.path}))
	case p.exists:
		p.calls = append(p.calls, c.Start(ctx, jute.Request{Op: jute.OpSetData, Path: p.path, Data: p.create.Data, Version: Any}),
			c.Start(ctx, jute.Request{Op: jute.OpSetACL, Path: p.path, ACL: p.create.ACL, Version: Any}))
	default:
		p.calls = append(p.calls, c.Start(ctx, p.create))
	}
}

// settle looks at the replies. retry says that the record has to be sent again: its outcome is not known, or
// what should be above it had to be, or it exists and shall be overwritten.
func (x *restore) settle(ctx context.Context, p *restoring, behind bool) (retry bool, err error) {
	for _, k := range p.calls {
		if _, e := k.Wait(ctx); e != nil && err == nil {
			err = e
		}
	}
	existed := errors.Is(err, jute.NodeExists)
	switch {
	case p.leave:
		return false, nil
	case x.cfg.DryRun && errors.Is(err, jute.NoNode):
		x.done.Created++
		return false, nil
	case x.cfg.DryRun && err == nil:
		existed = true
	case err == nil && p.exists:
		x.done.Overwritten++
		return false, nil
	case err == nil, existed && p.unknown:
		x.done.Created++
		return false, nil
	case Uncertain(err) && ctx.Err() == nil && p.tries < maxAttempts, errors.Is(err, jute.NoNode) && behind && p.tries < maxAttempts:
		p.tries++
		p.unknown = p.unknown || Uncertain(err)
		return true, nil
	}
	switch {
	case !existed:
		return false, err
	case x.cfg.Existing == Keep, x.cfg.Existing == Refuse && p.create.Path == "/": // the root always exists
		x.done.Kept++
		return false, nil
	case x.cfg.Existing == Refuse:
		return false, err
	case x.cfg.DryRun:
		x.done.Overwritten++
		return false, nil
	}
	p.exists = true
	return true, nil
}
