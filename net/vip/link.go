package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/ha/net/arp"
	"example.org/ha/net/ndp"
)

// A Link holds addresses for this host. Its methods are called on the mover's
// thread only. Add and Remove are idempotent: to add what is there, or to
// remove what is not, is no error.
type Link interface {
	Add(c Config) error
	Remove(c Config) error
	Announce(c Config) error
}

// Kernel is the Link that configures the interfaces of this host by netlink.
type Kernel struct {
	log    *slog.Logger
	handle *netlink.Handle

	mu      sync.Mutex
	devices map[string]*device // the mover's; the watch marks what has changed
}

// A device is what is needed of an interface to speak through it.
type device struct {
	index  int
	mac    [6]byte
	router bool      // it forwards IPv6
	stale  bool      // it has changed since it was looked at
	arp    *arp.Conn // nil until used
	ndp    *ndp.Conn
}

// OpenLink is the Link of the kernel of this host. Close it after Run.
func OpenLink(log *slog.Logger) (*Kernel, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("vip: open netlink: %w", err)
	}
	return &Kernel{log: log, handle: h, devices: make(map[string]*device)}, nil
}

// Close closes the sockets.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, d := range k.devices {
		d.close()
		delete(k.devices, name)
	}
	k.handle.Close()
	return nil
}

func (d *device) close() {
	if d.arp != nil {
		d.arp.Close()
	}
	if d.ndp != nil {
		d.ndp.Close()
	}
}

// Add configures the addresses and the routes of c.
func (k *Kernel) Add(c Config) error {
	if c.VirtualMAC {
		if err := k.addMacvlan(c); err != nil {
			return err
		}
	}
	d, err := k.device(c.device())
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range c.Addresses {
		if err := k.handle.AddrReplace(linkOf(d), address(p)); err != nil {
			errs = append(errs, fmt.Errorf("vip: add %v to %s: %w", p, c.device(), err))
		}
	}
	if len(errs) > 0 {
		k.forget(c.device()) // the index may have been that of a device that is gone
		return errors.Join(errs...)
	}
	for _, r := range c.Routes {
		if err := k.handle.RouteReplace(r.netlink(d.index)); err != nil {
			errs = append(errs, fmt.Errorf("vip: add route to %v by %s: %w", r.Destination, c.device(), err))
		}
	}
	return errors.Join(errs...)
}

// Remove takes away the addresses and the routes of c, and its virtual-MAC
// device with them.
func (k *Kernel) Remove(c Config) error {
	d, err := k.device(c.device())
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range c.Routes {
		if err := k.handle.RouteDel(r.netlink(d.index)); err != nil && !isGone(err) {
			errs = append(errs, fmt.Errorf("vip: remove route to %v from %s: %w", r.Destination, c.device(), err))
		}
	}
	if c.VirtualMAC {
		k.forget(c.device())
		if err := k.handle.LinkDel(linkOf(d)); err != nil && !isGone(err) {
			errs = append(errs, fmt.Errorf("vip: remove %s: %w", c.device(), err))
		}
		return errors.Join(errs...)
	}
	for _, p := range c.Addresses {
		if err := k.handle.AddrDel(linkOf(d), address(p)); err != nil && !isGone(err) {
			errs = append(errs, fmt.Errorf("vip: remove %v from %s: %w", p, c.device(), err))
		}
	}
	if len(errs) > 0 {
		k.forget(c.device())
	}
	return errors.Join(errs...)
}

func (k *Kernel) expel(name string, p netip.Prefix) (was bool, err error) {
	d, err := k.device(name)
	if isGone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := k.handle.AddrDel(linkOf(d), address(p)); err != nil && !isGone(err) {
		return false, fmt.Errorf("vip: remove %v from %s: %w", p, name, err)
	} else if err != nil {
		return false, nil
	}
	return true, nil
}

// Announce tells the neighbours once that the addresses of c are here.
func (k *Kernel) Announce(c Config) error {
	d, err := k.device(c.device())
	if err != nil {
		return err
	}
	for _, p := range c.Addresses {
		if err := d.announce(p.Addr()); err != nil {
			k.forget(c.device())
			return fmt.Errorf("vip: announce %v on %s: %w", p.Addr(), c.device(), err)
		}
	}
	return nil
}

func (d *device) announce(ip netip.Addr) (err error) {
	if ip.Is4() {
		if d.arp == nil {
			if d.arp, err = arp.Open(d.index); err != nil {
				return err
			}
		}
		return d.arp.Announce(ip, d.mac)
	}
	if d.ndp == nil {
		if d.ndp, err = ndp.Open(d.index); err != nil {
			return err
		}
	}
	return d.ndp.Announce(ip, d.mac, d.router)
}

