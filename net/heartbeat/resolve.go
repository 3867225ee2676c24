package heartbeat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// A name is asked again when its TTL ends, within these bounds: the
	// lower keeps a TTL of 0 from becoming a flood, the upper notices a
	// change behind a TTL of a day.
	refreshMin = 5 * time.Second
	refreshMax = 60 * time.Second

	queryTimeout = 2 * time.Second
	parallel     = 8   // names asked at once
	maxAnswers   = 512 // addresses of one name
	ednsSize     = 1232
)

// A resolver keeps the last good answer of each name of a join list. Only
// Node.Run's goroutine uses it.
type resolver struct {
	log       *slog.Logger
	resolvers string // resolv.conf
	hosts     string // the hosts file
	names     []*name
}

// A name is one entry of the join list that has to be asked for.
type name struct {
	target
	addrs  []netip.AddrPort // the last good answer
	next   time.Time        // when to ask; zero: at once
	failed string           // the latest failure; empty after a success
	fresh  []netip.AddrPort
	ttl    time.Duration
	err    error
}

// Where the system's resolver is configured; a test has its own.
var systemResolvers, systemHosts = "/etc/resolv.conf", "/etc/hosts"

func newResolver(log *slog.Logger) *resolver {
	return &resolver{log: log, resolvers: systemResolvers, hosts: systemHosts}
}

// set takes a new join list; names that stay keep their answers.
func (r *resolver) set(targets []target) {
	old := r.names
	r.names = nil
	for _, t := range targets {
		if t.kind == literal {
			continue
		}
		if i := slices.IndexFunc(old, func(n *name) bool { return n.target == t }); i >= 0 {
			r.names = append(r.names, old[i])
		} else {
			r.names = append(r.names, &name{target: t})
		}
	}
}

// next is when refresh has something to do, if ever.
func (r *resolver) next() (at time.Time, ever bool) {
	for _, n := range r.names {
		if !ever || n.next.Before(at) {
			at, ever = n.next, true
		}
	}
	return at, ever
}

// refresh asks for every name that is due.
func (r *resolver) refresh(ctx context.Context) {
	now := time.Now()
	var wg sync.WaitGroup
	room := make(chan struct{}, parallel)
	due := slices.DeleteFunc(slices.Clone(r.names), func(n *name) bool { return n.next.After(now) })
	for _, n := range due {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			n.fresh, n.ttl, n.err = r.lookup(ctx, n.target)
		})
	}
	wg.Wait()
	for _, n := range due {
		r.settle(n)
	}
}

// settle takes the outcome of one lookup and logs only what is news.
func (r *resolver) settle(n *name) {
	wait := refreshMin
	if n.err != nil {
		if n.failed == "" {
			r.log.Warn("join name does not resolve", "name", n.target.String(), "err", n.err, "kept", len(n.addrs))
		}
		n.failed = n.err.Error()
	} else {
		slices.SortFunc(n.fresh, netip.AddrPort.Compare)
		n.fresh = slices.Compact(n.fresh)
		if n.failed != "" || !slices.Equal(n.fresh, n.addrs) {
			r.log.Info("join name resolved", "name", n.target.String(), "addresses", n.fresh)
		}
		n.addrs, n.failed = n.fresh, ""
		wait = min(max(n.ttl, refreshMin), refreshMax)
	}
	// Up to a fifth later, so that hosts started together do not ask together.
	n.next = time.Now().Add(wait + rand.N(wait/5))
}

func (t target) String() string {
	switch t.kind {
	case dnsName:
		return fmt.Sprintf("dns:%s:%d", t.name, t.port)
	case srvName:
		return "srv:" + t.name
	}
	return t.addr.String()
}

// lookup returns the addresses of a name and how long they hold.
func (r *resolver) lookup(ctx context.Context, t target) ([]netip.AddrPort, time.Duration, error) {
	conf, err := dns.ClientConfigFromFile(r.resolvers)
	if err != nil {
		return nil, 0, fmt.Errorf("heartbeat: read resolver configuration: %w", err)
	}
	q := query{ctx: ctx, conf: conf, ttl: refreshMax}
	if t.kind == srvName {
		addrs, err := q.srv(t.name, r.hosts)
		return addrs, q.ttl, err
	}
	addrs, err := q.host(t.name, t.port, r.hosts)
	return addrs, q.ttl, err
}

// A query is one lookup: it remembers the shortest TTL it met.
type query struct {
	ctx  context.Context
	conf *dns.ClientConfig
	ttl  time.Duration
}

