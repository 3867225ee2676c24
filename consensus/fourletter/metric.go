package fourletter

import "time"

// Everything is the metrics of a Status: the gauges it holds, and Metrics.
func (s *Status) Everything() []Metric {
	var out []Metric
	add := func(name string, kind Kind, v float64) { out = append(out, Metric{Name: name, Kind: kind, Value: v}) }
	gauge := func(name string, v int64) { add(name, Gauge, float64(v)) }
	add("avg_latency", Ratio, s.AvgLatency)
	gauge("max_latency", int64(s.MaxLatency))
	gauge("min_latency", int64(s.MinLatency))
	gauge("packets_received", s.Received)
	gauge("packets_sent", s.Sent)
	gauge("num_alive_connections", int64(s.Alive))
	gauge("outstanding_requests", int64(s.Outstanding))
	gauge("uptime", s.Uptime().Milliseconds())
	gauge("znode_count", int64(s.Znodes))
	gauge("watch_count", int64(s.WatchCount))
	gauge("ephemerals_count", int64(s.Ephemerals))
	gauge("approximate_data_size", s.DataSize)
	gauge("global_sessions", int64(s.GlobalSessions))
	gauge("local_sessions", int64(s.LocalSessions))
	gauge("open_file_descriptor_count", s.OpenFiles)
	gauge("max_file_descriptor_count", s.MaxFiles)
	add("connection_drop_probability", Ratio, s.DropProbability)
	gauge("last_client_response_size", int64(s.Responses.Last))
	gauge("max_client_response_size", int64(s.Responses.Max))
	gauge("min_client_response_size", int64(s.Responses.Min))
	gauge("outstanding_tls_handshake", int64(s.Handshakes))
	gauge("auth_failed_count", s.AuthFailed)
	gauge("non_mtls_remote_conn_count", s.NonMTLSRemote)
	gauge("non_mtls_local_conn_count", s.NonMTLSLocal)
	if l := s.Leader; l != nil {
		gauge("quorum_size", int64(l.Size))
		gauge("synced_observers", int64(l.SyncedObservers))
		if l.Self {
			gauge("learners", int64(l.Learners))
			gauge("synced_followers", int64(l.SyncedFollowers))
			gauge("synced_non_voting_followers", int64(l.SyncedNonVoting))
			gauge("pending_syncs", int64(l.PendingSyncs))
			gauge("leader_uptime", s.Now.Sub(l.Since).Milliseconds())
			gauge("last_proposal_size", int64(s.ProposalSizes.Last))
			gauge("max_proposal_size", int64(s.ProposalSizes.Max))
			gauge("min_proposal_size", int64(s.ProposalSizes.Min))
		}
	}
	return append(out, s.Metrics...)
}

// Uptime is how long the member has been.
func (s *Status) Uptime() time.Duration { return s.Now.Sub(s.Started) }
