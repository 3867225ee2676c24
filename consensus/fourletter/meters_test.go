package fourletter

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// absent are the metrics of ZooKeeper 3.8.0 that a member has none of, and why.
var absent = map[string]string{
	"jvm_pause_time_ms":                                   "there is no virtual machine whose pauses could be measured",
	"netty_queued_buffer_capacity":                        "there is no Netty",
	"dead_watchers_queued":                                "watches of a closed connection go at once, not in the background",
	"dead_watchers_cleared":                               "as dead_watchers_queued",
	"dead_watchers_cleaner_latency":                       "as dead_watchers_queued",
	"add_dead_watcher_stall_time":                         "as dead_watchers_queued",
	"response_packet_cache_hits":                          "answers are made from the tree each time: there is no cache of them",
	"response_packet_cache_misses":                        "as response_packet_cache_hits",
	"response_packet_get_children_cache_hits":             "as response_packet_cache_hits",
	"response_packet_get_children_cache_misses":           "as response_packet_cache_hits",
	"requests_not_forwarded_to_commit_processor":          "there is no commit processor with threads and queues of its own: one loop orders all",
	"skip_learner_request_to_next_processor_count":        "as requests_not_forwarded_to_commit_processor",
	"pending_session_queue_size":                          "as requests_not_forwarded_to_commit_processor",
	"reads_issued_from_session_queue":                     "as requests_not_forwarded_to_commit_processor",
	"session_queues_drained":                              "as requests_not_forwarded_to_commit_processor",
	"time_waiting_empty_pool_in_commit_processor_read_ms": "as requests_not_forwarded_to_commit_processor",
	"write_batch_time_in_commit_processor":                "as requests_not_forwarded_to_commit_processor",
	"concurrent_request_processing_in_commit_processor":   "as requests_not_forwarded_to_commit_processor",
	"read_commit_proc_req_queued":                         "as requests_not_forwarded_to_commit_processor",
	"write_commit_proc_req_queued":                        "as requests_not_forwarded_to_commit_processor",
	"commit_commit_proc_req_queued":                       "as requests_not_forwarded_to_commit_processor",
	"read_commit_proc_issued":                             "as requests_not_forwarded_to_commit_processor",
	"write_commit_proc_issued":                            "as requests_not_forwarded_to_commit_processor",
	"read_commitproc_time_ms":                             "as requests_not_forwarded_to_commit_processor",
	"write_commitproc_time_ms":                            "as requests_not_forwarded_to_commit_processor",
	"server_write_committed_time_ms":                      "as requests_not_forwarded_to_commit_processor",
	"commit_process_time":                                 "as requests_not_forwarded_to_commit_processor",
	"learner_request_processor_queue_size":                "as requests_not_forwarded_to_commit_processor",
	"om_proposal_process_time_ms":                         "no member serves observers but the leader",
	"om_commit_process_time_ms":                           "as om_proposal_process_time_ms",
}

// bySet are metrics with a label, which are there once there is something to count.
var bySet = []string{
	"read_per_namespace", "write_per_namespace",
	// Filled by a leader for each learner.
	"ack_latency", "learner_handler_qp_size", "learner_handler_qp_time_ms",
	// Filled by the member from its quotas.
	"quota_exceeded_error_per_namespace", "quota_count_limit_per_namespace", "quota_bytes_limit_per_namespace",
	"quota_count_usage_per_namespace", "quota_bytes_usage_per_namespace",
}

var kindNames = map[string][]Kind{
	"gauge": {Gauge, Ratio}, "counter": {Counter}, "summary/basic": {Tally}, "summary/advanced": {Distribution},
}

func TestMetricsAreApaches(t *testing.T) {
	have := map[string]Kind{}
	for _, m := range capturedLeader().Everything() {
		if _, twice := have[m.Name]; twice && m.Key == "" {
			t.Errorf("%s is there twice", m.Name)
		}
		have[m.Name] = m.Kind
	}
	known := map[string]bool{}
	for line := range strings.Lines(golden(t, "metrics.txt")) {
		kind, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || kind == "#" {
			continue
		}
		known[name] = true
		got, there := have[name]
		switch {
		case strings.Contains(kind, "set"):
			if !slices.Contains(bySet, name) {
				t.Errorf("%s %s is neither provided nor explained", kind, name)
			}
		case there && absent[name] != "":
			t.Errorf("%s is there and said to be absent: %s", name, absent[name])
		case !there && absent[name] == "":
			t.Errorf("%s %s is neither provided nor explained", kind, name)
		case there && !slices.Contains(kindNames[kind], got):
			t.Errorf("%s is of kind %d, Apache's is a %s", name, got, kind)
		}
	}
	for name := range have {
		if !known[name] {
			t.Errorf("%s is no metric of ZooKeeper 3.8", name)
		}
	}
	for name, why := range absent {
		if !known[name] || why == "" {
			t.Errorf("%s: no metric of ZooKeeper 3.8, or no reason", name)
		}
	}
}

