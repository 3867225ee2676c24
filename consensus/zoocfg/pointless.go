package zoocfg

// Why keys of ZooKeeper's have nothing to do here, or cannot be had. A name that ends with a point or an
// underscore stands for all that begin so.

const (
	whyAlone    = "a member alone has no connections to others"
	whyThreads  = "there are no threads and buffers of this kind to tune"
	whyGroup    = "whatever waits for the log is written and synced together, without delay"
	whyNoCache  = "answers are made from the tree, without a cache"
	whySASL     = "of SASL only DIGEST-MD5 is spoken, not Kerberos"
	whyJMX      = "there is no JMX"
	whySample   = "requests are counted per namespace, without samples"
	whyKeep     = "TCP keep-alive is always on"
	whyClient   = "it is a client's"
	whyStale    = "requests of a connection that is gone are not answered"
	whyJavaNet  = "there is no Netty"
	whyLog      = "the log is not set up here"
	whySnapshot = "snapshots are of one moment and hold its number anyway"
)

var pointless = map[string]string{
	"observerMasterPort": whyAlone, "quorum.cnxn.threads.size": whyAlone, "quorum.auth.": whyAlone, "multiAddress.": whyAlone,
	"oraclePath": whyAlone, "leader.": whyAlone, "learner.": whyAlone, "follower.": whyAlone, "observer.": whyAlone,
	"observerMaster.": whyAlone, "fastleader.": whyAlone, "cnxTimeout": whyAlone, "quorumCnxnTimeoutMs": whyAlone,
	"electionPortBindRetry": whyAlone, "forceSnapshotSync": whyAlone, "leaderServes": whyAlone, "tcpKeepAlive": whyAlone,
	"snapshotSizeFactor": whyAlone, "commitLogCount": whyAlone, "leaderConnectDelayDuringRetryMs": whyAlone,
	"forward_learner_requests_to_commit_processor_disabled": whyAlone, "db.autocreate": whyAlone, "messageTracker.": whyAlone,
	"sslQuorumReload": whyAlone,

	"nio.": whyThreads, "commitProcessor.": whyThreads, "intBufferStartingSizeBytes": whyThreads, "bitHashCacheSize": whyThreads,
	"watcherCleanIntervalInSeconds": whyThreads, "watcherCleanThreadsNum": whyThreads, "watcherCleanThreshold": whyThreads,
	"maxInProcessingDeadWatchers": whyThreads, "request_throttler.shutdownTimeout": whyThreads,
	"metricsProvider.numWorkerThreads": whyThreads, "metricsProvider.maxQueueSize": whyThreads,
	"metricsProvider.workerShutdownTimeoutMs": whyThreads, "metricsProvider.exportJvmInfo": "there is no virtual machine",
	"jvm.pause.": "there is no virtual machine that pauses",

	"netty.": whyJavaNet, "flushDelay": whyGroup, "maxBatchSize": whyGroup, "maxWriteQueuePollTime": whyGroup,
	"maxResponseCacheSize": whyNoCache, "maxGetChildrenResponseCacheSize": whyNoCache,
	"request_stale_connection_check": whyStale, "request_stale_latency_check": whyStale, "request_throttle_drop_stale": whyStale,
	"request_throttle_stall_time": "request_throttle_max_requests is what it belongs to", "clientTcpKeepAlive": whyKeep,
	"jmx.": whyJMX, "pathStats.": whySample, "serializeLastProcessedZxid.enabled": whySnapshot,
	"datadir.autocreate":            "the data directory is made if it is missing, as is the default there",
	"jute.maxbuffer.extrasize":      "what is read from the own log was checked when it was written",
	"admin.httpVersion":             "the server speaks HTTP/1.1 and, with TLS, HTTP/2",
	"admin.rateLimiterIntervalInMS": "one snapshot at a time is streamed", "admin.restore.enabled": "a running member is not restored into; see ha zab restore",
	"ssl.handshakeDetectionTimeoutMillis": "the first byte decides", "client.": whyClient, "sasl.client": whyClient,
	"clientCnxnSocket": whyClient, "disableAutoWatchReset": whyClient, "request.timeout": whyClient, "server.principal": whyClient,
	"server.realm": whyClient, "kinit": whyClient, "configuration": "it names this file", "version": "it belongs into the file with the servers",
	"enableEagerACLCheck": "ACLs are checked once, where the transaction is made", "log.": whyLog, "root.logger": whyLog,
	"console.threshold": whyLog, "tracelog.": whyLog,
	"ensembleAuthName":     "the scheme ensemble is not served",
	"connection_throttle_": "connections are throttled alike, without weights and chance: tokens, fill_time and fill_count count",
}

var missing = map[string]string{
	"request_throttle_max_requests": "globalOutstandingLimit and the limits of each connection bound the requests",
	"audit.":                        "there is no audit log",
	"requireKerberosConfig":         whySASL,
	"kerberos.":                     whySASL, "security.auth_to_local": whySASL, "letAnySaslUserDoX": whySASL,
	"ssl.crl": "revocation of certificates is not checked", "ssl.ocsp": "revocation of certificates is not checked",
	"ssl.context.supplier.class":  "it names a Java class",
	"admin.snapshot.intervalInMS": "one snapshot at a time is streamed", "admin.needClientAuth": "clients of the admin port show no certificate",
	"testingonly.initialZxid": "it is for tests of ZooKeeper itself",
}

// reason finds a key, or what it begins with, in a table.
func reason(table map[string]string, key string) (string, bool) {
	if why, ok := table[key]; ok {
		return why, true
	}
	for i := len(key) - 1; i > 0; i-- {
		if key[i] != '.' && key[i] != '_' {
			continue
		}
		if why, ok := table[key[:i+1]]; ok {
			return why, true
		}
	}
	return "", false
}
