//go:build suites

package e2e

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// javaClasses are the classes of the Java client's tests that play one client, or a few, against a server.
var javaClasses = []string{
	"ZooKeeperTest", "SaslAuthTest", "GetEphemeralsTest", "GetAllChildrenNumberTest", "RemoveWatchesCmdTest",
	"test.ACLTest", "test.AsyncOpsTest", "test.AuthTest", "test.AuthSHA2Test", "test.ChrootTest", "test.ChrootAsyncTest",
	"test.CreateTest", "test.EnforceQuotaTest", "test.FourLetterWordsTest", "test.GetChildren2Test", "test.MaxCnxnsTest",
	"test.MultiAsyncTransactionTest", "test.MultiOperationTest", "test.NullDataTest", "test.PersistentRecursiveWatcherTest",
	"test.PersistentWatcherTest", "test.PersistentWatcherACLTest", "test.SaslAuthRequiredTest", "test.SaslSuperUserTest",
	"test.SessionTimeoutTest", "test.StatTest", "test.SyncCallTest", "test.WatcherFuncTest", "test.ZooKeeperQuotaTest",
	"recipes.leader.LeaderElectionSupportTest", "recipes.lock.WriteLockTest", "recipes.queue.DistributedQueueTest",
}

const (
	asksInside = "asks objects of Java's server, which has to be in the test's own process"
	setsInside = "changes a setting of Java's server in the test's own process, after its start"
)

var javaExceptions = map[string]string{
	"test.SaslSuperUserTest.testOtherSuperIsSuper()":                             setsInside,
	"test.ACLTest.testAcls()":                                                    asksInside,
	"test.ZooKeeperQuotaTest.testDeleteBytesQuota()":                             asksInside,
	"test.ZooKeeperQuotaTest.testDeleteCountQuota()":                             asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenCreateNodeExceedBytesQuota()":       asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenExceedBothBytesAndCountHardQuota()": asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenExceedBytesHardQuota()":             asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenExceedBytesHardQuotaExtend()":       asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenExceedCountHardQuota()":             asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenExceedCountHardQuotaExtend()":       asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenSetChildDataExceedBytesQuota()":     asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenSetQuotaLessThanExistBytes()":       asksInside,
	"test.ZooKeeperQuotaTest.testSetQuotaWhenSetQuotaLessThanExistCount()":       asksInside,
}

// The Java client's own tests, from its sources, unchanged. They start a server in their own process with
// ServerCnxnFactory; for ours the two factories are replaced by one, of testdata/zookeeper/java, that starts our
// binary on the same port and data, with the system properties of the moment. Each class has a process,
// a network and a /tmp of its own.
func TestSuiteJava(t *testing.T) {
	javaSuite(t, "java-client.txt", javaClasses, javaExceptions)
}

func javaSuite(t *testing.T, file string, classes []string, exceptions map[string]string) {
	t.Helper()
	tests := debianSource(t, "../java")
	dir, err := os.MkdirTemp("/var/tmp", "ha-java-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	if out, err := exec.Command("cp", exe, dir+"/ha").CombinedOutput(); err != nil {
		t.Fatalf("copy the binary: %v\n%s", err, out)
	}
	libraries, err := filepath.Abs("testdata/zookeeper/java/classpath")
	must(t, err)
	got := results{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	atOnce := make(chan struct{}, 4)
	for _, class := range classes {
		wg.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			r, out := javaClass(t, javaRun{tests: tests, dir: dir, libraries: libraries, class: class})
			mu.Lock()
			defer mu.Unlock()
			for name, how := range r {
				got[name] = how
			}
			if len(r) == 0 {
				t.Errorf("%s did not run:\n%s", class, tail(out, 20))
			}
		})
	}
	wg.Wait()
	judge(t, file, got, exceptions)
}

// A javaRun is where the classes are and which one runs.
type javaRun struct{ tests, dir, libraries, class string }

func javaClass(t *testing.T, r javaRun) (results, string) {
	own := filepath.Join(r.dir, r.class)
	first := r.tests + "/tests"
	if underTest() == ours {
		first = r.tests + "/server:" + first
	}
	script := `set -e; . "$LIBRARIES"; mkdir -p "$OWN"; mount -t tmpfs none /tmp; mkdir -p /tmp/w/target /tmp/w/build; cd /tmp/w
exec java -Xmx512m -Djava.io.tmpdir=/tmp/w/target -Dbuild.test.dir=/tmp/w/build -Dtest.data.dir="$DATA" \
	-Dzookeeper.admin.enableServer=false '-Dzookeeper.4lw.commands.whitelist=*' -Dreadonlymode.enabled=true \
	-Dexternal.server="$HA" -Dexternal.log="$OWN/server" -cp "$FIRST:$CLASSPATH" org.junit.platform.console.ConsoleLauncher \
	--disable-banner --details=none --reports-dir="$OWN" -c "$CLASS"`
	s := suite{dir: "/", limit: 5 * time.Minute, env: []string{
		"LIBRARIES=" + r.libraries, "OWN=" + own, "DATA=" + r.tests + "/tests/data", "HA=" + r.dir + "/ha", "FIRST=" + first,
		"CLASS=org.apache.zookeeper." + r.class,
	}}
	out, _ := s.run(t, "bash", "-c", script)
	got, err := javaReport(own + "/TEST-junit-jupiter.xml")
	if err != nil {
		return nil, out
	}
	return got, out
}

// javaReport reads what JUnit's console launcher wrote.
func javaReport(file string) (results, error) {
	text, err := os.ReadFile(file)
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
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	r := results{}
	for _, c := range doc.Cases {
		how := passed
		switch {
		case c.Failure != nil || c.Error != nil:
			how = failed
		case c.Skipped != nil:
			how = skipped
		}
		r[strings.TrimPrefix(c.Class, "org.apache.zookeeper.")+"."+c.Name] = how
	}
	return r, nil
}