// host returns the A and AAAA records of a name. One family without an answer
// is ordinary; both is an error.
func (q *query) host(name string, port uint16, hosts string) ([]netip.AddrPort, error) {
	if addrs := hostsFile(hosts, name); len(addrs) > 0 {
		return withPort(addrs, port), nil
	}
	var addrs []netip.Addr
	var errs []error
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, err := q.search(name, kind)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		addrs = append(addrs, q.addresses(m.Answer, "")...)
	}
	if len(addrs) == 0 {
		return nil, errors.Join(append(errs, fmt.Errorf("heartbeat: resolve %s: no address", name))...)
	}
	return withPort(addrs, port), nil
}

// srv returns the targets of an SRV name with their ports.
func (q *query) srv(name, hosts string) ([]netip.AddrPort, error) {
	m, err := q.search(name, dns.TypeSRV)
	if err != nil {
		return nil, err
	}
	var out []netip.AddrPort
	var errs []error
	for _, rr := range m.Answer {
		s, ok := rr.(*dns.SRV)
		if !ok || s.Target == "." || s.Port == 0 || len(out) >= maxAnswers {
			continue
		}
		q.lower(s.Hdr.Ttl)
		if glue := q.addresses(m.Extra, s.Target); len(glue) > 0 {
			out = append(out, withPort(glue, s.Port)...)
			continue
		}
		addrs, err := q.host(s.Target, s.Port, hosts)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, addrs...)
	}
	if len(out) == 0 {
		return nil, errors.Join(append(errs, fmt.Errorf("heartbeat: resolve %s: no SRV record with an address", name))...)
	}
	return out, nil
}

// addresses picks the address records, of one owner if owner is not empty.
func (q *query) addresses(rrs []dns.RR, owner string) []netip.Addr {
	var out []netip.Addr
	for _, rr := range rrs {
		if owner != "" && !strings.EqualFold(rr.Header().Name, owner) || len(out) >= maxAnswers {
			continue
		}
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		default:
			continue
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			q.lower(rr.Header().Ttl)
			out = append(out, a.Unmap())
		}
	}
	return out
}

func (q *query) lower(ttl uint32) { q.ttl = min(q.ttl, time.Duration(ttl)*time.Second) }

// search tries the name in the domains of the resolver's search list.
func (q *query) search(name string, kind uint16) (*dns.Msg, error) {
	var last error
	for _, fqdn := range q.conf.NameList(name) {
		m, err := q.ask(fqdn, kind)
		if err == nil {
			return m, nil
		}
		last = err
	}
	return nil, last
}

// ask puts one question to the servers in turn; a truncated answer is asked
// for again over TCP.
func (q *query) ask(fqdn string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(fqdn, kind)
	m.SetEdns0(ednsSize, false)
	var errs []error
	for _, server := range q.conf.Servers {
		addr := net.JoinHostPort(server, q.conf.Port)
		udp := &dns.Client{Net: "udp", Timeout: queryTimeout}
		in, _, err := udp.ExchangeContext(q.ctx, m, addr)
		if err == nil && in.Truncated {
			tcp := &dns.Client{Net: "tcp", Timeout: queryTimeout}
			in, _, err = tcp.ExchangeContext(q.ctx, m, addr)
		}
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("heartbeat: ask %s for %s: %w", addr, fqdn, err))
		case in.Rcode == dns.RcodeSuccess:
			return in, nil
		case in.Rcode == dns.RcodeNameError:
			return nil, fmt.Errorf("heartbeat: ask %s for %s: no such name", addr, fqdn)
		default:
			errs = append(errs, fmt.Errorf("heartbeat: ask %s for %s: %s", addr, fqdn, dns.RcodeToString[in.Rcode]))
		}
	}
	return nil, errors.Join(errs...)
}

func withPort(addrs []netip.Addr, port uint16) []netip.AddrPort {
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, port)
	}
	return out
}

// hostsFile looks a name up in a file of the form of /etc/hosts.
func hostsFile(path, name string) []netip.Addr {
	f, err := os.Open(path)
	if err != nil {
		return nil // a host without one is ordinary
	}
	defer f.Close()
	name = strings.TrimSuffix(name, ".")
	var out []netip.Addr
	for s := bufio.NewScanner(f); s.Scan() && len(out) < maxAnswers; {
		line, _, _ := strings.Cut(s.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.ContainsFunc(fields[1:], func(f string) bool { return strings.EqualFold(f, name) }) {
			continue
		}
		if a, err := netip.ParseAddr(fields[0]); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}
