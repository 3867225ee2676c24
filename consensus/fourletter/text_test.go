package fourletter

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// golden is an answer captured from Apache ZooKeeper 3.8.0.
func golden(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const capturedVersion = "3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC"

// captured is the member that the captured answers describe.
func captured() *Status {
	day := time.Date(2026, 11, 22, 21, 1, 0, 0, time.UTC)
	local := func(port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), port)
	}
	first := Connection{ID: 2, Remote: local(52668), Interest: 1, Received: 39, Sent: 39, Session: 0x10000bf5df50000, LastOp: 4,
		Established: time.UnixMilli(1795381299651), Timeout: 10 * time.Second, LastCxid: 0x25, LastZxid: 0x25,
		LastResponse: time.UnixMilli(12647825), AvgLatency: 1, MaxLatency: 9, Expires: day.Add(51 * time.Second)}
	second := Connection{ID: 1, Remote: local(52670), Interest: 1, Received: 34, Sent: 34, Session: 0x10000bf5df50001, LastOp: 4,
		Established: time.UnixMilli(1795381299674), Timeout: 10 * time.Second, LastCxid: 0x21, LastZxid: 0x25,
		LastResponse: time.UnixMilli(12647824), MaxLatency: 2, Expires: day.Add(51 * time.Second)}
	return &Status{
		Now: day.Add(40 * time.Second), Started: day.Add(-67 * time.Second), Version: capturedVersion, Serving: true, Mode: "standalone",
		Zxid: 0x25, Znodes: 10, WatchCount: 4, Ephemerals: 3, DataSize: 73, Alive: 3, GlobalSessions: 2, Received: 75, Sent: 74,
		AvgLatency: 1.15282, MaxLatency: 9.7, Responses: Sizes{16, 16, 91}, OpenFiles: 82, MaxFiles: 20000, TraceMask: 306,
		LastSnapshotTime: time.Unix(1795381193, 0), DataDirSize: 67109337, LogDirSize: 67109337,
		Connections: []Connection{first, second, {ID: 3, Remote: local(52710), Received: 1, LastCxid: -1, LastZxid: -1, Expires: day.Add(51 * time.Second)}},
		Sessions: []Session{
			{ID: 0x10000bf5df50001, Expires: day.Add(49 * time.Second), Ephemerals: []string{"/b-e"}},
			{ID: 0x10000bf5df50000, Expires: day.Add(49 * time.Second), Ephemerals: []string{"/a/e2", "/a/e1"}},
		},
		Watches: []SessionWatch{{0x10000bf5df50001, []string{"/a"}}, {0x10000bf5df50000, []string{"/a", "/nope"}}},
		Settings: Settings{ClientPort: 31181, SecureClientPort: -1, DataDir: "/var/lib/zookeeper/version-2",
			LogDir: "/var/lib/zookeeper/version-2", TickTime: 2 * time.Second, MinSessionTimeout: 4 * time.Second,
			MaxSessionTimeout: 40 * time.Second, ListenBacklog: -1},
		Environment: []Property{{"zookeeper.version", capturedVersion}, {"host.name", "localhost"}},
		Properties:  []Property{{"zookeeper.snapCount", "100"}},
		Metrics:     new(Meters).Metrics(),
	}
}

// capturedLeader is a leader of three.
func capturedLeader() *Status {
	s := captured()
	s.Mode, s.Zxid, s.Znodes, s.Received, s.Sent, s.Alive, s.AvgLatency, s.MaxLatency = "leader", 0x100000015, 25, 2, 1, 1, 0, 0
	s.ProposalSizes = Sizes{89, 48, 89}
	s.Leader = &Leader{ID: 3, Self: true, Address: "127.0.0.1", State: "broadcast", Size: 3, Voting: true, Learners: 2,
		SyncedFollowers: 2, Since: s.Now, Quorum: "127.0.0.1:31403", Election: "127.0.0.1:31503", Client: "127.0.0.1:31193",
		Members: []Voter{
			{1, []string{"127.0.0.1:31401"}, []string{"127.0.0.1:31501"}, "", false},
			{2, []string{"127.0.0.1:31402"}, []string{"127.0.0.1:31502"}, "", false},
			{3, []string{"127.0.0.1:31403"}, []string{"127.0.0.1:31503"}, "127.0.0.1:31193", false},
		}}
	s.DataDirSize, s.LogDirSize = 67109493, 67109493
	c := &s.Settings
	c.ServerID, c.ClientPort, c.MaxClientCnxns = 3, 31193, 60
	c.Ensemble, c.InitLimit, c.SyncLimit, c.ElectionPort, c.QuorumPort = true, 10, 5, 31503, 31403
	s.ConfigText = "server.1=127.0.0.1:31401:31501:participant\nserver.2=127.0.0.1:31402:31502:participant\n" +
		"server.3=127.0.0.1:31403:31503:participant;127.0.0.1:31193\nversion=0"
	return s
}

