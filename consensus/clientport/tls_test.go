package clientport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An authority signs certificates for tests and writes them down as files.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.write("ca.pem", a.cert, nil)
	return a
}

func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<60))
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name string, cert *x509.Certificate, key crypto.PrivateKey) string {
	a.t.Helper()
	var text []byte
	if cert != nil {
		text = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	if key != nil {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			a.t.Fatal(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return a.raw(name, text)
}

func (a *authority) raw(name string, text []byte) string {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return a.file(name)
}

// server is a configuration with a certificate for 127.0.0.1.
func (a *authority) server() TLS {
	cert, key := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	a.write("server.pem", cert, nil)
	a.write("server.key", nil, key)
	return TLS{Certificate: a.file("server.pem"), Key: a.file("server.key"), CA: a.file("ca.pem"), ClientAuth: "none"}
}

// client is a client's configuration, with a certificate for subject if there is one.
func (a *authority) client(certs ...*x509.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	c := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	for _, template := range certs {
		cert, key := a.sign(template)
		c.Certificates = append(c.Certificates, tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key})
	}
	return c
}

func someone() *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: "someone", Organization: []string{"A, B"}, Country: []string{"DE"}}}
}

// dialTLS is dialRaw with TLS; the client's half of it stays in memory as little as it can.
func (m *member) dialTLS() int {
	m.t.Helper()
	nc := m.dial()
	c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	send(m.t, c, frame("hello"))
	want(m.t, c, frame("hello"))
	f, err := nc.File()
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		m.t.Fatal(err)
	}
	nc.Close()
	return fd
}

func TestTLSClientAuthentication(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	for _, c := range []struct {
		name, auth string
		client     *tls.Config
		served     bool
		shown      int
	}{
		{"none, none shown", "none", a.client(), true, 0},
		{"none, one shown", "none", a.client(someone()), true, 0},
		{"want, none shown", "want", a.client(), true, 0},
		{"want, one shown", "want", a.client(someone()), true, 1},
		{"need, none shown", "need", a.client(), false, 0},
		{"need, one shown", "need", a.client(someone()), true, 1},
		{"need by default", "", a.client(), false, 0},
		{"need, a stranger's", "need", func() *tls.Config { c := other.client(someone()); c.RootCAs = a.client().RootCAs; return c }(), false, 0},
		{"old protocol", "none", func() *tls.Config {
			c := a.client()
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return c
		}(), false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := a.server()
			cfg.ClientAuth = c.auth
			conns := make(chan *Conn, 1)
			m := startMember(t, Config{TLSListen: []netip.AddrPort{loopback}, TLS: cfg}, func(m *member, b Batch) {
				if b.Closed == nil {
					conns <- b.Conn
				}
				m.echo(b)
			})
			nc := m.dial()
			client := tls.Client(nc, c.client)
			_, err := client.Write(frame("hello"))
			if !c.served {
				wantEnd(t, client) // an alert
				wantEnd(t, nc)
				nc.Close()
				reasons, log := m.stopped()
				if reasons[TLSHandshake] != 1 || !strings.Contains(log, string(TLSHandshake)) {
					t.Errorf("reasons %v, log %s (%v)", reasons, log, err)
				}
				return
			}
			want(t, client, frame("hello"))
			conn := <-conns
			if !conn.Secure() || len(conn.Certificates()) != c.shown {
				t.Fatalf("secure %v, certificates %v", conn.Secure(), conn.Certificates())
			}
			if c.shown > 0 {
				if s, err := Subject(conn.Certificates()[0]); err != nil || s != `CN=someone,O=A\, B,C=DE` {
					t.Errorf("subject %q, %v", s, err)
				}
			}
		})
	}
}

// Large answers, many records, and the end of a session arrive whole.
func TestTLSCarriesEverything(t *testing.T) {
	a := newAuthority(t)
	m := startMember(t, Config{Listen: []netip.AddrPort{loopback}, TLSOptional: true, TLS: a.server()}, nil)
	for _, secure := range []bool{true, false} {
		var c net.Conn = m.dial()
		if secure {
			c = tls.Client(c, a.client())
		}
		var all []byte
		for i := range 3000 {
			all = append(all, frame(strings.Repeat("x", i))...)
		}
		done := make(chan struct{})
		go func() { defer close(done); _, _ = c.Write(all) }()
		want(t, c, all)
		<-done
	}
	word := tls.Client(m.dial(), a.client())
	send(t, word, []byte("mntr"))
	if got := wantEnd(t, word); string(got) != "mntr" {
		t.Errorf("got %q", got)
	}
}

