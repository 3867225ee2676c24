package zoocfg

import (
	"reflect"
	"strings"
	"testing"
)

func TestProperties(t *testing.T) {
	for _, c := range []struct {
		text string
		want []entry
	}{
		{"a=b", []entry{{"f", 1, "a", "b"}}},
		{"  a  =  b  ", []entry{{"f", 1, "a", "b"}}},
		{"a:b\na2 : b2\na3 b3\na4\tb4", []entry{{"f", 1, "a", "b"}, {"f", 2, "a2", "b2"}, {"f", 3, "a3", "b3"}, {"f", 4, "a4", "b4"}}},
		{"# c\n! c\n   # c\n\n \t\n=v\nk", []entry{{"f", 6, "", "v"}, {"f", 7, "k", ""}}},
		{"a=b=c:d e", []entry{{"f", 1, "a", "b=c:d e"}}},
		{"a = = b", []entry{{"f", 1, "a", "= b"}}},
		{"a=1\\\n   2\\\n\t3\nb=4", []entry{{"f", 1, "a", "123"}, {"f", 4, "b", "4"}}},
		{"a=1\\\\\nb=2", []entry{{"f", 1, "a", `1\`}, {"f", 2, "b", "2"}}},
		{"a=1\\\n# no comment\nb=2", []entry{{"f", 1, "a", "1# no comment"}, {"f", 3, "b", "2"}}},
		{"# comment\\\na=1", []entry{{"f", 2, "a", "1"}}},
		{"a=1\\", []entry{{"f", 1, "a", "1"}}},
		{`a\ b\=c\:d=\t\u0041\u00e4\uD83D\uDE00\q\n.`, []entry{{"f", 1, "a b=c:d", "Aä\U0001F600q\n."}}},
		{"a=1\r\nb=2\rc=3", []entry{{"f", 1, "a", "1"}, {"f", 2, "b", "2"}, {"f", 3, "c", "3"}}},
		{"a=ä", []entry{{"f", 1, "a", "ä"}}},
		{"", nil},
	} {
		got, err := properties("f", c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{`a=\u`, `a=\u123`, `a=\u12g4`, `\uXXXX=1`} {
		if _, err := properties("f", text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tickTime=2000\ndataDir=/x\nclientPort=2181\n")
	f.Add("a\\\n=\\u0041\\")
	f.Add("server.1=[::1]:1:2:observer|b:1:2;3\ngroup.1=1:2\nweight.1=3\npassword=\\\n\\\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, _ := properties("f", text)
		for _, e := range entries {
			if e.line < 1 {
				t.Fatalf("entry %+v without a line", e)
			}
			if strings.HasPrefix(e.key, "server.") {
				if s, err := parseServer(1, e.value); err == nil && len(s.Peers) == 0 {
					t.Fatalf("%q is a server without an address", e.value)
				}
			}
			if asksOutside(e.key) {
				return
			}
		}
		if _, _, err := Parse("f", []byte(text), nil); err == nil && len(entries) == 0 {
			t.Fatal("an empty configuration is no mistake")
		}
	})
}

// asksOutside are the keys that make Parse read files or look up names.
func asksOutside(key string) bool {
	key = strings.TrimPrefix(key, "zookeeper.")
	return key == "dynamicConfigFile" || key == "java.security.auth.login.config" || key == "dataDir" ||
		strings.HasPrefix(key, "server.") || strings.HasSuffix(key, "Address") || strings.HasSuffix(key, "Host")
}
