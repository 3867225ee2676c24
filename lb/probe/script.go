package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// maxReason bounds what of a server's or a script's own words goes into an error.
const maxReason = 200

// maxOutput is how much a script may say; the rest is thrown away. The last line of it is the reason.
const maxOutput = 4 << 10

func checkScript(c Config) error {
	switch {
	case len(c.Command) == 0:
		return errors.New("command: required for a script")
	case !strings.HasPrefix(c.Command[0], "/"):
		return fmt.Errorf("command: %q, want an absolute path", c.Command[0])
	}
	return nil
}

// Script runs a command; exit status 0 is well. It runs in a process group of its own, and the whole
// group is killed when the time is up or when the command leaves children behind.
func Script(ctx context.Context, c Config, target netip.AddrPort) error {
	var out head
	cmd := exec.CommandContext(ctx, c.Command[0], c.Command[1:]...)
	cmd.Env = append(os.Environ(), "HA_ADDRESS="+target.Addr().String(), fmt.Sprintf("HA_PORT=%d", target.Port()))
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		// Something of the group still holds the output, so the group's number is not another's yet.
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: killed: %w", c.Command[0], cause(ctx, ctx.Err()))
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if said := out.lastLine(); said != "" {
			return fmt.Errorf("%s: %v: %s", c.Command[0], exit, said)
		}
		return fmt.Errorf("%s: %v", c.Command[0], exit)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Command[0], cause(ctx, err))
	}
	return nil
}

// A head keeps the beginning of what is written to it. (A bytes.Buffer by itself, or embedded, would
// be filled through ReadFrom without any limit.)
type head struct{ buf bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	h.buf.Write(p[:min(len(p), maxOutput-h.buf.Len())])
	return len(p), nil
}

func (h *head) lastLine() string {
	lines := strings.Split(strings.TrimSpace(h.buf.String()), "\n")
	last := lines[len(lines)-1]
	return strings.ToValidUTF8(last[:min(len(last), maxReason)], "?")
}
