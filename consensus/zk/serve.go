package zk

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"example.org/ha/consensus/jute"
)

// serve carries requests and replies over one connection until it fails or ctx ends. When it returns its
// reader has ended and every request that was sent has an outcome.
func (c *Client) serve(ctx context.Context, l *link) error {
	now := time.Now()
	c.established(l)
	first := c.pipe.attach(nil, l.at, now)
	first, sets := c.watches.appendSet(first, c.zxid.Load())
	r := &reader{client: c, link: l, sets: sets}
	var wg sync.WaitGroup
	read := make(chan error, 1)
	wg.Go(func() {
		err := r.run()
		l.conn.Close() // the owner may be stuck in a write that the server does not take
		read <- err
	})
	// The list that a consumer now makes goes out behind the watches: nothing is missed in between.
	c.watches.again()

	err := c.write(ctx, l, first, read)
	if ctx.Err() != nil {
		c.farewell(ctx, l, read)
	}
	l.conn.Close()
	wg.Wait()
	select {
	case e := <-read: // it knows more than the writer: a refusal comes just before the server closes
		if errors.Is(e, jute.AuthFailed) || errors.Is(e, ErrProtocol) {
			err = e
		}
	default:
	}
	if context.Cause(ctx) != nil {
		c.pipe.detach(ErrClosed)
	} else {
		c.pipe.detach(jute.ConnectionLoss)
	}
	return err
}

// write is the owner's loop while connected.
func (c *Client) write(ctx context.Context, l *link, first []byte, read chan error) error {
	var quorum chan string
	if l.readOnly {
		quorum = make(chan string, 1)
		search, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		others := slices.Clone(c.session.servers)
		wg.Go(func() { c.search(search, others, quorum) })
	}
	if err := send(l, first); err != nil {
		return err
	}
	var buf []byte
	last := time.Now() // sent
	pace := l.timeout / 3
	timer := time.NewTimer(pace)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-read:
			return err
		case server := <-quorum:
			c.session.prefer(server)
			return errQuorum
		case <-c.pipe.wake:
			last = time.Now()
			buf = c.pipe.take(buf[:0], last)
			if err := send(l, buf); err != nil {
				return err
			}
			if cap(buf) > 16*batch {
				buf = nil // one large request does not keep its room
			}
		case now := <-timer.C:
			due, ping := c.pipe.due(last, pace, now)
			if ping {
				last = now
				if err := send(l, pingFrame()); err != nil {
					return err
				}
			}
			timer.Reset(due)
		}
	}
}

func send(l *link, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := l.conn.Write(b)
	return err
}

func pingFrame() []byte {
	return appendFrame(nil, jute.XidPing, &jute.Request{Op: jute.OpPing})
}

// due says whether to ping now, and when to ask again. A ping goes out when nothing was sent for a third of
// the session's timeout, or nothing was heard: a server that answers no writes may well answer a ping.
func (p *pipeline) due(last time.Time, pace time.Duration, now time.Time) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	quiet := last
	if p.heard.Before(quiet) {
		quiet = p.heard
	}
	if !p.pinged.IsZero() { // under way: the reader gives up before another would help
		return pace, false
	}
	if wait := quiet.Add(pace).Sub(now); wait > 0 {
		return wait, false
	}
	p.pinged = now
	return pace, true
}

// pong takes the answer to a ping.
func (p *pipeline) pong(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = now
	p.answered = later(p.answered, p.pinged)
	p.pinged = time.Time{}
}

// farewell ends the session on the server, unless it shall live on.
func (c *Client) farewell(ctx context.Context, l *link, read chan error) {
	if context.Cause(ctx) == errDetached {
		return
	}
	if err := l.conn.SetDeadline(time.Now().Add(farewell)); err != nil {
		return
	}
	c.pipe.refuse(ErrClosed)
	c.pipe.drop(ErrClosed)
	k := c.pipe.last(jute.Request{Op: jute.OpCloseSession})
	for {
		b := c.pipe.take(nil, time.Now())
		if len(b) == 0 {
			break
		}
		if send(l, b) != nil {
			return
		}
	}
	late := time.NewTimer(farewell) // the reader sets deadlines of its own as long as something comes
	defer late.Stop()
	select {
	case <-k.done:
		c.log.Info("session closed", slog.String("session", l.granted.String()))
	case <-read:
	case <-late.C:
	}
}

// A reader takes apart what comes over one connection.
type reader struct {
	client *Client
	link   *link
	sets   int // answers to setWatches to come
	in     *bufio.Reader
}

