package appliance

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The import graph is policy. "a, b < c" says that c may import a and b, and so says the picture in
// doc.go. A package that is not here does not exist: write down what it may know before its first line.
// Do not change this data to make a build pass; change it when the design changes.
const policy = `
	NONE                                              < net/gossip, net/vrrp, net/arp, net/ndp, lb/health, lb/pool, lb/probe, net/simnet, appliance/notify, appliance/logline
	net/gossip                                        < net/heartbeat
	net/vrrp, net/heartbeat, net/arp, net/ndp         < net/vip
	net/gossip, net/heartbeat, net/vip                < appliance/beat
	lb/pool                                           < lb/scheduler
	lb/pool, lb/scheduler                             < lb/proxy
	lb/pool, lb/health, lb/probe                      < lb
	lb, net/vip, appliance/notify                     < appliance/admin
	net/gossip, net/heartbeat, net/vip, lb, lb/proxy, appliance/admin, appliance/beat, appliance/notify < appliance
	NONE                                              < consensus/jute, consensus/session, consensus/quorum, consensus/fourletter, consensus/sasl
	consensus/jute                                    < consensus/tree, consensus/zk, consensus/txnlog, consensus/clientport
	consensus/jute, consensus/quorum                  < consensus/zab
	consensus/fourletter                              < consensus/clientport, consensus/adminport
	consensus/jute, consensus/tree, consensus/session, consensus/quorum, consensus/zab, consensus/txnlog, consensus/clientport, consensus/fourletter, consensus/adminport, consensus/sasl < consensus
	consensus                                         < consensus/zoocfg
	consensus/fourletter, consensus/sasl              < consensus/zoocfg
	consensus, consensus/zoocfg, consensus/zk         < appliance
	appliance, appliance/admin, lb, lb/health, net/vip, net/heartbeat, consensus, consensus/zk < appliance/demo
	appliance, appliance/admin, appliance/beat, appliance/demo, appliance/logline, consensus, consensus/zoocfg, consensus/zk, consensus/txnlog, consensus/jute < main
`

// pure packages are machines and codecs: what they do follows from what they are told.
var pure = []string{"net/gossip", "net/vrrp", "lb/health", "lb/pool", "lb/scheduler",
	"consensus/jute", "consensus/tree", "consensus/session", "consensus/quorum", "consensus/zab", "consensus/fourletter", "consensus/sasl"}

// testOnly packages are imported by tests alone. What else a test imports is not restricted, but for
// the roles above it.
var testOnly = []string{"net/simnet", "net/memnet", "appliance/e2e"}

// thirdParty says who may import what is not ours and not the standard library.
var thirdParty = map[string][]string{
	"github.com/alecthomas/kong":                 {"main"},
	"github.com/BurntSushi/toml":                 {"appliance"},
	"github.com/miekg/dns":                       {"net/heartbeat", "lb/probe"},
	"github.com/vishvananda/netlink":             {"net/vip", "lb/ipvs", "lb/xdp", "appliance/demo"},
	"github.com/vishvananda/netns":               {"appliance/demo"},
	"github.com/prometheus/client_golang":        {"appliance/admin", "consensus/adminport"},
	"github.com/golang/snappy":                   {"consensus/txnlog"},
	"github.com/pavlo-v-chernykh/keystore-go/v4": {"consensus/clientport"},
	"software.sslmate.com/src/go-pkcs12":         {"consensus/clientport"},
	"golang.org/x/term":                          {"main"},
	"github.com/wneessen/go-mail":                {"appliance/notify"},
	"golang.org/x/crypto/chacha20poly1305":       {"net/gossip"},
	"golang.org/x/net/netutil":                   {"appliance/admin", "consensus/adminport"},
	"golang.org/x/net/icmp":                      {"lb/probe", "appliance/demo"},
	"golang.org/x/net/ipv4":                      {"lb/probe", "appliance/demo"},
	"golang.org/x/net/ipv6":                      {"lb/probe", "appliance/demo"},
	"golang.org/x/sys/unix":                      {"main", "appliance", "net/heartbeat", "net/vip", "net/arp", "net/ndp", "lb/probe", "lb/proxy", "appliance/beat", "appliance/demo", "consensus/txnlog", "consensus/clientport", "consensus"},
}

// What a pure package never imports, and what it never calls.
var (
	impure = []string{"net", "os", "os/signal", "os/exec", "syscall", "context", "sync", "sync/atomic", "log", "log/slog",
		"testing", "net/http", "io/fs", "io/ioutil", "runtime", "runtime/debug", "unsafe", "crypto/rand", "golang.org/x/sys/unix", "math/rand"}
	clockCalls = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	seeded     = []string{"Rand", "Source", "PCG", "ChaCha8", "New", "NewPCG", "NewChaCha8", "Zipf", "NewZipf"}
)

