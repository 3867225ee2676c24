package consensus

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/fourletter"
	"example.org/ha/consensus/tree"
)

// sessionID is how ZooKeeper's logs and words write one.
func sessionID(id int64) string { return hexadecimal(id) }

func hexadecimal(v int64) string { return "0x" + strconv.FormatUint(uint64(v), 16) }

// status says how the member is at this instant.
func (l *loop) status(want fourletter.Want) *fourletter.Status {
	t := l.db.tree
	s := &fourletter.Status{
		Now: l.now, Started: l.started, Version: fourletter.Version(l.cfg.Version), Serving: true, Mode: "standalone",
		Zxid: t.LastZxid(), Znodes: t.Len(), WatchCount: t.WatchCount(), Ephemerals: t.EphemeralCount(), DataSize: t.DataSize(),
		Outstanding: l.inflight.len(), Alive: len(l.clients), GlobalSessions: l.sessions.Len(),
		Received: l.stats.received, Sent: l.stats.sent,
		MinLatency: l.stats.requests.min, AvgLatency: l.stats.requests.average(), MaxLatency: l.stats.requests.max,
		Responses: l.stats.responses, ProposalSizes: l.stats.proposals,
		AuthFailed: l.stats.authFailed, SlowSyncs: l.stats.slowSyncs,
		FullSince: l.full.since, LastSnapshotZxid: l.snapshots.last, LastSnapshotTime: l.snapshots.lastAt,
		TraceMask: l.stats.traceMask,
	}
	if want&fourletter.WantConnections != 0 {
		s.Connections = l.connections()
	}
	if want&fourletter.WantSessions != 0 {
		s.Sessions = l.sessionList()
	}
	if want&fourletter.WantWatches != 0 {
		s.Watches = l.watches()
	}
	if want&fourletter.WantMetrics != 0 {
		l.metrics(s)
	}
	if want&fourletter.WantDigests != 0 {
		s.Digests = slices.Clone(l.stats.digests)
	}
	if want&fourletter.WantSettings != 0 {
		s.Settings = settings(l.cfg)
		s.Environment, s.InitialConfig = environment(l.cfg), l.cfg.InitialConfig
		for _, key := range slices.Sorted(maps.Keys(l.cfg.Settings)) {
			s.Properties = append(s.Properties, fourletter.Property{Name: "zookeeper." + key, Value: l.cfg.Settings[key]})
		}
	}
	return s
}

// metrics fills in what is counted here, in the clients' port, and by the kernel.
func (l *loop) metrics(s *fourletter.Status) {
	m := &l.stats.meters
	if l.traffic != nil {
		t, why := l.traffic()
		m.BytesReceived, m.ResponseBytes = t.BytesIn, t.BytesOut-m.WatchBytes
		m.ConnectionsRejected = int64(why[clientport.TooMany] + why[clientport.TooManyOfAddress] + why[clientport.Throttled] + why[clientport.NoDescriptors])
		m.ConnectionsDropped = int64(why[clientport.ConnectionLost])
		m.SessionlessExpired, m.FailedHandshakes = int64(why[clientport.SaidNothing]), int64(why[clientport.TLSHandshake])
		m.LargeRejected = int64(why[clientport.TooMuchLarge])
	}
	s.Metrics = append(m.Metrics(), l.stats.own(&l.full)...)
	s.OpenFiles, s.MaxFiles = descriptors()
	for _, c := range l.clients {
		switch {
		case len(c.line.Certificates()) > 0:
		case c.line.Remote().Addr().IsLoopback():
			s.NonMTLSLocal++
		default:
			s.NonMTLSRemote++
		}
	}
}

// own are the metrics that ZooKeeper does not have.
func (s *stats) own(full *fullness) []fourletter.Metric {
	isFull := 0.0
	if !full.since.IsZero() {
		isFull = 1
	}
	counter := func(name string, v int64) fourletter.Metric {
		return fourletter.Metric{Name: name, Kind: fourletter.Counter, Value: float64(v)}
	}
	return []fourletter.Metric{
		{Name: "log_full", Kind: fourletter.Gauge, Value: isFull},
		counter("log_full_refusals", s.refused), counter("server_stalls", s.stalls),
		counter("containers_swept", s.swept), counter("snapshot_failures", s.snapshotsFailed),
		{
			Name: "snapshot_pause_ms", Kind: fourletter.Tally, Count: s.slices.count, Sum: s.slices.sum, Min: s.slices.min,
			Max: s.slices.max, Quantiles: [5]float64{s.slices.average()},
		},
	}
}

// descriptors are the open files of the process and their limit.
func descriptors() (open, most int64) {
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		open = int64(len(entries))
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		most = int64(min(limit.Cur, 1<<62))
	}
	return open, most
}

