package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/demo"
)

// A web server that dies leaves the table and returns when it lives again;
// nothing else moves, and once it has left no request fails.
func TestServerFailsAndReturns(t *testing.T) {
	c := newCluster(t, options{webs: 3})
	c.healthy(1, 2, 3)
	l := c.load(2 * time.Millisecond)
	from := time.Now()
	c.elapse(500 * time.Millisecond)
	must(t, c.webs[1].Kill())
	c.healthy(1, 3)
	left := time.Now()
	c.elapse(500 * time.Millisecond)
	back := time.Now()
	must(t, c.webs[1].Start())
	c.healthy(1, 2, 3)
	served := time.Now()
	c.elapse(500 * time.Millisecond)
	l.Stop()

	before := l.Tally(from, left)
	t.Logf("with its failure: %v", before)
	if away := l.Tally(left, back); away.Failed > 0 || away.By["web2"] > 0 || away.Served == 0 {
		t.Errorf("while it was out of the table: %v by %v", away, away.By)
	}
	after := l.Tally(served, time.Now())
	if after.Failed > 0 || after.By["web2"] == 0 {
		t.Errorf("after its return: %v by %v", after, after.By)
	}
	c.holder("lb1")
}

// Draining, weights and reloads lose no request.
func TestChangesUnderLoad(t *testing.T) {
	weight, scheduler := 1, "wrr"
	c := newCluster(t, options{webs: 3, edit: func(_ int, text string) string {
		text = strings.Replace(text, `"rr"`, fmt.Sprintf("%q", scheduler), 1)
		first := "  address = \"10.30.0.21:80\"\n"
		return strings.Replace(text, first, first+fmt.Sprintf("  weight = %d\n", weight), 1)
	}})
	c.healthy(1, 2, 3)
	l := c.load(2 * time.Millisecond)
	from := time.Now()
	span := func(what string) demo.Tally {
		t.Helper()
		at := time.Now()
		c.elapse(300 * time.Millisecond)
		tally := l.Tally(at, time.Now())
		t.Logf("%s: %v by %v", what, tally, tally.By)
		if tally.Served == 0 {
			t.Errorf("%s: nothing was served", what)
		}
		return tally
	}
	span("at first")

	for _, n := range c.nodes {
		must(t, n.Admin().Drain(c.within(), "web", "10.30.0.22:80", true))
	}
	c.healthy(1, 3)
	if got := span("web2 drained"); got.By["web2"] > 0 {
		t.Errorf("a drained server got new connections: %v", got.By)
	}
	for _, n := range c.nodes {
		must(t, n.Admin().Drain(c.within(), "web", "10.30.0.22:80", false))
	}
	c.healthy(1, 2, 3)

	weight = 8
	c.reload()
	if got := span("web1 of weight 8"); got.By["web1"] < 2*got.By["web2"] {
		t.Errorf("weight 8 to 1 was not heeded: %v", got.By)
	}
	weight = 0
	c.reload()
	c.healthy(2, 3)
	if got := span("web1 of weight 0"); got.By["web1"] > 0 {
		t.Errorf("a server of weight 0 got new connections: %v", got.By)
	}
	weight, scheduler = 1, "lc"
	c.reload()
	c.healthy(1, 2, 3)
	span("scheduler lc")
	for range 5 {
		c.reload()
	}
	span("five reloads of the same file")

	l.Stop()
	if all := l.Tally(from, time.Now()); all.Failed > 0 || all.Slow > 0 {
		t.Errorf("requests were lost: %v", all)
	}
	c.steady(5 * c.interval)
}

// A connection that is open stays open while its server is drained and while
// the file is read again.
func TestEstablishedConnectionStays(t *testing.T) {
	c := newCluster(t, options{webs: 1})
	c.healthy(1)
	conn, err := c.client.Dial("tcp", vip.Addr().String()+":80", net.Dialer{Timeout: patience})
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	answers := bufio.NewReader(conn)
	ask := func(when string) {
		t.Helper()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: web\r\n\r\n"); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	ask("at first")
	must(t, c.nodes[0].Admin().Drain(c.within(), "web", "10.30.0.21:80", true))
	ask("while the server is drained")
	c.reload()
	ask("after a reload")
}

// reload writes the files again and makes every host read them.
func (c *cluster) reload() {
	c.Helper()
	for i, n := range c.nodes {
		before, err := n.Admin().Status(c.within())
		must(c.T, err)
		c.configure(n, c.file(i))
		must(c.T, n.Signal(syscall.SIGHUP, n.PIDs()[0]))
		c.status(n, "have reloaded", func(s admin.Status) bool {
			return s.Config.Reloads > before.Config.Reloads && s.Config.Refused == ""
		})
	}
}
