package clientport

import (
	"bytes"
	"encoding/pem"
	"os"
	"strings"
	"testing"
)

// The files are made by Java's keytool and by openssl; the password is secret1. All hold one certificate.
func TestKeyStores(t *testing.T) {
	text, err := os.ReadFile("testdata/cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	for _, c := range []struct {
		name string
		cfg  TLS
		bad  string
	}{
		{"JKS", TLS{KeyStore: "server.jks", TrustStore: "trust.jks"}, ""},
		{"PKCS12", TLS{KeyStore: "server.p12", TrustStore: "trust.p12"}, ""},
		{"PKCS12, by its type", TLS{KeyStore: "server.p12", KeyStoreType: "pkcs12", TrustStore: "trust.p12", TrustStoreType: "PKCS12"}, ""},
		{"PKCS12 with a key, trusted", TLS{KeyStore: "server.p12", TrustStore: "server.p12"}, ""},
		{"PEM, encrypted", TLS{KeyStore: "encrypted.pem", TrustStore: "cert.pem"}, ""},
		{"PEM, two files", TLS{Certificate: "cert.pem", Key: "encrypted.key", CA: "cert.pem"}, ""},
		{"JKS, said to be PKCS12", TLS{KeyStore: "server.jks", KeyStoreType: "PKCS12", TrustStore: "trust.jks", TrustStoreType: "PKCS12"}, ""},
		{"PKCS12, said to be JKS", TLS{KeyStore: "server.p12", KeyStoreType: "JKS", TrustStore: "trust.p12", TrustStoreType: "JKS"}, ""},
		{"PKCS12 that holds others first", TLS{KeyStore: "many.jks", TrustStore: "trust.p12"}, ""},
		{"neither", TLS{KeyStore: "cert.pem", KeyStoreType: "JKS"}, "cert.pem: "},
		{"unknown type", TLS{KeyStore: "server.jks", KeyStoreType: "BCFKS"}, "BCFKS"},
		{"no key", TLS{KeyStore: "trust.jks"}, "no private key"},
		{"no certificate", TLS{Certificate: "encrypted.key"}, "no certificate"},
		{"nothing to trust", TLS{KeyStore: "server.jks", TrustStore: "server.jks"}, "server.jks: no certificates"},
		{"no file", TLS{KeyStore: "absent.p12"}, "absent.p12: no such file"},
		{"no trust", TLS{KeyStore: "server.p12"}, "no authorities"},
		{"no store", TLS{TrustStore: "trust.p12"}, "no key store"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []*string{&c.cfg.KeyStore, &c.cfg.TrustStore, &c.cfg.Certificate, &c.cfg.Key, &c.cfg.CA} {
				if *name != "" {
					*name = "testdata/" + *name
				}
			}
			password := t.TempDir() + "/password"
			if err := os.WriteFile(password, []byte("secret1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			c.cfg.KeyStorePassword, c.cfg.TrustStorePasswordFile = "secret1", password
			got, err := c.cfg.load()
			if c.bad != "" {
				if err == nil || !strings.Contains(err.Error(), c.bad) {
					t.Errorf("got %v, want %q", err, c.bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Certificates[0].Certificate[0], block.Bytes) || got.ClientCAs == nil {
				t.Errorf("%+v", got)
			}
			c.cfg.KeyStorePassword = "wrong"
			if _, err := c.cfg.load(); err == nil {
				t.Error("a wrong password is taken")
			}
		})
	}
}

func TestProtocolsAndCiphers(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		protocols, ciphers []string
		low, high          uint16
		suites             int
		bad                string
	}{
		{nil, nil, 0x303, 0, 0, ""},
		{[]string{"TLSv1.2"}, nil, 0x303, 0x303, 0, ""},
		{[]string{"TLSv1.3", "TLS 1.2"}, []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_DHE_DSS_WITH_AES_256_CBC_SHA"}, 0x303, 0x304, 1, ""},
		{[]string{"TLSv1.3"}, []string{"TLS_AES_128_GCM_SHA256"}, 0x304, 0x304, 0, ""},
		{[]string{"SSLv3"}, nil, 0, 0, 0, "SSLv3"},
		{nil, []string{"ROT13"}, 0, 0, 0, "ROT13"},
	} {
		cfg := a.server()
		cfg.Protocols, cfg.Ciphers = c.protocols, c.ciphers
		got, err := cfg.load()
		if c.bad != "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%v %v: %v", c.protocols, c.ciphers, err)
			}
			continue
		}
		if err != nil || got.MinVersion != c.low || got.MaxVersion != c.high || len(got.CipherSuites) != c.suites {
			t.Errorf("%v %v: %v, %+v", c.protocols, c.ciphers, err, got)
		}
	}
}

// Certificates come from strangers, and are parsed before they are believed; files come from operators.
func FuzzSubject(f *testing.F) {
	f.Add([]byte{0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 6, 3, 85, 4, 3, 12, 1, 'a'})
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		if s, err := subject(der); err == nil && len(s) > 8*len(der) {
			t.Errorf("%d bytes out of %d", len(s), len(der))
		}
	})
}

func FuzzDecryptKey(f *testing.F) {
	text, err := os.ReadFile("testdata/encrypted.key")
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(text)
	f.Add(block.Bytes, "secret1")
	f.Fuzz(func(t *testing.T, der []byte, password string) {
		_, _ = decryptKey(der, password)
	})
}
