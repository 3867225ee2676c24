package proxy

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"example.org/ha/lb/pool"
)

// A worker is one epoll loop on one goroutine. It owns its connections, flows, timers and pipes;
// nobody else touches them. Orders reach it through its inbox.
type worker struct {
	f      *Forwarder
	index  int
	epfd   int32
	wakefd int32 // eventfd

	start  time.Time // ticks count from here
	tick   int64
	conns  slab
	open   int // connections now
	limit  int
	wheel  wheel
	ready  []ref
	events [256]unix.EpollEvent
	buffer []byte
	blocks blocks
	pipes  pipes
	udp    udp

	listeners []*listener // by the index their events carry; nil where free
	paused    []int       // listeners to watch again when descriptors are free
	pausedAt  int64
	cuts      []cut

	acceptPauses atomic.Uint64
	idleEnded    atomic.Uint64
	localErrors  atomic.Uint64

	mu    sync.Mutex
	inbox []order
	asked atomic.Bool // an event is on its way
}

// A ref names a conn that may have ended since.
type ref struct{ index, gen int32 }

// Events carry what they are about: the connection's [conn.id], its generation as tag; or another kind
// of thing in a negative tag.
const (
	genMask = 1<<28 - 1
	kindBit = -1 << 31

	tagWake     = kindBit | 1<<28
	tagListener = kindBit | 2<<28
	tagFlow     = kindBit | 3<<28 // the low bits hold the flow's generation
)

// An order is what Apply and Run ask of a worker. Exactly one field is set.
type order struct {
	add    *listener
	remove *listener
	cut    *cut
	stop   bool
}

// A cut ends connections: those of a server that left, or of a deleted service once its drain
// deadline passed.
type cut struct {
	at      int64 // tick
	service *service
	server  *server
}

func newWorker(f *Forwarder, index, limit int) (*worker, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epfd)
		return nil, err
	}
	w := &worker{f: f, index: index, epfd: int32(epfd), wakefd: int32(wakefd), limit: limit,
		start: f.start, buffer: make([]byte, bufferBytes)}
	w.wheel.init(0)
	if errno := epollControl(w.epfd, unix.EPOLL_CTL_ADD, w.wakefd, unix.EPOLLIN, 0, tagWake); errno != 0 {
		w.closeFDs()
		return nil, errno
	}
	return w, nil
}

func (w *worker) closeFDs() {
	closeFD(w.epfd)
	closeFD(w.wakefd)
}

// post gives the worker an order. Any goroutine.
func (w *worker) post(o order) {
	w.mu.Lock()
	w.inbox = append(w.inbox, o)
	w.mu.Unlock()
	if !w.asked.Swap(true) {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(int(w.wakefd), one[:])
	}
}

// run is the loop. It returns after an order to stop.
func (w *worker) run() {
	for {
		n := w.wait()
		w.tick = int64(time.Since(w.start)) / tick
		for i := range n {
			w.dispatch(&w.events[i])
		}
		w.turns()
		for t := w.wheel.expired(w.tick); t != nil; t = w.wheel.expired(w.tick) {
			if t.owner >= 0 {
				w.due(w.conns.at(t.owner))
			} else {
				w.flowDue(^t.owner)
			}
		}
		w.doCuts()
		w.resume()
		if w.asked.Load() && w.takeOrders() {
			w.stop()
			return
		}
	}
}

// nap is how long, in milliseconds, a worker waits for the next event before it tells the runtime
// that it blocks. Telling costs more than handling a small event does: the runtime's monitor takes
// the processor slot away and it has to be won back. So a worker that is busy now and then naps, and
// one that has nothing to do blocks.
const nap = 2

func (w *worker) wait() int {
	timeout := w.timeout()
	if timeout < 0 || timeout > nap {
		if n := epollNap(w.epfd, w.events[:], nap); n > 0 {
			return n
		}
		return epollWait(w.epfd, w.events[:], timeout)
	}
	return epollNap(w.epfd, w.events[:], timeout)
}

// timeout is how long the worker may sleep, in milliseconds.
func (w *worker) timeout() int {
	if len(w.ready) > 0 || w.asked.Load() {
		return 0
	}
	ticks := w.wheel.wait()
	if len(w.paused) > 0 || len(w.cuts) > 0 {
		ticks = 1
	}
	if ticks < 0 {
		return -1
	}
	return ticks * (tick / 1e6)
}

