// Package ndp announces IPv6 addresses: it tells the neighbours on a link, by
// unsolicited neighbour advertisement (RFC 4861, section 7.2.6), that an address
// is now at our MAC address.
//
// Frames go out by a packet socket, with the announced address as their source:
// the kernel would not let an ordinary socket use it before it is added, nor
// while it is tentative. A frame is built in the Conn's own memory: announcing
// allocates nothing.
//
//	conn, err := ndp.Open(ifindex)
//	...
//	err = conn.Announce(netip.MustParseAddr("2001:db8::1"), mac, false)
package ndp

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// A Conn sends on one interface. It is for one goroutine.
type Conn struct {
	fd    int
	frame [frameLen]byte
}

// Open opens a socket that sends on the interface; it receives nothing. It
// needs CAP_NET_RAW.
func Open(ifindex int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("ndp: open packet socket: %w", os.NewSyscallError("socket", err))
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("ndp: bind to interface %d: %w", ifindex, os.NewSyscallError("bind", err))
	}
	return &Conn{fd: fd}, nil
}

// Announce tells the neighbours that ip is at mac. Set router if this host
// forwards on the link: neighbours drop a default route through an address whose
// advertisement says otherwise.
func (c *Conn) Announce(ip netip.Addr, mac [6]byte, router bool) error {
	if !ip.Is6() || ip.Is4In6() {
		return fmt.Errorf("ndp: announce %v: not an IPv6 address", ip)
	}
	if _, err := unix.Write(c.fd, AppendFrame(c.frame[:0], ip, mac, router)); err != nil {
		return fmt.Errorf("ndp: announce %v: %w", ip, err)
	}
	return nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	if err := unix.Close(c.fd); err != nil {
		return fmt.Errorf("ndp: close packet socket: %w", err)
	}
	return nil
}
