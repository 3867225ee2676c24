package consensus

import (
	"slices"
	"strings"

	"example.org/ha/consensus/jute"
)

// allowed reports whether a client with these ids has one of the permissions. No ACL at all is an open
// znode; the id super passes every one.
func (d *database) allowed(ids []jute.ID, acl []jute.ACL, perms int32) bool {
	if len(acl) == 0 || d.rules.skipACL {
		return true
	}
	for i := range acl {
		a := &acl[i]
		if a.Perms&perms != 0 && (a.ID == anyone || d.matches(ids, a.ID)) {
			return true
		}
	}
	return slices.ContainsFunc(ids, func(id jute.ID) bool { return id.Scheme == "super" })
}

var anyone = jute.ID{Scheme: "world", ID: "anyone"}

// matches reports whether one of a client's ids is the one of an ACL.
func (d *database) matches(ids []jute.ID, want jute.ID) bool {
	for _, have := range ids {
		if have.Scheme != want.Scheme {
			continue
		}
		switch want.Scheme {
		case "digest":
			if have.ID == want.ID {
				return true
			}
		case "ip":
			if addressMatches(have.ID, want.ID) {
				return true
			}
		case "sasl":
			if have.ID == want.ID || have.ID == "super" {
				return true
			}
		case "x509":
			if have.ID == want.ID || d.rules.superX509 != "" && have.ID == d.rules.superX509 {
				return true
			}
		}
	}
	return false
}

// mayRead reports whether a client may hear of a change to a znode that has, or had, this ACL.
func (d *database) mayRead(ids []jute.ID, acl []jute.ACL) bool {
	return d.allowed(ids, acl, jute.PermRead)
}

// fixACL returns the ACL that a znode gets: each entry once, each valid, the scheme auth replaced by what
// the client has proved.
func (d *database) fixACL(ids []jute.ID, acl []jute.ACL) ([]jute.ACL, jute.Code) {
	if len(acl) == 1 && acl[0].ID == anyone {
		return acl, jute.OK
	}
	if len(acl) == 0 {
		return nil, jute.InvalidACL
	}
	fixed := make([]jute.ACL, 0, len(acl))
	seen := make(map[jute.ACL]struct{}, len(acl))
	own, expanded := idBytes(ids), 0
	for _, a := range acl {
		if _, again := seen[a]; again {
			continue
		}
		seen[a] = struct{}{}
		if a.ID.Scheme == "auth" {
			if expanded += own; expanded > d.rules.maxRecord {
				return nil, jute.BadArguments // before it is made: no transaction can hold it
			}
		}
		switch {
		case a.ID == anyone:
			fixed = append(fixed, a)
		case a.ID.Scheme == "auth":
			n := len(fixed)
			for _, id := range ids {
				if authenticated(id.Scheme) {
					fixed = append(fixed, jute.ACL{Perms: a.Perms, ID: id})
				}
			}
			if len(fixed) == n {
				return nil, jute.InvalidACL
			}
		case d.validID(a.ID):
			fixed = append(fixed, a)
		default:
			return nil, jute.InvalidACL
		}
	}
	return fixed, jute.OK
}

// authenticated reports whether an id of a scheme was proved, rather than being where a client comes from.
func authenticated(scheme string) bool {
	return scheme == "digest" || scheme == "x509" || scheme == "sasl"
}

// validID reports whether an ACL may name the id.
func (d *database) validID(id jute.ID) bool {
	switch id.Scheme {
	case "digest":
		// ZooKeeper splits at colons and drops empty parts at the end.
		return strings.Count(strings.TrimRight(id.ID, ":"), ":") == 1
	case "ip":
		_, _, ok := parseNetwork(id.ID)
		return ok
	case "x509":
		return d.rules.x509 && validName(id.ID)
	case "sasl":
		return d.rules.sasl && validPrincipal(id.ID)
	}
	return false
}

// validPrincipal reports whether a name is like Kerberos's, user/host@realm; without a realm anything is.
func validPrincipal(name string) bool {
	user, realm, some := strings.Cut(name, "@")
	return !some || !strings.ContainsAny(realm, "/@") && strings.Count(user, "/") <= 1
}

// veil hides the digests of an ACL from who may read the znode but not administer it.
func veil(acl []jute.ACL) []jute.ACL {
	veiled := slices.Clone(acl)
	for i := range veiled {
		if id := &veiled[i].ID; id.Scheme == "digest" {
			if user, _, found := strings.Cut(id.ID, ":"); found {
				id.ID = user + ":x"
			}
		}
	}
	return veiled
}
