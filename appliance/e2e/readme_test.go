package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.org/ha/appliance/demo"
)

// The file that the README shows makes two hosts with one address and three
// web servers behind it. Only where the hosts of the test differ from real
// ones is it added to: their names, and their files.
func TestReadmeSetUp(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	must(t, err)
	block := regexp.MustCompile("(?s)```toml\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("the README shows no TOML")
	}
	file := string(block[1])
	if n := strings.Count(file, "\n"); n != 5 {
		t.Errorf("the README promises five lines of TOML and shows %d", n)
	}

	c := &cluster{T: t, ctx: t.Context(), start: time.Now()}
	c.dir, err = os.MkdirTemp("", "ha-e2e-")
	must(t, err)
	c.lan, err = demo.NewLAN()
	must(t, err)
	t.Cleanup(c.end)
	at := func(last int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", last)) }
	c.client = c.host("client", at(9))
	for i := range 3 {
		w, err := demo.NewWeb(c.host(fmt.Sprintf("web%d", i+1), at(21+i)), c.dir)
		must(t, err)
		must(t, w.Start())
	}
	c.keygen()
	for i := range 2 {
		name := fmt.Sprintf("lb%d", i+1)
		log, err := os.Create(c.path(name + ".log"))
		must(t, err)
		t.Cleanup(func() { log.Close() })
		n := &demo.Node{Host: c.host(name, at(11+i)), Exe: exe, Config: c.path(name + ".toml"), Socket: c.path(name + ".sock"), Log: log}
		own := fmt.Sprintf("node = %q\n%s\n[admin]\nsocket = %q\n", name, file, n.Socket)
		own = strings.Replace(own, `name = "prod"`, fmt.Sprintf(`name = "prod", key_file = %q`, c.path("cluster.key")), 1)
		c.configure(n, own)
		c.nodes = append(c.nodes, n)
		must(t, n.Start())
	}
	c.ready()
	served := c.client
	l := demo.StartLoad(5*time.Millisecond, func() (net.Conn, error) {
		return served.Dial("tcp", "10.0.0.100:80", net.Dialer{Timeout: 3 * time.Second})
	})
	from := time.Now()
	c.until("all three web servers serve", func() bool { return len(l.Tally(from, time.Now()).By) == 3 })
	l.Stop()
}
