package vip

import (
	"context"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"example.org/ha/net/vrrp"
)

type work uint8

const (
	adding work = iota
	removing
	announcing
	expelling // removes one address that should not be there
)

// A job is one thing for the mover to do with the addresses of one leg.
type job struct {
	leg  *leg // not looked into by the mover
	kind work
	cfg  Config
	old  Config // adding: what is configured already and may have to go

	stray stray // expelling
}

// done is what has become of a job.
type done struct {
	leg   *leg
	kind  work
	err   error
	stray stray
}

func (s *Speaker) move(j job) { queue(s.moves, j) }
func (s *Speaker) call(j job) { queue(s.calls, j) }

// queue cannot find the channel full: see where they are made.
func queue(ch chan job, j job) {
	select {
	case ch <- j:
	default:
		panic("vip: the mover's queue is full")
	}
}

// runMover does jobs until ctx is done. Announcements go first: at a takeover of
// many addresses each is announced as soon as it is there, not when the last is.
func (s *Speaker) runMover(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case j := <-s.calls:
			s.work(j)
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return
		case j := <-s.calls:
			s.work(j)
		case j := <-s.moves:
			s.work(j)
		}
	}
}

func (s *Speaker) work(j job) {
	var err error
	switch j.kind {
	case adding:
		if err = s.link.Add(j.cfg); err == nil {
			// The first announcement goes with the addresses: once they are
			// reported, our advertisement says Announced and the host before
			// us lets go. If it fails, the train that follows repeats it.
			_ = s.link.Announce(j.cfg)
			if rest, some := without(j.old, j.cfg); some {
				err = s.link.Remove(rest)
			}
		}
	case removing:
		err = s.link.Remove(j.cfg)
	case announcing:
		err = s.link.Announce(j.cfg)
	case expelling:
		if w, ok := s.link.(watcher); ok {
			j.stray.was, err = w.expel(j.stray.device, j.stray.prefix)
		}
	}
	s.dones <- done{j.leg, j.kind, err, j.stray}
	s.loop.Wakeup()
}

// without is what old has and c has not: the addresses and routes to remove
// after those of c were added.
func without(old, c Config) (rest Config, some bool) {
	rest = old
	rest.VirtualMAC = false // the device stays
	if old.VirtualMAC {
		rest.Interface = old.device()
	}
	rest.Addresses = slices.DeleteFunc(slices.Clone(old.Addresses), func(p netip.Prefix) bool {
		return slices.Contains(c.Addresses, p)
	})
	rest.Routes = slices.DeleteFunc(slices.Clone(old.Routes), func(r Route) bool { return slices.Contains(c.Routes, r) })
	return rest, len(rest.Addresses) > 0 || len(rest.Routes) > 0
}

// done takes the completion of a job.
func (s *Speaker) done(d done) {
	l, i := d.leg, d.leg.inst
	switch d.kind {
	case expelling:
		s.expelled(d)
		return
	case announcing:
		l.announces = false
		if d.err != nil {
			s.log.Warn("vip not announced", "vip", l.cfg.Name, "err", d.err)
		}
		if i.stopping {
			s.sweep()
		}
		return
	}
	if d.err != nil {
		i.failure = d.err.Error()
		s.log.Error("vip addresses not changed", "vip", l.cfg.Name, "vrid", l.cfg.VRID, slog.Any("err", d.err))
	}
	l.held = d.kind == adding || d.kind == removing && d.err != nil && l.held
	s.stale = true
	if i.pending--; i.pending > 0 {
		return
	}
	failure := i.failure
	i.failure = ""
	switch {
	case i.phase == cleaning:
		s.begin(i)
	case d.kind == removing:
		s.step(i, vrrp.Released{})
	case failure != "":
		s.step(i, vrrp.AddressFailed{Reason: failure})
	default:
		s.step(i, vrrp.Acquired{})
		s.catchUp(i)
	}
	s.expel(i)
	s.sweep()
}

// catchUp asks again for addresses that were changed while they were added.
func (s *Speaker) catchUp(i *instance) {
	for _, l := range i.legs {
		if l.held && (!slices.Equal(l.have.Addresses, l.cfg.Addresses) || !slices.Equal(l.have.Routes, l.cfg.Routes)) {
			s.step(i, vrrp.AddressLost{})
			return
		}
	}
}

// begin starts the router of an instance whose left-overs are gone.
func (s *Speaker) begin(i *instance) {
	i.phase = running
	if i.stopping {
		return
	}
	s.judge(i)
	s.step(i, vrrp.Start{})
}

// refreshEvery is the pace at which the switches are reminded of a virtual MAC,
// which sends nothing of its own: they forget after minutes.
const refreshEvery = time.Minute

func (s *Speaker) refresh(i *instance) {
	for _, l := range i.legs {
		if !l.cfg.VirtualMAC || !l.held || l.announces || s.now.Before(l.refresh) {
			continue
		}
		l.refresh, l.announces = s.now.Add(refreshEvery), true
		s.call(job{leg: l, kind: announcing, cfg: l.cfg})
	}
}
