package proxy

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"example.org/ha/lb/pool"
)

// backlog is cut to net.core.somaxconn by the kernel.
const backlog = 65535

// A listener is one address of a service: one socket per worker, sharing the port (SO_REUSEPORT),
// so that the kernel spreads clients and workers share no queue.
type listener struct {
	endpoint
	fds     []int32
	service atomic.Pointer[service] // changes when the address moves to another service
	open    atomic.Int32            // workers that have not closed their socket yet
}

// An endpoint is what a listener is told apart by.
type endpoint struct {
	protocol pool.Protocol
	addr     netip.AddrPort
}

func (e endpoint) String() string { return e.protocol.String() + " " + e.addr.String() }

// bind opens the sockets of e, bound but not yet listening. Sockets that share a port would share it
// with those of another process of ours too, and clients between the two; so the first bind is one
// that shares with nobody, unless the address is still held here.
func bind(e endpoint, workers int, held bool) (*listener, error) {
	if !held {
		alone, err := bindOne(e, false)
		if err != nil {
			return nil, fmt.Errorf("bind %s: %w", e, err)
		}
		closeFD(alone)
	}
	l := &listener{endpoint: e}
	l.open.Store(int32(workers))
	for range workers {
		fd, err := bindOne(e, true)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("bind %s: %w", e, err)
		}
		l.fds = append(l.fds, fd)
	}
	return l, nil
}

func bindOne(e endpoint, shared bool) (int32, error) {
	to := newSockaddr(e.addr)
	kind := unix.SOCK_STREAM
	if e.protocol == pool.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, errno := socket(to.family(), kind)
	if errno != 0 {
		return -1, errno
	}
	type option struct{ level, name, value int }
	var options []option
	if shared {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	if shared || e.protocol == pool.TCP { // for TCP it forgives TIME-WAIT only, for UDP it shares
		options = append(options, option{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1})
	}
	if to.family() == unix.AF_INET6 {
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1}, option{unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1})
	} else {
		// The backup of a pair listens before it holds the address.
		options = append(options, option{unix.IPPROTO_IP, unix.IP_FREEBIND, 1})
	}
	if e.protocol == pool.TCP {
		options = append(options, option{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1})
	} else {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_RCVBUF, 1 << 20})
		if to.family() == unix.AF_INET6 {
			options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1})
		} else {
			options = append(options, option{unix.IPPROTO_IP, unix.IP_PKTINFO, 1})
		}
	}
	for _, o := range options {
		if errno := setInt(fd, o.level, o.name, int32(o.value)); errno != 0 {
			closeFD(fd)
			return -1, errno
		}
	}
	if errno := bindTo(fd, &to); errno != 0 {
		closeFD(fd)
		return -1, errno
	}
	return fd, nil
}

// listen lets clients in. They wait in the queue until a worker runs.
func (l *listener) listen() error {
	if l.protocol == pool.UDP {
		return nil
	}
	for _, fd := range l.fds {
		if err := unix.Listen(int(fd), backlog); err != nil {
			return fmt.Errorf("listen on %s: %w", l.endpoint, err)
		}
	}
	return nil
}

func (l *listener) close() {
	for _, fd := range l.fds {
		closeFD(fd)
	}
	l.fds = nil
}

// acceptsPerTurn bounds how long newcomers keep the established waiting.
const acceptsPerTurn = 64

// acceptAll takes what waits in the worker's queue of l. It returns false when the queue may hold
// more than descriptors are left for.
func (w *worker) acceptAll(l *listener, limit int) bool {
	var from sockaddr
	for range limit {
		if w.open >= w.limit {
			w.acceptPauses.Add(1)
			return false
		}
		fd, err := accept(l.fds[w.index], &from)
		switch err {
		case 0:
			w.adopt(fd, &from, l.service.Load())
		case syscall.EAGAIN:
			return true
		case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
			w.acceptPauses.Add(1)
			return false
		case syscall.ECONNABORTED, syscall.EINTR:
		default:
			// Errors of the connection, not of the listener (accept(2)): the next one may be fine.
		}
	}
	return true
}
