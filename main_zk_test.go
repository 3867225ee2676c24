package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/ha/consensus"
	"example.org/ha/consensus/zk"
	"example.org/ha/consensus/zoocfg"
)

// apache starts Apache's server and returns its address.
func apache(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	dir := t.TempDir()
	cfg := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=500\ndataDir=%s/data\nclientPort=%s\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n", dir, port)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xmx256m", "-Dzookeeper.extendedTypesEnabled=true", "-cp", "/usr/share/java/zookeeper.jar",
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return "127.0.0.1:" + port
}

// The port is below those that the kernel gives to clients: one that dials a server which is not there yet
// could be given the same port, connect to itself, and hold it.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no port is free")
	return ""
}

// member starts ours, in this process.
func member(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("tickTime=500\ndataDir=%s/data\nclientPort=%s\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n", dir, freePort(t))
	cfg, _, err := zoocfg.Parse("zoo.cfg", []byte(text), map[string]string{"zookeeper.extendedTypesEnabled": "true"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := consensus.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- m.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return m.Addr().String()
}

// Every command, in the order in which a person might try them: what goes where, and the exit codes.
func TestZkCommands(t *testing.T) {
	t.Run("apache", func(t *testing.T) { testZkCommands(t, apache(t)) })
	t.Run("ha", func(t *testing.T) { testZkCommands(t, member(t)) })
}

func testZkCommands(t *testing.T, addr string) {
	dump := filepath.Join(t.TempDir(), "dump")
	for _, c := range []struct {
		args, stdin    string
		code           int
		stdout, stderr string // exactly; "~" before it: a part of it
	}{
		{"ls", "", exitOK, "zookeeper\n", ""},
		{"create -p /app/config a=1", "", exitOK, "/app/config\n", ""},
		{"create /app/config", "", exitFailed, "", "ha: zk: create /app/config: node exists\n"},
		{"create -s /app/job-", "", exitOK, "/app/job-0000000001\n", ""},
		{"create -t 1h /app/brief", "", exitOK, "/app/brief\n", ""},
		{"create -c /app/box", "", exitOK, "/app/box\n", ""},
		{"create -e -c /app/odd", "", exitUsage, "", "~-e and -s may go together"},
		{"create --acl world:anyone:rx /app/odd", "", exitUsage, "", "~'x' is none of the permissions"},
		{"ls /app", "", exitOK, "box\nbrief\nconfig\njob-0000000001\n", ""},
		{"ls -R /app", "", exitOK, "/app\n/app/box\n/app/brief\n/app/config\n/app/job-0000000001\n", ""},
		{"ls -s /app", "", exitOK, "~0        0         3       -", ""},
		{"ls --json /app", "", exitOK, "~\"box\",\n", ""},
		{"get /app/config", "", exitOK, "a=1\n", ""},
		{"get --raw /app/config", "", exitOK, "a=1", ""},
		{"get -s /app/config", "", exitOK, "~dataLength      3\n", ""},
		{"get --json /app/config", "", exitOK, "~\"data\": \"a=1\"", ""},
		{"get /none", "", exitFailed, "", "ha: zk: getData /none: no node\n"},
		{"set -v 0 /app/config a=2", "", exitOK, "", ""},
		{"set -v 0 /app/config a=3", "", exitFailed, "", "ha: zk: setData /app/config: bad version\n"},
		{"set -f - /app/config", "\x00\x01", exitOK, "", ""},
		{"get /app/config", "", exitOK, "00000000  00 01                                             |..|\n", ""},
		{"stat --json /app/config", "", exitOK, "~\"version\": 2,", ""},
		{"stat /none", "", exitFailed, "", "ha: zk: exists /none: no node\n"},
		{"count /app", "", exitOK, "4\n", ""},
		{"acl get /app", "", exitOK, "world:anyone:cdrwa\n", ""},
		{"acl set -R /app world:anyone:cdra", "", exitOK, "", ""},
		{"getAcl /app/box", "", exitOK, "world:anyone:cdra\n", ""},
		{"set /app/box x", "", exitFailed, "", "ha: zk: setData /app/box: not authorized\n"},
		{"acl set -R /app world:anyone:cdrwa", "", exitOK, "", ""},
		{"sync", "", exitOK, "", ""},
		{"whoami", "", exitOK, "ip:127.0.0.1\n", ""},
		{"multi", "check /app 0\ncreate -s /app/m- 'x y'\n\nset /app/box 1 0\ndelete /app/brief\n", exitOK, "/app/m-0000000004\n", ""},
		{"multi", "set /app/box 2\ncheck /app 7\n", exitFailed, "", "ha: zk: multi: part 2: check /app: bad version\n"},
		{"multi", "set /app/box\n", exitUsage, "", "~multi: line 1: \"set /app/box\": want create"},
		{"dump -o " + dump + " /app", "", exitOK, dump + ": 5 znodes\n", ""},
		{"restore --dry-run --to /copy " + dump, "", exitOK, "5 lines: would be 5 created, 0 overwritten, 0 kept, 0 left out\n", ""},
		{"restore --to /copy " + dump, "", exitOK, "5 lines: 5 created, 0 overwritten, 0 kept, 0 left out\n", ""},
		{"restore --to /copy " + dump, "", exitFailed, "0 lines: 0 created, 0 overwritten, 0 kept, 0 left out\n", "ha: zk: restore: line 1: zk: create /copy: node exists\n"},
		{"restore --merge --json --to /copy " + dump, "", exitOK, "~\"kept\": 5", ""},
		{"restore --merge --overwrite " + dump, "", exitUsage, "", "~can't be used together"},
		{"get /copy/m-0000000004", "", exitOK, "x y\n", ""},
		{"delete /copy", "", exitFailed, "", "ha: zk: delete /copy: node has children\n"},
		{"rm -R /copy", "", exitOK, "/copy: 5 znodes deleted\n", ""},
		{"fly", "", exitUsage, "", "~unexpected argument fly"},
		{"get --help", "", exitOK, "~Print the data of a znode.", ""},
		{"", "create /sh 'a b' # so\nget /sh\nget /none\nset /sh 'x\nhelp get\ndelete /sh\nexit\nls /\n", exitUsage, "~/sh\na b\n", "ha: line 3: zk: getData /none: no node\nha: line 4: wrong usage: ' is not closed\n"},
		{"", "ls /sh\n", exitFailed, "", "ha: line 1: zk: getChildren /sh: no node\n"},
	} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"zk", "-s", addr, "--timeout=20s"}, strings.Fields(c.args)...)
		code := run(args, strings.NewReader(c.stdin), &stdout, &stderr)
		says := func(got, want string) bool {
			part, ok := strings.CutPrefix(want, "~")
			return got == want || ok && strings.Contains(got, part)
		}
		if code != c.code || !says(stdout.String(), c.stdout) || !says(stderr.String(), c.stderr) {
			t.Errorf("ha zk %s: code %d, want %d\nstdout %q, want %q\nstderr %q, want %q", c.args, code, c.code, stdout.String(), c.stdout, stderr.String(), c.stderr)
		}
	}
}

func TestZkCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"-s 127.0.0.1:1 --timeout 50ms ls": "ha: zk: connect to 127.0.0.1:1: no server answers: ",
		"--auth digest ls":                 `ha: wrong usage: --auth "digest": want SCHEME:PROOF`,
		"-s a:b:c ls":                      `ha: wrong usage: zk: servers: `,
		"-s h/a//b ls":                     `ha: wrong usage: zk: chroot: `,
		"--ca /none ls":                    "ha: zk: read --ca: ",
	} {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"zk"}, strings.Fields(args)...), strings.NewReader(""), &stdout, &stderr)
		wantCode := exitUsage
		switch {
		case strings.Contains(want, "no server"):
			wantCode = exitUnreachable
		case strings.Contains(want, "read"):
			wantCode = exitFailed
		}
		if code != wantCode || !strings.HasPrefix(stderr.String(), want) {
			t.Errorf("ha zk %s: code %d, want %d; %q, want %q", args, code, wantCode, stderr.String(), want)
		}
	}
}

func TestZkSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                        nil,
		"  ls   /a ":              {"ls", "/a"},
		`set /a 'x  "y"' ""`:      {"set", "/a", `x  "y"`, ""},
		`a\ b "c\"d" 'e\' # rest`: {"a b", `c"d`, `e\`},
		"a#b":                     {"a#b"},
	} {
		if got, err := split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`'a`, `"a`, `a\`} {
		if got, err := split(line); err == nil {
			t.Errorf("%q: %q", line, got)
		}
	}
}

// A person at a terminal: the tab key completes, ^C ends a command, ^D the shell.
func TestZkShellAtATerminal(t *testing.T) {
	addr := apache(t)
	master, slave := terminalPair(t)
	c, err := zk.Dial(t.Context(), zk.Config{Servers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, path := range []string{"/apple", "/apple/pie", "/apricot"} {
		if _, _, err := c.Create(t.Context(), path, []byte("of "+path), zk.Persistent, nil); err != nil {
			t.Fatal(err)
		}
	}
	code := make(chan int)
	go func() { code <- run([]string{"zk", "-s", addr}, slave, slave, slave) }()
	var screen bytes.Buffer
	until := func(want string) {
		t.Helper()
		b := make([]byte, 1000)
		for !strings.Contains(screen.String(), want) {
			_ = master.SetReadDeadline(time.Now().Add(20 * time.Second))
			n, err := master.Read(b)
			screen.Write(b[:n])
			if err != nil {
				t.Fatalf("waiting for %q: %v\n%q", want, err, screen.String())
			}
		}
		_, rest, _ := strings.Cut(screen.String(), want)
		screen.Reset()
		screen.WriteString(rest)
	}
	typed := func(s string) {
		t.Helper()
		if _, err := master.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	until("> ")
	typed("ge\t/ap\t")
	until("get /ap")
	typed("\t")
	until("/apple  /apricot")
	typed("p\t/\t\r")
	until("of /apple/pie")
	until("> ")
	typed("get /none\r")
	until("no node")
	until("> ")
	typed("\x1b[A\x1b[A\r") // the command before the last
	until("of /apple/pie")
	until("> ")
	typed("\x04")
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
}

// terminalPair is a pseudo terminal.
func terminalPair(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}
