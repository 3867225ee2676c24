package fourletter

import (
	"maps"
	"slices"
	"strconv"
)

// A Command is one of AdminServer's: a name under /commands, and its answer in JSON.
type Command struct {
	Name    string
	Aliases []string
	Word    string // the four-letter word whose counters it resets; "": none
	Wants   Want
	Always  bool // also answered by a member that does not serve

	answer func(s *Status, args map[string]string) object
}

// Commands are all of ZooKeeper 3.8's, by name. Those that stream (snapshot, restore) are package
// adminport's.
var Commands = []Command{
	{Name: "configuration", Aliases: []string{"conf", "config"}, Wants: WantSettings, answer: configuration},
	{Name: "connection_stat_reset", Aliases: []string{"crst"}, Word: "crst", answer: nothing},
	{Name: "connections", Aliases: []string{"cons"}, Wants: WantConnections, answer: func(s *Status, _ map[string]string) object {
		return connections(s, false)
	}},
	{Name: "dirs", Wants: WantSizes, answer: func(s *Status, _ map[string]string) object {
		return object{{"datadir_size", s.DataDirSize}, {"logdir_size", s.LogDirSize}}
	}},
	{Name: "dump", Wants: WantSessions, answer: sessionDump},
	{Name: "environment", Aliases: []string{"env", "envi"}, Wants: WantSettings, Always: true, answer: func(s *Status, _ map[string]string) object {
		return properties(s.Environment)
	}},
	{Name: "get_trace_mask", Aliases: []string{"gtmk"}, Always: true, answer: func(s *Status, _ map[string]string) object {
		return object{{"tracemask", s.TraceMask}}
	}},
	{Name: "hash", Wants: WantDigests, answer: digests},
	{Name: "initial_configuration", Aliases: []string{"icfg"}, Wants: WantSettings, answer: func(s *Status, _ map[string]string) object {
		return object{{"initial_configuration", s.InitialConfig}}
	}},
	{Name: "is_read_only", Aliases: []string{"isro"}, answer: func(s *Status, _ map[string]string) object {
		return object{{"read_only", s.ReadOnly}}
	}},
	{Name: "last_snapshot", Aliases: []string{"lsnp"}, answer: lastSnapshot},
	{Name: "leader", Aliases: []string{"lead"}, answer: leader},
	{Name: "monitor", Aliases: []string{"mntr"}, Wants: WantMetrics, Always: true, answer: monitor},
	{Name: "observer_connection_stat_reset", Aliases: []string{"orst"}, answer: nothing},
	{Name: "observers", Aliases: []string{"obsr"}, answer: observers},
	{Name: "ruok", answer: nothing},
	{Name: "server_stats", Aliases: []string{"srvr"}, Wants: WantSizes, answer: serverStats},
	{Name: "set_trace_mask", Aliases: []string{"stmk"}, Always: true, answer: setTraceMask},
	{Name: "stat_reset", Aliases: []string{"srst"}, Word: "srst", answer: nothing},
	{Name: "stats", Aliases: []string{"stat"}, Wants: WantSizes | WantConnections, answer: func(s *Status, args map[string]string) object {
		return append(serverStats(s, args), connections(s, true)...)
	}},
	{Name: "system_properties", Aliases: []string{"sysp"}, Wants: WantSettings, Always: true, answer: func(s *Status, _ map[string]string) object {
		return properties(s.Properties)
	}},
	{Name: "voting_view", answer: votingView},
	{Name: "watch_summary", Aliases: []string{"wchs"}, Wants: WantWatches, answer: func(s *Status, _ map[string]string) object {
		conns, paths, total := watchCounts(s)
		return object{{"num_connections", conns}, {"num_paths", paths}, {"num_total_watches", total}}
	}},
	{Name: "watches", Aliases: []string{"wchc"}, Wants: WantWatches, answer: func(s *Status, _ map[string]string) object {
		var by object
		for _, w := range s.Watches {
			by = append(by, field{decimalID(w.Session), w.Paths})
		}
		return object{{"session_id_to_watched_paths", by}}
	}},
	{Name: "watches_by_path", Aliases: []string{"wchp"}, Wants: WantWatches, answer: func(s *Status, _ map[string]string) object {
		var by object
		sessions := sessionsByPath(s)
		for _, path := range slices.Sorted(maps.Keys(sessions)) {
			by = append(by, field{path, sessions[path]})
		}
		return object{{"path_to_session_ids", by}}
	}},
	{Name: "zabstate", Always: true, answer: zabState},
}

// Lookup finds a command by its name or an alias.
func Lookup(name string) (Command, bool) {
	for _, c := range Commands {
		if c.Name == name || slices.Contains(c.Aliases, name) {
			return c, true
		}
	}
	return Command{}, false
}

// JSON is the answer of a command, with args from the query.
func (c Command) JSON(s *Status, args map[string]string) []byte {
	if !s.Serving && !c.Always {
		return Failure(c.Name, NotServing)
	}
	o := c.answer(s, args)
	o = append(o, field{"command", c.Name})
	if !o.has("error") {
		o = append(o, field{"error", nil})
	}
	return o.document()
}

// Failure is the answer of a command that could not be executed.
func Failure(command, reason string) []byte {
	return object{{"command", command}, {"error", reason}}.document()
}

func nothing(*Status, map[string]string) object { return nil }

func decimalID(session int64) string { return strconv.FormatInt(session, 10) }

