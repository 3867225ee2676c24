package notify

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A post office is a small SMTP server: STARTTLS and AUTH PLAIN, one connection at a time.
type postOffice struct {
	addr     string
	ca       string // a file with its certificate
	starttls bool
	auth     bool

	mu     sync.Mutex
	letter []string // the lines of the last one, envelope first
	secure bool     // it came over TLS
	login  string
}

func newPostOffice(t *testing.T, starttls, auth bool) *postOffice {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "post office"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	p := &postOffice{starttls: starttls, auth: auth, ca: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(p.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(conn, conf)
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return p
}

// serve speaks just enough of RFC 5321.
func (p *postOffice) serve(conn net.Conn, conf *tls.Config) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	in, secure := bufio.NewScanner(conn), false
	say := func(lines ...string) { fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n") }
	say("220 post office")
	var letter []string
	for in.Scan() {
		line := in.Text()
		switch verb, rest, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "EHLO":
			reply := []string{"250-post office"}
			if p.starttls && !secure {
				reply = append(reply, "250-STARTTLS")
			}
			if p.auth && secure {
				reply = append(reply, "250-AUTH PLAIN")
			}
			say(append(reply, "250 8BITMIME")...)
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, conf)
			in, secure = bufio.NewScanner(conn), true
		case "AUTH":
			plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			p.mu.Lock()
			p.login = strings.ReplaceAll(string(plain), "\x00", "|")
			p.mu.Unlock()
			if string(plain) != "\x00user\x00secret" {
				say("535 no")
				continue
			}
			say("235 yes")
		case "MAIL", "RCPT":
			letter = append(letter, line)
			say("250 ok")
		case "DATA":
			say("354 go on")
			for in.Scan() && in.Text() != "." {
				letter = append(letter, in.Text())
			}
			p.mu.Lock()
			p.letter, p.secure = letter, secure
			p.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func TestMail(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("guess\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name           string
		starttls, auth bool
		edit           func(m *Mail, p *postOffice)
		secure         bool
		err            string
	}{
		{"starttls and login", true, true, func(m *Mail, p *postOffice) { m.CAFile, m.User, m.PasswordFile = p.ca, "user", password }, true, ""},
		{"wrong password", true, true, func(m *Mail, p *postOffice) { m.CAFile, m.User, m.PasswordFile = p.ca, "user", wrong }, false, "535"},
		{"no password file", true, true, func(m *Mail, p *postOffice) { m.CAFile, m.User, m.PasswordFile = p.ca, "user", wrong+"x" }, false, "no such file"},
		{"a server that nobody vouches for", true, false, func(*Mail, *postOffice) {}, false, "certificate"},
		{"starttls is required and not offered", false, false, func(m *Mail, p *postOffice) { m.CAFile = p.ca }, false, "STARTTLS"},
		{"opportunistic, offered", true, false, func(m *Mail, p *postOffice) { m.CAFile, m.TLS = p.ca, tlsOffered }, true, ""},
		{"opportunistic, not offered", false, false, func(m *Mail, _ *postOffice) { m.TLS = tlsOffered }, false, ""},
		{"none", false, false, func(m *Mail, _ *postOffice) { m.TLS = tlsNone }, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			office := newPostOffice(t, c.starttls, c.auth)
			m := Mail{SMTP: office.addr, From: "ha@example.com", To: []string{"a@example.com", "b@example.com"}}
			c.edit(&m, office)
			m = Config{Mail: []Mail{m}}.Filled().Mail[0]
			err := mailer{cfg: m, host: "lb1"}.Send(t.Context(), message())
			office.mu.Lock()
			defer office.mu.Unlock()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got error %v, want one with %q", err, c.err)
				}
				if office.letter != nil {
					t.Errorf("a letter was sent all the same: %q", office.letter)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			letter := strings.Join(office.letter, "\n")
			for _, want := range []string{"MAIL FROM:<ha@example.com>", "RCPT TO:<a@example.com>", "RCPT TO:<b@example.com>",
				"Subject: [ha prod] web: 10.0.0.21:80 is down on lb1", "Auto-Submitted: auto-generated", "Said by host lb1"} {
				if !strings.Contains(letter, want) {
					t.Errorf("the letter lacks %q:\n%s", want, letter)
				}
			}
			if office.secure != c.secure {
				t.Errorf("over TLS: %v, want %v", office.secure, c.secure)
			}
		})
	}
}

func TestMailTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := Mail{SMTP: l.Addr().String(), From: "ha@example.com", To: []string{"a@example.com"}, TLS: tlsNone, Timeout: 100 * time.Millisecond}
	begin := time.Now()
	if err := (mailer{cfg: m}).Send(t.Context(), message()); err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("a server that says nothing: %v after %v", err, time.Since(begin))
	}
}
