package logline

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A sink is what a log is written to: it can wait until it is opened, and it can fail.
type sink struct {
	open chan struct{}
	err  error
	text strings.Builder
}

func (s *sink) Write(b []byte) (int, error) {
	<-s.open
	if s.err != nil {
		return 0, s.err
	}
	return s.text.Write(b)
}

func TestLinesArriveInOrder(t *testing.T) {
	s := &sink{open: make(chan struct{})}
	close(s.open)
	q := NewQueue(s)
	for i := range 100 {
		fmt.Fprintf(q, "%d\n", i)
	}
	q.Flush()
	if lines := strings.Fields(s.text.String()); len(lines) != 100 || lines[0] != "0" || lines[99] != "99" || q.Lost() != 0 {
		t.Errorf("got %d lines, %d lost: %q", len(lines), q.Lost(), lines)
	}
}

func TestAReaderThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{open: make(chan struct{})}
		q := NewQueue(s)
		const more = 10
		fmt.Fprintln(q, "in hand") // run has taken it and waits
		synctest.Wait()
		for range maxLines + more { // would deadlock the bubble if one of them waited
			fmt.Fprintln(q, "x")
		}
		if q.Lost() != more {
			t.Errorf("%d lines lost, want %d", q.Lost(), more)
		}
		begin := time.Now()
		q.Flush()
		if took := time.Since(begin); took != flushLimit {
			t.Errorf("flush gave up after %v, want %v", took, flushLimit)
		}
		close(s.open)
		synctest.Wait()
		q.lines <- nil // Flush could not put its mark
		synctest.Wait()
		if !strings.Contains(s.text.String(), fmt.Sprintf("%d log lines lost", more)) || strings.Count(s.text.String(), "x\n") != maxLines {
			t.Errorf("once it reads: %q...", s.text.String()[:100])
		}
	})
}

func TestWhatCannotBeWrittenIsCountedAndSaidLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{open: make(chan struct{}), err: errors.New("no space left on device")}
		close(s.open)
		q := NewQueue(s)
		fmt.Fprintln(q, "a")
		fmt.Fprintln(q, "b")
		synctest.Wait()
		if q.Lost() != 2 {
			t.Errorf("%d lost, want 2", q.Lost())
		}
		s.err = nil
		fmt.Fprintln(q, "c")
		fmt.Fprintln(q, "d")
		q.Flush()
		if got, want := s.text.String(), "2 log lines lost: they could not be written\nc\nd\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
