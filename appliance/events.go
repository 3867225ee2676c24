package appliance

import (
	"cmp"
	"fmt"
	"time"

	"example.org/ha/appliance/notify"
	"example.org/ha/lb"
	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// Changes of state in the words that a person gets at three in the morning.

// The states of a host, as snapshots of the heartbeat spell them.
var (
	hostAlive = gossip.Alive.String()
	hostLost  = gossip.Dead.String()
	hostLeft  = gossip.Departed.String()
)

// vipEvent tells that an address came or went. That a host became backup at its start is no news.
func vipEvent(c vip.Change, node string) (notify.Event, bool) {
	ev := notify.Event{Time: c.Time, Kind: notify.VIP, Name: c.Name, Object: node, State: c.To, Reason: c.Reason}
	switch {
	case c.To == stateActive && c.From == stateResigning:
		ev.Severity = notify.Note
		ev.Text = fmt.Sprintf("%s: %s keeps the address: %s", c.Name, node, cmp.Or(c.Reason, "nobody else took it"))
	case c.To == stateActive:
		ev.Severity = notify.Note
		ev.Text = withReason(fmt.Sprintf("%s: %s holds the address now", c.Name, node), c.Reason)
	case c.To == "fault":
		ev.Severity = notify.Bad
		ev.Text = withReason(fmt.Sprintf("%s: %s cannot hold the address", c.Name, node), c.Reason)
	case c.From == stateActive || c.From == stateResigning:
		ev.Severity = notify.Note
		if c.To == stateResigning {
			return ev, false // the outcome follows at once
		}
		ev.Text = withReason(fmt.Sprintf("%s: %s gave the address up", c.Name, node), c.Reason)
	case c.From == "fault":
		ev.Severity = notify.Good
		ev.Text = withReason(fmt.Sprintf("%s: %s can hold the address again", c.Name, node), c.Reason)
	default:
		return ev, false
	}
	return ev, true
}

func serverEvent(c lb.Change, node string) notify.Event {
	ev := notify.Event{Time: c.At, Kind: notify.Server, Name: c.Service, Object: c.Server, State: string(c.Kind), Reason: c.Reason}
	left := fmt.Sprintf("%d of %d left", c.Healthy, c.Servers)
	switch c.Kind {
	case lb.ServerUp:
		ev.Severity, ev.State = notify.Good, "up"
		ev.Text = fmt.Sprintf("%s: %s is up again on %s (%d of %d)", c.Service, c.Server, node, c.Healthy, c.Servers)
	case lb.ServerDown:
		ev.Severity, ev.State = notify.Bad, "down"
		ev.Text = withReason(fmt.Sprintf("%s: %s is down on %s", c.Service, c.Server, node), c.Reason) + " (" + left + ")"
	case lb.ServiceSorry:
		ev.Severity = notify.Bad
		ev.Text = fmt.Sprintf("%s: clients go to the sorry server on %s, %s", c.Service, node, left)
	case lb.ServiceEmpty, lb.ServiceShort:
		ev.Severity = notify.Bad
		ev.Text = fmt.Sprintf("%s: too few real servers on %s, %s", c.Service, node, left)
	case lb.ServiceRestored:
		ev.Severity = notify.Good
		ev.Text = fmt.Sprintf("%s: enough real servers again on %s (%d of %d)", c.Service, node, c.Healthy, c.Servers)
	case lb.ServiceKept:
		ev.Severity = notify.Bad
		ev.Text = withReason(fmt.Sprintf("%s: too many checks failed at once on %s, the servers are kept", c.Service, node), c.Reason)
	case lb.ServiceTrusted:
		ev.Severity = notify.Good
		ev.Text = fmt.Sprintf("%s: the checks are believed again on %s", c.Service, node)
	default:
		ev.Severity = notify.Note
		ev.Text = withReason(fmt.Sprintf("%s: %s on %s", c.Service, c.Kind, node), c.Reason)
	}
	return ev
}

// hostEvent tells of another host; known is whether it was there before.
func hostEvent(h heartbeat.Host, known bool) (notify.Event, bool) {
	ev := notify.Event{Time: h.Since, Kind: notify.Host, Name: h.Name, Object: h.Addr.String(), State: h.State}
	switch {
	case h.State == hostAlive && !known:
		ev.Severity, ev.Text = notify.Note, fmt.Sprintf("host %s joined the cluster", h.Name)
	case h.State == hostAlive:
		ev.Severity, ev.Text = notify.Good, fmt.Sprintf("host %s is back", h.Name)
	case h.State == hostLeft && known:
		ev.Severity, ev.Text = notify.Note, fmt.Sprintf("host %s left the cluster", h.Name)
	case h.State == hostLost && known:
		ev.Severity = notify.Bad
		ev.Text = fmt.Sprintf("host %s is lost, last heard %s", h.Name, h.Heard.Format(time.TimeOnly))
	default:
		return ev, false // somebody told us of a host that we never knew alive
	}
	return ev, true
}

// trackChanged tells that what an address tracks changed on this host. What is not well when the host
// starts was not checked yet: that is no news, and neither is its end.
func (w *watch) trackChanged(name string, before, now verdict, told bool) {
	ev := notify.Event{Kind: notify.Health, Name: name, Object: w.a.node(), Reason: now.fault}
	switch {
	case now.fault != "" && told:
		ev.Severity, ev.State = notify.Bad, "fault"
		ev.Text = withReason(fmt.Sprintf("%s: %s gives up its claim", name, w.a.node()), now.fault)
	case now.delta < before.delta && told:
		ev.Severity, ev.State = notify.Bad, "lowered"
		ev.Text = fmt.Sprintf("%s: the priority of %s is lowered by %d", name, w.a.node(), -now.delta)
	case now == verdict{} && w.complained[name]:
		ev.Severity, ev.State = notify.Good, "well"
		ev.Text = fmt.Sprintf("%s: all that it tracks is well on %s", name, w.a.node())
	default:
		return
	}
	w.complained[name] = ev.Severity == notify.Bad
	w.events(ev)
}

func withReason(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}
