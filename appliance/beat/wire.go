package beat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// A message is JSON, cut into packets because a packet of a unix socket cannot
// be longer than the socket's send buffer, and the status of 255 VIPs is:
//
//	byte 0      1 if more packets of this message follow, else 0
//	byte 1...   a part of the JSON
const (
	maxChunk   = 64 << 10
	maxMessage = 4 << 20
	sendBuffer = 1 << 20

	lastChunk, moreChunks = 0, 1
)

// A message has one field set.
type message struct {
	// MAIN to BEAT.
	Configure *configure `json:"configure,omitempty"`
	Health    *health    `json:"health,omitempty"`
	Resign    *resign    `json:"resign,omitempty"`
	Say       *word      `json:"say,omitempty"`
	Shout     *word      `json:"shout,omitempty"`
	Stop      bool       `json:"stop,omitempty"`

	// BEAT to MAIN.
	Answer  *answer     `json:"answer,omitempty"`
	Change  *vip.Change `json:"change,omitempty"`
	Status  *Status     `json:"status,omitempty"`
	Inbox   *inbox      `json:"inbox,omitempty"`
	Shouted *shouted    `json:"shouted,omitempty"`
}

// configure and resign are answered with their number.
type configure struct {
	Seq      uint64   `json:"seq"`
	Settings Settings `json:"settings"`
}

type resign struct {
	Seq uint64 `json:"seq"`
	VIP string `json:"vip"`
	To  string `json:"to"`
}

type answer struct {
	Seq   uint64 `json:"seq"`
	Error string `json:"error,omitempty"`
}

type health struct {
	VIP   string `json:"vip"`
	Delta int    `json:"delta"`
	Fault string `json:"fault,omitempty"`
}

type word struct {
	Topic gossip.Topic `json:"topic"`
	Body  []byte       `json:"body"`
}

type inbox struct {
	Topic gossip.Topic          `json:"topic"`
	Hosts []heartbeat.HostState `json:"hosts"`
}

type shouted struct {
	Topic   gossip.Topic        `json:"topic"`
	Shouts  []heartbeat.Shouted `json:"shouts"`
	Dropped uint64              `json:"dropped"` // by the rider, since it began
}

// A pipe is one end of the conversation. One goroutine sends, one receives.
type pipe struct {
	conn net.Conn
	in   [maxChunk + 2]byte
	out  [maxChunk + 1]byte
}

// newPipe takes over the descriptor f.
func newPipe(f *os.File) (*pipe, error) {
	defer f.Close() // FileConn has its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("beat: open pipe: %w", err)
	}
	return &pipe{conn: conn}, nil
}

// socketpair makes both ends; neither is inherited by a process that is not
// given it.
func socketpair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("beat: make pipe: %w", err)
	}
	for _, fd := range fds {
		// Refused beyond the system's limit; then a writer waits earlier.
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
	return os.NewFile(uintptr(fds[0]), "beat"), os.NewFile(uintptr(fds[1]), "main"), nil
}

func (p *pipe) send(m message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("beat: encode message: %w", err)
	}
	if len(b) > maxMessage {
		return fmt.Errorf("beat: send message: %d bytes are more than %d", len(b), maxMessage)
	}
	for {
		n := copy(p.out[1:], b)
		b = b[n:]
		p.out[0] = moreChunks
		if len(b) == 0 {
			p.out[0] = lastChunk
		}
		if _, err := p.conn.Write(p.out[:1+n]); err != nil {
			return fmt.Errorf("beat: send message: %w", err)
		}
		if len(b) == 0 {
			return nil
		}
	}
}

// receive returns io.EOF when the other process closed its end or died.
func (p *pipe) receive() (message, error) {
	var whole []byte
	for {
		n, err := p.conn.Read(p.in[:])
		if err != nil {
			if isEnd(err) {
				return message{}, io.EOF
			}
			return message{}, fmt.Errorf("beat: receive message: %w", err)
		}
		more, rest, err := parseChunk(p.in[:n], len(whole))
		if err != nil {
			return message{}, err
		}
		whole = append(whole, rest...)
		if !more {
			return parseMessage(whole)
		}
	}
}

// parseChunk splits a packet, of which have bytes came before.
func parseChunk(b []byte, have int) (more bool, rest []byte, err error) {
	switch {
	case len(b) < 2 || len(b) > maxChunk+1:
		return false, nil, fmt.Errorf("beat: receive message: a packet of %d bytes", len(b))
	case b[0] != lastChunk && b[0] != moreChunks:
		return false, nil, fmt.Errorf("beat: receive message: a packet that begins with %d", b[0])
	case have+len(b)-1 > maxMessage:
		return false, nil, fmt.Errorf("beat: receive message: longer than %d bytes", maxMessage)
	}
	return b[0] == moreChunks, b[1:], nil
}

func parseMessage(b []byte) (message, error) {
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return message{}, fmt.Errorf("beat: decode message: %w", err)
	}
	return m, nil
}

// isEnd tells whether the other process closed its end or died, perhaps with
// packets of ours unread.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) }

// isGone tells whether a message could not be sent because the other process
// closed its end or died, or because we closed ours.
func isGone(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, net.ErrClosed)
}
