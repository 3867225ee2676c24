//go:build suites

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cSuites are the suites of the C client's tests, those that wait longest first. TestReconfigServer, which
// starts ensembles, is left out.
var cSuites = []string{
	"Zookeeper_simpleSystem", "Zookeeper_SASLAuth", "Zookeeper_readOnly", "Zookeeper_multi", "Zookeeper_operations", "Zookeeper_watchers",
	"Zookeeper_clientretry", "Zookeeper_close", "Zookeeper_init", "Zookeeper_reconfig", "Zookeeper_logClientEnv",
}

// One of three members that serves reads alone is not what a member on one host can be.
const oneOfThree = "starts one of three members, to serve reads alone"

// cClasspath is what Apache's server needs for TLS.
const cClasspath = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar:/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar:/usr/share/java/netty-transport-native-unix-common.jar"

// Mocks stand for the clock, the socket and the server; the build with one thread fails it now and then.
const noServer = "plays with mocks, without a server"

var cExceptions = map[string]string{
	"st Zookeeper_operations::testPing":             noServer,
	"mt Zookeeper_readOnly::testReadOnly":           oneOfThree,
	"mt Zookeeper_readOnly::testReadOnlyWithSSL":    oneOfThree,
	"mt Zookeeper_SASLAuth::testClientSASLReadOnly": oneOfThree,
}

// The C client's own tests, from its sources, in the multi-threaded and the single-threaded build. Their
// zkServer.sh is as it comes and starts java; what stands in for java answers the script's question
// whether the server serves without starting another Java. The script works in /tmp with fixed ports, so
// each suite has a /tmp and a network of its own, and all of them run at once: most of it is waiting.
func TestSuiteC(t *testing.T) {
	source := debianSource(t, "zookeeper-client/zookeeper-client-c")
	built, err := filepath.Abs("../../bin/suites/c")
	must(t, err)
	dir, err := os.MkdirTemp("/var/tmp", "ha-c-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	cBench(t, dir, source)
	b := cRun{T: t, dir: dir, built: built}
	var jobs [][2]string
	for _, name := range cSuites {
		jobs = append(jobs, [2]string{"mt", name}, [2]string{"st", name})
	}
	atOnce := len(cSuites)
	if underTest() == apache {
		atOnce = 3
	}
	got := b.all(jobs, atOnce)
	// The tests measure time, and the client is known to crash in one or two: a suite has another try by itself.
	again := map[[2]string]bool{}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		build, rest, _ := strings.Cut(name, " ")
		name, _, _ := strings.Cut(rest, "::")
		if _, ok := cExceptions[build+" "+rest]; !ok && got[build+" "+rest] == failed {
			again[[2]string{build, name}] = true
		}
	}
	for _, job := range jobs {
		if again[job] && len(again) < 5 {
			maps.Copy(got, b.all([][2]string{job}, 1))
		}
	}
	judge(t, "c-client.txt", got, cExceptions)
}

// A cRun is a directory made ready by cBench and the programs that run in it.
type cRun struct {
	*testing.T
	dir, built string
}

// all runs pairs of build and suite, so many at once.
func (b cRun) all(jobs [][2]string, atOnce int) results {
	b.Helper()
	got := results{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, job := range jobs {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			build, name := job[0], job[1]
			own := b.dir + "/run/" + build + name
			script := fmt.Sprintf(`set -e; rm -rf %[1]s; mkdir -p %[1]s; cd %[2]s; cp -r tests ssl %[1]s; cd %[1]s; mount -t tmpfs none /tmp
PATH=%[2]s/bin:$PATH CLASSPATH=%[3]s exec %[4]s/zktest-%[5]s %[6]s`, own, b.dir, cClasspath, b.built, build, name)
			out, err := suite{dir: "/", limit: 6 * time.Minute}.run(b.T, "bash", "-c", script)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				b.Logf("%s %s: %v\n%s", build, name, err, tail(out, 15))
			}
			cResults(got, build, out)
		})
	}
	wg.Wait()
	return got
}

// cBench is a directory outside /tmp with all that the suites need.
func cBench(t *testing.T, dir, source string) {
	t.Helper()
	must(t, os.MkdirAll(dir+"/bin", 0o755))
	for _, from := range []string{source + "/tests", source + "/ssl"} {
		if out, err := exec.Command("cp", "-r", from, dir).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v\n%s", from, err, out)
		}
	}
	// Making the certificates takes ten programs in Java: they are made once.
	must(t, os.Mkdir(dir+"/certs", 0o755))
	gen := exec.Command(dir + "/ssl/gencerts.sh")
	gen.Dir = dir + "/certs"
	if out, err := gen.CombinedOutput(); err != nil {
		t.Fatalf("make certificates: %v\n%s", err, out)
	}
	must(t, os.WriteFile(dir+"/ssl/gencerts.sh", fmt.Appendf(nil, "#!/bin/sh\ncp %s/certs/* .\n", dir), 0o755))
	java, err := exec.LookPath("java")
	must(t, err)
	server := fmt.Sprintf("exec %q \"$@\"", java)
	if underTest() == ours {
		out, err := exec.Command("cp", exe, dir+"/bin/ha").CombinedOutput()
		if err != nil {
			t.Fatalf("copy the binary: %v\n%s", err, out)
		}
		server = fmt.Sprintf("exec %s/bin/ha zab --zoo-cfg \"$cfg\" \"${args[@]}\"", dir)
	}
	must(t, os.WriteFile(dir+"/bin/java", fmt.Appendf(nil, cJava, server), 0o755))
}

// cJava gets the command of a server. A client's call succeeds as soon as the server serves.
const cJava = `#!/bin/bash
args=() main=
for a in "$@"; do
	case $a in
	*.QuorumPeerMain | *.ZooKeeperServerMain | *.ZooKeeperMain) main=$a ;;
	-D*) [ -n "$main" ] || args+=(-D "${a#-D}") ;;
	*) [ -z "$main" ] || cfg=${cfg:-$a} ;;
	esac
done
if [[ $main = *.ZooKeeperMain ]]; then
	for i in {1..50}; do
		{ exec 3<>/dev/tcp/127.0.0.1/22181 && printf srvr >&3 && grep -q Mode: <&3; } 2>/dev/null && exit 0
		sleep 0.02
	done
	exit 1
fi
%s
`

var (
	cStart = regexp.MustCompile(`(?m)^Zookeeper_\w+?::test[A-Z]\w*?(?:Log Message| |\b)`)
	cOK    = regexp.MustCompile(`: elapsed \d+ : OK`)
)

// cResults reads what the runner prints: a test's name, whatever the test prints, how long it took, OK.
func cResults(r results, build, out string) {
	starts := cStart.FindAllStringIndex(out, -1)
	for i, at := range starts {
		end := len(out)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		name := strings.TrimSuffix(strings.TrimSpace(out[at[0]:at[1]]), "Log Message")
		how := failed
		if cOK.MatchString(out[at[1]:end]) {
			how = passed
		}
		r[build+" "+name] = how
	}
}
