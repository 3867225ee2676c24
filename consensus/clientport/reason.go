package clientport

import (
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// A Reason is why a connection ended. The member has reasons of its own; all must be constants, for they
// are counted by name.
type Reason string

// Error makes a Reason what Batch.Closed holds.
func (r Reason) Error() string { return string(r) }

// Why connections end here.
const (
	ClosedByClient   Reason = "closed by the client"
	ConnectionLost   Reason = "connection lost" // reset, or a time-out of TCP
	Stopped          Reason = "server stopped"
	WordAnswered     Reason = "four-letter word answered" // for the member's Close
	TelnetInterrupt  Reason = "interrupt of a telnet client"
	SaidNothing      Reason = "no request in time"
	FrameTooLong     Reason = "frame longer than allowed"
	FrameNegative    Reason = "frame of negative length"
	HTTPRequest      Reason = "HTTP on the client port"
	TLSOnPlainPort   Reason = "TLS on a port without TLS"
	PlainOnTLSPort   Reason = "no TLS on a port with TLS"
	TLSHandshake     Reason = "TLS handshake did not succeed"
	TooManyOfAddress Reason = "too many connections of one address"
	TooMany          Reason = "too many connections"
	NoDescriptors    Reason = "no file descriptors left"
	Throttled        Reason = "connections come too fast"
	TooMuchUnread    Reason = "answers not read"
	TooMuchLarge     Reason = "too many bytes of large requests"
)

// loud says that somebody should look into it: it is logged.
func (r Reason) loud() bool {
	switch r {
	case ClosedByClient, ConnectionLost, Stopped, WordAnswered, TelnetInterrupt:
		return false
	}
	return true
}

// logEvery is how often one reason may be logged: whoever makes mistakes in a loop must not fill a disk.
const logEvery = 10 * time.Second

// A ledger counts why connections ended.
type ledger struct {
	log *slog.Logger

	mu     sync.Mutex
	counts map[Reason]uint64
	lines  map[Reason]*line
}

type line struct {
	at   time.Time
	held int // not logged since
}

func newLedger(log *slog.Logger) *ledger {
	return &ledger{log: log, counts: map[Reason]uint64{}, lines: map[Reason]*line{}}
}

// enter counts reason and, if loud, logs why, which may be nil or the Reason itself.
func (l *ledger) enter(reason Reason, why error, remote netip.AddrPort, loud bool) {
	l.mu.Lock()
	l.counts[reason]++
	held, speak := 0, false
	if loud {
		held, speak = l.due(reason, time.Now())
	}
	l.mu.Unlock()
	if !speak {
		return
	}
	attrs := []any{"reason", string(reason), "remote", remote}
	if why != nil && !errors.Is(why, reason) {
		attrs = append(attrs, "error", why)
	} else if why != nil && why.Error() != string(reason) {
		attrs = append(attrs, "detail", why.Error())
	}
	if held > 0 {
		attrs = append(attrs, "not_logged", held)
	}
	l.log.Warn("client connection closed", attrs...)
}

// due says whether reason may be logged, and how many were not since the last line.
func (l *ledger) due(reason Reason, now time.Time) (held int, ok bool) {
	e := l.lines[reason]
	switch {
	case e == nil:
		l.lines[reason] = &line{at: now}
		return 0, true
	case now.Sub(e.at) < logEvery:
		e.held++
		return 0, false
	}
	held, e.held, e.at = e.held, 0, now
	return held, true
}

func (l *ledger) snapshot() map[Reason]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}
