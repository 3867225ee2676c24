package gossip

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// restart replaces host i of a wired group by a new boot of it.
func (w *wired) restart(t *testing.T, i int, boot byte) {
	t.Helper()
	core, err := New(Config{
		Name: testName(i), Cluster: "test", Keys: []Key{testKey}, Boot: [16]byte{boot},
		Interval: 100 * time.Millisecond, Rand: rand.New(rand.NewPCG(9, uint64(boot))),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.cores[i] = core
	w.do(i, Join{Addrs: addrs(0, len(w.cores))})
	w.deliver()
}

// record lets time pass and returns what host from sent to host to.
func (w *wired) record(from, to, intervals int) [][]byte {
	var packets [][]byte
	for range intervals {
		w.now = w.now.Add(w.cores[0].cfg.Interval)
		for i := range w.cores {
			w.do(i, nil)
		}
		for _, f := range w.queue {
			if f.from == testAddr(from) && f.to == testAddr(to) {
				packets = append(packets, f.packet)
			}
		}
		w.deliver()
	}
	return packets
}

// snapshot is what a dropped datagram must not change.
func snapshot(c *Core) []Host { return c.Hosts() }

// wantDropped feeds host i a datagram that must be dropped for one of the reasons,
// and change nothing.
func (w *wired) wantDropped(t *testing.T, i int, from netip.AddrPort, packet []byte, reasons ...Reason) {
	t.Helper()
	c := w.cores[i]
	before, counters := snapshot(c), c.Counters()
	var got []Reason
	for _, e := range c.Step(w.now, Heard{From: from, Packet: packet}) {
		switch e := e.(type) {
		case *Dropped:
			got = append(got, e.Reason)
		case *Send:
			if len(e.Packet) > len(packet) {
				t.Errorf("%d bytes answered with %d", len(packet), len(e.Packet))
			}
		default:
			t.Errorf("a dropped datagram caused %T", e)
		}
	}
	if len(got) != 1 || !slices.Contains(reasons, got[0]) {
		t.Errorf("dropped for %v, want one of %v", got, reasons)
		return
	}
	after := c.Counters()
	if after.Dropped[got[0]] != counters.Dropped[got[0]]+1 || after.Heard != counters.Heard {
		t.Errorf("counter of %q: %d, then %d", got[0], counters.Dropped[got[0]], after.Dropped[got[0]])
	}
	if !slices.Equal(before, snapshot(c)) {
		t.Errorf("a dropped datagram changed the table:\n%v\n%v", before, snapshot(c))
	}
}

func TestReplayOfTheSameBoot(t *testing.T) {
	w := newWired(t, 3, 100*time.Millisecond, nil)
	w.run(5)
	packets := w.record(1, 0, 5)
	for _, p := range packets {
		w.wantDropped(t, 0, testAddr(1), p, Replayed)
	}
	w.run(100)
	for _, p := range packets {
		w.wantDropped(t, 0, testAddr(1), p, TooOld)
	}
	for _, p := range w.record(1, 2, 5) {
		w.wantDropped(t, 0, testAddr(1), p, Hello) // meant for another host
	}
}

func TestReplayOfAnOlderBootOfTheSender(t *testing.T) {
	w := newWired(t, 2, 100*time.Millisecond, nil)
	var old [][]byte // with the whole handshake
	old = append(old, w.record(1, 0, 5)...)
	for boot := byte(10); boot < 14; boot++ {
		w.now = w.now.Add(time.Second)
		w.restart(t, 1, boot)
		old = append(old, w.record(1, 0, 5)...)
	}
	w.now = w.now.Add(time.Second)
	w.restart(t, 1, 20)
	w.run(10)
	if hosts := w.cores[0].Hosts(); len(hosts) != 1 || hosts[0].Boot != [16]byte{20} || hosts[0].State != Alive {
		t.Fatalf("before the replay: %+v", hosts)
	}
	for _, p := range old {
		w.wantDropped(t, 0, testAddr(1), p, Hello)
		w.cores[0].answers = maxAnswers
	}
	// Nor when the present boot is silent, or dead.
	w.now = w.now.Add(200 * time.Millisecond)
	for _, p := range old {
		w.wantDropped(t, 0, testAddr(1), p, Hello)
	}
	for range 10 {
		w.now = w.now.Add(100 * time.Millisecond)
		w.do(0, nil)
	}
	w.queue = nil
	if s := w.cores[0].Hosts()[0].State; s != Dead {
		t.Fatalf("state %v, want lost", s)
	}
	for _, p := range old {
		w.wantDropped(t, 0, testAddr(1), p, Hello)
	}
}

func TestReplayToANewBootOfTheReceiver(t *testing.T) {
	w := newWired(t, 2, 100*time.Millisecond, nil)
	old := w.record(1, 0, 20)
	w.restart(t, 0, 30)
	for _, p := range old {
		w.wantDropped(t, 0, testAddr(1), p, Hello, Replayed, TooOld)
	}
	core := w.cores[0]
	w.cores[0], w.cores[1] = w.cores[1], core
	w.restart(t, 0, 31)
	for _, p := range old { // to one that knows nobody
		if len(w.cores[0].Hosts()) == 0 {
			w.wantDropped(t, 0, testAddr(1), p, Hello)
		}
	}
}

// What a forgotten host said when it was first met must not bring it back.
func TestReplayAfterTheHostWasForgotten(t *testing.T) {
	w := newWired(t, 2, 100*time.Millisecond, nil)
	w.run(3)
	w.restart(t, 0, 40) // now 1 is the one that was met by hello; record its first words
	w.cores[0].joins = nil
	old := w.record(1, 0, 5)
	c := w.cores[0]
	c.forget(c.hosts[0])
	for _, p := range old {
		w.wantDropped(t, 0, testAddr(1), p, Hello)
	}
}

// sealed makes a datagram as one who has the key would.
func sealed(key Key, boot byte, counter uint64, b beat) []byte {
	r, err := newRing([]Key{key})
	if err != nil {
		panic(err)
	}
	p := b.appendTo(make([]byte, headerLen, MaxPacket))
	return r.seal(p, [16]byte{boot}, counter)
}

func plainBeat() beat {
	return beat{interval: 100 * time.Millisecond, cookie: 1, echo: 2, cluster: []byte("test"), name: []byte("x")}
}

func TestDropsAreNamed(t *testing.T) {
	w := newWired(t, 2, 100*time.Millisecond, nil)
	w.run(3)
	good := w.record(1, 0, 1)[0]
	from := testAddr(1)
	with := func(f func(b *beat)) []byte {
		b := plainBeat()
		f(&b)
		return sealed(testKey, 99, 1, b)
	}
	for _, tt := range []struct {
		name   string
		packet []byte
		want   Reason
	}{
		{"empty", nil, Malformed},
		{"short", good[:minPacket-1], Malformed},
		{"truncated", good[:len(good)-1], Unsealed},
		{"long", make([]byte, MaxPacket+1), Malformed},
		{"other version", append([]byte{2}, good[1:]...), Malformed},
		{"forged", sealed(Key{9}, 99, 1, plainBeat()), Unsealed},
		{"wrong cluster", with(func(b *beat) { b.cluster = []byte("prod") }), WrongCluster},
		{"no cookie", with(func(b *beat) { b.cookie = 0 }), Garbled},
		{"bad interval", with(func(b *beat) { b.interval = time.Hour }), Garbled},
		{"bad section", with(func(b *beat) { b.sections = []byte{secSaid, 0, 1, 1} }), Garbled},
		{"section too long", with(func(b *beat) { b.sections = []byte{secPad, 0, 9, 1} }), Garbled},
		{"wrong echo", with(func(b *beat) {}), Hello},
		{"our name", with(func(b *beat) { b.name = []byte(testName(0)) }), Hello},
		{"our name, our echo", with(func(b *beat) {
			b.name = []byte(testName(0))
			b.echo = w.cores[0].selfCookie
		}), SameName},
		{"our own", sealed(testKey, 1, 1, plainBeat()), Mirrored},
		{"bad counter", sealed(testKey, 2, 0, beat{
			interval: 100 * time.Millisecond, cookie: 1, echo: w.cores[0].hosts[0].cookie,
			cluster: []byte("test"), name: []byte(testName(1)),
		}), TooOld},
	} {
		t.Run(tt.name, func(t *testing.T) { w.wantDropped(t, 0, from, tt.packet, tt.want) })
	}
	for i := range good { // every bit of the header and of the sealed part counts
		p := slices.Clone(good)
		p[i] ^= 1
		w.wantDropped(t, 0, from, p, Unsealed, Malformed)
	}
}

func TestCommandsOutOfBoundsAreDropped(t *testing.T) {
	w := newWired(t, 1, 100*time.Millisecond, nil)
	for range MaxTopics {
		w.do(0, Say{Topic: Topic(100 + len(w.cores[0].self.says))})
	}
	for _, tt := range []struct {
		ev   Event
		want Reason
	}{
		{Say{Topic: 100, Body: make([]byte, MaxBody+1)}, TooLong},
		{Say{Topic: 1}, TooLong},
		{Shout{Topic: 1, Body: make([]byte, MaxBody+1)}, TooLong},
		{Rekey{}, BadKeys},
		{Rekey{Keys: make([]Key, MaxKeys+1)}, BadKeys},
		{Tune{Interval: time.Millisecond}, BadTune},
		{Tune{Lost: 1}, BadTune},
	} {
		got := w.do(0, tt.ev)
		if len(got) != 1 || got[0].(*Dropped).Reason != tt.want {
			t.Errorf("%T: %v, want dropped for %q", tt.ev, got, tt.want)
		}
	}
	if _, ok := w.cores[0].ring.open(nil, sealed(testKey, 9, 1, plainBeat())); !ok {
		t.Error("a refused list of keys replaced the old one")
	}
}

// The sealing is XChaCha20-Poly1305 of the clear part as associated data, so that
// another implementation can open it.
func TestSealIsXChaCha20Poly1305(t *testing.T) {
	p := sealed(testKey, 7, 3, plainBeat())
	aead, err := chacha20poly1305.NewX(testKey[:])
	if err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, p[1:25], p[25:], p[:25])
	if err != nil {
		t.Fatal(err)
	}
	if want := plainBeat().appendTo(nil); !slices.Equal(plain, want) {
		t.Errorf("%x, want %x", plain, want)
	}
}

func TestKeysRotateWithoutAGap(t *testing.T) {
	w := newWired(t, 3, 100*time.Millisecond, nil)
	w.run(5)
	next := Key{7}
	check := func(step string) {
		t.Helper()
		w.run(10)
		for i, c := range w.cores {
			for _, h := range c.Hosts() {
				if h.State != Alive || w.now.Sub(h.Heard) > 0 {
					t.Fatalf("%s: host %d does not hear %s: %v", step, i, h.Name, h.State)
				}
			}
			if n := c.counters.Dropped[Unsealed]; n != 0 {
				t.Fatalf("%s: host %d could not open %d", step, i, n)
			}
		}
	}
	for _, keys := range [][]Key{{testKey, next}, {next, testKey}, {next}} {
		for i := range w.cores { // one host after the other
			w.do(i, Rekey{Keys: keys})
			check("rotation")
		}
	}
	w.do(2, Rekey{Keys: []Key{testKey}})
	w.run(10)
	if s := w.cores[0].Hosts()[1].State; s != Dead {
		t.Errorf("one with the old key is %v", s)
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, tt := range []struct {
		n      uint64
		reason Reason
		ok     bool
	}{
		{0, TooOld, false}, {1, 0, true}, {1, Replayed, false}, {3, 0, true}, {2, 0, true}, {2, Replayed, false},
		{66, 0, true}, {3, Replayed, false}, {2, TooOld, false}, {65, 0, true}, {200, 0, true}, {137, 0, true},
		{136, TooOld, false}, {199, 0, true}, {199, Replayed, false}, {1<<64 - 1, 0, true}, {200, TooOld, false},
	} {
		reason, ok := w.look(tt.n)
		if ok != tt.ok || reason != tt.reason {
			t.Errorf("%d: %v %v, want %v %v", tt.n, reason, ok, tt.reason, tt.ok)
		}
		if ok {
			w.mark(tt.n)
		}
	}
}

func TestParseKeys(t *testing.T) {
	const one, two = "AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "BwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	keys, err := ParseKeys([]byte("# ours\n" + one + "\n\n  " + two + "  # old\n"))
	if err != nil || !slices.Equal(keys, []Key{{1, 2, 3}, {7}}) {
		t.Errorf("%x, %v", keys, err)
	}
	for _, tt := range []struct{ text, want string }{
		{"", "no key"}, {"# nothing\n", "no key"}, {one + "\nsecret!", "line 2: not base64"},
		{"AQID", "line 1: 3 bytes"}, {one + "\n" + one, "line 2: the same as key 1"},
	} {
		_, err := ParseKeys([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the key: %v", err)
		}
	}
}
