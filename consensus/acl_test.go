package consensus

import (
	"slices"
	"testing"

	"example.org/ha/consensus/jute"
)

func TestACLsThatAZnodeMayGet(t *testing.T) {
	id := func(scheme, id string) []jute.ACL {
		return []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: scheme, ID: id}}}
	}
	for _, c := range []struct {
		acl  []jute.ACL
		want bool
	}{
		{nil, false}, {[]jute.ACL{}, false}, {openACL, true}, {id("world", "other"), false}, {id("world", ""), false},
		{id("digest", "a:b"), true}, {id("digest", "ab"), false}, {id("digest", "a:b:c"), false}, {id("digest", "a:"), false},
		{id("digest", ":b"), true}, {id("digest", "a:b:"), true}, {id("digest", ":"), false}, {id("digest", ""), false},
		{id("ip", "1.2.3.4"), true}, {id("ip", "1.2.3.4/8"), true}, {id("ip", "1.2.3.4/+8"), true}, {id("ip", "01.2.3.4"), true},
		{id("ip", "1.2.3.4/33"), false}, {id("ip", "1.2.3.4/"), false}, {id("ip", "1.2.3"), false}, {id("ip", "1.2.3.256"), false},
		{id("ip", "1.2.3.4/-1"), false}, {id("ip", ""), false}, {id("ip", "::1"), true}, {id("ip", "fd00::/8"), true}, {id("ip", "fd00::/129"), false},
		{id("x509", "CN=a"), true}, {id("x509", "a"), false},
		{id("sasl", "a"), true}, {id("sasl", "a/b"), true}, {id("sasl", "a/b@C"), true}, {id("sasl", "a/b/c@D"), false}, {id("sasl", "a@b@c"), false}, {id("sasl", "a@b/c"), false}, {id("super", ""), false}, {id("", ""), false}, {id("auth", ""), false},
		{append(id("digest", "a:b"), id("nope", "")...), false},
	} {
		d := newWorld(t, func(r *rules) { r.x509, r.sasl = true, true }).d
		fixed, code := d.fixACL([]jute.ID{{Scheme: "ip", ID: "10.0.0.1"}, {Scheme: "super"}}, c.acl)
		if (code == jute.OK) != c.want || code == jute.OK && !slices.Equal(fixed, c.acl) {
			t.Errorf("%v: %v, %v", c.acl, fixed, code)
		}
	}
	for _, scheme := range []string{"x509", "sasl"} {
		if _, code := newWorld(t, nil).d.fixACL(nil, id(scheme, "CN=a")); code != jute.InvalidACL {
			t.Errorf("%s, which is not set up: %v", scheme, code)
		}
	}
}

func TestACLForWhoAsks(t *testing.T) {
	ids := []jute.ID{{Scheme: "ip", ID: "10.0.0.1"}, digestID("amy"), {Scheme: "super"}, {Scheme: "x509", ID: "CN=amy"}}
	auth := jute.ACL{Perms: 7, ID: jute.ID{Scheme: "auth", ID: "whatever"}}
	world := jute.ACL{Perms: 1, ID: anyone}
	got, code := newWorld(t, nil).d.fixACL(ids, []jute.ACL{world, auth, world, auth})
	want := []jute.ACL{world, {Perms: 7, ID: digestID("amy")}, {Perms: 7, ID: jute.ID{Scheme: "x509", ID: "CN=amy"}}}
	if code != jute.OK || !slices.Equal(got, want) {
		t.Errorf("%v %v, want %v", code, got, want)
	}
}

func TestWhoMayWhat(t *testing.T) {
	acl := func(perms int32, scheme, id string) []jute.ACL {
		return []jute.ACL{{Perms: perms, ID: jute.ID{Scheme: scheme, ID: id}}}
	}
	me := []jute.ID{{Scheme: "ip", ID: "10.1.2.3"}, digestID("amy"), {Scheme: "x509", ID: "CN=amy"}}
	v6 := []jute.ID{{Scheme: "ip", ID: "fd00:0:0:0:0:0:0:1"}}
	admin := []jute.ID{{Scheme: "super", ID: "CN=root"}}
	for _, c := range []struct {
		ids   []jute.ID
		acl   []jute.ACL
		perms int32
		want  bool
	}{
		{nil, nil, 16, true},
		{nil, acl(1, "world", "anyone"), 1, true},
		{nil, acl(1, "world", "anyone"), 2, false},
		{nil, acl(1, "world", "anyone"), 1 | 16, true},
		{nil, acl(0, "world", "anyone"), 1, false},
		{admin, acl(0, "world", "anyone"), 1, true},
		{me, acl(31, "digest", "amy:hash"), 16, true},
		{me, acl(31, "digest", "amy:other"), 16, false},
		{me, acl(31, "ip", "10.1.2.3"), 1, true},
		{me, acl(31, "ip", "10.1.99.99/16"), 1, true},
		{me, acl(31, "ip", "10.2.0.0/16"), 1, false},
		{me, acl(31, "ip", "0.0.0.0/0"), 1, true},
		{me, acl(31, "ip", "::/0"), 1, false},
		{v6, acl(31, "ip", "fd00::/64"), 1, true},
		{v6, acl(31, "ip", "fd00:0:0:1::/64"), 1, false},
		{me, acl(31, "x509", "CN=amy"), 1, true},
		{me, acl(31, "x509", "CN=bob"), 1, false},
		{[]jute.ID{{Scheme: "sasl", ID: "amy"}}, acl(31, "sasl", "amy"), 1, true},
		{[]jute.ID{{Scheme: "sasl", ID: "amy"}}, acl(31, "sasl", "bob"), 1, false},
		{[]jute.ID{{Scheme: "sasl", ID: "amy"}}, acl(31, "digest", "amy"), 1, false},
		{me, acl(31, "super", ""), 1, false},
		{me, append(acl(2, "world", "anyone"), acl(1, "digest", "amy:hash")...), 1, true},
	} {
		if got := newWorld(t, nil).d.allowed(c.ids, c.acl, c.perms); got != c.want {
			t.Errorf("%v asks %v for %d: %v", c.ids, c.acl, c.perms, got)
		}
	}
	w := newWorld(t, func(r *rules) { r.skipACL = true })
	if !w.d.allowed(nil, acl(0, "digest", "x:y"), 31) || !w.d.mayRead(nil, acl(0, "digest", "x:y")) {
		t.Error("skipACL")
	}
	w = newWorld(t, func(r *rules) { r.superX509 = "CN=amy" })
	if !w.d.allowed(me, acl(31, "x509", "CN=bob"), 1) {
		t.Error("the super user's certificate")
	}
}

func TestGetACLHidesDigests(t *testing.T) {
	w := newWorld(t, nil)
	q := createAt("/n", 0)
	q.ACL = []jute.ACL{{Perms: jute.PermRead, ID: anyone}, {Perms: jute.PermAdmin, ID: digestID("amy")}}
	w.must(q)
	look := func(ids ...jute.ID) string {
		d := jute.NewDecoder(w.must(jute.Request{Op: jute.OpGetACL, Path: "/n"}, ids...))
		acl := d.ACLs()
		if d.Stat(); d.Err() != nil || len(acl) != 2 {
			t.Fatalf("%v %v", acl, d.Err())
		}
		return acl[1].ID.ID
	}
	if got := look(); got != "amy:x" {
		t.Errorf("anyone sees %s", got)
	}
	if got := look(digestID("amy")); got != "amy:hash" {
		t.Errorf("amy sees %s", got)
	}
	if got := look(); got != "amy:x" {
		t.Errorf("then anyone sees %s", got)
	}
}
