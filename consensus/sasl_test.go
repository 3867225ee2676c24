package consensus

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

func token(xid int32, data []byte) []byte {
	return frameOf(xid, jute.Request{Op: jute.OpSASL, Data: data})
}

func TestSASLChallenge(t *testing.T) {
	b := newBench(t, func(c *Config) { c.SASLUsers = map[string]string{"bob": "secret"} })
	one, two := b.join(), b.join()
	one.send(create(1, "/a", 0), token(2, []byte{})) // answered while the write is under way
	a := one.expect(2, 0, jute.OK)
	two.send(token(1, []byte{}))
	other := two.expect(1, 0, jute.OK)
	if !strings.Contains(data(a), `realm="zk-sasl-md5",nonce="`) || data(a) == data(other) {
		t.Errorf("challenges %q and %q", data(a), data(other))
	}
}

func TestSASLRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		code   jute.Code
		open   bool
	}{
		{"as a rule", func(*Config) {}, jute.AuthFailed, false},
		{"failures allowed", func(c *Config) { c.AllowFailedSASL = true }, jute.OK, true},
		{"required", func(c *Config) { c.RequireSASL = true }, jute.SessionClosedRequireSASL, false},
		{"required, failures allowed", func(c *Config) { c.RequireSASL, c.AllowFailedSASL = true, true }, jute.SessionClosedRequireSASL, false},
	} {
		b := newBench(t, func(cfg *Config) {
			cfg.SASLUsers = map[string]string{"bob": "secret"}
			c.change(cfg)
		})
		w := b.join()
		w.send(token(1, []byte{}), token(2, []byte(`username="bob",response=0`)))
		w.expect(1, 0, jute.OK)
		if a := w.expect(2, 0, c.code); !bytes.Equal(a.body, []byte{0xff, 0xff, 0xff, 0xff}) {
			t.Errorf("%s: body %x, want a null token", c.name, a.body)
		}
		if (w.closed == "") != c.open {
			t.Errorf("%s: closed %q", c.name, w.closed)
		}
		if len(w.c.ids) != 1 {
			t.Errorf("%s: proved %v", c.name, w.c.ids)
		}
	}
}

func TestSASLRequired(t *testing.T) {
	b := newBench(t, func(c *Config) { c.SASLUsers, c.RequireSASL = map[string]string{"bob": "secret"}, true })
	w := b.join()
	w.send(getData(1, "/", false))
	w.expect(1, 0, jute.SessionClosedRequireSASL)
	w.endedFor(closedAuth)
}

func TestSASLWithoutUsers(t *testing.T) {
	b := newBench(t, nil)
	w := b.join()
	w.send(token(1, []byte("anything")))
	if a := w.expect(1, 0, jute.OK); !bytes.Equal(a.body, []byte{0xff, 0xff, 0xff, 0xff}) {
		t.Errorf("body %x", a.body)
	}
}

func TestSASLNullToken(t *testing.T) {
	b := newBench(t, func(c *Config) { c.SASLUsers = map[string]string{"bob": "secret"} })
	w := b.join()
	w.send(token(1, nil))
	w.silent()
	w.endedFor(closedMalformed)
}

func TestUsersOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jaas.conf")
	text := "Server {\n org.apache.zookeeper.server.auth.DigestLoginModule required\n user_bob=\"secret\";\n};\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := saslUsers(&Config{JAAS: file, JAASSection: "Server", SASLUsers: map[string]string{"eve": "x"}})
	if err != nil || len(users) != 2 || users["bob"] != "secret" {
		t.Errorf("%v, %v", users, err)
	}
	if users, err := saslUsers(&Config{}); users != nil || err != nil {
		t.Errorf("nobody named anybody: %v, %v", users, err)
	}
	if _, err := saslUsers(&Config{JAAS: file + ".missing"}); err == nil {
		t.Error("a missing file was taken for one without users")
	}
}
