package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A runner starts a command for each message and waits for it. The command runs in a process group
// of its own, so that at the timeout everything it started is killed with it.
type runner struct{ cfg Exec }

func (r runner) Kind() string   { return "exec" }
func (r runner) String() string { return "exec " + r.cfg.Command[0] }

// maxOutput is how much of a failed command's output the error quotes.
const maxOutput = 500

func (r runner) Send(ctx context.Context, m Message) error {
	input, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("notify: encode message for %s: %w", r, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.cfg.Command[0], r.cfg.Command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a grandchild that left the group may still hold the pipe
	cmd.Stdin = bytes.NewReader(input)
	out := &head{limit: maxOutput}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = environment(m)
	if err := cmd.Run(); err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			err = fmt.Errorf("killed after %v", r.cfg.Timeout)
		}
		return fmt.Errorf("notify: run %s: %w: %s", r.cfg.Command[0], err, strings.TrimSpace(string(out.kept)))
	}
	return nil
}

// environment is all the command sees: nothing of ours leaks into it.
func environment(m Message) []string {
	w := m.worst()
	return []string{
		"PATH=" + or(os.Getenv("PATH"), "/usr/sbin:/usr/bin:/sbin:/bin"),
		"HA_CLUSTER=" + m.Cluster,
		"HA_HOST=" + m.Host,
		"HA_SUBJECT=" + m.Subject,
		"HA_EVENTS=" + strconv.Itoa(len(m.Events)),
		"HA_KIND=" + string(w.Kind),
		"HA_NAME=" + oneLine(w.Name),
		"HA_OBJECT=" + oneLine(w.Object),
		"HA_STATE=" + oneLine(w.State),
		"HA_REASON=" + oneLine(w.Reason),
		"HA_SEVERITY=" + w.Severity.String(),
	}
}

// A head keeps the first bytes written and swallows the rest.
type head struct {
	kept  []byte
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), h.limit-len(h.kept))]...)
	return len(p), nil
}
