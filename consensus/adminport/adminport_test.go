package adminport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/ha/consensus/fourletter"
)

// A member answers as it is told to.
type member struct {
	status   fourletter.Status
	err      error
	snapshot func(w io.Writer) error

	mu    sync.Mutex
	wants []fourletter.Want
	reset []string
}

func (m *member) Status(_ context.Context, want fourletter.Want) (*fourletter.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wants = append(m.wants, want)
	s := m.status
	return &s, m.err
}

func (m *member) Reset(_ context.Context, word string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reset = append(m.reset, word)
	return nil
}

func (m *member) Authorize(_ context.Context, scheme string, auth []byte) error {
	switch scheme + " " + string(auth) {
	case "digest root:secret":
		return nil
	case "digest root:broken":
		return errors.New("no tree")
	}
	return ErrUnauthorized
}

func (m *member) Snapshot(_ context.Context, w io.Writer) error { return m.snapshot(w) }

func newMember() *member {
	now := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	var meters fourletter.Meters
	meters.ConnectionRequests = 7
	for i := range 100 {
		meters.ReadLatency.Observe(int64(i+1) * int64(time.Millisecond))
		meters.LogBatch.Observe(10)
	}
	meters.ReadPerNamespace.Observe("/app\xff/x", 12)
	meters.ReadPerNamespace.Observe("/zoo", 12)
	return &member{status: fourletter.Status{Now: now, Started: now.Add(-time.Minute), Version: fourletter.Version("t"), Serving: true,
		Mode: "standalone", Znodes: 5, AvgLatency: 1.5, Metrics: meters.Metrics()}}
}

// run serves a member until the test ends.
func run(t *testing.T, cfg Config, m *member) *Server {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := New(cfg, m, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("run does not end")
		}
	})
	return s
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// get asks, with an Authorization if there is one.
func get(t *testing.T, url, authorization string) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return do(t, r)
}

func do(t *testing.T, r *http.Request) (int, http.Header, []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}

func TestCommands(t *testing.T) {
	m := newMember()
	s := run(t, Config{Listen: loopback}, m)
	base := "http://" + s.Addr().String()
	for _, c := range fourletter.Commands {
		for _, name := range append(c.Aliases, c.Name) {
			status, header, body := get(t, base+"/commands/"+name, "")
			var got map[string]any
			if err := json.Unmarshal(body, &got); err != nil || status != 200 || got["command"] != c.Name || header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %v %v\n%s", name, status, header, err, body)
			}
			if last := m.wants[len(m.wants)-1]; last != c.Wants {
				t.Errorf("%s: wanted %b, want %b", name, last, c.Wants)
			}
		}
	}
	if got := strings.Join(m.reset, ","); got != "crst,crst,srst,srst" {
		t.Errorf("resets %s", got)
	}
	for path, want := range map[string]string{
		"/commands/nosuch":                   `"Unknown command: nosuch"`,
		"/commands/stmk?traceMask=306":       `"tracemask": 306`,
		"/commands/set_trace_mask":           `"setTraceMask requires long traceMask argument"`,
		"/commands/stmk?traceMask=x%22&a=b&": `got x\""`,
	} {
		if status, _, body := get(t, base+path, ""); status != 200 || !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/", "/commands/a/b", "/command"} {
		if status, _, _ := get(t, base+path, ""); status != 404 {
			t.Errorf("%s: %d, want 404", path, status)
		}
	}
	_, _, list := get(t, base+"/commands", "")
	_, _, slash := get(t, base+"/commands/", "")
	if !bytes.Equal(list, slash) || strings.Count(string(list), "<a href=\"/commands/") != len(fourletter.Commands)+2 {
		t.Errorf("list:\n%s", list)
	}
}

