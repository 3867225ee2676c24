package heartbeat

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"example.org/ha/net/gossip"
)

// Status is an immutable snapshot of a node.
type Status struct {
	Name     string          `json:"name"`
	Cluster  string          `json:"cluster"`
	Bind     netip.AddrPort  `json:"bind"`
	Hosts    []gossip.Host   `json:"hosts"`
	Counters gossip.Counters `json:"counters"`
}

// A Node runs the gossip core on a loop.
type Node struct{}

var errNotYet = errors.New("heartbeat: not implemented")

// NewNode binds the socket and adds the node to the loop.
func NewNode(cfg Config, name string, keys []gossip.Key, loop *Loop, log *slog.Logger) (*Node, error) {
	return nil, errNotYet
}

// Join takes the seat of a topic; before the loop runs.
func (n *Node) Join(t gossip.Topic) *Rider { return newRider(n, t) }

// Run is the slow half: it resolves the join list until ctx ends.
func (n *Node) Run(ctx context.Context) error { return errNotYet }

// Apply changes the configuration of a running node.
func (n *Node) Apply(cfg Config, keys []gossip.Key) error { return errNotYet }

// Status returns the latest snapshot.
func (n *Node) Status() Status { return Status{} }

// Leave tells the others that this host goes.
func (n *Node) Leave() {}

// FDs, Deadline and Wake make the Node a Part.
func (n *Node) FDs() []int          { return nil }
func (n *Node) Deadline() time.Time { return time.Time{} }
func (n *Node) Wake(now time.Time)  {}
func (n *Node) post()               {}
