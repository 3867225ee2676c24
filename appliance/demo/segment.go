package demo

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"example.org/ha/net/vip"
)

// A segment stands where a switch and the neighbour caches of its hosts stand
// on a real network. It listens on the shared address and hands each
// connection to the host that last announced the address. Two hosts may hold
// the address for a moment, as in a planned handover, and one that died
// silently keeps the clients until another announces itself.
//
// One thing differs from Ethernet: a connection that was handed over stays
// with its host while that host lives.
type segment struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	answers *port // who announced last
	conns   map[net.Conn]struct{}
	closed  bool
}

// maxConns bounds what one segment carries; more are refused.
const maxConns = 1000

// newSegment listens on the shared address. Nothing is served before run.
func newSegment(addr netip.AddrPort) (*segment, error) {
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("demo: listen on the shared address: %w", err)
	}
	return &segment{listener: l, conns: make(map[net.Conn]struct{})}, nil
}

// run serves until close.
func (s *segment) run() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			s.wg.Wait()
			return
		}
		s.wg.Go(func() { s.carry(c) })
	}
}

func (s *segment) close() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
}

// A port is where one host is plugged in. It is the host's vip.Link.
type port struct {
	segment *segment
	host    string
	service netip.AddrPort // where the host's own balancer listens
	dead    bool           // unplugged: what it says is not heard
	held    bool
}

func (s *segment) plug(host string, service netip.AddrPort) *port {
	return &port{segment: s, host: host, service: service}
}

// unplug takes a dead host off the segment. Its neighbours still send to it.
func (p *port) unplug() {
	p.segment.mu.Lock()
	defer p.segment.mu.Unlock()
	p.dead, p.held = true, false
}

// Add lets the host accept what is sent to the address.
func (p *port) Add(vip.Config) error {
	p.segment.mu.Lock()
	defer p.segment.mu.Unlock()
	p.held = !p.dead
	return nil
}

// Remove ends that; who was announced stays announced.
func (p *port) Remove(vip.Config) error {
	p.segment.mu.Lock()
	defer p.segment.mu.Unlock()
	p.held = false
	return nil
}

// Announce points every neighbour here.
func (p *port) Announce(vip.Config) error {
	p.segment.mu.Lock()
	defer p.segment.mu.Unlock()
	if p.held {
		p.segment.answers = p
	}
	return nil
}

// holders names the hosts among ports that hold the address.
func (s *segment) holders(ports ...*port) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, p := range ports {
		if p.held {
			out = append(out, p.host)
		}
	}
	return out
}

// target is where a new connection goes, if anybody takes it.
func (s *segment) target() (netip.AddrPort, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil || !s.answers.held {
		return netip.AddrPort{}, false
	}
	return s.answers.service, true
}

func (s *segment) carry(client net.Conn) {
	defer client.Close()
	to, ok := s.target()
	if !ok || !s.track(client) {
		refuse(client)
		return
	}
	defer s.untrack(client)
	host, err := net.Dial("tcp", to.String())
	if err != nil {
		refuse(client)
		return
	}
	defer host.Close()
	var wg sync.WaitGroup
	wg.Go(func() { stream(host, client) })
	stream(client, host)
	wg.Wait()
}

// stream copies one direction and passes its end on.
func stream(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	to.(*net.TCPConn).CloseWrite()
}

// refuse closes with a reset, so that the client does not take it for an
// answer.
func refuse(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

func (s *segment) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConns {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *segment) untrack(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