func properties(ps []Property) object {
	var o object
	for _, p := range ps {
		o = append(o, field{p.Name, p.Value})
	}
	return o
}

func configuration(s *Status, _ map[string]string) object {
	c := s.Settings
	return object{
		{"client_port", c.ClientPort}, {"data_dir", c.DataDir}, {"data_log_dir", c.LogDir},
		{"tick_time", c.TickTime.Milliseconds()}, {"max_client_cnxns", c.MaxClientCnxns},
		{"min_session_timeout", c.MinSessionTimeout.Milliseconds()}, {"max_session_timeout", c.MaxSessionTimeout.Milliseconds()},
		{"server_id", c.ServerID}, {"client_port_listen_backlog", c.ListenBacklog},
	}
}

func connections(s *Status, brief bool) object {
	plain, secure := []object{}, []object{}
	for _, c := range byID(s.Connections) {
		o := object{
			{"remote_socket_address", javaAddress(c.Remote)[1:]}, {"interest_ops", c.Interest},
			{"outstanding_requests", c.Outstanding}, {"packets_received", c.Received}, {"packets_sent", c.Sent},
		}
		if !brief {
			o = append(o, object{
				{"session_id", c.Session}, {"last_operation", Operation(c.LastOp)}, {"established", milliseconds(c.Established)},
				{"session_timeout", c.Timeout.Milliseconds()}, {"last_cxid", c.LastCxid}, {"last_zxid", c.LastZxid},
				{"last_response_time", milliseconds(c.LastResponse)}, {"last_latency", c.LastLatency}, {"min_latency", c.MinLatency},
				{"avg_latency", c.AvgLatency}, {"max_latency", c.MaxLatency},
			}...)
		}
		if c.Secure {
			secure = append(secure, o)
		} else {
			plain = append(plain, o)
		}
	}
	return object{{"connections", plain}, {"secure_connections", secure}}
}

func sessionDump(s *Status, _ map[string]string) object {
	var expiry, paths object
	byTime := map[int64][]int64{}
	for _, x := range s.Sessions {
		ms := milliseconds(x.Expires)
		byTime[ms] = append(byTime[ms], x.ID)
	}
	for _, x := range owners(s) {
		paths = append(paths, field{decimalID(x.ID), x.Ephemerals})
	}
	for _, ms := range slices.Sorted(maps.Keys(byTime)) {
		expiry = append(expiry, field{strconv.FormatInt(ms, 10), byTime[ms]})
	}
	return object{{"expiry_time_to_session_ids", expiry}, {"session_id_to_ephemeral_paths", paths}}
}

func digests(s *Status, _ map[string]string) object {
	all := []object{}
	for _, d := range s.Digests {
		all = append(all, object{{"zxid", d.Zxid}, {"digest", d.Digest}, {"digest_version", 2}})
	}
	return object{{"digests", all}}
}

func lastSnapshot(s *Status, _ map[string]string) object {
	at := int64(-1)
	if !s.LastSnapshotTime.IsZero() {
		at = s.LastSnapshotTime.Unix()
	}
	return object{{"zxid", strconv.FormatUint(uint64(s.LastSnapshotZxid), 16)}, {"timestamp", at}}
}

func monitor(s *Status, _ map[string]string) object {
	var o object
	for _, f := range figures(s) {
		if f.quote {
			o = append(o, field{f.name, f.value})
		} else {
			o = append(o, field{f.name, number(f.value)})
		}
	}
	return o
}

func (z Sizes) object() object {
	return object{{"last_buffer_size", z.Last}, {"min_buffer_size", z.Min}, {"max_buffer_size", z.Max}}
}

func serverStats(s *Status, _ map[string]string) object {
	o := object{
		{"version", s.Version}, {"read_only", s.ReadOnly},
		{"server_stats", object{
			{"packets_sent", s.Sent}, {"packets_received", s.Received}, {"fsync_threshold_exceed_count", s.SlowSyncs},
			{"client_response_stats", s.Responses.object()}, {"provider_null", false}, {"data_dir_size", s.DataDirSize},
			{"log_dir_size", s.LogDirSize}, {"server_state", s.Mode}, {"last_processed_zxid", s.Zxid},
			{"outstanding_requests", s.Outstanding}, {"avg_latency", number(decimal(s.AvgLatency))},
			{"max_latency", whole(s.MaxLatency)}, {"min_latency", whole(s.MinLatency)}, {"num_alive_client_connections", s.Alive},
			{"uptime", s.Uptime().Milliseconds()}, {"auth_failed_count", s.AuthFailed},
			{"non_mtlsremote_conn_count", s.NonMTLSRemote}, {"non_mtlslocal_conn_count", s.NonMTLSLocal},
		}},
		{"client_response", s.Responses.object()},
	}
	if s.Leader != nil && s.Leader.Self {
		o = append(o, field{"proposal_stats", s.ProposalSizes.object()})
	}
	return append(o, field{"node_count", s.Znodes})
}

func setTraceMask(_ *Status, args map[string]string) object {
	given, ok := args["traceMask"]
	if !ok {
		return object{{"error", "setTraceMask requires long traceMask argument"}}
	}
	mask, err := strconv.ParseInt(given, 10, 64)
	if err != nil {
		return object{{"error", "setTraceMask requires long traceMask argument, got " + given}}
	}
	return object{{"tracemask", mask}}
}
