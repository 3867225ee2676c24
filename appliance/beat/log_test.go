package beat

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// A slowWriter lets nothing through until it is opened.
type slowWriter struct {
	open chan struct{}
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *slowWriter) Write(b []byte) (int, error) {
	<-w.open
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func plainLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func TestLogNeverBlocksAndCountsWhatItDrops(t *testing.T) {
	w := &slowWriter{open: make(chan struct{})}
	log, q := queueLog(plainLog(w))
	log = log.With("part", "test").WithGroup("g")
	const more = 100
	// Nothing is read meanwhile but the one record the writer holds up; this
	// would never end if logging waited.
	for i := range maxRecords + 1 + more {
		log.Info("line", "n", i)
	}
	close(w.open)
	q.flush()
	lines := strings.Split(strings.TrimSpace(w.text.String()), "\n")
	var kept, dropped int
	last := -1
	for _, l := range lines {
		var n int
		if i := strings.Index(l, "records="); i >= 0 {
			if _, err := fmt.Sscanf(l[i:], "records=%d", &n); err != nil {
				t.Fatal(err)
			}
			dropped += n
			continue
		}
		i := strings.Index(l, "msg=line part=test g.n=")
		if i < 0 {
			t.Fatalf("line %d is %q", kept, l)
		}
		if _, err := fmt.Sscanf(l[i:], "msg=line part=test g.n=%d", &n); err != nil || n <= last {
			t.Fatalf("line %d is %q, want one after %d", kept, l, last)
		}
		last = n
		kept++
	}
	dropped += int(q.dropped.Load())
	if kept < maxRecords || kept+dropped != maxRecords+1+more {
		t.Errorf("%d written, %d dropped of %d", kept, dropped, maxRecords+1+more)
	}
}

func TestFlushDoesNotWaitForeverForTheLog(t *testing.T) {
	w := &slowWriter{open: make(chan struct{})}
	defer close(w.open)
	log, q := queueLog(plainLog(w))
	for range 2 * maxRecords {
		log.Info("line")
	}
	began := time.Now()
	q.flush()
	if d := time.Since(began); d > 5*flushLimit {
		t.Errorf("flush took %v", d)
	}
}

func TestLogIsQueuedOnce(t *testing.T) {
	log, q := queueLog(plainLog(io.Discard))
	defer q.flush()
	if again, r := queueLog(log.With("a", 1)); again.Handler() == nil || r != nil {
		t.Error("a queue in front of a queue")
	}
}
