package demo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// LabConfig says how [Lab] runs.
type LabConfig struct {
	Out io.Writer
	// Exe is the binary that runs on the load balancers.
	Exe string
	// Interval is the time between advertisements. Default 10 ms.
	Interval time.Duration
	// Rounds is how often the active host is killed, and how often the
	// address is handed over. Default 3.
	Rounds int
	// Verbose prints the logs of the load balancers.
	Verbose bool
}

// The LAN of the lab.
var (
	labVIP    = netip.MustParsePrefix("10.20.0.100/24")
	labClient = netip.MustParsePrefix("10.20.0.9/24")
)

func labHost(last int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 20, 0, byte(last)}), 24)
}

// A lab is what Lab builds.
type lab struct {
	LabConfig
	narrator *narrator
	dir      string
	lan      *LAN
	client   *Host
	nodes    []*Node
	watch    *Watch
	ping     *Ping
	load     *Load
}

// Lab measures failover between real network stacks: two load balancers run
// the binary, three hosts run web servers, and a client pings the shared
// address every millisecond and asks for a page every five. The active host is
// killed and its cable pulled, again and again; then the address is handed
// over on request. Lab needs root and leaves nothing behind.
func Lab(ctx context.Context, cfg LabConfig) error {
	if os.Geteuid() != 0 {
		return errors.New("lab: needs root, for network namespaces and addresses; `ha dev` does not")
	}
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Millisecond)
	cfg.Rounds = cmp.Or(cfg.Rounds, 3)
	l := &lab{LabConfig: cfg, narrator: newNarrator(cfg.Out)}
	dir, err := os.MkdirTemp("", "ha-lab-")
	if err != nil {
		return fmt.Errorf("lab: make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	l.dir = dir
	if l.lan, err = NewLAN(); err != nil {
		return err
	}
	defer l.lan.Close()
	if err := l.build(ctx); err != nil {
		return err
	}
	defer l.stop()
	crash, err := l.repeat(ctx, "crash", l.crash)
	if err != nil {
		return err
	}
	planned, err := l.repeat(ctx, "handover", l.handover)
	if err != nil {
		return err
	}
	l.narrator.plain("\nOutage of %s as a client saw it, at an interval of %v, %d times each:\n", labVIP.Addr(), l.Interval, l.Rounds)
	l.narrator.plain("  active host killed and unplugged   %s\n", spread(crash))
	l.narrator.plain("  planned handover (ha vip release)  %s\n", spread(planned))
	return nil
}

// spread writes a row of outages.
func spread(d []time.Duration) string {
	slices.Sort(d)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("median %6.1f ms   least %6.1f ms   most %6.1f ms", ms(d[len(d)/2]), ms(d[0]), ms(d[len(d)-1]))
}

// labConfig is the file of one load balancer.
const labConfig = `roles = ["lb"]
node  = "%[1]s"

[cluster]
name     = "lab"
bind     = "%[2]s:7946"
join     = ["10.20.0.1:7946", "10.20.0.2:7946"]
key_file = "%[3]s/cluster.key"
interval = "%[4]s"

[[vip]]
name      = "web"
vrid      = 51
addresses = ["10.20.0.100/24"]
interface = "eth0"
priority  = %[5]d
preempt   = false

[[lb.service]]
name   = "web"
listen = ["10.20.0.100:80"]
  [lb.service.check]
  kind     = "http"
  path     = "/healthz"
  interval = "200ms"
  timeout  = "150ms"
  [[lb.service.server]]
  address = "10.20.0.21:80"
  [[lb.service.server]]
  address = "10.20.0.22:80"
  [[lb.service.server]]
  address = "10.20.0.23:80"

[admin]
socket = "%[3]s/%[1]s.sock"
listen = "none"
`

// newKey is a fresh cluster key in the form of a key file.
func newKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return append(base64.StdEncoding.AppendEncode(nil, key), '\n')
}

func (l *lab) build(ctx context.Context) (err error) {
	if l.client, err = l.lan.Host("client", labClient); err != nil {
		return err
	}
	for i := range 3 {
		h, err := l.lan.Host(fmt.Sprintf("web%d", i+1), labHost(21+i))
		if err != nil {
			return err
		}
		w, err := NewWeb(h, l.dir)
		if err != nil {
			return err
		}
		if err := w.Start(); err != nil {
			return err
		}
		l.narrator.say(h.Name, "%s on %s", w.Kind(), labHost(21+i).Addr())
	}
	if err := os.WriteFile(filepath.Join(l.dir, "cluster.key"), newKey(), 0o600); err != nil {
		return fmt.Errorf("lab: write key: %w", err)
	}
	for i := range 2 {
		if err := l.addNode(i); err != nil {
			return err
		}
	}
	if l.watch, err = NewWatch(ctx, l.nodes[0].Host, l.nodes[1].Host); err != nil {
		return err
	}
	for _, n := range l.nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	if err := l.settled(ctx); err != nil {
		return err
	}
	if l.ping, err = StartPing(l.client, labVIP.Addr(), time.Millisecond); err != nil {
		return err
	}
	addr := net.JoinHostPort(labVIP.Addr().String(), "80")
	l.load = StartLoad(5*time.Millisecond, func() (net.Conn, error) {
		return l.client.Dial("tcp", addr, net.Dialer{Timeout: answerWithin})
	})
	l.narrator.say("client", "pings %s every 1 ms and asks for http://%s/ every 5 ms", labVIP.Addr(), labVIP.Addr())
	return nil
}

