package vip

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inside runs f on a thread in the network namespace of a host. Sockets stay in
// the namespace in which they were opened, whoever uses them.
func (l *lan) inside(host string, f func() error) {
	l.t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread dies with the goroutine
		ns, err := os.Open("/run/netns/" + l.prefix + host)
		if err != nil {
			failed <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			failed <- err
			return
		}
		failed <- f()
	}()
	if err := <-failed; err != nil {
		l.t.Fatal(err)
	}
}

// A probe pings an address from a host every millisecond.
type probe struct {
	t    *testing.T
	fd   int
	dst  unix.SockaddrInet4
	stop chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	sent     []time.Time // by sequence number
	answered []bool
	late     time.Duration // the longest stall of the probe itself
}

func (l *lan) probe(host, ip string) *probe {
	l.t.Helper()
	p := &probe{t: l.t, stop: make(chan struct{}), dst: unix.SockaddrInet4{Addr: netip.MustParseAddr(ip).As4()}}
	l.inside(host, func() (err error) {
		p.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return fmt.Errorf("open icmp socket: %w", err)
		}
		return unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	})
	p.done.Go(p.send)
	var heard sync.WaitGroup
	over := make(chan struct{})
	heard.Go(func() { p.hear(over) })
	l.t.Cleanup(func() {
		p.end()
		close(over)
		heard.Wait()
		unix.Close(p.fd)
	})
	l.until(nil, "the probe is answered", func() bool { return p.answers() > 20 })
	return p
}

func (p *probe) send() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		seq := len(p.sent)
		now := time.Now()
		p.late = max(p.late, now.Sub(last))
		last = now
		p.sent, p.answered = append(p.sent, now), append(p.answered, false)
		p.mu.Unlock()
		msg := make([]byte, 16)
		msg[0] = 8 // echo request
		binary.BigEndian.PutUint16(msg[4:], 0x6861)
		binary.BigEndian.PutUint32(msg[8:], uint32(seq))
		binary.BigEndian.PutUint16(msg[2:], ^onesSum(msg))
		unix.Sendto(p.fd, msg, 0, &p.dst) // what is not sent is lost, as the client sees it
	}
}

func onesSum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func (p *probe) hear(over <-chan struct{}) {
	buf := make([]byte, 256)
	for {
		n, _, err := unix.Recvfrom(p.fd, buf, 0)
		select {
		case <-over:
			return
		default:
		}
		if err != nil || n < 36 || buf[20] != 0 || binary.BigEndian.Uint16(buf[24:]) != 0x6861 {
			continue
		}
		seq := int(binary.BigEndian.Uint32(buf[28:]))
		p.mu.Lock()
		if seq < len(p.answered) {
			p.answered[seq] = true
		}
		p.mu.Unlock()
	}
}

func (p *probe) answers() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ok := range p.answered {
		if ok {
			n++
		}
	}
	return n
}

func (p *probe) end() {
	select {
	case <-p.stop:
	default:
		close(p.stop)
		p.done.Wait()
	}
}

// outage waits until the address is answered for again, for a while, and says
// how many probes were lost and how long the worst hole was at the client: from
// the last answered probe before it to the first after it.
func (p *probe) outage(l *lan) (lost int, hole time.Duration) {
	l.t.Helper()
	was := p.answers()
	l.until(nil, "the client is served again", func() bool { return p.answers() > was+150 })
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	last := -1
	for seq, ok := range p.answered {
		if !ok {
			continue
		}
		if missing := seq - last - 1; missing > 0 && last >= 0 {
			lost += missing
			hole = max(hole, p.sent[seq].Sub(p.sent[last]))
		}
		last = seq
	}
	return lost, hole
}

// A capture is every frame that a host has seen.
type capture struct {
	mu     sync.Mutex
	frames [][]byte
}

func (l *lan) capture(host, dev string) *capture {
	l.t.Helper()
	c := new(capture)
	var fd int
	l.inside(host, func() (err error) {
		var all [2]byte
		binary.BigEndian.PutUint16(all[:], unix.ETH_P_ALL)
		protocol := binary.NativeEndian.Uint16(all[:])
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol)); err != nil {
			return fmt.Errorf("open packet socket: %w", err)
		}
		return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	})
	var over atomic.Bool
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 2048)
		for !over.Load() {
			if n, _, err := unix.Recvfrom(fd, buf, 0); err == nil {
				c.mu.Lock()
				c.frames = append(c.frames, slices.Clone(buf[:n]))
				c.mu.Unlock()
			}
		}
	})
	l.t.Cleanup(func() {
		over.Store(true)
		done.Wait()
		unix.Close(fd)
	})
	return c
}

// find is the frames that please.
func (c *capture) find(pleases func(frame []byte) bool) (all [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if pleases(f) {
			all = append(all, f)
		}
	}
	return all
}

// speak sends packets of VRRP from a host to the group, at a pace, until the
// test ends. A stranger does not look like a router, so src is its own.
func (l *lan) speak(host string, every time.Duration, msg []byte) (sent *atomic.Int64) {
	l.t.Helper()
	sent = new(atomic.Int64)
	var fd int
	l.inside(host, func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 112); err != nil {
			return err
		}
		if err := unix.BindToDevice(fd, "eth0"); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255)
	})
	over := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				if unix.Sendto(fd, msg, 0, &unix.SockaddrInet4{Addr: [4]byte{224, 0, 0, 18}}) == nil {
					sent.Add(1)
				}
			}
		}
	})
	l.t.Cleanup(func() {
		close(over)
		done.Wait()
		unix.Close(fd)
	})
	return sent
}

func dump(frame []byte) string { return hex.Dump(frame) }
