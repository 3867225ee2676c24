package heartbeat

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// Run is the slow half: it resolves the names of the join list until ctx
// ends, and returns nil then.
func (n *Node) Run(ctx context.Context) error {
	res := n.names
	var targets []target
	var last []netip.AddrPort
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case targets = <-n.targets:
			res.set(targets)
			// Addresses need no answer: they must not wait for names.
			last = n.postJoin(targets, res, last)
		case <-timer.C:
		}
		if next, ever := res.next(); ever && !next.After(time.Now()) {
			res.refresh(ctx)
			last = n.postJoin(targets, res, last)
		}
		timer.Stop()
		if next, ever := res.next(); ever {
			timer.Reset(time.Until(next))
		}
	}
}

// postJoin hands the loop every address of the join list that can be reached,
// if it differs from the last.
func (n *Node) postJoin(targets []target, res *resolver, last []netip.AddrPort) []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, t := range targets {
		if t.kind == literal {
			addrs = append(addrs, t.addr)
		}
	}
	for _, name := range res.names {
		addrs = append(addrs, name.addrs...)
	}
	bind := n.Bound()
	dual := bind.Addr().IsUnspecified() && bind.Addr().Is6()
	join := make([]netip.AddrPort, 0, len(addrs))
	for _, a := range addrs {
		a, err := withZoneIndex(a)
		if err != nil {
			n.log.Warn("join address is out of reach", "address", a, "err", err)
			continue
		}
		if a != bind && (dual || a.Addr().Is6() == bind.Addr().Is6()) {
			join = append(join, a)
		}
	}
	slices.SortFunc(join, netip.AddrPort.Compare)
	join = slices.Compact(join)
	if last != nil && slices.Equal(join, last) {
		return last
	}
	n.mu.Lock()
	n.join = join
	n.mu.Unlock()
	n.post()
	return join
}
