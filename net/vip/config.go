package vip

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Config is one [[vip]] table: a set of addresses that move between hosts as
// one, and the terms on which this host takes part.
type Config struct {
	// Name tells the virtual address from others in logs, status and
	// commands. Required, and unique on a host.
	Name string `toml:"name"`

	// VRID is the virtual router identifier, 1 to 255, equal on every host that
	// takes part. Required. With the carrier "gossip" it is unique in the
	// cluster, with "vrrp" on the interface and in its address family.
	VRID uint8 `toml:"vrid"`

	// Addresses are the virtual addresses with the prefix length they are
	// configured with. Required. The carrier "vrrp" takes one family only, as an
	// advertisement does.
	Addresses []netip.Prefix `toml:"addresses"`

	// Interface carries the addresses. Default: the one with an address in
	// the subnet of the first virtual address.
	Interface string `toml:"interface"`

	// Priority says how much this host wants to be active, 1 to 254; the
	// highest wins. 255 is the owner of the address, which is active from the
	// start. Default 100.
	Priority uint8 `toml:"priority"`

	// Preempt lets this host take the address from an active host of lower
	// priority. Default true.
	Preempt *bool `toml:"preempt"`

	// StartupDelay is how much longer than usual a host that starts, or whose
	// interface came back, listens before it takes silence for a dead holder:
	// a switch forwards nothing for a while on a cable just plugged, and the
	// first ARP request on it is repeated only after a second. A resigning
	// holder is succeeded at once all the same. Default 1s; at most 1000s.
	StartupDelay *time.Duration `toml:"startup_delay"`

	// PreemptDelay is how long a lower priority must have been heard before it
	// is preempted.
	PreemptDelay time.Duration `toml:"preempt_delay"`

	// Interval is the time between advertisements; a backup takes over after
	// three of them and its skew. Default: the interval of [cluster]. The
	// carrier "vrrp" says hundredths of a second in version 3 (10ms to 40.95s)
	// and whole seconds in version 2.
	Interval time.Duration `toml:"interval"`

	// Carrier is how advertisements travel: "gossip" (sealed unicast through the
	// cluster's heartbeats, peers found by gossip; the default) or "vrrp" (IP
	// protocol 112, beside keepalived and routers).
	Carrier string `toml:"carrier"`

	// Version of VRRP for the carrier "vrrp": 3 (RFC 9568, the default) or 2
	// (RFC 3768, IPv4 only).
	Version uint8 `toml:"version"`

	// Peers are the unicast addresses of the other hosts, for the carrier
	// "vrrp" where multicast does not pass. Adverts of others are then rejected.
	Peers []netip.Addr `toml:"peers"`

	// Password is the simple authentication of VRRP version 2 (type 1), at most
	// eight bytes, in clear on the wire: it guards against mistakes only.
	Password string `toml:"password"`

	// Checksum is the form of the IPv4 checksum of version 3: "rfc9568" (the
	// message alone), "keepalived" (with a pseudo header), or empty: keepalived's
	// until a peer is heard, then the peer's. Both are accepted always.
	Checksum string `toml:"checksum"`

	// VirtualMAC puts the addresses on a macvlan with the MAC
	// 00-00-5E-00-01-{VRID}, for clients that do not heed gratuitous ARP.
	VirtualMAC bool `toml:"virtual_mac"`

	// Fence is what must be held before the address may be: "none" (the
	// default) or "quorum", a lease in the ensemble.
	Fence string `toml:"fence"`

	// Group names the VIPs that move together: one in fault takes all down, and
	// all are taken by the same host. Members have equal priority, preempt,
	// interval, carrier and version.
	Group string `toml:"group"`

	// Routes are added with the addresses and removed with them.
	Routes []Route `toml:"routes"`

	// Track names what this host must have to be worth the address.
	Track []Track `toml:"track"`
}

// A Route exists on the active host only.
type Route struct {
	// Destination is the prefix the route leads to. Required.
	Destination netip.Prefix `toml:"destination"`

	// Via is the gateway; without it the destination is on the link.
	Via netip.Addr `toml:"via"`

	// Source is the preferred source address, usually the virtual one.
	Source netip.Addr `toml:"source"`

	// Table is the routing table; 0 is the main one.
	Table int `toml:"table"`

	// Metric orders routes of one destination; lower wins.
	Metric int `toml:"metric"`
}

// A Track is one condition. While it fails its Weight is added to the
// priority, which stays within 1 to 254; with weight 0 the host gives the
// address up. Services and checks are judged elsewhere and arrive through
// [Speaker.SetHealth].
type Track struct {
	// Interface that must be up.
	Interface string `toml:"interface"`

	// Service is a virtual service of this host that must have a healthy real
	// server.
	Service string `toml:"service"`

	// Weight is added to the priority while the condition fails: -253 to 0.
	Weight int `toml:"weight"`
}

