package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"example.org/ha/lb"
	"example.org/ha/net/vip"
)

// A standIn is an appliance that answers what it is told.
type standIn struct {
	status Status
	err    error
	asked  chan string
}

func (s *standIn) Status() Status { return s.status }
func (s *standIn) Reload(context.Context) error {
	s.asked <- "reload"
	return s.err
}
func (s *standIn) Release(_ context.Context, vip, to string) (time.Duration, error) {
	s.asked <- "release " + vip + " to " + to
	return 3700 * time.Microsecond, s.err
}
func (s *standIn) Drain(service, server string, on bool) error {
	s.asked <- fmt.Sprint("drain ", service, " ", server, " ", on)
	return s.err
}

// open runs a Door with a socket in a folder of the test, and HTTP on a free port.
func open(t *testing.T, cfg Config) (*standIn, *Door, *Client, string) {
	t.Helper()
	a := &standIn{asked: make(chan string, 16), status: Status{Node: "lb1", Parts: []Part{{Name: "lb", Ready: true}}}}
	cfg.Socket = filepath.Join(t.TempDir(), "sub", "s")
	cfg.Listen = freePort(t)
	d := New(cfg, a, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- d.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("Run: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, err := os.Stat(cfg.Socket); err == nil {
			t.Error("the socket is still there")
		}
	})
	return a, d, Dial(cfg.Socket), "http://" + cfg.Listen
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestCommandsOverTheSocket(t *testing.T) {
	a, d, client, _ := open(t, Config{})
	if info, err := os.Stat(d.cfg.Socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket %v, %v; want mode 0660", info, err)
	}
	st, err := client.Status(t.Context())
	if err != nil || st.Node != "lb1" {
		t.Errorf("status of %q, %v", st.Node, err)
	}
	if took, err := client.Release(t.Context(), "a/b c", "lb2"); err != nil || took != 3700*time.Microsecond {
		t.Errorf("release: %v, %v", took, err)
	}
	if err := client.Drain(t.Context(), "web", "[fd00::1]:80", true); err != nil {
		t.Error(err)
	}
	if err := client.Drain(t.Context(), "web", "[fd00::1]:80", false); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"release a/b c to lb2", "drain web [fd00::1]:80 true", "drain web [fd00::1]:80 false"} {
		if got := <-a.asked; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
	a.err = fmt.Errorf("%w: file:3: key: wrong", ErrRefused)
	if err := client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "file:3: key: wrong") {
		t.Errorf("a refused reload says %v, want the reason", err)
	}
}

func TestNobodyAtTheSocket(t *testing.T) {
	_, err := Dial(filepath.Join(t.TempDir(), "none")).Status(t.Context())
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	_, d, _, _ := open(t, Config{})
	if _, err := listenUnix(d.cfg.Socket); err == nil || !strings.Contains(err.Error(), "another appliance") {
		t.Errorf("beside a live one: %v", err)
	}
	stale := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	again, err := listenUnix(stale)
	if err != nil {
		t.Fatalf("over a stale one: %v", err)
	}
	again.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(file); err == nil {
		t.Error("a file was replaced by a socket")
	}
}

