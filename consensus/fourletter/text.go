package fourletter

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Text answers a word: what goes to the socket before it is closed. The word stmk is followed by the mask
// in MaskLen bytes; without them the Status's mask is said. What Wants does not name for the word is not
// looked at. An unknown word has no answer.
func Text(word string, s *Status) []byte {
	switch word {
	case "ruok":
		return []byte("imok")
	case "envi":
		return environment(s)
	case "gtmk", "stmk":
		return strconv.AppendInt(nil, s.TraceMask, 10)
	case "isro":
		return []byte(readOnlyWord(s))
	}
	if len(word) == 4+MaskLen && word[:4] == "stmk" {
		var mask uint64
		for _, c := range []byte(word[4:]) {
			mask = mask<<8 | uint64(c)
		}
		return strconv.AppendInt(nil, int64(mask), 10)
	}
	answer, ok := answers[word]
	switch {
	case !ok:
		return nil
	case !s.Serving:
		return []byte(NotServing + "\n")
	}
	return answer(s)
}

// answers are the words that need a serving member.
var answers = map[string]func(*Status) []byte{
	"conf": conf, "cons": cons, "dirs": dirs, "dump": dump, "hash": hash, "mntr": mntr,
	"srvr": func(s *Status) []byte { return stat(s, false) },
	"stat": func(s *Status) []byte { return stat(s, true) },
	"srst": func(*Status) []byte { return []byte("Server stats reset.\n") },
	"crst": func(*Status) []byte { return []byte("Connection stats reset.\n") },
	"wchs": watchSummary, "wchc": watchesBySession, "wchp": watchesByPath,
}

// A page is an answer being written.
type page struct{ b []byte }

func (p *page) text(s string)         { p.b = append(p.b, s...) }
func (p *page) int(n int64)           { p.b = strconv.AppendInt(p.b, n, 10) }
func (p *page) hex(n int64)           { p.b = strconv.AppendUint(append(p.b, "0x"...), uint64(n), 16) }
func (p *page) line(label string)     { p.text(label); p.b = append(p.b, '\n') }
func (p *page) row(l string, n int64) { p.text(l); p.int(n); p.b = append(p.b, '\n') }

func readOnlyWord(s *Status) string {
	switch {
	case !s.Serving:
		return "null"
	case s.ReadOnly:
		return "ro"
	}
	return "rw"
}

// decimal writes as Java does: at least one digit after the point, here at most four.
func decimal(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "0.0"
	}
	t := strconv.FormatFloat(math.Round(f*1e4)/1e4, 'f', -1, 64)
	if !slices.Contains([]byte(t), '.') {
		t += ".0"
	}
	return t
}

// whole is a figure where ZooKeeper has an integer.
func whole(f float64) int64 {
	if math.IsNaN(f) {
		return 0
	}
	return int64(f)
}

func stat(s *Status, clients bool) []byte {
	var p page
	p.line("Zookeeper version: " + s.Version)
	if s.ReadOnly {
		p.line("READ-ONLY mode; serving only read-only clients")
	}
	if clients {
		p.line("Clients:")
		for _, c := range byID(s.Connections) {
			p.connection(c, true)
		}
		p.line("")
	}
	p.line("Latency min/avg/max: " + strconv.FormatInt(whole(s.MinLatency), 10) + "/" + decimal(s.AvgLatency) + "/" +
		strconv.FormatInt(whole(s.MaxLatency), 10))
	p.row("Received: ", s.Received)
	p.row("Sent: ", s.Sent)
	p.row("Connections: ", int64(s.Alive))
	p.row("Outstanding: ", int64(s.Outstanding))
	p.text("Zxid: ")
	p.hex(s.Zxid)
	p.line("")
	p.line("Mode: " + s.Mode)
	p.row("Node count: ", int64(s.Znodes))
	if s.Leader != nil && s.Leader.Self {
		z := s.ProposalSizes
		p.text("Proposal sizes last/min/max: ")
		p.int(int64(z.Last))
		p.text("/")
		p.int(int64(z.Min))
		p.text("/")
		p.row("", int64(z.Max))
	}
	return p.b
}

// byID sorts connections as they came.
func byID(cs []Connection) []Connection {
	return slices.SortedFunc(slices.Values(cs), func(a, b Connection) int { return cmp.Compare(a.ID, b.ID) })
}

