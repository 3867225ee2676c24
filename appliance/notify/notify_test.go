package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A fake target takes messages, after failing as often as it is told.
type fake struct {
	fail atomic.Int64
	got  chan Message
	hang bool
}

func (f *fake) Kind() string   { return "fake" }
func (f *fake) String() string { return "fake" }
func (f *fake) Send(ctx context.Context, m Message) error {
	if f.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if f.fail.Add(-1) >= 0 {
		return errors.New("not now")
	}
	f.got <- m
	return nil
}

// start runs a Notifier with fakes in place of its targets.
func start(t *testing.T, cfg Config, fakes ...*fake) (n *Notifier, stop func()) {
	cfg.Exec = []Exec{{Command: []string{"/bin/true"}}} // so that somebody listens
	n = New(cfg, "prod", "lb1", slog.New(slog.DiscardHandler))
	n.targets = func(Config) (out []target) {
		for _, f := range fakes {
			out = append(out, f)
		}
		return out
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.Run(ctx, func() {}); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	return n, func() { cancel(); <-done }
}

func TestFirstAtOnceThenADigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{got: make(chan Message, 10)}
		n, stop := start(t, Config{}, f)
		defer stop()
		begin := time.Now()
		for range 3 {
			n.Post(ev("a"))
		}
		if m := <-f.got; len(m.Events) != 3 || time.Since(begin) != 2*time.Second {
			t.Errorf("first message: %d events after %v, want 3 after 2s", len(m.Events), time.Since(begin))
		}
		n.Post(ev("b"))
		if m := <-f.got; len(m.Events) != 1 || time.Since(begin) != 62*time.Second {
			t.Errorf("second message: %d events after %v, want 1 after 1m2s", len(m.Events), time.Since(begin))
		}
	})
}

func TestAFailedDeliveryIsRepeatedAndDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good, stuck := &fake{got: make(chan Message, 10)}, &fake{got: make(chan Message, 10)}, &fake{hang: true}
		bad.fail.Store(3)
		n, stop := start(t, Config{}, bad, good, stuck)
		begin := time.Now()
		n.Post(ev("a"))
		<-good.got
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("the good target got it after %v, want 2s", d)
		}
		<-bad.got
		if d := time.Since(begin); d != (2+2+4+8)*time.Second {
			t.Errorf("the failing target got it after %v, want 16s: waits of 2, 4 and 8 seconds", d)
		}
		synctest.Wait()
		if c := n.Counters(); c.Failed["fake"] != 3 || c.Delivered["fake"] != 2 || c.LastError == "" {
			t.Errorf("counters %+v, want 3 failed and 2 delivered", c)
		}
		begin = time.Now()
		stop()
		if d := time.Since(begin); d > lastWords {
			t.Errorf("a stuck target held the stop up for %v", d)
		}
	})
}

func TestGivingUpAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{got: make(chan Message, 10)}
		f.fail.Store(1 << 40)
		n, stop := start(t, Config{}, f)
		defer stop()
		n.Post(ev("a"))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if c := n.Counters(); c.Abandoned["fake"] != 1 {
			t.Errorf("abandoned %d messages after two hours, want 1", c.Abandoned["fake"])
		}
	})
}

func TestWhatWasGatheredLeavesAtTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{got: make(chan Message, 10)}
		n, stop := start(t, Config{}, f)
		n.Post(ev("the last"))
		synctest.Wait()
		stop()
		select {
		case m := <-f.got:
			if len(m.Events) != 1 {
				t.Errorf("%d events, want 1", len(m.Events))
			}
		default:
			t.Error("nothing was sent at the stop")
		}
	})
}

func TestApplyChoosesEventsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{got: make(chan Message, 10)}
		n, stop := start(t, Config{Events: []Kind{VIP}}, f)
		defer stop()
		n.Post(ev("a server")) // not chosen
		synctest.Wait()
		n.Apply(Config{Events: []Kind{Server}, Gather: time.Second, Exec: []Exec{{Command: []string{"/bin/true"}}}})
		n.Post(ev("another"))
		if m := <-f.got; len(m.Events) != 1 || m.Events[0].Text != "another" {
			t.Errorf("got %v, want only the event after Apply", m.Events)
		}
	})
}

