// Package gossip decides who is alive.
package gossip

import (
	"math/rand/v2"
	"time"
)

// A Topic is a port of the protocol: who says something under it and what the
// bytes mean is between the riders.
type Topic uint8

// The topics in use.
const (
	Adverts Topic = 1 // net/vip: who holds which address
	Votes   Topic = 2 // consensus: leader election
	Summary Topic = 3 // what a host does, for status
)

// Limits.
const (
	MaxPacket = 1400 // bytes of a datagram
	MaxBody   = 1024 // bytes of one word under one topic
	MaxTopics = 8    // topics a host may ride
	MaxHosts  = 4096
	MaxKeys   = 8
	MaxName   = 128 // bytes of the name of a host or a cluster
)

// Config is what a Core needs to know.
type Config struct {
	Name    string // of this host, unique in the cluster
	Cluster string
	Keys    []Key    // the first seals, all open
	Boot    [16]byte // random, another at every start

	Interval time.Duration // between beats, 3 ms to 10 s
	Lost     int           // beats of silence that mean lost; default 3
	Mesh     int           // up to this many hosts everyone beats to everyone; default 16

	Rand *rand.Rand
}

// A Core is the machine.
type Core struct {
	cfg Config
}

// New returns a Core that knows nobody.
func New(cfg Config) (*Core, error) { return &Core{cfg: cfg}, nil }

// Step tells the machine the time and what happened; ev is nil if only time has passed.
func (c *Core) Step(now time.Time, ev Event) []Effect { return nil }

// Deadline is when Step wants to be called next, whatever happens; zero: never.
func (c *Core) Deadline() time.Time { return time.Time{} }

// Hosts returns the other hosts, sorted by name.
func (c *Core) Hosts() []Host { return nil }

// Counters returns the counters.
func (c *Core) Counters() Counters { return Counters{} }