func TestMonitorHasApachesLines(t *testing.T) {
	for file, s := range map[string]*Status{"mntr.txt": captured(), "mntr.leader.txt": capturedLeader()} {
		ours := map[string]string{}
		for line := range strings.Lines(string(Text("mntr", s))) {
			name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if !ok || !strings.HasPrefix(name, "zk_") || value == "" {
				t.Fatalf("line %q", line)
			}
			ours[name] = value
		}
		for line := range strings.Lines(golden(t, file)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
			if slices.ContainsFunc(bySet, func(set string) bool { return strings.HasSuffix(name, "_"+set) }) || absent[base(name)] != "" {
				continue
			}
			got, there := ours[name]
			if !there {
				t.Errorf("%s: no line %s", file, name)
			} else if strings.Contains(got, ".") != strings.Contains(value, ".") && !strings.Contains(name, "version") {
				t.Errorf("%s: %s is %s, Apache's is %s", file, name, got, value)
			}
		}
	}
	if text := string(Text("mntr", capturedLeader())); !strings.Contains(text, "zk_peer_state\tleading - broadcast\n") ||
		!strings.Contains(text, "zk_avg_latency\t0.0\n") || !strings.HasPrefix(text, "zk_version\t3.8.0") {
		t.Errorf("mntr of a leader:\n%s", text)
	}
}

// base is the name of the metric behind a line of mntr.
func base(line string) string {
	name := strings.TrimPrefix(line, "zk_")
	for _, prefix := range []string{"avg_", "min_", "max_", "cnt_", "sum_", "p50_", "p95_", "p99_", "p999_"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && absent[rest] != "" {
			return rest
		}
	}
	return name
}

func TestSummary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s Summary
	var all []int64
	for range 100_000 {
		v := int64(math.Exp(r.NormFloat64()*2 + 13)) // around half a millisecond, over six powers of ten
		all = append(all, v)
		s.Observe(v)
	}
	slices.Sort(all)
	var m Metric
	s.into(&m, 1)
	if m.Count != 100_000 || int64(m.Min) != all[0] || int64(m.Max) != all[len(all)-1] {
		t.Errorf("count %d, min %v, max %v; want 100000, %d, %d", m.Count, m.Min, m.Max, all[0], all[len(all)-1])
	}
	for i, q := range QuantileRanks {
		exact := float64(all[int(q*float64(len(all)))-1])
		if off := math.Abs(m.Quantiles[i]/exact - 1); off > 1.0/16 {
			t.Errorf("quantile %v is %v, exactly it is %v: off by %.3f", q, m.Quantiles[i], exact, off)
		}
	}
}

func TestSummaryAtItsBounds(t *testing.T) {
	for v := range int64(1 << 12) {
		if got := middle(bucket(v)); math.Abs(float64(got-v)) > float64(v)/16 {
			t.Fatalf("%d is counted as %d", v, got)
		}
	}
	var s Summary
	for _, v := range []int64{-5, 0, math.MaxInt64, 1 << 42, 1<<42 - 1} {
		if b := bucket(max(v, 0)); b < 0 || b >= bucketLen {
			t.Fatalf("%d falls into bucket %d of %d", v, b, bucketLen)
		}
		s.Observe(v)
	}
	var m Metric
	s.into(&m, 1)
	if m.Min != 0 || m.Count != 5 {
		t.Errorf("min %v, count %d", m.Min, m.Count)
	}
	var empty Metric
	new(Summary).into(&empty, 1)
	if !math.IsNaN(empty.Quantiles[0]) || empty.Count != 0 {
		t.Errorf("an empty summary says %+v", empty)
	}
	for _, f := range (Metric{Name: "x", Kind: Distribution, Quantiles: empty.Quantiles}).figures() {
		if f.value != "0" && f.value != "0.0" {
			t.Errorf("%s of an empty summary is %s", f.name, f.value)
		}
	}
}

func TestQuantilesForgetTheOldWindow(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := new(Meters)
	median := func() float64 {
		for _, x := range m.Metrics() {
			if x.Name == "readlatency" {
				return x.Quantiles[0]
			}
		}
		t.Fatal("no readlatency")
		return 0
	}
	m.Rotate(start)
	for range 100 {
		m.ReadLatency.Observe(int64(time.Second))
	}
	m.Rotate(start.Add(Window))
	m.ReadLatency.Observe(int64(time.Millisecond))
	if got := median(); got < 950 || got > 1050 {
		t.Errorf("median %v ms, want about 1000: the last window still counts", got)
	}
	m.Rotate(start.Add(2 * Window))
	m.Rotate(start.Add(2*Window + time.Second))
	if got := median(); got < 0.9 || got > 1.1 {
		t.Errorf("median %v ms, want about 1: the window before the last is gone", got)
	}
	m.Reset()
	if got := median(); !math.IsNaN(got) {
		t.Errorf("median %v after a reset", got)
	}
}

func TestNamespaces(t *testing.T) {
	var m Meters
	m.ReadPerNamespace.Observe("/a/b/c", 10)
	m.ReadPerNamespace.Observe("/a", 30)
	m.ReadPerNamespace.Observe("/", 5)
	m.ReadPerNamespace.Observe("", 5)
	for i := range 2 * maxKeys {
		m.WritePerNamespace.Observe("/"+strings.Repeat("x", i+1), 1)
	}
	writes := 0
	for _, x := range m.Metrics() {
		if x.Name == "read_per_namespace" && (x.Key != "a" || x.Count != 2 || x.Sum != 40) {
			t.Errorf("reads %+v", x)
		}
		if x.Name == "write_per_namespace" {
			writes++
		}
	}
	if writes != maxKeys {
		t.Errorf("%d namespaces, want the limit of %d", writes, maxKeys)
	}
	if got := (Metric{Name: "read_per_namespace", Key: "a", Kind: Tally, Count: 2, Sum: 41}).figures()[0]; got.name != "avg_a_read_per_namespace" || got.value != "20.5" {
		t.Errorf("figure %+v", got)
	}
}

func BenchmarkObserve(b *testing.B) {
	var s Summary
	v := int64(12345)
	for b.Loop() {
		v = v*6364136223846793005 + 1442695040888963407
		s.Observe(v >> 30 & (1<<30 - 1))
	}
}