func (p *page) connection(c Connection, brief bool) {
	p.text(" " + javaAddress(c.Remote) + "[" + strconv.FormatInt(int64(c.Interest), 16) + "](queued=")
	p.int(int64(c.Outstanding))
	p.text(",recved=")
	p.int(c.Received)
	p.text(",sent=")
	p.int(c.Sent)
	if !brief && c.Session != 0 {
		p.text(",sid=")
		p.hex(c.Session)
		p.text(",lop=" + Operation(c.LastOp) + ",est=")
		p.int(c.Established.UnixMilli())
		p.text(",to=")
		p.int(c.Timeout.Milliseconds())
		if c.LastCxid >= 0 {
			p.text(",lcxid=")
			p.hex(c.LastCxid)
		}
		p.text(",lzxid=")
		p.hex(c.LastZxid)
		p.text(",lresp=")
		p.int(milliseconds(c.LastResponse))
		p.text(",llat=")
		p.int(c.LastLatency)
		p.text(",minlat=")
		p.int(c.MinLatency)
		p.text(",avglat=")
		p.int(c.AvgLatency)
		p.text(",maxlat=")
		p.int(c.MaxLatency)
	}
	p.line(")")
}

// javaAddress is an address as Java prints one that was never looked up by name.
func javaAddress(a netip.AddrPort) string {
	return "/" + netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
}

// milliseconds of the time of day; 0 of no time.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// operations are the short names that the word cons has for operations, by their code.
var operations = map[int32]string{
	1: "CREA", 2: "DELE", 3: "EXIS", 4: "GETD", 5: "SETD", 6: "GETA", 7: "SETA", 8: "GETC", 9: "SYNC", 11: "PING", 12: "GETC",
	13: "CHEC", 14: "MULT", 15: "CREA", 16: "RECO", 17: "CHKW", 18: "REMW", 19: "CREA", 20: "DELE", 21: "CREA", 22: "MLTR",
	101: "SETW", 103: "GETE", 104: "GETACN", 105: "STW2", 106: "ADDW", 107: "HOMI", -10: "SESS", -11: "CLOS",
}

// Operation is the short name of an operation's code, NA for those that have none.
func Operation(code int32) string {
	if name, ok := operations[code]; ok {
		return name
	}
	return "NA"
}

func cons(s *Status) []byte {
	var p page
	for _, c := range byID(s.Connections) {
		p.connection(c, false)
	}
	p.line("")
	return p.b
}

func dirs(s *Status) []byte {
	var p page
	p.row("datadir_size: ", s.DataDirSize)
	p.row("logdir_size: ", s.LogDirSize)
	return p.b
}

func environment(s *Status) []byte {
	var p page
	p.line("Environment:")
	for _, e := range s.Environment {
		p.line(e.Name + "=" + e.Value)
	}
	return p.b
}

func hash(s *Status) []byte {
	var p page
	for _, d := range s.Digests {
		p.text(strconv.FormatUint(uint64(d.Zxid), 16) + ": ")
		p.row("", d.Digest)
	}
	return p.b
}

func conf(s *Status) []byte {
	var p page
	c := s.Settings
	p.row("clientPort=", int64(c.ClientPort))
	p.row("secureClientPort=", int64(c.SecureClientPort))
	p.line("dataDir=" + c.DataDir)
	p.row("dataDirSize=", s.DataDirSize)
	p.line("dataLogDir=" + c.LogDir)
	p.row("dataLogSize=", s.LogDirSize)
	p.row("tickTime=", c.TickTime.Milliseconds())
	p.row("maxClientCnxns=", int64(c.MaxClientCnxns))
	p.row("minSessionTimeout=", c.MinSessionTimeout.Milliseconds())
	p.row("maxSessionTimeout=", c.MaxSessionTimeout.Milliseconds())
	p.row("clientPortListenBacklog=", int64(c.ListenBacklog))
	p.row("serverId=", c.ServerID)
	if c.Ensemble {
		p.row("initLimit=", int64(c.InitLimit))
		p.row("syncLimit=", int64(c.SyncLimit))
		p.line("electionAlg=3")
		p.row("electionPort=", int64(c.ElectionPort))
		p.row("quorumPort=", int64(c.QuorumPort))
		peer := int64(0)
		if c.Observer {
			peer = 1
		}
		p.row("peerType=", peer)
		p.line("membership: ")
		p.text(s.ConfigText)
	}
	return p.b
}

