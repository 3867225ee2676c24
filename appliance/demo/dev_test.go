package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/net/vip"
)

var someParts = []string{"active", "backup", "dead", "lb1", "lb2", "web1", "web2", "web3", "zab1"}

func TestScript(t *testing.T) {
	for text, want := range map[string]string{
		"kill lb1":                          "kill lb1",
		"kill lb1; wait;kill web2\nwait 2s": "kill lb1|wait|kill web2|wait 2s",
		" ; ;\n":                            "",
		"k active;r dead;h;s;q":             "kill active|revive dead|release|status|quit",
		"drain web1; u web1":                "drain web1|undrain web1",
		DefaultScript:                       strings.ReplaceAll(DefaultScript, "; ", "|"),
	} {
		script, err := parseScript(text, someParts)
		var got []string
		for _, c := range script {
			got = append(got, c.String())
		}
		if strings.Join(got, "|") != want || err != nil {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"kil lb1", "kill", "kill lb1 lb2", "kill lb3", "drain lb1", "release lb1", "wait soon", "wait -1s", "wait 2h", "wait 1s 2s", "status now",
	} {
		if script, err := parseScript(text, someParts); err == nil {
			t.Errorf("%q was taken for %v", text, script)
		}
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	for name, v := range verbs {
		if text := help(); !strings.Contains(text, "  "+v.short+"  "+name) {
			t.Errorf("help does not name %s:\n%s", name, text)
		}
	}
}

// talk asks the segment who answers.
func talk(addr netip.AddrPort) (string, error) {
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// greeter says its name to everyone.
func greeter(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, name)
			c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestSegmentFollowsAnnouncements(t *testing.T) {
	s, err := newSegment(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	go s.run()
	defer s.close()
	addr := s.listener.Addr().(*net.TCPAddr).AddrPort()
	a, b := s.plug("a", greeter(t, "a")), s.plug("b", greeter(t, "b"))
	expect := func(what, want string, holders ...string) {
		t.Helper()
		got, err := talk(addr)
		if want == "" && err == nil {
			t.Errorf("%s: %q answers, nobody should", what, got)
		}
		if want != "" && (got != want || err != nil) {
			t.Errorf("%s: %q answers (%v), want %q", what, got, err, want)
		}
		if got := s.holders(a, b); !slices.Equal(got, holders) {
			t.Errorf("%s: held by %v, want %v", what, got, holders)
		}
	}
	var c vip.Config
	expect("at first", "")
	a.Announce(c)
	expect("announced but not held", "")
	a.Add(c)
	expect("held but not announced", "", "a")
	a.Announce(c)
	expect("held and announced", "a", "a")
	b.Add(c)
	expect("held by another too", "a", "a", "b")
	b.Announce(c)
	expect("announced by the other", "b", "a", "b")
	a.Remove(c)
	expect("handed over", "b", "b")
	b.unplug()
	expect("the holder is dead", "")
	b.Add(c)
	b.Announce(c)
	expect("the dead speak", "")
	a.Add(c)
	a.Announce(c)
	expect("taken over", "a", "a")
}

func TestNarratorPrintsOneLineForEachRecord(t *testing.T) {
	var out bytes.Buffer
	n := newNarrator(&out)
	log := n.log("lb1", slog.LevelInfo)
	log.Debug("hidden")
	log.With("vip", "web").WithGroup("g").Warn("moved", "to", "a b", slog.Group("h", "n", 3))
	line := out.String()
	for _, want := range []string{"lb1", "warn: moved", " vip=web", ` g.to="a b"`, " g.h.n=3"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q does not contain %q", line, want)
		}
	}
	if strings.Count(line, "\n") != 1 || strings.Contains(line, "hidden") {
		t.Errorf("not one line: %q", line)
	}
}

func TestTally(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	l := &Load{requests: []request{
		{start: at(0), end: at(1), server: "web1"},
		{start: at(50), end: at(51), server: "web2"},
		{start: at(60), end: at(1100), server: "web2"}, // after a retransmission
		{start: at(70), end: at(71), err: errors.New("refused")},
		{start: at(200), end: at(201), server: "web1"},
		{start: at(900), end: at(901), server: "web3"}, // outside
	}}
	got := l.Tally(at(-100), at(210))
	if got.Served != 4 || got.Failed != 1 || got.Slow != 1 || got.By["web2"] != 2 || got.By["web3"] != 0 || got.Outage != 150*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if got.FirstError == nil || !strings.Contains(got.String(), "refused") {
		t.Errorf("the error is lost: %v", got)
	}
}

func TestOutage(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	p := &Ping{}
	for ms := range 100 {
		p.probes = append(p.probes, probe{sent: at(ms), answered: ms < 20 || ms >= 60 && ms < 90})
	}
	for _, c := range []struct {
		from, to int
		want     time.Duration
		lost     int
	}{
		{0, 15, time.Millisecond, 0},
		{0, 80, 41 * time.Millisecond, 40},  // from the last answered to the first
		{30, 80, 41 * time.Millisecond, 30}, // it was open already
		{0, 40, 21 * time.Millisecond, 21},  // and is open still
		{61, 99, 10 * time.Millisecond, 10},
	} {
		if got := p.Outage(at(c.from), at(c.to)); got.Longest != c.want || got.Lost != c.lost {
			t.Errorf("%d to %d: %v, %d lost; want %v, %d", c.from, c.to, got.Longest, got.Lost, c.want, c.lost)
		}
	}
}

func TestDevRefusesWhatItCannotDo(t *testing.T) {
	for _, cfg := range []DevConfig{
		{Address: netip.MustParseAddrPort("10.0.0.1:80")},
		{Address: netip.MustParseAddrPort("[::1]:80")},
		{Address: netip.MustParseAddrPort("127.0.0.1:0")},
		{Script: "kill everybody"},
	} {
		cfg.Out = io.Discard
		if err := Dev(t.Context(), cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// The whole demonstration in this process: a crash of the active host and a
// failed web server, and back.
func TestDev(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := Dev(ctx, DevConfig{
		Address: netip.MustParseAddrPort("127.0.91.100:18080"),
		Script:  "wait; kill active; wait; revive dead; wait; kill web2; wait; revive web2; drain web1; wait; undrain web1; status",
		Out:     &out,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"requests served", "lb1", "lb2", "server down", "server up", "web3    alive"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
}

// A person's commands, a mistake among them.
func TestDevConverses(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := Dev(ctx, DevConfig{
		Address:  netip.MustParseAddrPort("127.0.92.100:18080"),
		In:       strings.NewReader("nonsense\nrelease\nkill web1\nkill web1\nq\n"),
		Terminal: true,
		Out:      &out,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{`"nonsense" is no command`, "handed over", "it is dead already", "longest outage"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
}
