package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ICMP is well when the target returns an echo. It needs either the ping socket that
// net.ipv4.ping_group_range allows, or CAP_NET_RAW.
func ICMP(ctx context.Context, c Config, target netip.AddrPort) error {
	addr := target.Addr().Unmap()
	conn, raw, err := listenICMP(addr)
	if err != nil {
		return fmt.Errorf("ping %v: %w", addr, err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	e := newEcho(addr)
	// A ping socket has the kernel number the question and hands over only its answer; a raw one
	// hears every ICMP packet of the host. The cookie tells ours in either case.
	var to net.Addr = &net.UDPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
	if raw {
		to = &net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
	}
	question, err := e.question.Marshal(nil)
	if err != nil {
		return fmt.Errorf("ping %v: %w", addr, err)
	}
	if _, err := conn.WriteTo(question, to); err != nil {
		return fmt.Errorf("ping %v: %w", addr, cause(ctx, err))
	}
	b := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return fmt.Errorf("ping %v: %w", addr, cause(ctx, err))
		}
		if fromAddr(from) == addr.WithZone("") && e.answeredBy(b[:n]) {
			return nil
		}
	}
}

// An echo is a question and how to know its answer.
type echo struct {
	question icmp.Message
	answer   icmp.Type
	protocol int
	cookie   []byte
}

func newEcho(addr netip.Addr) echo {
	cookie := make([]byte, 24)
	rand.Read(cookie)
	body := &icmp.Echo{ID: int(cookie[0])<<8 | int(cookie[1]), Seq: 1, Data: cookie}
	if addr.Is4() {
		return echo{icmp.Message{Type: ipv4.ICMPTypeEcho, Body: body}, ipv4.ICMPTypeEchoReply, 1, cookie}
	}
	return echo{icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: body}, ipv6.ICMPTypeEchoReply, 58, cookie}
}

func (e echo) answeredBy(packet []byte) bool {
	m, err := icmp.ParseMessage(e.protocol, packet)
	if err != nil || m.Type != e.answer {
		return false
	}
	body, ok := m.Body.(*icmp.Echo)
	return ok && bytes.Equal(body.Data, e.cookie)
}

func listenICMP(addr netip.Addr) (conn *icmp.PacketConn, raw bool, err error) {
	ping, rawNet, any := "udp4", "ip4:icmp", "0.0.0.0"
	if addr.Is6() {
		ping, rawNet, any = "udp6", "ip6:ipv6-icmp", "::"
	}
	conn, err = icmp.ListenPacket(ping, any)
	if err == nil {
		return conn, false, nil
	}
	conn, err = icmp.ListenPacket(rawNet, any)
	if errors.Is(err, os.ErrPermission) {
		return nil, false, errors.New("not permitted: neither CAP_NET_RAW nor net.ipv4.ping_group_range allows it")
	}
	return conn, true, err
}

func fromAddr(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.IPAddr:
		addr, _ := netip.AddrFromSlice(a.IP)
		return addr.Unmap()
	}
	return netip.Addr{}
}
