package lb

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"example.org/ha/lb/health"
)

// Real probes of real servers: one closes its port and opens it again.
func TestRealServerOnLoopback(t *testing.T) {
	serve := func(address string) (*http.Server, netip.AddrPort) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		return s, l.Addr().(*net.TCPAddr).AddrPort()
	}
	first, a := serve("127.0.0.1:0")
	_, b := serve("127.0.0.1:0")
	check := Check{Timing: health.Timing{Interval: 20 * time.Millisecond}}
	check.Kind, check.Expect.Body = "http", "ok"
	cfg := Config{Services: []Service{{
		Name: "web", Listen: []netip.AddrPort{addr("127.0.0.1:1")}, Check: &check,
		Servers: []Server{{Address: a}, {Address: b}},
	}}}
	balancer, err := New(cfg, &datapath{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- balancer.Run(ctx, func() {}) }()
	want := func(kind ChangeKind, server netip.AddrPort) Change {
		t.Helper()
		select {
		case c := <-balancer.Changes():
			if c.Kind != kind || (server.IsValid() && c.Server != server.String()) {
				t.Fatalf("got %+v, want %s of %v", c, kind, server)
			}
			return c
		case <-ctx.Done():
			t.Fatalf("no word of %s", kind)
		}
		return Change{}
	}
	for range 2 {
		if c := want(ServerUp, netip.AddrPort{}); !c.First {
			t.Errorf("%+v", c)
		}
	}
	first.Close()
	if c := want(ServerDown, a); c.Reason != "connect "+a.String()+": connection refused" || c.Healthy != 1 || c.First {
		t.Errorf("%+v", c)
	}
	serve(a.String())
	want(ServerUp, a)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
