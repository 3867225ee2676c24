package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// DevConfig says how [Dev] runs.
type DevConfig struct {
	// Address is the shared virtual address, within 127.0.0.0/8. The hosts
	// and web servers get addresses beside it: with the default
	// 127.0.0.100:8080 they are 127.0.0.11, .12 and 127.0.0.21 to .23.
	Address netip.AddrPort
	// Script is played and ends the demo. Empty: commands come from In.
	Script string
	// In is where commands are typed, a line each. Nil, or not a Terminal:
	// DefaultScript is played.
	In       io.Reader
	Terminal bool
	Out      io.Writer
	// Verbose prints what the parts log below their changes of state.
	Verbose bool
	// Version is what the hosts say they are.
	Version string
}

// A cluster is everything Dev runs.
type cluster struct {
	DevConfig
	narrator *narrator
	dir      string // keys and sockets
	segment  *segment
	hosts    []*host
	webs     []*devWeb
	member   *member
	load     *Load
	since    time.Time // of the first command after the last settled state
}

// A devWeb is a web server that can be killed and revived.
type devWeb struct {
	name string
	addr netip.AddrPort
	web  *web // nil: dead
}

const (
	// settleWithin bounds how long a cluster may take to reach what is
	// expected, and settledFor how long it must have stayed there: longer
	// than a host of higher priority waits before it takes the address.
	settleWithin = 15 * time.Second
	settledFor   = 500 * time.Millisecond
)

// Dev runs two load-balancer hosts, three web servers and a ZooKeeper server in
// this process, on loopback, and a client that asks for a page without pause. It returns when
// the script ends, when the person quits or when ctx ends; an error means that
// something did not settle as it should have.
func Dev(ctx context.Context, cfg DevConfig) error {
	if !cfg.Address.IsValid() {
		cfg.Address = netip.MustParseAddrPort("127.0.0.100:8080")
	}
	if !cfg.Address.Addr().Is4() || !cfg.Address.Addr().IsLoopback() || cfg.Address.Port() == 0 {
		return fmt.Errorf("demo: address %s is not an IPv4 loopback address with a port", cfg.Address)
	}
	if cfg.Script == "" && (cfg.In == nil || !cfg.Terminal) {
		cfg.Script = DefaultScript
	}
	c := &cluster{DevConfig: cfg, narrator: newNarrator(cfg.Out)}
	for i := range 3 {
		c.webs = append(c.webs, &devWeb{name: fmt.Sprintf("web%d", i+1), addr: c.beside(21+i, cfg.Address.Port())})
	}
	for i := range 2 {
		c.hosts = append(c.hosts, &host{cluster: c, name: fmt.Sprintf("lb%d", i+1), index: i})
	}
	c.member = &member{cluster: c, name: "zab1"}
	script, err := parseScript(cfg.Script, c.parts())
	if err != nil {
		return err
	}
	if c.dir, err = os.MkdirTemp("", "ha-dev-"); err != nil {
		return fmt.Errorf("demo: make a folder for keys: %w", err)
	}
	defer os.RemoveAll(c.dir)
	return c.run(ctx, script)
}

// beside is an address of the same /24 as the shared one.
func (c *cluster) beside(last int, port uint16) netip.AddrPort {
	a := c.Address.Addr().As4()
	a[3] = byte(last)
	return netip.AddrPortFrom(netip.AddrFrom4(a), port)
}

// roles are parts named by what they do at the moment.
var roles = []string{"active", "backup", "dead"}

// parts names what can be killed.
func (c *cluster) parts() []string {
	out := slices.Clone(roles)
	for _, h := range c.hosts {
		out = append(out, h.name)
	}
	for _, w := range c.webs {
		out = append(out, w.name)
	}
	return append(out, c.member.name)
}

