package notify

import (
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is the table [notify].
type Config struct {
	// Events chooses what is told: vip, server, host, track, reload. Empty means all of them.
	Events []Kind `toml:"events"`
	// Gather is how long the first event of a quiet time waits for what follows from the same cause. Default 2s.
	Gather time.Duration `toml:"gather"`
	// Digest is the least time between two messages. Default 1m.
	Digest time.Duration `toml:"digest"`
	// Queue bounds the events waiting; beyond it the oldest is dropped and the next message says so. Default 1000.
	Queue int `toml:"queue"`

	Mail    []Mail    `toml:"mail"`
	Webhook []Webhook `toml:"webhook"`
	Exec    []Exec    `toml:"exec"`
}

// Mail is one entry of [[notify.mail]].
type Mail struct {
	// SMTP is the server, "host:port". Required. Port 465 means TLS from the first byte.
	SMTP string `toml:"smtp"`
	// From is the sender. Required.
	From string `toml:"from"`
	// To are the receivers. Required.
	To []string `toml:"to"`
	// TLS is "starttls" (required, the default), "opportunistic" (when the server offers it), "tls"
	// (from the first byte) or "none".
	TLS string `toml:"tls"`
	// CAFile holds the certificates that vouch for the server; empty means the system's.
	CAFile string `toml:"ca_file"`
	// User and PasswordFile log in; the file holds the password in its first line. Empty: no login.
	User         string `toml:"user"`
	PasswordFile string `toml:"password_file"`
	// Timeout bounds one delivery. Default 20s.
	Timeout time.Duration `toml:"timeout"`
}

// Webhook is one entry of [[notify.webhook]]: a POST of JSON.
type Webhook struct {
	// URL is where to; http or https. Required.
	URL string `toml:"url"`
	// TokenFile holds a token in its first line, sent as "Authorization: Bearer".
	TokenFile string `toml:"token_file"`
	// Timeout bounds one request. Default 10s.
	Timeout time.Duration `toml:"timeout"`
}

// Exec is one entry of [[notify.exec]]: a command, without a shell. It gets the message as JSON on
// its standard input and the worst event as HA_KIND, HA_NAME, HA_STATE and so on in its environment.
type Exec struct {
	// Command is the program and its arguments. Required; the program by its absolute path.
	Command []string `toml:"command"`
	// Timeout is when the command, with all it started, is killed. Default 30s.
	Timeout time.Duration `toml:"timeout"`
}

// Check reports every mistake, each as "key: message".
func (c Config) Check() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	for i, k := range c.Events {
		if !slices.Contains(kinds, k) {
			bad(fmt.Sprintf("events[%d]", i), "%q is not an event (%s)", k, join(kinds))
		}
	}
	if c.Gather < 0 || c.Gather > time.Minute {
		bad("gather", "%v is not within 0s..1m", c.Gather)
	}
	if c.Digest < 0 || c.Digest > 24*time.Hour {
		bad("digest", "%v is not within 0s..24h", c.Digest)
	}
	if c.Queue < 0 || c.Queue > 100_000 {
		bad("queue", "%d is not within 1..100000", c.Queue)
	}
	for i, m := range c.Mail {
		m.check(func(key, format string, args ...any) { bad(fmt.Sprintf("mail[%d].%s", i, key), format, args...) })
	}
	for i, w := range c.Webhook {
		u, err := url.Parse(w.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad(fmt.Sprintf("webhook[%d].url", i), "%q is not an http or https address", w.URL)
		}
		checkTimeout(w.Timeout, func(format string, args ...any) { bad(fmt.Sprintf("webhook[%d].timeout", i), format, args...) })
	}
	for i, e := range c.Exec {
		if len(e.Command) == 0 || !strings.HasPrefix(e.Command[0], "/") {
			bad(fmt.Sprintf("exec[%d].command", i), "the program is required, by its absolute path")
		}
		checkTimeout(e.Timeout, func(format string, args ...any) { bad(fmt.Sprintf("exec[%d].timeout", i), format, args...) })
	}
	return errors.Join(errs...)
}

