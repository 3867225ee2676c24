package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func testDigest(queue int) digest {
	return newDigest(Config{Gather: 2 * time.Second, Digest: time.Minute, Queue: queue})
}

func ev(text string) Event { return Event{Time: t0, Kind: Server, Severity: Bad, Text: text} }

func TestAStormIsOneMessageAndThenOneAMinute(t *testing.T) {
	d := testDigest(1000)
	var sent []int
	var at []time.Duration
	for ms := 0; ms < 180_000; ms += 100 { // three minutes of ten events a second
		now := t0.Add(time.Duration(ms) * time.Millisecond)
		d.add(now, ev("x"))
		if b := d.due(now); len(b.events) > 0 {
			sent, at = append(sent, len(b.events)), append(at, now.Sub(t0))
		}
	}
	if got, want := fmt.Sprint(at), "[2s 1m2s 2m2s]"; got != want {
		t.Errorf("messages at %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(sent), "[21 600 600]"; got != want {
		t.Errorf("events in them %s, want %s", got, want)
	}
}

func TestASingleEventWaitsOnlyTheGather(t *testing.T) {
	d := testDigest(10)
	if at := d.deadline(); !at.IsZero() {
		t.Errorf("idle: deadline %v, want none", at)
	}
	d.add(t0, ev("a"))
	if b := d.due(t0.Add(2*time.Second - 1)); len(b.events) > 0 {
		t.Error("left before the gather was over")
	}
	if b := d.due(t0.Add(2 * time.Second)); len(b.events) != 1 {
		t.Errorf("at the gather: %d events, want 1", len(b.events))
	}
	later := t0.Add(time.Hour)
	d.add(later, ev("b"))
	if at := d.deadline(); at != later.Add(2*time.Second) {
		t.Errorf("after a quiet hour: deadline %v, want two seconds after the event", at.Sub(later))
	}
}

func TestAFullQueueDropsTheOldestAndSaysSo(t *testing.T) {
	d := testDigest(3)
	for i := range 5 {
		if dropped := d.add(t0, ev(fmt.Sprint("event ", i))); dropped != uint64(min(1, max(0, i-2))) {
			t.Errorf("event %d dropped %d", i, dropped)
		}
	}
	m := compose("prod", "lb1", d.take(t0))
	if m.Dropped != 2 || !strings.Contains(m.Text, "2 older events were dropped") {
		t.Errorf("dropped %d, text %q; want 2, said", m.Dropped, m.Text)
	}
	if m.Subject != "[ha prod] event 2 (and 2 more)" {
		t.Errorf("subject %q", m.Subject)
	}
	if again := d.take(t0); again.dropped != 0 {
		t.Errorf("the next batch still says %d dropped", again.dropped)
	}
	if dropped := d.tune(Config{Queue: 1}); dropped != 0 {
		t.Errorf("a smaller queue without events dropped %d", dropped)
	}
}

func TestTheWorstEventIsTheSubject(t *testing.T) {
	note, bad := ev("web: lb2 holds the address now"), ev("web: 10.0.0.21:80 is down on lb1: connection refused")
	note.Severity = Note
	m := compose("prod", "lb1", batch{events: []Event{note, bad, ev("later")}})
	if want := "[ha prod] web: 10.0.0.21:80 is down on lb1: connection refused (and 2 more)"; m.Subject != want {
		t.Errorf("subject %q, want %q", m.Subject, want)
	}
}

func TestTextFromOutsideStaysOnItsLine(t *testing.T) {
	m := compose("prod", "lb1", batch{events: []Event{ev("a\r\nBcc: everybody@example.com\x00" + strings.Repeat("é", 400))}})
	if strings.ContainsAny(m.Subject, "\r\n\x00") || len(m.Subject) > 400 {
		t.Errorf("subject of %d bytes %q", len(m.Subject), m.Subject)
	}
	if strings.Contains(m.Text, "\nBcc") {
		t.Errorf("text %q", m.Text)
	}
}
