package demo

import (
	"context"
	"errors"
	"io"
	"time"
)

// LabConfig says how [Lab] runs.
type LabConfig struct {
	Out io.Writer
	// Exe is the binary that runs on the load balancers.
	Exe string
	// Interval is the time between advertisements. Default 10 ms.
	Interval time.Duration
	// Rounds is how often the active host is killed, and how often the
	// address is handed over. Default 3.
	Rounds int
	// Verbose prints the logs of the load balancers.
	Verbose bool
}

// Lab measures failover between real network stacks.
func Lab(ctx context.Context, cfg LabConfig) error { return errors.New("demo: not yet") }
