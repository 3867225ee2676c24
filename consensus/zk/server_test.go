package zk

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/ha/consensus/jute"
)

// A member is a real server that tests talk to: Apache's, or ours. Both run the same configuration.
type member struct {
	kind string
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// kinds says how to run the servers that every test of this file runs against.
var kinds = map[string]func(cfg string) []string{
	"apache": func(cfg string) []string {
		return []string{"java", "-Xmx256m", "-Dzookeeper.extendedTypesEnabled=true", "-Dzookeeper.DigestAuthenticationProvider.superDigest=" + DigestID("super", "secret").ID,
			"-cp", "/usr/share/java/zookeeper.jar", "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg}
	},
	"ha": func(cfg string) []string {
		return []string{builtBinary(), "zab", "--zoo-cfg", cfg, "-Dzookeeper.extendedTypesEnabled=true", "-Dzookeeper.DigestAuthenticationProvider.superDigest=" + DigestID("super", "secret").ID}
	},
}

// builtBinary is ours, built once.
var builtBinary = sync.OnceValue(func() string {
	file := filepath.Join(os.TempDir(), fmt.Sprintf("ha-zk-test-%d", os.Getpid()))
	if out, err := exec.Command("go", "build", "-o", file, "example.org/ha").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build ha: %v\n%s", err, out))
	}
	return file
})

// shared are the members that tests without a member of their own use.
var shared = map[string]func() *member{}

func TestMain(m *testing.M) {
	var started []*member
	for kind := range kinds {
		shared[kind] = sync.OnceValue(func() *member {
			dir, err := os.MkdirTemp("", "zk-test-")
			if err != nil {
				panic(err)
			}
			s := newMember(kind, dir)
			started = append(started, s)
			return s
		})
	}
	code := m.Run()
	for _, s := range started {
		s.kill()
		os.RemoveAll(s.dir)
	}
	os.Remove(filepath.Join(os.TempDir(), fmt.Sprintf("ha-zk-test-%d", os.Getpid())))
	os.Exit(code)
}

// freeAddress has a port below those that the kernel gives to clients: one that dials a server which is not
// there yet could be given the same port, connect to itself, and hold it.
func freeAddress() string {
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
}

func newMember(kind, dir string) *member {
	addr := freeAddress()
	_, port, _ := net.SplitHostPort(addr)
	cfg := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=500\ndataDir=%s/data\nclientPort=%s\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n", dir, port)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		panic(err)
	}
	s := &member{kind: kind, addr: addr, dir: dir, args: kinds[kind](cfg)}
	s.start()
	return s
}

func (s *member) start() {
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		panic(err)
	}
}

func (s *member) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// eachServer runs f against Apache's server and ours; f gets a client whose root is its own.
func eachServer(t *testing.T, f func(t *testing.T, s *member, c *Client)) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := shared[kind]()
			f(t, s, dialRoot(t, s, Config{}))
		})
	}
}

func dialMember(t testing.TB, s *member, cfg Config) *Client {
	t.Helper()
	cfg.Servers = []string{s.addr}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := Dial(ctx, cfg)
	if err != nil {
		t.Fatalf("%v\n%s", err, &s.log)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var (
	rootsMu sync.Mutex
	roots   = map[testing.TB]int64{}
)

// rootOf is another number for each run of a test, the same for all its clients.
func rootOf(t testing.TB) int64 {
	rootsMu.Lock()
	defer rootsMu.Unlock()
	if roots[t] == 0 {
		roots[t] = int64(len(roots) + 1)
	}
	return roots[t]
}

// dialRoot connects below a path of the test's own.
func dialRoot(t testing.TB, s *member, cfg Config) *Client {
	t.Helper()
	cfg.Chroot = "/" + strings.NewReplacer("/", "-", "#", "-").Replace(t.Name()) + strconv.FormatInt(rootOf(t), 36)
	c := dialMember(t, s, cfg)
	if err := c.CreateAll(t.Context(), "/", nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// within is a test's patience.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventOf waits for a one-shot watch.
func eventOf(t testing.TB, o *OneShot) Event {
	t.Helper()
	select {
	case e := <-o.C():
		return e
	case <-within(t).Done():
		t.Fatalf("no event of %s", o.path)
		return Event{}
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err error, code jute.Code, text string) {
	t.Helper()
	if wrong := code != jute.OK && !isCode(err, code) || err == nil || !strings.Contains(err.Error(), text); wrong {
		t.Fatalf("error %v, want %v with %q", err, code, text)
	}
}
