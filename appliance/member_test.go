package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/zk"
)

// A host with the role zab serves ZooKeeper's clients, says how the member is, and refuses to change its
// table while it runs.
func TestRoleZAB(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ha.toml")
	text := fmt.Sprintf(`
roles = ["zab"]
node = "zk1"
[cluster]
bind = "127.0.0.1:%d"
key_file = "%s/none"
[zab]
data_dir = "%[2]s/data"
listen = ["127.0.0.1:%d"]
[admin]
listen = "none"
socket = "%[2]s/s"
`, netPort(t, freeUDP(t)), dir, freeTCP(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler), File: file, Link: tap{&wire{holders: map[string][]string{}}, "zk1"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	until(t, "the host is ready", func() bool { return a.Status().Ready() })

	c, err := zk.Dial(ctx, zk.Config{Servers: []string{cfg.ZAB.Listen[0].String()}, SessionTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.Create(ctx, "/greeting", []byte("hello"), zk.Persistent, zk.OpenACL()); err != nil {
		t.Fatal(err)
	}
	st := a.Status().ZAB
	if st == nil || st.Mode != "standalone" || st.Zxid != 2 || st.Sessions != 1 || st.Connections != 1 || st.Znodes < 5 || !st.FullSince.IsZero() {
		t.Errorf("status of the member: %+v", st)
	}

	if err := os.WriteFile(file, []byte(strings.Replace(text, "[zab]", "[zab]\ntick = \"3s\"", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(ctx); err == nil || !strings.Contains(err.Error(), "zab: this table cannot change while running") {
		t.Errorf("reload with another table: %v", err)
	}
}

func TestTableOfZABWithoutTheRole(t *testing.T) {
	_, err := Parse("f", []byte("roles = [\"vip\"]\n[zab]\ndata_dir = \"/d\"\n"))
	if err == nil || !strings.Contains(err.Error(), `f:2: zab: this host does not have the role "zab"`) {
		t.Errorf("got %v", err)
	}
	_, err = Parse("f", []byte("roles = [\"zab\"]\n[zab]\nretain = 1\n"))
	for _, want := range []string{"f:2: zab.data_dir: required", "f:3: zab.retain: 1 is below 3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
}
