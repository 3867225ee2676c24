package zoocfg

import (
	"reflect"
	"testing"
	"time"

	"example.org/ha/consensus"
)

// TestHonoured looks at one key after the other.
func TestHonoured(t *testing.T) {
	type config = *consensus.Config
	for _, c := range []struct {
		text string
		got  func(c config) any
		want any
	}{
		{"dataLogDir=/log/", func(c config) any { return c.LogDir }, "/log"},
		{"maxClientCnxns=0", func(c config) any { return c.MaxConnectionsPerAddress }, -1},
		{"maxClientCnxns=-1", func(c config) any { return c.MaxConnectionsPerAddress }, -1},
		{"maxClientCnxns=7", func(c config) any { return c.MaxConnectionsPerAddress }, 7},
		{"maxCnxns=100", func(c config) any { return c.MaxConnections }, 100},
		{"minSessionTimeout=-1\nmaxSessionTimeout=60000", func(c config) any {
			return []time.Duration{c.MinSessionTimeout, c.MaxSessionTimeout}
		}, []time.Duration{0, time.Minute}},
		{"clientPortListenBacklog=50", func(c config) any { return c.Backlog }, 50},
		{"reconfigEnabled=TRUE", func(c config) any { return c.Reconfig }, true},
		{"autopurge.purgeInterval=0", func(c config) any { return c.PurgeInterval }, -time.Second},
		{"clientPortAddress=127.0.0.1", func(c config) any { return c.Listen[0].String() }, "127.0.0.1:2181"},
		{"clientPortAddress=localhost", func(c config) any { return c.Listen[0].String() }, "127.0.0.1:2181"},
		{"clientPortAddress=::1", func(c config) any { return c.Listen[0].String() }, "[::1]:2181"},
		{"clientPortAddress=0.0.0.0", func(c config) any { return c.Listen[0].String() }, "[::]:2181"},
		{"jute.maxbuffer=4194304", func(c config) any { return c.MaxRequest }, 4 << 20},
		{"zookeeper.jute.maxbuffer=4194304", func(c config) any { return c.MaxRequest }, 4 << 20},
		{"globalOutstandingLimit=99", func(c config) any { return c.MaxOutstanding }, 99},
		{"snapCount=1", func(c config) any { return c.SnapCount }, 2},
		{"snapSizeLimitInKb=1024", func(c config) any { return c.SnapSize }, int64(1 << 20)},
		{"txnLogSizeLimitInKb=-1", func(c config) any { return c.LogSize }, int64(0)},
		{"preAllocSize=100", func(c config) any { return c.PreAlloc }, int64(102400)},
		{"preAllocSize=0", func(c config) any { return c.PreAlloc }, int64(-1)},
		{"forceSync=no", func(c config) any { return c.NoSync }, true},
		{"forceSync=yes", func(c config) any { return c.NoSync }, false},
		{"fsync.warningthresholdms=20", func(c config) any { return c.SyncWarning }, 20 * time.Millisecond},
		{"4lw.commands.whitelist=*", func(c config) any { return c.Words }, []string{"*"}},
		{"4lw.commands.whitelist=stat, ruok", func(c config) any { return c.Words }, []string{"stat", "ruok"}},
		{"extendedTypesEnabled=true", func(c config) any { return c.TTLNodes }, true},
		{"emulate353TTLNodes=true", func(c config) any { return c.TTL353 }, true},
		{"skipACL=yes", func(c config) any { return c.SkipACL }, true},
		{"enforceQuota=true", func(c config) any { return c.EnforceQuota }, true},
		{"enforce.auth.enabled=true\nenforce.auth.schemes=digest,x509", func(c config) any { return c.EnforceAuthSchemes }, []string{"digest", "x509"}},
		{"digest.enabled=false", func(c config) any { return c.NoDigest }, true},
		{"closeSessionTxn.enabled=false", func(c config) any { return c.NoCloseSessionPaths }, true},
		{"readonlymode.enabled=true", func(c config) any { return c.ReadOnly }, true},
		{"snapshot.compression.method=GZ", func(c config) any { return c.SnapshotCompression }, "gz"},
		{"snapshot.trust.empty=true", func(c config) any { return c.TrustEmpty }, true},
		{"DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=", func(c config) any { return c.SuperDigest }, "super:D/InIHSb7yEEbrWz8b9l71RjZJU="},
		{"DigestAuthenticationProvider.superDigest=super:x\nDigestAuthenticationProvider.enabled=false", func(c config) any { return c.SuperDigest }, ""},
		{"DigestAuthenticationProvider.digestAlg=SHA3-256", func(c config) any { return c.DigestAlgorithm }, "SHA3-256"},
		{"X509AuthenticationProvider.superUser=CN=root,O=x", func(c config) any { return c.SuperX509 }, "CN=root,O=x"},
		{"znode.container.checkIntervalMs=5", func(c config) any { return c.ContainerInterval }, 5 * time.Millisecond},
		{"znode.container.maxPerMinute=9", func(c config) any { return c.ContainersPerMinute }, 9},
		{"znode.container.maxNeverUsedIntervalMs=1000", func(c config) any { return c.ContainerMaxUnused }, time.Second},
		{"largeRequestThreshold=-1", func(c config) any { return c.LargeRequest }, 0},
		{"largeRequestMaxBytes=77", func(c config) any { return c.LargeRequests }, 77},
		{"throttled_op_wait_time=50", func(c config) any { return c.ThrottledOpWait }, 50 * time.Millisecond},
		{"connection_throttle_tokens=4", func(c config) any { return c.ConnectionTokens }, 4},
		{"nio.sessionlessCnxnTimeout=3000", func(c config) any { return c.HandshakeTimeout }, 3 * time.Second},
		{"admin.enableServer=false", func(c config) any { return c.Admin.IsValid() }, false},
		{"admin.serverAddress=::1\nadmin.serverPort=9090", func(c config) any { return c.Admin.String() }, "[::1]:9090"},
		{"admin.commandURL=/zk/", func(c config) any { return c.AdminPath }, "/zk"},
		{"admin.idleTimeout=100", func(c config) any { return c.AdminIdle }, 100 * time.Millisecond},
		{"client.portUnification=true", func(c config) any { return c.TLSOptional }, true},
		{"ssl.clientAuth=WANT", func(c config) any { return c.TLS.ClientAuth }, "want"},
		{"ssl.enabledProtocols=TLSv1.2,TLSv1.3", func(c config) any { return c.TLS.Protocols }, []string{"TLSv1.2", "TLSv1.3"}},
		{"ssl.clientHostnameVerification=true\nssl.hostnameVerification=false", func(c config) any { return c.TLS.VerifyHost }, false},
		{"ssl.keyStore.location=/k.pem\nssl.trustStore.location=/t.jks\nssl.trustStore.password=x", func(c config) any {
			return []string{c.TLS.Certificate, c.TLS.KeyStore, c.TLS.TrustStore, c.TLS.TrustStorePassword, c.TLS.CA}
		}, []string{"/k.pem", "", "/t.jks", "x", ""}},
		{"ssl.keyStore.location=/k\nssl.keyStore.type=pem\nsecureClientPort=2281", func(c config) any {
			return []string{c.TLS.Certificate, c.TLS.KeyStore, c.TLSListen[0].String()}
		}, []string{"/k", "", "[::]:2281"}},
		{"admin.portUnification=true\nadmin.forceHttps=true\nssl.quorum.keyStore.location=/q.p12", func(c config) any {
			return []string{c.AdminTLS, c.TLS.KeyStore}
		}, []string{"only", "/q.p12"}},
		{"server.3=[::1]:2888:3888:observer|h:1:2:observer;127.0.0.1:2182\nserver.1=a:1:2\nweight.1=5\ngroup.1=1:3", func(c config) any { return c.Ensemble.Servers },
			[]consensus.Server{
				{ID: 1, Weight: 5, Peers: []consensus.Peer{{Host: "a", Quorum: 1, Election: 2}}},
				{ID: 3, Weight: 1, Observer: true, Client: "127.0.0.1:2182", Peers: []consensus.Peer{{Host: "::1", Quorum: 2888, Election: 3888}, {Host: "h", Quorum: 1, Election: 2}}},
			}},
	} {
		got, _ := parse(t, least+c.text, nil)
		if v := c.got(&got); !reflect.DeepEqual(v, c.want) {
			t.Errorf("%s: got %#v, want %#v", c.text, v, c.want)
		}
	}
}