const (
	defaultPriority = 100
	defaultInterval = 100 * time.Millisecond
	carrierGossip   = "gossip"
	carrierVRRP     = "vrrp"
	maxAddresses    = 64 // of one VIP; an advertisement's count is one byte
	maxInstances    = 1024
)

func (c Config) preempts() bool { return c.Preempt == nil || *c.Preempt }

func (c Config) startupDelay() time.Duration {
	if c.StartupDelay == nil {
		return time.Second
	}
	return *c.StartupDelay
}

// Defaults returns c with every zero field set to its documented default;
// interval is that of the cluster.
func (c Config) Defaults(interval time.Duration) Config {
	c.Priority = cmp.Or(c.Priority, defaultPriority)
	c.Interval = cmp.Or(c.Interval, interval, defaultInterval)
	c.Carrier = cmp.Or(c.Carrier, carrierGossip)
	c.Version = cmp.Or(c.Version, 3)
	c.Fence = cmp.Or(c.Fence, "none")
	c.StartupDelay = new(c.startupDelay())
	return c
}

// Check reports all mistakes of c at once.
func (c Config) Check() error {
	c = c.Defaults(0)
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
	}
	if c.Name == "" {
		bad("name", "is required")
	}
	if len(c.Name) > 64 {
		bad("name", "%q is longer than 64 bytes", c.Name)
	}
	if c.VRID == 0 {
		bad("vrid", "is required: 1 to 255")
	}
	c.checkAddresses(bad)
	c.checkCarrier(bad)
	if len(c.Interface) > 15 {
		bad("interface", "%q is longer than the 15 bytes the kernel allows", c.Interface)
	}
	if d := c.startupDelay(); d < 0 || d > 1000*time.Second {
		bad("startup_delay", "%v is not within 0s to 1000s", d)
	}
	if c.PreemptDelay < 0 || c.PreemptDelay > 1000*time.Second {
		bad("preempt_delay", "%v is not within 0s to 1000s", c.PreemptDelay)
	}
	switch c.Fence {
	case "none":
	case "quorum":
		bad("fence", `"quorum" needs the zab ensemble, which this build does not have`)
	default:
		bad("fence", `%q is neither "none" nor "quorum"`, c.Fence)
	}
	for i, r := range c.Routes {
		r.check(func(format string, args ...any) { bad(fmt.Sprintf("routes[%d]", i), format, args...) })
	}
	for i, t := range c.Track {
		t.check(c.Priority, func(format string, args ...any) { bad(fmt.Sprintf("track[%d]", i), format, args...) })
	}
	return errors.Join(errs...)
}

func (c Config) checkAddresses(bad func(key, format string, args ...any)) {
	if len(c.Addresses) == 0 {
		bad("addresses", "at least one is required")
	}
	if len(c.Addresses) > maxAddresses {
		bad("addresses", "%d are more than %d", len(c.Addresses), maxAddresses)
	}
	for i, p := range c.Addresses {
		a := p.Addr()
		switch {
		case !p.IsValid():
			bad("addresses", "number %d is empty", i+1)
		case a.Is4In6():
			bad("addresses", "%v is an IPv4 address in IPv6 form", p)
		case a.IsUnspecified() || a.IsMulticast():
			bad("addresses", "%v is not the address of a host", p)
		case slices.ContainsFunc(c.Addresses[:i], func(q netip.Prefix) bool { return q.Addr() == a }):
			bad("addresses", "%v is listed twice", a)
		}
	}
}

func (c Config) checkCarrier(bad func(key, format string, args ...any)) {
	switch c.Carrier {
	case carrierGossip:
		if len(c.Peers) > 0 {
			bad("peers", `are found by gossip; to list them use carrier = "vrrp"`)
		}
		if c.Version != 3 {
			bad("version", `%d needs carrier = "vrrp"`, c.Version)
		}
		if c.Interval < 3*time.Millisecond || c.Interval > 10*time.Second {
			bad("interval", "%v is not within 3ms to 10s", c.Interval)
		}
	case carrierVRRP:
		c.checkWire(bad)
	default:
		bad("carrier", `%q is neither "gossip" nor "vrrp"`, c.Carrier)
	}
	if c.Password != "" && (c.Carrier != carrierVRRP || c.Version != 2) {
		bad("password", `needs carrier = "vrrp" and version = 2`)
	}
	if len(c.Password) > 8 {
		bad("password", "is longer than 8 bytes")
	}
	switch c.Checksum {
	case "", "keepalived", "rfc9568":
	default:
		bad("checksum", `%q is neither "keepalived" nor "rfc9568"`, c.Checksum)
	}
}

