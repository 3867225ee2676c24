package heartbeat

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// realtimeProcs is the least GOMAXPROCS of a realtime process: the loop
	// keeps one P even while it sleeps, and the rest must not wait for it.
	realtimeProcs = 4

	// realtimeMemory is where garbage collection sets in. Below it there is
	// none: the loop itself makes no garbage, and what the conversation with
	// the main process makes fills this in hours.
	realtimeMemory = 64 << 20

	schedFIFO = 1
)

// grant is what the kernel let the loop have.
type grant struct {
	realtime bool
	why      string
}

// enterRealtime gives the process and the calling thread, which must be
// locked, all that keeps them from waiting. What is refused is named in the
// grant; nothing of it is fatal.
func enterRealtime(priority int) grant {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), realtimeProcs))
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(realtimeMemory)

	var refused []string
	note := func(what string, err error) {
		if err != nil {
			refused = append(refused, fmt.Sprintf("%s: %v", what, err))
		}
	}
	g := grant{realtime: true}
	if err := scheduleProcess(priority); err != nil {
		g.realtime = false
		refused = append(refused, fmt.Sprintf("SCHED_FIFO: %v (%s)", err, whyRefused()))
		note("nice -20", forEachThread(func(tid int) error {
			return unix.Setpriority(unix.PRIO_PROCESS, tid, -20)
		}))
	}
	// A thread under SCHED_FIFO that computes for longer than this limit is
	// killed; distributions' service managers set it.
	note("RLIMIT_RTTIME", unix.Prlimit(0, unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, nil))
	// ONFAULT locks what is touched. Without it the address space that the
	// Go heap reserves would be made resident.
	note("mlockall", unix.Mlockall(unix.MCL_CURRENT|unix.MCL_FUTURE|unix.MCL_ONFAULT))
	note("oom_score_adj", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
	// A realtime thread has no slack; this is for the nice one.
	note("timer slack", unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0))
	g.why = strings.Join(refused, "; ")
	return g
}

// scheduleProcess puts every thread under SCHED_FIFO, the calling one a level
// above the others. Threads made later inherit it.
func scheduleProcess(priority int) error {
	self := unix.Gettid()
	if err := setFIFO(self, priority+1); err != nil {
		return err
	}
	return forEachThread(func(tid int) error {
		if tid == self {
			return nil
		}
		return setFIFO(tid, priority)
	})
}

func setFIFO(tid, priority int) error {
	param := struct{ priority int32 }{int32(priority)}
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(tid), schedFIFO, uintptr(unsafe.Pointer(&param)))
	if errno != 0 {
		return errno
	}
	return nil
}

// forEachThread calls f for every thread of the process. Threads may be made
// while it walks, by threads it has not reached yet, so it walks until it
// meets no new one. A thread that ended meanwhile is no error.
func forEachThread(f func(tid int) error) error {
	done := make(map[int]bool)
	for range 16 {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		found := false
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil || done[tid] {
				continue
			}
			found, done[tid] = true, true
			if err := f(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if !found {
			return nil
		}
	}
	return nil
}

// whyRefused names the usual causes of EPERM for an operator.
func whyRefused() string {
	if !hasCapability(unix.CAP_SYS_NICE) {
		return "no CAP_SYS_NICE and no RLIMIT_RTPRIO"
	}
	cgroup, _ := os.ReadFile("/proc/self/cgroup")
	return "with CAP_SYS_NICE: the kernel has RT_GROUP_SCHED and the control group no realtime budget; cgroup " +
		strings.ReplaceAll(strings.TrimSpace(string(cgroup)), "\n", " ")
}

func hasCapability(bit uint) bool {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if hex, ok := strings.CutPrefix(s.Text(), "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && set>>bit&1 == 1
		}
	}
	return false
}
