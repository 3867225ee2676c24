package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// MySQL reads the greeting; with a user it logs in, and with a role it asks whether the server takes
// writes: @@global.read_only is 0 on a primary and 1 on a replica.
func MySQL(ctx context.Context, c Config, target netip.AddrPort) error {
	tcp, err := dial(ctx, target)
	if err != nil {
		return err
	}
	defer tcp.Close()
	m := mysqlConn{Conn: tcp}
	if err := m.probe(c); err != nil {
		return fmt.Errorf("mysql %v: %w", target, cause(ctx, err))
	}
	return nil
}

func (m *mysqlConn) probe(c Config) error {
	packet, err := m.read()
	if err != nil {
		return err
	}
	g, err := parseGreeting(packet)
	if err != nil || c.User == "" {
		return err
	}
	if err := m.login(c, g); err != nil {
		return err
	}
	if c.Role != "" {
		readOnly, err := m.readOnly()
		if err != nil {
			return err
		}
		if role := map[bool]string{true: "replica", false: "primary"}[readOnly]; role != c.Role {
			return fmt.Errorf("role is %s (read_only=%t), want %s", role, readOnly, c.Role)
		}
	}
	return m.command(comQuit, "")
}

// login answers the greeting, follows one request to switch the plugin, and waits for OK.
func (m *mysqlConn) login(c Config, g greeting) error {
	plugin := g.Plugin
	if plugin != cachingSHA2 {
		plugin = nativePassword
	}
	if err := m.write(appendLogin(nil, c.User, plugin, scramble(plugin, c.Password, g.Nonce))); err != nil {
		return err
	}
	for range 4 {
		packet, err := m.read()
		if err != nil {
			return err
		}
		switch {
		case packet[0] == 0x00:
			return nil
		case packet[0] == 0xff:
			return parseError(packet)
		case packet[0] == 0xfe:
			plugin, nonce, err := parseSwitch(packet)
			if err != nil {
				return err
			}
			if err := m.write(scramble(plugin, c.Password, nonce)); err != nil {
				return err
			}
		case len(packet) == 2 && packet[0] == 0x01 && packet[1] == 3:
			// The password is in the server's cache; OK follows.
		case len(packet) == 2 && packet[0] == 0x01 && packet[1] == 4:
			return fmt.Errorf("user %q: %s wants an encrypted connection; give the probe a user with %s", c.User, cachingSHA2, nativePassword)
		default:
			return fmt.Errorf("login: packet of unknown type %#x", packet[0])
		}
	}
	return fmt.Errorf("login: no end")
}

// readOnly asks for the one variable that tells a primary from a replica.
func (m *mysqlConn) readOnly() (bool, error) {
	if err := m.command(comQuery, "SELECT @@global.read_only"); err != nil {
		return false, err
	}
	ends := 0
	for range 8 { // column count, one column, end, one row, end
		packet, err := m.read()
		if err != nil {
			return false, err
		}
		switch {
		case packet[0] == 0xff:
			return false, parseError(packet)
		case packet[0] == 0xfe && len(packet) < 9:
			ends++
		case ends == 1:
			return parseFlag(packet)
		}
	}
	return false, fmt.Errorf("read_only: no row")
}

// A mysqlConn frames packets: three bytes of length, one of sequence.
type mysqlConn struct {
	net.Conn
	seq byte
}

// maxMySQL bounds one packet; the longest awaited is an error of some hundred bytes.
const maxMySQL = 16 << 10

func (m *mysqlConn) read() ([]byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(m.Conn, h[:]); err != nil {
		return nil, err
	}
	n := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	if n == 0 || n > maxMySQL {
		return nil, fmt.Errorf("packet of %d bytes, want 1 to %d", n, maxMySQL)
	}
	m.seq = h[3] + 1
	b := make([]byte, n)
	_, err := io.ReadFull(m.Conn, b)
	return b, err
}

func (m *mysqlConn) write(body []byte) error {
	b := append([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), m.seq}, body...)
	m.seq++
	_, err := m.Conn.Write(b)
	return err
}

const (
	comQuit  = 1
	comQuery = 3
)

func (m *mysqlConn) command(op byte, text string) error {
	m.seq = 0
	return m.write(append([]byte{op}, text...))
}
