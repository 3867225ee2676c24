package adminport

import (
	"crypto/tls"
	"net"
	"sync"
)

// wrap puts TLS on a listener, as far as the port has it.
func (p *port) wrap(l net.Listener) net.Listener {
	switch {
	case p.tls == nil:
		return l
	case p.tlsOnly:
		return tls.NewListener(l, p.tls)
	}
	return unified{Listener: l, tls: p.tls}
}

// handshake is the first byte of a client that begins TLS; a request begins with a letter.
const handshake = 0x16

// A unified listener takes plain HTTP and HTTPS on one port.
type unified struct {
	net.Listener
	tls *tls.Config
}

func (u unified) Accept() (net.Conn, error) {
	c, err := u.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &eitherConn{Conn: c, config: u.tls}, nil
}

// An eitherConn finds out with its first byte what it is. Until then it has nothing to write, since an
// HTTP server waits for a request.
type eitherConn struct {
	net.Conn
	config *tls.Config
	once   sync.Once
	err    error
	inner  net.Conn
}

func (c *eitherConn) decide() {
	first := make([]byte, 1)
	if _, c.err = c.Conn.Read(first); c.err != nil {
		return
	}
	plain := &prefixConn{Conn: c.Conn, prefix: first}
	c.inner = plain
	if first[0] == handshake {
		c.inner = tls.Server(plain, c.config)
	}
}

func (c *eitherConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.once.Do(c.decide); c.err != nil {
		return 0, c.err
	}
	return c.inner.Read(p)
}

func (c *eitherConn) Write(p []byte) (int, error) {
	if c.once.Do(c.decide); c.err != nil {
		return 0, c.err
	}
	return c.inner.Write(p)
}

// A prefixConn gives back what was read too early.
type prefixConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixConn) Read(p []byte) (int, error) {
	if len(c.prefix) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.prefix)
	c.prefix = c.prefix[n:]
	return n, nil
}
