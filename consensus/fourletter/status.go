package fourletter

import (
	"net/netip"
	"time"
)

// Release is the version of ZooKeeper whose protocol and files a member speaks. Clients compare it to
// decide what they may ask for.
const Release = "3.8.0"

// Version makes the version line from the revision of our own build. The date's form is the one that
// older clients' parsers demand; newer ones take it too. It is that of release 3.8.0.
func Version(revision string) string {
	if revision == "" {
		revision = "dev"
	}
	return Release + "-ha." + revision + ", built on 02/25/2022 08:49 GMT"
}

// DefaultTraceMask is what the word gtmk says until stmk sets another; nothing is traced by it here.
const DefaultTraceMask = 306

// A Status is what a member says of itself at one instant. Times of day are filled from the member's
// clock; latencies are in milliseconds, as ZooKeeper counts them.
type Status struct {
	Now     time.Time
	Started time.Time
	Version string // as Version returns it
	Serving bool   // false: most words are answered with NotServing
	// ReadOnly: without a quorum, and serving clients that agreed to stale reads.
	ReadOnly bool
	// Mode is standalone, leader, follower, observer or read-only.
	Mode   string
	Leader *Leader // of an ensemble; nil: standalone

	Zxid        int64 // of the last transaction applied
	Znodes      int
	WatchCount  int
	Ephemerals  int   // how many znodes are
	DataSize    int64 // bytes of all paths and data
	Outstanding int   // requests taken and not answered
	// Alive counts the connections; Connections lists them.
	Alive          int
	GlobalSessions int
	LocalSessions  int

	Received, Sent   int64 // packets, since start or srst
	MinLatency       float64
	AvgLatency       float64
	MaxLatency       float64
	Responses        Sizes // bytes of replies
	AuthFailed       int64
	SlowSyncs        int64 // fsyncs above fsync.warningthresholdms
	NonMTLSLocal     int64 // connections without a client certificate, from the host itself
	NonMTLSRemote    int64
	Handshakes       int     // TLS handshakes under way
	DropProbability  float64 // of the connection throttle
	OpenFiles        int64
	MaxFiles         int64
	TraceMask        int64
	FullSince        time.Time // when the log was found without room; zero: it has room
	LastSnapshotZxid int64     // -1: none
	LastSnapshotTime time.Time // zero: none
	ProposalSizes    Sizes     // of a leader
	DataDirSize      int64     // WantSizes; bytes below dataDir/version-2
	LogDirSize       int64     // WantSizes
	Connections      []Connection
	Sessions         []Session      // WantSessions
	Watches          []SessionWatch // WantWatches: data watches and those of exists, one per session and path
	Digests          []Digest       // WantDigests, oldest first
	Metrics          []Metric       // WantMetrics: what Meters.Metrics returned, and what Status has no field for
	Settings         Settings       // WantSettings
	Environment      []Property     // WantSettings: of envi
	Properties       []Property     // WantSettings: of system_properties
	ConfigText       string         // WantSettings: the ensemble's, "" standalone
	InitialConfig    string         // WantSettings: the configuration file's text
}

// Sizes are the last, smallest and largest of something, in bytes; -1: there was none yet.
type Sizes struct{ Last, Min, Max int }

// A Leader says who leads the ensemble, and what only a leader knows.
type Leader struct {
	ID       int64
	Address  string // host:port of its quorum port
	Self     bool   // this member leads
	Election string // own election address
	Quorum   string // own quorum address
	Client   string // own client address
	Voting   bool
	State    string // zabstate: election, discovery, synchronization, broadcast
	Size     int    // voting members

	Learners, SyncedFollowers, SyncedNonVoting, SyncedObservers int
	PendingSyncs                                                int
	Since                                                       time.Time
	Members                                                     []Voter
}

// A Voter is a voting member of the configuration.
type Voter struct {
	ID               int64
	Quorum, Election []string // host:port
	Client           string
	Observer         bool
}

// A Connection is one client's.
type Connection struct {
	ID     uint64 // of the member's own count: the order of the answers
	Remote netip.AddrPort
	Secure bool
	// Interest is 1 while the member reads from it, 4 while answers wait for room, 5 for both, as NIO has it.
	Interest       int
	Outstanding    int
	Received, Sent int64
	Session        int64 // 0: none yet, and the fields below mean nothing
	LastOp         int32 // code of the last operation; 0: none
	Established    time.Time
	Expires        time.Time // when it is closed if it stays silent
	Timeout        time.Duration
	LastCxid       int64 // -1: none
	LastZxid       int64 // -1: none
	LastResponse   time.Time
	LastLatency    int64 // milliseconds, as the next three
	MinLatency     int64
	AvgLatency     int64
	MaxLatency     int64
}

// A Session and when it would expire if its client stayed silent.
type Session struct {
	ID         int64
	Expires    time.Time // sessions that expire together have the same
	Local      bool
	Ephemerals []string
}

// A SessionWatch is the paths one connection watches.
type SessionWatch struct {
	Session int64
	Paths   []string
}

// A Digest is the tree's after a transaction.
type Digest struct {
	Zxid   int64
	Digest int64
}

// A Property is a name and its value.
type Property struct{ Name, Value string }

// Settings are the values of the word conf.
type Settings struct {
	ServerID          int64
	ClientPort        int // -1: none
	SecureClientPort  int // -1: none
	DataDir           string
	LogDir            string
	TickTime          time.Duration
	MaxClientCnxns    int
	MinSessionTimeout time.Duration
	MaxSessionTimeout time.Duration
	ListenBacklog     int // -1: the system's
	// Of a member of an ensemble; Ensemble says whether to show them.
	Ensemble     bool
	InitLimit    int
	SyncLimit    int
	ElectionPort int
	QuorumPort   int
	Observer     bool
}

// A Kind says how a metric counts and how it is written.
type Kind uint8

// The kinds. A Tally is a summary without quantiles, ZooKeeper's BASIC; a Distribution has them,
// ZooKeeper's ADVANCED.
const (
	Gauge Kind = iota
	Ratio      // a gauge that is not a whole number
	Counter
	Tally
	Distribution
)

// A Metric is one named figure under ZooKeeper's name.
type Metric struct {
	Name  string
	Key   string // of a set with one label, "key"; "": no set
	Kind  Kind
	Value float64 // of Gauge, Ratio, Counter
	Count int64   // of Tally and Distribution, as the following
	Sum   float64
	Min   float64
	Max   float64
	// Quantiles are those of QuantileRanks, of a Distribution; of a Tally the first alone means something.
	Quantiles [5]float64
}

// QuantileRanks are what Quantiles holds: 0.5, 0.9 and 0.99 go to Prometheus, 0.5, 0.95, 0.99 and 0.999
// into mntr.
var QuantileRanks = [5]float64{0.5, 0.9, 0.95, 0.99, 0.999}
