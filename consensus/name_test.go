package consensus

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/netip"
	"testing"

	"example.org/ha/consensus/jute"
)

// der encodes a name of one attribute per part.
func der(t testing.TB, name pkix.RDNSequence) []byte {
	b, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDistinguishedNames(t *testing.T) {
	attr := func(oid asn1.ObjectIdentifier, value string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: oid, Value: value}
	}
	cn, o, email := asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	uid, serial := asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, asn1.ObjectIdentifier{2, 5, 4, 5}
	for _, c := range []struct {
		name pkix.RDNSequence
		want string
	}{
		{nil, ""},
		{pkix.RDNSequence{{attr(o, "Acme")}, {attr(cn, "amy")}}, "CN=amy,O=Acme"},
		{pkix.RDNSequence{{attr(cn, "amy"), attr(uid, "7")}}, "CN=amy+UID=7"},
		{pkix.RDNSequence{{attr(cn, `a,b=c+d"e\f<g>h;i#`)}}, `CN=a\,b\=c\+d\"e\\f\<g\>h\;i\#`},
		{pkix.RDNSequence{{attr(cn, "  two  words  ")}}, `CN=\ \ two  words\ \ `},
		{pkix.RDNSequence{{attr(cn, "  ")}}, `CN=\ \ `},
		{pkix.RDNSequence{{attr(cn, "Jürgen")}}, "CN=Jürgen"},
		{pkix.RDNSequence{{attr(serial, "5")}}, "2.5.4.5=#130135"},
		{pkix.RDNSequence{{attr(email, "a@b")}}, "1.2.840.113549.1.9.1=#0c03614062"},
	} {
		if got, err := distinguishedName(der(t, c.name)); err != nil || got != c.want {
			t.Errorf("%v: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	raw := func(tag int, value string) []byte { // CN of a string type that Marshal does not make
		v := append([]byte{0x06, 3, 0x55, 4, 3, byte(tag), byte(len(value))}, value...)
		v = append([]byte{0x30, byte(len(v))}, v...)
		v = append([]byte{0x31, byte(len(v))}, v...)
		return append([]byte{0x30, byte(len(v))}, v...)
	}
	for _, c := range []struct {
		der  []byte
		want string
	}{
		{raw(asn1.TagT61String, "J\xfcrgen"), "CN=Jürgen"},
		{raw(asn1.TagBMPString, "\x00a\x20\xac"), "CN=a€"},
		{raw(asn1.TagIA5String, "amy"), "CN=amy"},
		{raw(asn1.TagUTF8String, "a\x00b"), `CN=a\00b`},
		{raw(asn1.TagInteger, "\x05"), "CN=#020105"},
	} {
		if got, err := distinguishedName(c.der); err != nil || got != c.want {
			t.Errorf("%x: %q, %v; want %q", c.der, got, err, c.want)
		}
	}
	for _, bad := range [][]byte{nil, {0x30}, {0x31, 0}, append(der(t, nil), 0), {0x30, 2, 0x31, 5}} {
		if got, err := distinguishedName(bad); err == nil {
			t.Errorf("%x: %q", bad, got)
		}
	}
}

func TestIdentifyByCertificate(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "amy", Organization: []string{"Acme"}}}
	encoded, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(encoded)
	if err != nil {
		t.Fatal(err)
	}
	for super, count := range map[string]int{"": 2, "CN=bob": 2, "CN=amy,O=Acme": 3} {
		d := newWorld(t, func(r *rules) { r.superX509 = super }).d
		ids, err := d.identify(netip.MustParseAddr("10.0.0.1"), []*x509.Certificate{cert})
		if err != nil || len(ids) != count || ids[count-1] != (jute.ID{Scheme: "x509", ID: "CN=amy,O=Acme"}) {
			t.Errorf("super user %q: %v, %v", super, ids, err)
		}
		if d.allowed(ids, []jute.ACL{{Perms: 0, ID: anyone}}, jute.PermRead) != (count == 3) {
			t.Errorf("super user %q: wrong permission for %v", super, ids)
		}
		if _, ok := d.authenticate(&request{Request: jute.Request{Op: jute.OpAuth, Scheme: "x509"}, ids: ids}); !ok {
			t.Error("auth with scheme x509 behind a certificate")
		}
	}
}

func TestNamesThatAnACLMayHave(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "CN=a": true, "CN=a,O=b": true, "CN=a+UID=b, O=c; C=d": true, "2.5.4.3=a": true, "OID.2.5.4.3=a": true, `CN="a,b"`: true, `CN=a\,b`: true, "CN=": true,
		"a": false, "CN": false, "=a": false, "CN=a,": false, "CN=a,b": false, `CN="a`: false, `CN=a\`: false, "C N=a": false, "2x=a": false,
	} {
		if validName(name) != want {
			t.Errorf("%q: valid %v", name, !want)
		}
	}
}

func FuzzDistinguishedName(f *testing.F) {
	f.Add(der(f, pkix.Name{CommonName: "amy", Organization: []string{"Acme"}}.ToRDNSequence()))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		name, err := distinguishedName(bytes.Clone(b))
		if err == nil && !validName(name) && !bytes.Contains(b, []byte{0}) {
			t.Logf("%x reads as %q", b, name)
		}
	})
}