// device finds an interface, by what is known of it or by asking.
func (k *Kernel) device(name string) (*device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := k.devices[name]; d != nil {
		if !d.stale {
			return d, nil
		}
		d.close() // here and not in forget: only the mover knows that it is not in use
		delete(k.devices, name)
	}
	l, err := k.handle.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("vip: find interface %s: %w", name, err)
	}
	a := l.Attrs()
	d := &device{index: a.Index}
	copy(d.mac[:], a.HardwareAddr)
	forwarding, _ := os.ReadFile(sysctlPath("ipv6", name, "forwarding"))
	d.router = strings.TrimSpace(string(forwarding)) == "1"
	// Without it the kernel takes all virtual addresses of a subnet away with
	// the first of them.
	k.sysctl("ipv4", name, "promote_secondaries", "1")
	k.devices[name] = d
	return d, nil
}

// forget makes the next use of an interface ask for it again.
func (k *Kernel) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := k.devices[name]; d != nil {
		d.stale = true
	}
}

// isGone says that there was nothing to remove.
func isGone(err error) bool {
	_, noLink := errors.AsType[netlink.LinkNotFoundError](err)
	return noLink || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) ||
		errors.Is(err, unix.ESRCH)
}

func linkOf(d *device) netlink.Link {
	return &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: d.index}}
}

const forever = 1<<32 - 1

// address is added without duplicate address detection, which would keep it
// silent for a second. A host's own prefix (/128) is deprecated from the start,
// so that the kernel does not choose it as a source.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
		if p.IsSingleIP() {
			a.ValidLft = forever
		}
	}
	return a
}

func (r Route) netlink(index int) *netlink.Route {
	n := &netlink.Route{
		LinkIndex: index, Table: r.Table, Priority: r.Metric,
		Dst: &net.IPNet{IP: r.Destination.Masked().Addr().AsSlice(), Mask: net.CIDRMask(r.Destination.Bits(), r.Destination.Addr().BitLen())},
	}
	if r.Via.IsValid() {
		n.Gw = r.Via.AsSlice()
	} else {
		n.Scope = netlink.SCOPE_LINK
	}
	if r.Source.IsValid() {
		n.Src = r.Source.AsSlice()
	}
	return n
}

// device is the interface that holds the addresses.
func (c Config) device() string {
	switch {
	case !c.VirtualMAC:
		return c.Interface
	case c.v6():
		return fmt.Sprintf("ha6.%d", c.VRID)
	}
	return fmt.Sprintf("ha.%d", c.VRID)
}

// virtualMAC is the address of RFC 9568, section 7.3.
func (c Config) virtualMAC() net.HardwareAddr {
	family := byte(1)
	if c.v6() {
		family = 2
	}
	return net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, family, c.VRID}
}

// addMacvlan makes the device that has the virtual MAC. It is private, so that
// the host's own traffic does not loop, and it answers for nothing but its own
// addresses.
func (k *Kernel) addMacvlan(c Config) error {
	name := c.device()
	parent, err := k.device(c.Interface)
	if err != nil {
		return err
	}
	l := &netlink.Macvlan{
		LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: parent.index, HardwareAddr: c.virtualMAC()},
		Mode:      netlink.MACVLAN_MODE_PRIVATE,
	}
	switch err := k.handle.LinkAdd(l); {
	case errors.Is(err, unix.EEXIST):
	case err != nil:
		k.forget(c.Interface)
		return fmt.Errorf("vip: add %s on %s: %w", name, c.Interface, err)
	default:
		k.forget(name)
		k.sysctl("ipv4", c.Interface, "arp_ignore", "1")
		k.sysctl("ipv4", c.Interface, "arp_filter", "1")
		// Its own ARP requests must not say that a virtual address is at its MAC.
		k.sysctl("ipv4", c.Interface, "arp_announce", "2")
		k.sysctl("ipv4", name, "arp_ignore", "1")
		k.sysctl("ipv4", name, "accept_local", "1")
		k.sysctl("ipv6", name, "addr_gen_mode", "1") // no link-local address of its own
		k.sysctl("ipv6", name, "accept_dad", "0")
		k.sysctl("ipv6", name, "accept_ra", "0")
		// The kernel takes the stricter of "all" and the interface's own,
		// except that loose (2) beats strict (1).
		filter := "0"
		if all, _ := os.ReadFile(sysctlPath("ipv4", "all", "rp_filter")); strings.TrimSpace(string(all)) != "0" {
			filter = "2"
		}
		k.sysctl("ipv4", name, "rp_filter", filter)
	}
	d, err := k.device(name)
	if err != nil {
		return err
	}
	if err := k.handle.LinkSetUp(linkOf(d)); err != nil {
		k.forget(name)
		return fmt.Errorf("vip: set up %s: %w", name, err)
	}
	return nil
}

func sysctlPath(family, device, key string) string {
	return filepath.Join("/proc/sys/net", family, "conf", device, key)
}

// sysctl sets what makes the addresses behave. Where /proc/sys is read-only, as
// in many containers, the one who made it so has to; it is worth no failure.
func (k *Kernel) sysctl(family, device, key, value string) {
	path := sysctlPath(family, device, key)
	if have, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(have)) == value {
		return
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
		k.log.Warn("vip sysctl not set", "path", path, "value", value, "err", err)
	}
}
