package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Load asks a web server for a page at a steady pace, each time on a new
// connection and whether or not the last answer has come, as a crowd of
// clients does.
type Load struct {
	dial   func() (net.Conn, error)
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	requests []request
}

type request struct {
	start, end time.Time
	server     string // the first line of the answer
	err        error
}

const (
	// answerWithin is the patience of a client.
	answerWithin = 3 * time.Second
	// prompt separates an answer from one that came of a retransmission:
	// the first SYN is repeated after a second.
	prompt      = 500 * time.Millisecond
	maxInFlight = 256
	maxRequests = 500_000
)

// StartLoad sends a request every so often until Stop. dial makes the
// connection and gives up in time.
func StartLoad(every time.Duration, dial func() (net.Conn, error)) *Load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{dial: dial, cancel: cancel}
	l.wg.Go(func() { l.run(ctx, every) })
	return l
}

func (l *Load) run(ctx context.Context, every time.Duration) {
	slots := make(chan struct{}, maxInFlight)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
			l.wg.Go(func() {
				l.note(l.ask())
				<-slots
			})
		default:
			now := time.Now()
			l.note(request{start: now, end: now, err: fmt.Errorf("%d requests are under way already", maxInFlight)})
		}
	}
}

func (l *Load) ask() (r request) {
	r.start = time.Now()
	defer func() { r.end = time.Now() }()
	c, err := l.dial()
	if err != nil {
		r.err = err
		return r
	}
	defer c.Close()
	c.SetDeadline(r.start.Add(answerWithin))
	if _, r.err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n"); r.err != nil {
		return r
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		r.err = fmt.Errorf("read answer: %w", err)
		return r
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	switch {
	case err != nil:
		r.err = fmt.Errorf("read page: %w", err)
	case answer.StatusCode != http.StatusOK:
		r.err = fmt.Errorf("answer %s", answer.Status)
	}
	r.server, _, _ = strings.Cut(string(body), "\n")
	return r
}

func (l *Load) note(r request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.requests) < maxRequests {
		l.requests = append(l.requests, r)
	}
}

// Stop ends the load and waits for the answers under way.
func (l *Load) Stop() {
	l.cancel()
	l.wg.Wait()
}

// A Tally sums up the requests started in a span of time.
type Tally struct {
	Served, Failed int
	Slow           int            // served, but only after half a second
	By             map[string]int // served, by server
	Outage         time.Duration  // longest time between the starts of two that were served promptly
	FirstError     error
}

func (t Tally) String() string {
	s := fmt.Sprintf("%d requests served, %d failed", t.Served, t.Failed)
	if t.Slow > 0 {
		s += fmt.Sprintf(", %d late", t.Slow)
	}
	if t.FirstError != nil {
		s += fmt.Sprintf(" (first: %v)", t.FirstError)
	}
	return s
}

// Tally sums up the requests started between two times that have ended.
func (l *Load) Tally(from, to time.Time) Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := Tally{By: make(map[string]int)}
	var ok []time.Time
	for _, r := range l.requests {
		if r.start.Before(from) || r.start.After(to) {
			continue
		}
		if r.err != nil {
			t.Failed++
			if t.FirstError == nil {
				t.FirstError = r.err
			}
			continue
		}
		t.Served++
		t.By[r.server]++
		if r.end.Sub(r.start) > prompt {
			t.Slow++
			continue
		}
		ok = append(ok, r.start)
	}
	if first := l.first(); first.After(from) {
		from = first
	}
	t.Outage = longestGap(ok, from, to)
	return t
}

// first is when the first request was started. The caller holds mu.
func (l *Load) first() time.Time {
	var first time.Time
	for i, r := range l.requests {
		if i == 0 || r.start.Before(first) {
			first = r.start
		}
	}
	return first
}

// longestGap is the longest time between neighbours among times within a
// span, its ends included.
func longestGap(times []time.Time, from, to time.Time) time.Duration {
	slices.SortFunc(times, time.Time.Compare)
	var gap time.Duration
	last := from
	for _, t := range times {
		gap = max(gap, t.Sub(last))
		last = t
	}
	return max(gap, to.Sub(last))
}
