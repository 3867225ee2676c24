package e2e

import (
	"encoding/xml"
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

// results says of each test of a client's suite how it ended: pass, fail or skip.
type results map[string]string

const (
	passed  = "pass"
	failed  = "fail"
	skipped = "skip"
)

func (r results) count(how string) (n int) {
	for _, v := range r {
		if v == how {
			n++
		}
	}
	return n
}

// judge demands that what passes against Apache's server, which is kept in testdata, passes against ours.
// Exceptions are tests that need what ours does not have, with the reason.
func judge(t *testing.T, file string, got results, exceptions map[string]string) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(got)) {
		fmt.Fprintln(&b, got[name], name)
	}
	want := results{}
	for line := range strings.Lines(keep(t, file, b.String())) {
		how, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name] = how
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if want[name] == passed && got[name] != passed {
			if why, ok := exceptions[name]; ok {
				t.Logf("%s: %s", name, why)
				continue
			}
			t.Errorf("%s passes against Apache's server; here: %q", name, got[name])
		}
	}
	t.Logf("%d passed, %d failed, %d skipped; against Apache's server %d, %d, %d",
		got.count(passed), got.count(failed), got.count(skipped), want.count(passed), want.count(failed), want.count(skipped))
	if got.count(passed) < want.count(passed)-len(exceptions) {
		t.Errorf("fewer tests passed than against Apache's server")
	}
}

const kazooTests = "/usr/lib/python3/dist-packages/kazoo/tests"

// kazooShards are the files of kazoo's suite, so that all take about the same time: most of it is waiting.
var kazooShards = [][]string{
	{"client"}, {"gevent_handler", "watchers"}, {"eventlet_handler", "cache"}, {"sasl", "partitioner"},
	{"barrier", "build", "connection", "counter", "election", "exceptions", "hosts", "interrupt", "lease", "lock", "party", "paths", "queue", "retry", "security", "threading_handler", "utils"},
}

// kazoo is Python's client. Its own tests come with Debian's package; they start their server with java.
// They play with one server, where they would start three. What fails then against Apache's server, too,
// needs an ensemble: test_update_host_list, test_read_only, and the reconfiguration of TestReconfig.
func TestKazoo(t *testing.T) {
	bin := wrappers(t)
	got := results{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, shard := range kazooShards {
		wg.Go(func() {
			var args []string
			for _, f := range shard {
				args = append(args, kazooTests+"/test_"+f+".py")
			}
			r, out := kazoo(t, bin, args...)
			mu.Lock()
			defer mu.Unlock()
			if len(r) == 0 {
				t.Errorf("%v did not run:\n%s", shard, out)
			}
			maps.Copy(got, r)
		})
	}
	wg.Wait()
	// The tests measure time, and the machine may be busy: one that failed has another try by itself.
	var again []string
	for name, how := range got {
		if how == failed {
			again = append(again, name)
		}
	}
	slices.Sort(again)
	if len(again) > 0 && len(again) < 30 {
		var ids []string
		for _, name := range again {
			parts := strings.Split(name, ".")
			ids = append(ids, kazooTests+"/"+parts[0]+".py::"+strings.Join(parts[1:], "::"))
		}
		r, out := kazoo(t, bin, ids...)
		maps.Copy(got, r)
		if underTest() != apache {
			defer func() {
				if t.Failed() {
					t.Logf("the tests that failed, once more:\n%s", tail(out, 400))
				}
			}()
		}
	}
	judge(t, "kazoo.txt", got, nil)
}

func tail(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// kazoo runs modules, or tests, in a namespace of their own.
func kazoo(t *testing.T, bin string, what ...string) (results, string) {
	dir, err := os.MkdirTemp("", "ha-kazoo-")
	if err != nil {
		t.Error(err)
		return nil, ""
	}
	defer os.RemoveAll(dir)
	s := suite{dir: dir, limit: 4 * time.Minute, env: []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + dir, "PYTHONDONTWRITEBYTECODE=1",
		"ZOOKEEPER_CLASSPATH=/usr/share/java/zookeeper.jar", "ZOOKEEPER_VERSION=3.8.0", "ZOOKEEPER_CLUSTER_SIZE=1",
	}}
	args := []string{"-m", "pytest", "-p", "no:cacheprovider", "-q", "--timeout=60", "--rootdir=" + kazooTests, "--junitxml=" + dir + "/junit.xml", "--tb=short"}
	out, _ := s.run(t, "/usr/bin/python3", append(args, what...)...)
	r, err := junit(dir + "/junit.xml")
	if err != nil {
		t.Errorf("kazoo: %v\n%s", err, tail(out, 40))
	}
	return r, out
}

// junit reads what pytest wrote.
func junit(file string) (results, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Cases []struct {
			Class   string    `xml:"classname,attr"`
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	r := results{}
	for _, c := range doc.Cases {
		class := c.Class[max(0, strings.LastIndex(c.Class, "test_")):]
		how := passed
		switch {
		case c.Failure != nil || c.Error != nil:
			how = failed
		case c.Skipped != nil:
			how = skipped
		}
		if name := class + "." + c.Name; r[name] != failed {
			r[name] = how
		}
	}
	return r, nil
}

// ensembleOnly are the tests of go-zookeeper that start three servers.
var ensembleOnly = []string{
	"TestIntegration_BasicCluster", "TestIntegration_ClientClusterFailover", "TestIntegration_NoQuorum",
	"TestIntegration_RecurringReAuthHang", "TestIntegration_DNSHostProviderReconnect",
	"TestIntegration_IncrementalReconfig", "TestIntegration_Reconfig",
}

// go-zookeeper is a client in Go. Its own tests are in its module; they start their server with zkServer.sh.
func TestGoZooKeeper(t *testing.T) {
	bin := t.TempDir() + "/zk.test"
	build := exec.Command("go", "test", "-c", "-o", bin, "github.com/go-zookeeper/zk")
	build.Dir = "clients"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests of go-zookeeper: %v\n%s", err, out)
	}
	where := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-zookeeper/zk")
	where.Dir = "clients"
	dir, err := where.Output()
	must(t, err)
	s := suite{dir: strings.TrimSpace(string(dir)), limit: 8 * time.Minute, env: []string{
		"ZOOKEEPER_BIN_PATH=" + wrappers(t), "ZK_VERSION=3.8.0", "TMPDIR=" + t.TempDir(),
	}}
	out, err := s.run(t, bin, "-test.v", "-test.timeout=8m", "-test.skip=^("+strings.Join(ensembleOnly, "|")+")$")
	if err != nil {
		t.Logf("the tests of go-zookeeper: %v\n%s", err, tail(out, 100))
	}
	got := results{}
	for _, m := range regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+)`).FindAllStringSubmatch(out, -1) {
		got[m[2]] = strings.ToLower(m[1])
	}
	judge(t, "go-zookeeper.txt", got, nil)
	for _, name := range ensembleOnly {
		t.Logf("%s needs an ensemble", name)
	}
}

// debianSource is where `make suites` puts the sources of ZooKeeper's own clients.
func debianSource(t *testing.T, path string) string {
	t.Helper()
	dir, err := filepath.Abs("../../bin/suites/zookeeper-3.8.0")
	must(t, err)
	file := filepath.Join(dir, path)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v: `make suites` fetches it", err)
	}
	return file
}
