package consensus

import "time"

// An Ensemble is what a configuration says of the members and of their dealings with each other. Its zero
// value is a member alone.
type Ensemble struct {
	Servers []Server // by id
	Groups  []Group  // of hierarchical quorums; by id
	// InitLimit and SyncLimit are how long a follower may take to catch up, and to answer.
	InitLimit, SyncLimit time.Duration
	// ConnectLimit is how long a learner tries to reach the leader; 0: InitLimit.
	ConnectLimit time.Duration
	// Observer: this member has no vote.
	Observer bool
	// ListenAll: the ports for members on all addresses, not only on the one the others know.
	ListenAll bool
	// NotAlone: a single server is an ensemble of one, not a server alone (standaloneEnabled=false).
	NotAlone bool
	// Dynamic is the file that holds Servers and Groups, "" when they stand in the configuration itself.
	Dynamic string
}

// A Server is a line server.N.
type Server struct {
	ID       int64
	Peers    []Peer // its addresses, at least one
	Observer bool
	Client   string // host:port where clients connect; the host may be empty; "": not said
	Weight   int64  // in hierarchical quorums; 1 unless said
}

// A Peer is one address at which other members find a server.
type Peer struct {
	Host             string
	Quorum, Election uint16
}

// A Group is a line group.N of hierarchical quorums.
type Group struct {
	ID      int64
	Members []int64
}

// Voters is how many of the servers vote.
func (e Ensemble) Voters() int {
	n := 0
	for _, s := range e.Servers {
		if !s.Observer {
			n++
		}
	}
	return n
}