func (c *cluster) run(ctx context.Context, script []command) (err error) {
	if c.segment, err = newSegment(c.Address); err != nil {
		return err
	}
	go c.segment.run()
	defer c.segment.close()
	c.intro()
	defer c.finish(time.Now())
	for _, w := range c.webs {
		if err := w.start(); err != nil {
			return err
		}
	}
	if err := c.member.start(); err != nil {
		return err
	}
	for _, h := range c.hosts {
		if err := h.start(); err != nil {
			return err
		}
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	c.load = StartLoad(5*time.Millisecond, func() (net.Conn, error) {
		return net.DialTimeout("tcp", c.Address.String(), answerWithin)
	})
	if c.Script != "" {
		return c.play(ctx, script)
	}
	c.narrator.plain("%s", help())
	return c.converse(ctx, c.In)
}

func (c *cluster) intro() {
	c.narrator.plain("Two load balancers share http://%s/ in front of three web servers, all in this process.\n", c.Address)
	for _, h := range c.hosts {
		c.narrator.plain("  %s   beats on %s, balances on %s, priority %d\n", h.name, h.bind(), h.service(), h.priority())
	}
	for _, w := range c.webs {
		c.narrator.plain("  %s  http://%s/\n", w.name, w.addr)
	}
	c.narrator.plain("  %s  a ZooKeeper server; talk to it: ha zk -s %s, or zkCli.sh -server %s\n", c.member.name, c.member.addr(), c.member.addr())
	c.narrator.plain("A client asks for a page every 5 ms; each line below is a change of state, its time in seconds.\n\n")
}

func (w *devWeb) start() error {
	l, err := net.Listen("tcp", w.addr.String())
	if err != nil {
		return fmt.Errorf("demo: start %s: %w", w.name, err)
	}
	w.web = serveWeb(w.name, l)
	return nil
}

// do obeys one command.
func (c *cluster) do(ctx context.Context, cmd command) error {
	c.narrator.say("demo", "> %s", cmd)
	if changes([]command{cmd}) && c.since.IsZero() {
		c.since = time.Now()
	}
	part, err := c.resolve(cmd.part)
	if err != nil {
		return err
	}
	switch cmd.verb {
	case "kill":
		return c.kill(part)
	case "revive":
		return c.revive(part)
	case "release":
		return c.release(ctx)
	case "drain", "undrain":
		return c.drain(part, cmd.verb == "drain")
	case "status":
		c.status()
	case "help":
		c.narrator.plain("%s", help())
	case "wait":
		if cmd.time > 0 {
			select {
			case <-time.After(cmd.time):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := c.settle(ctx); err != nil {
			return err
		}
		c.report()
	}
	return nil
}

// resolve turns "active", "backup" and "dead" into the part they mean now.
func (c *cluster) resolve(part string) (string, error) {
	holders := c.holders()
	for _, h := range c.hosts {
		switch {
		case part == "active" && h.alive() && slices.Contains(holders, h.name),
			part == "backup" && h.alive() && !slices.Contains(holders, h.name),
			part == "dead" && !h.alive():
			return h.name, nil
		}
	}
	for _, w := range c.webs {
		if part == "dead" && w.web == nil {
			return w.name, nil
		}
	}
	if part == "dead" && c.member.member == nil {
		return c.member.name, nil
	}
	if slices.Contains(roles, part) {
		return "", fmt.Errorf("demo: nothing is %s now", part)
	}
	return part, nil
}

func (c *cluster) kill(part string) error {
	if h := c.host(part); h != nil {
		return h.kill()
	}
	if part == c.member.name {
		return c.member.stop()
	}
	w := c.web(part)
	if w.web == nil {
		return fmt.Errorf("demo: kill %s: it is dead already", part)
	}
	w.web.kill()
	w.web = nil
	return nil
}

func (c *cluster) revive(part string) error {
	if h := c.host(part); h != nil {
		if h.alive() {
			return fmt.Errorf("demo: revive %s: it lives", part)
		}
		return h.start()
	}
	if part == c.member.name {
		return c.member.start()
	}
	w := c.web(part)
	if w.web != nil {
		return fmt.Errorf("demo: revive %s: it lives", part)
	}
	return w.start()
}

// release asks the host that holds the address to give it away.
func (c *cluster) release(ctx context.Context) error {
	for _, h := range c.hosts {
		if h.alive() && slices.Contains(c.holders(), h.name) {
			return h.release(ctx)
		}
	}
	return errors.New("demo: release: nobody holds the address")
}

// drain tells both balancers, as an operator would.
func (c *cluster) drain(part string, on bool) error {
	w := c.web(part)
	var errs []error
	for _, h := range c.hosts {
		if h.alive() {
			errs = append(errs, h.drain(w.addr, on))
		}
	}
	return errors.Join(errs...)
}

func (c *cluster) host(name string) *host {
	i := slices.IndexFunc(c.hosts, func(h *host) bool { return h.name == name })
	if i < 0 {
		return nil
	}
	return c.hosts[i]
}

func (c *cluster) web(name string) *devWeb {
	i := slices.IndexFunc(c.webs, func(w *devWeb) bool { return w.name == name })
	return c.webs[i]
}

func (c *cluster) holders() []string {
	var ports []*port
	for _, h := range c.hosts {
		if h.port != nil {
			ports = append(ports, h.port)
		}
	}
	return c.segment.holders(ports...)
}

// settle waits until one live host holds the address and every live host has
// exactly the live web servers in its table.
func (c *cluster) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var since time.Time // all has been as it should be
	for {
		missing := c.unsettled()
		switch {
		case missing != "":
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > settledFor:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("demo: wait: %s: %w", missing, ctx.Err())
		}
	}
}

// unsettled says what is not yet as it should be.
func (c *cluster) unsettled() string {
	alive, webs := 0, 0
	for _, w := range c.webs {
		if w.web != nil {
			webs++
		}
	}
	for _, h := range c.hosts {
		if h.alive() {
			alive++
		}
	}
	if alive == 0 {
		return ""
	}
	if holders := c.holders(); len(holders) != 1 {
		return fmt.Sprintf("the address is held by %v, not by one host", holders)
	}
	for _, h := range c.hosts {
		if !h.alive() {
			continue
		}
		if n := h.healthy(); n != webs {
			return fmt.Sprintf("%s has %d web servers in its table, %d live", h.name, n, webs)
		}
	}
	return ""
}

// report says what the commands since the last settled state cost.
func (c *cluster) report() {
	if c.since.IsZero() || c.load == nil {
		return
	}
	t := c.load.Tally(c.since, time.Now())
	c.narrator.say("client", "longest time without an answer %d ms; %s", t.Outage.Milliseconds(), t)
	c.since = time.Time{}
}

// status prints what every part is doing.
func (c *cluster) status() {
	for _, h := range c.hosts {
		c.narrator.say(h.name, "%s", h.status())
	}
	for _, w := range c.webs {
		state := "dead"
		if w.web != nil {
			state = "alive"
		}
		c.narrator.say(w.name, "%s", state)
	}
	c.narrator.say(c.member.name, "%s", c.member.status())
}

// finish ends the load, then everything else in order, and adds up.
func (c *cluster) finish(start time.Time) {
	var t Tally
	if c.load != nil {
		c.load.Stop()
		t = c.load.Tally(start, time.Now())
	}
	c.stop()
	if c.load == nil {
		return
	}
	var by []string
	for _, w := range c.webs {
		by = append(by, fmt.Sprintf("%s %d", w.name, t.By[w.name]))
	}
	c.narrator.plain("\n%s; by %s; longest outage %d ms\n", t, strings.Join(by, ", "), t.Outage.Milliseconds())
}

// stop ends everything in order; hosts resign.
func (c *cluster) stop() {
	for _, h := range c.hosts {
		if h.alive() {
			h.stop()
		}
	}
	if c.member.member != nil {
		if err := c.member.stop(); err != nil {
			c.narrator.say(c.member.name, "%v", err)
		}
	}
	for _, w := range c.webs {
		if w.web != nil {
			w.web.kill()
		}
	}
}

func (c *cluster) level() slog.Level {
	if c.Verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
