package appliance

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testNICs is a host with lo and eth0, the latter with these addresses.
func testNICs(prefixes ...string) []nic {
	eth := nic{name: "eth0"}
	for _, p := range prefixes {
		eth.prefixes = append(eth.prefixes, netip.MustParsePrefix(p))
	}
	return []nic{{name: "lo", prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}}, eth}
}

// Each file in testdata/check is a configuration in which a comment "#! message" stands in every line
// with a mistake: the message must occur in what is said of that line. Nothing else may be said.
func TestEveryMistakeIsNamedWithItsLine(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse("f", text)
			got, _ := err.(Mistakes)
			n := 0
			for line := range strings.Lines(string(text)) {
				n++
				_, marks, ok := strings.Cut(line, "#!")
				if !ok {
					continue
				}
				for want := range strings.SplitSeq(marks, "#!") {
					want = strings.TrimSpace(want)
					i := -1
					for j, m := range got {
						if m.Line == n && strings.Contains(m.Key+": "+m.Message, want) {
							i = j
						}
					}
					if i < 0 {
						t.Errorf("line %d: nobody said %q", n, want)
						continue
					}
					got = append(got[:i:i], got[i+1:]...)
				}
			}
			for _, m := range got {
				t.Errorf("unexpected: %v", m)
			}
		})
	}
}

func TestRoleOfTheCommandWins(t *testing.T) {
	text := []byte("roles = [\"vip\"]\n[[lb.service]]\nname=\"a\"\nlisten=[\"127.0.0.1:1\"]\nserver=[{address=\"127.0.0.1:2\"}]\n")
	if _, err := Parse("f", text); err == nil || !strings.Contains(err.Error(), `f:2: lb: this host does not have the role "lb"`) {
		t.Errorf("roles [vip] with a table [lb]: got %v, want the table refused", err)
	}
	cfg, err := Parse("f", text, RoleLB)
	if err != nil || len(cfg.Roles) != 1 || cfg.Roles[0] != RoleLB || len(cfg.LB.Services) != 1 {
		t.Errorf("as ha lb: got %+v, %v", cfg.Roles, err)
	}
	cfg, err = Parse("f", text, RoleVIP)
	if err != nil || len(cfg.LB.Services) != 0 {
		t.Errorf("as a host with only addresses: got %d services, %v; want none", len(cfg.LB.Services), err)
	}
}

func TestPlacing(t *testing.T) {
	base := "roles=[\"vip\"]\n[[vip]]\nname=\"a\"\nvrid=1\naddresses=[\"10.0.0.100/32\"]\n"
	for _, c := range []struct {
		name, text string
		nics       []nic
		bind, dev  string
		err        string
	}{
		{"own address beside the virtual one", base, testNICs("10.0.0.7/24"), "10.0.0.7:7946", "eth0", ""},
		{"a left-over virtual address is not ours", base, testNICs("10.0.0.100/24", "10.0.0.7/24"), "10.0.0.7:7946", "eth0", ""},
		{"bind of the file wins", base + "[cluster]\nbind=\"10.1.1.1:1\"\n", testNICs("10.0.0.7/24"), "10.1.1.1:1", "eth0", ""},
		{"interface of the file wins", base + "interface=\"eth9\"\n", testNICs("10.0.0.7/24"), "invalid AddrPort", "eth9", ""},
		{"no interface reaches it", base, testNICs("192.168.0.1/24"), "", "", "vip a: interface: no interface has an address in the subnet of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := Parse("f", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			got, err := cfg.placed("h", c.nics)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Cluster.Bind.String() != c.bind || got.VIP[0].Interface != c.dev {
				t.Errorf("got bind %v on %s, want %s on %s", got.Cluster.Bind, got.VIP[0].Interface, c.bind, c.dev)
			}
		})
	}
}

