package heartbeat

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A script is a part made of functions; nil ones do nothing.
type script struct {
	fds      []int
	deadline func() time.Time
	wake     func(now time.Time)
}

func (s *script) FDs() []int { return s.fds }

func (s *script) Deadline() time.Time {
	if s.deadline == nil {
		return time.Time{}
	}
	return s.deadline()
}

func (s *script) Wake(now time.Time) {
	if s.wake != nil {
		s.wake(now)
	}
}

func newTestLoop(t *testing.T, parts ...Part) *Loop {
	t.Helper()
	l, err := NewLoop(LoopConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		l.Add(p)
	}
	return l
}

// runLoop runs l until the test ends.
func runLoop(t *testing.T, l *Loop) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s within 20s", what)
		panic("unreachable")
	}
}

func TestLoopKeepsDeadlinesAndNeverComesEarly(t *testing.T) {
	const beats = 50
	next := time.Now().Add(5 * time.Millisecond)
	done := make(chan struct{})
	count := 0
	var early atomic.Int32
	p := &script{}
	p.deadline = func() time.Time { return next }
	p.wake = func(now time.Time) {
		if now.Before(next) {
			early.Add(1)
			return
		}
		next = now.Add(2 * time.Millisecond)
		if count++; count == beats {
			close(done)
		}
	}
	l := newTestLoop(t, p)
	began := time.Now()
	runLoop(t, l)
	within(t, done, "fifty deadlines")
	if d := time.Since(began); d < beats*2*time.Millisecond {
		t.Errorf("%d deadlines 2ms apart passed in %v", beats, d)
	}
	// The only other reason to come round is the end of the test.
	if n := early.Load(); n > 1 {
		t.Errorf("%d rounds came before the deadline", n)
	}
	late := l.Lateness()
	if late.Wakeups < beats-1 || late.Max < late.P99 || late.P99 <= 0 {
		t.Errorf("lateness after %d deadlines: %+v", beats, late)
	}
}

