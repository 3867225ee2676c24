package admin

import (
	"github.com/prometheus/client_golang/prometheus"
)

// A meter turns one Status into metrics at each scrape: no counter is kept twice.
type meter struct{ appliance Appliance }

// Describe says nothing beforehand: which series there are depends on the configuration.
func (m meter) Describe(chan<- *prometheus.Desc) {}

// desc makes a metric's description; names follow Prometheus's conventions.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ha_"+name, help, labels, nil)
}

// The metrics, in the order of the parts.
var (
	infoDesc     = desc("info", "Always 1; the labels say which build runs as which host.", "node", "cluster", "version")
	startDesc    = desc("start_time_seconds", "When this process started, in seconds since 1970.")
	readyDesc    = desc("part_ready", "1 when the part of this host is ready.", "part")
	logLostDesc  = desc("log_lines_lost_total", "Log lines that could not be written, or that nobody read.")
	reloadsDesc  = desc("config_reloads_total", "Configurations read again, by outcome.", "outcome")
	hostsDesc    = desc("gossip_hosts", "Hosts of the cluster as this one sees them, by state.", "state")
	beatsDesc    = desc("gossip_beats_total", "Beats, by direction.", "direction")
	bytesDesc    = desc("gossip_bytes_total", "Bytes of beats, by direction.", "direction")
	droppedDesc  = desc("gossip_dropped_total", "Packets that changed nothing, by reason.", "reason")
	forgivenDesc = desc("gossip_forgiven_total", "Times this host came late and did not count silence against others.")
	unsentDesc   = desc("gossip_send_failures_total", "Datagrams the kernel refused to send.")
	lateDesc     = desc("beat_late_p99_seconds", "How late the beat loop woke up over the last minute: 99 of 100 wake-ups were better.")
	latestDesc   = desc("beat_late_max_seconds", "How late the beat loop woke up at worst over the last minute.")
	realtimeDesc = desc("beat_realtime", "1 when the kernel granted realtime scheduling to the beat loop.")
	restartsDesc = desc("beat_restarts_total", "Times the beat process was started again.")

	vipStateDesc = desc("vip_state", "1 for the state the virtual address is in on this host, 0 for the others.", "vip", "state")
	vipHeldDesc  = desc("vip_held", "1 when the addresses are configured on this host.", "vip")
	vipPrioDesc  = desc("vip_priority", "The priority this host advertises, after tracking.", "vip")
	vipTransDesc = desc("vip_transitions_total", "Changes of state.", "vip")
	vipAdvDesc   = desc("vip_advertisements_total", "Advertisements, by direction.", "vip", "direction")
	vipRejDesc   = desc("vip_rejected_total", "Advertisements that changed nothing, by reason.", "vip", "reason")
	trackDesc    = desc("vip_track_up", "1 when the tracked service or check is well.", "vip", "track")

	healthyDesc  = desc("lb_service_healthy", "Real servers of the service that take connections.", "service")
	serversDesc  = desc("lb_service_servers", "Real servers of the service.", "service")
	condDesc     = desc("lb_service_condition", "1 for the condition the service is in, 0 for the others.", "service", "condition")
	upDesc       = desc("lb_server_up", "1 when the real server is healthy.", "service", "server")
	weightDesc   = desc("lb_server_weight", "The weight the forwarder has now.", "service", "server")
	probesDesc   = desc("lb_probes_total", "Probes answered, by result.", "service", "server", "result")
	probeDesc    = desc("lb_probe_duration_seconds", "How long the latest probe took.", "service", "server")
	activeDesc   = desc("lb_connections", "Established connections.", "service", "server")
	totalDesc    = desc("lb_connections_total", "Connections forwarded.", "service", "server")
	failedDesc   = desc("lb_connect_failures_total", "Connects the real server did not answer.", "service", "server")
	flowDesc     = desc("lb_bytes_total", "Bytes forwarded, by direction as clients see it.", "service", "server", "direction")
	notifiedDesc = desc("notifications_total", "Notifications, by target and outcome.", "target", "outcome")
	postedDesc   = desc("notify_events_total", "Events, by what became of them.", "outcome")
)

// What an address and a service can be in. All of them are samples, so that a rule on one never finds none.
var (
	vipStates  = []string{"initialize", "backup", "active", "resigning", "fault"}
	conditions = []string{"starting", "serving", "short", "sorry", "empty"}
)

