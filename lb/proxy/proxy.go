// Package proxy forwards TCP connections and UDP flows in userspace: the embedded data path, which
// needs neither kernel modules nor privileges.
//
// # How it works
//
// There is one [worker] per CPU: an epoll loop with non-blocking sockets, no goroutine per
// connection. Each worker has its own listening socket for every address (SO_REUSEPORT), accepts,
// reads what the client has already said, picks a real server, connects and writes. Both sockets are
// registered once, edge-triggered. An idle connection costs a small struct and two descriptors: bytes
// pass through one buffer per worker, and only what a slow reader did not take is kept, at most one
// buffer, while its sender is no longer read. A direction whose reads keep filling the buffer is
// bulk: it is spliced through a pipe, without copying, for as long as it lasts.
//
// # What is promised
//
// End of stream and RST are passed on as what they are, each direction by itself. An attempt at a
// real server that fails before any byte reached it is repeated at another one, at most four in all;
// each failure is also reported on [Forwarder.Passive].
//
// [Forwarder.Apply] takes the whole desired table. What did not change is not touched: listeners stay
// open, connections stay where they are. Weight 0 only ends new connections. When a real server
// leaves the table its connections go on to their end, or are reset at once with CutDown. When a
// service is deleted its listeners close after taking what waits in their queues, and its
// connections have the drain time (30 s) to end. If any address cannot be bound nothing changes.
//
// Schedulers are shared by all workers, under a lock held for one pick, so wlc sees every
// connection.
//
// # Limits
//
// Connections: half the descriptor limit, which New raises as far as it may. At the limit, and when
// the system is out of descriptors, clients wait in the listen queue. UDP flows: 32,768 per worker,
// then new clients are dropped. Each such decision has a counter.
package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	passiveQueue = 256
	// spareFDs are left for listeners, pipes and the rest of the process.
	spareFDs = 512
)

// A Forwarder holds the listeners of a table and forwards what arrives.
type Forwarder struct {
	log            *slog.Logger
	start          time.Time
	passive        chan ConnectFailure
	passiveDropped atomic.Uint64

	mu        sync.Mutex // Apply, Stats, and the ends of Run
	workers   []*worker
	services  []*service // sorted by name
	deleted   []*service // until their connections are gone
	listeners []*listener
	removed   []*listener // until every worker has closed its socket
	ended     bool
}

// New returns a Forwarder with an empty table and raises the limit of open files. It starts nothing.
func New(log *slog.Logger) *Forwarder {
	return &Forwarder{log: log, start: time.Now(), passive: make(chan ConnectFailure, passiveQueue)}
}

// prepare makes the workers, before the first listener. mu is held.
func (f *Forwarder) prepare() error {
	if f.ended {
		return errors.New("proxy: forwarder has ended")
	}
	if len(f.workers) > 0 {
		return nil
	}
	n := min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) // another Forwarder's Run may have raised the latter
	limit := max((raiseFileLimit()-spareFDs)/2/n, 16)
	for i := range n {
		w, err := newWorker(f, i, limit)
		if err != nil {
			for _, w := range f.workers {
				w.closeFDs()
			}
			f.workers = nil
			return fmt.Errorf("proxy: make worker: %w", err)
		}
		f.workers = append(f.workers, w)
	}
	return nil
}

// raiseFileLimit sets the limit of open files as high as it may and returns it.
func raiseFileLimit() int {
	const wanted = 1 << 20
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	for _, try := range []uint64{wanted, l.Max} {
		if l.Cur >= try {
			break
		}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: try, Max: max(try, l.Max)}) == nil {
			l.Cur = try
			break
		}
	}
	return int(min(l.Cur, wanted))
}

// Run forwards until ctx ends, then resets every connection, closes every listener and returns.
func (f *Forwarder) Run(ctx context.Context) error {
	f.mu.Lock()
	err := f.prepare()
	f.mu.Unlock()
	if err != nil {
		return err
	}
	// Workers nap without giving up their processor slot: there must be as many left for the rest.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + len(f.workers))
	defer func() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - len(f.workers)) }()
	var wg sync.WaitGroup
	for _, w := range f.workers {
		wg.Go(w.run)
	}
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	for _, w := range f.workers {
		w.post(order{stop: true})
	}
	wg.Wait()
	return nil
}

// ServiceStats is what one virtual service has done so far.
type ServiceStats struct {
	Name    string
	Servers []ServerStats // sorted by address; servers that left the table stay while they have connections
	// Refused counts connections and flows for which no real server could be found.
	Refused uint64
	// Persistent is the number of clients remembered.
	Persistent int
}

