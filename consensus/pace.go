package consensus

import (
	"os"
	"runtime"
	"runtime/debug"
)

// snapshotProcs is how many goroutines the scheduler may run at a time while a snapshot is written, however
// few processors there are: the log and the snapshot may both be in a sync, and each keeps its place until
// the scheduler notices, up to 10 ms later. With two processors and no more places than that, reads waited
// so long beside every snapshot. At other times the places more would only cost: idle ones look for work.
const snapshotProcs = 4

// widen gives the scheduler that many until narrow is called, unless whoever started the process has
// chosen, with GOMAXPROCS.
func widen() (narrow func()) {
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) >= snapshotProcs {
		return func() {}
	}
	runtime.GOMAXPROCS(snapshotProcs)
	return runtime.SetDefaultGOMAXPROCS
}

// The collector's pace, in percent of what is alive. A tree that is loaded leaves no garbage, and each
// collection on the way would mark again what stays. While the member serves, each change leaves the old
// data behind: half of the tree's size may gather before somebody looks, which costs about 1 us of a change
// with a million znodes, and next to nothing with few.
const (
	loadingPace = 400
	servingPace = 50
)

// pace sets it, unless whoever started the process has, with GOGC.
func pace(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
