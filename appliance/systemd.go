package appliance

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// What the service manager is told.
const (
	systemdReady    = "READY=1"
	systemdStopping = "STOPPING=1"
)

// tellSystemd says something to the service manager, in the protocol of sd_notify(3): a datagram to
// the socket that NOTIFY_SOCKET names. Without a manager it does nothing, and a manager that does not
// listen is no reason to stop, so there is no error. A manager whose socket is full is not waited for.
func tellSystemd(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" || name[0] != '/' && name[0] != '@' {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Write(func(fd uintptr) bool {
		_ = unix.Send(int(fd), []byte(state), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return true
	})
}

// systemdReloading begins a reload, which READY=1 ends. Type=notify-reload wants the monotonic time, to
// know that the READY=1 that follows is not an older one.
func systemdReloading() string {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return "RELOADING=1"
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
