package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"example.org/ha/consensus/adminport"
	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/fourletter"
	"example.org/ha/consensus/txnlog"
)

// A Member is a ZooKeeper server.
type Member struct {
	cfg     Config
	log     *slog.Logger
	port    *clientport.Server
	control chan control
	ended   chan struct{}     // closed when Run has returned
	admin   *adminport.Server // nil: none
	users   map[string]string // of SASL
	store   atomic.Pointer[txnlog.Store]
}

// New opens the member's sockets. Nothing is read or served before Run.
func New(cfg Config, log *slog.Logger) (*Member, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("consensus: configuration: %w", err)
	}
	cfg = cfg.Filled()
	if cfg.ID == 0 {
		id, err := memberID(cfg.DataDir)
		if err != nil {
			return nil, err
		}
		cfg.ID = id
	}
	users, err := saslUsers(&cfg)
	if err != nil {
		return nil, err
	}
	port, err := clientport.New(portConfig(&cfg), log)
	if err != nil {
		return nil, err
	}
	m := &Member{cfg: cfg, log: log, users: users, port: port, control: make(chan control), ended: make(chan struct{})}
	if cfg.Admin.IsValid() || cfg.Metrics.IsValid() {
		admin := adminport.Config{Listen: cfg.Admin, Metrics: cfg.Metrics, Path: cfg.AdminPath, Idle: cfg.AdminIdle}
		if cfg.AdminTLS != "" {
			admin.TLS, admin.TLSOnly = port.TLS(), cfg.AdminTLS == "only"
		}
		m.admin = adminport.New(admin, m, log)
	}
	return m, nil
}

// AdminAddr is where the commands of AdminServer are served, MetricsAddr where metrics alone are; the
// zero value if nowhere.
func (m *Member) AdminAddr() netip.AddrPort {
	if m.admin == nil {
		return netip.AddrPort{}
	}
	return m.admin.Addr()
}

// MetricsAddr is described at AdminAddr.
func (m *Member) MetricsAddr() netip.AddrPort {
	if m.admin == nil {
		return netip.AddrPort{}
	}
	return m.admin.MetricsAddr()
}

func portConfig(cfg *Config) clientport.Config {
	return clientport.Config{
		Listen: cfg.Listen, TLSListen: cfg.TLSListen, TLSOptional: cfg.TLSOptional, Backlog: cfg.Backlog,
		MaxFrame: cfg.MaxRequest, MaxPerAddress: cfg.MaxConnectionsPerAddress, MaxConnections: cfg.MaxConnections,
		GlobalOutstanding: cfg.MaxOutstanding, LargeFrame: cfg.LargeRequest, MaxLargeFrames: cfg.LargeRequests,
		Handshake: cfg.HandshakeTimeout, TLS: cfg.TLS.clientport(),
		ThrottleTokens: cfg.ConnectionTokens, ThrottleFill: cfg.ConnectionFill, ThrottleEvery: cfg.ConnectionFillTime,
	}
}

// Addrs are where clients connect, those without TLS first.
func (m *Member) Addrs() []netip.AddrPort { return m.port.Addrs() }

// Addr is the first of Addrs.
func (m *Member) Addr() netip.AddrPort { return m.port.Addrs()[0] }

// Reload reads the certificates again.
func (m *Member) Reload() error { return m.port.Reload() }

func (m *Member) storeConfig() txnlog.Config {
	c := &m.cfg
	return txnlog.Config{
		DataDir: c.DataDir, LogDir: c.LogDir, PreAlloc: c.PreAlloc, MaxLogSize: c.LogSize, MaxRecord: 2 * c.MaxRequest,
		NoSync: c.NoSync, TrustEmpty: c.TrustEmpty, NoDigest: c.NoDigest, Compression: c.SnapshotCompression, Log: m.log,
		Alone: len(c.Ensemble.Servers) <= 1,
	}
}

// Run loads what is on the disk and serves until ctx ends. It returns an error if the data cannot be
// read, or the log cannot be written: then what is on the disk is not known, and the member must stop.
func (m *Member) Run(ctx context.Context, ready func()) error {
	defer close(m.ended)
	store, err := txnlog.Open(m.storeConfig())
	if err != nil {
		return err
	}
	l, err := m.start(store)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	return errors.Join(m.serve(ctx, ready, store, l), store.Close())
}

