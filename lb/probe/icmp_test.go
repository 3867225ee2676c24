package probe

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// backlog makes the queue of l one connection short.
func backlog(t *testing.T, l net.Listener) {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// namespace runs f in a network namespace of its own, with loopback up.
func namespace(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test's goroutine, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
	f(t)
}

func TestICMP(t *testing.T) {
	for _, tc := range []struct{ name, groups string }{
		{"ping socket", "0 2147483647"},
		{"raw socket", "1 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			namespace(t, func(t *testing.T) {
				if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(tc.groups), 0); err != nil {
					t.Fatal(err)
				}
				for _, a := range []string{"127.0.0.1", "127.1.2.3", "::1"} {
					if err := os.WriteFile("/proc/sys/net/ipv4/icmp_echo_ignore_all", []byte("0"), 0); err != nil {
						t.Fatal(err)
					}
					target := netip.AddrPortFrom(netip.MustParseAddr(a), 0)
					wantReason(t, a, ask(t, Config{Kind: "icmp"}, target, time.Second), "")
				}
				if err := os.WriteFile("/proc/sys/net/ipv4/icmp_echo_ignore_all", []byte("1"), 0); err != nil {
					t.Fatal(err)
				}
				silent := netip.MustParseAddrPort("127.0.0.1:0")
				wantReason(t, "silent", ask(t, Config{Kind: "icmp"}, silent, 50*time.Millisecond), "ping 127.0.0.1: no answer in time")
				nowhere := netip.MustParseAddrPort("10.99.0.1:0")
				wantReason(t, "no route", ask(t, Config{Kind: "icmp"}, nowhere, time.Second), "ping 10.99.0.1: network is unreachable")
			})
		})
	}
}

func FuzzEcho(f *testing.F) {
	e := newEcho(netip.MustParseAddr("10.0.0.1"))
	q, err := e.question.Marshal(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q)
	f.Add(append([]byte{0}, q[1:]...))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e.answeredBy(b) && !strings.Contains(string(b), string(e.cookie)) {
			t.Errorf("%x taken for the answer to %x", b, q)
		}
	})
}