func TestLoopWakesPartsInOrderForADescriptor(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pipe[0]); unix.Close(pipe[1]) })
	order := make(chan string, 64)
	var read bool
	first := &script{fds: pipe[:1]}
	first.wake = func(time.Time) {
		var b [8]byte
		if n, _ := unix.Read(pipe[0], b[:]); n > 0 {
			read = true
			order <- "first"
		}
	}
	second := &script{wake: func(time.Time) {
		if read {
			read = false
			order <- "second"
		}
	}}
	runLoop(t, newTestLoop(t, first, second))
	if _, err := unix.Write(pipe[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if a, b := within(t, order, "first wake"), within(t, order, "second wake"); a != "first" || b != "second" {
		t.Errorf("woken in the order %s, %s", a, b)
	}
}

func TestLoopWakeupIsNeverLost(t *testing.T) {
	posts := make(chan int, 1)
	got := make(chan int)
	p := &script{wake: func(time.Time) {
		select {
		case n := <-posts:
			got <- n
		default:
		}
	}}
	l := newTestLoop(t, p)
	runLoop(t, l)
	for i := range 2000 {
		posts <- i
		l.Wakeup()
		if n := within(t, got, "round after Wakeup"); n != i {
			t.Fatalf("got %d, want %d", n, i)
		}
	}
}

func TestLoopWakeupFromAPartComesRoundWithoutASleep(t *testing.T) {
	done := make(chan struct{})
	rounds := 0
	p := &script{}
	l := newTestLoop(t, p)
	p.wake = func(time.Time) {
		if rounds++; rounds == 100 {
			close(done)
		} else if rounds < 100 {
			l.Wakeup()
		}
	}
	l.Wakeup()
	runLoop(t, l)
	within(t, done, "hundred rounds")
}

func TestLoopPastDeadlineCountsAsAtOnceNotAsLate(t *testing.T) {
	done := make(chan struct{})
	rounds := 0
	p := &script{deadline: func() time.Time {
		if rounds < 100 {
			return time.Unix(0, 0)
		}
		return time.Time{}
	}}
	p.wake = func(time.Time) {
		if rounds++; rounds == 100 {
			close(done)
		}
	}
	l := newTestLoop(t, p)
	runLoop(t, l)
	within(t, done, "hundred rounds")
	if late := l.Lateness(); late.Max > time.Minute {
		t.Errorf("a deadline in 1970 counts as %v late", late.Max)
	}
}

func TestLoopRoundDoesNotAllocate(t *testing.T) {
	sock, err := openSocket(loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	defer sock.close()
	payload := []byte("a beat that is a little longer than a word")
	p := &script{fds: []int{sock.fd}}
	heard := 0
	p.deadline = func() time.Time { return time.Now().Add(time.Millisecond) }
	p.wake = func(time.Time) {
		for i := range sock.receive() {
			if from, b, ok := sock.packet(i); ok && from == sock.local && len(b) == len(payload) {
				heard++
			}
		}
		sock.send(sock.local, payload)
	}
	l := newTestLoop(t, p)
	allocs := testing.AllocsPerRun(200, func() {
		if err := l.round(); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a round, want none", allocs)
	}
	if heard < 100 {
		t.Errorf("heard %d of about 200 packets", heard)
	}
}

func TestLatenessForgetsAfterTheWindow(t *testing.T) {
	var h lateness
	now := time.Unix(1000, 0)
	h.record(now, time.Second)
	for range 99 {
		h.record(now, time.Millisecond)
	}
	if r := h.report(); r.Max != time.Second || r.P99 > 1250*time.Microsecond || r.P99 < time.Millisecond || r.Wakeups != 100 {
		t.Fatalf("one of a hundred is late: %+v", r)
	}
	h.record(now, time.Second)
	if r := h.report(); r.P99 != time.Second {
		t.Errorf("two of 101 are late: p99 %v", r.P99)
	}
	h.record(now.Add(lateSlot*(lateSlots-1)), time.Microsecond)
	if r := h.report(); r.Max != time.Second {
		t.Errorf("forgotten within the window: %+v", r)
	}
	h.record(now.Add(lateSlot*lateSlots), time.Microsecond)
	if r := h.report(); r.Max != time.Microsecond || r.Wakeups != 2 {
		t.Errorf("remembered beyond the window: %+v", r)
	}
	h.record(now.Add(time.Hour), 2*time.Microsecond)
	if r := h.report(); r.Max != 2*time.Microsecond || r.Wakeups != 1 {
		t.Errorf("after an hour: %+v", r)
	}
}

func TestBucketsHoldWhatTheySay(t *testing.T) {
	last := 0
	for d := time.Duration(1); d < time.Minute; d += 1 + d/7 {
		b := bucket(d)
		if b < last {
			t.Fatalf("bucket(%v) = %d after %d", d, b, last)
		}
		last = b
		if d >= 4 && (bucketTop(b) <= d || bucketTop(b) > d+d/3) {
			t.Fatalf("%v is in the bucket that ends at %v", d, bucketTop(b))
		}
	}
}

// inChild tells whether this process is the one that runChild started it does
// what changes a whole process.
func inChild(t *testing.T) bool { return os.Getenv("HEARTBEAT_TEST_CHILD") == t.Name() }

func threadPolicies(t *testing.T) map[int]int {
	t.Helper()
	policies := make(map[int]int)
	err := forEachThread(func(tid int) error {
		p, _, errno := syscall.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, uintptr(tid), 0, 0)
		if errno != 0 {
			return errno
		}
		policies[tid] = int(p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

func TestRealtimeCoversEveryThread(t *testing.T) {
	if !inChild(t) {
		runChild(t)
		return
	}
	threads := make(chan int)
	var priority struct{ v int32 }
	p := &script{wake: func(time.Time) {
		syscall.RawSyscall(unix.SYS_SCHED_GETPARAM, 0, uintptr(unsafe.Pointer(&priority)), 0)
		select {
		case threads <- unix.Gettid():
		default:
		}
	}}
	l, err := NewLoop(LoopConfig{Realtime: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Add(p)
	runLoop(t, l)
	l.Wakeup()
	beat := within(t, threads, "round")
	late := l.Lateness()
	if !late.Realtime {
		if late.Why == "" {
			t.Error("realtime was refused without a reason")
		}
		t.Logf("realtime refused: %s", late.Why)
		return
	}
	// Threads made from now on inherit.
	gone := make(chan struct{})
	for range 4 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			<-gone
		}()
	}
	defer close(gone)
	for tid, policy := range threadPolicies(t) {
		if policy != schedFIFO {
			t.Errorf("thread %d has policy %d", tid, policy)
		}
	}
	if priority.v != defaultPriority+1 {
		t.Errorf("the beat thread %d has priority %d, want %d", beat, priority.v, defaultPriority+1)
	}
	if runtime.GOMAXPROCS(0) < realtimeProcs {
		t.Errorf("GOMAXPROCS is %d", runtime.GOMAXPROCS(0))
	}
	// The rest of the process runs while the loop sleeps, and a stop of the
	// world ends.
	began := time.Now()
	runtime.GC()
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("a garbage collection took %v", d)
	}
}

// What pinnedPoll stands on: with one P, a goroutine that is pinned keeps it for
// much longer than the scheduler gives to one, also where it could be stopped.
func TestPinnedGoroutineIsNotInterrupted(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var others atomic.Uint64
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			others.Add(1)
			runtime.Gosched()
		}
	}()
	// The scheduler's slice is 10 ms.
	hold := func() (interrupted bool) {
		before := others.Load()
		for i, began := 0, time.Now(); time.Since(began) < 100*time.Millisecond; i++ {
			heed(i)
		}
		return others.Load() != before
	}
	procPin()
	pinned := hold()
	procUnpin()
	unpinned := hold()
	stop.Store(true)
	<-done
	if pinned {
		t.Error("runtime.procPin no longer keeps the scheduler away: pinnedPoll needs another way")
	}
	if !unpinned {
		t.Error("the scheduler interrupts nobody: this test shows nothing")
	}
}
