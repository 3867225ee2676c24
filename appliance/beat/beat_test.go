package beat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// childArg makes this test binary the beat process; the argument after it is
// the directory in which its addresses are files.
const childArg = "beat-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		dir := os.Args[2]
		err := child(3, nil, Options{speak: func(s Settings, r *heartbeat.Rider, l *heartbeat.Loop, o Options) (speaker, error) {
			return newFiler(dir, s.VIPs, l)
		}})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A filer is a speaker whose addresses are files: it holds every VIP it is
// told of, until it resigns it.
type filer struct {
	dir     string
	loop    *heartbeat.Loop
	changes chan vip.Change
	stopped chan struct{}

	mu     sync.Mutex
	vips   []vip.Config
	health map[string]string
	stop   bool
}

func newFiler(dir string, vips []vip.Config, l *heartbeat.Loop) (*filer, error) {
	f := &filer{
		dir: dir, loop: l, changes: make(chan vip.Change, 64), stopped: make(chan struct{}), health: make(map[string]string),
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range left {
		os.Remove(path)
	}
	return f, f.Apply(vips)
}

func (f *filer) change(name, to, why string) {
	f.changes <- vip.Change{Name: name, To: to, Reason: why}
}

func (f *filer) Apply(vips []vip.Config) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(vips, func(c vip.Config) bool { return c.Interface == "refused" }) {
		return errors.New("interface refused")
	}
	for _, c := range vips {
		if err := os.WriteFile(filepath.Join(f.dir, c.Name), nil, 0o600); err != nil {
			return err
		}
		f.change(c.Name, "active", "applied")
	}
	f.vips = vips
	return nil
}

func (f *filer) SetHealth(name string, delta int, fault string) {
	f.change(name, "health", fmt.Sprint(delta, fault))
}

func (f *filer) Resign(name, to string) error {
	if to == "nobody" {
		return errors.New("no host is called nobody")
	}
	f.change(name, "backup", "resigned to "+to)
	return nil
}

func (f *filer) Stop() <-chan struct{} {
	f.mu.Lock()
	f.stop = true
	f.mu.Unlock()
	f.loop.Wakeup()
	return f.stopped
}

func (f *filer) Wake(time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stop || f.vips == nil {
		return
	}
	for _, c := range f.vips {
		os.Remove(filepath.Join(f.dir, c.Name))
		f.change(c.Name, "stopped", "resigned")
	}
	f.vips = nil
	close(f.stopped)
}

func (f *filer) FDs() []int          { return nil }
func (f *filer) Deadline() time.Time { return time.Time{} }

func (f *filer) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (f *filer) Status() []vip.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]vip.Status, len(f.vips))
	for i, c := range f.vips {
		out[i] = vip.Status{Name: c.Name, VRID: c.VRID, State: "active"}
	}
	return out
}

func (f *filer) Changes() <-chan vip.Change { return f.changes }

func testSettings(node string, vips ...string) Settings {
	s := Settings{
		Node: node, Keys: []gossip.Key{{1, 2, 3}},
		Cluster: heartbeat.Config{
			Name: "test", KeyFile: "unused", Bind: freePort(), Interval: 20 * time.Millisecond, Lost: 50,
		},
	}
	for i, name := range vips {
		s.VIPs = append(s.VIPs, vip.Config{
			Name: name, VRID: uint8(i + 1), Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.9.0.%d/24", i+1))},
		})
	}
	return s
}

// ports hands out loopback addresses; each test process has one of its own in
// 127.0.0.0/8, so that packages tested at once do not meet.
var (
	portsMu sync.Mutex
	port    = uint16(20000)
)

func freePort() netip.AddrPort {
	portsMu.Lock()
	defer portsMu.Unlock()
	port++
	pid := os.Getpid()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, byte(pid >> 8), byte(pid)}), port)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// startParent runs a Parent whose beat process is this test binary, and
