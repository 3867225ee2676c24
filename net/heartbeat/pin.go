package heartbeat

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// procPin and procUnpin keep the Go scheduler from taking the thread away
// between them. They are among the internals that the Go project promises not
// to remove (go.dev/issue/67401); a release without them does not link, and one
// in which they mean something else fails TestPinnedGoroutineIsNotInterrupted.
//
//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

// pinnedPoll sleeps in ppoll without the Go scheduler's knowledge.
//
// A goroutine that keeps its P for 10 ms, which is what a raw system call looks
// like, is asked to yield, and a yielding goroutine that is locked to its
// thread costs two changes of thread, some forty times a second. Measured with
// a deadline every 3 ms beside four busy loops on two cores: p99 lateness 98 µs
// and 1.5 % of a core pinned, 164 µs and 1.9 % not. Pinned it cannot yield, and with deaf set it
// notices the request while still pinned, where it comes to nothing. A stop of
// the world asks in the same way, so the loop must not be deaf for long.
func pinnedPoll(fds *unix.PollFd, n int, timeout *unix.Timespec, deaf bool) syscall.Errno {
	procPin()
	_, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(fds)), uintptr(n),
		uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	if deaf {
		heed(n)
	}
	procUnpin()
	return errno
}

// heed has a frame, hence the check of the stack in which a goroutine finds
// that it is asked to yield.
//
//go:noinline
func heed(n int) byte {
	var frame [512]byte
	frame[n&511] = 1
	return frame[(n+1)&511]
}
