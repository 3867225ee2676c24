package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.org/ha/lb/pool"
)

// echoUDP answers each datagram with its name and the datagram.
func echoUDP(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", freshAddress(0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, datagramMax)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte(name+" "), b[:n]...), from)
		}
	}()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

func dns(servers ...netip.AddrPort) pool.VirtualService {
	v := web(servers...)
	v.Name, v.Protocol = "dns", pool.UDP
	return v
}

func dialUDP(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.UDPConn)
}

func askUDP(t *testing.T, c *net.UDPConn, what string) string {
	t.Helper()
	if _, err := c.Write([]byte(what)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, datagramMax)
	n, err := c.Read(b)
	if err != nil {
		t.Fatalf("no answer to %.20q: %v", what, err)
	}
	return string(b[:n])
}

func TestUDPFlowStaysWithItsServerUntilItTimesOut(t *testing.T) {
	v := dns(echoUDP(t, "a"), echoUDP(t, "b"))
	v.UDPTimeout = 200 * time.Millisecond
	f := start(t, v)
	c, d := dialUDP(t, v.Listen[0]), dialUDP(t, v.Listen[0])
	first, second := askUDP(t, c, "1"), askUDP(t, d, "1")
	if first == second {
		t.Errorf("both clients went to %q", first)
	}
	for range 5 {
		if got := askUDP(t, c, "1"); got != first {
			t.Errorf("a flow moved from %q to %q", first, got)
		}
	}
	until(t, "the flows have timed out", func() bool {
		return serverStats(f, v.Servers[0].Address).Active+serverStats(f, v.Servers[1].Address).Active == 0
	})
	askUDP(t, c, "1")
}

func TestUDPBatchesAndSizes(t *testing.T) {
	v := dns(echoUDP(t, "a"))
	f := start(t, v)
	c := dialUDP(t, v.Listen[0])
	for _, size := range []int{1, 1500, 60000} {
		body := strings.Repeat("x", size)
		if got := askUDP(t, c, body); got != "a "+body {
			t.Errorf("%d bytes came back as %d", size, len(got)-2)
		}
	}
	const count = 200
	for i := range count {
		fmt.Fprintf(c, "%d", i)
	}
	b := make([]byte, 100)
	for i := range count {
		n, err := c.Read(b)
		if want := fmt.Sprintf("a %d", i); err != nil || string(b[:n]) != want {
			t.Fatalf("datagram %d: %q, %v", i, b[:n], err)
		}
	}
	if s := serverStats(f, v.Servers[0].Address); s.Total != 1 || s.ToServer == 0 || s.ToClient <= s.ToServer {
		t.Errorf("one flow: %+v", s)
	}
}

func TestUDPRefusedDatagramGoesToAnotherServer(t *testing.T) {
	dead, a := deadAddress(), echoUDP(t, "a")
	v := dns(dead, a)
	f := start(t, v)
	// The ICMP error comes after the datagram: it evicts the flow, and the client's next try is
	// answered by the other server.
	c := dialUDP(t, v.Listen[0])
	b := make([]byte, 100)
	until(t, "the other server answers", func() bool {
		c.Write([]byte("hello"))
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := c.Read(b)
		return err == nil && string(b[:n]) == "a hello"
	})
	d := dialUDP(t, v.Listen[0])
	until(t, "a second client is answered, too", func() bool {
		d.Write([]byte("hello"))
		d.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := d.Read(b)
		return err == nil
	})
	if s := serverStats(f, dead); s.ConnectErrors == 0 {
		t.Errorf("dead server: %+v, want errors", s)
	}
}

func TestUDPAnswersFromTheAddressAsked(t *testing.T) {
	v := dns(echoUDP(t, "a"))
	v.Listen = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:7653")}
	start(t, v)
	// A connected socket takes no answer from another address.
	c := dialUDP(t, freshAddress(7653))
	if got := askUDP(t, c, "1"); got != "a 1" {
		t.Errorf("got %q", got)
	}
}

func TestUDPFlowLeavesADrainedServerInTime(t *testing.T) {
	a, b := echoUDP(t, "a"), echoUDP(t, "b")
	v := dns(a)
	v.DrainTimeout = 200 * time.Millisecond
	f := start(t, v)
	c := dialUDP(t, v.Listen[0])
	askUDP(t, c, "1")
	v.Servers = []pool.RealServer{{Address: a, Weight: 0}, {Address: b, Weight: 1}}
	apply(t, f, v)
	if got := askUDP(t, c, "1"); got != "a 1" {
		t.Errorf("at once: %q, want still a", got)
	}
	until(t, "a client that never pauses has moved", func() bool { return askUDP(t, c, "1") == "b 1" })
	v.Servers = []pool.RealServer{{Address: a, Weight: 1}}
	apply(t, f, v)
	if got := askUDP(t, c, "1"); got != "a 1" {
		t.Errorf("after its server left: %q, want a", got)
	}
}
