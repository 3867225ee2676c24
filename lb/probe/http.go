package probe

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	httpKeys  = []string{"port", "method", "path", "host", "expect"}
	httpsKeys = append([]string{"server_name", "verify"}, httpKeys...)
)

// Bounds of an answer: the status line and headers, and the part of the body that is looked at.
const (
	maxHead = 64 << 10
	maxBody = 64 << 10
)

func checkHTTP(c Config) error {
	var errs []error
	if strings.ContainsFunc(c.Method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		errs = append(errs, fmt.Errorf("method: %q, want capital letters", c.Method))
	}
	if c.Path != "" {
		blank := strings.ContainsFunc(c.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f })
		if _, err := url.ParseRequestURI(c.Path); err != nil || blank || c.Path[0] != '/' {
			errs = append(errs, fmt.Errorf("path: %q, want one that begins with / and needs no escaping", c.Path))
		}
	}
	if strings.ContainsFunc(c.Host, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		errs = append(errs, fmt.Errorf("host: %q is no host name", c.Host))
	}
	return errors.Join(append(errs, checkExpect(c.Expect))...)
}

// HTTP asks one request over a connection of its own, plain or in TLS, and follows no redirect.
func HTTP(ctx context.Context, c Config, target netip.AddrPort) error {
	method, path := cmp.Or(c.Method, "GET"), cmp.Or(c.Path, "/")
	tcp, err := dial(ctx, target)
	if err != nil {
		return err
	}
	defer tcp.Close()
	var conn net.Conn = tcp
	if c.Kind == "https" {
		// The connection keeps the deadline of ctx, so a shaken hand needs no goroutine to watch it.
		t := tls.Client(tcp, &tls.Config{ServerName: serverName(c, target), InsecureSkipVerify: !c.Verify})
		if err := t.Handshake(); err != nil {
			return fmt.Errorf("TLS %v: %w", target, cause(ctx, err))
		}
		conn = t
	}
	asked := fmt.Sprintf("%s %v%s", method, target, path)
	if _, err := conn.Write(request(method, path, cmp.Or(c.Host, defaultHost(c.Kind, target)))); err != nil {
		return fmt.Errorf("%s: %w", asked, cause(ctx, err))
	}
	status, body, err := readReply(conn, method)
	if err != nil {
		return fmt.Errorf("%s: %w", asked, cause(ctx, err))
	}
	if err := c.Expect.judge(status, body); err != nil {
		return fmt.Errorf("%s: %w", asked, err)
	}
	return nil
}

func request(method, path, host string) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ha\r\nAccept: */*\r\nConnection: close\r\n\r\n", method, path, host)
}

// readReply reads the final answer and as much of its body as is looked at. A body that breaks off
// after its head is not held against the server unless Expect misses something in it.
func readReply(r io.Reader, method string) (status int, body []byte, err error) {
	br := bufio.NewReader(io.LimitReader(r, maxHead+maxBody))
	req := &http.Request{Method: method}
	for range 8 { // 100 Continue and 103 Early Hints may come first
		resp, err := http.ReadResponse(br, req)
		if err != nil {
			return 0, nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == 101 {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
			return resp.StatusCode, body, nil
		}
	}
	return 0, nil, errors.New("too many interim answers")
}

func (e Expect) judge(status int, body []byte) error {
	switch {
	case len(e.Status) == 0 && (status < 200 || status > 399):
		return fmt.Errorf("status %d, want 200 to 399", status)
	case len(e.Status) > 0 && !slices.Contains(e.Status, status):
		return fmt.Errorf("status %d, want %s", status, list(e.Status))
	case !bytes.Contains(body, []byte(e.Body)):
		return fmt.Errorf("body does not contain %q", e.Body)
	}
	if e.Regexp != "" && !regexp.MustCompile(e.Regexp).Match(body) {
		return fmt.Errorf("body does not match %q", e.Regexp)
	}
	return nil
}

func list(status []int) string {
	words := make([]string, len(status))
	for i, s := range status {
		words[i] = strconv.Itoa(s)
	}
	return strings.Join(words, " or ")
}

func defaultHost(kind string, target netip.AddrPort) string {
	if k, _ := kindNamed(kind); k.port == target.Port() {
		if target.Addr().Is6() {
			return "[" + target.Addr().String() + "]"
		}
		return target.Addr().String()
	}
	return target.String()
}

func serverName(c Config, target netip.AddrPort) string {
	if c.ServerName != "" || c.Host == "" {
		return cmp.Or(c.ServerName, target.Addr().String())
	}
	if host, _, err := net.SplitHostPort(c.Host); err == nil {
		return host
	}
	return c.Host
}
