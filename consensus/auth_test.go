package consensus

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"example.org/ha/consensus/jute"
)

func TestAuthenticate(t *testing.T) {
	w := newWorld(t, func(r *rules) { r.superDigest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=" }) // of super:test
	ids, err := w.d.identify(netip.MustParseAddr("::ffff:10.0.0.1"), nil)
	if err != nil || !slices.Equal(ids, []jute.ID{{Scheme: "ip", ID: "10.0.0.1"}}) {
		t.Fatalf("a new connection is %v, %v", ids, err)
	}
	auth := func(scheme string, proof []byte) bool {
		r := &request{Request: jute.Request{Op: jute.OpAuth, Scheme: scheme, Data: proof}, ids: ids}
		got, ok := w.d.authenticate(r)
		if ok {
			ids = got
		}
		return ok
	}
	for _, scheme := range []string{"world", "auth", "super", "x509", "sasl", "host", ""} {
		if auth(scheme, []byte("a:b")) {
			t.Errorf("scheme %q is taken", scheme)
		}
	}
	if auth("digest", nil) {
		t.Error("null is taken as a proof")
	}
	if len(ids) != 1 || !auth("ip", nil) || len(ids) != 1 {
		t.Errorf("ids %v", ids)
	}
	for _, proof := range []string{"bob:pw", "bob:pw", "", "abc", "super:test"} {
		if !auth("digest", []byte(proof)) {
			t.Errorf("proof %q", proof)
		}
	}
	want := []jute.ID{
		{Scheme: "ip", ID: "10.0.0.1"}, {Scheme: "digest", ID: "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="},
		{Scheme: "digest", ID: ":2jmj7l5rSw0yVb/vlWAYkK/YBwk="}, {Scheme: "digest", ID: "abc:qZk+NkcGgWq6PiVxeFDCbJzQ2J0="},
		{Scheme: "super"}, {Scheme: "digest", ID: "super:D/InIHSb7yEEbrWz8b9l71RjZJU="},
	}
	if !slices.Equal(ids, want) {
		t.Errorf("ids\n%v, want\n%v", ids, want)
	}
	body, _ := w.do(jute.Request{Op: jute.OpWhoAmI}, want[1:]...)
	d := jute.NewDecoder(body)
	var users []jute.ID
	for n := d.Int(); n > 0; n-- {
		users = append(users, d.ID())
	}
	if !slices.Equal(users, []jute.ID{{Scheme: "ip", ID: "10.1.2.3"}, {Scheme: "digest", ID: "bob"}, {Scheme: "digest"}, {Scheme: "digest", ID: "abc"}, {Scheme: "super"}, {Scheme: "digest", ID: "super"}}) {
		t.Errorf("whoAmI: %v", users)
	}
}

func TestIDsAreBounded(t *testing.T) {
	d := newWorld(t, nil).d
	r := &request{Request: jute.Request{Op: jute.OpAuth, Scheme: "digest"}}
	for i := range maxIDs {
		r.Data = []byte("user:" + strconv.Itoa(i))
		ids, ok := d.authenticate(r)
		if !ok {
			t.Fatalf("after %d", i)
		}
		r.ids = ids
	}
	r.Data = []byte("user:more")
	if _, ok := d.authenticate(r); ok {
		t.Error("one more is taken")
	}
}

func TestDigestAlgorithms(t *testing.T) {
	for algorithm, want := range map[string]string{
		"":        "amy:ytedbzoRRPHPjfCmtagR0pUO0cI=",
		"SHA1":    "amy:ytedbzoRRPHPjfCmtagR0pUO0cI=",
		"SHA-256": "amy:gegzLRPZFkpPh4vgdxeo7Wfn+7vUouGRYmwPFyMbGZQ=",
		"SHA-512": "amy:VYfjUtk3K76lMqvlK1OEysxFsjUA9FmhbRmlJaoC0L6Fr1HSdK5ZFlfqDf4lRD1xw4xzsOVfMWlzkaUZT5/BOA==",
		"MD5":     "amy:eIwvhjqYurgSNLuXN6LR4g==",
	} {
		if got := digestOf(algorithm, "amy:pw"); !knownDigest(algorithm) || got != want {
			t.Errorf("%s: %s, want %s", algorithm, got, want)
		}
	}
	if knownDigest("SHA-9") {
		t.Error("SHA-9 is known")
	}
	if got := digestOf("SHA-256", "a:b:c"); got[:2] != "a:" {
		t.Errorf("the user ends at the first colon: %s", got)
	}
}

func TestEnforcedAuthentication(t *testing.T) {
	for _, c := range []struct {
		on      bool
		schemes []string
		ids     []jute.ID
		want    bool
	}{
		{false, []string{"digest"}, nil, true},
		{true, []string{"digest"}, []jute.ID{{Scheme: "ip"}}, false},
		{true, []string{"digest", "x509"}, []jute.ID{{Scheme: "ip"}, {Scheme: "x509"}}, true},
		{true, nil, []jute.ID{{Scheme: "digest"}}, false},
	} {
		d := newWorld(t, func(r *rules) { r.enforceAuth, r.enforceSchemes = c.on, c.schemes }).d
		if got := d.admitted(c.ids); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestAddressesAreWrittenAsInJava(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "::ffff:1.2.3.4": "1.2.3.4", "::1": "0:0:0:0:0:0:0:1", "fe80::1%eth0": "fe80:0:0:0:0:0:0:1%eth0", "2001:db8::ff00:42": "2001:db8:0:0:0:0:ff00:42",
	} {
		got := addressText(netip.MustParseAddr(address))
		if got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
		if !addressMatches(got, netip.MustParseAddr(address).Unmap().WithZone("").String()) {
			t.Errorf("%s does not match itself", got)
		}
	}
}
