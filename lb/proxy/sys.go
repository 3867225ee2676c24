package proxy

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the data path are raw: every descriptor is non-blocking, so the runtime need
// not be told about each. Only epoll_wait may block and tells it.

// sockaddr is a struct sockaddr_in or sockaddr_in6 as the kernel reads it.
type sockaddr struct {
	raw [unix.SizeofSockaddrInet6]byte
	len uint32
}

func newSockaddr(ap netip.AddrPort) (s sockaddr) {
	binary.BigEndian.PutUint16(s.raw[2:], ap.Port())
	if a := ap.Addr().Unmap(); a.Is4() {
		binary.NativeEndian.PutUint16(s.raw[0:], unix.AF_INET)
		b := a.As4()
		copy(s.raw[4:], b[:])
		s.len = unix.SizeofSockaddrInet4
	} else {
		binary.NativeEndian.PutUint16(s.raw[0:], unix.AF_INET6)
		b := a.As16()
		copy(s.raw[8:], b[:])
		s.len = unix.SizeofSockaddrInet6
	}
	return s
}

func (s *sockaddr) family() uint16 { return binary.NativeEndian.Uint16(s.raw[0:]) }

func (s *sockaddr) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(s.raw[2:])
	switch s.family() {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.raw[4:8])), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.raw[8:24])).Unmap(), port)
	}
	return netip.AddrPort{}
}

func accept(fd int32, from *sockaddr) (int32, syscall.Errno) {
	from.len = uint32(len(from.raw))
	r, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&from.raw)),
		uintptr(unsafe.Pointer(&from.len)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int32(r), e
}

func socket(family uint16, kind int) (int32, syscall.Errno) {
	r, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), uintptr(kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC), 0)
	return int32(r), e
}

func connect(fd int32, to *sockaddr) syscall.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)), uintptr(to.len))
	return e
}

func bindTo(fd int32, to *sockaddr) syscall.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)), uintptr(to.len))
	return e
}

// recv returns 0 and no error at the end of the stream.
func recv(fd int32, b []byte) (int, syscall.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	return int(r), e
}

func send(fd int32, b []byte, flags int) (int, syscall.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(flags|unix.MSG_NOSIGNAL), 0, 0)
	return int(r), e
}

func splice(from, to int32, n int) (int, syscall.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	return int(r), e
}

func shutdownWrite(fd int32) {
	unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

func closeFD(fd int32) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func setInt(fd int32, level, option int, value int32) syscall.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option), uintptr(unsafe.Pointer(&value)), 4, 0)
	return e
}

// resetOnClose makes close send RST instead of FIN.
func resetOnClose(fd int32) {
	l := unix.Linger{Onoff: 1}
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&l)), unix.SizeofLinger, 0)
}

func socketError(fd int32) syscall.Errno {
	var v, size int32 = 0, 4
	unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR, uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	return syscall.Errno(v)
}

// connected reports whether fd has a peer: false while the handshake goes on and after it failed.
func connected(fd int32) bool {
	var s sockaddr
	s.len = uint32(len(s.raw))
	_, _, e := unix.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), uintptr(unsafe.Pointer(&s.len)))
	return e == 0
}

func localAddr(fd int32) netip.AddrPort {
	var s sockaddr
	s.len = uint32(len(s.raw))
	unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), uintptr(unsafe.Pointer(&s.len)))
	return s.addrPort()
}

func epollControl(epfd int32, op int, fd int32, events uint32, id, tag int32) syscall.Errno {
	ev := unix.EpollEvent{Events: events, Fd: id, Pad: tag}
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return e
}

// epollWait blocks at most timeout milliseconds; -1 is for ever.
func epollWait(epfd int32, events []unix.EpollEvent, timeout int) int {
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(timeout), 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// epollNap is epollWait without telling the runtime: cheaper at both ends, but it keeps the
// processor slot of this goroutine, and a stop of the world has to interrupt it with a signal.
func epollNap(epfd int32, events []unix.EpollEvent, timeout int) int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(timeout), 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// mmsghdr is struct mmsghdr on 64-bit machines.
type mmsghdr struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

func recvmmsg(fd int32, m []mmsghdr) (int, syscall.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MSG_DONTWAIT, 0, 0)
	return int(r), e
}

func sendmmsg(fd int32, m []mmsghdr) (int, syscall.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(r), e
}
