package e2e

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"example.org/ha/appliance/admin"
)

// `ha check` names every mistake at once, each with file, line and key.
func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ha.toml")
	must(t, os.WriteFile(file, []byte(`roles = ["lb"]
node = "lb1"
[cluster]
name = "x"
intervall = "10ms"
[[vip]]
name = "web"
vrid = 300
addresses = ["10.0.0.100/24"]
[[vip]]
name = "mail"
vrid = 0
addresses = ["10.0.0.300/24"]
[[lb.service]]
name = "web"
listen = ["10.0.0.100:80"]
  [lb.service.check]
  kind = "htp"
`), 0o600))
	out, err := exec.Command(exe, "check", file).CombinedOutput()
	if err == nil {
		t.Error("ha check ended with 0")
	}
	for _, want := range []string{
		file + ":5: ", "intervall",
		file + ":8: ", "vrid",
		file + ":12: ",
		file + ":13: ", "addresses",
		file + ":18: ", "kind", "htp",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("ha check does not say %q:\n%s", want, out)
		}
	}
}

// Scripts can tell what went wrong from the exit code.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	codes := map[string]int{}
	for name, args := range map[string][]string{
		"version":                  {"version"},
		"help":                     {"--help"},
		"no such command":          {"nonsense"},
		"a file that is not there": {"run", "-c", filepath.Join(dir, "none.toml")},
		"check without a file":     {"check", filepath.Join(dir, "none.toml")},
		"nobody at the socket":     {"status", "--socket", filepath.Join(dir, "none.sock")},
	} {
		cmd := exec.Command(exe, args...)
		out, _ := cmd.CombinedOutput()
		codes[name] = cmd.ProcessState.ExitCode()
		if len(out) == 0 {
			t.Errorf("%s: ha says nothing", name)
		}
	}
	if codes["version"] != 0 || codes["help"] != 0 {
		t.Errorf("exit codes of what went well: %v", codes)
	}
	for _, name := range []string{"no such command", "a file that is not there", "check without a file", "nobody at the socket"} {
		if codes[name] <= 0 {
			t.Errorf("%s: exit code %d", name, codes[name])
		}
	}
	if codes["nobody at the socket"] == codes["no such command"] {
		t.Errorf("a wrong command line and an absent appliance have the same exit code: %v", codes)
	}
}

// A file with a mistake is refused with its reason; the one before stays in
// force and nothing moves. A right one takes effect without dropping anything.
func TestReload(t *testing.T) {
	c := newCluster(t, options{})
	n := c.nodes[0]
	good := c.file(0)
	p := c.ping()

	c.configure(n, strings.Replace(good, "vrid      = 51", "vrid      = 500", 1))
	must(t, n.Signal(syscall.SIGHUP, n.PIDs()[0]))
	s := c.status(n, "refuse the file", func(s admin.Status) bool { return s.Config.Refused != "" })
	if !strings.Contains(s.Config.Refused, "vrid") {
		t.Errorf("refused because of %q; the mistake is in vrid", s.Config.Refused)
	}
	if out, err := n.Host.Run(exe, "reload", "--socket", n.Socket); err == nil || !strings.Contains(out, "vrid") {
		t.Errorf("ha reload of a wrong file: %v, %s", err, out)
	}
	c.steady(5 * c.interval)

	// A second address joins; the first does not move.
	second := netip.MustParsePrefix("10.30.0.101/24")
	for i, n := range c.nodes {
		text := strings.Replace(c.file(i), "[admin]", `[[vip]]
name      = "mail"
vrid      = 52
addresses = ["`+second.String()+`"]
interface = "eth0"
priority  = 100

[admin]`, 1)
		c.configure(n, text)
		c.ha(n, "reload", "--socket", n.Socket)
	}
	c.until("one host holds the second address", func() bool { return c.holding(second) == 1 })
	c.holder("lb1")

	// And leaves again.
	for i, n := range c.nodes {
		c.configure(n, c.file(i))
		c.ha(n, "reload", "--socket", n.Socket)
	}
	c.until("nobody holds the second address", func() bool { return c.holding(second) == 0 })
	c.holder("lb1")
	moves, _ := c.watch.Log(c.start)
	for _, m := range moves {
		if m.Address == vip.Addr() && !m.Held {
			t.Errorf("a reload let go of the address: %v", m)
		}
	}
	if !p.Answered(50) {
		t.Error("the address does not answer any more")
	}
}

// holding counts the hosts with an address on their interface.
func (c *cluster) holding(a netip.Prefix) int {
	c.Helper()
	held := 0
	for _, n := range c.nodes {
		list, err := n.Host.Addresses()
		must(c.T, err)
		if slices.Contains(list, a) {
			held++
		}
	}
	return held
}

// The cluster's key is changed without a gap: the new one is added last, then
// moved first, then stands alone.
func TestKeyRotation(t *testing.T) {
	c := newCluster(t, options{})
	file := c.path("cluster.key")
	out, err := exec.Command(exe, "keygen", "--add", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ha keygen --add: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	must(t, err)
	var keys []string
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	if len(keys) != 2 || keys[0] == keys[1] {
		t.Fatalf("ha keygen --add made the file\n%s", text)
	}
	for _, list := range []string{keys[0] + keys[1], keys[1] + keys[0], keys[1]} {
		must(t, os.WriteFile(file, []byte(list), 0o600))
		for _, n := range c.nodes {
			c.ha(n, "reload", "--socket", n.Socket)
			c.steady(5 * c.interval)
		}
	}
	c.ready()
	c.holder("lb1")
}
