package pool

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

var t0 = time.Unix(1_700_000_000, 0)

func at(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 80)
}

// randomTable draws from few names and addresses, so that tables overlap.
func randomTable(r *rand.Rand) (t Table) {
	for _, name := range r.Perm(5)[:r.IntN(6)] {
		v := VirtualService{Name: fmt.Sprintf("s%d", name), Listen: []netip.AddrPort{at(100 + name), at(r.IntN(3))},
			Scheduler: Schedulers()[r.IntN(2)], SendProxy: r.IntN(4) == 0, Protocol: Protocol(r.IntN(2))}
		for _, n := range r.Perm(5)[:r.IntN(6)] {
			v.Servers = append(v.Servers, RealServer{at(n), r.IntN(3)})
		}
		t.Services = append(t.Services, v)
	}
	return t.Sorted()
}

func same(a, b Table) bool {
	return slices.EqualFunc(a.Services, b.Services, func(x, y VirtualService) bool {
		return x.equalOptions(y) && slices.Equal(x.Servers, y.Servers)
	})
}

func TestDiffLeadsFromHaveToWant(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		have, want := randomTable(r), randomTable(r)
		changes := Diff(have, want)
		got := have.Apply(changes)
		if !same(got, want) {
			t.Fatalf("seed %d: have %+v\nwant %+v\ngot %+v\nby %+v", seed, have, want, got, changes)
		}
		if again := Diff(got, want); len(again) != 0 {
			t.Fatalf("seed %d: a second Diff still says %+v", seed, again)
		}
		if twice := Diff(have, want); !reflect.DeepEqual(changes, twice) {
			t.Fatalf("seed %d: two orders: %+v and %+v", seed, changes, twice)
		}
	}
}

// A field added to VirtualService and forgotten in equalOptions would never be applied.
func TestEveryOptionIsCompared(t *testing.T) {
	base := VirtualService{Name: "a", Listen: []netip.AddrPort{at(1)}}
	typ := reflect.TypeFor[VirtualService]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		if name == "Servers" {
			continue
		}
		other := base
		f := reflect.ValueOf(&other).Elem().Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString("b")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(7)
		case reflect.Uint8:
			f.SetUint(1)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]netip.AddrPort{at(2)}))
		case reflect.Struct:
			f.Set(reflect.ValueOf(at(9)))
		default:
			t.Fatalf("field %s of kind %v: teach this test", name, f.Kind())
		}
		if base.equalOptions(other) {
			t.Errorf("a changed %s goes unnoticed", name)
		}
	}
}

func TestDiffTouchesOnlyWhatChanged(t *testing.T) {
	have := Table{Services: []VirtualService{
		{Name: "gone", Servers: []RealServer{{at(1), 1}}},
		{Name: "kept", Servers: []RealServer{{at(1), 1}, {at(2), 1}, {at(3), 1}}},
	}}
	want := Table{Services: []VirtualService{
		{Name: "kept", Servers: []RealServer{{at(1), 1}, {at(2), 0}, {at(4), 1}}},
		{Name: "new", Servers: []RealServer{{at(1), 1}}},
	}}
	var got []string
	for _, c := range Diff(have, want) {
		got = append(got, fmt.Sprint(c.Op, " ", c.Service.Name, " ", c.Server.Address, " ", c.Server.Weight))
		if c.Service.Servers != nil {
			t.Errorf("%v carries servers", c)
		}
	}
	wanted := []string{
		"delete service gone invalid AddrPort 0",
		"delete server kept 10.0.0.3:80 1", "edit server kept 10.0.0.2:80 0", "add server kept 10.0.0.4:80 1",
		"add service new invalid AddrPort 0", "add server new 10.0.0.1:80 1",
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("got\n%q\nwant\n%q", got, wanted)
	}
}

func TestStrongestReasonWins(t *testing.T) {
	const slow = 10 * time.Second
	for _, maint := range []bool{false, true} {
		for _, drain := range []bool{false, true} {
			for _, healthy := range []bool{false, true} {
				for _, fresh := range []bool{false, true} {
					m := Server{Address: at(1), Weight: 3, Healthy: healthy, Drain: drain, Maintenance: maint, Since: t0.Add(-slow)}
					if fresh {
						m.Since = t0
					}
					want, weight, listed := Up, 30, true
					switch {
					case maint:
						want, weight, listed = Maint, 0, false
					case drain:
						want, weight = Draining, 0
					case !healthy:
						want, weight, listed = Down, 0, false
					case fresh:
						want, weight = Warming, 3
					}
					if s, w, l := m.State(t0, slow); s != want || w != weight || l != listed {
						t.Errorf("%+v: %v %d %v, want %v %d %v", m, s, w, l, want, weight, listed)
					}
				}
			}
		}
	}
	if s, w, l := (Server{Healthy: true}).State(t0, 0); s != Draining || w != 0 || !l {
		t.Errorf("configured weight 0: %v %d %v, want draining", s, w, l)
	}
}

