package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/ha/lb/pool"
)

// deadAddress refuses connections.
func deadAddress() netip.AddrPort { return freshAddress(1) }

// silentAddress leaves connections unanswered: its queue is full.
func silentAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	a := freshAddress(7999)
	to := newSockaddr(a)
	fd, _ := socket(to.family(), syscall.SOCK_STREAM)
	t.Cleanup(func() { closeFD(fd) })
	if err := bindTo(fd, &to); err != 0 {
		t.Fatal(err)
	}
	if err := syscall.Listen(int(fd), 0); err != nil {
		t.Fatal(err)
	}
	for range 64 {
		c, _ := socket(to.family(), syscall.SOCK_STREAM)
		t.Cleanup(func() { closeFD(c) })
		if connect(c, &to) == syscall.EINPROGRESS {
			return a // the handshake did not complete at once: the queue is full
		}
	}
	t.Fatal("the queue does not fill")
	return a
}

func TestDeadServerIsPassedOver(t *testing.T) {
	dead, a := deadAddress(), named(t, "a")
	v := web(dead, a)
	f := start(t, v)
	for i := range 10 {
		if who := mustAsk(t, v); who != "a" {
			t.Fatalf("request %d answered by %q", i, who)
		}
	}
	if s := serverStats(f, dead); s.ConnectErrors == 0 || s.Active != 0 {
		t.Errorf("dead server: %+v, want connect errors and nothing active", s)
	}
	select {
	case got := <-f.Passive():
		if got.Service != "web" || got.Server != dead || !errors.Is(got.Err, syscall.ECONNREFUSED) {
			t.Errorf("reported %+v", got)
		}
	case <-time.After(patience):
		t.Error("the failure was not reported")
	}
}

// The first bytes of a client, sent while a server that will never answer is tried, reach the next.
func TestSilentServerIsPassedOver(t *testing.T) {
	silent, a := silentAddress(t), named(t, "a")
	v := web(silent, a)
	v.ConnectTimeout = 200 * time.Millisecond
	f := start(t, v)
	for range 4 {
		if who := mustAsk(t, v); who != "a" {
			t.Fatalf("answered by %q", who)
		}
	}
	if s := serverStats(f, silent); s.ConnectErrors == 0 {
		t.Errorf("silent server: %+v, want connect errors", s)
	}
	if got := <-f.Passive(); !errors.Is(got.Err, syscall.ETIMEDOUT) {
		t.Errorf("reported %v, want a timeout", got.Err)
	}
}

func TestSorryServerIsTheLastResort(t *testing.T) {
	v := web()
	v.Sorry = named(t, "sorry")
	f := start(t, v)
	if who := mustAsk(t, v); who != "sorry" {
		t.Errorf("empty pool answered by %q", who)
	}
	a := named(t, "a")
	v.Servers = []pool.RealServer{{Address: a, Weight: 0}}
	apply(t, f, v)
	if who := mustAsk(t, v); who != "sorry" {
		t.Errorf("drained pool answered by %q", who)
	}
	v.Servers = []pool.RealServer{{Address: deadAddress(), Weight: 1}, {Address: deadAddress(), Weight: 1}}
	apply(t, f, v)
	if who := mustAsk(t, v); who != "sorry" {
		t.Errorf("dead pool answered by %q", who)
	}
	v.Servers = []pool.RealServer{{Address: a, Weight: 1}}
	apply(t, f, v)
	if who := mustAsk(t, v); who != "a" {
		t.Errorf("healthy pool answered by %q", who)
	}
}

func TestNobodyThereIsRefused(t *testing.T) {
	v := web()
	f := start(t, v)
	if _, err := ask(v, ""); err == nil {
		t.Error("an empty pool answered")
	}
	until(t, "the refusal is counted", func() bool { return f.Stats()[0].Refused == 1 })
}

func TestManyDeadServersEndTheConnection(t *testing.T) {
	v := web()
	for range 10 {
		v.Servers = append(v.Servers, pool.RealServer{Address: deadAddress(), Weight: 1})
	}
	f := start(t, v)
	if _, err := ask(v, ""); err == nil {
		t.Error("a dead pool answered")
	}
	until(t, "four attempts were made", func() bool {
		var n uint64
		for _, s := range f.Stats()[0].Servers {
			n += s.ConnectErrors
		}
		return n == maxAttempts && f.Stats()[0].Refused == 1
	})
}

