package zk

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"

	"example.org/ha/consensus/jute"
)

// An Auth proves who the client is; it is repeated on every connection of the session.
type Auth struct {
	Scheme string // digest, for example
	Proof  []byte // digest: user:password
}

// OpenACL lets everybody do everything.
func OpenACL() []jute.ACL {
	return []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "world", ID: "anyone"}}}
}

// ReadACL lets everybody read.
func ReadACL() []jute.ACL {
	return []jute.ACL{{Perms: jute.PermRead, ID: jute.ID{Scheme: "world", ID: "anyone"}}}
}

// CreatorACL lets those do everything whose identity the creating connection has proved.
func CreatorACL() []jute.ACL {
	return []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "auth"}}}
}

// DigestID is how an ACL names a user of the scheme digest.
func DigestID(user, password string) jute.ID {
	sum := sha1.Sum([]byte(user + ":" + password))
	return jute.ID{Scheme: "digest", ID: user + ":" + base64.StdEncoding.EncodeToString(sum[:])}
}

// perms are the letters of ACLs as ZooKeeper's own shell writes them, in its order.
var perms = [...]struct {
	letter byte
	perm   int32
}{{'c', jute.PermCreate}, {'d', jute.PermDelete}, {'r', jute.PermRead}, {'w', jute.PermWrite}, {'a', jute.PermAdmin}}

// FormatACL writes "scheme:id:cdrwa", separated by commas.
func FormatACL(acl []jute.ACL) string {
	var b strings.Builder
	for i, a := range acl {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(a.ID.Scheme + ":" + a.ID.ID + ":")
		for _, p := range perms {
			if a.Perms&p.perm != 0 {
				b.WriteByte(p.letter)
			}
		}
	}
	return b.String()
}

// ParseACL reads what FormatACL writes. The identity may hold colons; it may not hold commas.
func ParseACL(text string) ([]jute.ACL, error) {
	var out []jute.ACL
	for entry := range strings.SplitSeq(text, ",") {
		a, err := parseEntry(entry)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// parseEntry reads one scheme:id:permissions.
func parseEntry(entry string) (jute.ACL, error) {
	scheme, rest, ok := strings.Cut(entry, ":")
	i := strings.LastIndexByte(rest, ':')
	if !ok || i < 0 || scheme == "" {
		return jute.ACL{}, fmt.Errorf("zk: read ACL %q: want scheme:id:permissions, as in world:anyone:cdrwa", entry)
	}
	a := jute.ACL{ID: jute.ID{Scheme: scheme, ID: rest[:i]}}
	for _, letter := range []byte(rest[i+1:]) {
		perm := int32(0)
		for _, p := range perms {
			if p.letter == letter {
				perm = p.perm
			}
		}
		if perm == 0 {
			return jute.ACL{}, fmt.Errorf("zk: read ACL %q: %q is none of the permissions c, d, r, w, a", entry, letter)
		}
		a.Perms |= perm
	}
	return a, nil
}