func (w *worker) dispatch(ev *unix.EpollEvent) {
	if ev.Pad >= 0 {
		side := int(ev.Fd & 1)
		if c := w.conns.at(ev.Fd >> 4); c.open && c.gen == ev.Pad && c.id(side) == ev.Fd {
			w.event(c, side, ev.Events)
		}
		return
	}
	switch ev.Pad &^ genMask {
	case tagWake:
		var b [8]byte
		unix.Read(int(w.wakefd), b[:])
	case tagListener:
		l := w.listeners[ev.Fd]
		switch {
		case l == nil:
		case l.protocol == pool.UDP:
			w.udpReceive(l)
		case !w.acceptAll(l, acceptsPerTurn):
			w.pause(int(ev.Fd))
		}
	case tagFlow:
		w.flowEvent(ev.Fd, ev.Pad&genMask)
	}
}

// turns gives those who had more to move than fits in one turn another one.
func (w *worker) turns() {
	n := len(w.ready)
	for _, r := range w.ready[:n] {
		c := w.conns.at(r.index)
		if !c.open || c.gen != r.gen {
			continue
		}
		c.queued = false
		c.lastUsed = w.tick
		if w.pump(c, clientSide) {
			w.pump(c, serverSide)
		}
	}
	w.ready = append(w.ready[:0], w.ready[n:]...)
}

// pause stops listening to listener i until descriptors are free. Clients wait in its queue.
func (w *worker) pause(i int) {
	epollControl(w.epfd, unix.EPOLL_CTL_MOD, w.listeners[i].fds[w.index], 0, int32(i), tagListener)
	w.paused = append(w.paused, i)
	w.pausedAt = w.tick
}

func (w *worker) resume() {
	if len(w.paused) == 0 || w.tick == w.pausedAt || w.open >= w.limit {
		return
	}
	for _, i := range w.paused {
		if l := w.listeners[i]; l != nil {
			epollControl(w.epfd, unix.EPOLL_CTL_MOD, l.fds[w.index], unix.EPOLLIN, int32(i), tagListener)
		}
	}
	w.paused = w.paused[:0]
}

// takeOrders does what was ordered and reports whether the worker shall stop.
func (w *worker) takeOrders() (stop bool) {
	w.asked.Store(false)
	w.mu.Lock()
	orders := w.inbox
	w.inbox = nil
	w.mu.Unlock()
	for _, o := range orders {
		switch {
		case o.add != nil:
			w.addListener(o.add)
		case o.remove != nil:
			w.removeListener(o.remove)
		case o.cut != nil:
			w.cuts = append(w.cuts, *o.cut)
		default:
			stop = true
		}
	}
	w.doCuts()
	return stop
}

func (w *worker) addListener(l *listener) {
	i := 0
	for i < len(w.listeners) && w.listeners[i] != nil {
		i++
	}
	if i == len(w.listeners) {
		w.listeners = append(w.listeners, nil)
	}
	w.listeners[i] = l
	if errno := epollControl(w.epfd, unix.EPOLL_CTL_ADD, l.fds[w.index], unix.EPOLLIN, int32(i), tagListener); errno != 0 {
		w.f.log.Error("listener not watched", "listen", l.addr, "error", errno)
	}
}

// removeListener takes over what already waits in the queue and closes it. The kernel answers
// handshakes begun before and finished after with RST; there is no way to wait for those.
func (w *worker) removeListener(l *listener) {
	for i := range w.listeners {
		if w.listeners[i] != l {
			continue
		}
		w.listeners[i] = nil
		if l.protocol == pool.TCP {
			w.acceptAll(l, backlog)
		} else {
			w.udpReceive(l)
			w.dropFlows(func(fl *flow) bool { return fl.listener == l })
		}
	}
	closeFD(l.fds[w.index])
	l.open.Add(-1)
}

func (w *worker) doCuts() {
	kept := w.cuts[:0]
	for _, k := range w.cuts {
		if k.at > w.tick {
			kept = append(kept, k)
			continue
		}
		for c := range w.conns.all {
			if c.server != nil && c.server == k.server || k.service != nil && c.service == k.service {
				w.end(c, true)
			}
		}
		w.dropFlows(func(fl *flow) bool {
			return fl.server == k.server || k.service != nil && fl.service == k.service
		})
	}
	w.cuts = kept
}

// stop ends everything. What waits in the queues is reset by the kernel.
func (w *worker) stop() {
	for c := range w.conns.all {
		w.end(c, true)
	}
	w.dropFlows(func(*flow) bool { return true })
	for _, l := range w.listeners {
		if l != nil {
			closeFD(l.fds[w.index])
		}
	}
	w.listeners = nil
	w.pipes.close()
	w.closeFDs()
}

// blame counts a failed attempt and reports it, unless the fault is ours.
func (w *worker) blame(s *service, v *server, err syscall.Errno) {
	switch err {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EAGAIN:
		w.localErrors.Add(1)
		return
	}
	v.connectErrors.Add(1)
	if v.isSorry {
		return
	}
	select {
	case w.f.passive <- ConnectFailure{Service: s.name, Server: v.addr, Err: err, At: time.Now()}:
	default:
		w.f.passiveDropped.Add(1)
	}
}