// returns what ends it.
func startParent(t *testing.T, s Settings) (p *Parent, dir string, stop func()) {
	t.Helper()
	dir = t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p = NewParent(exe, s, quiet())
	p.args = []string{childArg, dir}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the beat process did not end within 20s")
		}
	})
	t.Cleanup(stop)
	return p, dir, stop
}

// What is still told to a beat process that has left is no fault of anybody.
func TestParentDoesNotComplainOfAChildThatLeft(t *testing.T) {
	ours, theirs, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPipe(ours)
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if err := p.send(message{Stop: true}); err == nil || !isGone(err) {
		t.Errorf("to a process that is gone: %v", err)
	}
	p.conn.Close()
	if err := p.send(message{Stop: true}); err == nil || !isGone(err) {
		t.Errorf("after hanging up: %v", err)
	}
	if isGone(p.send(message{Say: &word{Body: make([]byte, maxMessage)}})) {
		t.Error("a message that is too long was taken for the end of the process")
	}
}

func awaitChange(t *testing.T, p interface{ Changes() <-chan vip.Change }, name, to string) vip.Change {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case c := <-p.Changes():
			if c.Name == name && c.To == to {
				return c
			}
		case <-limit:
			t.Fatalf("%s did not become %s within 20s", name, to)
		}
	}
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func TestParentStartsConfiguresAndStopsInOrder(t *testing.T) {
	p, dir, stop := startParent(t, testSettings("a", "web", "db"))
	awaitChange(t, p, "web", "active")
	awaitChange(t, p, "db", "active")
	if !exists(dir, "web") || !exists(dir, "db") {
		t.Error("active, but an address is missing")
	}
	stop()
	awaitChange(t, p, "web", "stopped")
	awaitChange(t, p, "db", "stopped")
	if exists(dir, "web") || exists(dir, "db") {
		t.Error("stopped, but an address is left")
	}
	if s := p.Status(); s.Running || s.Restarts != 0 {
		t.Errorf("after the stop: running %v, %d restarts", s.Running, s.Restarts)
	}
}

func awaitPID(t *testing.T, p *Parent, not int) int {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for {
		if s := p.Status(); s.Running && s.PID != not {
			return s.PID
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("no status of a running beat process within 20s")
		}
	}
}

func TestParentRestartsAKilledBeatWithAllItShouldKnow(t *testing.T) {
	p, dir, _ := startParent(t, testSettings("a", "web"))
	awaitChange(t, p, "web", "active")
	p.SetHealth("web", -50, "")
	awaitChange(t, p, "web", "health")
	pid := awaitPID(t, p, 0)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitChange(t, p, "web", "active")
	if c := awaitChange(t, p, "web", "health"); c.Reason != "-50 " && c.Reason != "-50" {
		t.Errorf("the new process heard health %q", c.Reason)
	}
	if again := awaitPID(t, p, pid); again == pid {
		t.Error("the same process is said to run")
	}
	if s := p.Status(); s.Restarts != 1 {
		t.Errorf("%d restarts, want 1", s.Restarts)
	}
	if !exists(dir, "web") {
		t.Error("the address is missing after the restart")
	}
}

func TestBeatIgnoresSignalsToItself(t *testing.T) {
	p, _, _ := startParent(t, testSettings("a", "web"))
	pid := awaitPID(t, p, 0)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Resign(t.Context(), "web", "b"); err != nil {
		t.Errorf("Resign after the signals: %v", err)
	}
	if again := awaitPID(t, p, 0); again != pid {
		t.Errorf("process %d became %d", pid, again)
	}
}

