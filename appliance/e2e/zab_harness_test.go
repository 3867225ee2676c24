package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The stories about ZooKeeper play on loopback, each server on a port of its own. Which server plays is
// the test's choice; with -zookeeper=apache every test that asks for ours gets Apache's, which is how to
// tell whether a test is right. With -record what is kept in testdata is written anew, from Apache's.
var (
	record    = flag.Bool("record", false, "write testdata/zookeeper anew from Apache's server")
	zookeeper = flag.String("zookeeper", "ha", "the server under test: ha or apache")
)

// Kinds of server.
const (
	apache = "apache"
	ours   = "ha"
)

// underTest is the server that a test is about.
func underTest() string {
	if *record {
		return apache
	}
	return *zookeeper
}

// A zookeeperServer is a server that keeps its data in a directory of the test.
type zookeeperServer struct {
	*testing.T
	kind  string
	dir   string // has zoo.cfg, data and log
	lines string // more lines of zoo.cfg
	props []string
	port  int
	cmd   *exec.Cmd
	ended chan error
	cost  time.Duration // from start to the first answer
}

// newZookeeper starts a server with an empty directory. Props are java's system properties, as key=value.
func newZookeeper(t *testing.T, kind, lines string, props ...string) *zookeeperServer {
	t.Helper()
	s := &zookeeperServer{T: t, kind: kind, dir: t.TempDir(), lines: lines, props: props, port: freePort(t)}
	must(t, os.Mkdir(s.dir+"/data", 0o700))
	t.Cleanup(func() {
		s.stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s, last lines:\n%s", s.kind, lastLines(s.dir+"/log", 30))
		}
	})
	s.start()
	return s
}

// The port is below those that the kernel gives to clients: one that dials a server which is not there yet
// could be given the same port, connect to itself, and hold it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func (s *zookeeperServer) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// config is the zoo.cfg of both kinds.
func (s *zookeeperServer) config() string {
	cfg := fmt.Sprintf("dataDir=%s/data\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\n", s.dir, s.port)
	if !strings.Contains(s.lines, "tickTime=") {
		cfg += "tickTime=2000\n"
	}
	return cfg + s.lines
}

// start starts the server on what its directory holds and waits until it serves.
func (s *zookeeperServer) start() {
	s.Helper()
	cfg := s.dir + "/zoo.cfg"
	must(s.T, os.WriteFile(cfg, []byte(s.config()), 0o600))
	log, err := os.OpenFile(s.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(s.T, err)
	defer log.Close()
	s.cmd = serverCommand(s.kind, cfg, s.props...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	begin := time.Now()
	must(s.T, s.cmd.Start())
	s.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(s.cmd, s.ended)
	s.ready()
	s.cost = time.Since(begin)
}

// serverCommand runs a server in the foreground.
func serverCommand(kind, cfg string, props ...string) *exec.Cmd {
	if kind == apache {
		args := []string{"-Xmx512m", "-cp", "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"}
		for _, p := range props {
			args = append(args, "-D"+p)
		}
		return exec.Command("java", append(args, "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)...)
	}
	args := []string{"zab", "--zoo-cfg", cfg}
	for _, p := range props {
		args = append(args, "-D", p)
	}
	return exec.Command(exe, args...)
}

// ready waits until the server says so.
func (s *zookeeperServer) ready() {
	s.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if out, err := s.word("srvr"); err == nil && strings.Contains(out, "Mode: ") {
			return
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			s.Fatalf("%s ended instead of serving: %v\n%s", s.kind, err, lastLines(s.dir+"/log", 30))
		default:
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s does not serve\n%s", s.kind, lastLines(s.dir+"/log", 30))
		}
	}
}

// stop ends the server and waits for its end.
func (s *zookeeperServer) stop(sig syscall.Signal) {
	s.Helper()
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Signal(sig)
	select {
	case err := <-s.ended:
		s.ended <- err
		if exit, ok := errors.AsType[*exec.ExitError](err); sig == syscall.SIGTERM && s.kind == ours && err != nil && (!ok || exit.ExitCode() != 0) {
			s.Errorf("the server did not end in order: %v", err)
		}
	case <-time.After(patience):
		s.cmd.Process.Kill()
		s.Errorf("the server did not end after %v", sig)
	}
	s.cmd = nil
}

// word asks a four-letter word.
func (s *zookeeperServer) word(w string) (string, error) { return ask(s.addr(), w) }

func ask(addr, word string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// metric is one value of mntr.
func (s *zookeeperServer) metric(name string) string {
	s.Helper()
	text, err := s.word("mntr")
	must(s.T, err)
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && k == name {
			return v
		}
	}
	return ""
}

func lastLines(file string, n int) string {
	text, _ := os.ReadFile(file)
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// wrappers makes a directory of programs that start the server under test where others would start
// Apache's: java, for any call that names a main class of the server, and zkServer.sh.
func wrappers(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	java, err := exec.LookPath("java")
	must(t, err)
	if underTest() == apache {
		must(t, os.Symlink(java, dir+"/java"))
	} else {
		must(t, os.WriteFile(dir+"/java", fmt.Appendf(nil, javaWrapper, java, exe), 0o755))
	}
	must(t, os.WriteFile(dir+"/zkServer.sh", fmt.Appendf(nil, zkServer, dir), 0o755))
	return dir
}

// javaWrapper gets the real java and our binary.
const javaWrapper = `#!/bin/bash
args=() main=
for a in "$@"; do
	case $a in
	*.QuorumPeerMain | *.ZooKeeperServerMain) main=$a ;;
	-D*) [ -n "$main" ] || args+=(-D "${a#-D}") ;;
	*) [ -z "$main" ] || cfg=${cfg:-$a} ;;
	esac
done
[ -n "$main" ] || exec %q "$@"
exec %q zab --zoo-cfg "$cfg" "${args[@]}"
`

// zkServer gets the directory of java. It knows what the tests of clients call: start-foreground CFG.
const zkServer = `#!/bin/sh
[ "$1" = start-foreground ] || exit 2
exec %s/java -Xmx256m $SERVER_JVMFLAGS -cp "${ZOOKEEPER_CLASSPATH:-/usr/share/java/zookeeper.jar}" org.apache.zookeeper.server.quorum.QuorumPeerMain "$2"
`

// A suite is a program that runs in a network namespace of its own, where loopback is all there is.
type suite struct {
	dir   string
	env   []string
	limit time.Duration
}

// run runs it with the wrappers first in PATH and returns what it printed. The whole process group ends with it.
func (s suite) run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.limit)
	defer cancel()
	script := "ip link set lo up\n\"$@\"\nexit $?" // the shell stays, to bury orphans
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh", name}, args...)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("did not end within %v: %w", s.limit, err)
	}
	return out.String(), err
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// keep writes a file of testdata/zookeeper when recording and returns what it holds.
func keep(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join("testdata", "zookeeper", name)
	if *record {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, []byte(text), 0o644))
	}
	b, err := os.ReadFile(file)
	must(t, err)
	return string(b)
}
