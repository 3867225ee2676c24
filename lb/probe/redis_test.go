package probe

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// redisServer starts a real server and returns its address.
func redisServer(t *testing.T, args ...string) netip.AddrPort {
	t.Helper()
	a := free(t)
	argv := []string{program(t, "redis-server"), "--port", fmt.Sprint(a.Port()), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}
	daemon(t, "eady to accept connections", nil, append(argv, args...)...)
	return a
}

func TestRedis(t *testing.T) {
	primary := redisServer(t)
	secret := redisServer(t, "--requirepass", "s3cret pass")
	acl := redisServer(t, "--user", "probe", "on", ">pw", "+ping", "+info", "--user", "default", "off")
	replica := redisServer(t, "--replicaof", "127.0.0.1", fmt.Sprint(primary.Port()))
	for _, tc := range []struct {
		name   string
		c      Config
		target netip.AddrPort
		want   string
	}{
		{"ping", Config{}, primary, ""},
		{"primary", Config{Role: "primary"}, primary, ""},
		{"primary as replica", Config{Role: "replica"}, primary, "role is primary, want replica"},
		{"replica", Config{Role: "replica"}, replica, ""},
		{"replica as primary", Config{Role: "primary"}, replica, "role is replica, want primary"},
		{"no password", Config{}, secret, "NOAUTH"},
		{"password", Config{Password: "s3cret pass", Role: "primary"}, secret, ""},
		{"wrong password", Config{Password: "x"}, secret, "WRONGPASS"},
		{"user", Config{User: "probe", Password: "pw", Role: "primary"}, acl, ""},
		{"wrong user", Config{User: "other", Password: "pw"}, acl, "WRONGPASS"},
		{"nobody", Config{}, free(t), "connection refused"},
	} {
		tc.c.Kind = "redis"
		wantReason(t, tc.name, ask(t, tc.c, tc.target, 5*time.Second), tc.want)
	}
}

func TestRedisFromBrokenServers(t *testing.T) {
	for reply, want := range map[string]string{
		"":                                       "closed by the server",
		"HTTP/1.1 400\r\n":                       `reply of unknown type "H"`,
		"+OK\r\n":                                `answered "OK", want PONG`,
		"$4\r\nPONG\r\n":                         "",
		"$-1\r\n":                                `reply of "-1" bytes`,
		"$99999999999\r\n":                       `reply of "99999999999" bytes`,
		"$4\r\nPO":                               "closed by the server",
		"\r\n":                                   "empty reply",
		"-LOADING wait\r\n":                      `answered "LOADING wait"`,
		"+" + strings.Repeat("x", 5000) + "\r\n": "line too long",
	} {
		a := listen(t, func(c net.Conn) {
			drain(c)
			io.WriteString(c, reply)
		})
		wantReason(t, reply[:min(len(reply), 20)], ask(t, Config{Kind: "redis"}, a, 5*time.Second), want)
	}
}

func FuzzReadRESP(f *testing.F) {
	for _, s := range []string{"+PONG\r\n", "-ERR x\r\n", "$3\r\nabc\r\n", "$0\r\n\r\n", "$65537\r\n", ":1\r\n", "*1\r\n$1\r\na\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readRESP(bufio.NewReader(strings.NewReader(string(b))))
		if err == nil && len(s) > maxRESP {
			t.Errorf("%d bytes", len(s))
		}
		redisRole(string(b))
	})
}