// bannedNames say "the code is here" and nothing else.
var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "types", "models", "interfaces", "manager", "handler", "misc", "base"}

const module = "example.org/ha"

// A pkg is what the rules look at.
type pkg struct {
	path        string // "net/gossip"; "main" for the root
	imports     []string
	testImports []string
	files       []*ast.File // without tests
}

// allowed reads the policy.
func allowed(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for line := range strings.Lines(policy) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		from, to, ok := strings.Cut(line, "<")
		if !ok {
			t.Fatalf("policy: cannot read %q", line)
		}
		for p := range strings.SplitSeq(to, ",") {
			p = strings.TrimSpace(p)
			out[p] = append(out[p], nil...)
			for q := range strings.SplitSeq(from, ",") {
				if q = strings.TrimSpace(q); q != "NONE" {
					out[p] = append(out[p], q)
				}
			}
			if out[p] == nil {
				out[p] = []string{}
			}
		}
	}
	return out
}

// violations applies every rule to p.
func violations(allow map[string][]string, p pkg) (out []string) {
	bad := func(format string, args ...any) { out = append(out, p.path+": "+fmt.Sprintf(format, args...)) }
	may, listed := allow[p.path]
	if !listed && !slices.Contains(testOnly, p.path) {
		bad("is not in the policy: say in deps_test.go what it may import")
	}
	if slices.Contains(bannedNames, path.Base(p.path)) {
		bad("is named for nothing: name the thing")
	}
	for _, i := range p.imports {
		ours, isOurs := strings.CutPrefix(i, module+"/")
		switch {
		case isOurs && slices.Contains(testOnly, ours) && p.path != ours:
			bad("imports %s, which is for tests", ours)
		case isOurs && !slices.Contains(may, ours) && listed:
			bad("imports %s: not in the policy", ours)
		case !isOurs && strings.Contains(strings.SplitN(i, "/", 2)[0], "."):
			out = append(out, strangers(p.path, i)...)
		}
		if slices.Contains(pure, p.path) && slices.Contains(impure, i) {
			bad("imports %s: pure packages never do", i)
		}
	}
	for _, i := range p.testImports {
		ours, isOurs := strings.CutPrefix(i, module+"/")
		if !isOurs || ours == p.path || slices.Contains(testOnly, ours) || p.path == "appliance/e2e" {
			continue
		}
		if !slices.Contains(reach(allow, p.path), ours) {
			bad("its tests import %s, which it could not reach", ours)
		}
	}
	if slices.Contains(pure, p.path) {
		out = append(out, impurities(p)...)
	}
	return out
}

// reach is everything p may import, directly or not.
func reach(allow map[string][]string, p string) []string {
	seen := map[string]bool{}
	var walk func(string)
	walk = func(q string) {
		for _, r := range allow[q] {
			if !seen[r] {
				seen[r] = true
				walk(r)
			}
		}
	}
	walk(p)
	return slices.Sorted(maps.Keys(seen))
}

func strangers(p, imported string) []string {
	for prefix, who := range thirdParty {
		if imported == prefix || strings.HasPrefix(imported, prefix+"/") {
			if slices.Contains(who, p) {
				return nil
			}
			return []string{fmt.Sprintf("%s: imports %s: only %s may", p, imported, strings.Join(who, ", "))}
		}
	}
	return []string{fmt.Sprintf("%s: imports %s: no third party that anybody may import", p, imported)}
}

// impurities finds calls for the time and for chance that nobody passed in, and goroutines.
func impurities(p pkg) (out []string) {
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				out = append(out, p.path+": starts a goroutine: pure packages never do")
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || x.Obj != nil { // a local variable of that name
					return true
				}
				if x.Name == "time" && slices.Contains(clockCalls, n.Sel.Name) || x.Name == "rand" && !slices.Contains(seeded, n.Sel.Name) {
					out = append(out, fmt.Sprintf("%s: says %s.%s: pure packages are told the time and given their *rand.Rand", p.path, x.Name, n.Sel.Name))
				}
			}
			return true
		})
	}
	return out
}

