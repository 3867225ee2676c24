package heartbeat

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A zone is a DNS server on loopback. Its records may change at any time.
type zone struct {
	mu       sync.Mutex
	records  []string
	fail     bool // SERVFAIL to everything
	truncate bool // over UDP
	asked    map[string]int
	conf     string // path of a resolv.conf that leads here
}

func startZone(t *testing.T, records ...string) *zone {
	t.Helper()
	z := &zone{records: records, asked: make(map[string]int), conf: filepath.Join(t.TempDir(), "resolv.conf")}
	// A resolv.conf has no port, so the server must have port 53, on an
	// address of this process's own.
	at := net.JoinHostPort(loopback(0).Addr().String(), "53")
	pc, err := net.ListenPacket("udp", at)
	if err != nil {
		if os.Getenv("CI") == "" && os.Geteuid() != 0 {
			t.Skipf("port 53 needs root: %v", err)
		}
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: z}, {Listener: l, Handler: z}} {
		up, down := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(up) }
		go func() { down <- s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { s.Shutdown(); <-down })
	}
	text := fmt.Sprintf("nameserver %s\nsearch example.test\noptions timeout:1\n", loopback(0).Addr())
	if err := os.WriteFile(z.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return z
}

func (z *zone) set(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	question := q.Question[0]
	network := w.LocalAddr().Network()
	z.asked[network+" "+dns.TypeToString[question.Qtype]]++
	exists := false
	for _, text := range z.records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		if !strings.EqualFold(rr.Header().Name, question.Name) {
			continue
		}
		exists = true
		if rr.Header().Rrtype == question.Qtype {
			m.Answer = append(m.Answer, rr)
		}
	}
	switch {
	case z.fail:
		m.Answer, m.Rcode = nil, dns.RcodeServerFailure
	case z.truncate && network == "udp":
		m.Answer, m.Truncated = nil, true
	case !exists:
		m.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(m)
}

func testResolver(z *zone) *resolver {
	r := newResolver(quiet())
	r.resolvers, r.hosts = z.conf, "/nonexistent"
	return r
}

func addrs(texts ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range texts {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func TestNamesResolveToAddressesAndTargets(t *testing.T) {
	z := startZone(t,
		"ha.example.test. 30 IN A 10.0.0.11",
		"ha.example.test. 7 IN A 10.0.0.12",
		"ha.example.test. 30 IN AAAA fd00::11",
		"_ha._udp.example.test. 20 IN SRV 0 0 7001 one.example.test.",
		"_ha._udp.example.test. 20 IN SRV 0 0 7002 two.example.test.",
		"_ha._udp.example.test. 20 IN SRV 0 0 7003 missing.example.test.",
		"one.example.test. 9 IN A 10.0.0.21",
		"two.example.test. 30 IN AAAA fd00::22",
	)
	r := testResolver(z)
	for _, c := range []struct {
		join string
		want []netip.AddrPort
		ttl  time.Duration
	}{
		{"dns:ha.example.test", addrs("10.0.0.11:7946", "10.0.0.12:7946", "[fd00::11]:7946"), 7 * time.Second},
		{"dns:ha:7000", addrs("10.0.0.11:7000", "10.0.0.12:7000", "[fd00::11]:7000"), 7 * time.Second},
		{"srv:_ha._udp.example.test", addrs("10.0.0.21:7001", "[fd00::22]:7002"), 9 * time.Second},
	} {
		target, err := parseTarget(c.join)
		if err != nil {
			t.Fatal(err)
		}
		got, ttl, err := r.lookup(t.Context(), target)
		slices.SortFunc(got, netip.AddrPort.Compare)
		if err != nil || !slices.Equal(got, c.want) || ttl != c.ttl {
			t.Errorf("%s: got %v for %v, %v; want %v for %v", c.join, got, ttl, err, c.want, c.ttl)
		}
	}
	for _, join := range []string{"dns:nowhere.example.test", "srv:_no._udp.example.test"} {
		target, _ := parseTarget(join)
		if got, _, err := r.lookup(t.Context(), target); err == nil || !strings.Contains(err.Error(), "no such name") {
			t.Errorf("%s: got %v, %v", join, got, err)
		}
	}
}

func TestTruncatedAnswersAreAskedForOverTCP(t *testing.T) {
	z := startZone(t, "ha.example.test. 30 IN A 10.0.0.11")
	z.set(func() { z.truncate = true })
	target, _ := parseTarget("dns:ha.example.test")
	got, _, err := testResolver(z).lookup(t.Context(), target)
	if err != nil || !slices.Equal(got, addrs("10.0.0.11:7946")) {
		t.Errorf("got %v, %v", got, err)
	}
	if z.asked["tcp A"] != 1 {
		t.Errorf("asked %v", z.asked)
	}
}

func TestLastGoodAnswerHoldsWhileDNSFails(t *testing.T) {
	z := startZone(t, "ha.example.test. 0 IN A 10.0.0.11")
	r := testResolver(z)
	name, _ := parseTarget("dns:ha.example.test")
	step := func(what string, want []netip.AddrPort) {
		t.Helper()
		for _, n := range r.names {
			n.next = time.Time{}
		}
		before := time.Now()
		r.refresh(context.Background())
		if got := r.names[0].addrs; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		if next, _ := r.next(); next.Sub(before) < refreshMin || next.Sub(before) > 2*refreshMin {
			t.Errorf("%s: asks again after %v", what, next.Sub(before))
		}
	}
	r.set([]target{name})
	step("at first", addrs("10.0.0.11:7946"))
	z.set(func() { z.fail = true })
	step("while the server fails", addrs("10.0.0.11:7946"))
	z.set(func() { z.fail, z.records = false, nil })
	step("while the name is gone", addrs("10.0.0.11:7946"))
	z.set(func() { z.records = []string{"ha.example.test. 0 IN A 10.0.0.12"} })
	step("when it is back elsewhere", addrs("10.0.0.12:7946"))
	r.set([]target{name, {kind: literal}})
	if len(r.names) != 1 || len(r.names[0].addrs) != 1 {
		t.Errorf("a reload forgot the answer: %+v", r.names)
	}
}

func TestHostsFileComesFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	text := "# comment\n10.0.0.5 Ha.Example.Test ha\nnonsense ha\n10.0.0.6 other # ha\nfd00::5\tha\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := hostsFile(path, "ha"); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("fd00::5")}) {
		t.Errorf("ha: %v", got)
	}
	if got := hostsFile(path, "ha.example.test."); len(got) != 1 {
		t.Errorf("ha.example.test.: %v", got)
	}
}

func TestNodesFindEachOtherThroughDNS(t *testing.T) {
	a := startHost(t, "a")
	z := startZone(t,
		fmt.Sprintf("_ha._udp.example.test. 5 IN SRV 0 0 %d a.example.test.", a.Bound().Port()),
		fmt.Sprintf("a.example.test. 5 IN A %s", a.Bound().Addr()),
	)
	old := systemResolvers
	systemResolvers = z.conf
	t.Cleanup(func() { systemResolvers = old })
	b := startHost(t, "b", "srv:_ha._udp.example.test")
	a.until(t, "aware of b", alive("b"))
	b.until(t, "aware of a", alive("a"))
}
