package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// Addresses that could not be added are tried again after firstRetry, then
// after twice as long, up to maxRetry.
const (
	firstRetry = time.Second
	maxRetry   = time.Minute
)

type presence uint8

const (
	absent presence = iota
	adding
	present
	removing
)

// addresses is what the shell was last asked to do with the addresses, and
// whether it has. One request at a time is under way, so a completion can
// belong to no other.
type addresses struct {
	state   presence
	again   bool // the list changed while adding
	ended   bool // Stopped was given
	retryAt time.Time
	retry   time.Duration
}

func (a *addresses) changed() {
	switch a.state {
	case present:
		a.state = absent
	case adding:
		a.again = true
	}
}

// wanted says whether the addresses should be up.
func (r *Router) wanted() bool {
	return r.state == Active || r.state == Resigning || r.state == Backup && !r.handover.releaseAt.IsZero()
}

// settle, at the end of every Step, asks for what is wanted and not there, or
// there and not wanted.
func (r *Router) settle() {
	a := &r.addrs
	switch {
	case r.wanted() && a.state == absent:
		a.state = adding
		r.out = append(r.out, Acquire{})
	case !r.wanted() && a.state == present:
		a.state = removing
		r.out = append(r.out, Release{})
	case r.stopping && r.state == Initialize && a.state == absent && !a.ended:
		a.ended = true
		r.out = append(r.out, Stopped{})
	}
}

// completed takes what the shell says about the addresses; what was not asked
// for is ignored.
func (r *Router) completed(ev Event) {
	a := &r.addrs
	switch e := ev.(type) {
	case Acquired:
		if a.state != adding {
			return
		}
		a.state, a.retry = present, 0
		if a.again {
			a.again, a.state = false, absent
			return
		}
		if r.state == Active {
			r.startTrain()
			r.advertise(r.priority) // now Announced
		}
	case AddressFailed:
		if a.state != adding {
			return
		}
		a.state, a.again = present, false // some of them may be
		r.addressFailed(e.Reason)
	case AddressLost:
		if a.state == present && r.wanted() {
			a.state = absent
		}
	case Released:
		if a.state == removing {
			a.state = absent
		}
	}
}

func (r *Router) addressFailed(reason string) {
	if !r.wanted() {
		return
	}
	if r.state == Active {
		r.advertise(Resigned)
	}
	retry := min(max(2*r.addrs.retry, firstRetry), maxRetry)
	r.becomeFaulty("addresses could not be added: " + reason)
	r.addrs.retry, r.addrs.retryAt = retry, r.now.Add(retry)
}

// agreement remembers whether the active router's list is ours.
type agreement struct {
	digest  uint8        // of our addresses
	heard   []netip.Addr // the list last compared; a repetition costs one comparison
	differs bool
}

func (r *Router) compareAddresses(e Heard) {
	p := &r.peers
	differs := p.differs
	switch {
	case e.Beat:
		differs = e.Digest != p.digest
	case len(p.heard) == 0 || !slices.Equal(e.Addresses, p.heard):
		p.heard = append(p.heard[:0], e.Addresses...)
		differs = !sameSet(e.Addresses, r.cfg.Addresses)
	}
	if differs && !p.differs {
		r.out = append(r.out, Warn{Why: "another router has other virtual addresses", From: e.From})
	}
	p.differs = differs
}

// sameSet compares lists whose order does not matter (RFC 9568, section 7.1).
func sameSet(a, b []netip.Addr) bool {
	if slices.Equal(a, b) {
		return true
	}
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, netip.Addr.Compare)
	slices.SortFunc(b, netip.Addr.Compare)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
