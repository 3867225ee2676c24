package zk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// certificate is for name, and trusted by the pool.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	noError(t, err)
	parsed, err := x509.ParseCertificate(der)
	noError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// A name in the list is resolved, its certificate checked, and servers that are not there are passed over.
func TestTLSAndDeadServers(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, _ *Client) {
		cert, pool := certificate(t, "localhost")
		front, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		noError(t, err)
		t.Cleanup(func() { front.Close() })
		go func() {
			for {
				conn, err := front.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					back, err := net.Dial("tcp", s.addr)
					if err != nil {
						return
					}
					defer back.Close()
					go func() { _, _ = io.Copy(back, conn); back.Close() }()
					_, _ = io.Copy(conn, back)
				}()
			}
		}()
		_, port, _ := net.SplitHostPort(front.Addr().String())
		ctx := within(t)
		c, err := Dial(ctx, Config{Servers: []string{"127.0.0.1:1", "localhost:" + port}, TLS: &tls.Config{RootCAs: pool}})
		noError(t, err)
		if _, _, err := c.Children(ctx, "/"); err != nil {
			t.Error(err)
		}
		noError(t, c.Close())

		c, err = New(Config{Servers: []string{"127.0.0.1:" + port}, TLS: &tls.Config{RootCAs: pool}})
		noError(t, err)
		_, err = c.try(ctx, "127.0.0.1:"+port)
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
			t.Errorf("a certificate for another name: %v", err)
		}
		noError(t, c.Close())
	})
}
