package vip

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.org/ha/net/vrrp"
)

// A port speaks IP protocol 112 in one address family on one interface, for
// all VIPs there. It is made off the loop, since joining a multicast group
// waits for the kernel's configuration lock, and then belongs to the loop
// thread, which uses it with raw non-blocking system calls and buffers that
// never move.
type port struct {
	name  string
	index int
	v6    bool
	local netip.Addr // the source of what we send; never a virtual address
	fd    int
	err   error // why it could not be opened
	legs  [256]*leg

	in  inbound
	out outbound
}

type inbound struct {
	msg  unix.Msghdr
	iov  unix.Iovec
	from [unix.SizeofSockaddrInet6]byte
	ctl  [128]byte
	buf  [2048]byte
}

type outbound struct {
	msg unix.Msghdr
	iov unix.Iovec
	to4 unix.RawSockaddrInet4
	to6 unix.RawSockaddrInet6
	ctl [64]byte
	n   int // of ctl
	buf []byte
}

const (
	dscpCS6      = 0xc0
	soPriority   = 7
	maxDrain     = 512 // packets of one round: the rest waits for the next
	headerLenIP4 = 20

	receiveBuffer = 2 << 20
)

func openPort(name string, index int, v6 bool, local netip.Addr) *port {
	p := &port{name: name, index: index, v6: v6, local: local, fd: -1}
	if err := p.open(); err != nil {
		p.close()
		p.err = fmt.Errorf("vip: open vrrp socket on %s: %w", name, err)
	}
	p.prepare()
	return p
}

func (p *port) open() (err error) {
	family := unix.AF_INET
	if p.v6 {
		family = unix.AF_INET6
	}
	p.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, vrrp.Protocol)
	if err != nil {
		return err
	}
	set := func(level, option, value int) {
		if err == nil {
			err = unix.SetsockoptInt(p.fd, level, option, value)
		}
	}
	// 255 routers speak at once, and again before a host that stood still reads.
	if unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err = unix.BindToDevice(p.fd, p.name); err != nil {
		return err
	}
	if p.v6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0)
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, vrrp.TTL)
		set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, vrrp.TTL)
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, p.index)
		set(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscpCS6)
		set(unix.SOL_SOCKET, unix.SO_PRIORITY, soPriority)
		if err == nil {
			group := vrrp.GroupIPv6().As16()
			err = unix.SetsockoptIPv6Mreq(p.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
				&unix.IPv6Mreq{Multiaddr: group, Interface: uint32(p.index)})
		}
		return err
	}
	set(unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0)
	set(unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, vrrp.TTL)
	set(unix.IPPROTO_IP, unix.IP_TTL, vrrp.TTL)
	set(unix.IPPROTO_IP, unix.IP_TOS, dscpCS6)
	set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	set(unix.SOL_SOCKET, unix.SO_PRIORITY, soPriority) // after IP_TOS, which sets it too
	if err == nil {
		mreq := unix.IPMreqn{Multiaddr: vrrp.GroupIPv4().As4(), Ifindex: int32(p.index)}
		err = unix.SetsockoptIPMreqn(p.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &mreq)
		if err == nil {
			err = unix.SetsockoptIPMreqn(p.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &mreq)
		}
	}
	return err
}

func (p *port) close() {
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

// prepare fills in what is the same for every packet.
func (p *port) prepare() {
	in, out := &p.in, &p.out
	in.iov.Base = &in.buf[0]
	in.iov.SetLen(len(in.buf))
	in.msg.Iov, in.msg.Iovlen = &in.iov, 1
	in.msg.Name, in.msg.Control = &in.from[0], &in.ctl[0]

	out.buf = make([]byte, 0, 2048)
	out.msg.Iov, out.msg.Iovlen = &out.iov, 1
	out.msg.Control = &out.ctl[0]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&out.ctl[0]))
	if p.v6 {
		out.to6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Scope_id: uint32(p.index)}
		out.msg.Name, out.msg.Namelen = (*byte)(unsafe.Pointer(&out.to6)), unix.SizeofSockaddrInet6
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
		out.n = unix.CmsgSpace(unix.SizeofInet6Pktinfo)
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&out.ctl[unix.CmsgLen(0)]))
		info.Ifindex = uint32(p.index)
		if p.local.Is6() {
			info.Addr = p.local.As16()
		}
	} else {
		out.to4 = unix.RawSockaddrInet4{Family: unix.AF_INET}
		out.msg.Name, out.msg.Namelen = (*byte)(unsafe.Pointer(&out.to4)), unix.SizeofSockaddrInet4
		h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		out.n = unix.CmsgSpace(unix.SizeofInet4Pktinfo)
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&out.ctl[unix.CmsgLen(0)]))
		info.Ifindex = int32(p.index)
		if p.local.Is4() {
			info.Spec_dst = p.local.As4()
		}
	}
	out.msg.SetControllen(out.n)
}

// send sends out.buf to one destination. A packet the kernel refuses is a
// packet lost: the next one comes in an interval.
func (p *port) send(to netip.Addr) syscall.Errno {
	out := &p.out
	if p.v6 {
		out.to6.Addr = to.As16()
	} else {
		out.to4.Addr = to.As4()
	}
	out.iov.Base = unsafe.SliceData(out.buf)
	out.iov.SetLen(len(out.buf))
	_, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&out.msg)), unix.MSG_DONTWAIT)
	return errno
}

