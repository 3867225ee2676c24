package zoocfg

import (
	"math"
	"path/filepath"
	"strings"
	"time"

	"example.org/ha/consensus/fourletter"
)

// named are the keys that ZooKeeper's QuorumPeerConfig reads by name, and that mean something here.
var named = map[string]setter{
	"dataDir":                 directoryTo(func(r *reader) *string { return &r.cfg.DataDir }),
	"dataLogDir":              directoryTo(func(r *reader) *string { return &r.cfg.LogDir }),
	"clientPort":              intTo(0, 65535, func(r *reader) *int { return &r.clientPort }),
	"clientPortAddress":       textTo(func(r *reader) *string { return &r.clientAddr }),
	"secureClientPort":        intTo(0, 65535, func(r *reader) *int { return &r.securePort }),
	"secureClientPortAddress": textTo(func(r *reader) *string { return &r.secureAddr }),
	"clientPortListenBacklog": backlog,
	"tickTime":                tickTime,
	"maxClientCnxns":          limitTo(func(r *reader) *int { return &r.cfg.MaxConnectionsPerAddress }),
	"minSessionTimeout":       timeoutTo(func(r *reader) *time.Duration { return &r.cfg.MinSessionTimeout }),
	"maxSessionTimeout":       timeoutTo(func(r *reader) *time.Duration { return &r.cfg.MaxSessionTimeout }),
	"initLimit":               ticksTo(func(r *reader) *time.Duration { return &r.cfg.Ensemble.InitLimit }),
	"syncLimit":               ticksTo(func(r *reader) *time.Duration { return &r.cfg.Ensemble.SyncLimit }),
	"connectToLearnerMasterLimit": ticksTo(func(r *reader) *time.Duration {
		return &r.cfg.Ensemble.ConnectLimit
	}),
	"electionAlg":                           electionAlg,
	"peerType":                              peerType,
	"quorumListenOnAllIPs":                  boolTo(func(r *reader) *bool { return &r.cfg.Ensemble.ListenAll }),
	"standaloneEnabled":                     notTo(func(r *reader) *bool { return &r.cfg.Ensemble.NotAlone }),
	"reconfigEnabled":                       boolTo(func(r *reader) *bool { return &r.cfg.Reconfig }),
	"dynamicConfigFile":                     textTo(func(r *reader) *string { return &r.cfg.Ensemble.Dynamic }),
	"autopurge.snapRetainCount":             retain,
	"autopurge.purgeInterval":               purge,
	"metricsProvider.className":             metricsProvider,
	"metricsProvider.httpPort":              intTo(0, 65535, func(r *reader) *int { return &r.metricsPort }),
	"metricsProvider.httpHost":              textTo(func(r *reader) *string { return &r.metricsAddr }),
	"metricsProvider.httpsPort":             unfulfilled("the metrics are served without TLS on their own port; see admin.forceHttps"),
	"localSessionsEnabled":                  checked("a member alone has no learners with sessions of their own"),
	"localSessionsUpgradingEnabled":         checked("a member alone has no learners with sessions of their own"),
	"syncEnabled":                           checked("a member alone is no observer"),
	"sslQuorum":                             checked("a member alone has no connections to others"),
	"sslQuorumReloadCertFiles":              checked("a member alone has no connections to others"),
	"portUnification":                       checked("a member alone has no connections to others"),
	"jvm.pause.monitor":                     checked("there is no virtual machine that pauses"),
	"multiAddress.enabled":                  checked("a member alone has no connections to others"),
	"quorum.auth.enableSasl":                checked("a member alone has no connections to others"),
	"quorum.auth.serverRequireSasl":         checked("a member alone has no connections to others"),
	"quorum.auth.learnerRequireSasl":        checked("a member alone has no connections to others"),
	"multiAddress.reachabilityCheckEnabled": checked("a member alone has no connections to others"),
}

