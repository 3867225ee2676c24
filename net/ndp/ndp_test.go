package ndp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// link is a veth pair from the namespace of this thread (ours) to one of its own
// (theirs, that of a sleeping process).
type link struct {
	index  int
	mac    [6]byte
	theirs string // process id
}

// newLink needs root. The thread is not used for anything else afterwards.
func newLink(t *testing.T) link {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("not root")
		}
		t.Skip("needs root for a network namespace")
	}
	runtime.LockOSThread() // and never unlocked: the thread dies with the test's goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("unshare", "--net", "sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleeper.Process.Kill(); sleeper.Wait() })
	l := link{theirs: fmt.Sprint(sleeper.Process.Pid)}
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for { // until it has its own namespace
		ns, err := os.Readlink("/proc/" + l.theirs + "/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		if ns != own {
			break
		}
		runtime.Gosched()
	}
	run(t, "ip", "link", "add", "ours", "type", "veth", "peer", "name", "theirs")
	run(t, "ip", "link", "set", "theirs", "netns", l.theirs)
	run(t, "ip", "link", "set", "ours", "up")
	l.run(t, "ip", "link", "set", "theirs", "up")
	ifi, err := net.InterfaceByName("ours")
	if err != nil {
		t.Fatal(err)
	}
	l.index, l.mac = ifi.Index, [6]byte(ifi.HardwareAddr)
	return l
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (l link) run(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, "nsenter", append([]string{"-t", l.theirs, "-n"}, args...)...)
}

// knows waits until the neighbour table of theirs holds ip at mac.
func (l link) knows(t *testing.T, ip netip.Addr, mac [6]byte) {
	t.Helper()
	want := "lladdr " + net.HardwareAddr(mac[:]).String()
	var table string
	for range 500 {
		if table = l.run(t, "ip", "neigh", "show", ip.String(), "dev", "theirs"); strings.Contains(table, want) {
			return
		}
	}
	t.Fatalf("%v is not at %s: %q", ip, want, table)
}

// A neighbour that believes the address to be elsewhere believes us instead,
// although no host on the link holds the address; the kernel has checked hop
// limit, checksum and flags. It knows whether we are a router.
func TestNeighbourLearns(t *testing.T) {
	l := newLink(t)
	l.run(t, "sysctl", "-qw", "net.ipv6.conf.theirs.accept_dad=0")
	l.run(t, "ip", "addr", "add", "fd99::1/64", "dev", "theirs", "nodad")
	l.run(t, "ip", "neigh", "replace", ip.String(), "lladdr", "02:00:00:00:00:99", "dev", "theirs", "nud", "stale")
	conn, err := Open(l.index)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Announce(ip, l.mac, false); err != nil {
		t.Fatal(err)
	}
	l.knows(t, ip, l.mac)
	if table := l.run(t, "ip", "neigh", "show", ip.String(), "dev", "theirs"); strings.Contains(table, "router") {
		t.Errorf("known as a router: %q", table)
	}
	moved := l.mac
	moved[5]++
	if err := conn.Announce(ip, moved, true); err != nil {
		t.Fatal(err)
	}
	l.knows(t, ip, moved)
	if table := l.run(t, "ip", "neigh", "show", ip.String(), "dev", "theirs"); !strings.Contains(table, "router") {
		t.Errorf("not known as a router: %q", table)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := conn.Announce(ip, l.mac, false); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("an announcement allocates %v times", n)
	}
}

func TestWhatCannotBeAnnounced(t *testing.T) {
	l := newLink(t)
	if _, err := Open(9999); err == nil {
		t.Error("opened an interface that does not exist")
	}
	conn, err := Open(l.index)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"10.99.0.100", "::ffff:10.99.0.100"} {
		if err := conn.Announce(netip.MustParseAddr(s), l.mac, false); err == nil {
			t.Errorf("announced %s", s)
		}
	}
	run(t, "ip", "link", "set", "ours", "down")
	if err := conn.Announce(ip, l.mac, false); err == nil {
		t.Error("announced on a link that is down")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
