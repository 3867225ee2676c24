package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/demo"
)

// exe is the binary under test.
var exe string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "e2e: needs root, for network namespaces")
		if os.Getenv("CI") == "true" {
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "ha-e2e-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	exe = filepath.Join(dir, "ha")
	build := exec.Command("go", "build", "-o", exe, "example.org/ha")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: build the binary: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// Every story plays on the same LAN.
var (
	vip      = netip.MustParsePrefix("10.30.0.100/24")
	clientIP = address(9)
)

func address(last int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 30, 0, byte(last)}), 24)
}

// patience bounds every wait for something that should take far less.
const patience = 20 * time.Second

// An option shapes the file of every host.
type options struct {
	hosts    int           // default 2
	webs     int           // web servers behind [lb]; 0: the hosts have no [lb]
	interval time.Duration // default 50 ms
	vip      string        // more lines of [[vip]]
	check    string        // more lines of the service's check
	service  string        // more lines of [[lb.service]]
	extra    string        // more tables
	idle     bool          // do not start the hosts
	edit     func(host int, file string) string
}

// A cluster is the hosts of one story.
type cluster struct {
	*testing.T
	options
	ctx    context.Context
	dir    string
	lan    *demo.LAN
	client *demo.Host
	nodes  []*demo.Node
	webs   []*demo.Web
	watch  *demo.Watch
	start  time.Time
}

// newCluster builds a LAN with a client, web servers and load balancers, the
// first of which has the highest priority, and waits until it holds the
// address.
func newCluster(t *testing.T, o options) *cluster {
	t.Helper()
	if o.hosts == 0 {
		o.hosts = 2
	}
	if o.interval == 0 {
		o.interval = 50 * time.Millisecond
	}
	dir, err := os.MkdirTemp("", "ha-e2e-")
	must(t, err)
	lan, err := demo.NewLAN()
	must(t, err)
	c := &cluster{T: t, options: o, ctx: t.Context(), dir: dir, lan: lan, start: time.Now()}
	t.Cleanup(c.end)
	c.client = c.host("client", clientIP)
	for i := range o.webs {
		w, err := demo.NewWeb(c.host(fmt.Sprintf("web%d", i+1), address(21+i)), dir)
		must(t, err)
		if w.Kind() != "nginx" {
			t.Fatal("nginx is not installed")
		}
		must(t, w.Start())
		c.webs = append(c.webs, w)
	}
	c.keygen()
	var hosts []*demo.Host
	for i := range o.hosts {
		c.nodes = append(c.nodes, c.node(i))
		hosts = append(hosts, c.nodes[i].Host)
	}
	c.watch, err = demo.NewWatch(c.ctx, hosts...)
	must(t, err)
	if o.idle {
		return c
	}
	// The first starts alone, so that it is the active one without preemption too.
	must(t, c.nodes[0].Start())
	c.holder("lb1")
	for _, n := range c.nodes[1:] {
		must(t, n.Start())
	}
	c.ready()
	c.agreed(0)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) host(name string, a ...netip.Prefix) *demo.Host {
	c.Helper()
	h, err := c.lan.Host(name, a...)
	must(c.T, err)
	return h
}