// ServerStats is what one real server of a virtual service has done so far.
type ServerStats struct {
	Address        netip.AddrPort
	Weight         int
	Sorry          bool
	Active         int64         // connections and flows now
	Inactive       int64         // of them no longer open in both directions; not in Active
	Total          uint64        // connections and flows since it joined the table
	ToServer       uint64        // bytes
	ToClient       uint64        // bytes
	ConnectErrors  uint64        // attempts that failed or timed out
	ConnectLatency time.Duration // of the last sampled connection
}

// Stats returns a copy of all counters, sorted by service name, each service once. A deleted service
// stays as long as it has connections.
func (f *Forwarder) Stats() []ServiceStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deleted = slices.DeleteFunc(f.deleted, func(s *service) bool { return s.load() == 0 })
	var out []ServiceStats
	for _, s := range slices.Concat(f.services, f.deleted) {
		out = append(out, s.stats())
	}
	slices.SortStableFunc(out, func(a, b ServiceStats) int { return strings.Compare(a.Name, b.Name) })
	return merged(out, func(a, b *ServiceStats) bool {
		if a.Name != b.Name { // the same name: one of them is deleted and its connections go on
			return false
		}
		a.Refused += b.Refused
		a.Persistent += b.Persistent
		a.Servers = mergedServers(append(a.Servers, b.Servers...))
		return true
	})
}

// merged is list with every element that joins the one before it taken out.
func merged[T any](list []T, join func(into, from *T) bool) []T {
	var out []T
	for i := range list {
		if len(out) == 0 || !join(&out[len(out)-1], &list[i]) {
			out = append(out, list[i])
		}
	}
	return out
}

// mergedServers sorts list and lists each server once: the sorry server also stands in the table while
// it serves, and its connections may outlast that.
func mergedServers(list []ServerStats) []ServerStats {
	slices.SortStableFunc(list, func(a, b ServerStats) int { return a.Address.Compare(b.Address) })
	return merged(list, func(a, b *ServerStats) bool {
		if a.Address != b.Address {
			return false
		}
		a.Weight, a.Sorry = max(a.Weight, b.Weight), a.Sorry || b.Sorry
		a.Active, a.Inactive, a.Total = a.Active+b.Active, a.Inactive+b.Inactive, a.Total+b.Total
		a.ToServer, a.ToClient = a.ToServer+b.ToServer, a.ToClient+b.ToClient
		a.ConnectErrors += b.ConnectErrors
		a.ConnectLatency = cmp.Or(a.ConnectLatency, b.ConnectLatency)
		return true
	})
}

// Limits counts the decisions taken at a limit.
type Limits struct {
	AcceptPauses     uint64 // listeners left alone for want of descriptors
	IdleEnded        uint64 // connections ended by the idle timeout
	LocalErrors      uint64 // connection attempts that failed for want of our own descriptors, ports or memory
	DatagramsDropped uint64 // too many flows, or no room in a socket
	PassiveDropped   uint64 // connect failures nobody took from Passive
}

// Limits returns the counters over all workers.
func (f *Forwarder) Limits() Limits {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := Limits{PassiveDropped: f.passiveDropped.Load()}
	for _, w := range f.workers {
		l.AcceptPauses += w.acceptPauses.Load()
		l.IdleEnded += w.idleEnded.Load()
		l.LocalErrors += w.localErrors.Load()
		l.DatagramsDropped += w.udp.dropped.Load()
	}
	return l
}

// all calls each server that has something to tell; mu is held.
func (s *service) all(yield func(*server) bool) {
	for _, v := range slices.Concat(s.order, s.leaving) {
		if !yield(v) {
			return
		}
	}
	if s.sorry != nil {
		yield(s.sorry)
	}
}

func (s *service) load() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.all {
		n += v.load()
	}
	return n
}

func (s *service) stats() ServiceStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = slices.DeleteFunc(s.leaving, func(v *server) bool { return v.load() == 0 })
	out := ServiceStats{Name: s.name, Refused: s.refused.Load(), Persistent: len(s.clients.known)}
	for v := range s.all {
		t := ServerStats{
			Address: v.addr, Weight: int(v.weight.Load()), Sorry: v.isSorry,
			Active: v.active.Load(), Inactive: v.inactive.Load(), Total: v.total.Load(),
			ConnectErrors: v.connectErrors.Load(), ConnectLatency: time.Duration(v.latency.Load()),
		}
		for i := range v.traffic {
			t.ToServer += v.traffic[i].bytes[clientSide].Load()
			t.ToClient += v.traffic[i].bytes[serverSide].Load()
		}
		out.Servers = append(out.Servers, t)
	}
	out.Servers = mergedServers(out.Servers)
	return out
}

// A ConnectFailure is a connection attempt that a real server refused or left unanswered.
type ConnectFailure struct {
	Service string
	Server  netip.AddrPort
	Err     error
	At      time.Time
}

// Passive delivers connect failures. It holds 256; further ones are dropped and counted.
func (f *Forwarder) Passive() <-chan ConnectFailure { return f.passive }
