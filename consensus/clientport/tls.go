package clientport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// A wire is what TLS believes to be the socket. What it writes lies down in Conn.cipher and is sent
// without blocking, like everything else; so neither the member nor the flusher can be held up by a record.
type wire struct {
	conn *Conn
	head []byte // read before it was known to be TLS
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.head) > 0 {
		n := copy(p, w.head)
		w.head = w.head[n:]
		return n, nil
	}
	return w.conn.nc.Read(p)
}

func (w *wire) Write(p []byte) (int, error) {
	c := w.conn
	c.mu.Lock()
	if c.gone || len(c.cipher) > c.server.cfg.MaxBacklog {
		c.mu.Unlock()
		return 0, net.ErrClosed
	}
	c.cipher = append(c.cipher, p...)
	start := !c.busy
	c.busy = true
	c.mu.Unlock()
	if start { // else whoever is busy looks again
		c.server.flusher.push(c)
	}
	return len(p), nil
}

// The deadlines that TLS would set are for writes that block.
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (w *wire) LocalAddr() net.Addr  { return w.conn.nc.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr { return w.conn.nc.RemoteAddr() }

// Close is not TLS's to do: the reader ends the connection.
func (w *wire) Close() error { return nil }

// handshake begins TLS, whose first bytes may be in head.
func (c *Conn) handshake() (*tls.Conn, error) {
	t := tls.Server(&wire{conn: c, head: c.head}, c.server.keys.config())
	c.head = nil
	shaken := make(chan error)
	go func() { shaken <- t.Handshake() }() // which needs a large stack, and the reader would keep it
	if err := <-shaken; err != nil {
		return nil, shakeError(err)
	}
	if shown := t.ConnectionState().PeerCertificates; len(shown) > 0 {
		if c.server.cfg.TLS.VerifyHost {
			if err := verifyHost(shown[0], c.remote.Addr()); err != nil {
				return nil, fmt.Errorf("%w: %w", TLSHandshake, err)
			}
		}
		c.certificates = shown
	}
	c.secure = true
	c.mu.Lock()
	c.tls = t
	c.mu.Unlock()
	return t, nil
}

// shakeError says what it means that a handshake ended. A client that left says nothing about TLS.
func shakeError(err error) error {
	if r, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if sniff(r.RecordHeader[:], 0) == http {
			return HTTPRequest
		}
		return PlainOnTLSPort
	}
	if isEOF(err) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	return fmt.Errorf("%w: %w", TLSHandshake, err)
}

// encrypt turns what is pending into cipher. mu is held, but not while TLS works.
func (c *Conn) encrypt() {
	p := c.pending
	c.pending = nil
	c.mu.Unlock()
	_, err := c.tls.Write(p)
	c.server.buffers.put(p)
	if err != nil {
		c.stopNow(&end{reason: ConnectionLost})
	}
	c.mu.Lock()
}
