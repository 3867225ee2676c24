package appliance

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const exampleFile = "../ha.toml.example"

func exampleText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExampleIsInOrder(t *testing.T) {
	if _, err := Parse("ha.toml.example", []byte(exampleText(t))); err != nil {
		t.Fatalf("ha check ha.toml.example:\n%v", err)
	}
}

// notInThisBuild are keys that only a later driver or role gives a meaning to, and that Check refuses
// or ignores until then.
var notInThisBuild = []string{"lb.service.method", "lb.service.discover", "lb.service.discover.service"}

func TestExampleHasEveryKey(t *testing.T) {
	have := map[string]bool{}
	for _, e := range indexOf(exampleText(t)) {
		for i := range e.path {
			have[unindexed(e.path[:i+1])] = true
		}
	}
	var tables func(at string, typ reflect.Type)
	tables = func(at string, typ reflect.Type) {
		for typ.Kind() == reflect.Slice && !opaque(typ) || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || opaque(typ) {
			return
		}
		for name, field := range keys(typ) {
			key := strings.TrimPrefix(at+"."+name, ".")
			if key == "lb.service.check.address" {
				key = "vip.track.check.address" // shown where it is required
			}
			switch {
			case slices.Contains(notInThisBuild, key):
				continue
			case strings.HasPrefix(at, "vip.track.check"): // documented at lb.service.check
				continue
			case !have[key]:
				t.Errorf("ha.toml.example does not show %s", key)
			}
			tables(key, field)
		}
	}
	tables("", reflect.TypeFor[Config]())
}

func unindexed(path []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(path), func(p string) bool { return p[0] == '[' }), ".")
}

// Lines that say "default" are taken out; with the defaults filled in, nothing may have changed.
func TestExampleDefaultsAreTheDefaults(t *testing.T) {
	text := exampleText(t)
	without := []byte(text)
	n := 0
	for _, e := range indexOf(text) {
		line := text[e.start:e.end]
		if _, comment, ok := strings.Cut(line, " # "); ok && strings.HasPrefix(comment, "default") {
			for i := e.start; i < e.end; i++ {
				without[i] = ' '
			}
			n++
		}
	}
	if n < 40 {
		t.Fatalf("only %d lines say default: is the form of the comments another?", n)
	}
	var with, left Config
	if _, err := toml.Decode(text, &with); err != nil {
		t.Fatal(err)
	}
	if _, err := toml.Decode(string(without), &left); err != nil {
		t.Fatal(err)
	}
	list := []nic{{name: "eth0"}}
	a, errA := with.placed("host", list)
	b, errB := left.placed("host", list)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	same(t, "cluster", a.Cluster, b.Cluster)
	for i := range a.VIP {
		a.VIP[i].Preempt = cmpBool(a.VIP[i].Preempt)
		b.VIP[i].Preempt = cmpBool(b.VIP[i].Preempt)
	}
	same(t, "vip", a.VIP, b.VIP)
	same(t, "admin", a.Admin.Filled(), b.Admin.Filled())
	same(t, "zab", a.ZAB.Filled(), b.ZAB.Filled())
	same(t, "notify", a.Notify.Filled(), b.Notify.Filled())
}

func cmpBool(p *bool) *bool {
	if p == nil {
		return new(true)
	}
	return p
}

func same(t *testing.T, table string, a, b any) {
	t.Helper()
	x, _ := json.MarshalIndent(a, "", " ")
	y, _ := json.MarshalIndent(b, "", " ")
	if string(x) != string(y) {
		t.Errorf("[%s]: a line that says default is not the default.\nwith the lines:\n%s\nwithout them:\n%s", table, x, y)
	}
}

// The tables of lb have no filled form; there the sentence in the documentation of the field is compared.
func TestExampleAgreesWithTheDocumentationOfLB(t *testing.T) {
	docs := map[string]string{}
	for _, file := range []string{"../lb/config.go", "../lb/probe/config.go", "../lb/health/timing.go"} {
		maps.Copy(docs, fieldDocs(t, file))
	}
	text := exampleText(t)
	said := regexp.MustCompile(`Defaults?:? (?:and, in this build, only )?"?([^\s,;:"]+)`)
	compared := 0
	for _, e := range indexOf(text) {
		_, comment, ok := strings.Cut(text[e.start:e.end], " # ")
		if !ok || !strings.HasPrefix(comment, "default") || e.path[0] != "lb" {
			continue
		}
		m := said.FindStringSubmatch(docs[e.path[len(e.path)-1]])
		if m == nil {
			continue
		}
		want := strings.TrimRight(m[1], ".")
		got := strings.Trim(e.value, `"`)
		if want == "a" || want == "Interval" || got == "0s" && want == "0" || got == "0.0" && want == "0" {
			continue // "a twentieth of Interval": relative to another key
		}
		compared++
		if got != want {
			t.Errorf("ha.toml.example says the default of %s is %s, its documentation says %s", e, got, want)
		}
	}
	if compared < 8 {
		t.Errorf("only %d defaults could be compared", compared)
	}
}

func fieldDocs(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok && field.Tag != nil {
			name := reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("toml")
			if name != "" {
				out[name] = strings.ReplaceAll(field.Doc.Text(), "\n", " ")
			}
		}
		return true
	})
	return out
}

// The set-up that the README promises: five lines.
func TestTwoHostsInFiveLines(t *testing.T) {
	const file = `roles = ["lb"]
cluster.join = ["10.0.0.11", "10.0.0.12"]
vip = [{ name = "web", vrid = 51, addresses = ["10.0.0.100/24"] }]
lb.service = [{ name = "web", listen = ["10.0.0.100:80"], check = { kind = "http" },
  server = [{ address = "10.0.0.21:80" }, { address = "10.0.0.22:80" }] }]
`
	cfg, err := Parse("ha.toml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.placed("lb2.example.com", testNICs("10.0.0.12/24", "10.0.0.100/24"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Node != "lb2" || got.VIP[0].Interface != "eth0" || got.Cluster.Bind.String() != "10.0.0.12:7946" {
		t.Errorf("placed node %q, interface %q, bind %v; want lb2, eth0, 10.0.0.12:7946", got.Node, got.VIP[0].Interface, got.Cluster.Bind)
	}
}