func (l *loop) connections() []fourletter.Connection {
	out := make([]fourletter.Connection, 0, len(l.clients))
	for _, id := range slices.Sorted(maps.Keys(l.clients)) {
		c := l.clients[id]
		t := &c.tally
		traffic := c.line.Traffic()
		x := fourletter.Connection{
			ID: id, Remote: c.line.Remote(), Secure: c.line.Secure(), Interest: 1,
			Outstanding: int(traffic.Outstanding), Received: t.received, Sent: t.sent,
			LastOp: int32(t.lastOp), Established: t.since, Timeout: c.timeout, LastCxid: t.lastCxid, LastZxid: t.lastZxid,
			LastResponse: t.lastResponse, LastLatency: int64(t.lastLatency),
			MinLatency: int64(t.latencies.min), AvgLatency: int64(t.latencies.average()), MaxLatency: int64(t.latencies.max),
		}
		if traffic.Unread > 0 {
			x.Interest |= 4
		}
		x.Expires = t.since.Add(l.cfg.HandshakeTimeout)
		if c.session != nil {
			x.Session, x.Expires = c.sid, l.sessions.Expires(c.session)
		}
		out = append(out, x)
	}
	return out
}

func (l *loop) sessionList() []fourletter.Session {
	out := make([]fourletter.Session, 0, len(l.db.timeouts))
	for _, id := range slices.Sorted(maps.Keys(l.db.timeouts)) {
		x := fourletter.Session{ID: id, Ephemerals: l.db.tree.Ephemerals(id)}
		if s := l.sessions.Find(id); s != nil {
			x.Expires = l.sessions.Expires(s)
		}
		out = append(out, x)
	}
	return out
}

func (l *loop) watches() []fourletter.SessionWatch {
	var out []fourletter.SessionWatch
	for w, paths := range l.db.tree.ByWatcher(tree.Data | tree.Persistent | tree.Recursive) {
		if c := l.clients[uint64(w)]; c != nil {
			out = append(out, fourletter.SessionWatch{Session: c.sid, Paths: slices.Clone(paths)})
		}
	}
	return out
}

// settings is what the word conf says.
func settings(cfg *Config) fourletter.Settings {
	s := fourletter.Settings{
		ClientPort: -1, SecureClientPort: -1, DataDir: cfg.DataDir + "/version-2", LogDir: cfg.LogDir + "/version-2",
		TickTime: cfg.Tick, MaxClientCnxns: max(cfg.MaxConnectionsPerAddress, 0),
		MinSessionTimeout: cfg.MinSessionTimeout, MaxSessionTimeout: cfg.MaxSessionTimeout, ListenBacklog: -1,
	}
	if len(cfg.Listen) > 0 {
		s.ClientPort = int(cfg.Listen[0].Port())
	}
	if len(cfg.TLSListen) > 0 {
		s.SecureClientPort = int(cfg.TLSListen[0].Port())
	}
	if cfg.Backlog > 0 {
		s.ListenBacklog = cfg.Backlog
	}
	return s
}

// environment is what the word envi says of the process. Clients read the server's version from it.
func environment(cfg *Config) []fourletter.Property {
	host, _ := os.Hostname() // unknown is empty
	dir, _ := os.Getwd()
	home, _ := os.UserHomeDir()
	name := strconv.Itoa(os.Getuid())
	if name == "0" {
		name = "root"
	}
	var kernel syscall.Utsname
	_ = syscall.Uname(&kernel)
	return []fourletter.Property{
		{Name: "zookeeper.version", Value: fourletter.Version(cfg.Version)}, {Name: "host.name", Value: host},
		{Name: "go.version", Value: runtime.Version()}, {Name: "os.name", Value: "Linux"}, {Name: "os.arch", Value: runtime.GOARCH},
		{Name: "os.version", Value: text(kernel.Release[:])}, {Name: "user.name", Value: name}, {Name: "user.home", Value: home},
		{Name: "user.dir", Value: dir}, {Name: "process.pid", Value: strconv.Itoa(os.Getpid())},
	}
}

// text is a C string.
func text[T int8 | uint8](c []T) string {
	var b []byte
	for _, x := range c {
		if x == 0 {
			break
		}
		b = append(b, byte(x))
	}
	return string(b)
}

// notServing is the status of a member that does not run.
func (m *Member) notServing() *fourletter.Status {
	return &fourletter.Status{
		Now: time.Now(), Started: time.Now(), Version: fourletter.Version(m.cfg.Version), LastSnapshotZxid: -1,
		Settings: settings(&m.cfg), Environment: environment(&m.cfg),
	}
}

func (m *Member) String() string {
	var at []string
	for _, a := range m.port.Addrs() {
		at = append(at, a.String())
	}
	return fmt.Sprintf("zab %s", strings.Join(at, " "))
}
