package appliance

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The manners that a machine can check. A finding is "file:line: what: what to do instead".

const (
	maxFile = 500
	maxFunc = 70
)

// longer lists what is over the limits for a reason.
var longer = map[string]string{
	"net/heartbeat/node.go": "the node is one idea",
}

// bannedTexts, with what to write instead. They are written so that this file does not contain them.
var bannedTexts = []struct {
	re      *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)//.*\b(refactor` + `ed|now us` + `es|as reque` + `sted|previou` + `sly|used t` + `o be|no lon` + `ger us)`), "say how it is; the commit says how it was"},
	{regexp.MustCompile(`//\s*[-=#*]{` + `6,}`), "no banners: a file that needs one is two files"},
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`), "do it, or open an issue"},
	{regexp.MustCompile(`[\x{1F300}-\x{1FAFF}\x{2705}\x{274C}\x{2728}]`), "no pictures"},
	{regexp.MustCompile(`"fail` + `ed to `), "package: verb object: cause"},
	{regexp.MustCompile(`\binter` + `face\{\}`), "any"},
	{regexp.MustCompile(`/wo` + `rk/|/tmp/[a-z]+\.(go|md)`), "no path of one machine"},
}

// bannedTypes are names for "the code is here".
var bannedTypes = regexp.MustCompile(`(Manager|Handler|Helper|Util|Utils|Engine|Impl)$`)

// findings applies every rule to one file.
func findings(name string, text []byte) (out []string) {
	bad := func(line int, format string, args ...any) {
		out = append(out, fmt.Sprintf("%s:%d: %s", name, line, fmt.Sprintf(format, args...)))
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		bad(1, "does not parse: %v", err)
		return out
	}
	if want, err := format.Source(text); err != nil || !bytes.Equal(want, text) {
		bad(1, "not formatted: gofmt -w")
	}
	lines := bytes.Count(text, []byte("\n"))
	if _, ok := longer[name]; !ok && lines > maxFile {
		bad(1, "%d lines, at most %d: two nouns are two files", lines, maxFile)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		for _, b := range bannedTexts {
			if m := b.re.FindString(line); m != "" {
				bad(n, "says %q: %s", m, b.instead)
			}
		}
	}
	test := strings.HasSuffix(name, "_test.go")
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			from, to := fset.Position(d.Pos()).Line, fset.Position(d.End()).Line
			if to-from > maxFunc && !test {
				bad(from, "%s has %d lines, at most %d", d.Name.Name, to-from, maxFunc)
			}
			if d.Name.Name == "init" && d.Recv == nil {
				bad(from, "init runs behind everybody's back: build where it is used")
			}
			if test {
				out = append(out, testFindings(fset, name, d)...)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if ts, ok := spec.(*ast.TypeSpec); ok && bannedTypes.MatchString(ts.Name.Name) {
					bad(fset.Position(ts.Pos()).Line, "type %s: name what it is", ts.Name.Name)
				}
			}
		}
	}
	return out
}

// testFindings looks for waiting by luck, and for tests that CI would not miss.
func testFindings(fset *token.FileSet, name string, d *ast.FuncDecl) (out []string) {
	var bubble, ci bool
	var sleeps, skips []token.Pos
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, _ := n.X.(*ast.Ident)
			if x == nil {
				return true
			}
			switch {
			case x.Name == "synctest":
				bubble = true
			case x.Name == "time" && n.Sel.Name == "Sleep":
				sleeps = append(sleeps, n.Pos())
			case slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, n.Sel.Name) && (x.Name == "t" || x.Name == "tb" || x.Name == "b"):
				skips = append(skips, n.Pos())
			}
		case *ast.BasicLit:
			ci = ci || n.Value == `"CI"`
		}
		return true
	})
	for _, p := range sleeps {
		if !bubble {
			out = append(out, fmt.Sprintf("%s:%d: %s sleeps: wait for the event, or use a synctest bubble", name, fset.Position(p).Line, d.Name.Name))
		}
	}
	for _, p := range skips {
		if !ci {
			out = append(out, fmt.Sprintf("%s:%d: %s may skip in CI: fail there instead, os.Getenv(\"CI\") tells", name, fset.Position(p).Line, d.Name.Name))
		}
	}
	return out
}

func TestTidy(t *testing.T) {
	root := moduleRoot(t)
	documented := map[string]bool{}
	for _, file := range goFiles(t, root) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(root, file)
		for _, finding := range findings(filepath.ToSlash(rel), text) {
			t.Error(finding)
		}
		dir := filepath.Dir(rel)
		f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		documented[dir] = documented[dir] || f.Doc != nil && len(f.Doc.Text()) > 60
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment that teaches", dir)
		}
	}
}

// Each rule is seen to fail.
func TestTidyFinds(t *testing.T) {
	long := strings.Repeat("\tx++\n", maxFunc+1)
	for _, c := range []struct{ name, file, text, want string }{
		{"nothing", "a.go", "package a\n", ""},
		{"format", "a.go", "package a\nvar  x int\n", "not formatted"},
		{"length of a file", "a.go", "package a\n" + strings.Repeat("\n", maxFile), "two nouns are two files"},
		{"length of a function", "a.go", "package a\n\nfunc f() {\n\tx := 0\n" + long + "}\n", "f has"},
		{"history", "a.go", "package a\n\n// It now us" + "es b.\n", "the commit says how it was"},
		{"banner", "a.go", "package a\n\n//====" + "====\n", "no banners"},
		{"a task", "a.go", "package a\n\n// TO" + "DO: x\n", "open an issue"},
		{"picture", "a.go", "package a\n\n// \U0001F680\n", "no pictures"},
		{"error text", "a.go", "package a\n\nvar x = \"fail" + "ed to x\"\n", "verb object"},
		{"old any", "a.go", "package a\n\nvar x inter" + "face{}\n", "any"},
		{"init", "a.go", "package a\n\nfunc init() {}\n", "behind everybody's back"},
		{"type name", "a.go", "package a\n\ntype PoolManager struct{}\n", "name what it is"},
		{"sleep", "a_test.go", "package a\n\nfunc TestX(t *testing.T) { time.Sleep(1) }\n", "sleeps"},
		{"sleep in a bubble", "a_test.go", "package a\n\nfunc TestX(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }\n", ""},
		{"skip", "a_test.go", "package a\n\nfunc TestX(t *testing.T) { t.Skip() }\n", "may skip in CI"},
		{"guarded skip", "a_test.go", "package a\n\nfunc TestX(t *testing.T) {\n\tif os.Getenv(\"CI\") == \"\" {\n\t\tt.Skip()\n\t}\n}\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(findings(c.file, []byte(c.text)), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
