package demo

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A LAN is an Ethernet segment of its own: a bridge in one network namespace
// and hosts in others, each with one interface, eth0. It needs root.
type LAN struct {
	Switch *Host // the namespace of the bridge; a host's port is named after it

	mu    sync.Mutex
	hosts []*Host
}

// A Host is a network namespace with a thread of its own that never leaves
// it. Processes started on that thread live in the namespace and are killed
// by the kernel when the thread ends, so nothing outlives this process.
type Host struct {
	Name string

	ns   netns.NsHandle
	link *netlink.Handle
	jobs chan func()
	done chan struct{} // closed when the thread has ended
}

// NewLAN makes the bridge.
func NewLAN() (*LAN, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("demo: make network namespaces: needs root")
	}
	sw, err := newHost("switch")
	if err != nil {
		return nil, err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	bridge.MulticastSnooping = new(false)
	if err := errors.Join(sw.link.LinkAdd(bridge), sw.link.LinkSetUp(bridge)); err != nil {
		sw.close()
		return nil, fmt.Errorf("demo: make bridge: %w", err)
	}
	return &LAN{Switch: sw}, nil
}

// Close ends every process on the LAN and lets its namespaces go.
func (l *LAN) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hosts {
		h.close()
	}
	l.hosts = nil
	l.Switch.close()
}

// Host adds a host with the addresses on its eth0.
func (l *LAN) Host(name string, addresses ...netip.Prefix) (*Host, error) {
	h, err := newHost(name)
	if err != nil {
		return nil, err
	}
	if err := l.wire(h, addresses); err != nil {
		h.close()
		return nil, fmt.Errorf("demo: wire %s to the bridge: %w", name, err)
	}
	l.mu.Lock()
	l.hosts = append(l.hosts, h)
	l.mu.Unlock()
	return h, nil
}

func (l *LAN) wire(h *Host, addresses []netip.Prefix) error {
	port := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: h.Name},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(h.ns),
	}
	if err := l.Switch.link.LinkAdd(port); err != nil {
		return err
	}
	bridge, err := l.Switch.link.LinkByName("br0")
	if err != nil {
		return err
	}
	if err := errors.Join(l.Switch.link.LinkSetMaster(port, bridge), l.Switch.link.LinkSetUp(port)); err != nil {
		return err
	}
	eth0, err := h.link.LinkByName("eth0")
	if err != nil {
		return err
	}
	// Duplicate address detection would keep IPv6 addresses unusable for a
	// second, and a host must answer ARP only on the interface that has the
	// address.
	for key, value := range map[string]string{
		"ipv6/conf/eth0/accept_dad":    "0",
		"ipv6/conf/eth0/dad_transmits": "0",
		"ipv6/conf/eth0/accept_ra":     "0",
		"ipv4/conf/all/arp_ignore":     "1",
	} {
		if err := h.Sysctl(key, value); err != nil {
			return err
		}
	}
	for _, a := range addresses {
		if err := h.link.AddrReplace(eth0, address(a)); err != nil {
			return fmt.Errorf("add %s: %w", a, err)
		}
	}
	return h.link.LinkSetUp(eth0)
}

func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// Unplug pulls the host's cable: its port on the bridge goes down.
func (l *LAN) Unplug(h *Host) error { return l.Switch.SetLink(h.Name, false) }

// Plug puts the cable back.
func (l *LAN) Plug(h *Host) error { return l.Switch.SetLink(h.Name, true) }

func newHost(name string) (*Host, error) {
	h := &Host{Name: name, jobs: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go h.live(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("demo: make namespace %s: %w", name, err)
	}
	return h, nil
}

// live is the host's thread. It is never unlocked, so the runtime ends the
// thread with the goroutine instead of giving a stray namespace to others.
func (h *Host) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The first thread cannot end before the process does, and its
		// namespace is what /proc/self shows: leave it to somebody else.
		moved := make(chan struct{})
		go func() {
			close(moved)
			h.live(ready)
		}()
		<-moved
		runtime.UnlockOSThread()
		return
	}
	defer close(h.done)
	ns, err := netns.New()
	if err != nil {
		ready <- err
		return
	}
	h.ns = ns
	if h.link, err = netlink.NewHandleAt(ns, unix.NETLINK_ROUTE); err == nil {
		err = h.SetLink("lo", true)
	}
	ready <- err
	if err != nil {
		return
	}
	for job := range h.jobs {
		job()
	}
	h.link.Close()
	h.ns.Close()
}

func (h *Host) close() {
	close(h.jobs)
	<-h.done
}

// Do runs f in the host's namespace: sockets it opens stay there, and so do
// processes it starts. It must not block for long: jobs of one host queue.
func (h *Host) Do(f func() error) error {
	result := make(chan error, 1)
	h.jobs <- func() { result <- f() }
	return <-result
}

// Visit is Do for what may block, such as a dial: it lends f a thread of its
// own.
func (h *Host) Visit(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// A thread that entered the namespace and could not go home is not
		// given back: the lock stays and the thread ends with the goroutine.
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			result <- err
			return
		}
		defer home.Close()
		if err := netns.Set(h.ns); err != nil {
			result <- err
			return
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// Start starts a command in the host's namespace. The command dies with this
// process.
func (h *Host) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return h.Do(cmd.Start)
}

// Run runs a command in the namespace to its end and returns what it said; an
// error quotes it.
func (h *Host) Run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var out []byte
	err := h.Visit(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return string(out), fmt.Errorf("demo: run %s on %s: %w: %s", cmd, h.Name, err, out)
	}
	return string(out), nil
}

// Dial connects from the host. The address must be a literal one.
func (h *Host) Dial(network, addr string, d net.Dialer) (conn net.Conn, err error) {
	err = h.Visit(func() (err error) {
		conn, err = d.Dial(network, addr)
		return err
	})
	return conn, err
}

// Listen listens on the host.
func (h *Host) Listen(network, addr string) (l net.Listener, err error) {
	err = h.Do(func() (err error) {
		l, err = net.Listen(network, addr)
		return err
	})
	return l, err
}

// Sysctl sets net.KEY, written with slashes.
func (h *Host) Sysctl(key, value string) error {
	return h.Do(func() error { return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0) })
}

// SetLink takes an interface up or down.
func (h *Host) SetLink(name string, up bool) error {
	l, err := h.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("demo: find interface %s on %s: %w", name, h.Name, err)
	}
	if up {
		return h.link.LinkSetUp(l)
	}
	return h.link.LinkSetDown(l)
}

// Addresses lists what eth0 holds, link-local addresses left out.
func (h *Host) Addresses() ([]netip.Prefix, error) {
	eth0, err := h.link.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	list, err := h.link.AddrList(eth0, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if ip = ip.Unmap(); !ip.IsLinkLocalUnicast() {
			out = append(out, netip.PrefixFrom(ip, bits))
		}
	}
	return out, nil
}

// RemoveAddress takes an address off eth0, as a person with `ip addr del`
// would.
func (h *Host) RemoveAddress(p netip.Prefix) error {
	eth0, err := h.link.LinkByName("eth0")
	if err != nil {
		return err
	}
	return h.link.AddrDel(eth0, address(p))
}

// Namespace is a path to the host's network namespace, good as long as this
// process lives: nsenter --net=PATH.
func (h *Host) Namespace() string {
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(h.ns))
}
