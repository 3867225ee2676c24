// Package arp announces IPv4 addresses: it tells the neighbours on a link, by
// gratuitous ARP (RFC 5227, section 3; RFC 826), that an address is now at our
// MAC address.
//
// Frames go out by a packet socket, so that nothing in the kernel, least of all
// whether the address is already on the interface, has a say in it. A frame is
// built in the Conn's own memory: announcing allocates nothing.
//
//	conn, err := arp.Open(ifindex)
//	...
//	err = conn.Announce(netip.MustParseAddr("192.0.2.1"), mac)
package arp

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// A Conn sends on one interface. It is for one goroutine.
type Conn struct {
	fd    int
	frame [headerLen + packetLen]byte
}

// Open opens a socket that sends on the interface; it receives nothing. It
// needs CAP_NET_RAW.
func Open(ifindex int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("arp: open packet socket: %w", os.NewSyscallError("socket", err))
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("arp: bind to interface %d: %w", ifindex, os.NewSyscallError("bind", err))
	}
	return &Conn{fd: fd}, nil
}

// Announce tells the neighbours that ip is at mac: once as a request and once
// as a reply, as some believe only the one or the other.
func (c *Conn) Announce(ip netip.Addr, mac [6]byte) error {
	if !ip.Unmap().Is4() {
		return fmt.Errorf("arp: announce %v: not an IPv4 address", ip)
	}
	for _, op := range [...]uint16{Request, Reply} {
		frame := appendHeader(c.frame[:0], mac)
		frame = AppendGratuitous(frame, op, mac, ip)
		if _, err := unix.Write(c.fd, frame); err != nil {
			return fmt.Errorf("arp: announce %v: %w", ip, err)
		}
	}
	return nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	if err := unix.Close(c.fd); err != nil {
		return fmt.Errorf("arp: close packet socket: %w", err)
	}
	return nil
}
