package fourletter

import (
	"maps"
	"slices"
	"time"
)

// Window is how long quantiles remember at the least; at the most twice as long.
const Window = 5 * time.Minute

// Meters are a member's counters and summaries, under ZooKeeper's names (see rows). One goroutine owns
// them. Summaries whose names speak of time are observed in nanoseconds, and said in milliseconds as
// ZooKeeper does, others as what they count.
type Meters struct {
	rotated time.Time

	// Connections and sessions.
	ConnectionRequests, ConnectionsRejected, ConnectionsDropped, Revalidations, ConnectionRevalidations,
	SessionlessExpired, StaleSessionsExpired, ClosedNotServing int64
	// TLS and authentication.
	FailedHandshakes, TLSHandshakesExceeded, InsecureAdmins, EnsembleAuthSuccess, EnsembleAuthFail, EnsembleAuthSkip int64
	// Requests.
	BytesReceived, ResponseBytes, WatchBytes, LargeRejected, ThrottleWaits, ThrottledOps, StaleRequests,
	StaleRequestsDropped, StaleReplies, UnrecoverableErrors int64
	// The way of a transaction.
	Prepared, ChangesQueued, ChangesRemoved, Logged, Proposals, Commits, CommitsQueued, LearnerProposals,
	LearnerCommits, DigestMismatches int64
	// Elections and synchronization.
	Looking, Diffs, Snaps, QuitLeading int64

	ReadLatency         Summary // ns from a request's arrival to its answer
	UpdateLatency       Summary // ns, the same of writes
	PropagationLatency  Summary // ns from a transaction's making to its application
	PrepareQueueTime    Summary // ns a request waited to be taken up
	PrepareQueueSize    Summary // requests that waited when one was taken up
	PrepareTime         Summary // ns
	CloseSessionTime    Summary // ns of preparing the end of a session
	ProposalTime        Summary // ns of handing a transaction on
	ReadFinalTime       Summary // ns of executing a read
	WriteFinalTime      Summary // ns of applying and answering a write
	LocalWriteCommitted Summary // ns a client's write waited after its commit
	LogQueueSize        Summary // transactions that wait for the log
	LogQueueTime        Summary // ns until a transaction's group was written
	LogFlushTime        Summary // ns of writing and syncing a group
	LogQueueFlushTime   Summary // ns, both
	LogTime             Summary // ns of writing a group
	LogBatch            Summary // transactions in a group
	SyncTime            Summary // ns of an fsync of the log
	SnapshotTime        Summary // ns
	LoadTime            Summary // ns of loading everything at start
	LoadSnapshotTime    Summary // ns
	LoadTxnsTime        Summary // ns
	LoadTxns            Summary // transactions
	ThrottleQueueTime   Summary // ns
	TokenDeficit        Summary // tokens of the connection throttle that were missing
	CreatedWatches      Summary // watches fired by one change, as the next three
	DeletedWatches      Summary
	ChangedWatches      Summary
	ChildrenWatches     Summary
	SessionQueue        Summary // requests of a session that waited behind its own write
	ReadsAfterWrite     Summary // reads among them
	SocketClosingTime   Summary // ns
	UnavailableTime     Summary // ns without a leader
	LeaderUnavailable   Summary // ns of a leader without a quorum
	ElectionTime        Summary // ns
	FollowerSyncTime    Summary // ns
	ObserverSyncTime    Summary // ns
	InflightSnaps       Summary
	InflightDiffs       Summary
	ProposalLatency     Summary // ns from proposal to quorum
	ProposalAckLatency  Summary // ns from a proposal's making to its acknowledgement by a learner
	CommitLatency       Summary // ns from a commit's making to its arrival
	QuorumAckLatency    Summary // ns

	ReadPerNamespace  SummarySet // bytes
	WritePerNamespace SummarySet // bytes
}

// A row is one metric of Meters.
type row struct {
	name    string
	kind    Kind
	counter *int64
	summary *Summary
	unit    float64
}

const milli = float64(time.Millisecond)

func (m *Meters) counters() []row {
	c := func(name string, n *int64) row { return row{name: name, kind: Counter, counter: n} }
	return []row{
		c("connection_request_count", &m.ConnectionRequests), c("connection_rejected", &m.ConnectionsRejected),
		c("connection_drop_count", &m.ConnectionsDropped), c("revalidate_count", &m.Revalidations),
		c("connection_revalidate_count", &m.ConnectionRevalidations), c("sessionless_connections_expired", &m.SessionlessExpired),
		c("stale_sessions_expired", &m.StaleSessionsExpired), c("cnxn_closed_without_zk_server_running", &m.ClosedNotServing),
		c("unsuccessful_handshake", &m.FailedHandshakes), c("tls_handshake_exceeded", &m.TLSHandshakesExceeded),
		c("insecure_admin_count", &m.InsecureAdmins), c("ensemble_auth_success", &m.EnsembleAuthSuccess),
		c("ensemble_auth_fail", &m.EnsembleAuthFail), c("ensemble_auth_skip", &m.EnsembleAuthSkip),
		c("bytes_received_count", &m.BytesReceived), c("response_bytes", &m.ResponseBytes), c("watch_bytes", &m.WatchBytes),
		c("large_requests_rejected", &m.LargeRejected), c("request_throttle_wait_count", &m.ThrottleWaits),
		c("throttled_ops", &m.ThrottledOps), c("stale_requests", &m.StaleRequests),
		c("stale_requests_dropped", &m.StaleRequestsDropped), c("stale_replies", &m.StaleReplies),
		c("unrecoverable_error_count", &m.UnrecoverableErrors), c("prep_processor_request_queued", &m.Prepared),
		c("outstanding_changes_queued", &m.ChangesQueued), c("outstanding_changes_removed", &m.ChangesRemoved),
		c("sync_processor_request_queued", &m.Logged), c("proposal_count", &m.Proposals), c("commit_count", &m.Commits),
		c("request_commit_queued", &m.CommitsQueued), c("learner_proposal_received_count", &m.LearnerProposals),
		c("learner_commit_received_count", &m.LearnerCommits), c("digest_mismatches_count", &m.DigestMismatches),
		c("looking_count", &m.Looking), c("diff_count", &m.Diffs), c("snap_count", &m.Snaps),
		c("quit_leading_due_to_disloyal_voter", &m.QuitLeading),
	}
}