func TestPersistenceKeepsAClientOnItsServer(t *testing.T) {
	v := web(named(t, "a"), named(t, "b"))
	v.Persistent, v.PersistentMask = time.Minute, 24
	f := start(t, v)
	from := func(ip string) string {
		who, err := ask(v, ip)
		if err != nil {
			t.Fatal(err)
		}
		return who
	}
	first, second := from("127.0.1.1"), from("127.0.2.1")
	if first == second {
		t.Errorf("two networks both went to %q: round robin should part them", first)
	}
	for i := range 6 {
		if got := from(fmt.Sprintf("127.0.1.%d", i+1)); got != first {
			t.Errorf("host %d of the network went to %q, want %q", i+1, got, first)
		}
	}
	if n := f.Stats()[0].Persistent; n != 2 {
		t.Errorf("%d clients remembered, want 2", n)
	}
	// A drained server loses its clients: their next connection goes elsewhere and stays there.
	for i := range v.Servers {
		if s := serverStats(f, v.Servers[i].Address); s.Total == 7 {
			v.Servers[i].Weight = 0
		}
	}
	apply(t, f, v)
	for range 2 {
		if got := from("127.0.1.1"); got == first {
			t.Errorf("still with %q, which is drained", got)
		}
	}
}

func TestPersistenceEnds(t *testing.T) {
	c := clients{}
	c.configure(2*time.Second, 0)
	a, sv := netip.MustParseAddr("192.0.2.1"), &server{}
	second := int64(time.Second / tick)
	r := c.remember(a, sv, 0)
	if c.find(a, 2*second-1) != r || c.find(a, 2*second) != nil {
		t.Error("a client is remembered for 2 s")
	}
	r.connections = 1
	if c.find(a, 100*second) != r {
		t.Error("a client with a connection is remembered as long as it lasts")
	}
}

// load keeps asking until told to stop and returns the first error and who answered how often.
type load struct {
	stop   chan bool
	wg     sync.WaitGroup
	mu     sync.Mutex
	by     map[string]int
	failed error
}

func startLoad(v pool.VirtualService, clients int) *load {
	l := &load{stop: make(chan bool), by: map[string]int{}}
	for i := range clients {
		l.wg.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				who, err := ask(v, fmt.Sprintf("127.0.3.%d", i+1))
				l.mu.Lock()
				l.by[who]++
				if err != nil && l.failed == nil {
					l.failed = err
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *load) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.by {
		n += k
	}
	return n
}

// more waits until n further requests were answered.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	want := l.count() + n
	until(t, "more answers", func() bool { return l.count() >= want })
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	if l.failed != nil {
		t.Errorf("a request was lost among %d: %v", l.count(), l.failed)
	}
}

func TestNothingIsLostWhileTheTableChanges(t *testing.T) {
	for _, name := range pool.Schedulers() {
		t.Run(string(name), func(t *testing.T) {
			v := web(named(t, "a"), named(t, "b"), named(t, "c"))
			v.Scheduler = name
			f := start(t, v)
			established := dial(t, v)
			if _, err := askOn(established); err != nil {
				t.Fatal(err)
			}
			l := startLoad(v, 6)
			for round := range 12 {
				v.Servers = slices.Clone(v.Servers)
				for i := range v.Servers { // drains one, then another, and weights move about
					v.Servers[i].Weight = (round + i) % 3 * 2
				}
				other := v
				if round%3 == 2 { // and one leaves altogether
					other.Servers = v.Servers[:2]
				}
				apply(t, f, other)
				apply(t, f, other) // again, as a level-triggered caller does
				l.more(t, 20)
			}
			l.end(t)
			if _, err := askOn(established); err != nil {
				t.Errorf("the established connection was cut: %v", err)
			}
		})
	}
}

func TestDrainEndsOnlyNewConnections(t *testing.T) {
	a, b := named(t, "a"), named(t, "b")
	v := web(a, b)
	f := start(t, v)
	old := map[string]net.Conn{}
	for range 2 {
		c := dial(t, v)
		who, _ := askOn(c)
		old[who] = c
	}
	v.Servers = []pool.RealServer{{Address: a, Weight: 0}, {Address: b, Weight: 1}}
	apply(t, f, v)
	for range 10 {
		if who := mustAsk(t, v); who != "b" {
			t.Errorf("a new connection went to %q, which is drained", who)
		}
	}
	for want, c := range old {
		if who, err := askOn(c); who != want {
			t.Errorf("established connection to %q: %q, %v", want, who, err)
		}
	}
}

func TestLeavingServerKeepsOrCutsItsConnections(t *testing.T) {
	a, b := named(t, "a"), named(t, "b")
	v := web(a)
	f := start(t, v)
	c := dial(t, v)
	askOn(c)
	v.Servers = []pool.RealServer{{Address: b, Weight: 1}}
	apply(t, f, v)
	if who, err := askOn(c); who != "a" {
		t.Errorf("connection of a server that left: %q, %v", who, err)
	}
	if s := serverStats(f, a); s.Active != 1 {
		t.Errorf("the server that left shows %d connections, want 1", s.Active)
	}
	v.CutDown = true
	d := dial(t, v)
	askOn(d)
	v.Servers = nil
	apply(t, f, v)
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("with cut: read %v, want connection reset", err)
	}
	if who, err := askOn(c); who != "a" {
		t.Errorf("the cut hit another server's connection: %q, %v", who, err)
	}
}

