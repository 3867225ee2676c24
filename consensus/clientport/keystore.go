package clientport

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// storeType is JKS, PKCS12 or PEM: what is said, else what the name's ending says.
func storeType(file, said string) (string, error) {
	kind := strings.ToUpper(said)
	if kind == "" {
		kind = strings.ToUpper(strings.TrimPrefix(filepath.Ext(file), "."))
	}
	switch kind {
	case "JKS", "PEM", "PKCS12":
		return kind, nil
	case "P12", "PFX":
		return "PKCS12", nil
	case "CRT", "CER":
		return "PEM", nil
	}
	return "", fmt.Errorf("%s: unknown type of key store %q: want JKS, PKCS12 or PEM", file, kind)
}

// readKeyStore returns the first private key and its certificates.
func readKeyStore(file, said, password string) (c tls.Certificate, err error) {
	kind, err := storeType(file, said)
	if err != nil {
		return c, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	switch inside(kind, text) {
	case "PEM":
		c, err = pairPEM(text, text, password)
	case "PKCS12":
		c, err = keyOfPKCS12(text, password)
	case "JKS":
		c, err = keyOfJKS(text, password)
	}
	return c, wrap(file, err)
}

// inside is the type of a store of Java's by its first bytes. Java reads either under both names, and its
// keytool writes PKCS12 into a .jks that it makes.
func inside(kind string, text []byte) string {
	switch {
	case kind == "PEM":
	case bytes.HasPrefix(text, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return "JKS"
	case bytes.HasPrefix(text, []byte{0x30}):
		return "PKCS12"
	}
	return kind
}

// keyOfPKCS12 finds the key's certificate and those above it among all that the store holds.
func keyOfPKCS12(text []byte, password string) (c tls.Certificate, err error) {
	key, first, more, err := pkcs12.DecodeChain(text, password)
	if err != nil {
		return c, err
	}
	all := append([]*x509.Certificate{first}, more...)
	leaf := slices.IndexFunc(all, func(c *x509.Certificate) bool { return belongs(key, c) })
	if leaf < 0 {
		return c, errors.New("the private key is not of a certificate in it")
	}
	last := all[leaf]
	chain := [][]byte{last.Raw}
	for range all {
		above := slices.IndexFunc(all, func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, last.RawIssuer) && !bytes.Equal(c.Raw, last.Raw)
		})
		if above < 0 || bytes.Equal(last.RawSubject, last.RawIssuer) {
			break
		}
		last = all[above]
		chain = append(chain, last.Raw)
	}
	return pair(key, chain)
}

func keyOfJKS(text []byte, password string) (tls.Certificate, error) {
	store, err := loadJKS(text, password)
	if err != nil {
		return tls.Certificate{}, err
	}
	for _, alias := range store.Aliases() {
		if !store.IsPrivateKeyEntry(alias) {
			continue
		}
		entry, err := store.GetPrivateKeyEntry(alias, []byte(password))
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("%s: %w", alias, err)
		}
		key, err := parseKey(entry.PrivateKey)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("%s: %w", alias, err)
		}
		var chain [][]byte
		for _, c := range entry.CertificateChain {
			chain = append(chain, c.Content)
		}
		return pair(key, chain)
	}
	return tls.Certificate{}, errors.New("no private key")
}

func loadJKS(text []byte, password string) (keystore.KeyStore, error) {
	store := keystore.New(keystore.WithOrderedAliases())
	return store, store.Load(bytes.NewReader(text), []byte(password))
}

// readTrustStore returns the certificates in a file.
func readTrustStore(file, said, password string) (out []*x509.Certificate, err error) {
	kind, err := storeType(file, said)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	switch inside(kind, text) {
	case "PEM":
		out, err = certificatesPEM(text)
	case "PKCS12":
		out, err = trustOfPKCS12(text, password)
	case "JKS":
		out, err = trustOfJKS(text, password)
	}
	if err == nil && len(out) == 0 {
		err = errors.New("no certificates")
	}
	return out, wrap(file, err)
}

// trustOfPKCS12 also takes a store with a key, whose certificates are all trusted then.
func trustOfPKCS12(text []byte, password string) ([]*x509.Certificate, error) {
	out, err := pkcs12.DecodeTrustStore(text, password)
	if err == nil {
		return out, nil
	}
	if _, leaf, more, other := pkcs12.DecodeChain(text, password); other == nil {
		return append(more, leaf), nil
	}
	return nil, err
}

func trustOfJKS(text []byte, password string) (out []*x509.Certificate, err error) {
	store, err := loadJKS(text, password)
	if err != nil {
		return nil, err
	}
	for _, alias := range store.Aliases() {
		if !store.IsTrustedCertificateEntry(alias) {
			continue
		}
		entry, err := store.GetTrustedCertificateEntry(alias)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", alias, err)
		}
		cert, err := x509.ParseCertificate(entry.Certificate.Content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", alias, err)
		}
		out = append(out, cert)
	}
	return out, nil
}

func certificatesPEM(text []byte) (out []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// pairPEM takes certificates and, perhaps from the same text, the key.
func pairPEM(chain, key []byte, password string) (tls.Certificate, error) {
	certs, err := certificatesPEM(chain)
	if err != nil {
		return tls.Certificate{}, err
	}
	var der [][]byte
	for _, c := range certs {
		der = append(der, c.Raw)
	}
	for block, rest := pem.Decode(key); block != nil; block, rest = pem.Decode(rest) {
		var text []byte
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY":
			if text, err = decryptKey(block.Bytes, password); err != nil {
				return tls.Certificate{}, fmt.Errorf("decrypt the private key: %w", err)
			}
		case strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return tls.Certificate{}, errors.New("the private key is encrypted in OpenSSL's old form: convert it with openssl pkcs8 -topk8")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			text = block.Bytes
		default:
			continue
		}
		k, err := parseKey(text)
		if err != nil {
			return tls.Certificate{}, err
		}
		return pair(k, der)
	}
	return tls.Certificate{}, errors.New("no private key")
}

func parseKey(der []byte) (any, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, fmt.Errorf("private key: %w", err)
}

// pair makes sure that key and certificate belong together. The chain begins with the key's own.
func pair(key any, chain [][]byte) (c tls.Certificate, err error) {
	if len(chain) == 0 {
		return c, errors.New("no certificate")
	}
	if c.Leaf, err = x509.ParseCertificate(chain[0]); err != nil {
		return c, err
	}
	if _, ok := key.(crypto.Signer); !ok {
		return c, fmt.Errorf("private key of type %T cannot sign", key)
	}
	if !belongs(key, c.Leaf) {
		return c, errors.New("the private key is not the certificate's")
	}
	c.PrivateKey, c.Certificate = key, chain
	return c, nil
}

func belongs(key any, c *x509.Certificate) bool {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return false
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}