// start loads the data and makes the loop of it.
func (m *Member) start(store *txnlog.Store) (*loop, error) {
	pace(loadingPace)
	loaded, err := load(&m.cfg, store, m.log)
	pace(servingPace)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	l := newLoop(now, &m.cfg, m.log, loaded.db)
	l.snapshots.count, l.snapshots.size = int64(loaded.txns), loaded.bytes
	l.snapshots.last = loaded.snapshot
	l.words, l.users = words(m.cfg.Words), m.users
	l.stats.loaded(loaded, now)
	m.log.Info("data loaded", "zxid", hexadecimal(loaded.db.tree.LastZxid()), "snapshot", hexadecimal(loaded.snapshot), "replayed", loaded.txns,
		"znodes", loaded.db.tree.Len(), "sessions", len(loaded.db.timeouts), "took", now.Sub(loaded.at.start).Round(time.Millisecond))
	m.store.Store(store)
	return l, nil
}

// words is the whitelist of the configuration.
func words(names []string) fourletter.Whitelist {
	w, _ := fourletter.ParseWhitelist(names)
	return w
}

// serve runs the parts until ctx ends or one of them fails. They stop in the order of what flows: first
// the clients, then the loop, then the log, which finishes what it has.
func (m *Member) serve(ctx context.Context, ready func(), store *txnlog.Store, l *loop) error {
	stopLog, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	jobs, results := make(chan *copying, 1), make(chan kept, 1)
	l.port, l.batches = m.port, m.port.Batches()
	l.groups, l.results = store.Groups(), store.Written()
	l.epoch = func(n int64) error { return raiseEpochs(store, n) }
	l.keep, l.keptOut, l.control = jobs, results, m.control
	l.traffic = func() (clientport.Traffic, map[clientport.Reason]uint64) { return m.port.Traffic(), m.port.Reasons() }
	l.measure = func(conn uint64, word string) { go m.measure(conn, word) }

	var parts sync.WaitGroup
	failed := make(chan error, 4)
	part := func(what string, ctx context.Context, run func(context.Context) error) {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				err = fmt.Errorf("consensus: %s: %w", what, err)
				failed <- err
				stop(err)
			}
		})
	}
	part("write the log", stopLog, store.Run)
	part("serve clients", ctx, m.port.Run)
	if m.admin != nil {
		part("serve the admin port", ctx, m.admin.Run)
	}
	parts.Go(func() { keepStore(ctx, store, &m.cfg, m.log, jobs, results) })
	m.log.Info("serving", "on", m.port.Addrs(), "zxid", hexadecimal(l.db.tree.LastZxid()))
	ready()

	err := l.run(ctx)
	stop(err)
	stopStore() // what the log has taken it finishes
	parts.Wait()
	close(failed)
	for e := range failed {
		if err == nil || e.Error() != err.Error() { // the log's end is the loop's too
			err = errors.Join(err, e)
		}
	}
	m.log.Info("stopped serving", "zxid", hexadecimal(l.db.tree.LastZxid()))
	return err
}

// raiseEpochs makes an epoch durable; one that is later already stays.
func raiseEpochs(store *txnlog.Store, n int64) error {
	have := store.Epochs()
	if have.Accepted < n {
		if err := store.SetAcceptedEpoch(n); err != nil {
			return err
		}
	}
	if have.Current < n {
		return store.SetCurrentEpoch(n)
	}
	return nil
}

// sizes are the bytes of the directories, 0 if they cannot be read.
func (m *Member) sizes() (snapshots, logs int64) {
	store := m.store.Load()
	if store == nil {
		return 0, 0
	}
	snapshots, logs, err := store.Sizes()
	if err != nil {
		m.log.Warn("measure the directories", "err", err)
	}
	if m.cfg.LogDir == m.cfg.DataDir { // Apache's server says the whole of it twice
		snapshots, logs = snapshots+logs, snapshots+logs
	}
	return snapshots, logs
}

// measure brings the sizes of the directories to a word that needs them: the disk may be slow.
func (m *Member) measure(conn uint64, word string) {
	snapshots, logs := m.sizes()
	select {
	case m.control <- sized{conn: conn, word: word, snapshots: snapshots, txns: logs}:
	case <-m.ended:
	}
}