// get asks over TCP.
func get(t *testing.T, method, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestTokenOverTCP(t *testing.T) {
	const secret = "0123456789abcdef"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, _, with := open(t, Config{TokenFile: file})
	_, _, _, without := open(t, Config{})
	for _, c := range []struct {
		at, method, path, token string
		want                    int
	}{
		{without, "GET", "/status", "", 200},
		{without, "GET", "/metrics", "", 200},
		{without, "POST", "/reload", "", 403},
		{without, "POST", "/vip/web/release", "x", 403},
		{without, "DELETE", "/status", "", 403},
		{with, "GET", "/status", "", 401},
		{with, "GET", "/status", "0123456789abcdeX", 401},
		{with, "GET", "/status", "0123456789abcde", 401},
		{with, "GET", "/metrics", secret, 200},
		{with, "GET", "/status", secret, 200},
		{with, "POST", "/reload", "", 401},
		{with, "POST", "/reload", secret, 200},
		{with, "POST", "/server/web/10.0.0.1:80/drain", secret, 200},
		{with, "POST", "/server/web/10.0.0.1:80/explode", secret, 404},
		{with, "GET", "/healthz", "", 200},
		{with, "GET", "/readyz", "", 200},
		{with, "GET", "/nothing", secret, 404},
	} {
		if got, body := get(t, c.method, c.at+c.path, c.token); got != c.want {
			t.Errorf("%s %s with token %q: %d %s, want %d", c.method, c.path, c.token, got, body, c.want)
		}
	}
}

func TestReadyzNamesWhatIsNotReady(t *testing.T) {
	a, _, _, at := open(t, Config{})
	a.status.Parts = append(a.status.Parts, Part{Name: "forwarding", Reason: "bind 10.0.0.1:80: in use"})
	code, body := get(t, "GET", at+"/readyz", "")
	if code != 503 || !strings.Contains(body, "bind 10.0.0.1:80: in use") {
		t.Errorf("readyz: %d %s", code, body)
	}
}

func TestErrorsHaveTheirCodes(t *testing.T) {
	for err, want := range map[error]int{
		ErrUnknown: 404, ErrRefused: 422, ErrState: 409, context.DeadlineExceeded: 504, errors.New("x"): 500,
	} {
		if got := code(fmt.Errorf("admin: %w", err)); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	a, _, _, at := open(t, Config{})
	a.status.Started = time.Unix(1000, 0)
	a.status.VIPs = []vip.Status{{Name: "web", State: "active", Held: true, Priority: 100, Transitions: 3, Rejected: map[string]uint64{"ttl": 2}}}
	a.status.LB = &lb.Status{Services: []lb.ServiceStatus{{Name: "web", Healthy: 1, Condition: "serving",
		Servers: []lb.ServerStatus{{Probes: 10, Failures: 4, Took: 1500 * time.Microsecond}}}}}
	a.status.Flows = []Flow{{Service: "web", Server: "10.0.0.1:80", Active: 2, Total: 7, In: 5, Out: 6}}
	a.status.Gossip.Dropped = map[string]uint64{"replayed": 9}
	a.status.Notify.Failed = map[string]uint64{"mail": 1}
	code, body := get(t, "GET", at+"/metrics", "")
	if code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	for _, want := range []string{
		`ha_start_time_seconds 1000`,
		`ha_vip_state{state="active",vip="web"} 1`,
		`ha_vip_state{state="backup",vip="web"} 0`,
		`ha_lb_service_condition{condition="sorry",service="web"} 0`,
		`ha_vip_transitions_total{vip="web"} 3`,
		`ha_vip_rejected_total{reason="ttl",vip="web"} 2`,
		`ha_lb_service_healthy{service="web"} 1`,
		`ha_lb_probes_total{result="good",server="invalid AddrPort",service="web"} 6`,
		`ha_lb_probe_duration_seconds{server="invalid AddrPort",service="web"} 0.0015`,
		`ha_lb_connections{server="10.0.0.1:80",service="web"} 2`,
		`ha_lb_bytes_total{direction="received",server="10.0.0.1:80",service="web"} 5`,
		`ha_gossip_dropped_total{reason="replayed"} 9`,
		`ha_notifications_total{outcome="failed",target="mail"} 1`,
		`go_goroutines`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "ha_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for line := range strings.Lines(body) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok && !strings.HasPrefix(name, "ha_") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s does not begin with ha_", strings.TrimSpace(name))
		}
	}
	for line := range strings.Lines(body) { // the conventions: counters and only counters end in _total
		name, kind, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# TYPE "), " ")
		if !ok || !strings.HasPrefix(line, "# TYPE ha_") {
			continue
		}
		if (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, kind)
		}
	}
}