func (l *lab) addNode(i int) error {
	name := fmt.Sprintf("lb%d", i+1)
	h, err := l.lan.Host(name, labHost(1+i))
	if err != nil {
		return err
	}
	n := &Node{
		Host: h, Exe: l.Exe,
		Config: filepath.Join(l.dir, name+".toml"),
		Socket: filepath.Join(l.dir, name+".sock"),
		Log:    io.Discard,
	}
	if l.Verbose {
		n.Log = &lines{say: func(line string) { l.narrator.say(name, "%s", line) }}
	}
	text := fmt.Sprintf(labConfig, name, labHost(1+i).Addr(), l.dir, l.Interval, 200-100*i)
	if err := os.WriteFile(n.Config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("lab: configure %s: %w", name, err)
	}
	l.narrator.say(name, "%s on %s, priority %d", filepath.Base(l.Exe), labHost(1+i).Addr(), 200-100*i)
	l.nodes = append(l.nodes, n)
	return nil
}

// settled waits until both nodes are ready and one holds the address.
func (l *lab) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, n := range l.nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return l.watch.WaitFor(ctx, labVIP.Addr(), "have one holder", func(holders []string) bool { return len(holders) == 1 })
}

// repeat runs an experiment and prints each result.
func (l *lab) repeat(ctx context.Context, what string, experiment func(context.Context, *Node, *Node) error) ([]time.Duration, error) {
	var out []time.Duration
	for i := range l.Rounds {
		active, backup := l.nodes[0], l.nodes[1]
		if slices.Contains(l.watch.Holders(labVIP.Addr()), backup.Host.Name) {
			active, backup = backup, active
		}
		if err := pause(ctx, time.Second); err != nil {
			return nil, err
		}
		from := time.Now()
		if err := experiment(ctx, active, backup); err != nil {
			return nil, fmt.Errorf("lab: %s %d: %w", what, i+1, err)
		}
		// Long enough for a first SYN that was lost to be sent again.
		if err := pause(ctx, 1500*time.Millisecond); err != nil {
			return nil, err
		}
		to := time.Now()
		ping := l.ping.Outage(from, to)
		l.narrator.say("client", "%s %d: outage %s; %s", what, i+1, ping, l.load.Tally(from, to))
		out = append(out, ping.Longest)
		if err := l.mend(ctx, active); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// crash makes a host vanish: its cable is pulled and every process killed.
func (l *lab) crash(ctx context.Context, active, backup *Node) error {
	l.narrator.say(active.Host.Name, "is killed and unplugged")
	if err := errors.Join(l.lan.Unplug(active.Host), active.Kill()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return l.watch.WaitFor(ctx, labVIP.Addr(), "be held by "+backup.Host.Name, func(holders []string) bool {
		return slices.Contains(holders, backup.Host.Name)
	})
}

// handover runs the command an operator would.
func (l *lab) handover(ctx context.Context, active, backup *Node) error {
	l.narrator.say(active.Host.Name, "ha vip release web")
	out, err := active.Host.Run(l.Exe, "vip", "release", "web", "--socket", active.Socket)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		l.narrator.say(active.Host.Name, "%s", strings.TrimSpace(line))
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return l.watch.Wait(ctx, labVIP.Addr(), backup.Host.Name)
}

// mend brings a killed host back as a reboot would: without the address.
func (l *lab) mend(ctx context.Context, n *Node) error {
	if n.Running() {
		return nil
	}
	if slices.Contains(l.watch.Holders(labVIP.Addr()), n.Host.Name) {
		if err := n.Host.RemoveAddress(labVIP); err != nil {
			return fmt.Errorf("lab: reboot %s: %w", n.Host.Name, err)
		}
	}
	if err := errors.Join(l.lan.Plug(n.Host), n.Start()); err != nil {
		return err
	}
	l.narrator.say(n.Host.Name, "is back")
	return l.settled(ctx)
}

// stop ends everything in order and says so if an address is left.
func (l *lab) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if l.load != nil {
		l.load.Stop()
	}
	if l.ping != nil {
		l.ping.Stop()
	}
	for _, n := range slices.Backward(l.nodes) {
		if err := n.Terminate(ctx); err != nil {
			l.narrator.say(n.Host.Name, "did not stop in order: %v", err)
			n.Kill()
		}
		if list, err := n.Host.Addresses(); err != nil || slices.Contains(list, labVIP) {
			l.narrator.say(n.Host.Name, "left %v behind (%v)", labVIP, err)
		}
	}
}

// lines cuts what a process writes into lines.
type lines struct {
	say  func(line string)
	rest []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte{'\n'})
		if !ok {
			return len(b), nil
		}
		l.say(string(line))
		l.rest = rest
	}
}
