package zoocfg

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus"
)

const least = "dataDir=/var/lib/zookeeper\nclientPort=2181\n"

// parse wants no error.
func parse(t *testing.T, text string, overrides map[string]string) (consensus.Config, []Note) {
	t.Helper()
	c, notes, err := Parse("zoo.cfg", []byte(text), overrides)
	if err != nil {
		t.Fatal(err)
	}
	return c, notes
}

// remarks are the notes but the one on purging.
func remarks(notes []Note, warnings bool) []string {
	var out []string
	for _, n := range notes {
		if n.Key != "autopurge.purgeInterval" && n.Warning == warnings {
			out = append(out, n.String())
		}
	}
	return out
}

func TestZooKeepersSample(t *testing.T) {
	c, notes := parse(t, `
# The number of milliseconds of each tick
tickTime=2000
initLimit=10
syncLimit=5
dataDir=/var/zookeeper
clientPort=2181
#maxClientCnxns=60
autopurge.snapRetainCount=5
autopurge.purgeInterval=24
metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider
metricsProvider.httpHost=127.0.0.1
metricsProvider.httpPort=7001
metricsProvider.exportJvmInfo=true
`, nil)
	want := consensus.Config{
		DataDir: "/var/zookeeper", Tick: 2 * time.Second, Listen: []netip.AddrPort{netip.MustParseAddrPort("[::]:2181")},
		Retain: 5, PurgeInterval: 24 * time.Hour, Metrics: netip.MustParseAddrPort("127.0.0.1:7001"),
		Admin:    netip.MustParseAddrPort("[::]:8080"),
		Ensemble: consensus.Ensemble{InitLimit: 20 * time.Second, SyncLimit: 10 * time.Second},
	}
	c.Settings, c.InitialConfig = nil, ""
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if w := remarks(notes, true); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

func TestDefaultsAreZooKeepers(t *testing.T) {
	c, notes := parse(t, least, nil)
	if c.Tick != 3*time.Second || c.Admin != netip.MustParseAddrPort("[::]:8080") || c.Metrics.IsValid() || c.Words != nil {
		t.Errorf("%+v", c)
	}
	if len(notes) != 1 || notes[0].Key != "autopurge.purgeInterval" || notes[0].Warning {
		t.Errorf("notes %v", notes)
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	_, _, err := Parse("zoo.cfg", []byte(`tickTime=fast
clientPort=70000
clientPortAddress=127.0.0.1
reconfigEnabled=maybe
electionAlg=1
peerType=boss
maxSessionTimeout=1000
minSessionTimeout=2000
server.x=1
server.2=host:2888
server.4=host:2888:zz
group.1=9
admin.commandURL=commands
bad=\u12
initLimit=-3
`), map[string]string{"zookeeper.snapCount": "many", "jute.maxbuffer": "12"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`zoo.cfg:1: tickTime: "fast" is not a whole number`,
		`zoo.cfg:2: clientPort: 70000 is out of range: want 0 to 65535`,
		`zoo.cfg:4: reconfigEnabled: Invalid option maybe. Choose 'true' or 'false'`,
		`zoo.cfg:5: electionAlg: Invalid electionAlg value. Only 3 is supported.`,
		`zoo.cfg:6: peerType: Unrecognised peertype: boss`,
		`zoo.cfg: minSessionTimeout must not be larger than maxSessionTimeout`,
		`zoo.cfg:9: server.x: "x" is not the number of a server or a group`,
		`zoo.cfg:10: server.2: "host:2888" does not have the form host:port:port or host:port:port:type`,
		`zoo.cfg:11: server.4: "zz" is not a port`,
		`zoo.cfg: group.1: there is no server.9`,
		`zoo.cfg:13: admin.commandURL: "commands" does not begin with /`,
		`zoo.cfg:14: malformed \uxxxx encoding`,
		`zoo.cfg:15: initLimit: -3 is out of range: want 0 to 32767`,
		`zoo.cfg: dataDir is not set`,
		`zoo.cfg: clientPortAddress is set but clientPort is not set`,
		`-D: snapCount: "many" is not a whole number`,
		`-D: jute.maxbuffer: 12 is out of range: want 64 to 1073741824`,
	} {
		if !slices.Contains(strings.Split(err.Error(), "\n"), want) {
			t.Errorf("missing: %s", want)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 17 {
		t.Errorf("%d mistakes, want 17:\n%v", n, err)
	}
}

func TestNothingIsPassedOverInSilence(t *testing.T) {
	_, notes := parse(t, least+`tickTme=2000
maxClientCnxns=1
maxClientCnxns=2
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
watchManagerName=org.apache.zookeeper.server.watch.WatchManagerOptimized
authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider
authProvider.sec=com.example.Provider
audit.enable=true
ssl.crl=false
ssl.ocsp=true
nio.numWorkerThreads=8
commitProcessor.numWorkerThreads=4
quorum.auth.enableSasl=false
4lw.commands.whitelist=ruok,waht
autopurge.snapRetainCount=1
request_throttle_max_requests=0
dataLogDir=log
`, nil)
	warnings := []string{
		"zoo.cfg:3: tickTme is not known: it has no effect",
		"zoo.cfg:4: maxClientCnxns is given again at zoo.cfg:5, which counts",
		"zoo.cfg:9: authProvider.sec names a class that is not here: its scheme is refused",
		"zoo.cfg:10: audit.enable has no effect here: there is no audit log",
		"zoo.cfg:12: ssl.ocsp has no effect here: revocation of certificates is not checked",
		"zoo.cfg:16: 4lw.commands.whitelist has names that are no words: waht",
		"zoo.cfg:17: autopurge.snapRetainCount is below 3: 3 are kept",
		"zoo.cfg: authProvider asks for SASL, and java.security.auth.login.config names no users: nobody can log in with it",
	}
	if got := remarks(notes, true); !slices.Equal(got, warnings) {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(warnings, "\n"))
	}
	harmless := remarks(notes, false)
	if len(harmless) != 8 {
		t.Errorf("harmless keys:\n%s", strings.Join(harmless, "\n"))
	}
	for _, n := range notes {
		if n.Unknown != (n.Key == "tickTme") {
			t.Errorf("%v: unknown is %v", n, n.Unknown)
		}
	}
}

func TestSystemProperties(t *testing.T) {
	c, notes := parse(t, least+"snapCount=500\n", map[string]string{
		"zookeeper.extendedTypesEnabled": "true", "readonlymode.enabled": "true", "zookeeper.snapCount": "600",
		"zookeeper.DigestAuthenticationProvider.superDigest": "super:abc", "jute.maxbuffer": " 2048 ",
		"java.security.auth.login.config": "/nowhere/jaas.conf", "file.encoding": "UTF-8", "zookeeper.root.logger": "INFO",
		"log4j.configuration": "file:/x", "zookeeper.log.dir": "/x",
		"zookeeper.maxClientCnxns": "2", "zookeeper.nonsense": "1", "alsoNonsense": "1",
	})
	if !c.TTLNodes || !c.ReadOnly || c.SnapCount != 500 || c.SuperDigest != "super:abc" || c.MaxRequest != 2048 || c.Listen[0].Port() != 2181 {
		t.Errorf("%+v", c)
	}
	want := []string{
		"-D: alsoNonsense is not known: it has no effect",
		"-D: maxClientCnxns is a key of the configuration file, not a system property",
		"-D: nonsense is not known: it has no effect",
	}
	if got := remarks(notes, true); !slices.Equal(got, want) {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSASL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jaas.conf")
	text := "Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_bob=\"bobs\"; };"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	provider := least + "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\nsuperUser=bob\nsessionRequireClientSASLAuth=true\n"
	c, notes := parse(t, provider, map[string]string{loginConfig: file, "zookeeper.SASLAuthenticationProvider.superPassword": "secret"})
	if c.JAAS != file || c.SuperSASL != "bob" || !c.RequireSASL || c.SASLUsers["super"] != "secret" || len(remarks(notes, true)) != 0 {
		t.Errorf("%+v, notes %v", c, notes)
	}
	_, _, err := Parse("zoo.cfg", []byte(provider), map[string]string{loginConfig: file, "zookeeper.sasl.serverconfig": "Other"})
	if err == nil || !strings.Contains(err.Error(), `no section "Other"`) {
		t.Errorf("section that is not there: %v", err)
	}
	if c, notes := parse(t, least, map[string]string{loginConfig: file + ".no"}); c.JAAS != "" || len(remarks(notes, false)) != 1 {
		t.Errorf("file that nobody asked for: %q, notes %v", c.JAAS, notes)
	}
}

func TestDynamicConfigFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg.dynamic.100000000")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2182\nserver.2=127.0.0.1:2889:3889:participant;127.0.0.1:2183\n")
	write(filepath.Join(dir, "myid"), "2\n")
	c, _ := parse(t, "dataDir="+dir+"\ninitLimit=10\nsyncLimit=5\ndynamicConfigFile="+file+"\n", nil)
	if len(c.Ensemble.Servers) != 2 || len(c.Listen) != 1 || c.Listen[0].String() != "127.0.0.1:2183" {
		t.Errorf("servers %+v, listen %v", c.Ensemble.Servers, c.Listen)
	}
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "2 voting members") {
		t.Errorf("check: %v", err)
	}
	write(file, "server.1=127.0.0.1:2888:3888\ntickTime=5\n")
	_, _, err := Parse("zoo.cfg", []byte(least+"server.2=a:1:2\ndynamicConfigFile="+file), nil)
	for _, want := range []string{
		"zoo.cfg:3: server.2: must be in a separate dynamic config file",
		"zoo.cfg.dynamic.100000000:2: tickTime: Unrecognised parameter",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("missing: %s\nin: %v", want, err)
		}
	}
	if _, _, err := Parse("zoo.cfg", []byte(least+"dynamicConfigFile=/nowhere/at/all"), nil); err == nil || !strings.Contains(err.Error(), "zoo.cfg:3: dynamicConfigFile: open /nowhere/at/all") {
		t.Errorf("missing file: %v", err)
	}
}

func TestPasswordsStayOutOfWhatIsShown(t *testing.T) {
	c, _ := parse(t, least+"ssl.keyStore.location=/k.jks\nssl.keyStore.password=se\\\n  cret\nzookeeper.DigestAuthenticationProvider.superDigest=super:secret\nsnapCount=5", nil)
	if strings.Contains(c.InitialConfig, "cret") || !strings.Contains(c.InitialConfig, "ssl.keyStore.password=***\n#\n") ||
		!strings.HasPrefix(c.InitialConfig, least) || !strings.HasSuffix(c.InitialConfig, "\nsnapCount=5") {
		t.Errorf("text:\n%s", c.InitialConfig)
	}
	if c.TLS.KeyStorePassword != "secret" {
		t.Errorf("password %q", c.TLS.KeyStorePassword)
	}
	for key, value := range c.Settings {
		if strings.Contains(value, "secret") {
			t.Errorf("settings hold %s=%s", key, value)
		}
	}
}

// TestReasons sees that every row of the tables says why, and that no key has two classes.
func TestReasons(t *testing.T) {
	for _, table := range []map[string]string{pointless, missing} {
		for key, why := range table {
			if why == "" {
				t.Errorf("%s: no reason", key)
			}
			if named[key] != nil || system[key] != nil {
				t.Errorf("%s is honoured and not", key)
			}
		}
	}
	for key := range missing {
		if pointless[key] != "" {
			t.Errorf("%s is harmless and missing", key)
		}
	}
	for key := range named {
		if system[key] != nil {
			t.Errorf("%s has two meanings", key)
		}
	}
}
