package probe

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A mariadb is a real server with some users.
type mariadb struct {
	addr   netip.AddrPort
	socket string
	client string
}

func mariadbServer(t *testing.T) mariadb {
	t.Helper()
	dir := t.TempDir()
	m := mariadb{free(t), filepath.Join(dir, "s"), program(t, "mariadb")}
	data := filepath.Join(dir, "data")
	install := exec.Command(program(t, "mariadb-install-db"), "--no-defaults", "--user=root", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=5M")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install: %v: %s", err, out)
	}
	users := filepath.Join(dir, "users.sql")
	sql := "CREATE USER probe@'%' IDENTIFIED BY 'pass word';\nCREATE USER open@'%';\nCREATE USER sock@'%' IDENTIFIED VIA unix_socket;\n"
	if err := os.WriteFile(users, []byte(sql), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, "ready for connections", nil, program(t, "mariadbd"), "--no-defaults", "--user=root", "--datadir="+data,
		"--socket="+m.socket, "--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", m.addr.Port()), "--init-file="+users,
		"--innodb-buffer-pool-size=8M", "--innodb-log-file-size=5M", "--skip-name-resolve", "--max-connections=20")
	return m
}

func (m mariadb) run(t *testing.T, sql string) string {
	t.Helper()
	out, err := exec.Command(m.client, "--no-defaults", "-uroot", "-S", m.socket, "-N", "-e", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", sql, err, out)
	}
	return string(out)
}

func TestMySQLAgainstMariaDB(t *testing.T) {
	m := mariadbServer(t)
	check := func(name string, c Config, want string) {
		t.Helper()
		c.Kind = "mysql"
		wantReason(t, name, ask(t, c, m.addr, 5*time.Second), want)
	}
	login := Config{User: "probe", Password: "pass word"}
	with := func(role string) Config {
		c := login
		c.Role = role
		return c
	}
	check("greeting", Config{}, "")
	check("login", login, "")
	check("login without password", Config{User: "open"}, "")
	check("wrong password", Config{User: "probe", Password: "x"}, "error 1045: Access denied for user 'probe'")
	check("no password", Config{User: "probe"}, "error 1045")
	check("unknown user", Config{User: "nobody", Password: "x"}, "error 1045")
	check("writable as primary", with("primary"), "")
	check("writable as replica", with("replica"), "role is primary (read_only=false), want replica")
	m.run(t, "SET GLOBAL read_only=1")
	check("read only as replica", with("replica"), "")
	check("read only as primary", with("primary"), "role is replica (read_only=true), want primary")

	// A probe that logs in and quits is no broken connection.
	before := m.run(t, "SHOW GLOBAL STATUS LIKE 'Aborted%'")
	for range 5 {
		check("quits in order", with("replica"), "")
	}
	if after := m.run(t, "SHOW GLOBAL STATUS LIKE 'Aborted%'"); after != before {
		t.Errorf("aborted connections: before\n%s after\n%s", before, after)
	}
}

// pack frames packets as a server would number them from 0.
func pack(bodies ...string) string {
	var b strings.Builder
	for i, body := range bodies {
		b.Write([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), byte(i)})
		b.WriteString(body)
	}
	return b.String()
}

// mysql8 is a greeting of protocol 10 whose plugin is caching_sha2_password.
const mysql8 = "\x0a8.0.36\x00" + "\x08\x00\x00\x00" + "12345678" + "\x00" + "\xff\xff" + "\xff" + "\x02\x00" + "\xff\xdf" + "\x15" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "901234567890\x00" + "caching_sha2_password\x00"