func TestSlowStartRampsInTenSteps(t *testing.T) {
	const slow = 10 * time.Second
	services := []Service{{
		VirtualService: VirtualService{Name: "web"}, SlowStart: slow,
		Members: []Server{{Address: at(1), Weight: 2, Healthy: true, Since: t0}, {Address: at(2), Weight: 1, Healthy: true}},
	}}
	now := t0
	for step := 1; step <= 10; step++ {
		table, next := Reduce(now, services)
		if got := table.Services[0].Servers; got[0].Weight != 2*step || got[1].Weight != 10 {
			t.Errorf("step %d: %v, want %d and 10", step, got, 2*step)
		}
		if early, _ := Reduce(next.Add(-1), services); step < 10 && early.Services[0].Servers[0].Weight != 2*step {
			t.Errorf("step %d ends before its time", step)
		}
		if step == 10 {
			// The tenth step is the last tenth of the time: the full weight is reached in it.
			next = t0.Add(slow)
			if _, n := Reduce(next, services); !n.IsZero() {
				t.Errorf("warm, and still asks to be asked at %v", n)
			}
		}
		now = next
	}
}

func TestSlowStartAsksAgainExactlyWhenTheWeightChanges(t *testing.T) {
	for _, slow := range []time.Duration{1, 7, 999, time.Second/3 + 1, time.Minute} {
		m := Server{Weight: 1, Healthy: true, Since: t0}
		now, steps := t0, 0
		for {
			next := m.Next(now, slow)
			if next.IsZero() {
				break
			}
			if !next.After(now) {
				t.Fatalf("slow start %v: at %v asks for %v", slow, now.Sub(t0), next.Sub(t0))
			}
			now = next
			if steps++; steps > 10 {
				t.Fatalf("slow start %v: more than ten steps", slow)
			}
		}
		if s, _, _ := m.State(now, slow); s != Up {
			t.Errorf("slow start %v ends %v", slow, s)
		}
	}
}

func TestSorryServerStandsInOnlyWhenNobodyTakesConnections(t *testing.T) {
	sorry := at(99)
	reduce := func(members ...Server) []RealServer {
		table, _ := Reduce(t0, []Service{{VirtualService: VirtualService{Name: "web", Sorry: sorry}, Members: members}})
		return table.Services[0].Servers
	}
	up := Server{Address: at(1), Weight: 1, Healthy: true}
	down := Server{Address: at(2), Weight: 1}
	draining := Server{Address: at(3), Weight: 1, Healthy: true, Drain: true}
	for _, c := range []struct {
		members []Server
		want    []RealServer
	}{
		{nil, []RealServer{{sorry, 1}}},
		{[]Server{down}, []RealServer{{sorry, 1}}},
		{[]Server{draining, down}, []RealServer{{at(3), 0}, {sorry, 1}}},
		{[]Server{up, down}, []RealServer{{at(1), 1}}},
		{[]Server{{Address: sorry, Weight: 1, Healthy: true, Drain: true}}, []RealServer{{sorry, 1}}},
	} {
		if got := reduce(c.members...); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.members, got, c.want)
		}
	}
}

func TestProtocolText(t *testing.T) {
	for _, p := range []Protocol{TCP, UDP} {
		b, _ := p.MarshalText()
		var q Protocol
		if err := q.UnmarshalText(b); err != nil || q != p {
			t.Errorf("%s: %v, %v", b, q, err)
		}
	}
	var p Protocol
	if err := p.UnmarshalText([]byte("sctp")); err == nil {
		t.Error("sctp was taken")
	}
}

func ExampleDiff() {
	web := func(weight int) Table {
		return Table{Services: []VirtualService{{Name: "web", Servers: []RealServer{{netip.MustParseAddrPort("10.0.0.1:80"), weight}}}}}
	}
	for _, c := range Diff(web(1), web(0)) {
		fmt.Println(c.Op, c.Service.Name, c.Server.Address, c.Server.Weight)
	}
	// Output: edit server web 10.0.0.1:80 0
}
