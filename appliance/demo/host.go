package demo

import (
	"context"
	"errors"
	"net/netip"
)

// A host is one of the two load balancers.
type host struct {
	cluster *cluster
	name    string
	index   int
	port    *port
}

const gossipPort = 7946

func (h *host) bind() netip.AddrPort { return h.cluster.beside(11+h.index, gossipPort) }
func (h *host) service() netip.AddrPort {
	return h.cluster.beside(11+h.index, h.cluster.Address.Port())
}

// priority makes the first host the first choice.
func (h *host) priority() int { return 200 - 100*h.index }

func (h *host) alive() bool                      { return false }
func (h *host) start() error                     { return errors.New("demo: not yet") }
func (h *host) kill() error                      { return nil }
func (h *host) stop()                            {}
func (h *host) release(context.Context) error    { return nil }
func (h *host) drain(netip.AddrPort, bool) error { return nil }
func (h *host) healthy() int                     { return 0 }
func (h *host) status() string                   { return "" }