func TestParentPassesOnAnswers(t *testing.T) {
	s := testSettings("a", "web")
	p, dir, _ := startParent(t, s)
	awaitPID(t, p, 0)
	if err := p.Resign(t.Context(), "web", "nobody"); err == nil || err.Error() != "no host is called nobody" {
		t.Errorf("Resign to nobody: %v", err)
	}
	if err := p.Resign(t.Context(), "web", "b"); err != nil {
		t.Errorf("Resign: %v", err)
	}
	if c := awaitChange(t, p, "web", "backup"); c.Reason != "resigned to b" {
		t.Errorf("resigned with %q", c.Reason)
	}

	bad := s
	bad.VIPs = slices.Clone(s.VIPs)
	bad.VIPs[0].Interface = "refused"
	if err := p.Apply(t.Context(), bad); err == nil || err.Error() != "interface refused" {
		t.Errorf("Apply of what the speaker refuses: %v", err)
	}
	bad = s
	bad.Cluster.Name = "other"
	if err := p.Apply(t.Context(), bad); err == nil {
		t.Error("the cluster's name was changed in flight")
	}
	more := testSettings("a", "web", "db")
	more.Cluster = s.Cluster
	if err := p.Apply(t.Context(), more); err != nil {
		t.Errorf("Apply of one VIP more: %v", err)
	}
	if !exists(dir, "db") {
		t.Error("Apply returned before the address was there")
	}
}

// startChild runs the beat process with the pipe in the test's hand.
func startChild(t *testing.T, dir string) (*pipe, *exec.Cmd) {
	t.Helper()
	ours, theirs, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], childArg, dir)
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	theirs.Close()
	p, err := newPipe(ours)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	p.conn.SetDeadline(time.Now().Add(20 * time.Second))
	return p, cmd
}

func awaitAnswer(t *testing.T, p *pipe, seq uint64) string {
	t.Helper()
	for {
		m, err := p.receive()
		if err != nil {
			t.Fatalf("wait for answer %d: %v", seq, err)
		}
		if m.Answer != nil && m.Answer.Seq == seq {
			return m.Answer.Error
		}
	}
}

func send(t *testing.T, p *pipe, m message) {
	t.Helper()
	if err := p.send(m); err != nil {
		t.Fatal(err)
	}
}

func TestChildResignsWhenTheMainProcessIsGone(t *testing.T) {
	dir := t.TempDir()
	p, cmd := startChild(t, dir)
	send(t, p, message{Configure: &configure{Seq: 1, Settings: testSettings("a", "web")}})
	if e := awaitAnswer(t, p, 1); e != "" {
		t.Fatal(e)
	}
	if !exists(dir, "web") {
		t.Fatal("configured, but the address is missing")
	}
	p.conn.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the beat process ended with %v", err)
	}
	if exists(dir, "web") {
		t.Error("the beat process ended and left its address")
	}
}

func TestChildOutlivesAMainProcessThatDoesNotRead(t *testing.T) {
	dir := t.TempDir()
	p, cmd := startChild(t, dir)
	send(t, p, message{Configure: &configure{Seq: 1, Settings: testSettings("a", "web")}})
	if e := awaitAnswer(t, p, 1); e != "" {
		t.Fatal(e)
	}
	// Each is a change and a status, more than the pipe and the queue hold.
	for range 5000 {
		send(t, p, message{Health: &health{VIP: "web", Delta: -1, Fault: string(make([]byte, 512))}})
	}
	send(t, p, message{Resign: &resign{Seq: 2, VIP: "web", To: "b"}})
	// Reading again, the latest is there: the answer is the newest event.
	if e := awaitAnswer(t, p, 2); e != "" {
		t.Error(e)
	}
	var dropped uint64
	for dropped == 0 {
		m, err := p.receive()
		if err != nil {
			t.Fatal(err)
		}
		if m.Status != nil {
			dropped = m.Status.Dropped
		}
	}
	send(t, p, message{Stop: true})
	for {
		if _, err := p.receive(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the beat process ended with %v", err)
	}
}

func TestChildEndsWithoutAConfiguration(t *testing.T) {
	p, cmd := startChild(t, t.TempDir())
	send(t, p, message{Configure: &configure{Seq: 1, Settings: Settings{Node: "a"}}})
	if e := awaitAnswer(t, p, 1); e == "" {
		t.Error("an empty configuration was taken")
	}
	send(t, p, message{Resign: &resign{Seq: 2, VIP: "web"}})
	if e := awaitAnswer(t, p, 2); e == "" {
		t.Error("a VIP was resigned before there was one")
	}
	p.conn.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the beat process ended with %v", err)
	}
}
