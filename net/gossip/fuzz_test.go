package gossip

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// everySection is a beat that holds one section of each kind.
func everySection() beat {
	b := plainBeat()
	m := member{state: Suspect, incarnation: 3, boot: [16]byte{4}, addr: testAddr(5)}
	six := member{state: Alive, boot: [16]byte{5}, addr: netip.MustParseAddrPort("[2001:db8::1]:7946")}
	p := appendSaid(nil, Adverts, 7, []byte("said"))
	p = appendShout(p, Votes, []byte("shouted"))
	p = appendHead(p, secLeave, 0)
	p = appendAfter(p, "")
	p = appendAfter(p, "a")
	p = appendHead(p, secTable, 0)
	p = m.appendTo(p, "a")
	p = six.appendTo(p, "b")
	p = word{topic: Summary, version: 9, boot: [16]byte{4}, body: []byte("word")}.appendTo(p, "a")
	p = appendAsk(p, "b")
	p = appendAnswer(p, time.Second, "b")
	b.sections = append(appendHead(p, secPad, 2), 0, 0)
	return b
}

// A seed that does not parse, or lacks a kind, leaves the fuzzer to find the format
// out by itself.
func TestEverySectionHasEveryKind(t *testing.T) {
	b, err := parseBeat(everySection().appendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b.appendTo(nil)); n > fuzzBeat {
		t.Errorf("%d bytes: FuzzBeat does not look at it", n)
	}
	var kinds []byte
	for rest := b.sections; len(rest) > 0; {
		kind, _, next, ok := cutSection(rest)
		if !ok {
			t.Fatalf("breaks at %x", rest)
		}
		kinds, rest = append(kinds, kind), next
	}
	slices.Sort(kinds)
	var want []byte
	for k := byte(secSaid); k <= secTable; k++ {
		want = append(want, k)
	}
	if got := slices.Compact(kinds); !slices.Equal(got, want) {
		t.Errorf("kinds %v, want %v", got, want)
	}
}

// Go's fuzzer makes what it finds smaller before it goes on, in time that grows
// with the square of the length: with datagrams of full size it does nothing else.
const (
	fuzzBeat = 400 // bytes; a beat with a section of each kind is shorter
	fuzzSeal = 64
)

// FuzzSeal opens garbage, what was sealed, and that with a bit flipped.
func FuzzSeal(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add([]byte("a beat"), uint16(200))
	r, err := newRing([]Key{{8}, testKey})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte, flip uint16) {
		if len(p) > fuzzSeal {
			return
		}
		if _, ok := r.open(nil, append(make([]byte, headerLen+tagLen), p...)); ok {
			t.Fatal("garbage opens")
		}
		s := r.seal(append(make([]byte, headerLen, MaxPacket), p...), [16]byte{1}, 1)
		got, ok := r.open(nil, s)
		if !ok || !slices.Equal(got, p) {
			t.Fatalf("sealed %x, opened %x %v", p, got, ok)
		}
		n := int(flip) % (8 * len(s))
		s[n/8] ^= 1 << (n % 8)
		if _, ok := r.open(nil, s); ok {
			t.Fatalf("opens with bit %d flipped", n)
		}
	})
}

// FuzzBeat parses what may be in a sealed beat: garbage, truncated and flipped
// beats. What parses must come out as it went in.
func FuzzBeat(f *testing.F) {
	whole := everySection().appendTo(nil)
	f.Add(whole)
	f.Add(plainBeat().appendTo(nil))
	for n := range whole {
		if n%7 == 0 {
			f.Add(whole[:n])
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > fuzzBeat {
			return
		}
		b, err := parseBeat(p)
		if err != nil {
			return
		}
		if again := b.appendTo(nil); !slices.Equal(again, p) {
			t.Fatalf("%x came back as %x", p, again)
		}
		for rest := b.sections; len(rest) > 0; {
			kind, body, next, ok := cutSection(rest)
			if !ok {
				t.Fatalf("sections of a parsed beat break: %x", rest)
			}
			again := rest[:secHead+len(body)]
			switch kind {
			case secMember:
				m, _ := parseMember(body)
				if q := m.appendTo(nil, string(m.name)); !slices.Equal(q, again) {
					t.Fatalf("member %x came back as %x", again, q)
				}
			case secWord:
				w, _ := parseWord(body)
				if q := w.appendTo(nil, string(w.name)); !slices.Equal(q, again) {
					t.Fatalf("word %x came back as %x", again, q)
				}
			}
			rest = next
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= # one\n"))
	f.Add([]byte("#\n\n\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if (err == nil) != (len(keys) > 0) || len(keys) > MaxKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
	})
}

// FuzzStep feeds a Core with what one who has the key may send, valid handshake
// and all: the table stays sorted and bounded, what is sent fits and opens.
func FuzzStep(f *testing.F) {
	f.Add([]byte("junk"), everySection().sections, byte(0), byte(2))
	f.Add([]byte{}, everySection().sections, byte(flagAnswer|flagPing), byte(3))
	f.Add([]byte{}, []byte{secLeave, 0, 0}, byte(flagMesh|flagTick), byte(2))
	f.Fuzz(func(t *testing.T, junk, sections []byte, flags, boot byte) {
		w := newWired(t, 2, 10*time.Millisecond, func(i int, cfg *Config) { cfg.Mesh = 2 + i })
		w.run(3)
		c := w.cores[0]
		check := func(effects []Effect) {
			for _, e := range effects {
				if s, ok := e.(*Send); ok {
					if len(s.Packet) > MaxPacket {
						t.Fatalf("%d bytes", len(s.Packet))
					}
					plain, ok := c.ring.open(nil, s.Packet)
					if !ok {
						t.Fatal("what was sent does not open")
					}
					if _, err := parseBeat(plain); err != nil {
						t.Fatalf("what was sent does not parse: %x", plain)
					}
				}
			}
			if !slices.IsSortedFunc(c.hosts, func(a, b *host) int { return compareName(a, b.name) }) ||
				len(c.names) != len(c.hosts) || len(c.hosts) >= MaxHosts {
				t.Fatalf("table broken: %v", c.Hosts())
			}
		}
		check(c.Step(w.now, Heard{From: testAddr(1), Packet: junk}))
		r := rand.New(rand.NewPCG(1, uint64(boot)))
		for i := range uint64(8) {
			b := plainBeat()
			b.flags, b.sections = flags, sections
			b.name = []byte{"xab"[r.IntN(3)]}
			b.echo = c.strangerCookie(b.name)
			if h := c.find(b.name); h != nil {
				b.echo = h.cookie
			}
			b.incarnation = r.Uint32() >> r.IntN(32)
			if len(b.appendTo(nil)) > MaxPacket-headerLen-tagLen {
				return
			}
			p := sealed(testKey, boot|1<<6+byte(r.IntN(2)), 1000+i, b)
			check(c.Step(w.now, Heard{From: testAddr(7), Packet: p}))
			w.now = w.now.Add(time.Duration(r.IntN(12)) * time.Millisecond)
			check(c.Step(w.now, nil))
		}
		for range 60 {
			w.now = w.now.Add(10 * time.Millisecond)
			check(c.Step(w.now, nil))
		}
	})
}
