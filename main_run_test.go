package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/ha/appliance/admin"
)

// `ha run` as a process of its own: signals, the service manager, and a log that nobody takes.

// asHA makes this test binary be ha: so is its beat process, which inherits the variable.
const asHA = "HA_TEST_AS_HA"

func TestMain(m *testing.M) {
	if os.Getenv(asHA) != "" {
		main()
	}
	os.Exit(m.Run())
}

// A process is one `ha run`.
type process struct {
	*testing.T
	cmd    *exec.Cmd
	file   string
	client *admin.Client
	told   *net.UnixConn // where the service manager listens
}

const runText = `roles = ["vip"]
node = "lb1"
[cluster]
bind = "127.0.0.1:%d"
key_file = "%s/none"
[admin]
listen = "none"
socket = "%s/s"
%s
`

// runHA starts a process that logs to w, and waits until it is ready.
func runHA(t *testing.T, w *os.File, more string) *process {
	t.Helper()
	c := listenUDP(t)
	c.Close()
	p := startHA(t, w, c.LocalAddr().(*net.UDPAddr).Port, more)
	p.manager("READY=1")
	return p
}

func listenUDP(t *testing.T) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startHA(t *testing.T, w *os.File, port int, more string) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{T: t, file: filepath.Join(dir, "ha.toml"), client: admin.Dial(filepath.Join(dir, "s"))}
	p.write(fmt.Sprintf(runText, port, dir, dir, more))
	manager := filepath.Join(dir, "manager")
	var err error
	if p.told, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: manager, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0], "run", "-c", p.file)
	p.cmd.Env = append(os.Environ(), asHA+"=1", "NOTIFY_SOCKET="+manager)
	p.cmd.Stderr = w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.told.Close()
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	return p
}

func (p *process) write(text string) {
	p.Helper()
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

// manager waits for what the service manager is told next.
func (p *process) manager(want string) {
	p.Helper()
	p.told.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 256)
	n, err := p.told.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), want) {
		p.Fatalf("the service manager was told %q, %v; want %s", b[:n], err, want)
	}
}

func (p *process) signal(s syscall.Signal) {
	p.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.Fatal(err)
	}
}

func (p *process) status() admin.Status {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 5*time.Second)
	defer cancel()
	s, err := p.client.Status(ctx)
	if err != nil {
		p.Fatal(err)
	}
	return s
}

// end stops it in order.
func (p *process) end() {
	p.Helper()
	p.signal(syscall.SIGTERM)
	p.manager("STOPPING=1")
	if err := p.cmd.Wait(); err != nil {
		p.Errorf("after SIGTERM: %v", err)
	}
}

func discard(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestSIGHUPReadsTheFileAgain(t *testing.T) {
	p := runHA(t, discard(t), "")
	if s := p.status(); !s.Ready() || s.Beat.PID == 0 || s.Beat.PID == s.PID {
		t.Errorf("the service manager was told READY=1, and: %+v, beat %+v", s.Parts, s.Beat)
	}
	good, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		text, refused string
	}{
		{"roles = 3\n", "ha.toml:1: roles: "},
		{string(good) + "[notify]\ngather = \"1s\"\n", ""},
	} {
		p.write(c.text)
		p.signal(syscall.SIGHUP)
		p.manager("RELOADING=1\nMONOTONIC_USEC=")
		p.manager("READY=1")
		s := p.status()
		if !strings.Contains(s.Config.Refused, c.refused) || (s.Config.Refused == "") != (c.refused == "") || s.Config.Reloads != uint64(i) || s.Config.Refusals != 1 {
			t.Errorf("after %q: %+v", c.text, s.Config)
		}
	}
	p.end()
}

// until asks for the status again and again.
func (p *process) until(what string, ok func(admin.Status) bool) {
	p.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for {
		s, err := p.client.Status(p.Context())
		if err == nil && ok(s) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			p.Fatalf("still not: %s: %+v, %v", what, s.Parts, err)
		}
	}
}

