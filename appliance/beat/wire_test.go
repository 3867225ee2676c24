package beat

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

func pipes(t *testing.T) (a, b *pipe) {
	t.Helper()
	fa, fb, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	if a, err = newPipe(fa); err != nil {
		t.Fatal(err)
	}
	if b, err = newPipe(fb); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.conn.Close(); b.conn.Close() })
	return a, b
}

func TestMessagesCrossThePipeWhole(t *testing.T) {
	a, b := pipes(t)
	long := &Status{Error: strings.Repeat("x", 3*maxChunk+17)}
	exact := &Status{} // its JSON ends with a packet
	size := func(s *Status) int {
		j, err := json.Marshal(message{Status: s})
		if err != nil {
			t.Fatal(err)
		}
		return len(j)
	}
	exact.Error = "x"
	exact.Error = strings.Repeat("x", 1+2*maxChunk-size(exact))
	if n := size(exact); n != 2*maxChunk {
		t.Fatalf("the message has %d bytes", n)
	}
	s := testSettings("a", "web")
	s.Cluster.Join = []string{"10.0.0.1:7946"}
	s.VIPs[0].Preempt = new(false)
	for _, m := range []message{
		{Stop: true},
		{Configure: &configure{Seq: 7, Settings: s}},
		{Status: long},
		{Status: exact},
		{Inbox: &inbox{Topic: gossip.Votes, Hosts: []heartbeat.HostState{{
			Name: "b", Addr: netip.MustParseAddrPort("10.0.0.2:7946"), Alive: true, Said: []byte{0, 255}, Beats: 3,
		}}}},
		{Change: &vip.Change{Time: time.Unix(5, 0).UTC(), Name: "web", To: "active"}},
	} {
		sent := make(chan error, 1)
		go func() { sent <- a.send(m) }()
		got, err := b.receive()
		if err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, want %+v", got, m)
		}
	}
}

func TestPipeRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for what, packet := range map[string][]byte{
		"a packet without content":  {lastChunk},
		"an unknown first byte":     {7, '{', '}'},
		"no JSON":                   {lastChunk, '{'},
		"a packet that is too long": make([]byte, maxChunk+2),
	} {
		a, b := pipes(t)
		if _, err := a.conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		if m, err := b.receive(); err == nil || isEnd(err) {
			t.Errorf("%s: got %+v, %v", what, m, err)
		}
	}
}

func TestPipeRefusesAnEndlessMessage(t *testing.T) {
	a, b := pipes(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		packet := append([]byte{moreChunks}, make([]byte, maxChunk)...)
		for {
			if _, err := a.conn.Write(packet); err != nil {
				return
			}
		}
	}()
	if _, err := b.receive(); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
	b.conn.Close()
	<-ended
}

func TestOutboxKeepsTheLatestStateAndTheNewestEvents(t *testing.T) {
	o := newOutbox()
	for i := range 1000 {
		o.put("a", message{Health: &health{Delta: i}})
		o.push(message{Answer: &answer{Seq: uint64(i)}})
	}
	o.put("b", message{Stop: true})
	all := o.take()
	if len(all) != 2+maxEvents || all[0].Health.Delta != 999 || !all[1].Stop ||
		all[2].Answer.Seq != 1000-maxEvents || all[len(all)-1].Answer.Seq != 999 {
		t.Errorf("%d messages, the first %+v, the last %+v", len(all), all[0], all[len(all)-1])
	}
	if o.lost() != 1000-maxEvents {
		t.Errorf("%d lost", o.lost())
	}
	if again := o.take(); len(again) != 0 {
		t.Errorf("taken twice: %d", len(again))
	}
}

func FuzzParseChunk(f *testing.F) {
	f.Add([]byte{lastChunk, '{', '}'}, 0)
	f.Add([]byte{moreChunks, 'x'}, maxMessage-1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, b []byte, have int) {
		if have < 0 || have > maxMessage {
			return
		}
		_, rest, err := parseChunk(b, have)
		if err == nil && (have+len(rest) > maxMessage || len(rest) != len(b)-1) {
			t.Errorf("%d bytes after %d gave %d", len(b), have, len(rest))
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(`{"configure":{"seq":1,"settings":{"Node":"a"}}}`))
	f.Add([]byte(`{"inbox":{"topic":2,"hosts":[{"Name":"b","Said":"AA=="}]}}`))
	f.Add([]byte(`{"status":{"running":true},"stop":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		if _, err := json.Marshal(m); err != nil && !strings.Contains(err.Error(), "Time") {
			t.Errorf("parsed, but does not encode: %v", err)
		}
	})
}
