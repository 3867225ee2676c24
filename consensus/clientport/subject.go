package clientport

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// keywords are the attributes that RFC 2253, 2.3 has names for; others appear as their number.
var keywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C", "2.5.4.9": "STREET",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

// Subject is whom a certificate is for, as the scheme x509 writes it: RFC 2253, which Java prints the
// same way. The last part comes first.
func Subject(cert *x509.Certificate) (string, error) { return subject(cert.RawSubject) }

func subject(der []byte) (string, error) {
	var name []asn1.RawValue // SEQUENCE OF SET
	if _, err := asn1.Unmarshal(der, &name); err != nil {
		return "", fmt.Errorf("clientport: parse subject: %w", err)
	}
	var parts []string
	for i := len(name) - 1; i >= 0; i-- {
		part, err := rdn(name[i].Bytes)
		if err != nil {
			return "", fmt.Errorf("clientport: parse subject: %w", err)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ","), nil
}

// rdn writes one part, which has nearly always one attribute.
func rdn(set []byte) (string, error) {
	var parts []string
	for len(set) > 0 {
		var a struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		rest, err := asn1.Unmarshal(set, &a)
		if err != nil {
			return "", err
		}
		set = rest
		word, known := keywords[a.Type.String()]
		text, ok := printable(a.Value)
		if !known || !ok {
			if !known {
				word = a.Type.String()
			}
			parts = append(parts, word+"=#"+hex.EncodeToString(a.Value.FullBytes))
			continue
		}
		parts = append(parts, word+"="+escape(text))
	}
	return strings.Join(parts, "+"), nil
}

// printable reads the kinds of string that are text for sure.
func printable(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String, asn1.TagBMPString, asn1.TagGeneralString:
		var s string
		if _, err := asn1.Unmarshal(v.FullBytes, &s); err != nil || !utf8.ValidString(s) {
			return "", false
		}
		return s, true
	}
	return "", false
}

// escape is RFC 2253, 2.4.
func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		edge := r == ' ' && (i == 0 || i == len(s)-1) || r == '#' && i == 0
		if edge || strings.ContainsRune(`,+"\<>;`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// lookupTimeout bounds the question for the name of a client's address.
const lookupTimeout = 5 * time.Second

// verifyHost accepts a certificate for the address, else for a name that belongs to the address. The
// common name counts if there are no alternative names, as it does for ZooKeeper.
func verifyHost(cert *x509.Certificate, from netip.Addr) error {
	if matches(cert, from.String()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	names, err := net.DefaultResolver.LookupAddr(ctx, from.String())
	if err != nil {
		return fmt.Errorf("certificate of %v is not for that address, whose name is unknown: %w", from, err)
	}
	for _, name := range names {
		if matches(cert, strings.TrimSuffix(name, ".")) {
			return nil
		}
	}
	return fmt.Errorf("certificate is neither for %v nor for %s", from, strings.Join(names, ", "))
}

func matches(cert *x509.Certificate, host string) bool {
	if len(cert.DNSNames) > 0 || len(cert.IPAddresses) > 0 {
		return cert.VerifyHostname(host) == nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return cert.Subject.CommonName == host
	}
	named := x509.Certificate{DNSNames: []string{cert.Subject.CommonName}}
	return named.VerifyHostname(host) == nil
}