func TestMemberThatDoesNotServe(t *testing.T) {
	m := newMember()
	m.status.Serving = false
	s := run(t, Config{Listen: loopback, Path: "/zk"}, m)
	base := "http://" + s.Addr().String()
	if _, _, body := get(t, base+"/zk/srst", ""); !bytes.Contains(body, []byte(fourletter.NotServing)) || len(m.reset) != 0 {
		t.Errorf("srst: %s, resets %v", body, m.reset)
	}
	m.mu.Lock()
	m.err = errors.New("consensus: member is stopping")
	m.mu.Unlock()
	if status, _, body := get(t, base+"/zk/ruok", ""); status != 500 || !bytes.Contains(body, []byte("member is stopping")) {
		t.Errorf("ruok: %d %s", status, body)
	}
	if status, _, _ := get(t, base+"/metrics", ""); status != 503 {
		t.Errorf("metrics: %d", status)
	}
}

func TestSnapshot(t *testing.T) {
	m := newMember()
	piece := bytes.Repeat([]byte("x"), 100_000)
	m.snapshot = func(w io.Writer) error {
		for range 5 {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		return nil
	}
	s := run(t, Config{Listen: loopback}, m)
	url := "http://" + s.Addr().String() + "/commands/snapshot"
	status, header, body := get(t, url+"?streaming=true", "digest root:secret")
	if status != 200 || len(body) != 5*len(piece) || header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("snapshot: %d %v, %d bytes", status, header, len(body))
	}
	for authorization, want := range map[string]string{
		"": "401 Auth info is missing for the command", "digest": "401 Not authenticated", "digest root:wrong": "403 Not authorized",
		"digest root:broken": "500 Error occurred during auth",
	} {
		status, _, body := get(t, url, authorization)
		var got struct{ Error string }
		if err := json.Unmarshal(body, &got); err != nil || fmt.Sprint(status, " ", got.Error) != want {
			t.Errorf("%q: %d %s, want %s", authorization, status, body, want)
		}
	}
	if status, _, _ := get(t, url+"?streaming=false", "digest root:secret"); status != 400 {
		t.Errorf("streaming=false: %d", status)
	}
	m.snapshot = func(io.Writer) error { return errors.New("disk full") }
	if status, _, body := get(t, url, "digest root:secret"); status != 500 || !bytes.Contains(body, []byte("disk full")) {
		t.Errorf("early error: %d %s", status, body)
	}
	m.snapshot = func(w io.Writer) error {
		_, _ = w.Write(piece)
		return errors.New("no longer")
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	r.Header.Set("Authorization", "digest root:secret")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Errorf("a snapshot cut off looks whole: %d bytes", n)
	}
}

func TestOneSnapshotAtATime(t *testing.T) {
	m := newMember()
	begun, end := make(chan struct{}), make(chan struct{})
	m.snapshot = func(w io.Writer) error {
		begun <- struct{}{}
		<-end
		_, err := io.WriteString(w, "done")
		return err
	}
	s := run(t, Config{Listen: loopback}, m)
	url := "http://" + s.Addr().String() + "/commands/snap"
	var wg sync.WaitGroup
	wg.Go(func() {
		if status, _, body := get(t, url, "digest root:secret"); status != 200 || string(body) != "done" {
			t.Errorf("first: %d %s", status, body)
		}
	})
	<-begun
	if status, _, _ := get(t, url, "digest root:secret"); status != 429 {
		t.Errorf("second: %d, want 429", status)
	}
	close(end)
	wg.Wait()
}

func TestRestoreIsRefusedClearly(t *testing.T) {
	s := run(t, Config{Listen: loopback}, newMember())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr().String()+"/commands/restore", strings.NewReader("data"))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := do(t, r); status != 503 || !bytes.Contains(body, []byte("stop it and use ha zab restore")) {
		t.Errorf("restore: %d %s", status, body)
	}
}

