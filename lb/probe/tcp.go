package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// TCP is well when the connection comes about. It is closed with a reset, so that no side keeps a
// TIME_WAIT for it.
func TCP(ctx context.Context, c Config, target netip.AddrPort) error {
	conn, err := dial(ctx, target)
	if err != nil {
		return err
	}
	return conn.Close()
}

// dial connects to target; everything done with the connection later ends with ctx as well.
func dial(ctx context.Context, target netip.AddrPort) (*net.TCPConn, error) {
	d := net.Dialer{KeepAlive: -1}
	conn, err := d.DialTCP(ctx, "tcp", netip.AddrPort{}, target)
	if err != nil {
		return nil, fmt.Errorf("connect %v: %w", target, cause(ctx, err))
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	conn.SetLinger(0)
	return conn, nil
}

// errTimeout is what a deadline that passed says, whichever part of the library noticed it.
var errTimeout = errors.New("no answer in time")

// cause strips an error of what the caller has said already: the address, the system call.
func cause(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return errTimeout
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		return errors.New("closed by the server")
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return errTimeout
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// remaining is the time until ctx ends, at least a millisecond.
func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	return max(time.Until(deadline), time.Millisecond)
}
