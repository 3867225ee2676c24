package consensus

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/tree"
)

// Config is the table [zab]. Beside each field stands, in brackets, what ZooKeeper calls it; the names
// without a dot are keys of zoo.cfg, the others system properties.
type Config struct {
	// ID is this member's number, 1 to 254: the top byte of the session ids it gives out.
	// Default: what the file myid in DataDir says, else 1. [myid]
	ID int `toml:"id"`

	// DataDir is required: snapshots, epochs and myid, in ZooKeeper's formats. A directory of Apache
	// ZooKeeper 3.8 is taken over as it is. [dataDir]
	DataDir string `toml:"data_dir"`

	// LogDir holds the transaction log. Default: DataDir; a disk of its own makes writes faster. [dataLogDir]
	LogDir string `toml:"log_dir"`

	// Listen is where clients connect. Default [::]:2181, which takes IPv4 too, unless TLSListen is
	// given. [clientPort, clientPortAddress]
	Listen []netip.AddrPort `toml:"listen"`

	// TLSListen is where clients connect with TLS; it needs the table [zab.tls]. [secureClientPort]
	TLSListen []netip.AddrPort `toml:"tls_listen"`

	// TLSOptional lets clients with TLS connect at Listen too. [client.portUnification]
	TLSOptional bool `toml:"tls_optional"`

	// TLS says who this server is to its clients, and whom it believes.
	TLS TLS `toml:"tls"`

	// Backlog is the kernel's queue of connections not yet accepted. Default: the kernel's limit. [clientPortListenBacklog]
	Backlog int `toml:"backlog"`

	// Tick is the width of the buckets in which sessions expire: one ends at most a tick after its
	// timeout. Default 2s. [tickTime]
	Tick time.Duration `toml:"tick"`

	// MinSessionTimeout and MaxSessionTimeout bound what clients may ask for. Default 2 and 20 ticks.
	// [minSessionTimeout, maxSessionTimeout]
	MinSessionTimeout time.Duration `toml:"min_session_timeout"`
	MaxSessionTimeout time.Duration `toml:"max_session_timeout"`

	// MaxConnectionsPerAddress bounds the connections of one client address. Default 60; -1: no
	// limit. [maxClientCnxns]
	MaxConnectionsPerAddress int `toml:"max_connections_per_address"`

	// MaxConnections bounds all connections. Default: no limit. [maxCnxns]
	MaxConnections int `toml:"max_connections"`

	// ConnectionTokens is how many connections may come at once, ConnectionFill how many more every
	// ConnectionFillTime. Default: any; 1; 1ms. [connection_throttle_tokens, _fill_count, _fill_time]
	ConnectionTokens   int           `toml:"connection_tokens"`
	ConnectionFill     int           `toml:"connection_fill"`
	ConnectionFillTime time.Duration `toml:"connection_fill_time"`

	// MaxRequest is the longest request in bytes. Default 1048575. [jute.maxbuffer]
	MaxRequest int `toml:"max_request"`

	// MaxOutstanding is how many requests may wait for an answer in the whole server; above it,
	// connections that have one waiting are not read. Default 1000. [globalOutstandingLimit]
	MaxOutstanding int `toml:"max_outstanding"`

	// MaxWatches bounds the watches of the server, MaxWatchesPerConnection those of one connection; a
	// path counts once more for each 256 bytes. A request that would set one more is refused with a
	// system error. Default 4194304 and 1048576.
	MaxWatches              int `toml:"max_watches"`
	MaxWatchesPerConnection int `toml:"max_watches_per_connection"`

	// MaxEphemerals bounds the ephemeral znodes of one session, whose end is one transaction that
	// names them all. Default 100000.
	MaxEphemerals int `toml:"max_ephemerals"`

	// LargeRequest makes requests of so many bytes count against LargeRequests, the bytes of such
	// requests that may be in flight; a connection that goes above it is closed. Default: off, and
	// 104857600. [largeRequestThreshold, largeRequestMaxBytes]
	LargeRequest  int `toml:"large_request"`
	LargeRequests int `toml:"large_requests"`

	// ThrottledOpWait refuses a request that waited so long for the ones before it. Default: off. [throttled_op_wait_time]
	ThrottledOpWait time.Duration `toml:"throttled_op_wait"`

	// HandshakeTimeout closes a connection that has not asked for a session by then. Default 10s. [nio.sessionlessCnxnTimeout]
	HandshakeTimeout time.Duration `toml:"handshake_timeout"`

	// Words are the four-letter words that are answered, "*" for all. Default: those that only read
	// and are cheap: ruok srvr stat mntr isro conf. [4lw.commands.whitelist]
	Words []string `toml:"words"`

	// Admin is where the commands of ZooKeeper's AdminServer and the metrics of Prometheus are
	// served over HTTP. Default: nowhere. [admin.serverAddress, admin.serverPort, admin.enableServer]
	Admin netip.AddrPort `toml:"admin"`

	// AdminPath is the path under which the commands are. Default "/commands". [admin.commandURL]
	AdminPath string `toml:"admin_path"`

	// AdminIdle closes a silent connection to Admin. Default 30s. [admin.idleTimeout]
	AdminIdle time.Duration `toml:"admin_idle"`

	// AdminTLS is "" for plain HTTP, "optional" for HTTPS beside it, "only" for HTTPS alone; with the
	// certificate of [zab.tls]. [admin.portUnification, admin.forceHttps]
	AdminTLS string `toml:"admin_tls"`

	// Metrics is where the metrics alone are served. Default: nowhere. [metricsProvider.httpPort]
	Metrics netip.AddrPort `toml:"metrics"`

	// SnapCount is after how many transactions a snapshot is taken, at the latest; half of it at the
	// earliest. Default: 100000, but not before the log since the last one is a quarter of the data:
	// what is written over and over costs more than what is read once at a start. [snapCount]
	SnapCount int `toml:"snap_count"`

	// SnapSize is the same in bytes of log. Default 4 GiB. [snapSizeLimitInKb]
	SnapSize int64 `toml:"snap_size"`

	// LogSize begins a new file of the log at this size. Default: only snapshots do. [txnLogSizeLimitInKb]
	LogSize int64 `toml:"log_size"`

	// PreAlloc is by how many bytes a file of the log grows. Default 64 MiB; -1: as needed. [preAllocSize]
	PreAlloc int64 `toml:"pre_alloc"`

	// NoSync does not wait for the disk: what was acknowledged may be lost with the power. [forceSync=no]
	NoSync bool `toml:"no_sync"`

	// SyncWarning logs a sync of the log that takes longer. Default 1s. [fsync.warningthresholdms]
	SyncWarning time.Duration `toml:"sync_warning"`

	// SnapshotCompression is "", "gz" or "snappy". Default "": none. [snapshot.compression.method]
	SnapshotCompression string `toml:"snapshot_compression"`

	// Retain is how many snapshots are kept, with the logs that belong to them; at least 3. Default 3. [autopurge.snapRetainCount]
	Retain int `toml:"retain"`

	// PurgeInterval is how often older ones are deleted. Default: after every snapshot; -1s: never.
	// [autopurge.purgeInterval]
	PurgeInterval time.Duration `toml:"purge_interval"`

	// TrustEmpty starts with a log that has no snapshot. [snapshot.trust.empty]
	TrustEmpty bool `toml:"trust_empty"`

	// NoDigest writes no digests of the tree into log and snapshots. [digest.enabled=false]
	NoDigest bool `toml:"no_digest"`

	// SuperDigest, "super:" and the digest of its password, lets who proves it pass every ACL.
	// [DigestAuthenticationProvider.superDigest]
	SuperDigest string `toml:"super_digest"`

	// DigestAlgorithm is how digests of passwords are made: SHA1, SHA-256, SHA-512 or SHA3-256.
	// Default SHA1. [DigestAuthenticationProvider.digestAlg]
	DigestAlgorithm string `toml:"digest_algorithm"`

	// SuperX509 is the subject of a client certificate that passes every ACL. [X509AuthenticationProvider.superUser]
	SuperX509 string `toml:"super_x509"`

	// SASLUsers are the passwords of users that prove who they are with SASL (DIGEST-MD5).
	SASLUsers map[string]string `toml:"sasl_users"`

	// JAAS is a file of Java's login configuration; its section JAASSection adds to SASLUsers. Default
	// of the section: Server. [java.security.auth.login.config, sasl.serverconfig]
	JAAS        string `toml:"jaas"`
	JAASSection string `toml:"jaas_section"`

	// SuperSASL is the SASL user that passes every ACL. [superUser]
	SuperSASL string `toml:"super_sasl"`

	// RequireSASL refuses, and disconnects, clients that have not proved who they are with SASL;
	// AllowFailedSASL keeps those connected that tried in vain. [sessionRequireClientSASLAuth, allowSaslFailedClients]
	RequireSASL     bool `toml:"require_sasl"`
	AllowFailedSASL bool `toml:"allow_failed_sasl"`

	// SkipACL lets everybody do everything. [skipACL]
	SkipACL bool `toml:"skip_acl"`

	// EnforceAuth refuses, and disconnects, clients that have not authenticated with one of the
	// schemes in EnforceAuthSchemes. [enforce.auth.enabled, enforce.auth.schemes]
	EnforceAuth        bool     `toml:"enforce_auth"`
	EnforceAuthSchemes []string `toml:"enforce_auth_schemes"`

	// NoCloseSessionPaths leaves the ephemerals that end with a session out of its transaction, as
	// members before ZooKeeper 3.6 need it. [closeSessionTxn.enabled=false]
	NoCloseSessionPaths bool `toml:"no_close_session_paths"`

	// TTLNodes allows znodes with a time to live. [extendedTypesEnabled]
	TTLNodes bool `toml:"ttl_nodes"`

	// TTL353 reads the znodes with a time to live that ZooKeeper 3.5.3 wrote. [emulate353TTLNodes]
	TTL353 bool `toml:"ttl_353"`

	// EnforceQuota refuses what exceeds a hard limit, instead of logging it. [enforceQuota]
	EnforceQuota bool `toml:"enforce_quota"`

	// ContainerInterval is how often containers and times to live are looked after. Default 1m.
	// [znode.container.checkIntervalMs]
	ContainerInterval time.Duration `toml:"container_interval"`

	// ContainersPerMinute bounds how fast they are deleted. Default 10000. [znode.container.maxPerMinute]
	ContainersPerMinute int `toml:"containers_per_minute"`

	// ContainerMaxUnused also deletes containers that never had a child, after this time. Default:
	// never. [znode.container.maxNeverUsedIntervalMs]
	ContainerMaxUnused time.Duration `toml:"container_max_unused"`

	// Reconfig answers reconfig at all; a member alone can only refuse it. [reconfigEnabled]
	Reconfig bool `toml:"reconfig"`

	// ReadOnly is for ensembles: members without a quorum serve reads to clients that accept it. [readonlymode.enabled]
	ReadOnly bool `toml:"read_only"`

	// Version is what the words and the metrics say; set by the binary.
	Version string `toml:"-"`

	// Settings are the keys and values of a zoo.cfg as it was read, for "conf". Set by package zoocfg.
	Settings map[string]string `toml:"-"`

	// InitialConfig is the text of that zoo.cfg, without its passwords. Set by package zoocfg.
	InitialConfig string `toml:"-"`

	// Ensemble is what a zoo.cfg says of the other members. Set by package zoocfg.
	Ensemble Ensemble `toml:"-"`
}