func TestDeletedServiceDrains(t *testing.T) {
	v := web(named(t, "a"))
	v.DrainTimeout = 300 * time.Millisecond
	f := start(t, v)
	c := dial(t, v)
	askOn(c)
	apply(t, f)
	if who, err := askOn(c); who != "a" {
		t.Errorf("established connection right after: %q, %v", who, err)
	}
	until(t, "new connections are refused", func() bool {
		_, err := ask(v, "")
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the drain time: read %v, want connection reset", err)
	}
	until(t, "the service is forgotten", func() bool { return len(f.Stats()) == 0 })
	apply(t, f, v)
	if who := mustAsk(t, v); who != "a" {
		t.Errorf("added again: answered by %q", who)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	v := web(named(t, "a"))
	f := start(t, v)
	busy, err := net.Listen("tcp", freshAddress(7000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	changed := v
	changed.Servers = []pool.RealServer{{Address: named(t, "b"), Weight: 1}}
	free := web()
	free.Name = "free"
	taken := web()
	taken.Name, taken.Listen = "taken", []netip.AddrPort{netip.MustParseAddrPort(busy.Addr().String())}
	err = f.Apply(pool.Table{Services: []pool.VirtualService{changed, free, taken}})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "service taken: bind tcp "+busy.Addr().String()) {
		t.Errorf("error %v, want address in use with service and address", err)
	}
	if who := mustAsk(t, v); who != "a" {
		t.Errorf("answered by %q: a refused table is in force", who)
	}
	if _, err := ask(free, ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a refused service: %v, want connection refused", err)
	}
}

func TestApplyRefusesNonsense(t *testing.T) {
	f := New(slog.New(slog.DiscardHandler))
	good := web(freshAddress(1))
	for what, change := range map[string]func(v *pool.VirtualService){
		"unknown scheduler":   func(v *pool.VirtualService) { v.Scheduler = "best" },
		"negative weight":     func(v *pool.VirtualService) { v.Servers[0].Weight = -1 },
		"a server twice":      func(v *pool.VirtualService) { v.Servers = append(v.Servers, v.Servers[0]) },
		"an address twice":    func(v *pool.VirtualService) { v.Listen = append(v.Listen, v.Listen[0]) },
		"an invalid protocol": func(v *pool.VirtualService) { v.Protocol = 9 },
	} {
		v := good
		v.Servers, v.Listen = slices.Clone(good.Servers), slices.Clone(good.Listen)
		change(&v)
		if err := f.Apply(pool.Table{Services: []pool.VirtualService{v}}); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}

func TestApplyAfterTheEnd(t *testing.T) {
	f := New(slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := f.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.Apply(pool.Table{}); err == nil {
		t.Error("a forwarder that ended took a table")
	}
}

// An address moves from one service to another without closing.
func TestAddressMovesBetweenServices(t *testing.T) {
	v := web(named(t, "a"))
	f := start(t, v)
	l := startLoad(v, 4)
	l.more(t, 20)
	w := v
	w.Name, w.Servers = "other", []pool.RealServer{{Address: named(t, "b"), Weight: 1}}
	apply(t, f, w)
	l.more(t, 20)
	if who := mustAsk(t, v); who != "b" {
		t.Errorf("answered by %q, want b", who)
	}
	l.end(t)
}

func TestRealNginxReadsOurPROXYHeader(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nginx is not installed")
		}
		t.Skip("nginx is not installed")
	}
	dir, at := t.TempDir(), freshAddress(7080)
	config := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error;
events { worker_connections 100; }
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
server { listen %[2]s proxy_protocol; location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port to $proxy_protocol_server_addr:$proxy_protocol_server_port"; } } }`, dir, at)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), nginx, "-p", dir, "-e", dir+"/error", "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	until(t, "nginx listens", func() bool {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	v := web(at)
	v.SendProxy = true
	start(t, v)
	c := dial(t, v)
	request, _ := http.NewRequest("GET", "http://x/", nil)
	request.Close = true
	request.Write(c)
	b, err := io.ReadAll(c)
	want := fmt.Sprintf("%s to %s", c.LocalAddr(), v.Listen[0])
	if err != nil || !strings.HasSuffix(string(b), want) {
		t.Errorf("nginx saw %q, %v, want %q", b, err, want)
	}
}

// Two forwarders would share a port silently, and clients would be split between them.
func TestAddressOfAnotherForwarderIsRefused(t *testing.T) {
	for _, p := range []pool.Protocol{pool.TCP, pool.UDP} {
		v := web(named(t, "a"))
		v.Protocol = p
		start(t, v)
		err := New(slog.New(slog.DiscardHandler)).Apply(pool.Table{Services: []pool.VirtualService{v}})
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%v: second forwarder on %v: %v, want address in use", p, v.Listen, err)
		}
	}
}
