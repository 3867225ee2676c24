package zab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/consensus/quorum"
)

var now = time.Unix(1_000_000, 0)

func alone(last int64) *Peer { return New(Config{ID: 1, Voters: quorum.Majority(1), Last: last}) }

func leading(last int64) *Peer {
	p := alone(last)
	p.Step(now, Elected{Leader: 1})
	return p
}

func show(effects []Effect) string {
	var out []string
	for _, e := range effects {
		out = append(out, strings.TrimPrefix(fmt.Sprintf("%T%v", e, e), "zab."))
	}
	return strings.Join(out, " ")
}

// Every event in every state: Looking; Leading with nothing under way; Leading with 6 to 8 proposed, of
// which up to 6 is persisted.
func TestEveryStateAndEvent(t *testing.T) {
	looking := func() *Peer { return alone(5) }
	idle := func() *Peer { return leading(5) }
	busy := func() *Peer {
		p := leading(5)
		p.Step(now, Propose{First: 6, Last: 8})
		p.Step(now, Persisted{Zxid: 6})
		return p
	}
	for _, c := range []struct {
		name  string
		peer  func() *Peer
		event Event
		want  string // effects; "panic" for what must not happen
		state State
		next  int64
	}{
		{"looking, time", looking, nil, "", Looking, 6},
		{"looking, elected", looking, Elected{Leader: 1}, "Lead{}", Leading, 6},
		{"looking, another elected", looking, Elected{Leader: 2}, "panic", Looking, 6},
		{"looking, propose", looking, Propose{First: 6, Last: 6}, "panic", Looking, 6},
		{"looking, persisted", looking, Persisted{Zxid: 5}, "", Looking, 6},
		{"looking, persisted what nobody proposed", looking, Persisted{Zxid: 6}, "panic", Looking, 6},
		{"looking, full", looking, Full{From: 6}, "", Looking, 6},
		{"looking, full of what is there", looking, Full{From: 5}, "panic", Looking, 6},

		{"idle, time", idle, nil, "", Leading, 6},
		{"idle, elected again", idle, Elected{Leader: 1}, "", Leading, 6},
		{"idle, propose one", idle, Propose{First: 6, Last: 6}, "Append{6 6}", Leading, 7},
		{"idle, propose many", idle, Propose{First: 6, Last: 5005}, "Append{6 5005}", Leading, 5006},
		{"idle, propose with a gap", idle, Propose{First: 7, Last: 7}, "panic", Leading, 6},
		{"idle, propose again", idle, Propose{First: 5, Last: 6}, "panic", Leading, 6},
		{"idle, propose nothing", idle, Propose{First: 6, Last: 5}, "panic", Leading, 6},
		{"idle, persisted again", idle, Persisted{Zxid: 5}, "", Leading, 6},
		{"idle, persisted what nobody proposed", idle, Persisted{Zxid: 6}, "panic", Leading, 6},
		{"idle, full again", idle, Full{From: 6}, "", Leading, 6},

		{"busy, time", busy, nil, "", Leading, 9},
		{"busy, elected again", busy, Elected{Leader: 1}, "", Leading, 9},
		{"busy, propose", busy, Propose{First: 9, Last: 9}, "Append{9 9}", Leading, 10},
		{"busy, persisted some", busy, Persisted{Zxid: 7}, "Deliver{7}", Leading, 9},
		{"busy, persisted all", busy, Persisted{Zxid: 8}, "Deliver{8}", Leading, 9},
		{"busy, persisted late", busy, Persisted{Zxid: 5}, "", Leading, 9},
		{"busy, persisted too much", busy, Persisted{Zxid: 9}, "panic", Leading, 9},
		{"busy, full", busy, Full{From: 7}, "Refuse{7 8}", Leading, 7},
		{"busy, full at the end", busy, Full{From: 8}, "Refuse{8 8}", Leading, 8},
		{"busy, full of what is durable", busy, Full{From: 6}, "panic", Leading, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.peer()
			got := func() (s string) {
				defer func() {
					if recover() != nil {
						s = "panic"
					}
				}()
				return show(p.Step(now, c.event))
			}()
			if got != c.want {
				t.Fatalf("%#v: got %q, want %q", c.event, got, c.want)
			}
			if got != "panic" && (p.State() != c.state || p.Next() != c.next) {
				t.Errorf("%#v: %v, next %d; want %v, next %d", c.event, p.State(), p.Next(), c.state, c.next)
			}
		})
	}
}

// The zxid goes on where the log ends: alone, a member keeps its epoch.
func TestEpochIsKept(t *testing.T) {
	p := leading(0x1200000034)
	if p.Next() != 0x1200000035 || EpochOf(p.Next()) != 0x12 || CounterOf(p.Next()) != 0x35 {
		t.Errorf("next is 0x%x", p.Next())
	}
	if p.Delivered() != 0x1200000034 || p.Outstanding() != 0 || !p.Deadline().IsZero() {
		t.Errorf("delivered 0x%x, %d outstanding", p.Delivered(), p.Outstanding())
	}
}

// When the counter is used up, the next epoch is durable before anything of it is logged.
func TestCounterUsedUp(t *testing.T) {
	p := leading(0x3fffffffe)
	if got := show(p.Step(now, Propose{First: 0x3ffffffff, Last: 0x3ffffffff})); got != "Append{17179869183 17179869183}" {
		t.Errorf("the last of an epoch: %q", got)
	}
	if got := show(p.Step(now, Propose{First: 0x400000000, Last: 0x400000005})); got != "Enter{4} Append{17179869184 17179869189}" {
		t.Errorf("the first of the next: %q", got)
	}
}

func TestNumbersAreGivenAgainAfterARefusal(t *testing.T) {
	p := leading(5)
	p.Step(now, Propose{First: 6, Last: 8})
	p.Step(now, Full{From: 6})
	if got := show(p.Step(now, Propose{First: 6, Last: 6})); got != "Append{6 6}" {
		t.Fatalf("got %q", got)
	}
	if got := show(p.Step(now, Persisted{Zxid: 6})); got != "Deliver{6}" {
		t.Fatalf("got %q", got)
	}
}

func TestNotAVoter(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a member without a vote leads itself")
		}
	}()
	New(Config{ID: 2, Voters: quorum.Majority(1)})
}

// The cost of a round must not depend on how many transactions it holds.
func TestRoundsAllocateLittle(t *testing.T) {
	p := leading(0)
	n := testing.AllocsPerRun(100, func() {
		first := p.Next()
		p.Step(now, Propose{First: first, Last: first + 4999})
		p.Step(now, Persisted{Zxid: first + 4999})
	})
	if n > 8 {
		t.Errorf("%.0f allocations for 5000 transactions", n)
	}
}

func ExamplePeer() {
	p := New(Config{ID: 1, Voters: quorum.Majority(1), Last: 0x100000000})
	for _, ev := range []Event{Elected{Leader: 1}, Propose{First: 0x100000001, Last: 0x100000003}, Persisted{Zxid: 0x100000003}} {
		for _, e := range p.Step(time.Unix(0, 0), ev) {
			fmt.Printf("%T -> %T %x\n", ev, e, e)
		}
	}
	// Output:
	// zab.Elected -> zab.Lead {}
	// zab.Propose -> zab.Append {100000001 100000003}
	// zab.Persisted -> zab.Deliver {100000003}
}

func TestStatesHaveNames(t *testing.T) {
	if got := []string{Looking.String(), Leading.String(), State(9).String()}; !slices.Equal(got, []string{"looking", "leading", "state 9"}) {
		t.Errorf("%v", got)
	}
}
