package vip

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A dialect is one way to share a VRID with keepalived: its configuration and
// ours.
type dialect struct {
	name     string
	ip       string // the address to look for
	ours     Config
	global   string // lines of global_defs
	instance string // further lines of vrrp_instance
	vips     string
}

func dialects() []dialect {
	v4 := Config{
		Name: "web", VRID: 51, Addresses: prefixes("10.98.0.100/24"), Interface: "eth0",
		Interval: 100 * time.Millisecond, Carrier: "vrrp", Version: 3, StartupDelay: new(time.Duration),
	}
	with := func(change func(*Config)) Config {
		c := v4
		change(&c)
		return c
	}
	const vip4 = "10.98.0.100/24 dev eth0"
	return []dialect{
		{name: "v3", ip: "10.98.0.100", ours: v4, vips: vip4},
		{
			name: "v3-unicast", ip: "10.98.0.100", vips: vip4,
			ours:     with(func(c *Config) { c.Peers = []netip.Addr{netip.MustParseAddr("10.98.0.2")} }),
			instance: "unicast_src_ip 10.98.0.2\n unicast_peer {\n 10.98.0.1\n }\n check_unicast_src",
		},
		{name: "v3-vmac", ip: "10.98.0.100", ours: with(func(c *Config) { c.VirtualMAC = true }), vips: vip4, instance: "use_vmac vrrp.51"},
		{
			name: "v3-ipv6", ip: "fd98::100", vips: "fe80::5e00:1/64 dev eth0\n fd98::100/64 dev eth0",
			ours: with(func(c *Config) { c.Addresses = prefixes("fe80::5e00:1/64", "fd98::100/64") }),
		},
		{
			name: "v2", ip: "10.98.0.100", vips: vip4, global: "vrrp_version 2",
			ours: with(func(c *Config) { c.Version, c.Interval = 2, time.Second }),
		},
		{
			name: "v2-password", ip: "10.98.0.100", vips: vip4, global: "vrrp_version 2",
			ours:     with(func(c *Config) { c.Version, c.Interval, c.Password = 2, time.Second, "secret" }),
			instance: "authentication {\n auth_type PASS\n auth_pass secret\n }",
		},
	}
}

func (d dialect) config(priority int) string {
	version := "vrrp_version 3"
	if d.global != "" {
		version = d.global
	}
	return fmt.Sprintf(`global_defs {
 router_id ka
 %s
}
vrrp_instance VI_0 {
 state BACKUP
 interface eth0
 virtual_router_id 51
 priority %d
 advert_int %g
 %s
 virtual_ipaddress {
 %s
 }
}
`, version, priority, d.ours.Interval.Seconds(), d.instance, d.vips)
}

func (d dialect) mine(priority uint8) Config {
	c := d.ours
	c.Priority = priority
	return c
}

// down is activeDown of a router of that priority.
func (d dialect) down(priority int) time.Duration {
	skew := d.ours.Interval
	if d.ours.Version == 2 {
		skew = time.Second
	}
	return 3*d.ours.Interval + skew*time.Duration(256-priority)/256
}

// A keepalived is the real one, in a namespace.
type keepalived struct {
	l    *lan
	host string
	file string
	cmd  *exec.Cmd
	out  lockedLog
}

type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lan) keepalived(host, conf string) *keepalived {
	l.t.Helper()
	dir := l.t.TempDir()
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		l.t.Fatal(err)
	}
	k := &keepalived{l: l, host: host, file: file}
	k.cmd = exec.Command("ip", "netns", "exec", l.prefix+host, "keepalived", "-n", "-l", "-D", "-P", "-f", file,
		"-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp"))
	out, err := k.cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	k.cmd.Stdout = k.cmd.Stderr
	if err := k.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			k.out.mu.Lock()
			fmt.Fprintln(&k.out.text, in.Text())
			k.out.mu.Unlock()
		}
	}()
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("log of keepalived on %s:\n%s", host, k.out.String())
		}
		k.kill()
	})
	return k
}

// family is keepalived and the process that speaks VRRP for it.
func (k *keepalived) family() (pids []int) {
	pid := k.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for f := range strings.FieldsSeq(string(children)) {
		n, _ := strconv.Atoi(f)
		pids = append(pids, n)
	}
	return append(pids, pid)
}

func (k *keepalived) signal(sig syscall.Signal) {
	for _, pid := range k.family() {
		syscall.Kill(pid, sig)
	}
}

// kill leaves no time to resign.
func (k *keepalived) kill() {
	if k.cmd.ProcessState != nil {
		return
	}
	k.signal(syscall.SIGSTOP) // so that no child outlives its parent's death
	k.signal(syscall.SIGKILL)
	k.cmd.Wait()
}

func (k *keepalived) terminate() {
	k.cmd.Process.Signal(syscall.SIGTERM)
	k.cmd.Wait()
}