// packages reads the whole module.
func packages(t *testing.T) []pkg {
	t.Helper()
	root := moduleRoot(t)
	byPath := map[string]*pkg{}
	for _, file := range goFiles(t, root) {
		dir, _ := filepath.Rel(root, filepath.Dir(file))
		name := filepath.ToSlash(dir)
		if name == "." {
			name = "main"
		}
		p := byPath[name]
		if p == nil {
			p = &pkg{path: name}
			byPath[name] = p
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			imported := strings.Trim(i.Path.Value, `"`)
			if strings.HasSuffix(file, "_test.go") {
				p.testImports = append(p.testImports, imported)
			} else {
				p.imports = append(p.imports, imported)
			}
		}
		if !strings.HasSuffix(file, "_test.go") {
			p.files = append(p.files, f)
		}
	}
	var out []pkg
	for _, name := range slices.Sorted(maps.Keys(byPath)) {
		p := byPath[name]
		slices.Sort(p.imports)
		slices.Sort(p.testImports)
		p.imports, p.testImports = slices.Compact(p.imports), slices.Compact(p.testImports)
		out = append(out, *p)
	}
	return out
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// goFiles lists every Go file of the module. A nested module has rules of its own.
func goFiles(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root:
			_, nested := os.Stat(filepath.Join(file, "go.mod"))
			if name := d.Name(); nested == nil || name == "testdata" || name[0] == '.' || name == "bin" {
				return filepath.SkipDir
			}
		case strings.HasSuffix(file, ".go"):
			files = append(files, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestImportsFollowThePolicy(t *testing.T) {
	allow := allowed(t)
	for _, p := range packages(t) {
		for _, v := range violations(allow, p) {
			t.Error(v)
		}
	}
}

func TestPolicyHasNoCycle(t *testing.T) {
	allow := allowed(t)
	for p := range allow {
		if slices.Contains(reach(allow, p), p) {
			t.Errorf("policy: %s reaches itself", p)
		}
	}
}

// Each rule is seen to fail.
func TestPolicyRefuses(t *testing.T) {
	src := func(body string) []*ast.File {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+body, 0)
		if err != nil {
			t.Fatal(err)
		}
		return []*ast.File{f}
	}
	own := func(p string) string { return module + "/" + p }
	for _, c := range []struct {
		name string
		pkg  pkg
		want string // empty: it must pass
	}{
		{"an arrow against the graph", pkg{path: "net/gossip", imports: []string{own("net/heartbeat")}}, "not in the policy"},
		{"a role below a role", pkg{path: "net/vip", imports: []string{own("lb")}}, "not in the policy"},
		{"a new package", pkg{path: "lb/cache"}, "is not in the policy"},
		{"a package called util", pkg{path: "net/util"}, "named for nothing"},
		{"os in a machine", pkg{path: "net/vrrp", imports: []string{"os"}}, "pure packages never do"},
		{"net in a machine", pkg{path: "lb/health", imports: []string{"net"}}, "pure packages never do"},
		{"netip in a machine", pkg{path: "net/vrrp", imports: []string{"net/netip"}}, ""},
		{"the clock in a machine", pkg{path: "net/vrrp", files: src("import \"time\"\nvar t = time.Now()")}, "says time.Now"},
		{"a timer in a machine", pkg{path: "lb/health", files: src("import \"time\"\nvar t = time.NewTimer(1)")}, "says time.NewTimer"},
		{"types of time in a machine", pkg{path: "net/vrrp", files: src("import \"time\"\nvar t time.Time; var d = time.Second")}, ""},
		{"unseeded chance in a machine", pkg{path: "net/gossip", files: src("import \"math/rand/v2\"\nvar n = rand.IntN(3)")}, "says rand.IntN"},
		{"seeded chance in a machine", pkg{path: "net/gossip", files: src("import \"math/rand/v2\"\nfunc f(rand *rand.Rand) int { return rand.IntN(3) }")}, ""},
		{"a goroutine in a machine", pkg{path: "lb/pool", files: src("func f() { go f() }")}, "starts a goroutine"},
		{"toml outside appliance", pkg{path: "lb", imports: []string{"github.com/BurntSushi/toml"}}, "only appliance may"},
		{"kong outside main", pkg{path: "appliance", imports: []string{"github.com/alecthomas/kong"}}, "only main may"},
		{"netlink in lb", pkg{path: "lb", imports: []string{"github.com/vishvananda/netlink/nl"}}, "only net/vip"},
		{"an unknown third party", pkg{path: "main", imports: []string{"github.com/pkg/errors"}}, "no third party"},
		{"the simulator in the product", pkg{path: "net/heartbeat", imports: []string{own("net/simnet")}}, "which is for tests"},
		{"the simulator in a test", pkg{path: "net/gossip", testImports: []string{own("net/simnet")}}, ""},
		{"a test that reaches up", pkg{path: "net/vrrp", testImports: []string{own("net/vip")}}, "could not reach"},
		{"a test that reaches down", pkg{path: "net/vip", testImports: []string{own("net/gossip")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(violations(allowed(t), c.pkg), "\n")
			if c.want == "" && got != "" || c.want != "" && !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, cmp.Or(c.want, "nothing"))
			}
		})
	}
}