func TestNoTLSOnTLSPort(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name, in, answer string
		reason           Reason
	}{
		{"a frame", string(frame("no TLS, but long enough to be a record's head")), "", PlainOnTLSPort},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", httpAnswer, HTTPRequest},
		{"HTTP inside TLS", "", httpAnswer, HTTPRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := startMember(t, Config{TLSListen: []netip.AddrPort{loopback}, TLS: a.server()}, nil)
			nc := m.dial()
			var client net.Conn = nc
			if c.in == "" {
				client, c.in = tls.Client(nc, a.client()), "GET / HTTP/1.1\r\n\r\n"
			}
			send(t, client, []byte(c.in))
			if got := wantEnd(t, client); string(got) != c.answer {
				t.Errorf("answer %q", got)
			}
			nc.Close()
			if reasons, _ := m.stopped(); reasons[c.reason] != 1 {
				t.Errorf("%v", reasons)
			}
		})
	}
}

// New certificates are for new connections; a pair that does not fit changes nothing.
func TestTLSReload(t *testing.T) {
	a := newAuthority(t)
	cfg := a.server()
	m := startMember(t, Config{TLSListen: []netip.AddrPort{loopback}, TLS: cfg}, nil)
	serial := func() (*tls.Conn, string) {
		c := tls.Client(m.dial(), a.client())
		send(t, c, frame("hello"))
		want(t, c, frame("hello"))
		return c, c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	old, first := serial()
	a.write("server.key", nil, a.key)
	if err := m.server.Reload(); err == nil || !strings.Contains(err.Error(), "not the certificate's") {
		t.Errorf("a key of another certificate: %v", err)
	}
	if _, again := serial(); again != first {
		t.Error("a pair that does not fit was taken")
	}
	a.server()
	if err := m.server.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, second := serial(); second == first {
		t.Error("the new certificate is not shown")
	}
	send(t, old, frame("still here"))
	want(t, old, frame("still here"))
}

func TestTLSFilesAreWatched(t *testing.T) {
	a := newAuthority(t)
	cfg := a.server()
	before := cfg.fingerprint()
	a.server()
	if err := os.Chtimes(cfg.Certificate, time.Time{}, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if cfg.fingerprint() == before {
		t.Error("a change is not seen")
	}
	before = cfg.fingerprint()
	if err := os.Remove(cfg.Key); err != nil {
		t.Fatal(err)
	}
	if cfg.fingerprint() == before {
		t.Error("an end is not seen")
	}
}

func TestVerifyHost(t *testing.T) {
	a := newAuthority(t)
	at := netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		name string
		cert *x509.Certificate
		ok   bool
	}{
		{"its address", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, true},
		{"another address", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 9)}}, false},
		{"another name", &x509.Certificate{DNSNames: []string{"nobody.invalid"}}, false},
		{"common name", &x509.Certificate{Subject: pkix.Name{CommonName: "127.0.0.1"}}, true},
		{"common name beside others", &x509.Certificate{Subject: pkix.Name{CommonName: "127.0.0.1"}, DNSNames: []string{"nobody.invalid"}}, false},
		{"nothing", &x509.Certificate{}, false},
	} {
		cert, _ := a.sign(c.cert)
		if err := verifyHost(cert, at); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	name, _ := a.sign(&x509.Certificate{DNSNames: []string{"*.example.org"}})
	if !matches(name, "a.example.org") || matches(name, "example.org") || matches(name, "1.2.3.4") {
		t.Error("wildcard")
	}
	cn, _ := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "a.example.org"}})
	if !matches(cn, "a.example.org") || matches(cn, "b.example.org") {
		t.Error("common name as a name")
	}
}

func TestSubject(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name pkix.Name
		want string
	}{
		{pkix.Name{CommonName: "a"}, "CN=a"},
		{pkix.Name{}, ""},
		{pkix.Name{CommonName: ` #+,"\<>; `}, `CN=\ #\+\,\"\\\<\>\;\ `},
		{pkix.Name{CommonName: "#a=b"}, `CN=\#a=b`},
		{pkix.Name{CommonName: "Müller"}, "CN=Müller"},
		{pkix.Name{CommonName: "c", OrganizationalUnit: []string{"u1", "u2"}, Province: []string{"p"}, Locality: []string{"l"}}, "CN=c,OU=u1+OU=u2,L=l,ST=p"},
		{pkix.Name{CommonName: "c", ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 840, 113549, 1, 9, 1}, Value: "a@b"}}}, "1.2.840.113549.1.9.1=#0c03614062,CN=c"},
	} {
		cert, _ := a.sign(&x509.Certificate{Subject: c.name})
		if got, err := Subject(cert); err != nil || got != c.want {
			t.Errorf("got %q, want %q, %v", got, c.want, err)
		}
	}
}
