package vip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A watcher is a Link that tells what happens to the interfaces: *Kernel, and
// not the Link of a demonstration.
type watcher interface {
	// watch sends everything there is, as one census, and then each change,
	// until ctx is done.
	watch(ctx context.Context, out chan<- any) error
	// expel removes one address, and says whether it was there. It is for the
	// mover.
	expel(device string, p netip.Prefix) (was bool, err error)
}

// An addressState is one address of one interface.
type addressState struct {
	index   int
	prefix  netip.Prefix
	primary bool // could be a source: neither secondary nor tentative
	gone    bool
}

// A census is the whole of what is there.
type census struct {
	links []linkState
	addrs []addressState
}

// maxWatchFailures in a row are no overflow but a broken socket.
const maxWatchFailures = 10

// watch follows the kernel's notifications. When it was too slow for them it
// takes a census again, so nothing is missed for good.
func (k *Kernel) watch(ctx context.Context, out chan<- any) error {
	sock, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("vip: watch interfaces: %w", err)
	}
	defer context.AfterFunc(ctx, sock.Close)()
	defer sock.Close()
	// 255 addresses that move at once are 100 kB of notifications.
	_ = sock.SetReceiveBufferSize(4<<20, true)
	if err := k.census(ctx, out); err != nil {
		return err
	}
	for failures := 0; ; {
		msgs, from, err := sock.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			if failures++; failures > maxWatchFailures {
				return fmt.Errorf("vip: watch interfaces: %w", err)
			}
			k.log.Warn("vip watch lost notifications, looking again", "err", err)
			if err := k.census(ctx, out); err != nil {
				return err
			}
			continue
		case from.Pid != nl.PidKernel:
			continue
		}
		failures = 0
		for _, m := range msgs {
			if ev := k.parse(m); ev != nil {
				select {
				case out <- ev:
				case <-ctx.Done():
					return nil
				}
			}
		}
	}
}

func (k *Kernel) parse(m syscall.NetlinkMessage) any {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		header := unix.NlMsghdr(m.Header)
		l, err := netlink.LinkDeserialize(&header, m.Data)
		if err != nil {
			return nil
		}
		state := seen(l)
		// A bridge tells of its ports by messages of another family, which say
		// DELLINK when a port leaves it.
		if m.Header.Type == unix.RTM_DELLINK {
			if nl.DeserializeIfInfomsg(m.Data).Family != unix.AF_UNSPEC {
				return nil
			}
			state.gone = true
		}
		k.forget(state.name)
		return state
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return parseAddress(m)
	}
	return nil
}

func seen(l netlink.Link) linkState {
	a := l.Attrs()
	const alive = unix.IFF_UP | unix.IFF_RUNNING
	return linkState{name: a.Name, index: a.Index, up: a.RawFlags&alive == alive}
}

// parseAddress reads an ifaddrmsg; nil if it is not one.
func parseAddress(m syscall.NetlinkMessage) any {
	if len(m.Data) < unix.SizeofIfAddrmsg {
		return nil
	}
	msg := nl.DeserializeIfAddrmsg(m.Data)
	attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return nil
	}
	s := addressState{index: int(msg.Index), gone: m.Header.Type == unix.RTM_DELADDR}
	flags := uint32(msg.Flags)
	var local, addr netip.Addr
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_LOCAL: // differs on point-to-point links
			local, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_FLAGS:
			if len(a.Value) >= 4 {
				flags = nl.NativeEndian().Uint32(a.Value)
			}
		}
	}
	if !local.IsValid() {
		local = addr
	}
	s.prefix = netip.PrefixFrom(local, int(msg.Prefixlen))
	s.primary = isSource(flags, local)
	if !s.prefix.IsValid() {
		return nil
	}
	return s
}

func isSource(flags uint32, a netip.Addr) bool {
	if flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
		return false
	}
	return a.Is6() || flags&unix.IFA_F_SECONDARY == 0
}