func message() Message {
	return compose("prod", "lb1", batch{events: []Event{ev("web: 10.0.0.21:80 is down on lb1")}})
}

func TestWebhook(t *testing.T) {
	var status atomic.Int64
	var got Message
	var auth, kind string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, kind = r.Header.Get("Authorization"), r.Header.Get("Content-Type")
		if err := json.NewDecoder(r.Body).Decode(&struct {
			*Message
			Events []any `json:"events"`
		}{Message: &got}); err != nil {
			t.Error(err)
		}
		w.WriteHeader(int(status.Load()))
	}))
	defer s.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPoster(Webhook{URL: s.URL + "/hook/very-secret", TokenFile: token, Timeout: 5 * time.Second})
	for _, code := range []int{200, 204, 302, 404, 500} {
		status.Store(int64(code))
		err := p.Send(t.Context(), message())
		if (err == nil) != (code/100 == 2) {
			t.Errorf("status %d: error %v", code, err)
		}
		if err != nil && strings.Contains(err.Error(), "very-secret") {
			t.Errorf("the error shows the address: %v", err)
		}
	}
	if auth != "Bearer secret" || kind != "application/json" || got.Subject != message().Subject || got.Text == "" {
		t.Errorf("authorization %q, type %q, message %+v", auth, kind, got)
	}
	s.Close()
	if err := p.Send(t.Context(), message()); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("server gone: %v", err)
	}
}

func TestExec(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	run := func(script string, timeout time.Duration) error {
		return runner{Exec{Command: []string{"/bin/sh", "-c", script, "sh", out}, Timeout: timeout}}.Send(t.Context(), message())
	}
	t.Setenv("HA_SECRET_OF_OURS", "x")
	if err := run(`{ env; cat; } > "$1"`, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HA_SUBJECT=[ha prod] web: 10.0.0.21:80 is down on lb1\n", "HA_KIND=server\n", "HA_SEVERITY=bad\n", `"host":"lb1"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the command did not get %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "HA_SECRET_OF_OURS") {
		t.Error("our environment leaks into the command")
	}
	if err := run("echo what is wrong >&2; exit 3", 10*time.Second); err == nil || !strings.Contains(err.Error(), "what is wrong") {
		t.Errorf("exit 3: %v, want an error with the output", err)
	}
	if err := run("yes | head -c 1000000; exit 1", 10*time.Second); err == nil || len(err.Error()) > 2*maxOutput {
		t.Errorf("a megabyte of output: %d bytes of error", len(err.Error()))
	}
	begin := time.Now()
	if err := run("sleep 600 & sleep 600", 200*time.Millisecond); err == nil || !strings.Contains(err.Error(), "killed after 200ms") {
		t.Errorf("a command that hangs: %v", err)
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("killed only after %v", d)
	}
}

// A mail that cannot be delivered yet outlives a reload that changes something else.
func TestReloadKeepsWhatWaitsForAnotherAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{got: make(chan Message, 10)}
		f.fail.Store(5)
		n, stop := start(t, Config{}, f)
		defer stop()
		begin := time.Now()
		n.Post(ev("a"))
		time.Sleep(10 * time.Second)
		same := Config{Gather: time.Second, Exec: []Exec{{Command: []string{"/bin/true"}}}}
		for range 5 {
			n.Apply(same)
			synctest.Wait()
		}
		if m := <-f.got; len(m.Events) != 1 || time.Since(begin) != (2+2+4+8+16+32)*time.Second {
			t.Errorf("delivered after %v, want after its five attempts", time.Since(begin))
		}
		if c := n.Counters(); c.Abandoned["fake"] != 0 {
			t.Errorf("%+v", c)
		}
	})
}
