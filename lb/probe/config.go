package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Config says what one probe asks and which answer is good. A key that the kind does not read is
// an error: a path given to a tcp probe is a mistake, not a wish.
type Config struct {
	// Kind is required: icmp, tcp, http, https, script, mysql or redis.
	Kind string `toml:"kind"`

	// Address is whom to ask: "10.0.0.21:80", or "10.0.0.21" where the kind has a port of its own
	// or needs none. In a virtual service it is left out: each real server is asked at its own.
	Address Address `toml:"address"`

	// Port asks another port than the real server's own.
	Port uint16 `toml:"port"`

	// Method, Path and Host are the request of http and https. Defaults: GET, / and the address.
	Method string `toml:"method"`
	Path   string `toml:"path"`
	Host   string `toml:"host"`

	// ServerName is the name https asks for in the TLS handshake (SNI). Default: Host without its port.
	ServerName string `toml:"server_name"`

	// Verify makes https refuse a certificate that the system's roots do not vouch for. Default
	// false: a probe asks whether the server answers and sends it no secret.
	Verify bool `toml:"verify"`

	// Expect is the answer that counts as healthy, for http and https.
	Expect Expect `toml:"expect"`

	// Command is the argv of a script; exit status 0 is healthy. It finds the real server in the
	// environment as HA_ADDRESS and HA_PORT.
	Command []string `toml:"command"`

	// User and Password log in to mysql and redis. Without a user a mysql probe only reads the
	// greeting, which the server counts against this host as a broken handshake.
	User     string `toml:"user"`
	Password string `toml:"password"`

	// Role is what a mysql or redis server must be: "primary" (writable) or "replica". Default: either.
	Role string `toml:"role"`
}

// Expect is the good answer to an http or https probe; every part given must hold.
type Expect struct {
	// Status lists the good status codes. Default: 200 to 399.
	Status []int `toml:"status"`
	// Body must occur in the first 64 KiB of the body.
	Body string `toml:"body"`
	// Regexp must match in the first 64 KiB of the body.
	Regexp string `toml:"regexp"`
}

// An Address is an IP address with a port that may be left out.
type Address struct{ netip.AddrPort }

// UnmarshalText reads "10.0.0.21:80", "[fd00::21]:80", "10.0.0.21" or "fd00::21".
func (a *Address) UnmarshalText(text []byte) error {
	if addr, err := netip.ParseAddr(string(text)); err == nil {
		a.AddrPort = netip.AddrPortFrom(addr, 0)
		return nil
	}
	ap, err := netip.ParseAddrPort(string(text))
	if err != nil {
		return fmt.Errorf("address %q: want ip or ip:port", text)
	}
	a.AddrPort = ap
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (a Address) String() string {
	switch {
	case !a.Addr().IsValid():
		return ""
	case a.Port() == 0:
		return a.Addr().String()
	}
	return a.AddrPort.String()
}

// Check reports every mistake, each naming its key. Whether an address must be given is for the
// caller to say: a virtual service has its real servers, a tracked check has only this.
func (c Config) Check() error {
	k, ok := kindNamed(c.Kind)
	if !ok {
		if c.Kind == "" {
			return fmt.Errorf("kind: required, one of %s", strings.Join(Kinds(), ", "))
		}
		return fmt.Errorf("kind: unknown %q, want one of %s", c.Kind, strings.Join(Kinds(), ", "))
	}
	var errs []error
	for _, key := range c.given() {
		if !slices.Contains(k.keys, key) {
			errs = append(errs, fmt.Errorf("%s: has no meaning for kind %q", key, c.Kind))
		}
	}
	if k.check != nil {
		errs = append(errs, k.check(c))
	}
	return errors.Join(errs...)
}

// given lists the keys that were set, beyond those every kind has.
func (c Config) given() []string {
	var keys []string
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		if key != "kind" && key != "address" && !v.Field(i).IsZero() {
			keys = append(keys, key)
		}
	}
	return keys
}

// Target is the address that a probe of server asks: the configured address and port win, then the
// server's own, then the kind's port. Its port is 0 where one is needed and none is known.
func (c Config) Target(server netip.AddrPort) netip.AddrPort {
	if c.Address.IsValid() {
		server = c.Address.AddrPort
	}
	k, _ := kindNamed(c.Kind)
	switch {
	case k.portless:
		return netip.AddrPortFrom(server.Addr(), 0)
	case c.Port != 0:
		return netip.AddrPortFrom(server.Addr(), c.Port)
	case server.Port() == 0:
		return netip.AddrPortFrom(server.Addr(), k.port)
	}
	return server
}

// NeedsPort reports whether a probe of this kind asks a port, so that a target without one is a mistake.
func (c Config) NeedsPort() bool {
	k, _ := kindNamed(c.Kind)
	return !k.portless && !k.portOptional
}

// Key is equal for two configurations exactly when they ask the same: checks that share a key and
// a target share their probes. It may hold a password; it is not for logs.
func (c Config) Key() string {
	c.Address, c.Port = Address{}, 0 // both are in the target
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("probe: key of %q: %v", c.Kind, err)) // strings, numbers and booleans only
	}
	return string(b)
}

func checkExpect(e Expect) error {
	var errs []error
	for _, s := range e.Status {
		if s < 100 || s > 599 {
			errs = append(errs, fmt.Errorf("expect.status: %d is no HTTP status", s))
		}
	}
	if e.Regexp != "" {
		if _, err := regexp.Compile(e.Regexp); err != nil {
			errs = append(errs, fmt.Errorf("expect.regexp: %w", err))
		}
	}
	return errors.Join(errs...)
}
