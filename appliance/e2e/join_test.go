package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Two hosts stand; a third finds them by a DNS name, by its A record or by its
// SRV record, and all three know each other.
func TestThirdJoinsByName(t *testing.T) {
	for _, how := range []string{"dns:ha.example.com", "srv:_ha._udp.example.com"} {
		t.Run(how[:3], func(t *testing.T) {
			c := newCluster(t, options{hosts: 3, idle: true, edit: func(i int, text string) string {
				join := fmt.Sprintf("%q, %q", address(1).Addr(), address(2).Addr())
				if i == 2 {
					join = fmt.Sprintf("%q", how)
				}
				return replaceLine(text, "join ", "join = ["+join+"]")
			}})
			c.nameserver(map[string]netip.Addr{"ha.example.com.": address(2).Addr()})
			c.resolvingThere(2)
			for _, n := range c.nodes[:2] {
				must(t, n.Start())
			}
			c.ready()
			c.holder("lb1")
			must(t, c.nodes[2].Start())
			c.ready() // of three, each knows two
			c.agreed(0)
			c.holder("lb1")
			c.steady(10 * c.interval)
		})
	}
}

func replaceLine(text, prefix, line string) string {
	var out strings.Builder
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
			l = line + "\n"
		}
		out.WriteString(l)
	}
	return out.String()
}

// resolvingThere gives a host a resolv.conf that names the client's DNS
// server, in a mount namespace of its own.
func (c *cluster) resolvingThere(i int) {
	c.Helper()
	must(c.T, os.WriteFile(c.path("resolv.conf"), fmt.Appendf(nil, "nameserver %s\noptions timeout:1\n", clientIP.Addr()), 0o644))
	wrapper := c.path("ha-with-resolver")
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c 'mount --bind %s /etc/resolv.conf && exec %s \"$@\"' ha \"$@\"\n",
		c.path("resolv.conf"), exe)
	must(c.T, os.WriteFile(wrapper, []byte(script), 0o755))
	c.nodes[i].Exe = wrapper
}

// nameserver answers A questions from a list, and the SRV question with the
// first name and the beat port, on the client.
func (c *cluster) nameserver(names map[string]netip.Addr) {
	c.Helper()
	var conn net.PacketConn
	must(c.T, c.client.Do(func() (err error) {
		conn, err = net.ListenPacket("udp", clientIP.Addr().String()+":53")
		return err
	}))
	c.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, ok := reply(buf[:n], names); ok {
				conn.WriteTo(answer, from)
			}
		}
	}()
}

func reply(question []byte, names map[string]netip.Addr) ([]byte, bool) {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil, false
	}
	q := m.Questions[0]
	m.Header.Response, m.Header.Authoritative = true, true
	m.Additionals = nil
	header := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}
	addr, known := names[q.Name.String()]
	switch {
	case q.Type == dnsmessage.TypeA && known:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}}}
	case q.Type == dnsmessage.TypeSRV && q.Name.String() == "_ha._udp.example.com.":
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.SRVResource{
			Port: 7946, Target: dnsmessage.MustNewName("ha.example.com."),
		}}}
	case !known:
		m.Header.RCode = dnsmessage.RCodeNameError
	}
	answer, err := m.Pack()
	return answer, err == nil
}