func (m *Meters) summaries() []row {
	time := func(name string, kind Kind, s *Summary) row {
		return row{name: name, kind: kind, summary: s, unit: milli}
	}
	size := func(name string, s *Summary) row { return row{name: name, kind: Tally, summary: s, unit: 1} }
	return []row{
		time("fsynctime", Tally, &m.SyncTime), time("snapshottime", Tally, &m.SnapshotTime), time("dbinittime", Tally, &m.LoadTime),
		time("readlatency", Distribution, &m.ReadLatency), time("updatelatency", Distribution, &m.UpdateLatency),
		time("propagation_latency", Distribution, &m.PropagationLatency),
		time("prep_processor_queue_time_ms", Distribution, &m.PrepareQueueTime), size("prep_processor_queue_size", &m.PrepareQueueSize),
		time("prep_process_time", Tally, &m.PrepareTime), time("close_session_prep_time", Distribution, &m.CloseSessionTime),
		time("proposal_process_time", Tally, &m.ProposalTime), time("read_final_proc_time_ms", Distribution, &m.ReadFinalTime),
		time("write_final_proc_time_ms", Distribution, &m.WriteFinalTime),
		time("local_write_committed_time_ms", Distribution, &m.LocalWriteCommitted),
		size("sync_processor_queue_size", &m.LogQueueSize), time("sync_processor_queue_time_ms", Distribution, &m.LogQueueTime),
		time("sync_processor_queue_flush_time_ms", Distribution, &m.LogFlushTime),
		time("sync_processor_queue_and_flush_time_ms", Distribution, &m.LogQueueFlushTime),
		time("sync_process_time", Tally, &m.LogTime), size("sync_processor_batch_size", &m.LogBatch),
		time("startup_snap_load_time", Tally, &m.LoadSnapshotTime), time("startup_txns_load_time", Tally, &m.LoadTxnsTime),
		size("startup_txns_loaded", &m.LoadTxns), time("request_throttle_queue_time_ms", Distribution, &m.ThrottleQueueTime),
		size("connection_token_deficit", &m.TokenDeficit), size("node_created_watch_count", &m.CreatedWatches),
		size("node_deleted_watch_count", &m.DeletedWatches), size("node_changed_watch_count", &m.ChangedWatches),
		size("node_children_watch_count", &m.ChildrenWatches), size("requests_in_session_queue", &m.SessionQueue),
		size("reads_after_write_in_session_queue", &m.ReadsAfterWrite), time("socket_closing_time", Tally, &m.SocketClosingTime),
		time("unavailable_time", Tally, &m.UnavailableTime), time("leader_unavailable_time", Tally, &m.LeaderUnavailable),
		time("election_time", Tally, &m.ElectionTime), time("follower_sync_time", Tally, &m.FollowerSyncTime),
		time("observer_sync_time", Tally, &m.ObserverSyncTime), size("inflight_snap_count", &m.InflightSnaps),
		size("inflight_diff_count", &m.InflightDiffs), time("proposal_latency", Distribution, &m.ProposalLatency),
		time("proposal_ack_creation_latency", Distribution, &m.ProposalAckLatency),
		time("commit_propagation_latency", Distribution, &m.CommitLatency), time("quorum_ack_latency", Distribution, &m.QuorumAckLatency),
	}
}

// Metrics is all of it as it stands: what Status.Metrics wants.
func (m *Meters) Metrics() []Metric {
	var out []Metric
	for _, r := range m.counters() {
		out = append(out, Metric{Name: r.name, Kind: Counter, Value: float64(*r.counter)})
	}
	for _, r := range m.summaries() {
		x := Metric{Name: r.name, Kind: r.kind}
		r.summary.into(&x, r.unit)
		out = append(out, x)
	}
	out = m.ReadPerNamespace.metrics(out, "read_per_namespace")
	return m.WritePerNamespace.metrics(out, "write_per_namespace")
}

func (s *SummarySet) metrics(out []Metric, name string) []Metric {
	for _, key := range slices.Sorted(maps.Keys(s.byKey)) {
		x := Metric{Name: name, Key: key, Kind: Tally}
		s.byKey[key].into(&x, 1)
		out = append(out, x)
	}
	return out
}

// Rotate moves the windows of the quantiles on, when it is time. It may be called as often as is handy.
func (m *Meters) Rotate(now time.Time) {
	if m.rotated.IsZero() {
		m.rotated = now
	}
	if now.Sub(m.rotated) < Window {
		return
	}
	m.rotated = now
	for _, r := range m.summaries() {
		r.summary.Rotate()
	}
	for _, set := range []*SummarySet{&m.ReadPerNamespace, &m.WritePerNamespace} {
		for _, s := range set.byKey {
			s.Rotate()
		}
	}
}

// Reset sets everything to zero, as the word srst does.
func (m *Meters) Reset() { *m = Meters{rotated: m.rotated} }