// system are the system properties that mean something here.
var system = map[string]setter{
	"jute.maxbuffer":         intTo(64, 1<<30, func(r *reader) *int { return &r.cfg.MaxRequest }),
	"globalOutstandingLimit": intTo(1, math.MaxInt32, func(r *reader) *int { return &r.cfg.MaxOutstanding }),
	"maxCnxns":               intTo(0, math.MaxInt32, func(r *reader) *int { return &r.cfg.MaxConnections }),
	"snapCount":              snapCount,
	"snapSizeLimitInKb":      kibTo(math.MaxInt64, func(r *reader) *int64 { return &r.cfg.SnapSize }),
	"txnLogSizeLimitInKb":    kibTo(0, func(r *reader) *int64 { return &r.cfg.LogSize }),
	"preAllocSize":           kibTo(-1, func(r *reader) *int64 { return &r.cfg.PreAlloc }),
	"forceSync":              notTo(func(r *reader) *bool { return &r.cfg.NoSync }),
	"fsync.warningthresholdms": millisTo(1, func(r *reader) *time.Duration {
		return &r.cfg.SyncWarning
	}),
	"4lw.commands.whitelist":  words,
	"extendedTypesEnabled":    yesTo(func(r *reader) *bool { return &r.cfg.TTLNodes }),
	"emulate353TTLNodes":      yesTo(func(r *reader) *bool { return &r.cfg.TTL353 }),
	"skipACL":                 yesTo(func(r *reader) *bool { return &r.cfg.SkipACL }),
	"enforceQuota":            yesTo(func(r *reader) *bool { return &r.cfg.EnforceQuota }),
	"enforce.auth.enabled":    yesTo(func(r *reader) *bool { return &r.cfg.EnforceAuth }),
	"enforce.auth.schemes":    listTo(func(r *reader) *[]string { return &r.cfg.EnforceAuthSchemes }),
	"digest.enabled":          notTo(func(r *reader) *bool { return &r.cfg.NoDigest }),
	"closeSessionTxn.enabled": notTo(func(r *reader) *bool { return &r.cfg.NoCloseSessionPaths }),
	"readonlymode.enabled":    yesTo(func(r *reader) *bool { return &r.cfg.ReadOnly }),
	"snapshot.compression.method": choiceTo(func(r *reader) *string {
		return &r.cfg.SnapshotCompression
	}, "", "gz", "snappy"),
	"snapshot.trust.empty":                     yesTo(func(r *reader) *bool { return &r.cfg.TrustEmpty }),
	"DigestAuthenticationProvider.superDigest": superDigest,
	"DigestAuthenticationProvider.digestAlg": choiceTo(func(r *reader) *string {
		return &r.cfg.DigestAlgorithm
	}, "SHA1", "SHA-256", "SHA-512", "SHA3-256"),
	"DigestAuthenticationProvider.enabled": digestEnabled,
	"X509AuthenticationProvider.superUser": textTo(func(r *reader) *string { return &r.cfg.SuperX509 }),
	"znode.container.checkIntervalMs":      millisTo(1, func(r *reader) *time.Duration { return &r.cfg.ContainerInterval }),
	"znode.container.maxPerMinute":         intTo(1, math.MaxInt32, func(r *reader) *int { return &r.cfg.ContainersPerMinute }),
	"znode.container.maxNeverUsedIntervalMs": millisTo(0, func(r *reader) *time.Duration {
		return &r.cfg.ContainerMaxUnused
	}),
	"largeRequestThreshold":  offTo(func(r *reader) *int { return &r.cfg.LargeRequest }),
	"largeRequestMaxBytes":   intTo(1, math.MaxInt32, func(r *reader) *int { return &r.cfg.LargeRequests }),
	"throttled_op_wait_time": millisTo(0, func(r *reader) *time.Duration { return &r.cfg.ThrottledOpWait }),
	"connection_throttle_tokens": offTo(func(r *reader) *int {
		return &r.cfg.ConnectionTokens
	}),
	"connection_throttle_fill_count": intTo(1, math.MaxInt32, func(r *reader) *int { return &r.cfg.ConnectionFill }),
	"connection_throttle_fill_time":  millisTo(1, func(r *reader) *time.Duration { return &r.cfg.ConnectionFillTime }),
	"nio.sessionlessCnxnTimeout":     millisTo(1, func(r *reader) *time.Duration { return &r.cfg.HandshakeTimeout }),
	"admin.enableServer":             yesTo(func(r *reader) *bool { return &r.admin }),
	"admin.serverAddress":            textTo(func(r *reader) *string { return &r.adminAddr }),
	"admin.serverPort":               intTo(0, 65535, func(r *reader) *int { return &r.adminPort }),
	"admin.commandURL":               adminPath,
	"admin.snapshot.enabled":         adminSnapshot,
	"admin.idleTimeout":              millisTo(1, func(r *reader) *time.Duration { return &r.cfg.AdminIdle }),
	"admin.portUnification":          adminTLS("optional"),
	"admin.forceHttps":               adminTLS("only"),
	"client.portUnification":         yesTo(func(r *reader) *bool { return &r.cfg.TLSOptional }),
	"serverCnxnFactory":              cnxnFactory,
	"watchManagerName":               watchManager,
	"ssl.keyStore.location":          textTo(func(r *reader) *string { return &r.cfg.TLS.KeyStore }),
	"ssl.keyStore.password":          textTo(func(r *reader) *string { return &r.cfg.TLS.KeyStorePassword }),
	"ssl.keyStore.passwordPath":      textTo(func(r *reader) *string { return &r.cfg.TLS.KeyStorePasswordFile }),
	"ssl.keyStore.type":              storeType(func(r *reader) *string { return &r.cfg.TLS.KeyStoreType }),
	"ssl.trustStore.location":        textTo(func(r *reader) *string { return &r.cfg.TLS.TrustStore }),
	"ssl.trustStore.password":        textTo(func(r *reader) *string { return &r.cfg.TLS.TrustStorePassword }),
	"ssl.trustStore.passwordPath":    textTo(func(r *reader) *string { return &r.cfg.TLS.TrustStorePasswordFile }),
	"ssl.trustStore.type":            storeType(func(r *reader) *string { return &r.cfg.TLS.TrustStoreType }),
	"ssl.clientAuth":                 clientAuth,
	"ssl.enabledProtocols":           listTo(func(r *reader) *[]string { return &r.cfg.TLS.Protocols }),
	"ssl.protocol":                   protocol,
	"ssl.ciphersuites":               listTo(func(r *reader) *[]string { return &r.cfg.TLS.Ciphers }),
	"ssl.hostnameVerification":       yesTo(func(r *reader) *bool { return &r.verifyHost }),
	"ssl.clientHostnameVerification": yesTo(func(r *reader) *bool { return &r.cfg.TLS.VerifyHost }),
	"ssl.authProvider":               sslAuthProvider,
	"sasl.serverconfig":              textTo(func(r *reader) *string { return &r.cfg.JAASSection }),
	"superUser":                      textTo(func(r *reader) *string { return &r.cfg.SuperSASL }),
	"sessionRequireClientSASLAuth":   yesTo(func(r *reader) *bool { return &r.cfg.RequireSASL }),
	"allowSaslFailedClients":         yesTo(func(r *reader) *bool { return &r.cfg.AllowFailedSASL }),
	loginConfig:                      textTo(func(r *reader) *string { return &r.cfg.JAAS }),
	"SASLAuthenticationProvider.superPassword": func(r *reader, e entry) {
		r.cfg.SASLUsers = map[string]string{"super": e.value}
	},
}