func beatPart(s admin.Status) admin.Part {
	for _, part := range s.Parts {
		if part.Name == "beat" {
			return part
		}
	}
	return admin.Part{}
}

func TestReadyMeansThatTheBeatProcessHasItsConfiguration(t *testing.T) {
	taken := listenUDP(t)
	p := startHA(t, discard(t), taken.LocalAddr().(*net.UDPAddr).Port, "")
	p.until("the beat process says why it is not ready", func(s admin.Status) bool {
		return !s.Ready() && strings.Contains(beatPart(s).Reason, "in use")
	})
	p.told.SetReadDeadline(time.Now())
	if n, err := p.told.Read(make([]byte, 64)); err == nil {
		t.Errorf("the service manager was told something (%d bytes) before all was ready", n)
	}
	taken.Close()
	p.manager("READY=1")
	p.until("it is ready", admin.Status.Ready)

	first := p.status().Beat.PID
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.until("another beat process is ready", func(s admin.Status) bool {
		return s.Ready() && s.Beat.Restarts == 1 && s.Beat.PID != first && s.Beat.PID != 0
	})
	p.end()
}

func TestTheSecondSignalEndsItAtOnce(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "begun")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// A stop waits five seconds for the last notification, which hangs.
	p := runHA(t, discard(t), fmt.Sprintf("[notify]\ngather = \"1ms\"\nexec = [{ command = [\"/bin/sh\", \"-c\", \"echo > %s; sleep 30\"], timeout = \"60s\" }]", fifo))
	p.signal(syscall.SIGHUP)
	begun, err := os.Open(fifo) // waits until the script has begun
	if err != nil {
		t.Fatal(err)
	}
	begun.Close()
	p.manager("RELOADING=1")
	p.manager("READY=1")
	p.signal(syscall.SIGTERM)
	p.manager("STOPPING=1")
	p.signal(syscall.SIGINT)
	err = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("after the second signal: code %d, %v; want %d", code, err, exitFailed)
	}
}

func TestALogThatNobodyTakesStopsNothing(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	unread, stuck, err := os.Pipe() // its reader never reads
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	gone, broken, err := os.Pipe() // its reader goes
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("an_unknown_key_of_some_length", 40)
	for _, c := range []struct {
		name string
		w    *os.File
	}{{"a full disk", full}, {"a pipe that is full", stuck}, {"a pipe without a reader", broken}} {
		t.Run(c.name, func(t *testing.T) {
			p := runHA(t, c.w, "")
			if c.w == broken {
				gone.Close()
			}
			c.w.Close() // ours; the process has its own
			p.write("roles = [\"vip\"]\n" + long + " = 1\n" + strings.Repeat("[["+long+"]]\n", 20))
			for range 60 { // each refusal is a line of some kilobytes, and a pipe holds 64 KiB
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				err := p.client.Reload(ctx)
				cancel()
				if err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("a reload of a wrong file: %v", err)
				}
				p.manager("RELOADING=1")
				p.manager("READY=1")
			}
			if s := p.status(); !s.Ready() || s.Config.Refusals != 60 || c.w != stuck && s.LogLost == 0 {
				t.Errorf("ready %v, %d refusals, %d log lines lost", s.Ready(), s.Config.Refusals, s.LogLost)
			}
			p.end()
		})
	}
}

func TestTheLogIsWhole(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan []string)
	go func() {
		var all []string
		for s := bufio.NewScanner(r); s.Scan(); {
			all = append(all, s.Text())
		}
		_, _ = io.Copy(io.Discard, r)
		lines <- all
	}()
	p := runHA(t, w, "")
	w.Close()
	p.end()
	all := <-lines
	text := strings.Join(all, "\n")
	for _, want := range []string{"msg=starting", "msg=ready", "msg=stopping cause=\"signal: terminated\"", "beat process ends"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}