// TLS is the table [zab.tls]: PEM files, or key stores as Java uses them (PKCS #12, JKS). Changed
// files are read again.
type TLS struct {
	// Certificate and Key are PEM files; Key may stand in Certificate's file. [ssl.keyStore.location of type PEM]
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`

	// KeyStore and TrustStore are key stores, each with its password, or the name of a file that
	// holds it. [ssl.keyStore.location, .password, .passwordPath; ssl.trustStore…]
	KeyStore               string `toml:"key_store"`
	KeyStorePassword       string `toml:"key_store_password"`
	KeyStorePasswordFile   string `toml:"key_store_password_file"`
	TrustStore             string `toml:"trust_store"`
	TrustStorePassword     string `toml:"trust_store_password"`
	TrustStorePasswordFile string `toml:"trust_store_password_file"`

	// KeyStoreType and TrustStoreType are JKS, PKCS12 or PEM. Default: as the file's name ends.
	// [ssl.keyStore.type, ssl.trustStore.type]
	KeyStoreType   string `toml:"key_store_type"`
	TrustStoreType string `toml:"trust_store_type"`

	// CA is a PEM file with the authorities that sign clients' certificates. [ssl.trustStore.location of type PEM]
	CA string `toml:"ca"`

	// ClientAuth is "need", "want" or "none". Default need. [ssl.clientAuth]
	ClientAuth string `toml:"client_auth"`

	// VerifyHost refuses a client whose certificate is not for the address it comes from.
	// [ssl.hostnameVerification and ssl.clientHostnameVerification, both true]
	VerifyHost bool `toml:"verify_host"`

	// Protocols and Ciphers restrict what is offered, by the names of Java or Go. Default: TLS 1.2
	// and 1.3. [ssl.enabledProtocols, ssl.ciphersuites]
	Protocols []string `toml:"protocols"`
	Ciphers   []string `toml:"ciphers"`
}

func (t *TLS) clientport() clientport.TLS {
	return clientport.TLS{
		Certificate: t.Certificate, Key: t.Key, CA: t.CA, ClientAuth: t.ClientAuth, Protocols: t.Protocols, Ciphers: t.Ciphers,
		KeyStore: t.KeyStore, KeyStorePassword: t.KeyStorePassword, KeyStorePasswordFile: t.KeyStorePasswordFile,
		TrustStore: t.TrustStore, TrustStorePassword: t.TrustStorePassword, TrustStorePasswordFile: t.TrustStorePasswordFile,
		KeyStoreType: t.KeyStoreType, TrustStoreType: t.TrustStoreType, VerifyHost: t.VerifyHost,
	}
}

// The defaults that other packages and tests need by name.
const (
	DefaultTick       = 2 * time.Second
	DefaultMaxRequest = 0xfffff
	maxTick           = time.Hour
)

// Filled is c with the defaults for what is not set. A member works only with the result.
func (c Config) Filled() Config {
	set(&c.LogDir, c.DataDir)
	if len(c.Listen) == 0 && len(c.TLSListen) == 0 {
		c.Listen = []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), 2181)} // takes IPv4 too
	}
	set(&c.Tick, DefaultTick)
	set(&c.MinSessionTimeout, 2*c.Tick)
	set(&c.MaxSessionTimeout, 20*c.Tick)
	set(&c.MaxConnectionsPerAddress, 60)
	set(&c.MaxRequest, DefaultMaxRequest)
	set(&c.MaxOutstanding, 1000)
	set(&c.MaxWatches, tree.DefaultMaxWatches)
	set(&c.MaxWatchesPerConnection, tree.DefaultMaxWatchesEach)
	set(&c.MaxEphemerals, 100_000)
	set(&c.LargeRequests, 100<<20)
	set(&c.HandshakeTimeout, 10*time.Second)
	if c.Words == nil {
		c.Words = []string{"ruok", "srvr", "stat", "mntr", "isro", "conf"}
	}
	set(&c.AdminPath, "/commands")
	set(&c.AdminIdle, 30*time.Second)
	set(&c.SnapSize, 4<<30)
	set(&c.PreAlloc, 64<<20)
	set(&c.SyncWarning, time.Second)
	set(&c.Retain, 3)
	set(&c.DigestAlgorithm, "SHA1")
	set(&c.ContainerInterval, time.Minute)
	set(&c.ContainersPerMinute, 10_000)
	set(&c.JAASSection, "Server")
	set(&c.TLS.ClientAuth, "need")
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Check reports every mistake.
func (c Config) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.ID < 0 || c.ID > 254 {
		bad("id: %d is not within 1 to 254", c.ID)
	}
	if c.DataDir == "" {
		bad("data_dir: required")
	}
	d := c.Filled()
	if d.Tick < time.Millisecond || d.Tick > maxTick {
		bad("tick: %v is not within 1ms to %v", d.Tick, maxTick)
	}
	if d.MinSessionTimeout < time.Millisecond || d.MinSessionTimeout > d.MaxSessionTimeout || d.MaxSessionTimeout > 24*24*time.Hour {
		bad("max_session_timeout: from %v to %v: want at least 1ms, the first not above the second, and below 24 days", d.MinSessionTimeout, d.MaxSessionTimeout)
	}
	if d.MaxRequest < 64 || d.MaxRequest > 1<<30 {
		bad("max_request: %d is not within 64 to %d", d.MaxRequest, 1<<30)
	}
	for _, f := range []struct {
		name  string
		value int
		least int
	}{
		{"max_outstanding", d.MaxOutstanding, 1}, {"max_ephemerals", d.MaxEphemerals, 1},
		{"containers_per_minute", d.ContainersPerMinute, 1}, {"max_watches", d.MaxWatches, 1}, {"max_watches_per_connection", d.MaxWatchesPerConnection, 1},
	} {
		if f.value < f.least {
			bad("%s: %d is below %d", f.name, f.value, f.least)
		}
	}
	if c.SnapCount < 0 || c.SnapCount == 1 {
		bad("snap_count: %d, want at least 2", c.SnapCount)
	}
	if d.Retain < 3 {
		bad("retain: %d is below 3", d.Retain)
	}
	if !slices.Contains([]string{"", "gz", "snappy"}, d.SnapshotCompression) {
		bad("snapshot_compression: %q is neither gz nor snappy", d.SnapshotCompression)
	}
	if !slices.Contains([]string{"need", "want", "none"}, d.TLS.ClientAuth) {
		bad("tls.client_auth: %q is none of need, want, none", d.TLS.ClientAuth)
	}
	if (len(c.TLSListen) > 0 || c.TLSOptional) && c.TLS.Certificate == "" && c.TLS.KeyStore == "" {
		bad("tls_listen: needs tls.certificate or tls.key_store")
	}
	if !slices.Contains([]string{"", "optional", "only"}, c.AdminTLS) {
		bad("admin_tls: %q is neither optional nor only", c.AdminTLS)
	}
	if c.AdminTLS != "" && c.TLS.Certificate == "" && c.TLS.KeyStore == "" {
		bad("admin_tls: needs tls.certificate or tls.key_store")
	}
	if n := c.Ensemble.Voters(); n > 1 {
		bad("servers: the configuration names %d voting members: only a member alone can be run", n)
	}
	if !knownDigest(d.DigestAlgorithm) {
		bad("digest_algorithm %q: want SHA1, SHA-256, SHA-512 or SHA3-256", d.DigestAlgorithm)
	}
	if c.SuperDigest != "" && !strings.Contains(c.SuperDigest, ":") {
		bad("super_digest: want super:digest")
	}
	if c.LogDir != "" && c.DataDir != "" && filepath.Clean(c.LogDir) != filepath.Clean(c.DataDir) &&
		strings.HasPrefix(filepath.Clean(c.LogDir), filepath.Join(filepath.Clean(c.DataDir), "version-2")) {
		bad("log_dir: %s lies inside data_dir's version-2", c.LogDir)
	}
	return errors.Join(errs...)
}
