package gossip

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"time"
)

// A datagram, all numbers big-endian:
//
//	 0       version, 1                          ┐ in the clear, authenticated
//	 1..16   boot of the sender                  │ boot and counter are the nonce
//	17..24   counter, from 1 upward              ┘ of XChaCha20-Poly1305
//	25..     the beat, sealed; 16 bytes of tag at the end
//
// A beat:
//
//	 0       flags
//	 1..4    interval of the sender, microseconds
//	 5..8    incarnation of the sender
//	 9..16   cookie: what the sender wants to be echoed
//	17..24   echo: the receiver's cookie as the sender knows it; 0: not known
//	25       length, name of the cluster
//	         length, name of the sender
//	         sections: kind, length (2 bytes), content
//
// A section's content by kind:
//
//	said     topic, version (4), body                         the sender's own state
//	shout    topic, body
//	leave    nothing
//	member   state, incarnation (4), boot (16), address, name  a host, as the sender sees it
//	word     topic, version (4), boot (16), name, body         another host's state
//	ask      name                                              do you hear it?
//	answer   age (4, microseconds), name                       it was heard so long ago
//	pad      anything
//	after    name, or nothing: tell of the hosts that follow it in the order of names
//	table    nothing: the member sections that follow answer an after, in order
//
// A name is preceded by its length (1 byte). An address is its length (4 or 16),
// the bytes and the port (2). Kinds and flags that are not known are passed over.
const (
	version   = 1
	headerLen = 1 + 16 + 8
	tagLen    = 16
	cookieAt  = 9 // in the beat
	echoAt    = 17
	fixedLen  = 25 // of a beat, before the names
	minPacket = headerLen + fixedLen + 4 + tagLen
)

const (
	flagMesh   = 1 << iota // the sender beats to the receiver at every interval
	flagTick               // a regular beat
	flagPing               // answer at once
	flagAnswer             // answers a hello
	flagHungry             // the sender is new: there is an after section
)

const (
	secSaid   = 1
	secShout  = 2
	secLeave  = 3
	secMember = 4
	secWord   = 5
	secAsk    = 6
	secAnswer = 7
	secPad    = 8
	secAfter  = 9
	secTable  = 10

	secHead = 3 // kind and length
)

// Intervals a Config may ask for and a beat may claim.
const (
	MinInterval = 3 * time.Millisecond
	MaxInterval = 10 * time.Second
)

var errGarbled = errors.New("gossip: parse beat: garbled")

// A beat is what a host says in one datagram. Its slices point into the bytes it was parsed from.
type beat struct {
	flags       byte
	interval    time.Duration
	incarnation uint32
	cookie      uint64
	echo        uint64
	cluster     []byte
	name        []byte
	sections    []byte // each checked
}

func (b beat) appendTo(p []byte) []byte {
	p = append(p, b.flags)
	p = binary.BigEndian.AppendUint32(p, uint32(b.interval/time.Microsecond))
	p = binary.BigEndian.AppendUint32(p, b.incarnation)
	p = binary.BigEndian.AppendUint64(p, b.cookie)
	p = binary.BigEndian.AppendUint64(p, b.echo)
	p = append(p, byte(len(b.cluster)))
	p = append(p, b.cluster...)
	p = append(p, byte(len(b.name)))
	p = append(p, b.name...)
	return append(p, b.sections...)
}

func parseBeat(p []byte) (beat, error) {
	var b beat
	if len(p) < fixedLen || len(p) > MaxPacket {
		return b, errGarbled
	}
	b.flags = p[0]
	b.interval = time.Duration(binary.BigEndian.Uint32(p[1:])) * time.Microsecond
	b.incarnation = binary.BigEndian.Uint32(p[5:])
	b.cookie = binary.BigEndian.Uint64(p[cookieAt:])
	b.echo = binary.BigEndian.Uint64(p[echoAt:])
	var ok bool
	if b.cluster, p, ok = cutName(p[fixedLen:]); !ok {
		return beat{}, errGarbled
	}
	if b.name, p, ok = cutName(p); !ok {
		return beat{}, errGarbled
	}
	if b.interval < MinInterval || b.interval > MaxInterval || b.cookie == 0 {
		return beat{}, errGarbled
	}
	b.sections = p
	for len(p) > 0 {
		var kind byte
		var body []byte
		if kind, body, p, ok = cutSection(p); !ok || !validSection(kind, body) {
			return beat{}, errGarbled
		}
	}
	return b, nil
}

// cutName takes a length and a name of that length off p.
func cutName(p []byte) (name, rest []byte, ok bool) {
	if len(p) == 0 {
		return nil, nil, false
	}
	n := int(p[0])
	if n == 0 || n > MaxName || n > len(p)-1 {
		return nil, nil, false
	}
	return p[1 : 1+n], p[1+n:], true
}

func cutSection(p []byte) (kind byte, body, rest []byte, ok bool) {
	if len(p) < secHead {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(p[1:]))
	if n > len(p)-secHead {
		return 0, nil, nil, false
	}
	return p[0], p[secHead : secHead+n], p[secHead+n:], true
}

