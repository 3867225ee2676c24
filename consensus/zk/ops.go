package zk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.org/ha/consensus/jute"
)

// A CreateMode says how long a znode lives and whether the server numbers it.
type CreateMode int32

// The modes of Create; CreateTTL has two of its own.
const (
	Persistent          = CreateMode(jute.FlagPersistent)
	Ephemeral           = CreateMode(jute.FlagEphemeral)  // deleted with the session
	Sequential          = CreateMode(jute.FlagSequential) // the name gets ten digits, more than all before
	EphemeralSequential = CreateMode(jute.FlagEphemeralSequential)
	Container           = CreateMode(jute.FlagContainer) // deleted some time after its last child
)

// Any is the version that matches every version.
const Any int32 = -1

// do sends a request and waits for its reply.
func (c *Client) do(ctx context.Context, r jute.Request) (Reply, error) {
	return c.Start(ctx, r).Wait(ctx)
}

// watched is do with a watch, to be set by the reply.
func (c *Client) watched(ctx context.Context, r jute.Request) (Reply, *OneShot, error) {
	path := r.Path
	err := c.translate(&r)
	if err == nil {
		err = c.watches.reserve()
	}
	if err != nil {
		return Reply{}, nil, &Error{Op: r.Op, Path: path, Part: -1, Err: err}
	}
	o := &OneShot{path: r.Path, c: make(chan Event, 1), watches: c.watches}
	reply, err := c.start(ctx, r, path, o).Wait(ctx)
	return reply, o, err
}

// Create makes a znode and returns its path, which differs from the one given if mode is sequential. No acl
// means OpenACL.
func (c *Client) Create(ctx context.Context, path string, data []byte, mode CreateMode, acl []jute.ACL) (string, jute.Stat, error) {
	return c.created(c.do(ctx, createRequest(path, data, mode, acl)))
}

// CreateTTL makes a znode that is deleted when it was not changed for ttl and has no children. Servers need
// extended types switched on.
func (c *Client) CreateTTL(ctx context.Context, path string, data []byte, ttl time.Duration, sequential bool, acl []jute.ACL) (string, jute.Stat, error) {
	return c.created(c.do(ctx, ttlRequest(path, data, ttl, sequential, acl)))
}

func (c *Client) created(r Reply, err error) (string, jute.Stat, error) {
	if err != nil {
		return "", jute.Stat{}, err
	}
	return c.root.local(r.Path), r.Stat, nil
}

func createRequest(path string, data []byte, mode CreateMode, acl []jute.ACL) jute.Request {
	r := jute.Request{Op: jute.OpCreate2, Path: path, Data: data, Flags: int32(mode), ACL: acl}
	if mode == Container {
		r.Op = jute.OpCreateContainer
	}
	if acl == nil {
		r.ACL = OpenACL()
	}
	return r
}

func ttlRequest(path string, data []byte, ttl time.Duration, sequential bool, acl []jute.ACL) jute.Request {
	r := createRequest(path, data, CreateMode(jute.FlagTTL), acl)
	r.Op, r.TTL = jute.OpCreateTTL, ttl.Milliseconds()
	if sequential {
		r.Flags = jute.FlagTTLSequential
	}
	return r
}

// CreateAll makes path and what is missing above it, without data. What exists is left alone; with a chroot
// that includes the chroot itself.
func (c *Client) CreateAll(ctx context.Context, path string, acl []jute.ACL) error {
	if err := CheckPath(path); err != nil {
		return &Error{Op: jute.OpCreate2, Path: path, Part: -1, Err: err}
	}
	return c.createAll(ctx, c.root.full(path), acl)
}

// createAll has the server's path. It goes up only as far as it has to: above there may be no permission.
func (c *Client) createAll(ctx context.Context, full string, acl []jute.ACL) error {
	create := func() error {
		_, err := c.start(ctx, createRequest(full, nil, Persistent, acl), c.root.local(full), nil).Wait(ctx)
		return err
	}
	err := create()
	if errors.Is(err, jute.NoNode) && full != "/" {
		if err := c.createAll(ctx, Parent(full), acl); err != nil {
			return err
		}
		err = create()
	}
	if errors.Is(err, jute.NodeExists) {
		return nil
	}
	return err
}

// Delete removes a znode that has no children, if it is at version or version is Any.
func (c *Client) Delete(ctx context.Context, path string, version int32) error {
	_, err := c.do(ctx, jute.Request{Op: jute.OpDelete, Path: path, Version: version})
	return err
}