// directoryTo takes a directory; a relative one counts from where the process was started.
func directoryTo(field func(*reader) *string) setter {
	return func(r *reader, e entry) {
		if e.value == "" {
			r.bad(e, "is empty")
			return
		}
		*field(r) = filepath.Clean(e.value)
		if !filepath.IsAbs(e.value) && !strings.HasPrefix(e.value, "./") {
			r.notes = append(r.notes, Note{Place: e.place(), Key: e.key, Text: "is relative to where the process was started; begin it with ./ if that is meant"})
		}
	}
}

// limitTo takes a limit where 0 and less is none, which Config has as -1.
func limitTo(field func(*reader) *int) setter {
	return func(r *reader, e entry) {
		if n, ok := r.int(e, math.MinInt32, math.MaxInt32); ok {
			*field(r) = int(n)
			if n <= 0 {
				*field(r) = -1
			}
		}
	}
}

// offTo takes a limit where 0 and -1 are none, which Config has as 0.
func offTo(field func(*reader) *int) setter {
	return func(r *reader, e entry) {
		if n, ok := r.int(e, -1, math.MaxInt32); ok {
			*field(r) = int(max(n, 0))
		}
	}
}

// timeoutTo takes milliseconds where -1 stands for the default.
func timeoutTo(field func(*reader) *time.Duration) setter {
	return func(r *reader, e entry) {
		if e.value == "-1" {
			*field(r) = 0
			return
		}
		millisTo(1, field)(r, e)
	}
}

