package vip

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
)

// The kernel tests run whole speakers as processes of their own, in network
// namespaces: this test binary, executed again with this variable set.
const speakerVar = "VIP_TEST_SPEAKER"

func TestMain(m *testing.M) {
	if text := os.Getenv(speakerVar); text != "" {
		if err := speakerMain(text); err != nil {
			fmt.Fprintln(os.Stderr, "speaker:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hostVar names the host of a speaker that has a heartbeat; its address is
// 10.98.0.N for host "hN".
const hostVar = "VIP_TEST_HOST"

// realtimeVar gives a speaker the realtime loop it has in the product: for
// tests that count single milliseconds.
const realtimeVar = "VIP_TEST_REALTIME"

func gossipNode(host string, loop *heartbeat.Loop, log *slog.Logger) (*heartbeat.Node, error) {
	keys, err := gossip.ParseKeys([]byte(base64.StdEncoding.EncodeToString(make([]byte, 32))))
	if err != nil {
		return nil, err
	}
	cfg := heartbeat.Config{
		Name: "test", Bind: netip.MustParseAddrPort("10.98.0." + host[1:] + ":7946"),
		Join: []string{"10.98.0.1:7946", "10.98.0.2:7946"}, KeyFile: "given", Interval: 20 * time.Millisecond,
	}
	return heartbeat.NewNode(cfg, host, keys, loop, log)
}

// speakerMain runs one Speaker. Lines on standard input are commands; lines on
// standard output are the changes of state and the answers.
func speakerMain(text string) error {
	var cfgs []Config
	if err := json.Unmarshal([]byte(text), &cfgs); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	loop, err := heartbeat.NewLoop(heartbeat.LoopConfig{Realtime: os.Getenv(realtimeVar) != "", Priority: 50})
	if err != nil {
		return err
	}
	link, err := OpenLink(log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var rider Rider
	if host := os.Getenv(hostVar); host != "" {
		node, err := gossipNode(host, loop, log)
		if err != nil {
			return err
		}
		rider = node.Join(gossip.Adverts)
		go node.Run(ctx)
	}
	s, err := NewSpeaker(os.Getenv(hostVar), cfgs, rider, loop, link, log)
	if err != nil {
		return err
	}
	loop.Add(s)
	go loop.Run(ctx)
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	out := json.NewEncoder(os.Stdout)
	go func() {
		for c := range s.Changes() {
			out.Encode(answer{Change: &c})
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		verb, rest, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "stop":
			<-s.Stop()
			cancel()
			return <-ran
		case "apply":
			var cfgs []Config
			if err := json.Unmarshal([]byte(rest), &cfgs); err != nil {
				return err
			}
			if err := s.Apply(cfgs); err != nil {
				return err
			}
		case "resign":
			if err := s.Resign(rest, ""); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		case "fault":
			s.SetHealth(rest, 0, "broken")
		case "health":
			s.SetHealth(rest, -100, "")
		case "status":
			out.Encode(answer{Status: s.Status()})
		}
	}
	return in.Err()
}

type answer struct {
	Change *Change  `json:",omitempty"`
	Status []Status `json:",omitempty"`
}

// needNamespaces skips where there is no root, except in CI, which has it.
func needNamespaces(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("CI runs as root")
	}
	t.Skip("needs root for network namespaces")
}

// A lan is a bridge in a namespace of its own and hosts on it.
type lan struct {
	t      *testing.T
	prefix string
	hosts  []string
	// realtime speakers keep their pace on a busy machine.
	realtime bool
}

var lans atomic.Int32

func newLAN(t *testing.T, hosts ...string) *lan {
	t.Helper()
	needNamespaces(t)
	l := &lan{t: t, prefix: fmt.Sprintf("vt%d-%d-", os.Getpid(), lans.Add(1))}
	l.namespace("br")
	l.ip("br", "link", "add", "br0", "type", "bridge")
	l.ip("br", "link", "set", "br0", "up")
	for i, h := range hosts {
		l.namespace(h)
		l.cable(h, "eth0", i+1)
	}
	l.hosts = hosts
	return l
}

func (l *lan) namespace(host string) {
	run(l.t, "ip", "netns", "add", l.prefix+host)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", l.prefix+host).Run() })
	l.ip(host, "link", "set", "lo", "up")
	for _, key := range []string{"all", "default"} {
		l.in(host, "sysctl", "-qw", "net.ipv6.conf."+key+".accept_dad=0")
	}
}

// cable connects an interface of a host to the bridge; n is its address.
func (l *lan) cable(host, dev string, n int) {
	far := host + "-" + dev
	l.ip("br", "link", "add", far, "type", "veth", "peer", "name", dev, "netns", l.prefix+host)
	l.ip("br", "link", "set", far, "master", "br0", "up")
	l.ip(host, "addr", "add", fmt.Sprintf("10.98.0.%d/24", n), "dev", dev)
	l.ip(host, "addr", "add", fmt.Sprintf("fd98::%d/64", n), "dev", dev, "nodad")
	l.ip(host, "link", "set", dev, "up")
}

func (l *lan) ip(host string, args ...string) { l.in(host, append([]string{"ip"}, args...)...) }

func (l *lan) in(host string, args ...string) string {
	l.t.Helper()
	return run(l.t, append([]string{"ip", "netns", "exec", l.prefix + host}, args...)...)
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// holds says whether an address is configured on a host.
func (l *lan) holds(host, ip string) bool {
	l.t.Helper()
	out := l.in(host, "ip", "-br", "addr", "show", "to", ip)
	return strings.Contains(out, ip+"/")
}

// events is what `ip monitor` tells of a host, a line each. It is how a test
// waits for the kernel: by its word, not by a guess of the time.
func (l *lan) events(host string) <-chan string {
	return l.lines(exec.Command("ip", "netns", "exec", l.prefix+host, "ip", "monitor", "address", "link"))
}

func (l *lan) lines(cmd *exec.Cmd) <-chan string {
	l.t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := make(chan string, 4096)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(out)
		in.Buffer(nil, 1<<20) // the status of 255 VIPs is one line
		for in.Scan() {
			select {
			case lines <- in.Text():
			default:
			}
		}
	}()
	return lines
}

const patience = 15 * time.Second

// until asks again at every line the kernel tells, and now and then.
func (l *lan) until(events <-chan string, what string, true_ func() bool) time.Duration {
	l.t.Helper()
	began := time.Now()
	for !true_() {
		wait := time.NewTimer(20 * time.Millisecond)
		select {
		case <-events:
		case <-wait.C:
		}
		wait.Stop()
		if time.Since(began) > patience {
			l.t.Fatalf("after %v still not: %s", patience, what)
		}
	}
	return time.Since(began)
}

// A process is a speaker in a namespace.
type process struct {
	t       *testing.T
	host    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers <-chan string
	log     *journal
}

func (l *lan) speaker(host string, cfgs ...Config) *process {
	l.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	text, err := json.Marshal(cfgs)
	if err != nil {
		l.t.Fatal(err)
	}
	p := &process{t: l.t, host: host, cmd: exec.Command("ip", "netns", "exec", l.prefix+host, exe), log: new(journal)}
	p.cmd.Env = append(os.Environ(), speakerVar+"="+string(text))
	if l.realtime {
		p.cmd.Env = append(p.cmd.Env, realtimeVar+"=1")
	}
	if cfgs[0].Carrier != carrierVRRP {
		p.cmd.Env = append(p.cmd.Env, hostVar+"="+host)
	}
	p.cmd.Stderr = p.log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		l.t.Fatal(err)
	}
	p.answers = l.lines(p.cmd)
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("log of %s:\n%s", host, p.log)
		}
	})
	return p
}

