package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// loginKeys are those of the kinds that log in to a database.
var loginKeys = []string{"port", "user", "password", "role"}

func checkLogin(c Config) error {
	var errs []error
	switch c.Role {
	case "", "primary", "replica":
	default:
		errs = append(errs, fmt.Errorf("role: unknown %q, want primary or replica", c.Role))
	}
	if c.Kind == "mysql" && c.User == "" && (c.Role != "" || c.Password != "") {
		errs = append(errs, errors.New("user: required with a role or a password"))
	}
	if len(c.User) > 256 || len(c.Password) > 256 || strings.ContainsRune(c.User, 0) {
		errs = append(errs, errors.New("user, password: want at most 256 bytes and no NUL"))
	}
	return errors.Join(errs...)
}

// maxRESP bounds one reply; INFO replication with a few hundred replicas fits.
const maxRESP = 64 << 10

// Redis logs in if it has a password, asks PING, and with a role asks INFO replication. A server that
// still loads its data set answers PING with an error and is not well.
func Redis(ctx context.Context, c Config, target netip.AddrPort) error {
	conn, err := dial(ctx, target)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(io.LimitReader(conn, 3*maxRESP))
	ask := func(words ...string) (string, error) {
		if _, err := conn.Write(appendRESP(nil, words...)); err != nil {
			return "", fmt.Errorf("%s %v: %w", words[0], target, cause(ctx, err))
		}
		reply, err := readRESP(r)
		if err != nil {
			return "", fmt.Errorf("%s %v: %w", words[0], target, cause(ctx, err))
		}
		return reply, nil
	}
	if c.Password != "" {
		login := []string{"AUTH", c.Password}
		if c.User != "" {
			login = []string{"AUTH", c.User, c.Password}
		}
		if _, err := ask(login...); err != nil {
			return err
		}
	}
	if pong, err := ask("PING"); err != nil {
		return err
	} else if pong != "PONG" {
		return fmt.Errorf("PING %v: answered %q, want PONG", target, pong[:min(len(pong), maxReason)])
	}
	if c.Role == "" {
		return nil
	}
	info, err := ask("INFO", "replication")
	if err != nil {
		return err
	}
	if role := redisRole(info); role != c.Role {
		return fmt.Errorf("INFO %v: role is %s, want %s", target, role, c.Role)
	}
	return nil
}

// redisRole finds the line role:master or role:slave.
func redisRole(info string) string {
	for line := range strings.Lines(info) {
		switch role, ok := strings.CutPrefix(strings.TrimSpace(line), "role:"); {
		case !ok:
		case role == "master":
			return "primary"
		case role == "slave":
			return "replica"
		}
	}
	return "unknown"
}

// appendRESP appends a command as an array of bulk strings (RESP2).
func appendRESP(b []byte, words ...string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}

// readRESP reads a simple string, a bulk string or an error. Nothing else answers what is asked here.
func readRESP(r *bufio.Reader) (string, error) {
	line, err := readLine(r)
	if err != nil {
		return "", err
	}
	if line == "" {
		return "", errors.New("empty reply")
	}
	switch rest := line[1:]; line[0] {
	case '+':
		return rest, nil
	case '-':
		return "", fmt.Errorf("answered %q", rest[:min(len(rest), maxReason)])
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 || n > maxRESP {
			return "", fmt.Errorf("reply of %q bytes", rest)
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		return string(b[:n]), nil
	}
	return "", fmt.Errorf("reply of unknown type %q", line[:1])
}

// readLine reads up to CR LF, at most what the reader's buffer holds.
func readLine(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errors.New("line too long")
	}
	return strings.TrimRight(string(b), "\r\n"), err
}