func TestMetrics(t *testing.T) {
	m := newMember()
	s := run(t, Config{Listen: loopback, Metrics: loopback}, m)
	_, _, atAdmin := get(t, "http://"+s.Addr().String()+"/metrics", "")
	status, _, body := get(t, "http://"+s.MetricsAddr().String()+"/metrics", "")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	types := func(b []byte) map[string]string {
		out := map[string]string{}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
				name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
				out[name] = kind
			}
		}
		return out
	}
	got, kinds := types(body), [...]string{"gauge", "gauge", "counter", "summary", "summary"}
	for _, x := range m.status.Everything() {
		if got[x.Name] != kinds[x.Kind] {
			t.Errorf("%s is of type %q, want %s", x.Name, got[x.Name], kinds[x.Kind])
		}
	}
	if len(types(atAdmin)) != len(got) {
		t.Errorf("%d metrics at the admin port, %d at their own", len(types(atAdmin)), len(got))
	}
	registered, err := os.ReadFile("../fourletter/testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(registered)) { // ZooKeeper's names have its types
		kind, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		kind, _, _ = strings.Cut(strings.TrimSuffix(strings.Replace(kind, "set", "", 1), "/"), "/")
		if have, ok := got[name]; ok && have != kind {
			t.Errorf("%s is a %s, ZooKeeper's is a %s", name, have, kind)
		}
	}
	lines := strings.Split(string(body), "\n")
	for _, want := range []string{
		"# HELP znode_count znode_count", "znode_count 5", "avg_latency 1.5", "uptime 60000", "connection_request_count 7",
		"readlatency_count 100", "readlatency_sum 5050", `sync_processor_batch_size{quantile="0.5"} 10`,
		"sync_processor_batch_size_sum 1000", `read_per_namespace_sum{key="app` + "\uFFFD" + `"} 12`, `read_per_namespace_sum{key="zoo"} 12`,
		`fsynctime{quantile="0.5"} NaN`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %s", want)
		}
	}
	for _, rank := range []string{"0.5", "0.9", "0.99"} {
		if !bytes.Contains(body, []byte(`readlatency{quantile="`+rank+`"}`)) {
			t.Errorf("readlatency has no quantile %s", rank)
		}
	}
	if bytes.Contains(body, []byte(`quantile="0.999"`)) || bytes.Contains(body, []byte(`fsynctime{quantile="0.9"}`)) {
		t.Error("quantiles that ZooKeeper does not have")
	}
	if got["process_cpu_seconds_total"] != "counter" {
		t.Error("nothing about the process")
	}
	if status, _, _ := get(t, "http://"+s.MetricsAddr().String()+"/commands", ""); status != 404 {
		t.Errorf("commands at the metrics' port: %d", status)
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Config{Listen: l.Addr().(*net.TCPAddr).AddrPort(), Metrics: loopback}, newMember(), slog.New(slog.NewTextHandler(&log, nil)))
	if s.Addr().IsValid() || !s.MetricsAddr().IsValid() {
		t.Errorf("admin at %v, metrics at %v", s.Addr(), s.MetricsAddr())
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "admin port not available") || !strings.Contains(got, "in use") {
		t.Errorf("log %q", got)
	}
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	if status, _, _ := get(t, "http://"+s.MetricsAddr().String()+"/metrics", ""); status != 200 {
		t.Errorf("metrics: %d", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func TestTLS(t *testing.T) {
	config := certificate(t)
	both := run(t, Config{Listen: loopback, TLS: config}, newMember())
	only := run(t, Config{Listen: loopback, TLS: config, TLSOnly: true}, newMember())
	for _, url := range []string{"http://" + both.Addr().String(), "https://" + both.Addr().String(), "https://" + only.Addr().String()} {
		if status, _, body := get(t, url+"/commands/ruok", ""); status != 200 || !bytes.Contains(body, []byte(`"command": "ruok"`)) {
			t.Errorf("%s: %d %s", url, status, body)
		}
	}
	if status, _, _ := get(t, "http://"+only.Addr().String()+"/commands/ruok", ""); status == 200 {
		t.Error("plain HTTP where only HTTPS is")
	}
}

func TestHeadersAreBounded(t *testing.T) {
	s := run(t, Config{Listen: loopback}, newMember())
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /commands HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	line, err := bufio.NewReader(c).ReadString('\n')
	if !strings.Contains(line, "431") {
		t.Errorf("answer %q, %v", line, err)
	}
}