func TestWordsAreApaches(t *testing.T) {
	for _, word := range []string{"conf", "crst", "dirs", "gtmk", "isro", "ruok", "srst", "srvr", "stmk", "wchc", "wchp", "wchs", "cons", "dump", "stat"} {
		t.Run(word, func(t *testing.T) {
			s := captured()
			ask := word
			switch word {
			case "stmk":
				ask += strings.Repeat("\x00", MaskLen)
			case "dump": // here the connection that asked came last
				s.Connections[0].ID, s.Connections[1].ID = 2, 1
				s.Connections[2].Remote = netip.AddrPortFrom(s.Connections[2].Remote.Addr(), 52724)
			case "stat": // and here first
				s.Received, s.Sent = 76, 75
				s.Connections[2].Remote = netip.AddrPortFrom(s.Connections[2].Remote.Addr(), 52698)
				s.Connections[2].ID = 0
			}
			if got, want := string(Text(ask, s)), golden(t, word+".txt"); got != want {
				t.Errorf("answer:\n%s\nApache's:\n%s", got, want)
			}
		})
	}
	for _, word := range []string{"srvr", "conf"} {
		if got, want := string(Text(word, capturedLeader())), golden(t, word+".leader.txt"); got != want {
			t.Errorf("%s of a leader:\n%s\nApache's:\n%s", word, got, want)
		}
	}
}

func TestEnvironmentAndHash(t *testing.T) {
	s := captured()
	want := "Environment:\nzookeeper.version=" + capturedVersion + "\nhost.name=localhost\n"
	if got := string(Text("envi", s)); got != want || !strings.HasPrefix(golden(t, "envi.txt"), want) {
		t.Errorf("envi: got %q, want %q", got, want)
	}
	s.Digests = []Digest{{0x10, -5}, {0x100000001, 7}}
	if got, want := string(Text("hash", s)), "10: -5\n100000001: 7\n"; got != want {
		t.Errorf("hash: got %q, want %q", got, want)
	}
}

func TestNotServing(t *testing.T) {
	s := captured()
	s.Serving = false
	for _, word := range Words {
		got := string(Text(word, s))
		want := NotServing + "\n"
		switch word {
		case "ruok":
			want = "imok"
		case "isro":
			want = "null"
		case "gtmk", "stmk":
			want = "306"
		case "envi":
			want = string(Text("envi", captured()))
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
	s.Serving, s.ReadOnly = true, true
	if got := string(Text("isro", s)); got != "ro" {
		t.Errorf("isro of a read-only member: %q", got)
	}
	if got := string(Text("srvr", s)); !strings.Contains(got, "\nREAD-ONLY mode; serving only read-only clients\nLatency") {
		t.Errorf("srvr of a read-only member:\n%s", got)
	}
}

func TestVersionPleasesParsers(t *testing.T) {
	v := Version("abc123")
	if want := "3.8.0-ha.abc123, built on 02/25/2022 08:49 GMT"; v != want {
		t.Errorf("version %q, want %q", v, want)
	}
	_, date, _ := strings.Cut(v, "built on ")
	if _, err := time.Parse("01/02/2006 15:04 MST", date); err != nil {
		t.Error(err)
	}
}

func TestWhitelist(t *testing.T) {
	for _, c := range []struct {
		words   []string
		has     string
		unknown string
	}{
		{[]string{"*"}, strings.Join(Words, ","), ""},
		{[]string{"stat", "ruok"}, "ruok,srvr,stat", ""},
		{[]string{" mntr", "", "what", "ruok "}, "mntr,ruok,srvr", "what"},
		{[]string{}, "srvr", ""},
	} {
		w, unknown := ParseWhitelist(c.words)
		if w.String() != c.has || strings.Join(unknown, ",") != c.unknown {
			t.Errorf("whitelist %q: has %v, unknown %q; want %s, %q", c.words, w, unknown, c.has, c.unknown)
		}
	}
	w, _ := ParseWhitelist([]string{"ruok"})
	if !w.Has("ruok") || w.Has("mntr") || w.With("mntr").Has("stat") || !w.With("mntr").Has("mntr") {
		t.Error("a whitelist has what it was given and no more")
	}
	if got := string(Refusal("wchp")); got != "wchp is not executed because it is not in the whitelist.\n" {
		t.Errorf("refusal %q", got)
	}
	for _, word := range Words {
		if !IsWord([]byte(word)) {
			t.Errorf("%s is a word", word)
		}
	}
	if IsWord([]byte("\x00\x00\x00\x2c")) || IsWord([]byte("RUOK")) {
		t.Error("what is no word is taken for one")
	}
}

func FuzzText(f *testing.F) {
	for _, w := range Words {
		f.Add(w)
	}
	f.Add("stmk\x00\x00\x00\x00\x00\x00\x00\x01")
	f.Fuzz(func(t *testing.T, word string) {
		if b := Text(word, captured()); b != nil && !IsWord([]byte(word[:4])) {
			t.Errorf("%q is no word and has an answer", word)
		}
	})
}