// checkWire checks what only IP protocol 112 cannot say.
func (c Config) checkWire(bad func(key, format string, args ...any)) {
	v6 := c.v6()
	if slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is6() != v6 }) {
		bad("addresses", `IPv4 and IPv6 together need carrier = "gossip", or two [[vip]] of one group`)
	}
	switch c.Version {
	case 2:
		if v6 {
			bad("version", "2 has no IPv6")
		}
		if c.Interval%time.Second != 0 || c.Interval < time.Second || c.Interval > 255*time.Second {
			bad("interval", "%v is not a whole number of seconds, 1s to 255s, as version 2 says it", c.Interval)
		}
	case 3:
		if c.Interval%(10*time.Millisecond) != 0 || c.Interval < 10*time.Millisecond || c.Interval > 40950*time.Millisecond {
			bad("interval", "%v is not a multiple of 10ms within 10ms to 40.95s, as version 3 says it", c.Interval)
		}
	default:
		bad("version", "%d is neither 2 nor 3", c.Version)
	}
	for _, p := range c.Peers {
		if !p.IsValid() || p.IsUnspecified() || p.IsMulticast() || p.Is6() != v6 {
			bad("peers", "%v is not a host's address of the family of the virtual addresses", p)
		}
	}
	if len(c.Peers) > 32 {
		bad("peers", "%d are more than 32", len(c.Peers))
	}
}

// v6 tells the family of the advertisements: that of the first address.
func (c Config) v6() bool { return len(c.Addresses) > 0 && c.Addresses[0].Addr().Is6() }

func (r Route) check(bad func(format string, args ...any)) {
	if !r.Destination.IsValid() {
		bad("destination is required")
		return
	}
	if r.Via.IsValid() && r.Via.Is6() != r.Destination.Addr().Is6() {
		bad("via %v is not of the family of %v", r.Via, r.Destination)
	}
	if r.Source.IsValid() && r.Source.Is6() != r.Destination.Addr().Is6() {
		bad("source %v is not of the family of %v", r.Source, r.Destination)
	}
	if r.Table < 0 || r.Metric < 0 {
		bad("table and metric are not negative")
	}
}

func (t Track) check(priority uint8, bad func(format string, args ...any)) {
	switch {
	case t.Interface != "" && t.Service != "":
		bad("names an interface and a service; use two tables")
	}
	if t.Weight > 0 || t.Weight < -253 {
		bad("weight %d is not within -253 to 0", t.Weight)
	}
	if t.Weight != 0 && priority == 255 {
		bad("weight %d: the owner's priority is fixed at 255; use weight 0", t.Weight)
	}
}

// CheckAll checks every table and what they must agree on.
func CheckAll(cfgs []Config) error {
	var errs []error
	for i, c := range cfgs {
		if err := c.Check(); err != nil {
			errs = append(errs, fmt.Errorf("vip %s: %w", cmp.Or(c.Name, fmt.Sprint("#", i+1)), err))
		}
		for _, d := range cfgs[:i] {
			errs = append(errs, c.clash(d)...)
		}
	}
	if len(cfgs) > maxInstances {
		errs = append(errs, fmt.Errorf("vip: %d tables are more than %d", len(cfgs), maxInstances))
	}
	return errors.Join(errs...)
}

// clash lists what c and an earlier d cannot both be.
func (c Config) clash(d Config) (errs []error) {
	c, d = c.Defaults(0), d.Defaults(0)
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("vip %s: "+format, append([]any{c.Name}, args...)...))
	}
	if c.Name != "" && c.Name == d.Name {
		bad("name: is used twice")
	}
	if c.VRID == d.VRID && c.Carrier == d.Carrier &&
		(c.Carrier == carrierGossip || c.Interface == d.Interface && c.v6() == d.v6()) {
		bad("vrid: %d is that of vip %s", c.VRID, d.Name)
	}
	for _, p := range c.Addresses {
		if slices.ContainsFunc(d.Addresses, func(q netip.Prefix) bool { return q.Addr() == p.Addr() }) {
			bad("addresses: %v is also in vip %s", p.Addr(), d.Name)
		}
	}
	if c.Group != "" && c.Group == d.Group &&
		(c.Priority != d.Priority || c.preempts() != d.preempts() || c.PreemptDelay != d.PreemptDelay ||
			c.Interval != d.Interval || c.Carrier != d.Carrier || c.Version != d.Version) {
		bad("group: priority, preempt, preempt_delay, interval, carrier or version differ from vip %s of the same group", d.Name)
	}
	return errs
}
