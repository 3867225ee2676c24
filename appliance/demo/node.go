package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.org/ha/appliance/admin"
)

// A Node is the real binary, running on a host of a LAN.
type Node struct {
	Host *Host
	// Exe is the binary, Config its configuration file and Socket the admin
	// socket which that names.
	Exe, Config, Socket string
	// Log takes what the process writes to standard error.
	Log io.Writer

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // how it ended
}

// Start runs the binary. It returns before the node is ready.
func (n *Node) Start() error {
	n.cmd = exec.Command(n.Exe, "run", "-c", n.Config)
	n.cmd.Stderr, n.cmd.Stdout = n.Log, n.Log
	n.done = make(chan struct{})
	if err := n.Host.Start(n.cmd); err != nil {
		return fmt.Errorf("demo: start %s on %s: %w", n.Exe, n.Host.Name, err)
	}
	go func() {
		n.err = n.cmd.Wait()
		close(n.done)
	}()
	return nil
}

// Admin speaks to the node.
func (n *Node) Admin() *admin.Client { return admin.Dial(n.Socket) }

// Ready returns once every part of the node is ready.
func (n *Node) Ready(ctx context.Context) error {
	_, err := n.Status(ctx, "be ready", admin.Status.Ready)
	return err
}

// Status asks the node what it is doing until ok likes the answer; what says
// in words what was waited for.
func (n *Node) Status(ctx context.Context, what string, ok func(admin.Status) bool) (admin.Status, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := n.Admin().Status(ctx)
		if err == nil && ok(s) {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-n.done:
			return s, fmt.Errorf("demo: wait for %s to %s: it ended: %w", n.Host.Name, what, n.exit())
		case <-ctx.Done():
			return s, fmt.Errorf("demo: wait for %s to %s: %w", n.Host.Name, what, errors.Join(ctx.Err(), err))
		}
	}
}

// PIDs lists the process and its descendants, the process first. It is empty
// when the process has ended.
func (n *Node) PIDs() []int {
	if n.cmd == nil || n.cmd.Process == nil || !n.Running() {
		return nil
	}
	return descend(nil, n.cmd.Process.Pid)
}

func descend(found []int, pid int) []int {
	found = append(found, pid)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has just ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				found = descend(found, child)
			}
		}
	}
	return found
}

// Signal sends a signal to processes of the node.
func (n *Node) Signal(sig syscall.Signal, pids ...int) error {
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			errs = append(errs, fmt.Errorf("demo: send %v to process %d of %s: %w", sig, pid, n.Host.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Running reports whether the process lives.
func (n *Node) Running() bool {
	if n.done == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// Kill ends the process and all its descendants at once, so that none of them
// can say goodbye, and waits.
func (n *Node) Kill() error {
	pids := n.PIDs()
	// Stopped first: a child that saw its parent die would resign in order.
	err := errors.Join(n.Signal(syscall.SIGSTOP, pids...), n.Signal(syscall.SIGKILL, pids...))
	if n.done != nil {
		<-n.done
	}
	return err
}

// Terminate asks the process to stop in order and waits for it.
func (n *Node) Terminate(ctx context.Context) error {
	if !n.Running() {
		return nil
	}
	if err := n.Signal(syscall.SIGTERM, n.cmd.Process.Pid); err != nil {
		return err
	}
	return n.Wait(ctx)
}

// Wait waits for the process to end and returns how it did.
func (n *Node) Wait(ctx context.Context) error {
	select {
	case <-n.done:
		return n.exit()
	case <-ctx.Done():
		return fmt.Errorf("demo: wait for the end of %s: %w", n.Host.Name, ctx.Err())
	}
}

func (n *Node) exit() error {
	<-n.done
	return n.err
}