// Exists returns a znode's Stat, and whether there is one.
func (c *Client) Exists(ctx context.Context, path string) (jute.Stat, bool, error) {
	return exists(c.do(ctx, jute.Request{Op: jute.OpExists, Path: path}))
}

// ExistsW is Exists with a watch: for the creation of a znode that is not there, for a change or the
// deletion of one that is.
func (c *Client) ExistsW(ctx context.Context, path string) (jute.Stat, bool, *OneShot, error) {
	r, o, err := c.watched(ctx, jute.Request{Op: jute.OpExists, Path: path})
	st, ok, err := exists(r, err)
	return st, ok, o, err
}

func exists(r Reply, err error) (jute.Stat, bool, error) {
	if errors.Is(err, jute.NoNode) {
		return jute.Stat{}, false, nil
	}
	return r.Stat, err == nil, err
}

// Get returns a znode's data, nil if it was created without.
func (c *Client) Get(ctx context.Context, path string) ([]byte, jute.Stat, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpGetData, Path: path})
	return r.Data, r.Stat, err
}

// GetW is Get with a watch for the change of the data or the deletion.
func (c *Client) GetW(ctx context.Context, path string) ([]byte, jute.Stat, *OneShot, error) {
	r, o, err := c.watched(ctx, jute.Request{Op: jute.OpGetData, Path: path})
	return r.Data, r.Stat, o, err
}

// Set replaces the data of a znode, if it is at version or version is Any.
func (c *Client) Set(ctx context.Context, path string, data []byte, version int32) (jute.Stat, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpSetData, Path: path, Data: data, Version: version})
	return r.Stat, err
}

// ACL returns who may do what.
func (c *Client) ACL(ctx context.Context, path string) ([]jute.ACL, jute.Stat, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpGetACL, Path: path})
	return r.ACL, r.Stat, err
}

// SetACL replaces who may do what, if the ACL is at version (Stat.Aversion) or version is Any.
func (c *Client) SetACL(ctx context.Context, path string, acl []jute.ACL, version int32) (jute.Stat, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpSetACL, Path: path, ACL: acl, Version: version})
	return r.Stat, err
}

// Children returns the names of a znode's children, in no order.
func (c *Client) Children(ctx context.Context, path string) ([]string, jute.Stat, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpGetChildren2, Path: path})
	return r.Children, r.Stat, err
}

// ChildrenW is Children with a watch for the creation and deletion of children, or of the znode itself.
func (c *Client) ChildrenW(ctx context.Context, path string) ([]string, jute.Stat, *OneShot, error) {
	r, o, err := c.watched(ctx, jute.Request{Op: jute.OpGetChildren2, Path: path})
	return r.Children, r.Stat, o, err
}

// Sync waits until the server has everything that was written, by anybody, before it was asked. Reads after
// it are as new as that.
func (c *Client) Sync(ctx context.Context, path string) error {
	_, err := c.do(ctx, jute.Request{Op: jute.OpSync, Path: path})
	return err
}

// Ephemerals returns the paths under prefix of the ephemeral znodes of this session.
func (c *Client) Ephemerals(ctx context.Context, prefix string) ([]string, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpGetEphemerals, Path: prefix})
	for i, path := range r.Paths {
		r.Paths[i] = c.root.local(path)
	}
	return r.Paths, err
}

// Descendants counts the znodes below path.
func (c *Client) Descendants(ctx context.Context, path string) (int, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpGetAllChildren, Path: path})
	return r.Count, err
}

// WhoAmI returns the identities that the server takes this connection for; of digest only the user.
func (c *Client) WhoAmI(ctx context.Context) ([]jute.ID, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpWhoAmI})
	return r.IDs, err
}

// AddAuth proves another identity, now and on every connection to come. A proof that is refused ends the
// client, for the server closes the connection and would close every other.
func (c *Client) AddAuth(ctx context.Context, scheme string, proof []byte) error {
	a := &authCall{auth: Auth{Scheme: scheme, Proof: proof}, done: make(chan struct{})}
	err := c.pipe.prove(a)
	if err == nil {
		select {
		case <-a.done:
			err = a.err
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return &Error{Op: jute.OpAuth, Path: scheme, Part: -1, Err: err}
	}
	return nil
}

// configPath is outside every chroot.
const configPath = "/zookeeper/config"

// Members returns the text that describes the ensemble, as its members last agreed.
func (c *Client) Members(ctx context.Context) (string, jute.Stat, error) {
	r, err := c.start(ctx, jute.Request{Op: jute.OpGetData, Path: configPath}, configPath, nil).Wait(ctx)
	return string(r.Data), r.Stat, err
}

// Reconfig changes the ensemble and returns the text that describes it then. m.ConfigID is the version the
// change builds upon, or -1.
func (c *Client) Reconfig(ctx context.Context, m jute.Members) (string, jute.Stat, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpReconfig, Members: &m})
	return string(r.Data), r.Stat, err
}