// keygen writes the cluster's key as an operator would.
func (c *cluster) keygen() {
	c.Helper()
	if out, err := exec.Command(exe, "keygen", c.path("cluster.key")).CombinedOutput(); err != nil {
		c.Fatalf("ha keygen: %v\n%s", err, out)
	}
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

// node prepares the i-th load balancer.
func (c *cluster) node(i int) *demo.Node {
	c.Helper()
	name := fmt.Sprintf("lb%d", i+1)
	log, err := os.Create(c.path(name + ".log"))
	must(c.T, err)
	c.Cleanup(func() { log.Close() })
	n := &demo.Node{
		Host: c.host(name, address(i+1)), Exe: exe,
		Config: c.path(name + ".toml"), Socket: c.path(name + ".sock"), Log: log,
	}
	c.configure(n, c.file(i))
	return n
}

func (c *cluster) configure(n *demo.Node, text string) {
	c.Helper()
	must(c.T, os.WriteFile(n.Config, []byte(text), 0o600))
}

// file is the configuration of the i-th host.
func (c *cluster) file(i int) string {
	var join []string
	for j := range c.hosts {
		join = append(join, fmt.Sprintf("%q", address(j+1).Addr().String()))
	}
	role := "vip"
	if c.options.webs > 0 {
		role = "lb"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `roles = [%q]
node  = "lb%d"

[cluster]
name     = "e2e"
bind     = "%s:7946"
join     = [%s]
key_file = %q
interval = %q

[[vip]]
name      = "web"
vrid      = 51
addresses = [%q]
interface = "eth0"
priority  = %d
%s

[admin]
socket = %q
`, role, i+1, address(i+1).Addr(), strings.Join(join, ", "), c.path("cluster.key"), c.interval, vip, 200-50*i, c.options.vip,
		c.path(fmt.Sprintf("lb%d.sock", i+1)))
	if c.options.webs > 0 {
		fmt.Fprintf(&b, `
[[lb.service]]
name      = "web"
listen    = ["%s:80"]
scheduler = "rr"
%s
  [lb.service.check]
  kind     = "http"
  path     = "/healthz"
  interval = "200ms"
  timeout  = "150ms"
  rise     = 2
  fall     = 2
  %s
`, vip.Addr(), c.service, c.check)
		for w := range c.options.webs {
			fmt.Fprintf(&b, "  [[lb.service.server]]\n  address = \"%s:80\"\n", address(21+w).Addr())
		}
	}
	b.WriteString(c.extra)
	if c.edit != nil {
		return c.edit(i, b.String())
	}
	return b.String()
}

// within is a context that ends after patience.
func (c *cluster) within() context.Context {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	c.Cleanup(cancel)
	return ctx
}

// ready waits until every part of every running host is ready and the hosts
// know each other.
func (c *cluster) ready() {
	c.Helper()
	running := 0
	for _, n := range c.nodes {
		if n.Running() {
			running++
		}
	}
	for _, n := range c.nodes {
		if n.Running() {
			c.status(n, "be ready and to know every host", func(s admin.Status) bool {
				return s.Ready() && alive(s) == running
			})
		}
	}
}

// alive counts the hosts that one host believes in, itself included.
func alive(s admin.Status) int {
	n := 0
	for _, h := range s.Hosts {
		if h.State == "self" || h.State == "alive" {
			n++
		}
	}
	return n
}

// status waits until a host's status is as it should be.
func (c *cluster) status(n *demo.Node, what string, ok func(admin.Status) bool) admin.Status {
	c.Helper()
	s, err := n.Status(c.within(), what, ok)
	if err != nil {
		c.Logf("the last status of %s: parts %+v, hosts %+v, vips %+v, lb %+v", n.Host.Name, s.Parts, s.Hosts, s.VIPs, s.LB)
		c.Fatal(err)
	}
	return s
}

// holder waits until exactly this host holds the address.
func (c *cluster) holder(name string) {
	c.Helper()
	must(c.T, c.watch.Wait(c.within(), vip.Addr(), name))
}

// oneHolder waits until one host, whichever, holds the address and goes on
// doing so.
func (c *cluster) oneHolder(steady time.Duration) string {
	c.Helper()
	for ctx := c.within(); ; {
		must(c.T, c.watch.WaitFor(ctx, vip.Addr(), "have one holder", func(holders []string) bool { return len(holders) == 1 }))
		before := c.watch.Holders(vip.Addr())
		still, cancel := context.WithTimeout(ctx, steady)
		err := c.watch.WaitFor(still, vip.Addr(), "move", func(holders []string) bool { return !slices.Equal(before, holders) })
		cancel()
		if err != nil && ctx.Err() == nil {
			return before[0]
		}
	}
}

// holds waits until this host, maybe among others, holds the address.
func (c *cluster) holds(name string) {
	c.Helper()
	must(c.T, c.watch.WaitFor(c.within(), vip.Addr(), "be held by "+name, func(holders []string) bool {
		return slices.Contains(holders, name)
	}))
}

// agreed waits until every running host says that the i-th is the active one,
// by its name or, where the carrier knows no names, by its address.
func (c *cluster) agreed(i int) {
	c.Helper()
	name, addr := c.nodes[i].Host.Name, address(i+1).Addr()
	for _, n := range c.nodes {
		if n.Running() {
			c.status(n, "say that "+name+" is active", func(s admin.Status) bool {
				return len(s.VIPs) > 0 && (s.VIPs[0].Active == name || s.VIPs[0].ActiveAddr == addr)
			})
		}
	}
}

// steady demands that for a time nobody takes or lets go of the address.
func (c *cluster) steady(d time.Duration) {
	c.Helper()
	from := time.Now()
	ctx, cancel := context.WithTimeout(c.ctx, d)
	defer cancel()
	before := c.watch.Holders(vip.Addr())
	err := c.watch.WaitFor(ctx, vip.Addr(), "move", func(holders []string) bool { return !slices.Equal(before, holders) })
	if err == nil {
		moves, _ := c.watch.Log(from)
		c.Errorf("the address moved when it should not have: %v", moves)
	}
}

// elapse waits for a time in which something must go on happening.
func (c *cluster) elapse(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
	}
}

