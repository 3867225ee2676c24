package e2e

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
)

// Somebody hears of a failover by mail.
func TestMailOnFailover(t *testing.T) {
	c := newCluster(t, options{idle: true, extra: fmt.Sprintf(`
[notify]
gather = "200ms"
digest = "1s"
  [[notify.mail]]
  smtp = "%s:2525"
  from = "ha@example.com"
  to   = ["oncall@example.com"]
  tls  = "none"
`, clientIP.Addr())})
	l, err := c.client.Listen("tcp", ":2525")
	must(t, err)
	defer l.Close()
	mails := sink(l)
	for _, n := range c.nodes {
		must(t, n.Start())
	}
	c.ready()
	c.holder("lb1")
	c.crash(c.nodes[0])
	c.holds("lb2")
	ctx := c.within()
	for {
		select {
		case m := <-mails:
			if !strings.Contains(m.to, "oncall@example.com") {
				t.Errorf("mail to %q", m.to)
			}
			if strings.Contains(m.text, "lb2") && strings.Contains(m.text, "web") && strings.Contains(strings.ToLower(m.text), "active") {
				return
			}
			t.Logf("another mail: %s", m.text)
		case <-ctx.Done():
			t.Fatal("no mail said that lb2 is active for web now")
		}
	}
}

type mail struct{ to, text string }

// sink is a mail server that takes everything.
func sink(l net.Listener) <-chan mail {
	out := make(chan mail, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go receive(conn, out)
		}
	}()
	return out
}

func receive(conn net.Conn, out chan<- mail) {
	defer conn.Close()
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 sink")
	var m mail
	data := false
	for s := bufio.NewScanner(conn); s.Scan(); {
		line := s.Text()
		verb := strings.ToUpper(line)
		switch {
		case data && line == ".":
			data = false
			out <- m
			m = mail{}
			say("250 taken")
		case data:
			m.text += line + "\n"
		case strings.HasPrefix(verb, "RCPT TO:"):
			m.to += line[len("RCPT TO:"):]
			say("250 ok")
		case verb == "DATA":
			data = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
