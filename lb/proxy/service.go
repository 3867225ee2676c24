package proxy

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.org/ha/lb/pool"
	"example.org/ha/lb/scheduler"
)

const (
	defaultConnectTimeout = 2 * time.Second  // room for one lost SYN
	defaultIdleTimeout    = 15 * time.Minute // IPVS's timeout for established TCP
	defaultUDPTimeout     = 30 * time.Second
	defaultDrainTimeout   = 30 * time.Second
)

// A service is one virtual service in force. Workers schedule under mu, which is held for the
// length of one pick; the counters in it are atomic and read without.
type service struct {
	name     string
	protocol pool.Protocol
	options  atomic.Pointer[options]
	refused  atomic.Uint64 // no real server could be found

	mu        sync.Mutex
	scheduler scheduler.Scheduler
	order     []*server // as the scheduler knows them
	tried     []*server // what the pick going on must pass over
	clients   clients
	sorry     *server
	leaving   []*server // out of the table, kept for their counters while they have connections
}

// options are replaced as a whole.
type options struct {
	scheduler      pool.Scheduler
	sendProxy      bool
	connectTimeout int64 // ticks
	idleTimeout    int64
	udpTimeout     int64
	drainTimeout   time.Duration
	cutDown        bool
}

// firstTimeout is when a new connection is first looked at. An idle timeout below the connect
// timeout bounds the handshake, too.
func (o *options) firstTimeout() int64 { return min(o.connectTimeout, o.idleTimeout) }

// A server is one real server of one service.
type server struct {
	addr netip.AddrPort
	to   sockaddr

	weight    atomic.Int32
	drainedAt atomic.Int64 // tick at which the weight became 0, for UDP
	gone      atomic.Bool  // no longer in the table
	isSorry   bool

	active, inactive atomic.Int64 // established and half-closed, as IPVS counts them
	total            atomic.Uint64
	connectErrors    atomic.Uint64
	latency          atomic.Int64 // nanoseconds of the last sampled connect
	traffic          []traffic    // one per worker
}

// traffic is written by one worker and read by Stats; padded to its own cache line.
type traffic struct {
	bytes [2]atomic.Uint64 // to the server, to the client
	_     [48]byte
}

func newServer(addr netip.AddrPort, workers int) *server {
	return &server{addr: addr, to: newSockaddr(addr), traffic: make([]traffic, workers)}
}

func ticksOf(d, standard time.Duration) int64 {
	if d <= 0 {
		d = standard
	}
	return max(int64(d/tick), 1)
}

// update makes v the state of s and returns the servers that left. The caller checked v.
func (s *service) update(v pool.VirtualService, workers int, now int64) (left []*server, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.options.Load(); old == nil || old.scheduler != v.Scheduler {
		if s.scheduler, err = scheduler.New(v.Scheduler); err != nil {
			return nil, err
		}
	}
	drain := v.DrainTimeout
	if drain <= 0 {
		drain = defaultDrainTimeout
	}
	s.options.Store(&options{
		scheduler: v.Scheduler, sendProxy: v.SendProxy, cutDown: v.CutDown,
		connectTimeout: ticksOf(v.ConnectTimeout, defaultConnectTimeout),
		idleTimeout:    ticksOf(v.IdleTimeout, defaultIdleTimeout),
		udpTimeout:     ticksOf(v.UDPTimeout, defaultUDPTimeout),
		drainTimeout:   drain,
	})
	s.clients.configure(v.Persistent, v.PersistentMask)
	switch {
	case !v.Sorry.IsValid():
		s.sorry = nil
	case s.sorry == nil || s.sorry.addr != v.Sorry:
		s.sorry = newServer(v.Sorry, workers)
		s.sorry.isSorry = true
	}
	left = s.replaceServers(v, workers, now)
	s.scheduler.Update(v.Servers)
	return left, nil
}

func (s *service) replaceServers(v pool.VirtualService, workers int, now int64) (left []*server) {
	old := s.order
	s.order = make([]*server, 0, len(v.Servers))
	for _, r := range v.Servers {
		i := slices.IndexFunc(old, func(o *server) bool { return o.addr == r.Address })
		var sv *server
		if i >= 0 {
			sv = old[i]
		} else if j := slices.IndexFunc(s.leaving, func(o *server) bool { return o.addr == r.Address }); j >= 0 {
			sv = s.leaving[j]
			sv.gone.Store(false)
			s.leaving = slices.Delete(s.leaving, j, j+1)
		} else {
			sv = newServer(r.Address, workers)
		}
		if before := sv.weight.Swap(int32(r.Weight)); r.Weight == 0 && (before != 0 || i < 0) {
			sv.drainedAt.Store(now)
		}
		s.order = append(s.order, sv)
	}
	for _, o := range old {
		if !slices.Contains(s.order, o) {
			o.gone.Store(true)
			left = append(left, o)
		}
	}
	s.leaving = slices.DeleteFunc(append(s.leaving, left...), func(o *server) bool { return o.load() == 0 })
	return left
}

func (v *server) load() int64 { return v.active.Load() + v.inactive.Load() }

// Load and Usable make service the scheduler's view of its servers; mu is held.
func (s *service) Load(i int) (active, inactive int64) {
	return s.order[i].active.Load(), s.order[i].inactive.Load()
}

func (s *service) Usable(i int) bool { return !slices.Contains(s.tried, s.order[i]) }

// pick chooses a server for a client and counts a connection on it. tried lists servers that just
// failed this client. It returns nil when nobody is left. The remembered client, if persistence is
// on, must be given back with release when the connection ends.
func (s *service) pick(client netip.Addr, tried []*server, now int64) (*server, *remembered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = tried
	var sv *server
	r := s.clients.find(client, now)
	if r != nil && !r.server.gone.Load() && r.server.weight.Load() > 0 && !slices.Contains(tried, r.server) {
		sv = r.server
	} else if i := s.scheduler.Pick(client, s); i >= 0 {
		sv = s.order[i]
		r = s.clients.remember(client, sv, now)
	} else if s.sorry != nil && !slices.Contains(tried, s.sorry) {
		sv, r = s.sorry, nil
	}
	s.tried = nil
	if sv == nil {
		return nil, nil
	}
	if r != nil {
		r.connections++
	}
	sv.active.Add(1)
	sv.total.Add(1)
	return sv, r
}

// release gives back what pick returned.
func (s *service) release(r *remembered, now int64) {
	if r == nil {
		return
	}
	s.mu.Lock()
	r.connections--
	r.expires = now + s.clients.timeout
	s.mu.Unlock()
}