func (k *keepalived) logs(what string) bool { return strings.Contains(k.out.String(), what) }

func (k *keepalived) becomes(events <-chan string, state string) {
	k.l.t.Helper()
	k.l.until(events, "keepalived in "+state, func() bool { return k.logs("Entering " + state + " STATE") })
}

// reload gives it another configuration.
func (k *keepalived) reload(conf string) {
	k.l.t.Helper()
	if err := os.WriteFile(k.file, []byte(conf), 0o600); err != nil {
		k.l.t.Fatal(err)
	}
	k.cmd.Process.Signal(syscall.SIGHUP)
}

// needKeepalived skips where it is not installed, except in CI.
func needKeepalived(t *testing.T) {
	t.Helper()
	needNamespaces(t)
	if _, err := exec.LookPath("keepalived"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func TestInteropWithKeepalived(t *testing.T) {
	needKeepalived(t)
	for _, d := range dialects() {
		t.Run(d.name+"/ours-first", func(t *testing.T) { t.Parallel(); oursFirst(t, d) })
		t.Run(d.name+"/theirs-first", func(t *testing.T) { t.Parallel(); theirsFirst(t, d) })
	}
	t.Run("v3/nopreempt", func(t *testing.T) { t.Parallel(); noPreempt(t, dialects()[0]) })
	t.Run("v3/other-addresses", func(t *testing.T) { t.Parallel(); otherAddresses(t, dialects()[0]) })
	t.Run("v3/equal", func(t *testing.T) { t.Parallel(); equalPriorities(t, dialects()[0]) })
}

// within checks a takeover against the protocol's time; the slack is for a
// loaded machine, since it is not the clock that is tested here.
func within(t *testing.T, what string, took, limit time.Duration) {
	t.Helper()
	t.Logf("%s: %v (limit %v)", what, took.Round(time.Millisecond), limit)
	if slack := 700 * time.Millisecond; took > limit+slack {
		t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
}

// oursFirst: ours has priority 150, keepalived 100.
func oursFirst(t *testing.T, d dialect) {
	l := newLAN(t, "a", "b")
	ea, eb := l.events("a"), l.events("b")
	onA := func() bool { return l.holds("a", d.ip) }
	onB := func() bool { return l.holds("b", d.ip) }
	notB := func() bool { return !onB() }
	ours := l.speaker("a", d.mine(150))
	ours.becomes("active")
	l.until(ea, "we hold it", onA)
	ka := l.keepalived("b", d.config(100))
	ka.becomes(eb, "BACKUP")

	// Our planned stop costs keepalived its skew.
	began := time.Now()
	ours.stop()
	l.until(eb, "keepalived holds it", onB)
	within(t, "i-b resigned", time.Since(began), d.down(100)-3*d.ours.Interval)
	if onA() {
		t.Error("we have stopped and hold the address")
	}

	// We return and preempt.
	ours = l.speaker("a", d.mine(150))
	ours.becomes("active")
	began = time.Now()
	l.until(eb, "keepalived lets go", notB)
	within(t, "ii-a preempted", time.Since(began), 0)
	l.until(ea, "we hold it", onA)
	if !ka.logs("higher priority") && !ka.logs("Received advert") {
		t.Errorf("keepalived does not say that it heard us:\n%s", ka.out.String())
	}

	// Our host dies.
	l.ip("br", "link", "set", "a-eth0", "down")
	ours.kill()
	began = time.Now()
	l.until(eb, "keepalived holds it", onB)
	within(t, "i-a died", time.Since(began), d.down(100))

	// It comes back, with the addresses left on it.
	ours = l.speaker("a", d.mine(150))
	ours.becomes("fault")
	l.ip("br", "link", "set", "a-eth0", "up")
	ours.becomes("active")
	l.until(eb, "keepalived lets go", notB)
	if st := ours.status()[0]; len(st.Rejected) > 0 {
		t.Errorf("we rejected adverts of keepalived: %v", st.Rejected)
	}
	for _, complaint := range []string{"nvalid", "ncorrect", "bogus", "differ", "expected"} {
		if ka.logs(complaint) {
			t.Errorf("keepalived complains of our adverts:\n%s", ka.out.String())
		}
	}
}

// theirsFirst: keepalived has priority 150, ours 100.
func theirsFirst(t *testing.T, d dialect) {
	l := newLAN(t, "a", "b")
	ea, eb := l.events("a"), l.events("b")
	onA := func() bool { return l.holds("a", d.ip) }
	onB := func() bool { return l.holds("b", d.ip) }
	notA := func() bool { return !onA() }
	ka := l.keepalived("b", d.config(150))
	l.until(eb, "keepalived holds it", onB)
	ours := l.speaker("a", d.mine(100))
	ours.becomes("backup")

	// It resigns.
	began := time.Now()
	ka.terminate() // its parent process lives on for a second
	within(t, "iii-b resigned", ours.becomes("active").Time.Sub(began), 0)
	l.until(ea, "we hold it", onA)

	// It returns and preempts.
	ka = l.keepalived("b", d.config(150))
	ours.becomes("backup")
	l.until(ea, "we let go", notA)
	l.until(eb, "keepalived holds it", onB)

	// It freezes, we take over, it wakes up.
	began = time.Now()
	ka.signal(syscall.SIGSTOP)
	ours.becomes("active")
	l.until(ea, "we hold it", onA)
	within(t, "iii-c frozen", time.Since(began), d.down(100))
	ka.signal(syscall.SIGCONT)
	ours.becomes("backup")
	l.until(ea, "we let go", notA)
	l.oneHolder(d.ip, "a", "b")

	// Its host dies.
	l.ip("br", "link", "set", "b-eth0", "down")
	began = time.Now()
	ka.kill()
	ours.becomes("active")
	l.until(ea, "we hold it", onA)
	within(t, "iii-a died", time.Since(began), d.down(100))
	if st := ours.status()[0]; len(st.Rejected) > 0 {
		t.Errorf("we rejected adverts of keepalived: %v", st.Rejected)
	}
}

// equalPriorities: the higher address wins, which is keepalived's here.
func equalPriorities(t *testing.T, d dialect) {
	l := newLAN(t, "a", "b")
	ea, eb := l.events("a"), l.events("b")
	ours := l.speaker("a", d.mine(150))
	ours.becomes("active")
	ka := l.keepalived("b", d.config(150))
	ka.becomes(eb, "BACKUP") // it does not preempt an equal
	l.ip("br", "link", "set", "b-eth0", "type", "bridge_slave", "isolated", "on")
	l.ip("br", "link", "set", "a-eth0", "type", "bridge_slave", "isolated", "on")
	l.until(eb, "keepalived holds it", func() bool { return l.holds("b", d.ip) })
	l.ip("br", "link", "set", "a-eth0", "type", "bridge_slave", "isolated", "off")
	ours.becomes("backup")
	l.until(ea, "we let go", func() bool { return !l.holds("a", d.ip) })
	l.oneHolder(d.ip, "a", "b")
}

// noPreempt: a keepalived of higher priority that does not preempt leaves the
// address with us, as long as it hears us.
func noPreempt(t *testing.T, d dialect) {
	l := newLAN(t, "a", "b")
	eb := l.events("b")
	ours := l.speaker("a", d.mine(100))
	ours.becomes("active")
	d.instance = "nopreempt"
	ka := l.keepalived("b", d.config(150))
	ka.becomes(eb, "BACKUP")
	sent := ours.status()[0].Sent
	l.until(nil, "ten more adverts", func() bool { return ours.status()[0].Sent > sent+10 })
	if ka.logs("Entering MASTER STATE") || l.oneHolder(d.ip, "a", "b") != "a" {
		t.Errorf("keepalived took the address:\n%s", ka.out.String())
	}
	ours.stop()
	ka.becomes(eb, "MASTER")
}

// otherAddresses: keepalived is given one address more than we have. We follow
// it and say so, instead of making a second holder; and then we have it too.
func otherAddresses(t *testing.T, d dialect) {
	const second = "10.98.0.101"
	l := newLAN(t, "a", "b")
	ea, eb := l.events("a"), l.events("b")
	ka := l.keepalived("b", d.config(150))
	ka.becomes(eb, "MASTER")
	ours := l.speaker("a", d.mine(100))
	ours.becomes("backup")
	heardMore := func() {
		t.Helper()
		was := ours.status()[0].Heard
		l.until(nil, "ten adverts heard", func() bool { return ours.status()[0].Heard > was+10 })
	}
	heardMore()
	if st := ours.status()[0]; len(st.Warnings) > 0 {
		t.Errorf("warnings %v before the change", st.Warnings)
	}
	d.vips += "\n " + second + "/24 dev eth0"
	ka.reload(d.config(150))
	l.until(eb, "keepalived holds both", func() bool { return l.holds("b", second) })
	heardMore()
	st := ours.status()[0]
	if st.State != "backup" || st.Transitions != 1 || len(st.Warnings) == 0 || st.Active != "10.98.0.2" {
		t.Errorf("status %+v, want backup behind 10.98.0.2 with a warning", st)
	}
	l.oneHolder(d.ip, "a", "b")
	mine := d.mine(100)
	mine.Addresses = prefixes(d.ip+"/24", second+"/24")
	ours.apply(mine)
	heardMore()
	if st := ours.status()[0]; st.State != "backup" || st.Transitions != 1 {
		t.Errorf("status %+v, want backup all the time", st)
	}
	ka.terminate()
	l.until(ea, "we hold both", func() bool { return l.holds("a", d.ip) && l.holds("a", second) })
}
