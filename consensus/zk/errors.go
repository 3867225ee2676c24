package zk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"example.org/ha/consensus/jute"
)

var (
	// ErrClosed says that the client was closed, by Close, Detach or the end of Run's context.
	ErrClosed = errors.New("client closed")
	// ErrUnreachable says that no server could be reached in the time given.
	ErrUnreachable = errors.New("no server answers")
	// ErrTooLarge says that a request or a reply is longer than Config allows.
	ErrTooLarge = errors.New("frame too large")
	// ErrTooManyWatches says that Config.MaxWatches are set.
	ErrTooManyWatches = errors.New("too many watches")
	// ErrProtocol says that a server sent what the protocol does not allow.
	ErrProtocol = errors.New("protocol violated")
)

// An Error says which operation on which path did not do what was asked, and why. errors.Is finds the
// code: errors.Is(err, jute.NodeExists).
type Error struct {
	Op   jute.Op
	Path string // as the caller wrote it; empty where the operation has none
	Part int    // of a multi, the part that was refused, from 0; -1 otherwise
	Sent bool   // the request may have reached a server
	Err  error
}

// Error reads like "zk: create /a/b: node exists".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("zk: ")
	if e.Part >= 0 {
		fmt.Fprintf(&b, "multi: part %d: ", e.Part+1)
	}
	b.WriteString(opWord(e.Op))
	if e.Path != "" {
		b.WriteByte(' ')
		b.WriteString(e.Path)
	}
	b.WriteString(": ")
	if code, ok := e.Err.(jute.Code); ok {
		b.WriteString(code.String())
	} else {
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap is the cause, a jute.Code if a server gave it.
func (e *Error) Unwrap() error { return e.Err }

// opWord is what a reader calls the operation: variants of create are one.
func opWord(op jute.Op) string {
	switch op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateTTL, jute.OpCreateContainer:
		return "create"
	case jute.OpGetChildren2:
		return "getChildren"
	}
	return op.String()
}

// Uncertain says that a write failed in a way that leaves open whether it was carried out: the connection
// or the caller's context ended after it was sent. An error from the server itself is certain.
func Uncertain(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Sent {
		return false
	}
	switch {
	case errors.Is(e.Err, jute.ConnectionLoss), errors.Is(e.Err, jute.OperationTimeout), errors.Is(e.Err, jute.RequestTimeout),
		errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, ErrTooLarge),
		errors.Is(e.Err, ErrClosed), errors.Is(e.Err, jute.SessionExpired), errors.Is(e.Err, ErrProtocol):
		return true
	}
	return false
}