func validSection(kind byte, p []byte) bool {
	switch kind {
	case secSaid:
		return len(p) >= 5 && len(p)-5 <= MaxBody
	case secShout:
		return len(p) >= 1 && len(p)-1 <= MaxBody
	case secLeave, secTable:
		return len(p) == 0
	case secAfter:
		_, rest, ok := cutName(p)
		return len(p) == 0 || ok && len(rest) == 0
	case secMember:
		_, ok := parseMember(p)
		return ok
	case secWord:
		_, ok := parseWord(p)
		return ok
	case secAsk:
		_, rest, ok := cutName(p)
		return ok && len(rest) == 0
	case secAnswer:
		if len(p) < 4 {
			return false
		}
		_, rest, ok := cutName(p[4:])
		return ok && len(rest) == 0
	}
	return true
}

// A member is a host as another one sees it.
type member struct {
	state       State
	incarnation uint32
	boot        [16]byte
	addr        netip.AddrPort
	name        []byte
}

func parseMember(p []byte) (m member, ok bool) {
	if len(p) < 1+4+16+1 {
		return m, false
	}
	m.state = State(p[0])
	m.incarnation = binary.BigEndian.Uint32(p[1:])
	m.boot = [16]byte(p[5:21])
	n, p := int(p[21]), p[22:]
	if (n != 4 && n != 16) || len(p) < n+2 {
		return m, false
	}
	ip, _ := netip.AddrFromSlice(p[:n])
	m.addr = netip.AddrPortFrom(ip, binary.BigEndian.Uint16(p[n:]))
	m.name, p, ok = cutName(p[n+2:])
	ok = ok && len(p) == 0 && m.state >= Alive && m.state <= Departed &&
		m.incarnation != math.MaxUint32 && m.addr.Port() != 0 && !ip.Is4In6() && !ip.IsUnspecified()
	return m, ok
}

// appendTo appends m as a section. The name is given apart, because it is a string
// in the table and bytes in a datagram.
func (m member) appendTo(p []byte, name string) []byte {
	ip := m.addr.Addr()
	n := ip.BitLen() / 8
	p = appendHead(p, secMember, 1+4+16+1+n+2+1+len(name))
	p = append(p, byte(m.state))
	p = binary.BigEndian.AppendUint32(p, m.incarnation)
	p = append(p, m.boot[:]...)
	p = append(p, byte(n))
	if n == 4 {
		a := ip.As4()
		p = append(p, a[:]...)
	} else {
		a := ip.As16()
		p = append(p, a[:]...)
	}
	p = binary.BigEndian.AppendUint16(p, m.addr.Port())
	return appendName(p, name)
}

// A word is what a host says under one topic, told by another.
type word struct {
	topic   Topic
	version uint32
	boot    [16]byte
	name    []byte
	body    []byte
}

func parseWord(p []byte) (w word, ok bool) {
	if len(p) < 1+4+16 {
		return w, false
	}
	w.topic = Topic(p[0])
	w.version = binary.BigEndian.Uint32(p[1:])
	w.boot = [16]byte(p[5:21])
	w.name, w.body, ok = cutName(p[21:])
	return w, ok && len(w.body) <= MaxBody
}

func (w word) appendTo(p []byte, name string) []byte {
	p = appendHead(p, secWord, 1+4+16+1+len(name)+len(w.body))
	p = append(p, byte(w.topic))
	p = binary.BigEndian.AppendUint32(p, w.version)
	p = append(p, w.boot[:]...)
	p = appendName(p, name)
	return append(p, w.body...)
}

func appendHead(p []byte, kind byte, n int) []byte {
	return binary.BigEndian.AppendUint16(append(p, kind), uint16(n))
}

func appendName[T []byte | string](p []byte, name T) []byte {
	return append(append(p, byte(len(name))), name...)
}

func appendSaid(p []byte, topic Topic, version uint32, body []byte) []byte {
	p = appendHead(p, secSaid, 5+len(body))
	p = binary.BigEndian.AppendUint32(append(p, byte(topic)), version)
	return append(p, body...)
}

func appendShout(p []byte, topic Topic, body []byte) []byte {
	p = append(appendHead(p, secShout, 1+len(body)), byte(topic))
	return append(p, body...)
}

func appendAfter(p []byte, name string) []byte {
	if name == "" {
		return appendHead(p, secAfter, 0)
	}
	return appendName(appendHead(p, secAfter, 1+len(name)), name)
}

// after is the name in the after section of b, if there is one.
func (b beat) after() (name []byte, ok bool) {
	for p := b.sections; len(p) > 0; {
		var kind byte
		var body []byte
		if kind, body, p, _ = cutSection(p); kind == secAfter {
			name, _, _ = cutName(body)
			return name, true
		}
	}
	return nil, false
}

func appendAsk(p []byte, name string) []byte {
	return appendName(appendHead(p, secAsk, 1+len(name)), name)
}

func appendAnswer(p []byte, age time.Duration, name string) []byte {
	p = appendHead(p, secAnswer, 4+1+len(name))
	us := min(max(age, 0)/time.Microsecond, math.MaxUint32)
	p = binary.BigEndian.AppendUint32(p, uint32(us))
	return appendName(p, name)
}