// ticksTo takes a number of ticks; the tick may come later in the file, so it is multiplied at the end.
func ticksTo(field func(*reader) *time.Duration) setter {
	return func(r *reader, e entry) {
		if n, ok := r.int(e, 0, math.MaxInt16); ok {
			*field(r) = time.Duration(n)
		}
	}
}

func choiceTo(field func(*reader) *string, choices ...string) setter {
	return func(r *reader, e entry) {
		for _, c := range choices {
			if strings.EqualFold(c, e.value) {
				*field(r) = c
				return
			}
		}
		r.bad(e, "%q is none of %s", e.value, strings.TrimPrefix(strings.Join(choices, ", "), ", "))
	}
}

// checked takes a key whose value is looked at and then not used.
func checked(why string) setter {
	return func(r *reader, e entry) {
		if _, ok := r.bool(e); ok {
			r.harmless(e, why)
		}
	}
}

// unfulfilled takes a key that asks for something that is not done.
func unfulfilled(why string) setter {
	return func(r *reader, e entry) { r.lost(e, why) }
}

// tickTime is at most an hour: other times are counted in it.
func tickTime(r *reader, e entry) {
	if n, ok := r.int(e, 0, time.Hour.Milliseconds()); ok {
		r.cfg.Tick = time.Duration(n) * time.Millisecond
	}
}

func backlog(r *reader, e entry) {
	if n, ok := r.int(e, -1, math.MaxInt32); ok {
		r.cfg.Backlog = int(max(n, 0))
	}
}

func electionAlg(r *reader, e entry) {
	if n, ok := r.int(e, 0, 3); ok && n != 3 {
		r.bad(e, "Invalid electionAlg value. Only 3 is supported.")
	}
}

func peerType(r *reader, e entry) {
	switch strings.ToLower(e.value) {
	case "observer":
		r.cfg.Ensemble.Observer = true
	case "participant":
		r.cfg.Ensemble.Observer = false
	default:
		r.bad(e, "Unrecognised peertype: %s", e.value)
	}
}

func retain(r *reader, e entry) {
	n, ok := r.int(e, math.MinInt32, math.MaxInt32)
	if !ok {
		return
	}
	if n < 3 {
		r.warn(e, "is below 3: 3 are kept")
		n = 3
	}
	r.cfg.Retain = int(n)
}

func purge(r *reader, e entry) {
	if n, ok := r.int(e, math.MinInt32, math.MaxInt16); ok {
		r.cfg.PurgeInterval = time.Duration(n) * time.Hour
		if n <= 0 {
			r.cfg.PurgeInterval = -time.Second
		}
	}
}

const (
	metricsPackage = "org.apache.zookeeper.metrics."
	serverPackage  = "org.apache.zookeeper.server."
)

func metricsProvider(r *reader, e entry) {
	switch e.value {
	case metricsPackage + "prometheus.PrometheusMetricsProvider":
		r.prometheus = true
	case metricsPackage + "impl.DefaultMetricsProvider", metricsPackage + "impl.NullMetricsProvider":
	default:
		r.warn(e, "names a class that is not here: the metrics are those of mntr and, for Prometheus, /metrics of the admin port")
	}
}

func snapCount(r *reader, e entry) {
	if n, ok := r.int(e, 0, math.MaxInt32); ok {
		r.cfg.SnapCount = int(max(n, 2))
	}
}

func words(r *reader, e entry) {
	r.cfg.Words = list(e.value)
	if _, unknown := fourletter.ParseWhitelist(r.cfg.Words); len(unknown) > 0 {
		r.warn(e, "has names that are no words: "+strings.Join(unknown, ", "))
	}
	if r.cfg.Words == nil {
		r.cfg.Words = []string{"srvr"}
	}
}

func superDigest(r *reader, e entry) {
	if !strings.Contains(e.value, ":") {
		r.bad(e, "want super:digest")
		return
	}
	r.cfg.SuperDigest = e.value
}

func digestEnabled(r *reader, e entry) {
	on, ok := r.yes(e)
	if ok && !on {
		r.digestDisabled = true
		r.warn(e, "has an effect only on the super user, who cannot log in: scheme digest is always there")
	}
}

func adminPath(r *reader, e entry) {
	if !strings.HasPrefix(e.value, "/") {
		r.bad(e, "%q does not begin with /", e.value)
		return
	}
	r.cfg.AdminPath = strings.TrimRight(e.value, "/")
}

