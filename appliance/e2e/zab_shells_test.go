package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cliCommands is a session with the shell of the C client: every command it has.
const cliCommands = `verbose
create /cli
create +e /cli/e
create +s /cli/s
create +es /cli/es
create +c /cli/box
create +t=100000 /cli/ttl
create2 /cli/two
create2 +s /cli/s
create /cli
create /none/x
set /cli some data
get /cli
get /none
set /none x
ls /cli
ls2 /cli
ls /none
exists /cli
exists /none
wexists /cli
set /cli more
wexists /cli/later
create /cli/later
delete /cli/later
acreate /cli/async
aset /cli/async data
aget /cli/async
als /cli
als2 /cli
aexists /cli/async
adelete /cli/async
sync /cli
delete /cli
delete /cli/two
delete /none
addauth digest bob:pw
config
reconfig -add 2=localhost:1:2;3
`

// The shell of the C client says the same of ours as of Apache's.
func TestCShell(t *testing.T) {
	s := newZookeeper(t, underTest(), "", "zookeeper.extendedTypesEnabled=true")
	cli := exec.Command("/usr/lib/zookeeper/bin/cli_mt", "-h", s.addr())
	cli.Dir = t.TempDir()
	in, err := cli.StdinPipe()
	must(t, err)
	var out lockedBuffer
	cli.Stdout, cli.Stderr = &out, &out
	must(t, cli.Start())
	t.Cleanup(func() { cli.Process.Kill(); cli.Wait() })
	settled := func() {
		for last, n := "", 0; n < 5; n++ {
			<-time.After(20 * time.Millisecond)
			if now := out.String(); now != last {
				last, n = now, 0
			}
		}
	}
	for deadline := time.Now().Add(patience); !strings.Contains(out.String(), "state = CONNECTED_STATE") && time.Now().Before(deadline); {
		settled()
	}
	var text strings.Builder
	for line := range strings.Lines(cliCommands) {
		from := len(out.String())
		_, err := io.WriteString(in, line)
		must(t, err)
		settled()
		fmt.Fprintf(&text, "> %s%s", line, sorted(out.String()[from:]))
	}
	got := plain(text.String())
	compare(t, got, keep(t, "cli_mt.txt", got))
}

// sorted is a text without the lines of the client's log, the answers to one command in one order: those
// of callbacks and of the command line mix.
func sorted(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, ":ZOO_") && strings.TrimSpace(line) != "" {
			out = append(out, strings.TrimRight(line, "\n"))
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "\n") + "\n"
}

var plainly = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +\d.*`), "DATE"},
	{regexp.MustCompile(`0x[0-9a-f]+`), "HEX"},
	{regexp.MustCompile(`\b[0-9a-f]{8,}\b`), "HEX"},
	{regexp.MustCompile(`(zxid|Zxid)\s*[=:]\s*[0-9a-f]+`), "$1=ZXID"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "SERVER"},
	{regexp.MustCompile(`\d+(ms|us)\b`), "$1"},
	{regexp.MustCompile(`time ?[:=] ?\d+( msec)?`), "TIME"},
	{regexp.MustCompile(`\b\d{2}:\d{2}:\d{2}\b`), "TIME"},
	{regexp.MustCompile(`(c|m|p)zxid=\S+`), "${1}zxid=ZXID"},
	{regexp.MustCompile(`(c|m)time=\S+`), "${1}time=TIME"},
	{regexp.MustCompile(`ephemeralOwner ?= ?[1-9]\d*`), "ephemeralOwner=SESSION"},
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
}

// plain masks what differs from run to run.
func plain(text string) string {
	for _, p := range plainly {
		text = p.find.ReplaceAllString(text, p.put)
	}
	return text
}

// load_gen creates, writes, reads and deletes; it ends when it has done all of it once.
func TestCLoadGenerator(t *testing.T) {
	s := newZookeeper(t, underTest(), "")
	gen := exec.Command("/usr/lib/zookeeper/bin/load_gen", s.addr(), "/load", "2000")
	var out lockedBuffer
	gen.Stdout, gen.Stderr = &out, &out
	must(t, gen.Start())
	ended := make(chan error, 1)
	go func() { ended <- gen.Wait() }()
	deadline := time.Now().Add(patience)
	for strings.Count(out.String(), "Starting the delete cycle") < 2 && time.Now().Before(deadline) {
		<-time.After(20 * time.Millisecond)
	}
	gen.Process.Signal(syscall.SIGKILL)
	<-ended
	text := out.String()
	if strings.Count(text, "Starting the delete cycle") < 2 || strings.Contains(text, "ZOO_ERROR") {
		t.Errorf("load_gen did not go round:\n%s", tail(text, 40))
	}
}

// zkCommands is a session with the shell of the Java client.
const zkCommands = `create /java hello
create -e /java/e data
create -s /java/s data
create -s -e /java/es data
create -c /java/box
create -t 1000000 /java/ttl data
create /java/acl data world:anyone:r
create /java again
create /none/x data
get /java
get -s /java
get -w /java
set /java world
get -s /java
set -s /java again
set -v 0 /java wrong
set -v 2 /java right
stat /java
stat -w /java
ls /java
ls -s /java
ls -R /java
ls -w /java
create /java/watched x
delete /java/watched
delete -v 5 /java/s0000000001
delete /java
getAcl /java
getAcl -s /java/acl
setAcl /java/acl world:anyone:cdrwa
setAcl -R /java world:anyone:cdrwa
addauth digest bob:pw
whoami
create /java/mine data auth::cdrwa
getAcl /java/mine
setAcl -v 5 /java/mine auth::r
setquota -n 3 /java/box
setquota -b 100 /java/box
listquota /java/box
setquota -N 4 /java/ttl
listquota /java/ttl
create /java/box/a data
listquota /java/box
delquota -n /java/box
listquota /java/box
delquota /java/box
addWatch /java
addWatch -m PERSISTENT /java/box
create /java/box/b data
set /java/box/b data2
removewatches /java
removewatches -d /java/box
getEphemerals
getEphemerals /java
getAllChildrenNumber /java
sync /java
version
config
reconfig -add server.2=localhost:1:2;3
deleteall /java
ls /
printwatches
history
close
ls /
quit
`

// The shell of the Java client says the same of ours as of Apache's.
func TestJavaShell(t *testing.T) {
	s := newZookeeper(t, underTest(), "", "zookeeper.extendedTypesEnabled=true")
	cli := exec.Command("/usr/share/zookeeper/bin/zkCli.sh", "-server", s.addr())
	cli.Dir = t.TempDir()
	cli.Env = append(os.Environ(), "HOME="+cli.Dir, "ZOO_LOG_DIR="+cli.Dir)
	cli.Stdin = strings.NewReader(zkCommands)
	b, err := cli.CombinedOutput()
	if err != nil {
		t.Logf("zkCli.sh: %v", err)
	}
	var out, events []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line == "WATCHER::" || strings.HasPrefix(line, "SLF4J") || strings.Contains(line, "/usr/bin/java"):
		case strings.HasPrefix(line, "WatchedEvent"), strings.HasPrefix(line, "ip: "), strings.HasPrefix(line, "digest: "):
			// Events come when they come, identities in any order.
			events = append(events, line)
		default:
			out = append(out, line)
		}
	}
	slices.Sort(events)
	got := plain(strings.Join(append(out, events...), "\n") + "\n")
	compare(t, got, keep(t, "zkcli.txt", got))
}
