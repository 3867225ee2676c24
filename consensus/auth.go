package consensus

import (
	"crypto"
	_ "crypto/md5"  // an algorithm that digest_algorithm may name
	_ "crypto/sha1" // likewise
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"example.org/ha/consensus/jute"
)

// digestAlgorithms are the names Java gives to the hashes that digest_algorithm may name.
var digestAlgorithms = map[string]crypto.Hash{
	"": crypto.SHA1, "SHA1": crypto.SHA1, "SHA-1": crypto.SHA1, "SHA": crypto.SHA1, "MD5": crypto.MD5,
	"SHA-224": crypto.SHA224, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512,
	"SHA3-224": crypto.SHA3_224, "SHA3-256": crypto.SHA3_256, "SHA3-384": crypto.SHA3_384, "SHA3-512": crypto.SHA3_512,
}

// knownDigest reports whether an algorithm's name may stand in the configuration.
func knownDigest(algorithm string) bool {
	_, ok := digestAlgorithms[algorithm]
	return ok
}

// digestOf returns the id that a client proves with user:password.
func digestOf(algorithm, proof string) string {
	hash := digestAlgorithms[algorithm].New()
	hash.Write([]byte(proof))
	user, _, _ := strings.Cut(proof, ":")
	return user + ":" + base64.StdEncoding.EncodeToString(hash.Sum(nil))
}

// identify returns who a connection is before it has said anything: its address, its certificate.
func (d *database) identify(remote netip.Addr, certs []*x509.Certificate) ([]jute.ID, error) {
	ids := []jute.ID{{Scheme: "ip", ID: addressText(remote)}}
	if len(certs) == 0 {
		return ids, nil
	}
	name, err := distinguishedName(certs[0].RawSubject)
	if err != nil {
		return ids, fmt.Errorf("consensus: read the subject of %v's certificate: %w", remote, err)
	}
	if name == d.rules.superX509 && name != "" {
		ids = append(ids, jute.ID{Scheme: "super", ID: name})
	}
	return append(ids, jute.ID{Scheme: "x509", ID: name}), nil
}

// maxIDs and maxIDBytes bound what one connection proves: each request looks through it, and the scheme
// auth writes it into ACLs.
const (
	maxIDs     = 100
	maxIDBytes = 64 << 10
)

// authenticate returns who a client is once it has said auth. If it is not ok, the connection ends with
// AuthFailed.
func (d *database) authenticate(r *request) (ids []jute.ID, ok bool) {
	if r.err != nil {
		return r.ids, false
	}
	switch r.Scheme {
	case "ip":
		return r.ids, true // known since the connection was made
	case "x509":
		known := slices.ContainsFunc(r.ids, func(id jute.ID) bool { return id.Scheme == "x509" })
		return r.ids, known
	case "digest":
		if r.Data == nil || len(r.ids) >= maxIDs || idBytes(r.ids)+len(r.Data) > maxIDBytes || !knownDigest(d.rules.digestAlg) {
			return r.ids, false
		}
		digest := digestOf(d.rules.digestAlg, string(r.Data))
		ids = slices.Clone(r.ids)
		if digest == d.rules.superDigest {
			ids = with(ids, jute.ID{Scheme: "super"})
		}
		return with(ids, jute.ID{Scheme: "digest", ID: digest}), true
	}
	return r.ids, false
}

func idBytes(ids []jute.ID) (n int) {
	for i := range ids {
		n += len(ids[i].Scheme) + len(ids[i].ID)
	}
	return n
}

func with(ids []jute.ID, id jute.ID) []jute.ID {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}

// admitted reports whether a client with these ids may send anything but auth: enforce.auth. One that
// may not is told SessionClosedRequireSASL, whatever the scheme, and its connection ends.
func (d *database) admitted(ids []jute.ID) bool {
	if !d.rules.enforceAuth {
		return true
	}
	return slices.ContainsFunc(ids, func(id jute.ID) bool { return slices.Contains(d.rules.enforceSchemes, id.Scheme) })
}

// user returns what whoAmI says of an id: of a digest only the user.
func user(id jute.ID) string {
	switch id.Scheme {
	case "digest":
		name, _, _ := strings.Cut(id.ID, ":")
		return name
	case "ip", "x509", "sasl":
		return id.ID
	}
	return ""
}
