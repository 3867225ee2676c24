package zk

import (
	"context"
	"errors"
	"iter"
	"slices"

	"example.org/ha/consensus/jute"
)

// A Znode is one of a subtree, as it was when Walk came by.
type Znode struct {
	Path string
	Stat jute.Stat
	Data []byte     // if asked for
	ACL  []jute.ACL // if asked for
}

// WalkConfig says what Walk reads.
type WalkConfig struct {
	Data, ACL bool
	Skip      func(path string) bool // leaves out a znode and all below
}

// visit is a znode that a walk has still to come by.
type visit struct {
	path                string
	children, data, acl *Call // nil: not asked for yet
}

// ahead is how many znodes a walk asks for before their turn.
const ahead = 128

// Walk goes through a subtree, parents before their children and those in order of their names. It asks ahead,
// so that a large subtree takes few round trips. What changes meanwhile may be seen before or after; a znode
// that goes away is left out, unless it is the first.
func (c *Client) Walk(ctx context.Context, root string, cfg WalkConfig) iter.Seq2[Znode, error] {
	return func(yield func(Znode, error) bool) {
		stack := []*visit{{path: root}}
		for len(stack) > 0 {
			c.ask(ctx, stack, cfg)
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			z, names, err := v.take(ctx)
			switch {
			case errors.Is(err, jute.NoNode) && v.path != root:
				continue
			case err != nil:
				yield(Znode{Path: v.path}, err)
				return
			case !yield(z, nil):
				return
			}
			slices.Sort(names)
			for _, name := range slices.Backward(names) {
				if path := Join(v.path, name); cfg.Skip == nil || !cfg.Skip(path) {
					stack = append(stack, &visit{path: path})
				}
			}
		}
	}
}

// ask starts the reads of the next visits.
func (c *Client) ask(ctx context.Context, stack []*visit, cfg WalkConfig) {
	for i := len(stack) - 1; i >= max(0, len(stack)-ahead); i-- {
		v := stack[i]
		if v.children != nil {
			continue
		}
		v.children = c.Start(ctx, jute.Request{Op: jute.OpGetChildren2, Path: v.path})
		if cfg.Data {
			v.data = c.Start(ctx, jute.Request{Op: jute.OpGetData, Path: v.path})
		}
		if cfg.ACL {
			v.acl = c.Start(ctx, jute.Request{Op: jute.OpGetACL, Path: v.path})
		}
	}
}

func (v *visit) take(ctx context.Context) (Znode, []string, error) {
	z := Znode{Path: v.path}
	r, err := v.children.Wait(ctx)
	if err != nil {
		return z, nil, err
	}
	names := r.Children
	z.Stat = r.Stat
	if v.data != nil {
		if r, err = v.data.Wait(ctx); err != nil {
			return z, nil, err
		}
		z.Data, z.Stat = r.Data, r.Stat
	}
	if v.acl != nil {
		if r, err = v.acl.Wait(ctx); err != nil {
			return z, nil, err
		}
		z.ACL = r.ACL
	}
	return z, names, nil
}

// DeleteAll removes a znode and all below it, and says how many those were. What others create below it
// meanwhile makes it fail with jute.NotEmpty.
func (c *Client) DeleteAll(ctx context.Context, root string) (int, error) {
	var paths []string
	for z, err := range c.Walk(ctx, root, WalkConfig{Skip: c.reserved}) {
		if err != nil {
			return 0, err
		}
		paths = append(paths, z.Path)
	}
	if c.root.full(root) == "/" {
		paths = paths[1:] // it stays
	}
	// A session's requests are carried out in order: children go before their parents without waiting.
	deleted := 0
	slices.Reverse(paths)
	for part := range slices.Chunk(paths, ahead) {
		calls := make([]*Call, len(part))
		for i, path := range part {
			calls[i] = c.Start(ctx, jute.Request{Op: jute.OpDelete, Path: path, Version: Any})
		}
		for _, k := range calls {
			switch _, err := k.Wait(ctx); {
			case err == nil:
				deleted++
			case !errors.Is(err, jute.NoNode):
				return deleted, err
			}
		}
	}
	return deleted, nil
}

// reserved is the subtree that belongs to the servers.
func (c *Client) reserved(path string) bool { return below("/zookeeper", c.root.full(path)) }
