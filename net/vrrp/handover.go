package vrrp

import (
	"net/netip"
	"time"
)

const (
	// heirGrace is what a successor on the wire, which cannot say when it has
	// announced, is given from its first advertisement.
	heirGrace = 30 * time.Millisecond
	// maxPatience bounds the wait for a successor, whatever the interval is.
	maxPatience = 4 * time.Second
)

// handover is how a router gives up addresses it still holds.
type handover struct {
	successor netip.Addr // named by us; zero: none
	heir      netip.Addr // the router heard to have taken over
	giveUpAt  time.Time  // Resigning: nobody came
	releaseAt time.Time  // Resigning, or Backup when preempted: the addresses stay until then
}

// patience is how long to wait for a successor: as long as the slowest backup
// would need, and some. Alone, only for one we do not know of.
func (r *Router) patience(alone bool) time.Duration {
	skew := skewTime(r.cfg.Version, 1, r.cfg.Interval)
	if alone {
		return min(skewTime(r.cfg.Version, r.priority, r.cfg.Interval), maxPatience) + 50*time.Millisecond
	}
	return min(3*r.cfg.Interval+skew+100*time.Millisecond, maxPatience)
}

func (r *Router) heardInResigning(e Heard) {
	h := &r.handover
	if e.Priority == Resigned {
		if e.From == h.heir { // it could not, after all
			h.heir, h.releaseAt = netip.Addr{}, time.Time{}
			r.rule.advertAt = r.now
		}
		return
	}
	first := !h.heir.IsValid()
	h.heir = e.From
	r.follow(e)
	r.rule.advertAt = time.Time{} // a further priority 0 would only confuse third routers
	switch {
	case e.Beat && e.Announced:
		r.handedOver()
	case !first:
	case !e.Beat:
		h.releaseAt = earliest(h.giveUpAt, r.now.Add(heirGrace))
	default: // it came late, but it came: let it put its addresses up
		if until := r.now.Add(r.cfg.Interval + 100*time.Millisecond); until.After(h.giveUpAt) {
			h.giveUpAt = until
		}
	}
}

// handedOver lets the addresses go.
func (r *Router) handedOver() {
	if r.stopping {
		r.becomeInitialize("handed over")
		return
	}
	r.becomeBackup("handed over")
	r.watch.yielded = true
}

func (r *Router) expireInResigning() {
	h := &r.handover
	switch {
	case due(h.releaseAt, r.now), due(h.giveUpAt, r.now) && h.heir.IsValid():
		r.handedOver()
	case due(h.giveUpAt, r.now) && r.stopping:
		r.becomeInitialize("nobody took over")
	case due(h.giveUpAt, r.now):
		r.becomeActive("nobody took over")
	case due(r.rule.advertAt, r.now):
		r.advertise(Resigned)
	}
}
