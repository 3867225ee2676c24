package appliance

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// config is the configuration in force; the caller must not change it.
func (a *Appliance) config() Config {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg
}

// node is this host's name; it never changes.
func (a *Appliance) node() string { return a.config().Node }

// Status is what every part is doing.
func (a *Appliance) Status() admin.Status {
	hb := a.heart.Status()
	a.mu.Lock()
	s := admin.Status{
		Node: a.cfg.Node, Cluster: a.cfg.Cluster.Name, Version: a.opt.Version, Roles: a.cfg.Roles,
		PID: os.Getpid(), Now: time.Now(), Started: a.started, Config: a.file,
	}
	for _, r := range a.roles {
		p := admin.Part{Name: r.String(), Ready: a.ready[r.String()]}
		switch {
		case p.Name == partBeat && !hb.Running: // it may have been ready, and have died since
			p.Ready, p.Reason = false, cmp.Or(hb.Error, "the beat process is starting")
		case !p.Ready:
			p.Reason = "it has not reported ready since its start"
		}
		s.Parts = append(s.Parts, p)
	}
	a.mu.Unlock()
	s.VIPs = hb.VIPs
	s.Gossip = gossipStatus(hb.Heartbeat.Counters)
	s.Gossip.At = hb.Heartbeat.Time
	s.Gossip.Bind, s.Gossip.Interval, s.Gossip.Lost = hb.Heartbeat.Bind, hb.Heartbeat.Interval.Seconds(), hb.Heartbeat.Lost
	s.Beat = admin.Beat{
		PID: hb.PID, Restarts: hb.Restarts, Realtime: hb.Loop.Realtime, Why: hb.Loop.Why,
		LateMax: hb.Loop.Max.Seconds(), LateP99: hb.Loop.P99.Seconds(), Rounds: hb.Loop.Rounds,
	}
	s.Notify = a.notifier.Counters()
	if a.balancer != nil {
		st := a.balancer.Status()
		s.LB = &st
		s.Flows = a.flows()
		s.Parts = append(s.Parts, lbPart(st.Failure)...)
	}
	if a.member != nil {
		st, part := a.zabStatus()
		s.ZAB = st
		s.Parts = append(s.Parts, part...)
	}
	self := a.summarize(hb.VIPs)
	a.watch.mu.Lock()
	s.Tracks = a.watch.tracks
	heard := a.watch.heard
	a.watch.mu.Unlock()
	s.Hosts = append(s.Hosts, admin.Host{Name: s.Node, Address: s.Gossip.Bind, State: "self", Since: a.started, Said: &self})
	for _, h := range hb.Heartbeat.Hosts {
		host := admin.Host{Name: h.Name, Address: h.Addr, State: h.State, Since: h.Since, Heard: h.Heard}
		if said, ok := heard[h.Name]; ok {
			host.Said = &said
		}
		s.Hosts = append(s.Hosts, host)
	}
	if a.opt.LogLost != nil {
		s.LogLost = a.opt.LogLost()
	}
	s.VIPs = nameHolders(s.VIPs, s.Hosts)
	return s
}

// nameHolders fills in who holds an address where the protocol does not say: a host that beats from the
// address which advertises, or one that says so of itself.
func nameHolders(vips []vip.Status, hosts []admin.Host) []vip.Status {
	vips = slices.Clone(vips)
	for i := range vips {
		v := &vips[i]
		if v.Active != "" && v.Active != v.ActiveAddr.String() {
			continue
		}
		for _, h := range hosts {
			speaks := v.ActiveAddr.IsValid() && h.Address.Addr() == v.ActiveAddr
			holds := h.State == hostAlive && h.Said != nil && slices.Contains(h.Said.Held, v.Name)
			if speaks || v.Active == "" && holds {
				v.Active = h.Name
				break
			}
		}
	}
	return vips
}

// lbPart reports a forwarder that does not have the table it should have.
func lbPart(failure string) []admin.Part {
	if failure == "" {
		return nil
	}
	return []admin.Part{{Name: "forwarding", Reason: failure}}
}

// answersWithin bounds how long a status waits for the member's loop.
const answersWithin = time.Second

// zabStatus is how the member is. One that cannot log is not ready, though it serves reads.
func (a *Appliance) zabStatus() (*admin.Member, []admin.Part) {
	ctx, cancel := context.WithTimeout(context.Background(), answersWithin)
	defer cancel()
	st, err := a.member.Status(ctx, 0)
	if err != nil {
		return nil, []admin.Part{{Name: "zab loop", Reason: "it does not answer: " + err.Error()}}
	}
	m := &admin.Member{
		Mode: st.Mode, Listen: a.member.Addrs(), Zxid: st.Zxid, Znodes: st.Znodes, Sessions: st.GlobalSessions + st.LocalSessions,
		Connections: st.Alive, Watches: st.WatchCount, Outstanding: st.Outstanding, FullSince: st.FullSince,
	}
	if !st.Serving {
		return m, nil // its part says so
	}
	if !m.FullSince.IsZero() {
		return m, []admin.Part{{Name: "zab log", Reason: "the disk is full: writes are refused, reads are served"}}
	}
	return m, nil
}

func gossipStatus(c heartbeat.Counters) admin.Gossip {
	return admin.Gossip{
		Sent: c.Sent, SentBytes: c.SentBytes, Heard: c.Heard, Bytes: c.HeardBytes,
		Forgiven: c.Forgiven, SendFailed: c.SendFailed + c.SendFull, Dropped: c.Dropped,
	}
}

// flows is what the forwarder did, one entry for each real server.
func (a *Appliance) flows() []admin.Flow {
	var out []admin.Flow
	for _, s := range a.proxy.Stats() {
		if s.Refused > 0 {
			out = append(out, admin.Flow{Service: s.Name, Failed: s.Refused})
		}
		for _, r := range s.Servers {
			out = append(out, admin.Flow{
				Service: s.Name, Server: r.Address.String(), Active: r.Active, Total: r.Total,
				Failed: r.ConnectErrors, In: r.ToServer, Out: r.ToClient,
			})
		}
	}
	slices.SortFunc(out, func(a, b admin.Flow) int {
		return strings.Compare(a.Service+"\x00"+a.Server, b.Service+"\x00"+b.Server)
	})
	return out
}