func (r *reader) run() error {
	r.in = bufio.NewReaderSize(patient{r.link}, batch)
	for {
		if err := r.frame(); err != nil {
			return err
		}
	}
}

// patient reads with a deadline: a server that says nothing for two thirds of the session's timeout is given
// up while there is time to find another.
type patient struct{ *link }

func (p patient) Read(b []byte) (int, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(p.timeout * 2 / 3)); err != nil {
		return 0, err
	}
	return p.conn.Read(b)
}

// frame reads one frame. Those that fit into the buffer are taken apart there.
func (r *reader) frame() error {
	head, err := r.in.Peek(4)
	if err != nil {
		return err
	}
	n := int(int32(binary.BigEndian.Uint32(head)))
	_, _ = r.in.Discard(4)
	switch {
	case n < 16:
		return fmt.Errorf("%w: frame of %d bytes", ErrProtocol, n)
	case n > r.client.cfg.MaxReply:
		return r.skip(n)
	case n <= r.in.Size():
		b, err := r.in.Peek(n)
		if err != nil {
			return err
		}
		err = r.take(b, nil)
		_, _ = r.in.Discard(n)
		return err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		return err
	}
	return r.take(b, nil)
}

// skip reads over a reply that is too long, and fails its request alone: closing the connection would only
// bring the same reply again.
func (r *reader) skip(n int) error {
	var head [16]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, r.in, int64(n-len(head))); err != nil {
		return err
	}
	return r.take(head[:], fmt.Errorf("%w: reply of %d bytes, at most %d", ErrTooLarge, n, r.client.cfg.MaxReply))
}

// take sorts a frame: an event, an answer to the client's own requests, or a reply. cut, if not nil, says
// why there is only the header of it.
func (r *reader) take(b []byte, cut error) error {
	d := jute.NewDecoder(b)
	h := d.ReplyHeader()
	c := r.client
	if h.Zxid > c.zxid.Load() {
		c.zxid.Store(h.Zxid)
	}
	now := time.Now()
	switch h.Xid {
	case jute.XidNotification:
		e := d.WatcherEvent()
		if err := d.Err(); err != nil {
			return fmt.Errorf("%w: event: %w", ErrProtocol, err)
		}
		if e.Type < jute.EventCreated || e.Type > jute.EventChildrenChanged {
			return nil // only clients make the others
		}
		c.watches.fire(Event{Type: e.Type, Path: e.Path, Zxid: h.Zxid})
		return nil
	case jute.XidPing:
		c.pipe.pong(now)
		return nil
	case jute.XidAuth:
		a, err := c.pipe.proved(h.Err)
		if err == nil && h.Err != jute.OK {
			err = fmt.Errorf("zk: auth %s: %w", a.Scheme, h.Err)
		}
		return err
	case jute.XidSetWatches:
		if r.sets == 0 {
			return fmt.Errorf("%w: answer to no setWatches", ErrProtocol)
		}
		r.sets--
		if h.Err != jute.OK {
			return fmt.Errorf("zk: setWatches: %w", h.Err)
		}
		return nil
	}
	return r.reply(h, d.Rest(), now, cut)
}

// reply finishes the call that h answers.
func (r *reader) reply(h jute.ReplyHeader, body []byte, now time.Time, cut error) error {
	c := r.client
	k, err := c.pipe.pop(h.Xid, now)
	if err != nil {
		return err
	}
	if passesLeader(k.req.Op) && h.Err == jute.OK {
		c.pipe.through(k.at)
	}
	var reply Reply
	switch {
	case h.Err != jute.OK:
		err = h.Err
	case cut != nil:
		err = cut
	default:
		reply, err = parseReply(k.req.Op, body)
	}
	reply.Zxid = h.Zxid
	if k.one != nil {
		t, set := tableOf(k.req.Op, h.Err)
		c.watches.planned(k.one, t, set && !k.abandoned)
	}
	broken := err
	if err != nil {
		err = k.fail(err)
	}
	c.pipe.finish(k, reply, err)
	if errors.Is(broken, ErrProtocol) {
		return broken // what follows cannot be trusted either
	}
	return nil
}

// tableOf says what kind of watch a read with that outcome has set, if any.
func tableOf(op jute.Op, code jute.Code) (table, bool) {
	switch {
	case code == jute.OK && (op == jute.OpGetChildren || op == jute.OpGetChildren2):
		return childTable, true
	case code == jute.OK:
		return dataTable, true
	case code == jute.NoNode && op == jute.OpExists:
		return existTable, true
	}
	return 0, false
}
