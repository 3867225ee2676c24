package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// DefaultSocket is where `ha status` and its siblings find a running appliance.
	DefaultSocket = "/run/ha/ha.sock"
	// DefaultListen answers monitoring on this host only.
	DefaultListen = "127.0.0.1:7070"

	maxSocketPath = 107 // what the kernel's sockaddr_un holds
	minToken      = 16
)

// Config is the table [admin].
type Config struct {
	// Socket is the unix socket of the commands, open to root and its group (0660). Default
	// /run/ha/ha.sock. It cannot be changed while running.
	Socket string `toml:"socket"`
	// Listen is the address of HTTP: /status, /healthz, /readyz, /metrics. Default 127.0.0.1:7070;
	// "none" turns it off.
	Listen string `toml:"listen"`
	// TokenFile holds a secret of at least 16 characters in its first line. With it, everything but
	// /healthz and /readyz wants "Authorization: Bearer SECRET" over TCP, and the commands
	// (reload, release, drain) are there too. Required when Listen is not loopback.
	TokenFile string `toml:"token_file"`
}

// none turns the TCP listener off.
const none = "none"

// Filled returns c with the defaults where the file says nothing.
func (c Config) Filled() Config {
	c.Socket = cmp.Or(c.Socket, DefaultSocket)
	c.Listen = cmp.Or(c.Listen, DefaultListen)
	return c
}

// Check reports every mistake, each as "key: message".
func (c Config) Check() error {
	c = c.Filled()
	var errs []error
	if !filepath.IsAbs(c.Socket) || len(c.Socket) > maxSocketPath {
		errs = append(errs, fmt.Errorf("socket: %q is not an absolute path of at most %d bytes", c.Socket, maxSocketPath))
	}
	if c.Listen == none {
		return errors.Join(errs...)
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if n, convErr := strconv.ParseUint(port, 10, 16); err != nil || convErr != nil || n == 0 {
		errs = append(errs, fmt.Errorf(`listen: %q is neither "address:port" nor "none"`, c.Listen))
	} else if !loopback(host) && c.TokenFile == "" {
		errs = append(errs, fmt.Errorf("token_file: required because listen %s is reachable from other hosts", c.Listen))
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// CheckFiles says whether the files that c names can be used on this host.
func (c Config) CheckFiles() error {
	_, err := c.token()
	return err
}

// token reads the secret; empty when there is none.
func (c Config) token() (string, error) {
	if c.TokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("admin: read token: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSpace(line)
	if len(line) < minToken {
		return "", fmt.Errorf("admin: token in %s is shorter than %d characters", c.TokenFile, minToken)
	}
	return line, nil
}