// receive reads one packet: its message, addresses and TTL. ok is false when
// none waits.
func (p *port) receive() (msg []byte, src, dst netip.Addr, ttl int, ok bool) {
	in := &p.in
	in.msg.Namelen = uint32(len(in.from))
	in.msg.SetControllen(len(in.ctl))
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_RECVMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&in.msg)), unix.MSG_DONTWAIT)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return nil, src, dst, 0, false
		}
		msg = in.buf[:n]
		break
	}
	if p.v6 {
		src = netip.AddrFrom16((*unix.RawSockaddrInet6)(unsafe.Pointer(&in.from[0])).Addr)
		dst, ttl = p.control()
		return msg, src, dst, ttl, true
	}
	// A raw IPv4 socket gives the header too; the kernel has checked it.
	if len(msg) < headerLenIP4 || len(msg) < int(msg[0]&0x0f)*4 {
		return nil, src, dst, 0, true
	}
	src, dst = netip.AddrFrom4([4]byte(msg[12:16])), netip.AddrFrom4([4]byte(msg[16:20]))
	return msg[int(msg[0]&0x0f)*4:], src, dst, int(msg[8]), true
}

// control finds the destination and the hop limit of an IPv6 packet.
func (p *port) control() (dst netip.Addr, hops int) {
	ctl := p.in.ctl[:min(int(p.in.msg.Controllen), len(p.in.ctl))]
	for len(ctl) >= unix.CmsgLen(0) {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&ctl[0]))
		n := int(h.Len)
		if n < unix.CmsgLen(0) || n > len(ctl) {
			break
		}
		body := ctl[unix.CmsgLen(0):n]
		switch {
		case h.Level != unix.IPPROTO_IPV6:
		case h.Type == unix.IPV6_PKTINFO && len(body) >= 16:
			dst = netip.AddrFrom16([16]byte(body[:16]))
		case h.Type == unix.IPV6_HOPLIMIT && len(body) >= 4:
			hops = int(binary.NativeEndian.Uint32(body))
		}
		ctl = ctl[min(len(ctl), unix.CmsgSpace(n-unix.CmsgLen(0))):]
	}
	return dst, hops
}

// attach takes over a port that was opened for the loop, in place of an older
// one of the same interface and family.
func (s *Speaker) attach(p *port) {
	if n := slices.IndexFunc(s.ports, func(q *port) bool { return q.name == p.name && q.v6 == p.v6 }); n >= 0 {
		s.ports[n].close()
		s.ports[n] = p
	} else {
		s.ports = append(s.ports, p)
	}
	s.ports = slices.DeleteFunc(s.ports, func(q *port) bool { return q.index == 0 })
	s.fds = s.fds[:0]
	for _, q := range s.ports {
		if q.fd >= 0 {
			s.fds = append(s.fds, q.fd)
		}
	}
	if p.err != nil {
		s.log.Error("vip carrier not opened", "interface", p.name, "err", p.err)
	}
	s.register()
	for _, i := range s.instances {
		if local := s.localOf(i); local.IsValid() && local != i.local {
			i.local, s.stale = local, true
			s.step(i, vrrp.SetLocal{Local: local})
		}
	}
	s.judgeAll()
}

// drain hears every packet that waits.
func (s *Speaker) drain(p *port) {
	if p.fd < 0 {
		return
	}
	for range maxDrain {
		msg, src, dst, ttl, ok := p.receive()
		if !ok {
			return
		}
		if len(msg) < 2 {
			continue
		}
		if l := p.legs[msg[1]]; l != nil {
			s.hearWire(p, l, msg, src, dst, ttl)
		}
	}
}

// hearWire checks a packet (RFC 9568, section 7.1) before the router may hear
// of it.
func (s *Speaker) hearWire(p *port, l *leg, msg []byte, src, dst netip.Addr, ttl int) {
	multicast := dst.IsMulticast()
	form, err := l.heardAd.Parse(msg, src, dst)
	if err == nil {
		err = l.admit.Admit(l.heardAd)
	}
	switch {
	case src == p.local:
		err = vrrp.OwnPacket
	case multicast == (len(l.cfg.Peers) > 0):
		err = vrrp.WrongDestination
	case multicast && ttl != vrrp.TTL:
		err = vrrp.WrongTTL
	case !multicast && !slices.Contains(l.cfg.Peers, src):
		err = vrrp.UnknownSender
	}
	if r, bad := err.(vrrp.Reject); bad {
		s.rejected(l, r, src)
		return
	}
	if l.cfg.Checksum == "" {
		l.form = form
	}
	s.heard(l, src, netip.Addr{}, &l.heardAd)
}

// sendWire sends an advertisement for one leg, to the group or to each peer.
func (s *Speaker) sendWire(l *leg, a *vrrp.Advertisement) {
	p := l.port
	if p == nil || p.fd < 0 || !p.local.IsValid() {
		return
	}
	ad := *a
	ad.VRID, ad.IPv6, ad.Addresses, ad.AuthType, ad.Auth = l.cfg.VRID, l.v6, l.addrs, l.admit.AuthType, l.admit.Auth
	for _, to := range l.cfg.Peers {
		p.out.buf = ad.AppendTo(p.out.buf[:0], p.local, to, l.form)
		s.sent(l, p.send(to))
	}
	if len(l.cfg.Peers) == 0 {
		to := vrrp.GroupIPv4()
		if p.v6 {
			to = vrrp.GroupIPv6()
		}
		p.out.buf = ad.AppendTo(p.out.buf[:0], p.local, to, l.form)
		s.sent(l, p.send(to))
	}
}

// sent complains when sending begins to fail.
func (s *Speaker) sent(l *leg, errno syscall.Errno) {
	if errno != l.sendErr {
		if l.sendErr = errno; errno != 0 {
			s.log.Warn("vip advertisement not sent", "vip", l.cfg.Name, "vrid", l.cfg.VRID, "err", error(errno))
		}
	}
}