func TestMySQLFromOtherServers(t *testing.T) {
	login := Config{User: "u", Password: "p"}
	for name, tc := range map[string]struct {
		c       Config
		replies []string // the greeting, then one for each packet of the client's
		want    string
	}{
		"closes":            {Config{}, []string{""}, "closed by the server"},
		"other protocol":    {Config{}, []string{"220 mail server ready, what can I do for you\r\n"}, "packet of "},
		"too many":          {Config{}, []string{pack("\xff\x10\x04Too many connections")}, "error 1040: Too many connections"},
		"blocked":           {Config{}, []string{pack("\xff\x69\x04Host 'x' is blocked")}, "error 1129: Host 'x' is blocked"},
		"old":               {Config{}, []string{pack("\x093.23\x00")}, "not of protocol 10"},
		"short":             {Config{}, []string{pack(mysql8[:20])}, "greeting too short"},
		"sha2, fast":        {login, []string{pack(mysql8), "\x02\x00\x00\x02\x01\x03" + "\x07\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00"}, ""},
		"sha2, full":        {login, []string{pack(mysql8), "\x02\x00\x00\x02\x01\x04"}, "wants an encrypted connection"},
		"unknown plugin":    {login, []string{pack(mysql8), pack("\xfeclient_ed25519\x00" + strings.Repeat("n", 32))}, `wants plugin "client_ed25519"`},
		"oldest plugin":     {login, []string{pack(mysql8), pack("\xfe")}, "oldest form"},
		"switch for ever":   {login, append([]string{pack(mysql8)}, slices.Repeat([]string{pack("\xfemysql_native_password\x0012345678901234567890\x00")}, 9)...), "no end"},
		"unknown packet":    {login, []string{pack(mysql8), pack("\x77")}, "unknown type 0x77"},
		"empty packet":      {login, []string{pack(mysql8), pack("")}, "packet of 0 bytes"},
		"endless packet":    {login, []string{pack(mysql8), "\xff\xff\xff\x01"}, "packet of 16777215 bytes"},
		"role, no row":      {Config{User: "u", Role: "primary"}, []string{pack(mysql8), pack("\x00"), pack("\x01", "col", "\xfe\x00\x00\x02\x00", "\xfe\x00\x00\x02\x00", "z", "z", "z", "z")}, "read_only: "},
		"role, odd value":   {Config{User: "u", Role: "primary"}, []string{pack(mysql8), pack("\x00"), pack("\x01", "col", "\xfe\x00\x00\x02\x00", "\x02ON")}, "neither 0 nor 1"},
		"role, query error": {Config{User: "u", Role: "primary"}, []string{pack(mysql8), pack("\x00"), pack("\xff\x30\x04#42000denied")}, "error 1072: denied"},
	} {
		a := listen(t, func(c net.Conn) {
			io.WriteString(c, tc.replies[0])
			for _, r := range tc.replies[1:] {
				drain(c)
				io.WriteString(c, r)
			}
			drain(c)
		})
		if len(tc.replies[0]) == 0 {
			a = listen(t, func(net.Conn) {})
		}
		tc.c.Kind = "mysql"
		wantReason(t, name, ask(t, tc.c, a, 5*time.Second), tc.want)
	}
}

func TestParseGreeting(t *testing.T) {
	g, err := parseGreeting([]byte(mysql8))
	if err != nil || g.Version != "8.0.36" || string(g.Nonce) != "12345678901234567890" || g.Plugin != cachingSHA2 {
		t.Fatalf("%+v, %v", g, err)
	}
}

// The proofs were worked out with Python's hashlib from the formulas of the protocol's documentation.
func TestScramble(t *testing.T) {
	nonce := []byte("12345678901234567890")
	for _, tc := range []struct{ plugin, password, want string }{
		{nativePassword, "secret", "0f8b9033e0897c0a8338ebe3dea9010dda47ab56"},
		{cachingSHA2, "secret", "51ecd6dedbd34d5445c0a190d4f51acf0d23b94db66c91f3f789faa9193751cd"},
		{nativePassword, "", ""},
		{cachingSHA2, "", ""},
	} {
		if got := hex.EncodeToString(scramble(tc.plugin, tc.password, nonce)); got != tc.want {
			t.Errorf("%s of %q: %s, want %s", tc.plugin, tc.password, got, tc.want)
		}
	}
	if string(nonce) != "12345678901234567890" {
		t.Error("the nonce was changed")
	}
}

func FuzzMySQL(f *testing.F) {
	f.Add([]byte(mysql8))
	f.Add([]byte("\xfemysql_native_password\x0012345678901234567890\x00"))
	f.Add([]byte("\xff\x15\x04#28000Access denied"))
	f.Add([]byte("\x011"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := parseGreeting(b); err == nil && (len(g.Nonce) != 20 || len(g.Version) > maxReason) {
			t.Errorf("%+v", g)
		}
		if len(b) == 0 {
			return // frames are never empty
		}
		if _, nonce, err := parseSwitch(b); err == nil && len(nonce) != 20 {
			t.Errorf("nonce %x", nonce)
		}
		if err := parseError(b); len(err.Error()) > 2*maxReason {
			t.Errorf("%d bytes of error", len(err.Error()))
		}
		_, _ = parseFlag(b)
	})
}
