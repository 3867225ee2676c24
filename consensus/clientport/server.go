package clientport

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
)

// A Server is the port. Its methods may be called from anywhere but Flush, which is the member's.
type Server struct{}

// A Conn is one client's connection. What changes it is the member's to call, from one goroutine.
type Conn struct {
	id            uint64
	remote, local netip.AddrPort
	secure        bool
	certificates  []*x509.Certificate
}

func newServer(cfg Config, log *slog.Logger) (*Server, error) { return &Server{}, nil }

// Run accepts until ctx ends, and returns when every connection is closed.
func (s *Server) Run(ctx context.Context) error { return nil }

// Batches is what clients sent. It is never closed.
func (s *Server) Batches() <-chan Batch { return nil }

// Flush makes what the member did to its connections since the last Flush take effect. It does not block.
func (s *Server) Flush() {}

// Reload reads the certificates again; connections that exist keep theirs.
func (s *Server) Reload() error { return nil }

// Reasons is how many connections ended for each.
func (s *Server) Reasons() map[Reason]uint64 { return nil }

// Addrs are the addresses it listens on, plain ones first, in the order of Config.
func (s *Server) Addrs() []netip.AddrPort { return nil }

// Traffic counts all connections since the start.
func (s *Server) Traffic() Traffic { return Traffic{} }

// Write queues a copy of p.
func (c *Conn) Write(p []byte) {}

// Done says that n frames are answered, or will not be.
func (c *Conn) Done(n int) {}

// Close ends the connection once what is queued has been sent. Later calls, and later Writes, do nothing.
func (c *Conn) Close(reason Reason) {}

// Refuse is Close for a mistake of the client: it is logged, with why.
func (c *Conn) Refuse(reason Reason, why error) {}

// Abort ends the connection at once.
func (c *Conn) Abort(reason Reason) {}

// Traffic counts the connection's.
func (c *Conn) Traffic() Traffic { return Traffic{} }
