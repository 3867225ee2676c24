package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/net/vip"
)

// Whole appliances in one process, over real loopback sockets: what `ha dev` shows, as a test.

// A wire stands for the segment both hosts are on: who holds which VIP.
type wire struct {
	mu      sync.Mutex
	holders map[string][]string
}

// A tap is one host's Link to it.
type tap struct {
	*wire
	host string
}

func (p tap) Add(c vip.Config) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.holders[c.Name], p.host) {
		p.holders[c.Name] = append(p.holders[c.Name], p.host)
	}
	return nil
}

func (p tap) Remove(c vip.Config) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holders[c.Name] = slices.DeleteFunc(p.holders[c.Name], func(h string) bool { return h == p.host })
	return nil
}

func (tap) Announce(vip.Config) error { return nil }

// A node is one appliance of the cluster.
type node struct {
	*Appliance
	file   string
	kill   context.CancelCauseFunc
	result chan error
}

// cluster starts lb1 and lb2 with a web server behind them.
func cluster(t *testing.T) (nodes map[string]*node, w *wire) {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := WriteKey(key, false); err != nil {
		t.Fatal(err)
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { web.Close() })
	a, b := freeUDP(t), freeUDP(t)
	w = &wire{holders: map[string][]string{}}
	nodes = map[string]*node{}
	for i, bind := range []string{a, b} {
		name := fmt.Sprint("lb", i+1)
		text := fmt.Sprintf(`
roles = ["lb"]
node = %q
[cluster]
bind = %q
join = [%q, %q]
key_file = %q
interval = "200ms"
[[vip]]
name = "web"
vrid = 1
addresses = ["127.0.0.100/8"]
priority = %d
preempt = false
[[lb.service]]
name = "web"
listen = ["127.0.0.%d:%d"]
server = [{ address = %q }]
check = { kind = "tcp", interval = "100ms" }
[admin]
socket = %q
`, name, bind, a, b, key, 200-i, 110+i, freeTCP(t), web.Addr(), filepath.Join(dir, name))
		n := &node{file: filepath.Join(dir, name+".toml"), result: make(chan error, 1)}
		if err := os.WriteFile(n.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(n.file)
		if err != nil {
			t.Fatal(err)
		}
		n.Appliance, err = New(cfg, Options{Log: slog.New(slog.DiscardHandler), File: n.file, Version: "test", Link: tap{w, name}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, kill := context.WithCancelCause(context.Background())
		n.kill = kill
		go func() { n.result <- n.Run(ctx) }()
		nodes[name] = n
		t.Cleanup(func() { kill(nil) })
	}
	return nodes, w
}

func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func freeTCP(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// until asks again and again: what it waits for crosses real sockets.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("still not: %s", what)
		}
	}
}

func (w *wire) held(by string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Equal(w.holders["web"], []string{by})
}

func TestTwoHosts(t *testing.T) {
	nodes, w := cluster(t)
	// Which of the two begins depends on which is up first: first is the one that holds the address.
	first, second := nodes["lb1"], nodes["lb2"]
	until(t, "one holds the address, every part is ready, and the other knows", func() bool {
		if w.held(second.node()) {
			first, second = second, first
		}
		s := second.Status()
		i := slices.IndexFunc(s.Hosts, func(h admin.Host) bool {
			return h.Name == first.node() && h.State == "alive" && h.Said != nil && slices.Contains(h.Said.Held, "web") &&
				len(h.Said.Services) == 1 && h.Said.Services[0].Healthy == 1
		})
		return i >= 0 && w.held(first.node()) && s.Ready() && first.Status().Ready()
	})

	client := admin.Dial(first.config().Admin.Socket)
	if _, err := client.Release(t.Context(), "web", "lb9"); err == nil || !strings.Contains(err.Error(), `no living host of the cluster is called "lb9"`) {
		t.Errorf("release to nobody: %v", err)
	}
	if _, err := client.Release(t.Context(), "nope", ""); err == nil {
		t.Error("release of an unknown address was accepted")
	}
	took, err := client.Release(t.Context(), "web", second.node())
	if err != nil || took <= 0 {
		t.Fatalf("release: %v, %v", took, err)
	}
	until(t, "the other holds it alone", func() bool { return w.held(second.node()) })

	text, err := os.ReadFile(second.file)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string) error {
		if err := os.WriteFile(second.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return admin.Dial(second.config().Admin.Socket).Reload(t.Context())
	}
	if err := reload(string(text) + "bogus = 1\n"); err == nil || !strings.Contains(err.Error(), "admin.bogus: unknown key") {
		t.Errorf("a wrong file: %v, want the key named", err)
	}
	if err := reload(strings.Replace(string(text), fmt.Sprintf("node = %q", second.node()), `node = "lb3"`, 1)); err == nil || !strings.Contains(err.Error(), "node: cannot change") {
		t.Errorf("another name: %v, want it refused", err)
	}
	if s := second.Status(); s.Config.Refusals != 2 || s.Config.Refused == "" || s.Node != second.node() {
		t.Errorf("after two refusals: %+v", s.Config)
	}
	if err := reload(strings.Replace(string(text), `interval = "100ms" }`, `interval = "200ms" }`, 1)); err != nil {
		t.Errorf("a good file: %v", err)
	}
	if s := second.Status(); s.Config.Reloads != 1 || s.Config.Refused != "" || !w.held(second.node()) {
		t.Errorf("after a reload: %+v; held by the second: %v", s.Config, w.held(second.node()))
	}

	second.kill(ErrKilled)
	if err := <-second.result; err != ErrKilled {
		t.Errorf("killed: %v", err)
	}
	until(t, "the first takes over from the dead", func() bool {
		i := slices.IndexFunc(first.Status().VIPs, func(v vip.Status) bool { return v.Name == "web" && v.Held })
		return i >= 0
	})
	w.mu.Lock()
	if !slices.Contains(w.holders["web"], second.node()) {
		t.Error("the killed host removed its address: that was a resignation")
	}
	w.mu.Unlock()
	until(t, "the survivor counts the dead as lost", func() bool {
		return slices.ContainsFunc(first.Status().Hosts, func(h admin.Host) bool { return h.Name == second.node() && h.State == "lost" })
	})

	first.kill(context.Canceled)
	if err := <-first.result; err != nil {
		t.Errorf("an orderly stop: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.holders["web"], first.node()) {
		t.Error("after an orderly stop the address is still there")
	}
}
