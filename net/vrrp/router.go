package vrrp

import (
	"net/netip"
	"time"
)

// A State is a state of RFC 9568, section 6.4, or one of the two this package
// adds.
type State uint8

const (
	Initialize State = iota // waits for Start
	Backup                  // watches the active router
	Active                  // owns the addresses
	Resigning               // has sent priority 0 and keeps the addresses until a successor is heard
	Faulty                  // cannot serve
)

func (s State) String() string {
	return [...]string{"initialize", "backup", "active", "resigning", "fault"}[s]
}

// A Router is the state machine of one virtual router.
type Router struct {
	cfg   Config
	state State
}

// New returns a router in Initialize. It panics if cfg cannot be a router's.
func New(cfg Config) *Router { return &Router{cfg: cfg.withDefaults()} }

// Step takes an event and says what to do about it.
func (r *Router) Step(now time.Time, ev Event) []Effect { return nil }

// Deadline is the latest time for the next Step; zero: never.
func (r *Router) Deadline() time.Time { return time.Time{} }

// State is the state.
func (r *Router) State() State { return r.state }

// Priority is the priority in use.
func (r *Router) Priority() uint8 { return r.cfg.Priority }

// Peer is the source of the last advertisement of another active router; zero
// if none was heard, or it resigned or fell silent.
func (r *Router) Peer() netip.Addr { return netip.Addr{} }