func (m Mail) check(bad func(key, format string, args ...any)) {
	host, port, err := net.SplitHostPort(m.SMTP)
	number, convErr := strconv.ParseUint(port, 10, 16)
	if err != nil || convErr != nil || host == "" || number == 0 {
		bad("smtp", "%q is not host:port", m.SMTP)
	}
	if _, err := netmail.ParseAddress(m.From); err != nil {
		bad("from", "%q is not a mail address", m.From)
	}
	if len(m.To) == 0 {
		bad("to", "at least one receiver is required")
	}
	for i, to := range m.To {
		if _, err := netmail.ParseAddress(to); err != nil {
			bad(fmt.Sprintf("to[%d]", i), "%q is not a mail address", to)
		}
	}
	if !slices.Contains([]string{"", tlsStart, tlsOffered, tlsDirect, tlsNone}, m.TLS) {
		bad("tls", "%q is not starttls, opportunistic, tls or none", m.TLS)
	}
	if m.User == "" && m.PasswordFile != "" {
		bad("user", "required with password_file")
	}
	if m.User != "" && m.PasswordFile == "" {
		bad("password_file", "required with user")
	}
	if m.User != "" && (m.TLS == tlsNone || m.TLS == tlsOffered) {
		bad("tls", "%q would send the password in the clear", m.TLS)
	}
	checkTimeout(m.Timeout, func(format string, args ...any) { bad("timeout", format, args...) })
}

func checkTimeout(d time.Duration, bad func(format string, args ...any)) {
	if d < 0 || d > 5*time.Minute {
		bad("%v is not within 0s..5m", d)
	}
}

// silent says that nobody would hear a message.
func (c Config) silent() bool { return len(c.Mail)+len(c.Webhook)+len(c.Exec) == 0 }

// sameTargets says that messages of c go where those of o do, in the same way.
func (c Config) sameTargets(o Config) bool {
	return slices.Equal(c.Webhook, o.Webhook) &&
		slices.EqualFunc(c.Mail, o.Mail, func(a, b Mail) bool { return reflect.DeepEqual(a, b) }) &&
		slices.EqualFunc(c.Exec, o.Exec, func(a, b Exec) bool { return reflect.DeepEqual(a, b) })
}

// Filled returns c with the defaults where the file says nothing.
func (c Config) Filled() Config {
	if len(c.Events) == 0 {
		c.Events = kinds
	}
	c.Gather = or(c.Gather, 2*time.Second)
	c.Digest = or(c.Digest, time.Minute)
	c.Queue = or(c.Queue, 1000)
	c.Mail, c.Webhook, c.Exec = slices.Clone(c.Mail), slices.Clone(c.Webhook), slices.Clone(c.Exec)
	for i := range c.Mail {
		m := &c.Mail[i]
		m.Timeout = or(m.Timeout, 20*time.Second)
		m.TLS = or(m.TLS, tlsStart)
		if strings.HasSuffix(m.SMTP, ":465") && m.TLS == tlsStart {
			m.TLS = tlsDirect
		}
	}
	for i := range c.Webhook {
		c.Webhook[i].Timeout = or(c.Webhook[i].Timeout, 10*time.Second)
	}
	for i := range c.Exec {
		c.Exec[i].Timeout = or(c.Exec[i].Timeout, 30*time.Second)
	}
	return c
}

// targets builds one target for each entry.
func (c Config) targets(host string) []target {
	var out []target
	for _, m := range c.Mail {
		out = append(out, mailer{cfg: m, host: host})
	}
	for _, w := range c.Webhook {
		out = append(out, newPoster(w))
	}
	for _, e := range c.Exec {
		out = append(out, runner{e})
	}
	return out
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func join(k []Kind) string {
	words := make([]string, len(k))
	for i := range k {
		words[i] = string(k[i])
	}
	return strings.Join(words, ", ")
}