func (k *Kernel) census(ctx context.Context, out chan<- any) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE) // the other one is the mover's
	if err != nil {
		return fmt.Errorf("vip: open netlink: %w", err)
	}
	defer h.Close()
	var c census
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("vip: list interfaces: %w", err)
	}
	for _, l := range links {
		c.links = append(c.links, seen(l))
		k.forget(l.Attrs().Name)
	}
	addrs, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("vip: list addresses: %w", err)
	}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		ip = ip.Unmap()
		c.addrs = append(c.addrs, addressState{
			index: a.LinkIndex, prefix: netip.PrefixFrom(ip, bits), primary: isSource(uint32(a.Flags), ip),
		})
	}
	select {
	case out <- c:
	case <-ctx.Done():
	}
	return nil
}

// Run is the slow half: the mover, and the watch over the interfaces. It
// returns when ctx is done; end ctx after the channel of Stop is closed, or
// addresses stay.
func (s *Speaker) Run(ctx context.Context) error {
	defer close(s.closed)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wg.Go(func() { s.runMover(ctx) })
	v := newView(s)
	seen := make(chan any, 64)
	if w, ok := s.link.(watcher); ok {
		wg.Go(func() {
			if err := w.watch(ctx, seen); err != nil {
				cancel(err)
			}
		})
	} else {
		v.sees = true // all there is to see
	}
	for {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case cfgs := <-s.applied:
			v.apply(cfgs)
		case ev := <-seen:
			v.note(ev)
		}
		v.survey()
	}
}

// A view is what the slow half knows of this host: it finds the interfaces of
// the VIPs and opens the sockets that the loop then uses.
type view struct {
	s        *Speaker
	sees     bool // a census has come
	cfgs     []Config
	given    []Config // what the loop has
	vips     map[netip.Addr]bool
	places   map[string]string // interface found for a VIP; it stays
	links    map[int]linkState
	addrs    map[int][]addressState
	ports    map[portKey]portAt
	resolved bool
}

type portKey struct {
	name string
	base string // whose address is the source
	v6   bool
}

type portAt struct {
	index int
	local netip.Addr
}

func newView(s *Speaker) *view {
	return &view{
		s: s, vips: make(map[netip.Addr]bool), places: make(map[string]string),
		links: make(map[int]linkState), addrs: make(map[int][]addressState), ports: make(map[portKey]portAt),
	}
}

func (v *view) apply(cfgs []Config) {
	v.cfgs, v.resolved = cfgs, false
	clear(v.vips)
	for _, c := range cfgs {
		for _, p := range c.Addresses {
			v.vips[p.Addr()] = true
		}
	}
	for _, addrs := range v.addrs {
		for _, a := range addrs {
			v.show(a)
		}
	}
}

// show tells the loop of a virtual address that is there.
func (v *view) show(a addressState) {
	if v.vips[a.prefix.Addr()] {
		v.s.post(sighting{a.index, a.prefix})
	}
}

func (v *view) note(ev any) {
	switch ev := ev.(type) {
	case census:
		v.takeCensus(ev)
	case linkState:
		v.noteLink(ev)
	case addressState:
		v.noteAddress(ev)
	}
}

func (v *view) takeCensus(c census) {
	v.sees = true
	for index, l := range v.links {
		if !slices.ContainsFunc(c.links, func(n linkState) bool { return n.index == index }) {
			l.gone = true
			v.noteLink(l)
		}
	}
	for _, l := range c.links {
		v.noteLink(l)
	}
	for index, have := range v.addrs {
		for _, a := range slices.Clone(have) {
			if !slices.ContainsFunc(c.addrs, func(n addressState) bool { return n.index == index && n.prefix == a.prefix }) {
				a.gone = true
				v.noteAddress(a)
			}
		}
	}
	for _, a := range c.addrs {
		v.noteAddress(a)
	}
}

func (v *view) noteLink(l linkState) {
	if old, ok := v.links[l.index]; ok && old.name != l.name { // renamed
		old.gone = true
		v.s.post(old)
	}
	if l.gone {
		delete(v.links, l.index)
		delete(v.addrs, l.index)
		l.up = false
	} else if v.links[l.index] == l {
		return
	} else {
		v.links[l.index] = l
	}
	v.s.post(l)
}

