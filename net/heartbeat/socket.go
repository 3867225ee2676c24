package heartbeat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many packets one recvmmsg takes. A call that returns
	// fewer has emptied the socket, which saves the call that says so.
	batch = 16

	// packetRoom is above what any beat has, so that a longer packet is
	// seen to be one.
	packetRoom = 2048

	// receiveBuffer holds some thousands of beats: what arrives while the
	// host stands still must not push out the newest.
	receiveBuffer = 4 << 20

	classCS6   = 48 << 2 // DSCP CS6, network control, as a TOS byte
	priority   = 7       // TC_PRIO_CONTROL; more than 6 needs CAP_NET_ADMIN
	priorityOK = 6
)

// mmsghdr is the kernel's struct mmsghdr on 64-bit machines.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// A socket is a UDP socket used by raw, non-blocking system calls on buffers
// it keeps: the calls of package net park the goroutine in the runtime's
// poller, and those of x/sys/unix allocate an address a packet.
type socket struct {
	fd     int
	v6     bool
	dual   bool // an IPv6 socket that also speaks IPv4
	local  netip.AddrPort
	closed atomic.Bool

	msgs  [batch]mmsghdr
	iovs  [batch]unix.Iovec
	names [batch]unix.RawSockaddrInet6 // large enough for both families
	bufs  [batch][packetRoom]byte

	to4 unix.RawSockaddrInet4
	to6 unix.RawSockaddrInet6
}

func openSocket(bind netip.AddrPort) (*socket, error) {
	s := &socket{v6: bind.Addr().Is6() && !bind.Addr().Is4In6()}
	s.dual = s.v6 && bind.Addr().IsUnspecified()
	family := unix.AF_INET
	if s.v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("heartbeat: open socket: %w", err)
	}
	s.fd = fd
	if err := s.bind(bind); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("heartbeat: bind %v: %w", bind, err)
	}
	for i := range s.msgs {
		s.iovs[i].Base = &s.bufs[i][0]
		s.iovs[i].SetLen(packetRoom)
		s.msgs[i].hdr.Iov = &s.iovs[i]
		s.msgs[i].hdr.SetIovlen(1)
		s.msgs[i].hdr.Name = (*byte)(unsafe.Pointer(&s.names[i]))
	}
	return s, nil
}

func (s *socket) bind(bind netip.AddrPort) error {
	s.options()
	if s.v6 {
		only := 1
		if s.dual {
			only = 0
		}
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return err
		}
		sa := &unix.SockaddrInet6{Port: int(bind.Port()), Addr: bind.Addr().As16(), ZoneId: zoneIndex(bind.Addr().Zone())}
		if err := unix.Bind(s.fd, sa); err != nil {
			return err
		}
	} else if err := unix.Bind(s.fd, &unix.SockaddrInet4{Port: int(bind.Port()), Addr: bind.Addr().Unmap().As4()}); err != nil {
		return err
	}
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	port := bind.Port()
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		port = uint16(sa.Port)
	case *unix.SockaddrInet6:
		port = uint16(sa.Port)
	}
	s.local = netip.AddrPortFrom(bind.Addr().Unmap(), port)
	return nil
}

// options asks for the network's best service. None of it is needed to work,
// and what needs a capability this process lacks is done without.
func (s *socket) options() {
	// The class first: setting it sets the priority too.
	if s.v6 {
		unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, classCS6)
	}
	if !s.v6 || s.dual {
		unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_TOS, classCS6)
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priority) != nil {
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priorityOK)
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
}

// close is idempotent.
func (s *socket) close() {
	if !s.closed.Swap(true) {
		unix.Close(s.fd)
	}
}

// receive takes up to batch packets and returns how many; see packet.
func (s *socket) receive() int {
	for i := range s.msgs {
		s.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
		s.msgs[i].hdr.Flags = 0
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[0])), batch,
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		// EAGAIN: empty. Others (EINTR, ENOBUFS) pass by themselves.
		return 0
	}
	return int(n)
}

// packet returns the i-th packet of the latest receive; ok is false when it
// was longer than any beat. The bytes are good until the next receive.
func (s *socket) packet(i int) (from netip.AddrPort, b []byte, ok bool) {
	m := &s.msgs[i]
	ok = m.hdr.Flags&unix.MSG_TRUNC == 0
	return s.from(&s.names[i]), s.bufs[i][:min(int(m.n), packetRoom)], ok
}

func (s *socket) from(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), swap16(v4.Port))
	}
	a := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && a.IsLinkLocalUnicast() && a.Is6() {
		a = a.WithZone(strconv.Itoa(int(name.Scope_id)))
	}
	return netip.AddrPortFrom(a, swap16(name.Port))
}

// reaches tells whether the socket can send to the family of a.
func (s *socket) reaches(a netip.Addr) bool { return s.dual || s.v6 == (a.Is6() && !a.Is4In6()) }

// send returns 0 when the packet went to the kernel.
func (s *socket) send(to netip.AddrPort, packet []byte) syscall.Errno {
	if len(packet) == 0 || !s.reaches(to.Addr()) {
		return unix.EAFNOSUPPORT
	}
	var name unsafe.Pointer
	var size uintptr
	if s.v6 {
		s.to6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swap16(to.Port()), Addr: to.Addr().As16()}
		if to.Addr().IsLinkLocalUnicast() && to.Addr().Is6() {
			s.to6.Scope_id = zoneIndex(to.Addr().Zone())
		}
		name, size = unsafe.Pointer(&s.to6), unix.SizeofSockaddrInet6
	} else {
		s.to4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swap16(to.Port()), Addr: to.Addr().Unmap().As4()}
		name, size = unsafe.Pointer(&s.to4), unix.SizeofSockaddrInet4
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(name), size)
	return errno
}

// swap16 turns the port of a sockaddr, which is in network order, into the
// machine's order and back; both machines we build for are little-endian.
func swap16(p uint16) uint16 { return p<<8 | p>>8 }

// zoneIndex reads a zone as withZoneIndex wrote it.
func zoneIndex(zone string) uint32 {
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// withZoneIndex replaces the name of a link-local address's interface by its
// index, which the loop can use without asking the kernel.
func withZoneIndex(a netip.AddrPort) (netip.AddrPort, error) {
	zone := a.Addr().Zone()
	if zone == "" || zoneIndex(zone) != 0 {
		return a, nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return a, fmt.Errorf("heartbeat: find interface %q of %v: %w", zone, a, err)
	}
	return netip.AddrPortFrom(a.Addr().WithZone(strconv.Itoa(i.Index)), a.Port()), nil
}

// defaultBind chooses the address others are most likely to reach us at.
func defaultBind(join []target) (netip.AddrPort, error) {
	for _, t := range join {
		if t.kind != literal {
			continue
		}
		// Connecting a UDP socket sends nothing; it only looks up the route.
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(t.addr))
		if err != nil {
			continue
		}
		local := c.LocalAddr().(*net.UDPAddr).AddrPort()
		c.Close()
		return netip.AddrPortFrom(local.Addr().Unmap(), DefaultPort), nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("heartbeat: list addresses: %w", err)
	}
	var global netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		if p.Addr().IsPrivate() {
			return netip.AddrPortFrom(p.Addr(), DefaultPort), nil
		}
		if !global.IsValid() {
			global = p.Addr()
		}
	}
	if !global.IsValid() {
		return netip.AddrPort{}, errors.New("heartbeat: choose bind: this host has no address but loopback; set cluster.bind")
	}
	return netip.AddrPortFrom(global, DefaultPort), nil
}
