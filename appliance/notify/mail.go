package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"
)

// The words of Mail.TLS.
const (
	tlsStart   = "starttls"
	tlsOffered = "opportunistic"
	tlsDirect  = "tls"
	tlsNone    = "none"
)

// A mailer sends one mail per message. It dials anew each time: mails are rare, and a connection kept
// open would be dead when it is needed.
type mailer struct {
	cfg  Mail
	host string
}

func (m mailer) Kind() string { return "mail" }
func (m mailer) String() string {
	return "mail to " + strings.Join(m.cfg.To, ", ") + " by " + m.cfg.SMTP
}

func (m mailer) Send(ctx context.Context, msg Message) error {
	var line line
	client, err := m.client(&line)
	if err != nil {
		return fmt.Errorf("notify: prepare mail by %s: %w", m.cfg.SMTP, err)
	}
	letter := mail.NewMsg()
	if err := letter.From(m.cfg.From); err != nil {
		return fmt.Errorf("notify: write mail from %q: %w", m.cfg.From, err)
	}
	if err := letter.To(m.cfg.To...); err != nil {
		return fmt.Errorf("notify: write mail to %q: %w", m.cfg.To, err)
	}
	letter.Subject(msg.Subject)
	letter.SetDate()
	letter.SetMessageID()
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation replies, please
	letter.SetBodyString(mail.TypeTextPlain, msg.Text)
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	defer line.hangUp()
	if err := client.DialAndSendWithContext(ctx, letter); err != nil {
		return fmt.Errorf("notify: send mail by %s: %w", m.cfg.SMTP, err)
	}
	return nil
}

// A line is the connection of one mail. The library forgets it when a dial ends at STARTTLS.
type line struct{ conns []net.Conn }

func (l *line) hangUp() {
	for _, c := range l.conns {
		_ = c.Close() // closed already, after a mail that went out
	}
}

// client reads the secrets anew, so that a changed password needs no reload.
func (m mailer) client(l *line) (*mail.Client, error) {
	host, port, err := net.SplitHostPort(m.cfg.SMTP)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if m.cfg.CAFile != "" {
		pem, err := os.ReadFile(m.cfg.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", m.cfg.CAFile)
		}
	}
	opts := []mail.Option{mail.WithPort(number), mail.WithTimeout(m.cfg.Timeout), mail.WithTLSConfig(conf), mail.WithoutNoop()}
	switch m.cfg.TLS {
	case tlsDirect:
		opts = append(opts, mail.WithSSL())
	case tlsOffered:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case tlsNone:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	default:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.cfg.User != "" {
		password, err := firstLine(m.cfg.PasswordFile)
		if err != nil {
			return nil, err
		}
		opts = append(opts, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.cfg.User), mail.WithPassword(password))
	}
	opts = append(opts, mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		var plain net.Dialer
		dial := plain.DialContext
		if m.cfg.TLS == tlsDirect {
			dial = (&tls.Dialer{Config: conf}).DialContext
		}
		conn, err := dial(ctx, network, address)
		if err == nil {
			l.conns = append(l.conns, conn)
		}
		return conn, err
	}))
	if m.host != "" {
		opts = append(opts, mail.WithHELO(m.host))
	}
	return mail.NewClient(host, opts...)
}

// firstLine reads a secret.
func firstLine(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line), nil
}