func (v *view) noteAddress(a addressState) {
	have := v.addrs[a.index]
	n := slices.IndexFunc(have, func(b addressState) bool { return b.prefix == a.prefix })
	switch {
	case a.gone && n >= 0:
		v.addrs[a.index] = slices.Delete(have, n, n+1)
	case !a.gone && n >= 0:
		have[n] = a
	case !a.gone:
		v.addrs[a.index] = append(have, a)
	}
	switch {
	case !a.gone:
		v.show(a)
	case v.vips[a.prefix.Addr()]:
		v.s.post(addressGone{a.index, a.prefix})
	}
}

// survey brings the loop up to date: sockets first, so that an instance that
// starts has its own.
func (v *view) survey() {
	if !v.sees || v.cfgs == nil {
		return
	}
	cfgs := v.resolve()
	v.open(cfgs)
	if !v.resolved || !slices.EqualFunc(v.given, cfgs, func(a, b Config) bool { return a.Interface == b.Interface }) {
		v.resolved, v.given = true, cfgs
		v.s.post(configure{cfgs})
	}
}

// resolve fills in the interface of each VIP that names none: the one with the
// longest prefix that holds its first address.
func (v *view) resolve() []Config {
	cfgs := slices.Clone(v.cfgs)
	for i, c := range cfgs {
		if c.Interface != "" {
			continue
		}
		name := v.places[c.Name]
		if name == "" {
			name = v.holder(c.Addresses[0].Addr())
			v.places[c.Name] = name
		}
		cfgs[i].Interface = name
	}
	return cfgs
}

func (v *view) holder(ip netip.Addr) (name string) {
	bits, least := -1, 0
	for index, addrs := range v.addrs {
		for _, a := range addrs {
			better := a.prefix.Bits() > bits || a.prefix.Bits() == bits && index < least
			if !v.vips[a.prefix.Addr()] && a.prefix.Contains(ip) && better {
				bits, least, name = a.prefix.Bits(), index, v.links[index].name
			}
		}
	}
	return name
}

// open opens a socket for each interface and family that the carrier "vrrp"
// needs, again when the interface is another one or its address has changed,
// and closes those nobody needs.
func (v *view) open(cfgs []Config) {
	need := make(map[portKey]bool)
	for _, c := range cfgs {
		if c.Carrier == carrierVRRP && c.Interface != "" {
			need[portKey{c.Interface, c.Interface, c.v6()}] = true
			if c.VirtualMAC {
				// A macvlan is given every frame that comes from its own MAC,
				// also one sent by another router with this VRID.
				need[portKey{c.device(), c.Interface, c.v6()}] = true
			}
		}
	}
	for key := range v.ports {
		if !need[key] || v.at(key).index == 0 {
			delete(v.ports, key)
			v.s.post(attach{&port{name: key.name, v6: key.v6, fd: -1}})
		}
	}
	for key := range need {
		at := v.at(key)
		if at.index == 0 || v.ports[key] == at {
			continue
		}
		v.ports[key] = at
		p := &port{name: key.name, index: at.index, v6: key.v6, fd: -1, err: noSource(key)}
		if at.local.IsValid() {
			p = openPort(key.name, at.index, key.v6, at.local)
		}
		v.s.post(attach{p})
	}
}

func noSource(key portKey) error {
	family := "IPv4"
	if key.v6 {
		family = "IPv6 link-local"
	}
	return fmt.Errorf("interface %s has no %s address to speak from", key.base, family)
}

// at finds where a port would be: the source of adverts is the primary IPv4
// address, or the link-local IPv6 one, and never a virtual address.
func (v *view) at(key portKey) (at portAt) {
	base := 0
	for index, l := range v.links {
		if l.name == key.name {
			at.index = index
		}
		if l.name == key.base {
			base = index
		}
	}
	for _, a := range v.addrs[base] {
		ip := a.prefix.Addr()
		if a.primary && ip.Is6() == key.v6 && (!key.v6 || ip.IsLinkLocalUnicast()) && !v.vips[ip] {
			at.local = ip
			return at
		}
	}
	return at
}
