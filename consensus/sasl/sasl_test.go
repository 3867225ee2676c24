package sasl

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

// A conversation of kazoo 2.8 with Apache ZooKeeper 3.8.0.
const (
	nonce    = "/gy2IjQXalSsMZs0LA2PO/NVYIdXVCH5ynPuKeO8"
	captured = `qop=auth,realm="zk-sasl-md5",username="jaas_user",nonce="/gy2IjQXalSsMZs0LA2PO/NVYIdXVCH5ynPuKeO8",cnonce="9721897010536595",nc=00000001,digest-uri="zookeeper/zk-sasl-md5",response=483ddc25e42f3a565e7f17b0a7b1b9ed`
	proof    = "rspauth=9ffc61e2854502114703972d211260c4"
)

var users = map[string]string{"jaas_user": "jaas_password", "super": "super_secret"}

func challenged(t testing.TB) *Exchange {
	t.Helper()
	e := New(users, nonce)
	answer, _, done, err := e.Step(nil)
	if want := `realm="zk-sasl-md5",nonce="` + nonce + `",charset=utf-8,algorithm=md5-sess`; string(answer) != want || done || err != nil {
		t.Fatalf("challenge %q, %v, %v; want %q", answer, done, err, want)
	}
	return e
}

func TestCapturedExchange(t *testing.T) {
	e := challenged(t)
	answer, user, done, err := e.Step([]byte(captured))
	if string(answer) != proof || user != "jaas_user" || !done || err != nil {
		t.Errorf("got %q, %q, %v, %v; want %q", answer, user, done, err, proof)
	}
	if _, _, _, err := e.Step([]byte(captured)); !errors.Is(err, ErrRefused) {
		t.Errorf("the same response again: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string][2]string{
		"another response":  {"483d", "483e"},
		"another user":      {`"jaas_user"`, `"super"`},
		"an unknown user":   {`"jaas_user"`, `"nobody"`},
		"another nonce":     {"/gy2", "/gy3"},
		"another count":     {"nc=00000001", "nc=00000002"},
		"another service":   {"zookeeper/", "ldap/"},
		"another realm":     {`realm="zk-sasl-md5"`, `realm="x"`},
		"encryption":        {"qop=auth", "qop=auth-conf"},
		"acting as another": {"qop=auth", `qop=auth,authzid="super"`},
		"a key twice":       {"qop=auth", "qop=auth,qop=auth"},
		"open quotes":       {`response=`, `x="`},
		"no directive":      {`qop=auth,`, `qop`},
	} {
		token := strings.Replace(captured, change[0], change[1], 1)
		if token == captured {
			t.Fatalf("%s: nothing changed", name)
		}
		answer, user, done, err := challenged(t).Step([]byte(token))
		if answer != nil || user != "" || done || !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %q, %q, %v, %v", name, answer, user, done, err)
		}
	}
	if _, _, _, err := New(users, nonce).Step([]byte("\x60\x82 kerberos")); !errors.Is(err, ErrRefused) {
		t.Errorf("a first token of another mechanism: %v", err)
	}
	if _, _, _, err := challenged(t).Step(make([]byte, maxToken+1)); !errors.Is(err, ErrRefused) {
		t.Errorf("a long token: %v", err)
	}
}

func TestParseJAAS(t *testing.T) {
	const file = `// users
QuorumServer { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true; };
Server {
  org.apache.zookeeper.server.auth.DigestLoginModule required /* two */
    user_super="super \"secret\""
    user_bob=plain;
};
Client { org.apache.zookeeper.server.auth.DigestLoginModule required username="bob" password="plain"; };
`
	got, err := ParseJAAS("jaas.conf", []byte(file), "Server")
	want := map[string]string{"super": `super "secret"`, "bob": "plain"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, c := range []struct{ text, want string }{
		{"Client { a required; };", `no section "Server"`},
		{"Server {\n a.DigestLoginModule required\n user_x=", "jaas.conf:3: "},
		{"Server {\n a.DigestLoginModule required x\n=\"y", "jaas.conf:3: quotes do not end"},
		{"Server { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true; };", "Kerberos"},
		{"/* Server", "a comment does not end"},
	} {
		if _, err := ParseJAAS("jaas.conf", []byte(c.text), "Server"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.text, err, c.want)
		}
	}
}

func FuzzStep(f *testing.F) {
	f.Add([]byte(captured))
	f.Fuzz(func(t *testing.T, token []byte) {
		_, user, done, err := challenged(t).Step(token)
		if done != (err == nil) || done && user != "jaas_user" {
			t.Errorf("%q: user %q, %v, %v", token, user, done, err)
		}
	})
}

func FuzzParseJAAS(f *testing.F) {
	f.Add([]byte("Server { a.DigestLoginModule required user_x=\"y\"; };"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ParseJAAS("f", b, "Server")
	})
}