// dump is the sessions by when they expire, the ephemeral znodes by session, and the connections by when
// they are closed.
func dump(s *Status) []byte {
	var p page
	p.line("SessionTracker dump:")
	groups := expiries(s.Sessions, func(x Session) time.Time { return x.Expires })
	p.text("Session ")
	sets(&p, groups, len(s.Sessions), func(x Session) { p.hex(x.ID) })
	p.line("ephemeral nodes dump:")
	owners := owners(s)
	p.line("Sessions with Ephemerals (" + strconv.Itoa(len(owners)) + "):")
	for _, x := range owners {
		p.hex(x.ID)
		p.line(":")
		for _, path := range x.Ephemerals {
			p.line("\t" + path)
		}
	}
	p.line("Connections dump:")
	conns := expiries(byID(s.Connections), func(c Connection) time.Time { return c.Expires })
	p.text("Connections ")
	sets(&p, conns, len(s.Connections), func(c Connection) {
		p.text("ip: " + javaAddress(c.Remote) + " sessionId: ")
		p.hex(c.Session)
	})
	return p.b
}

// owners are the sessions with ephemeral znodes, by id.
func owners(s *Status) []Session {
	with := slices.DeleteFunc(slices.Clone(s.Sessions), func(x Session) bool { return len(x.Ephemerals) == 0 })
	slices.SortFunc(with, func(a, b Session) int { return cmp.Compare(uint64(a.ID), uint64(b.ID)) })
	return with
}

// An expiry is what ends at the same instant.
type expiry[T any] struct {
	at   time.Time
	what []T
}

// expiries groups by time, the earliest first.
func expiries[T any](all []T, at func(T) time.Time) []expiry[T] {
	byTime := map[int64][]T{}
	for _, x := range all {
		ms := milliseconds(at(x))
		byTime[ms] = append(byTime[ms], x)
	}
	var out []expiry[T]
	for _, ms := range slices.Sorted(maps.Keys(byTime)) {
		out = append(out, expiry[T]{time.UnixMilli(ms).UTC(), byTime[ms]})
	}
	return out
}

func sets[T any](p *page, groups []expiry[T], total int, one func(T)) {
	p.line("Sets (" + strconv.Itoa(len(groups)) + ")/(" + strconv.Itoa(total) + "):")
	for _, g := range groups {
		p.int(int64(len(g.what)))
		p.line(" expire at " + g.at.Format("Mon Jan 02 15:04:05 MST 2006") + ":")
		for _, x := range g.what {
			p.text("\t")
			one(x)
			p.line("")
		}
	}
}

// watchCounts are connections, paths and watches.
func watchCounts(s *Status) (conns, paths, total int) {
	distinct := map[string]bool{}
	for _, w := range s.Watches {
		total += len(w.Paths)
		for _, path := range w.Paths {
			distinct[path] = true
		}
	}
	return len(s.Watches), len(distinct), total
}

func watchSummary(s *Status) []byte {
	var p page
	conns, paths, total := watchCounts(s)
	p.line(strconv.Itoa(conns) + " connections watching " + strconv.Itoa(paths) + " paths")
	p.row("Total watches:", int64(total))
	return p.b
}

func watchesBySession(s *Status) []byte {
	var p page
	for _, w := range s.Watches {
		p.hex(w.Session)
		p.line("")
		for _, path := range w.Paths {
			p.line("\t" + path)
		}
	}
	p.line("")
	return p.b
}

// sessionsByPath turns the watches round; the sessions are sorted.
func sessionsByPath(s *Status) map[string][]int64 {
	out := map[string][]int64{}
	for _, w := range s.Watches {
		for _, path := range w.Paths {
			out[path] = append(out[path], w.Session)
		}
	}
	for _, sessions := range out {
		slices.Sort(sessions)
	}
	return out
}

func watchesByPath(s *Status) []byte {
	var p page
	by := sessionsByPath(s)
	for _, path := range slices.Sorted(maps.Keys(by)) {
		p.line(path)
		for _, session := range by[path] {
			p.text("\t")
			p.hex(session)
			p.line("")
		}
	}
	p.line("")
	return p.b
}