func TestKeysAreRequiredToJoin(t *testing.T) {
	var cfg Config
	cfg.Cluster.KeyFile = filepath.Join(t.TempDir(), "none")
	first, err := cfg.keys(nil)
	if err != nil || len(first) != 1 {
		t.Fatalf("a host alone: got %d keys, %v; want one drawn", len(first), err)
	}
	again, err := cfg.keys(first)
	if err != nil || again[0] != first[0] {
		t.Errorf("a reload drew another key (%v)", err)
	}
	cfg.Cluster.Join = []string{"10.0.0.1"}
	if _, err := cfg.keys(nil); err == nil || !strings.Contains(err.Error(), "ha keygen") {
		t.Errorf("joining without a key: got %v, want an error that says ha keygen", err)
	}
}

// A file that is named and of no use is a mistake; one that is absent may yet be copied there.
func TestFilesThatAreNamed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"key": "no key\n", "token": "short\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "ha.toml")
	for _, c := range []struct {
		key, token string
		want       []string
	}{
		{"key", "token", []string{file + ":3: cluster.key_file: " + dir + "/key: ", file + ":5: admin.token_file: "}},
		{"", "none", []string{file + ":3: cluster.key_file: read " + dir + "/: is a directory"}},
		{"none", "none", nil},
	} {
		text := fmt.Sprintf("roles = [\"vip\"]\n[cluster]\nkey_file = \"%s/%s\"\n[admin]\ntoken_file = \"%s/%s\"\n", dir, c.key, dir, c.token)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(file)
		got, _ := err.(Mistakes)
		if len(got) != len(c.want) {
			t.Errorf("%s, %s: got %v, want %v", c.key, c.token, err, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(got[i].Error(), want) {
				t.Errorf("got %q, want %q", got[i].Error(), want)
			}
		}
	}
}

func TestWriteKeyRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "key")
	if err := WriteKey(path, false); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	var cfg Config
	cfg.Cluster.KeyFile = path
	before, err := cfg.keys(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteKey(path, false); err == nil {
		t.Error("a key file was overwritten")
	}
	if err := WriteKey(path, true); err != nil {
		t.Fatal(err)
	}
	after, err := cfg.keys(nil)
	if err != nil || len(after) != 2 || after[0] != before[0] || after[1] == before[0] {
		t.Errorf("after --add: %d keys, the first kept: %v, %v; want 2, true", len(after), err == nil && after[0] == before[0], err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode after --add %v, want 0600", info.Mode().Perm())
	}
	if err := WriteKey(path, true); err != nil {
		t.Fatal(err)
	}
	third, err := cfg.keys(nil)
	if err != nil || len(third) != 3 || third[0] != before[0] || third[2] != after[1] {
		t.Errorf("after a second --add the new key is not the second (%d keys, %v)", len(third), err)
	}
}

func FuzzLoad(f *testing.F) {
	// The example file is no seed: an input of its size takes the fuzzer a minute to minimize.
	files, _ := filepath.Glob("testdata/check/*.toml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, s := range []string{
		"", "[[", "a.b.c = [{x={y=[{}]}}]", "'''\n", "x = \"\"\"\\", "[lb]\nservice = 3\n[[lb.service]]\n", "vip.name = 1\n[[vip]]\n",
		"roles=[\"lb\"]\nlb.service=[{name='a',listen=['1.2.3.4:5'],server=[]}]", "[vip]\n[[vip]]\n[vip.track]\n", "\"a.b\".\"\\u0061\" = 1\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 {
			return
		}
		_, err := Parse("f", []byte(text))
		lines := strings.Count(text, "\n") + 1
		if ms, ok := err.(Mistakes); ok {
			for _, m := range ms {
				if m.Line < 1 || m.Line > lines || m.Message == "" {
					t.Fatalf("mistake %+v in a text of %d lines", m, lines)
				}
			}
		} else if err != nil {
			t.Fatalf("an error that is no mistake of the file: %v", err)
		}
	})
}
