package demo

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// A Ping sends an ICMP echo request every so often and remembers which were
// answered. It is what a client of the address sees, to the millisecond,
// whatever stands behind the address.
type Ping struct {
	conn   net.PacketConn
	dst    netip.Addr
	id     int
	stop   chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	probes []probe
}

type probe struct {
	sent     time.Time
	answered bool
}

// maxProbes ends a Ping that nobody stopped: at one a millisecond, after
// twenty minutes.
const maxProbes = 1_200_000

// StartPing pings dst from the host until Stop.
func StartPing(h *Host, dst netip.Addr, every time.Duration) (*Ping, error) {
	network, local := "ip4:icmp", "0.0.0.0"
	if dst.Is6() {
		network, local = "ip6:ipv6-icmp", "::"
	}
	p := &Ping{dst: dst, id: int(time.Now().UnixNano()>>10) & 0xffff, stop: make(chan struct{})}
	err := h.Do(func() (err error) {
		p.conn, err = net.ListenPacket(network, local)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("demo: ping %s from %s: %w", dst, h.Name, err)
	}
	p.wg.Go(func() { p.send(every) })
	p.wg.Go(p.receive)
	return p, nil
}

func (p *Ping) send(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	to := &net.IPAddr{IP: p.dst.AsSlice()}
	for n := range uint64(maxProbes) {
		p.mu.Lock()
		p.probes = append(p.probes, probe{sent: time.Now()})
		p.mu.Unlock()
		// A request that could not be sent is one that was not answered.
		p.conn.WriteTo(p.request(n), to)
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}

func (p *Ping) request(n uint64) []byte {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho}
	if p.dst.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest // the kernel fills in its checksum
	}
	m.Body = &icmp.Echo{ID: p.id, Seq: int(n & 0xffff), Data: binary.BigEndian.AppendUint64(nil, n)}
	b, err := m.Marshal(nil)
	if err != nil {
		panic(fmt.Sprintf("demo: marshal an echo request: %v", err))
	}
	return b
}

func (p *Ping) receive() {
	protocol, reply := 1, icmp.Type(ipv4.ICMPTypeEchoReply)
	if p.dst.Is6() {
		protocol, reply = 58, ipv6.ICMPTypeEchoReply
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := p.conn.ReadFrom(buf)
		if err != nil {
			select {
			case <-p.stop:
				return
			default:
				continue // an ICMP error that belongs to one request
			}
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || m.Type != reply {
			continue
		}
		echo, ok := m.Body.(*icmp.Echo)
		if !ok || echo.ID != p.id || len(echo.Data) != 8 {
			continue
		}
		i := binary.BigEndian.Uint64(echo.Data)
		p.mu.Lock()
		if i < uint64(len(p.probes)) {
			p.probes[i].answered = true
		}
		p.mu.Unlock()
	}
}

// Stop ends the ping.
func (p *Ping) Stop() {
	close(p.stop)
	p.conn.Close()
	p.wg.Wait()
}

// Outage is the longest time between two answered requests of those sent in
// the given time, and the number of requests in it that nobody answered. The
// sender's own longest pause is the measurement's error: an outage is no
// shorter than it.
type Outage struct {
	Longest time.Duration
	Sent    int
	Lost    int
	Pause   time.Duration
}

func (o Outage) String() string {
	return fmt.Sprintf("%.1f ms (%d of %d requests unanswered; own longest pause %.1f ms)",
		float64(o.Longest.Microseconds())/1000, o.Lost, o.Sent, float64(o.Pause.Microseconds())/1000)
}

// Outage measures what happened between two times. The gap that is open at
// the start counts from the last answered request before it.
func (p *Ping) Outage(from, to time.Time) Outage {
	p.mu.Lock()
	defer p.mu.Unlock()
	var o Outage
	last, lastSent := from, from
	for _, pr := range p.probes {
		if pr.sent.After(to) {
			break
		}
		if pr.sent.Before(from) {
			lastSent = pr.sent
			if pr.answered {
				last = pr.sent
			}
			continue
		}
		o.Sent++
		o.Pause = max(o.Pause, pr.sent.Sub(lastSent))
		lastSent = pr.sent
		if !pr.answered {
			o.Lost++
			continue
		}
		o.Longest = max(o.Longest, pr.sent.Sub(last))
		last = pr.sent
	}
	o.Longest = max(o.Longest, lastSent.Sub(last))
	return o
}

// Answered reports whether the newest requests are being answered: one of the
// last n.
func (p *Ping) Answered(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := max(0, len(p.probes)-n); i < len(p.probes); i++ {
		if p.probes[i].answered {
			return true
		}
	}
	return false
}
