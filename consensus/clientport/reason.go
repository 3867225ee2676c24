package clientport

// A Reason is why a connection ended. The member has reasons of its own; all must be constants, for they
// are counted by name.
type Reason string

// Error makes a Reason what Batch.Closed holds.
func (r Reason) Error() string { return "clientport: connection closed: " + string(r) }

// Why connections end here.
const (
	ClosedByClient   Reason = "closed by the client"
	ConnectionLost   Reason = "connection lost" // reset, or a time-out of TCP
	Stopped          Reason = "server stopped"
	WordAnswered     Reason = "four-letter word answered" // for the member's Close
	SaidNothing      Reason = "no request in time"
	FrameTooLong     Reason = "frame longer than allowed"
	FrameNegative    Reason = "frame of negative length"
	HTTPRequest      Reason = "HTTP on the client port"
	TLSOnPlainPort   Reason = "TLS on a port without TLS"
	PlainOnTLSPort   Reason = "no TLS on a port with TLS"
	TLSHandshake     Reason = "TLS handshake failed"
	TooManyOfAddress Reason = "too many connections of one address"
	TooMany          Reason = "too many connections"
	NoDescriptors    Reason = "no file descriptors left"
	Throttled        Reason = "connections come too fast"
	TooMuchUnread    Reason = "answers not read"
	TooMuchLarge     Reason = "too many bytes of large requests"
)
