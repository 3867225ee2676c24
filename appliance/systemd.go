package appliance

import (
	"net"
	"os"
)

// tellSystemd says something to the service manager, in the protocol of sd_notify(3): a datagram to
// the socket that NOTIFY_SOCKET names. Without a manager it does nothing, and a manager that does not
// listen is no reason to stop, so there is no error.
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
	_, _ = conn.Write([]byte(state))
}
