package e2e

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/appliance/demo"
)

// run runs the binary on a host of its own, bounded.
func runOn(t *testing.T, h *demo.Host, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), exe, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, h.Start(cmd))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return out.String(), err
	case <-time.After(2 * time.Minute):
		cmd.Process.Kill()
		<-ended
		t.Fatalf("ha %s did not end by itself:\n%s", strings.Join(args, " "), &out)
		return "", nil
	}
}

// `ha dev` plays its script and ends by itself, with every request served that
// a failure did not take.
func TestDev(t *testing.T) {
	lan, err := demo.NewLAN()
	must(t, err)
	defer lan.Close()
	h, err := lan.Host("dev")
	must(t, err)
	for _, args := range [][]string{
		{"dev"},
		{"dev", "--script", "wait; kill web1; wait; kill active; wait; revive web1; revive dead; wait; status"},
	} {
		out, err := runOn(t, h, args...)
		if err != nil {
			t.Errorf("ha %v: %v\n%s", args, err, out)
			continue
		}
		for _, want := range []string{"lb1", "lb2", "web3", "requests served", "longest outage"} {
			if !strings.Contains(out, want) {
				t.Errorf("ha %v does not say %q:\n%s", args, want, out)
			}
		}
	}
	if out, err := runOn(t, h, "dev", "--script", "kill web9"); err == nil || !strings.Contains(out, "web9") {
		t.Errorf("a script that kills a web server that is not there: %v\n%s", err, out)
	}
}

// A planned handover in `ha dev` loses nothing at all.
func TestDevHandoverLosesNothing(t *testing.T) {
	lan, err := demo.NewLAN()
	must(t, err)
	defer lan.Close()
	h, err := lan.Host("dev")
	must(t, err)
	out, err := runOn(t, h, "dev", "--script", "wait; release; wait; release; wait")
	if err != nil || !strings.Contains(out, ", 0 failed") || strings.Contains(out, "(first:") {
		t.Errorf("%v\n%s", err, out)
	}
}

// `ha lab` measures, ends by itself and leaves no namespace and no process.
func TestLab(t *testing.T) {
	lan, err := demo.NewLAN()
	must(t, err)
	defer lan.Close()
	h, err := lan.Host("lab")
	must(t, err)
	before := namespaces(t)
	out, err := runOn(t, h, "lab", "--rounds", "1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"nginx", "killed and unplugged", "planned handover", "median"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "behind") || strings.Contains(out, "did not stop") {
		t.Errorf("it did not end cleanly:\n%s", out)
	}
	for _, name := range namespaces(t) {
		if !slices.Contains(before, name) {
			t.Errorf("namespace %s was not there before", name)
		}
	}
	t.Logf("%s", out[max(0, len(out)-300):])
}

// A lab that is interrupted ends at once and in order.
func TestLabInterrupted(t *testing.T) {
	lan, err := demo.NewLAN()
	must(t, err)
	defer lan.Close()
	h, err := lan.Host("lab")
	must(t, err)
	out := &waiting{want: "pings", found: make(chan struct{})}
	cmd := exec.Command(exe, "lab", "--rounds", "100")
	cmd.Stdout, cmd.Stderr = out, out
	must(t, h.Start(cmd))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-out.found:
	case err := <-ended:
		t.Fatalf("it ended: %v\n%s", err, &out.Builder)
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		<-ended
		t.Fatalf("it never got ready:\n%s", &out.Builder)
	}
	must(t, cmd.Process.Signal(os.Interrupt))
	select {
	case <-ended:
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		<-ended
		t.Fatal("it did not end after an interrupt")
	}
	if strings.Contains(out.String(), "behind") || strings.Contains(out.String(), "did not stop") {
		t.Errorf("it did not end cleanly:\n%s", &out.Builder)
	}
}

// waiting closes found once want has been written.
type waiting struct {
	strings.Builder
	want  string
	found chan struct{}
}

func (w *waiting) Write(b []byte) (int, error) {
	before := strings.Contains(w.String(), w.want)
	n, err := w.Builder.Write(b)
	if !before && strings.Contains(w.String(), w.want) {
		close(w.found)
	}
	return n, err
}

func namespaces(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("ip", "netns", "list").Output()
	must(t, err)
	return slices.Collect(strings.Lines(string(out)))
}