// A journal is what a process logs, read while it goes on.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (p *process) say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.stdin, format+"\n", args...); err != nil {
		p.t.Fatalf("%s: %v\n%s", p.host, err, p.log)
	}
}

func (p *process) apply(cfgs ...Config) {
	p.t.Helper()
	text, _ := json.Marshal(cfgs)
	p.say("apply %s", text)
}

// next waits for an answer that pleases.
func (p *process) next(what string, pleases func(answer) bool) answer {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case line, ok := <-p.answers:
			if !ok {
				p.t.Fatalf("%s ended before: %s\n%s", p.host, what, p.log)
			}
			var a answer
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				p.t.Fatalf("%s said %q", p.host, line)
			}
			if pleases(a) {
				return a
			}
		case <-limit.C:
			p.t.Fatalf("%s: after %v still not: %s\n%s", p.host, patience, what, p.log)
		}
	}
}

// becomes waits for a state.
func (p *process) becomes(state string) Change {
	p.t.Helper()
	return *p.next("state "+state, func(a answer) bool { return a.Change != nil && a.Change.To == state }).Change
}

func (p *process) status() []Status {
	p.t.Helper()
	p.say("status")
	return p.next("status", func(a answer) bool { return a.Status != nil }).Status
}

func (p *process) stop() {
	p.t.Helper()
	p.say("stop")
	for range p.answers {
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("%s stopped: %v\n%s", p.host, err, p.log)
	}
}

func (p *process) kill() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGKILL)
	for range p.answers {
	}
	p.cmd.Wait()
}

func prefixes(text ...string) (all []netip.Prefix) {
	for _, s := range text {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func wireVIP(priority uint8, addrs ...string) Config {
	return Config{
		Name: "web", VRID: 51, Addresses: prefixes(addrs...), Interface: "eth0", Priority: priority,
		Interval: 100 * time.Millisecond, Carrier: "vrrp", StartupDelay: new(time.Duration),
	}
}

// oneHolder fails unless exactly one of the hosts holds the address.
func (l *lan) oneHolder(ip string, hosts ...string) string {
	l.t.Helper()
	holders := slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return !l.holds(h, ip) })
	if len(holders) != 1 {
		l.t.Fatalf("%s is held by %v, want one", ip, holders)
	}
	return holders[0]
}