// A sink sends samples to one scrape.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) count(d *prometheus.Desc, v uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (m meter) Collect(c chan<- prometheus.Metric) {
	st, out := m.appliance.Status(), sink(c)
	out.gauge(infoDesc, 1, st.Node, st.Cluster, st.Version)
	out.gauge(startDesc, float64(st.Started.UnixNano())/1e9)
	for _, p := range st.Parts {
		out.gauge(readyDesc, bit(p.Ready), p.Name)
	}
	out.count(logLostDesc, st.LogLost)
	out.count(reloadsDesc, st.Config.Reloads, "applied")
	out.count(reloadsDesc, st.Config.Refusals, "refused")
	collectGossip(out, st)
	collectTracks(out, st)
	collectVIPs(out, st)
	collectLB(out, st)
	n := st.Notify
	out.count(postedDesc, n.Posted, "posted")
	out.count(postedDesc, n.Dropped, "dropped")
	for outcome, by := range map[string]map[string]uint64{"delivered": n.Delivered, "failed": n.Failed, "abandoned": n.Abandoned} {
		for target, v := range by {
			out.count(notifiedDesc, v, target, outcome)
		}
	}
}

// collectTracks tells of tracks that read alike (two paths of one server) as one, which is up when all
// are: a sample that comes twice would cost the whole scrape.
func collectTracks(out sink, st Status) {
	up := map[[2]string]bool{}
	for _, t := range st.Tracks {
		at := [2]string{t.VIP, t.Name}
		before, twice := up[at]
		up[at] = t.Up && (before || !twice)
	}
	for at, is := range up {
		out.gauge(trackDesc, bit(is), at[0], at[1])
	}
}

func collectGossip(out sink, st Status) {
	states := map[string]int{"alive": 0, "suspect": 0, "lost": 0, "left": 0}
	for _, h := range st.Hosts {
		states[h.State]++
	}
	for state, n := range states {
		out.gauge(hostsDesc, float64(n), state)
	}
	out.count(beatsDesc, st.Gossip.Sent, "sent")
	out.count(beatsDesc, st.Gossip.Heard, "heard")
	out.count(bytesDesc, st.Gossip.SentBytes, "sent")
	out.count(bytesDesc, st.Gossip.Bytes, "heard")
	for reason, n := range st.Gossip.Dropped {
		out.count(droppedDesc, n, reason)
	}
	out.count(forgivenDesc, st.Gossip.Forgiven)
	out.count(unsentDesc, st.Gossip.SendFailed)
	out.gauge(lateDesc, st.Beat.LateP99)
	out.gauge(latestDesc, st.Beat.LateMax)
	out.gauge(realtimeDesc, bit(st.Beat.Realtime))
	out.count(restartsDesc, st.Beat.Restarts)
}

func collectVIPs(out sink, st Status) {
	for _, v := range st.VIPs {
		for _, state := range vipStates {
			out.gauge(vipStateDesc, bit(v.State == state), v.Name, state)
		}
		out.gauge(vipHeldDesc, bit(v.Held), v.Name)
		out.gauge(vipPrioDesc, float64(v.Priority), v.Name)
		out.count(vipTransDesc, v.Transitions, v.Name)
		out.count(vipAdvDesc, v.Sent, v.Name, "sent")
		out.count(vipAdvDesc, v.Heard, v.Name, "heard")
		for reason, n := range v.Rejected {
			out.count(vipRejDesc, n, v.Name, reason)
		}
	}
}

func collectLB(out sink, st Status) {
	if st.LB == nil {
		return
	}
	for _, s := range st.LB.Services {
		out.gauge(healthyDesc, float64(s.Healthy), s.Name)
		out.gauge(serversDesc, float64(len(s.Servers)), s.Name)
		for _, condition := range conditions {
			out.gauge(condDesc, bit(s.Condition == condition), s.Name, condition)
		}
		for _, r := range s.Servers {
			at := r.Address.String()
			out.gauge(upDesc, bit(r.State.String() == "up"), s.Name, at)
			out.gauge(weightDesc, float64(r.Current), s.Name, at)
			out.count(probesDesc, r.Probes-min(r.Probes, r.Failures), s.Name, at, "good")
			out.count(probesDesc, r.Failures, s.Name, at, "failed")
			out.gauge(probeDesc, r.Took.Seconds(), s.Name, at)
		}
	}
	for _, f := range st.Flows {
		out.gauge(activeDesc, float64(f.Active), f.Service, f.Server)
		out.count(totalDesc, f.Total, f.Service, f.Server)
		out.count(failedDesc, f.Failed, f.Service, f.Server)
		out.count(flowDesc, f.In, f.Service, f.Server, "received")
		out.count(flowDesc, f.Out, f.Service, f.Server, "sent")
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
