package consensus

import (
	"os"
	"runtime/debug"
)

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