func TestApplyMovesTheListener(t *testing.T) {
	_, d, client, old := open(t, Config{})
	moved := d.cfg
	moved.Listen = freePort(t)
	plan, err := d.Prepare(moved)
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, "GET", old+"/healthz", ""); code != 200 {
		t.Errorf("prepared and not used, the old address answers %d", code)
	}
	plan.Use()
	plan.Drop() // after Use: nothing
	if code, _ := get(t, "GET", "http://"+moved.Listen+"/healthz", ""); code != 200 {
		t.Errorf("at the new address: %d", code)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(old, "http://")); err == nil {
		conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the old address still answers")
		}
		conn.Close()
	}
	other := d.cfg
	other.Socket += "x"
	if _, err := d.Prepare(other); err == nil || !strings.Contains(err.Error(), "admin.socket: cannot change") {
		t.Errorf("another socket: %v", err)
	}
	busy := d.cfg
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy.Listen = l.Addr().String()
	if _, err := d.Prepare(busy); err == nil || !strings.HasPrefix(err.Error(), "admin.listen: ") {
		t.Errorf("a taken port: %v", err)
	}
	dropped := d.cfg
	dropped.Listen = freePort(t)
	if plan, err = d.Prepare(dropped); err != nil {
		t.Fatal(err)
	}
	plan.Drop()
	if l, err := net.Listen("tcp", dropped.Listen); err != nil {
		t.Errorf("a plan that was dropped keeps its port: %v", err)
	} else {
		l.Close()
	}
	if code, _ := get(t, "GET", "http://"+moved.Listen+"/healthz", ""); code != 200 {
		t.Errorf("after the refusal the listener in force answers %d", code)
	}
	if _, err := client.Status(t.Context()); err != nil {
		t.Errorf("the socket after all that: %v", err)
	}
}

func TestConfigCheck(t *testing.T) {
	for listen, want := range map[string]string{
		"": "", "none": "", "127.0.0.1:1": "", "[::1]:1": "", "localhost:1": "",
		"0.0.0.0:1": "token_file", "10.0.0.1:1": "token_file", ":1": "token_file", "ha.example.com:1": "token_file",
		"127.0.0.1": "listen", "127.0.0.1:0": "listen", "127.0.0.1:x": "listen",
	} {
		err := Config{Listen: listen}.Check()
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want+":") {
			t.Errorf("listen %q: %v, want a complaint about %q", listen, err, want)
		}
	}
}

func TestSummaryFitsItsTopic(t *testing.T) {
	s := Summary{Version: "1", Roles: []string{"lb"}, Held: []string{"web"}, Services: []Service{{"web", 2, 3}}}
	got, err := ParseSummary(s.AppendTo(nil))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(s) {
		t.Errorf("there and back: %+v, %v; want %+v", got, err, s)
	}
	for i := range 500 {
		s.Services = append(s.Services, Service{Name: fmt.Sprint("service", i)})
		s.Held = append(s.Held, fmt.Sprint("address", i))
	}
	s.Version = strings.Repeat("v", 2000)
	b := s.AppendTo(nil)
	if got, err := ParseSummary(b); err != nil || len(b) > MaxSummary || !got.More {
		t.Errorf("a summary too long: %d bytes, more %v, %v", len(b), got.More, err)
	}
}

func FuzzParseSummary(f *testing.F) {
	f.Add(Summary{Version: "1", Roles: []string{"lb"}, Held: []string{"web"}, Services: []Service{{"web", 2, 3}}}.AppendTo(nil))
	f.Add([]byte(`{"s":[{"u":1e99}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSummary(b)
		if err != nil {
			return
		}
		again, err := ParseSummary(s.AppendTo(nil))
		if err != nil {
			t.Fatalf("what was read cannot be said again: %v", err)
		}
		x, _ := json.Marshal(s)
		y, _ := json.Marshal(again)
		if !again.More && !slices.Equal(x, y) {
			t.Fatalf("%s became %s", x, y)
		}
	})
}