// ping pings the address from the client and waits for the first answer.
func (c *cluster) ping() *demo.Ping {
	c.Helper()
	p, err := demo.StartPing(c.client, vip.Addr(), time.Millisecond)
	must(c.T, err)
	c.Cleanup(p.Stop)
	c.until("the address answers pings", func() bool { return p.Answered(20) })
	return p
}

// load asks for pages from the client, each on a new connection.
func (c *cluster) load(every time.Duration) *demo.Load {
	c.Helper()
	addr := net.JoinHostPort(vip.Addr().String(), "80")
	return demo.StartLoad(every, func() (net.Conn, error) {
		return c.client.Dial("tcp", addr, net.Dialer{Timeout: 3 * time.Second})
	})
}

// until polls what nothing announces.
func (c *cluster) until(what string, ok func() bool) {
	c.Helper()
	ctx := c.within()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.Fatalf("it did not come true that %s", what)
		}
	}
}

// healthy waits until every running balancer gives new connections to exactly
// these web servers.
func (c *cluster) healthy(webs ...int) {
	c.Helper()
	var want []netip.AddrPort
	for _, w := range webs {
		want = append(want, netip.AddrPortFrom(address(20+w).Addr(), 80))
	}
	for _, n := range c.nodes {
		if n.Running() {
			c.status(n, fmt.Sprintf("have the servers %v in its table", want), func(s admin.Status) bool {
				return slices.Equal(table(s), want)
			})
		}
	}
}

// table lists the servers that get new connections.
func table(s admin.Status) []netip.AddrPort {
	if s.LB == nil || len(s.LB.Services) != 1 {
		return nil
	}
	var out []netip.AddrPort
	for _, server := range s.LB.Services[0].Servers {
		if server.InTable && server.Current > 0 {
			out = append(out, server.Address)
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return out
}

// ha runs the command line on a node's host.
func (c *cluster) ha(n *demo.Node, args ...string) string {
	c.Helper()
	out, err := n.Host.Run(exe, args...)
	must(c.T, err)
	return out
}

// crash makes a host vanish: unplugged, every process killed.
func (c *cluster) crash(n *demo.Node) time.Time {
	c.Helper()
	at := time.Now()
	must(c.T, c.lan.Unplug(n.Host))
	must(c.T, n.Kill())
	return at
}

// reboot brings a crashed host back with the addresses it boots with.
func (c *cluster) reboot(n *demo.Node) {
	c.Helper()
	if slices.Contains(c.watch.Holders(vip.Addr()), n.Host.Name) {
		must(c.T, n.Host.RemoveAddress(vip))
	}
	must(c.T, c.lan.Plug(n.Host))
	must(c.T, n.Start())
}

// end stops what still runs, in order, and demands that nothing is left.
func (c *cluster) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, n := range slices.Backward(c.nodes) {
		if !n.Running() {
			continue
		}
		if err := n.Terminate(ctx); err != nil {
			c.Errorf("%s did not stop in order: %v", n.Host.Name, err)
			n.Kill()
		}
		if list, err := n.Host.Addresses(); err != nil || slices.Contains(list, vip) {
			c.Errorf("%s left the address behind: %v %v", n.Host.Name, list, err)
		}
	}
	if c.Failed() {
		c.explain()
	}
	c.lan.Close()
	os.RemoveAll(c.dir)
}

// explain prints what a reader of a failure wants to see.
func (c *cluster) explain() {
	if c.watch != nil {
		moves, errs := c.watch.Log(c.start)
		for _, m := range moves {
			if m.Address == vip.Addr() {
				c.Log(m)
			}
		}
		for _, err := range errs {
			c.Log(err)
		}
	}
	logs, _ := filepath.Glob(c.path("*.log"))
	for _, l := range logs {
		text, _ := os.ReadFile(l)
		lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		c.Logf("%s, last lines:\n%s", filepath.Base(l), strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}
