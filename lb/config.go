package lb

import (
	"net/netip"
	"time"

	"example.org/ha/lb/health"
	"example.org/ha/lb/pool"
	"example.org/ha/lb/probe"
)

// Config is the table [lb].
type Config struct {
	// Node is this host's name. Two hosts with the same services probe out of phase because of it.
	Node string `toml:"-"`

	// Services are the virtual services, one table [[lb.service]] each.
	Services []Service `toml:"service"`
}

// A Service is one virtual service: what clients connect to, and who may answer.
type Service struct {
	// Name is required and unique.
	Name string `toml:"name"`

	// Listen is required: the virtual addresses and ports.
	Listen []netip.AddrPort `toml:"listen"`

	// Protocol is "tcp" or "udp". Default tcp.
	Protocol string `toml:"protocol"`

	// Forward is the driver that moves the packets. Default and, in this build, only "proxy".
	Forward string `toml:"forward"`

	// Method is the forwarding method of the ipvs driver: dr, nat or tun. It means nothing to "proxy".
	Method string `toml:"method"`

	// Scheduler picks the real server of a new connection: rr wrr lc wlc sh mh sed nq. Default wlc.
	Scheduler pool.Scheduler `toml:"scheduler"`

	// Persistent sends a client to the server it had, until it has been gone this long. Default 0: off.
	Persistent time.Duration `toml:"persistent"`

	// PersistentMask is the length of the IPv4 prefix by which clients count as one, as 24 for a
	// whole /24; of an IPv6 address 96 bits more. Default 0: the whole address.
	PersistentMask int `toml:"persistent_mask"`

	// Sorry is where connections go when no real server is healthy. Default: they are refused.
	Sorry netip.AddrPort `toml:"sorry"`

	// SendProxy starts each connection to a real server with a PROXY protocol v2 header.
	SendProxy bool `toml:"send_proxy"`

	// SlowStart raises the weight of a server that came up from a tenth to the whole over this time. Default 0: at once.
	SlowStart time.Duration `toml:"slow_start"`

	// ConnectTimeout, IdleTimeout and UDPTimeout bound a connection to a real server, a silent TCP
	// connection and a silent UDP flow. Zero: the forwarder's defaults.
	ConnectTimeout time.Duration `toml:"connect_timeout"`
	IdleTimeout    time.Duration `toml:"idle_timeout"`
	UDPTimeout     time.Duration `toml:"udp_timeout"`

	// DrainTimeout is what the connections of a service that is deleted may still take.
	DrainTimeout time.Duration `toml:"drain_timeout"`

	// CutDown resets the connections to a real server that goes down. Default false: they may end.
	CutDown bool `toml:"cut_down"`

	// Quorum is the least total weight of healthy servers with which the service can do its work;
	// with less, all its connections go to Sorry (without a Sorry, to those servers that are left). Default 1.
	Quorum int `toml:"quorum"`

	// Hysteresis keeps a service from swinging about Quorum: it is lost below Quorum-Hysteresis
	// and regained at Quorum+Hysteresis. Default 0.
	Hysteresis int `toml:"hysteresis"`

	// Protect is the share of the real servers, above 0 to 1, that one round of checks may take
	// out. If more of them fail within one round, the checker is suspected rather than the
	// servers: all that failed in that round stay, until no more than this share is down.
	// Default 0: off, every server that fails leaves.
	Protect float64 `toml:"protect"`

	// Check is how a real server is asked for its health. Without it all are always up.
	Check *Check `toml:"check"`

	// Servers are the real servers, one table [[lb.service.server]] each.
	Servers []Server `toml:"server"`

	// Discover takes real servers from the registry. Not in this build.
	Discover *Discover `toml:"discover"`
}

// A Server is one real server of a service.
type Server struct {
	// Address is required and unique within the service.
	Address netip.AddrPort `toml:"address"`

	// Weight is its share of new connections, 0 to 65535; 0 drains: established connections
	// stay, no new ones come. Default 1.
	Weight *int `toml:"weight"`
}

// Discover names a service of the registry.
type Discover struct {
	Service string `toml:"service"`
}

// A Check is a probe and its timing, in one table. [[vip.track]] uses the same.
type Check struct {
	probe.Config
	health.Timing
}