// A Multi is a list of changes that are carried out all or none, in one transaction.
type Multi struct{ parts []jute.Request }

// Create adds what Client.Create does.
func (m *Multi) Create(path string, data []byte, mode CreateMode, acl []jute.ACL) {
	m.parts = append(m.parts, createRequest(path, data, mode, acl))
}

// CreateTTL adds what Client.CreateTTL does.
func (m *Multi) CreateTTL(path string, data []byte, ttl time.Duration, sequential bool, acl []jute.ACL) {
	m.parts = append(m.parts, ttlRequest(path, data, ttl, sequential, acl))
}

// Delete adds what Client.Delete does.
func (m *Multi) Delete(path string, version int32) {
	m.parts = append(m.parts, jute.Request{Op: jute.OpDelete, Path: path, Version: version})
}

// Set adds what Client.Set does.
func (m *Multi) Set(path string, data []byte, version int32) {
	m.parts = append(m.parts, jute.Request{Op: jute.OpSetData, Path: path, Data: data, Version: version})
}

// Check lets the others happen only if the znode is at version.
func (m *Multi) Check(path string, version int32) {
	m.parts = append(m.parts, jute.Request{Op: jute.OpCheck, Path: path, Version: version})
}

// Len is the number of parts.
func (m *Multi) Len() int { return len(m.parts) }

// Request is the multi as Start takes it.
func (m *Multi) Request() jute.Request { return jute.Request{Op: jute.OpMulti, Ops: m.parts} }

// Multi carries m out. The error names the part that was refused; then none of them happened.
func (c *Client) Multi(ctx context.Context, m *Multi) ([]MultiResult, error) {
	r, err := c.do(ctx, m.Request())
	if err != nil {
		return nil, err
	}
	if part, code := failed(r.Results); part >= 0 {
		e := &Error{Op: jute.OpMulti, Part: part, Sent: true, Err: code}
		if part < len(m.parts) {
			e.Op, e.Path = m.parts[part].Op, m.parts[part].Path
		}
		return r.Results, e
	}
	if len(r.Results) != len(m.parts) {
		return nil, &Error{Op: jute.OpMulti, Part: -1, Sent: true, Err: fmt.Errorf("%w: %d results of %d parts", ErrProtocol, len(r.Results), len(m.parts))}
	}
	for i := range r.Results {
		if p := r.Results[i].Path; p != "" {
			r.Results[i].Path = c.root.local(p)
		}
	}
	return r.Results, nil
}

// A MultiRead is a list of reads that see the same state.
type MultiRead struct{ parts []jute.Request }

// Get adds what Client.Get does.
func (m *MultiRead) Get(path string) {
	m.parts = append(m.parts, jute.Request{Op: jute.OpGetData, Path: path})
}

// Children adds the names of a znode's children.
func (m *MultiRead) Children(path string) {
	m.parts = append(m.parts, jute.Request{Op: jute.OpGetChildren, Path: path})
}

// MultiRead reads all of m at once. Each result has its own error.
func (c *Client) MultiRead(ctx context.Context, m *MultiRead) ([]MultiResult, error) {
	r, err := c.do(ctx, jute.Request{Op: jute.OpMultiRead, Ops: m.parts})
	if err != nil {
		return nil, err
	}
	if len(r.Results) != len(m.parts) {
		return nil, &Error{Op: jute.OpMultiRead, Part: -1, Sent: true, Err: fmt.Errorf("%w: %d results of %d parts", ErrProtocol, len(r.Results), len(m.parts))}
	}
	for i := range r.Results {
		if code := r.Results[i].Err; code != nil {
			r.Results[i].Err = &Error{Op: m.parts[i].Op, Path: m.parts[i].Path, Part: -1, Sent: true, Err: code}
		}
	}
	return r.Results, nil
}
