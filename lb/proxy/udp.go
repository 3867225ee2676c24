package proxy

import (
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxFlows bounds the flows of one worker; each costs a descriptor. At the limit the datagrams of
// new clients are dropped and counted: evicting the oldest would let a flood of forged sources push
// out everybody real.
const maxFlows = 1 << 15

// udp is the UDP half of a worker.
type udp struct {
	flows []*flow // by the index their events and timers carry; nil where free
	free  []int32
	known map[flowKey]*flow
	batch *batch // made with the first flow

	dropped atomic.Uint64 // datagrams: too many flows, or no room in a socket
}

// A flow is the traffic of one client address through one listener. It has a connected socket of
// its own to its server, so that replies and ICMP errors find it.
type flow struct {
	timer
	key      flowKey
	fd       int32
	gen      int32
	listener *listener
	service  *service
	server   *server
	remember *remembered
	asker
	lastUsed int64
}

// An asker is who sent a datagram, and to which of our addresses.
type asker struct {
	client  sockaddr
	source  [controlBytes]byte // control message that makes replies leave from the address asked
	sourceN int
}

type flowKey struct {
	listener *listener
	client   netip.AddrPort
}

// udpReceive takes the datagrams waiting at l.
func (w *worker) udpReceive(l *listener) {
	if w.udp.batch == nil {
		w.udp.batch = newBatch()
		w.udp.known = map[flowKey]*flow{}
	}
	b := w.udp.batch
	for range roundsPerTurn {
		n, err := recvmmsg(l.fds[w.index], b.receiving(true))
		if err != 0 {
			return
		}
		for i := 0; i < n; {
			j := i + 1
			for j < n && b.sameClient(i, j) {
				j++
			}
			w.toServer(l, i, j)
			i = j
		}
		if n < batchSize {
			return
		}
	}
}

// toServer forwards datagrams i to j of the batch, all of one client.
func (w *worker) toServer(l *listener, i, j int) {
	b := w.udp.batch
	key := flowKey{l, b.names[i].addrPort()}
	// Sending overwrites what the batch says of its datagrams.
	from := asker{client: b.nameOf(i)}
	from.sourceN = b.sourceOf(i, &from.source)
	var tried []*server
	for {
		fl := w.udp.known[key]
		if fl != nil && !w.stillGood(fl) {
			w.dropFlow(fl)
			fl = nil
		}
		if fl == nil {
			if fl = w.newFlow(key, &from, tried); fl == nil {
				w.udp.dropped.Add(uint64(j - i))
				return
			}
		}
		fl.lastUsed = w.tick
		sent, bytes, err := b.send(fl.fd, i, j, nil, nil)
		fl.server.traffic[w.index].bytes[clientSide].Add(bytes)
		i += sent
		switch {
		case i == j:
			return
		case err == syscall.EAGAIN || err == syscall.ENOBUFS || err == syscall.EMSGSIZE || len(tried) == maxAttempts-1:
			w.udp.dropped.Add(uint64(j - i))
			return
		}
		// An ICMP error about an earlier datagram, or no route: another server gets the rest.
		tried = append(tried, fl.server)
		w.flowFailed(fl, err)
	}
}

// stillGood reports whether a known flow may go on: its server is in the table, and not drained for
// longer than the drain time. A client that always uses one port would never leave otherwise.
func (w *worker) stillGood(fl *flow) bool {
	if fl.server.gone.Load() || fl.listener.service.Load() != fl.service {
		return false
	}
	if fl.server.weight.Load() > 0 || fl.server.isSorry {
		return true
	}
	limit := ticksOf(fl.service.options.Load().drainTimeout, defaultDrainTimeout)
	return w.tick-fl.server.drainedAt.Load() < limit
}

func (w *worker) newFlow(key flowKey, from *asker, tried []*server) *flow {
	if len(w.udp.known) >= maxFlows {
		return nil
	}
	s := key.listener.service.Load()
	for {
		sv, known := s.pick(key.client.Addr(), tried, w.tick)
		if sv == nil {
			s.refused.Add(1)
			return nil
		}
		fl := &flow{key: key, fd: -1, listener: key.listener, service: s, server: sv, remember: known, asker: *from}
		err := w.connectFlow(fl)
		if err == 0 {
			return fl
		}
		w.flowFailed(fl, err)
		if tried = append(tried, sv); len(tried) == maxAttempts {
			return nil
		}
	}
}

func (w *worker) connectFlow(fl *flow) syscall.Errno {
	fd, err := socket(fl.server.to.family(), unix.SOCK_DGRAM)
	if err != 0 {
		return err
	}
	fl.fd = fd
	if err := connect(fd, &fl.server.to); err != 0 {
		return err
	}
	u := &w.udp
	if len(u.free) == 0 {
		u.flows = append(u.flows, nil)
		u.free = append(u.free, int32(len(u.flows)-1))
	}
	i := u.free[len(u.free)-1]
	fl.gen = int32(w.tick) & genMask
	if err := epollControl(w.epfd, unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN, i, tagFlow|fl.gen); err != 0 {
		return err
	}
	u.free = u.free[:len(u.free)-1]
	fl.owner = ^i
	u.flows[i] = fl
	u.known[fl.key] = fl
	w.wheel.add(&fl.timer, w.tick+fl.service.options.Load().udpTimeout)
	return 0
}

// flowEvent forwards what a server answered.
func (w *worker) flowEvent(i, gen int32) {
	fl := w.udp.flows[i]
	if fl == nil || fl.gen != gen {
		return
	}
	b := w.udp.batch
	for range roundsPerTurn {
		n, err := recvmmsg(fl.fd, b.receiving(false))
		if err != 0 {
			if err != syscall.EAGAIN {
				w.flowFailed(fl, err)
			}
			return
		}
		fl.lastUsed = w.tick
		sent, bytes, _ := b.send(fl.listener.fds[w.index], 0, n, &fl.client, fl.source[:fl.sourceN])
		fl.server.traffic[w.index].bytes[serverSide].Add(bytes)
		w.udp.dropped.Add(uint64(n - sent))
		if n < batchSize {
			return
		}
	}
}

func (w *worker) flowFailed(fl *flow, err syscall.Errno) {
	w.blame(fl.service, fl.server, err)
	w.dropFlow(fl)
}

func (w *worker) flowDue(i int32) {
	fl := w.udp.flows[i]
	timeout := fl.service.options.Load().udpTimeout
	if w.tick-fl.lastUsed >= timeout {
		w.dropFlow(fl)
		return
	}
	w.wheel.add(&fl.timer, fl.lastUsed+timeout)
}

// dropFlow forgets fl, which may not be registered yet.
func (w *worker) dropFlow(fl *flow) {
	if fl.fd >= 0 {
		closeFD(fl.fd)
	}
	fl.server.active.Add(-1)
	fl.service.release(fl.remember, w.tick)
	w.wheel.remove(&fl.timer)
	if fl.owner < 0 {
		w.udp.flows[^fl.owner] = nil
		w.udp.free = append(w.udp.free, ^fl.owner)
		delete(w.udp.known, fl.key)
	}
}

func (w *worker) dropFlows(which func(*flow) bool) {
	for _, fl := range w.udp.flows {
		if fl != nil && which(fl) {
			w.dropFlow(fl)
		}
	}
}