// adminTLS sets the mode when the key is true; "only" counts more than "optional".
func adminTLS(mode string) setter {
	return func(r *reader, e entry) {
		if on, ok := r.yes(e); ok && on && r.cfg.AdminTLS != "only" {
			r.cfg.AdminTLS = mode
		}
	}
}

func adminSnapshot(r *reader, e entry) {
	if on, ok := r.yes(e); ok && !on {
		r.warn(e, "has no effect here: who has ALL on / may take a snapshot")
	}
}

func cnxnFactory(r *reader, e entry) {
	switch e.value {
	case serverPackage + "NIOServerCnxnFactory", serverPackage + "NettyServerCnxnFactory":
		r.harmless(e, "one kind of connection does what both of them do")
	default:
		r.warn(e, "names a class that is not here")
	}
}

func watchManager(r *reader, e entry) {
	switch e.value {
	case serverPackage + "watch.WatchManager", serverPackage + "watch.WatchManagerOptimized":
		r.harmless(e, "one kind of watches does what both of them do")
	default:
		r.warn(e, "names a class that is not here")
	}
}

func clientAuth(r *reader, e entry) {
	choiceTo(func(r *reader) *string { return &r.cfg.TLS.ClientAuth }, "need", "want", "none")(r, e)
}

func protocol(r *reader, e entry) {
	if len(r.cfg.TLS.Protocols) == 0 {
		r.cfg.TLS.Protocols = list(e.value)
	}
}

func storeType(field func(*reader) *string) setter {
	return choiceTo(field, "", "JKS", "PKCS12", "PEM")
}

func sslAuthProvider(r *reader, e entry) {
	if e.value != "x509" {
		r.warn(e, "names a provider that is not here: x509 checks the certificates of clients")
	}
}

// provider of an authentication scheme, authProvider.N or authProvider.name.
func (r *reader) provider(e entry) {
	class, ours := strings.CutPrefix(e.value, serverPackage+"auth.")
	switch {
	case ours && (class == "X509AuthenticationProvider" || class == "DigestAuthenticationProvider" || class == "IPAuthenticationProvider"):
		r.harmless(e, "the schemes world, auth, digest, ip and x509 are always there")
	case ours && class == "SASLAuthenticationProvider":
		r.sasl = true
	default:
		r.warn(e, "names a class that is not here: its scheme is refused")
	}
}

// quorumSSL keeps the key store for the admin port, which in ZooKeeper uses the members' own.
func (r *reader) quorumSSL(e entry) {
	t := &r.quorumTLS
	switch strings.TrimPrefix(e.key, "ssl.quorum.") {
	case "keyStore.location":
		t.KeyStore = e.value
	case "keyStore.password":
		t.KeyStorePassword = e.value
	case "keyStore.passwordPath":
		t.KeyStorePasswordFile = e.value
	case "keyStore.type":
		t.KeyStoreType = e.value
	case "trustStore.location":
		t.TrustStore = e.value
	case "trustStore.password":
		t.TrustStorePassword = e.value
	case "trustStore.passwordPath":
		t.TrustStorePasswordFile = e.value
	case "trustStore.type":
		t.TrustStoreType = e.value
	default:
		r.harmless(e, "a member alone has no connections to others")
	}
}

// tls moves stores that are PEM files to where PEM files belong.
func (r *reader) tls() {
	t := &r.cfg.TLS
	if t.KeyStore == "" && r.cfg.AdminTLS != "" && r.admin {
		*t = r.quorumTLS
	}
	if !r.verifyHost {
		t.VerifyHost = false
	}
	if isPEM(t.KeyStoreType, t.KeyStore) {
		t.Certificate, t.KeyStore, t.KeyStoreType = t.KeyStore, "", ""
	}
	if isPEM(t.TrustStoreType, t.TrustStore) {
		t.CA, t.TrustStore, t.TrustStoreType = t.TrustStore, "", ""
	}
	if len(r.cfg.TLSListen) > 0 && t.KeyStore == "" && t.Certificate == "" {
		r.wrong("secureClientPort is set but ssl.keyStore.location is not set")
	}
}

func isPEM(kind, file string) bool {
	return file != "" && (kind == "PEM" || kind == "" && strings.HasSuffix(strings.ToLower(file), ".pem"))
}
