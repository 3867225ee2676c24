package heartbeat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Defaults and limits of Config.
const (
	DefaultPort     = 7946
	DefaultInterval = 100 * time.Millisecond
	DefaultLost     = 3

	minInterval = 3 * time.Millisecond
	maxInterval = 10 * time.Second
	maxLost     = 100
	maxName     = 63
	maxJoin     = 256
)

// Config is the table [cluster]. A zero field means its default.
type Config struct {
	// Name tells clusters apart that share a network: beats of another name
	// are dropped. Required, at most 63 bytes. The same on every host.
	Name string `toml:"name"`

	// Bind is the address and UDP port the beats leave from and arrive at.
	// Default: the address of the interface that has the route to the first
	// join host, else the first private address of this host; port 7946.
	Bind netip.AddrPort `toml:"bind"`

	// Join says where other hosts are found. One that answers is enough:
	// the rest is learnt from it. Three forms: "10.0.0.12:7946", an address;
	// "dns:ha.example.com" or "dns:ha.example.com:7946", every A and AAAA
	// record of a name; "srv:_ha._udp.example.com", targets and ports of an
	// SRV name. The port is 7946 unless given. Names are resolved again
	// every few seconds, so hosts may come and go behind them; while a name
	// does not resolve, its last answer holds. The list may name this host
	// itself. Default: none; the host waits to be found.
	Join []string `toml:"join"`

	// KeyFile holds the cluster's keys, one base64 line each; `ha keygen`
	// makes one. The first key seals, all of them open, so a key is changed
	// without a gap: add the new one last everywhere, then move it first
	// everywhere, then remove the old one. Required.
	KeyFile string `toml:"key_file"`

	// Interval is the time between two beats to a host, 3ms to 10s. It
	// decides how soon a death is noticed: below 100ms use it only with
	// realtime scheduling (`ha status` tells whether it was granted).
	// Default 100ms.
	Interval time.Duration `toml:"interval"`

	// Lost is how many beats of silence make a host lost, 2 to 100.
	// Default 3.
	Lost int `toml:"lost"`
}

// WithDefaults returns c with every zero field but Bind replaced by its
// default. Bind is found when the node starts, because it depends on routes.
func (c Config) WithDefaults() Config {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.Lost == 0 {
		c.Lost = DefaultLost
	}
	return c
}

// Check reports every mistake in c.
func (c Config) Check() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("cluster.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	switch {
	case c.Name == "":
		bad("name", "is required")
	case len(c.Name) > maxName:
		bad("name", "%q is longer than %d bytes", c.Name, maxName)
	}
	if c.KeyFile == "" {
		bad("key_file", "is required")
	}
	if a := c.Bind; a != (netip.AddrPort{}) {
		switch {
		case !a.Addr().IsValid():
			bad("bind", "has no address")
		case a.Addr().IsMulticast():
			bad("bind", "%v is a multicast address", a.Addr())
		case a.Port() == 0:
			bad("bind", "%v has no port", a)
		}
	}
	if c.Interval != 0 && (c.Interval < minInterval || c.Interval > maxInterval) {
		bad("interval", "%v is not within %v to %v", c.Interval, minInterval, maxInterval)
	}
	if c.Lost != 0 && (c.Lost < 2 || c.Lost > maxLost) {
		bad("lost", "%d is not within 2 to %d", c.Lost, maxLost)
	}
	if len(c.Join) > maxJoin {
		bad("join", "has %d entries, at most %d", len(c.Join), maxJoin)
	}
	for i, text := range c.Join {
		if _, err := parseTarget(text); err != nil {
			bad("join", "entry %d: %v", i+1, err)
		}
	}
	return errors.Join(errs...)
}

// A target is one entry of the join list.
type target struct {
	kind targetKind
	name string         // dns, srv
	port uint16         // dns
	addr netip.AddrPort // literal
}

type targetKind uint8

const (
	literal targetKind = iota
	dnsName
	srvName
)

func parseTarget(text string) (target, error) {
	switch {
	case strings.HasPrefix(text, "dns:"):
		name, port := strings.TrimPrefix(text, "dns:"), uint16(DefaultPort)
		if host, p, err := net.SplitHostPort(name); err == nil {
			n, err := strconv.ParseUint(p, 10, 16)
			if err != nil || n == 0 {
				return target{}, fmt.Errorf("%q: port %q is not within 1 to 65535", text, p)
			}
			name, port = host, uint16(n)
		}
		if err := checkName(name); err != nil {
			return target{}, fmt.Errorf("%q: %w", text, err)
		}
		return target{kind: dnsName, name: name, port: port}, nil
	case strings.HasPrefix(text, "srv:"):
		name := strings.TrimPrefix(text, "srv:")
		if err := checkName(name); err != nil {
			return target{}, fmt.Errorf("%q: %w", text, err)
		}
		return target{kind: srvName, name: name}, nil
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		bare, err := netip.ParseAddr(strings.Trim(text, "[]"))
		if err != nil {
			return target{}, fmt.Errorf("%q is neither an address with a port, nor dns:NAME, nor srv:NAME", text)
		}
		addr = netip.AddrPortFrom(bare, DefaultPort)
	}
	if addr.Port() == 0 || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast() {
		return target{}, fmt.Errorf("%q is not the address of a host", text)
	}
	return target{kind: literal, addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}, nil
}

// nameRune reports whether a name that is looked up may hold r: letters, digits and the hyphen
// (RFC 1123), and the underscore of service names (RFC 2782).
func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > 253:
		return errors.New("the name is longer than 253 bytes")
	case strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) }):
		return errors.New("the name holds a character that no host name has")
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return errors.New("the name has a label that is empty or longer than 63 bytes")
		}
	}
	return nil
}
