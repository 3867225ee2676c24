package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A digest decides when gathered events go out. It is a machine: it takes the time, and does nothing.
//
//	quiet ──event──> gathering ──gather passes──> a batch leaves ──> resting
//	  ^                                                                │ event: gathering, but not before
//	  └───────────── digest passes without an event ───────────────────┘        the digest time is over
type digest struct {
	gather, every time.Duration
	limit         int

	events  []Event
	dropped uint64    // since the last batch
	first   time.Time // when the oldest waiting event came
	last    time.Time // when the last batch left
}

// A batch is what goes out together.
type batch struct {
	events  []Event
	dropped uint64
}

func newDigest(c Config) digest {
	return digest{gather: c.Gather, every: c.Digest, limit: c.Queue}
}

// add takes an event; it returns how many old ones had to go.
func (d *digest) add(now time.Time, ev Event) (dropped uint64) {
	if len(d.events) == 0 {
		d.first = now
	}
	d.events = append(d.events, ev)
	return d.trim()
}

// tune takes changed times and limits, and keeps what waits.
func (d *digest) tune(c Config) (dropped uint64) {
	d.gather, d.every, d.limit = c.Gather, c.Digest, c.Queue
	return d.trim()
}

func (d *digest) trim() uint64 {
	over := len(d.events) - d.limit
	if over <= 0 {
		return 0
	}
	d.events = slices.Delete(d.events, 0, over)
	d.dropped += uint64(over)
	return uint64(over)
}

// deadline is when the next batch is due; zero: never.
func (d *digest) deadline() time.Time {
	if len(d.events) == 0 {
		return time.Time{}
	}
	at := d.first.Add(d.gather)
	if rest := d.last.Add(d.every); !d.last.IsZero() && rest.After(at) {
		at = rest
	}
	return at
}

// due returns the batch whose time has come, or an empty one.
func (d *digest) due(now time.Time) batch {
	at := d.deadline()
	if at.IsZero() || now.Before(at) {
		return batch{}
	}
	return d.take(now)
}

// take returns what waits, due or not.
func (d *digest) take(now time.Time) batch {
	b := batch{events: d.events, dropped: d.dropped}
	d.events, d.dropped, d.last = nil, 0, now
	return b
}

// A Message is one batch in words. Its JSON is what webhooks and commands get; "text" is the field
// that chat services show.
type Message struct {
	Cluster string  `json:"cluster"`
	Host    string  `json:"host"`
	Subject string  `json:"subject"`
	Text    string  `json:"text"`
	Dropped uint64  `json:"dropped"`
	Events  []Event `json:"events"`
}

// maxLines bounds the body of a mail; a storm of a thousand events is understood from the first of them.
const maxLines = 200

// compose writes the message of a batch: the worst event, and of those the first, gives the subject.
func compose(cluster, host string, b batch) Message {
	m := Message{Cluster: cluster, Host: host, Dropped: b.dropped, Events: b.events}
	worst := m.worst()
	m.Subject = oneLine(fmt.Sprintf("[ha %s] %s", or(cluster, host), worst.Text))
	if more := len(b.events) - 1; more > 0 {
		m.Subject += fmt.Sprintf(" (and %d more)", more)
	}
	var text strings.Builder
	for i, ev := range b.events {
		if i == maxLines {
			fmt.Fprintf(&text, "… and %d more\n", len(b.events)-i)
			break
		}
		fmt.Fprintf(&text, "%s  %s\n", ev.Time.Format("2006-01-02 15:04:05.000 -0700"), oneLine(ev.Text))
	}
	if b.dropped > 0 {
		fmt.Fprintf(&text, "\n%d older events were dropped because the queue was full.\n", b.dropped)
	}
	fmt.Fprintf(&text, "\nSaid by host %s. `ha status` there shows the state now.\n", host)
	m.Text = text.String()
	return m
}

// worst returns the event that names the message.
func (m Message) worst() Event {
	return slices.MaxFunc(m.Events, func(a, b Event) int { return int(a.Severity) - int(b.Severity) })
}

// oneLine keeps text from outside (a probe's error, a host's name) from breaking a header or a line.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
