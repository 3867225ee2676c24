// Package adminport answers over HTTP what a member is: ZooKeeper's AdminServer, and its metrics for
// Prometheus.
//
//	GET  /commands             the list, as links
//	GET  /commands/<name>      JSON, with "command" and "error" in each answer
//	GET  /commands/snapshot    the data, as a snapshot file (3.9's command), for who has ALL on "/"
//	GET  /metrics              under ZooKeeper's names; also on the metrics provider's own port
//
// The port is a convenience: when it is taken the member says so once and serves its clients all the same.
// What an answer holds is made by fourletter, from the Status the member gives; this package has only
// sockets, limits and time.
package adminport

import (
	"context"
	"errors"
	"io"

	"example.org/ha/consensus/fourletter"
)

// A Source is the member that is asked. Its methods are called from any goroutine.
type Source interface {
	// Status is what the member says now, with the parts wanted. A member that does not serve still has a
	// Status, with Serving false.
	Status(ctx context.Context, want fourletter.Want) (*fourletter.Status, error)
	// Reset sets counters to zero: those of the words srst and crst.
	Reset(ctx context.Context, word string) error
	// Authorize says whether who shows these credentials, as an auth packet would carry them, may read all
	// there is: ALL on "/". ErrUnauthorized: no; another error: it could not be found out.
	Authorize(ctx context.Context, scheme string, auth []byte) error
	// Snapshot writes the data as a snapshot file, of one zxid. Before its first write the answer can still
	// be an error.
	Snapshot(ctx context.Context, w io.Writer) error
}

// ErrUnauthorized refuses credentials.
var ErrUnauthorized = errors.New("adminport: not authorized")
