package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// program finds a program that the tests need. Where the tests count (CI) it must be there.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// listen gives every connection on a free port of loopback to serve, and closes it afterwards.
func listen(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// free is a port of loopback on which nobody listens.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func ask(t *testing.T, c Config, target netip.AddrPort, timeout time.Duration) error {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatalf("configuration: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return Do(ctx, c, target)
}

// wantReason is "" for a healthy answer, else what must be said.
func wantReason(t *testing.T, what string, err error, reason string) {
	t.Helper()
	switch {
	case reason == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case reason != "" && (err == nil || !strings.Contains(err.Error(), reason)):
		t.Errorf("%s: got %v, want %q", what, err, reason)
	}
}

func TestTCP(t *testing.T) {
	good := listen(t, func(net.Conn) {})
	wantReason(t, "listening", ask(t, Config{Kind: "tcp"}, good, time.Second), "")
	closed := free(t)
	wantReason(t, "closed", ask(t, Config{Kind: "tcp"}, closed, time.Second), "connect "+closed.String()+": connection refused")

	full := deaf(t)
	begin := time.Now()
	wantReason(t, "full queue", ask(t, Config{Kind: "tcp"}, full, 50*time.Millisecond), "connect "+full.String()+": no answer in time")
	if d := time.Since(begin); d > time.Second {
		t.Errorf("a timeout of 50ms took %v", d)
	}
}

// deaf is a listener whose queue is full, so that further connections hang.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	backlog(t, l)
	for range 3 {
		d := net.Dialer{Timeout: 100 * time.Millisecond}
		if c, err := d.Dial("tcp", l.Addr().String()); err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "10.0.0.1:80": "10.0.0.1:80", "fd00::1": "fd00::1", "[fd00::1]:80": "[fd00::1]:80",
		"": "error", "host:80": "error", "10.0.0.1:": "error", "10.0.0.1:99999": "error", "[fd00::1]": "error",
	} {
		var a Address
		got := "error"
		if err := a.UnmarshalText([]byte(text)); err == nil {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestTarget(t *testing.T) {
	server := netip.MustParseAddrPort("10.0.0.21:8080")
	bare := Address{netip.MustParseAddrPort("10.0.0.9:0")}
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{Kind: "tcp"}, "10.0.0.21:8080"},
		{Config{Kind: "tcp", Port: 81}, "10.0.0.21:81"},
		{Config{Kind: "icmp"}, "10.0.0.21:0"},
		{Config{Kind: "http", Address: bare}, "10.0.0.9:80"},
		{Config{Kind: "https", Address: bare}, "10.0.0.9:443"},
		{Config{Kind: "mysql", Address: bare}, "10.0.0.9:3306"},
		{Config{Kind: "redis", Address: bare, Port: 1}, "10.0.0.9:1"},
		{Config{Kind: "tcp", Address: bare}, "10.0.0.9:0"},
	} {
		if got := tc.c.Target(server).String(); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.c, got, tc.want)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	for _, tc := range []struct {
		c    Config
		want []string
	}{
		{Config{}, []string{"kind: required"}},
		{Config{Kind: "htp"}, []string{`kind: unknown "htp", want one of icmp, tcp`}},
		{Config{Kind: "tcp", Path: "/", Expect: Expect{Body: "x"}}, []string{"path: has no meaning", "expect: has no meaning"}},
		{Config{Kind: "icmp", Port: 1}, []string{"port: has no meaning"}},
		{Config{Kind: "http", ServerName: "x", Verify: true}, []string{"server_name: has no", "verify: has no"}},
		{Config{Kind: "http", Path: "x"}, []string{"path: "}},
		{Config{Kind: "http", Path: "/a b\r\nX: y"}, []string{"path: "}},
		{Config{Kind: "http", Host: "a\r\nb"}, []string{"host: "}},
		{Config{Kind: "http", Method: "GET /"}, []string{"method: "}},
		{Config{Kind: "http", Expect: Expect{Status: []int{99, 200, 600}, Regexp: "("}}, []string{"expect.status: 99", "expect.status: 600", "expect.regexp: "}},
		{Config{Kind: "script"}, []string{"command: required"}},
		{Config{Kind: "script", Command: []string{"true"}}, []string{"command: "}},
		{Config{Kind: "mysql", Role: "primary"}, []string{"user: required"}},
		{Config{Kind: "mysql", User: "x", Role: "boss"}, []string{`role: unknown "boss"`}},
	} {
		err := tc.c.Check()
		for _, want := range tc.want {
			if err == nil || !strings.Contains("\n"+err.Error(), "\n"+want) {
				t.Errorf("%+v: got %v, want a line %q…", tc.c, err, want)
			}
		}
		if err != nil && strings.Count(err.Error(), "\n")+1 != len(tc.want) {
			t.Errorf("%+v: got %v, want %d lines", tc.c, err, len(tc.want))
		}
	}
}

func TestKeyTellsApart(t *testing.T) {
	base := Config{Kind: "http"}
	same := base
	same.Address, same.Port = Address{netip.MustParseAddrPort("10.0.0.1:80")}, 80
	if base.Key() != same.Key() {
		t.Error("address and port are part of the target, not of the key")
	}
	seen := map[string]string{base.Key(): "base"}
	for name, edit := range map[string]func(*Config){
		"kind": func(c *Config) { c.Kind = "https" }, "path": func(c *Config) { c.Path = "/x" },
		"host": func(c *Config) { c.Host = "x" }, "status": func(c *Config) { c.Expect.Status = []int{200} },
		"body": func(c *Config) { c.Expect.Body = "x" }, "regexp": func(c *Config) { c.Expect.Regexp = "x" },
		"user": func(c *Config) { c.User = "x" }, "password": func(c *Config) { c.Password = "x" },
		"role": func(c *Config) { c.Role = "primary" }, "verify": func(c *Config) { c.Verify = true },
		"command": func(c *Config) { c.Command = []string{"a", "b"} }, "command2": func(c *Config) { c.Command = []string{"a b"} },
	} {
		c := base
		edit(&c)
		if other, taken := seen[c.Key()]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[c.Key()] = name
	}
}

func TestCauseIsShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	wrapped := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", errors.New("boom"))}
	if got := cause(ctx, wrapped); got != error(wrapped) {
		t.Errorf("an unknown error: %v", got)
	}
	if got := cause(ctx, context.DeadlineExceeded); got != errTimeout {
		t.Errorf("deadline: %v", got)
	}
	cancel()
	if got := cause(ctx, wrapped); got != context.Canceled {
		t.Errorf("cancelled: %v", got)
	}
}
