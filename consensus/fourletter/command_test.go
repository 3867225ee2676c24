package fourletter

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shape is the keys of a JSON value and the types of what they hold, one per line. Lists have the shape of
// their first element; keys of maps, which are data, are #.
func shape(path string, v any, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		out[path] = "object"
		for k, e := range v {
			if k == "" || k[0] == '/' || strings.Trim(k, "-0123456789") == "" {
				k = "#"
			}
			shape(path+"."+k, e, out)
		}
	case []any:
		out[path] = "list"
		if len(v) > 0 {
			shape(path+"[]", v[0], out)
		}
	case json.Number:
		out[path] = "integer"
		if strings.ContainsAny(v.String(), ".eE") {
			out[path] = "fraction"
		}
	default:
		out[path] = fmt.Sprintf("%T", v)
	}
}

func shapeOf(t *testing.T, b []byte) map[string]string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	out := map[string]string{}
	shape("", v, out)
	return out
}

func TestCommandsHaveApachesKeysAndTypes(t *testing.T) {
	files, err := filepath.Glob("testdata/json/*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d captured answers, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			captured, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, got := shapeOf(t, captured), shapeOf(t, answerFor(t, name))
			if name == "monitor" || name == "environment" { // what is missing is listed elsewhere, with reasons
				maps.DeleteFunc(want, func(k, _ string) bool { return got[k] == "" })
			}
			for _, k := range slices.Sorted(maps.Keys(want)) {
				if got[k] != want[k] {
					t.Errorf("%s is %q, Apache's is %q", k, got[k], want[k])
				}
			}
			for _, k := range slices.Sorted(maps.Keys(got)) {
				if want[k] == "" && name != "monitor" {
					t.Errorf("%s (%s) is not in Apache's answer", k, got[k])
				}
			}
		})
	}
}

// answerFor answers as the captured file was answered.
func answerFor(t *testing.T, name string) []byte {
	t.Helper()
	s := captured()
	if name == "nosuch" {
		return Failure("nosuch", "Unknown command: nosuch")
	}
	args := map[string]string{}
	if base, mask, ok := strings.Cut(name, "_traceMask_"); ok {
		name, args["traceMask"] = base, mask
	}
	switch base, role, _ := strings.Cut(name, "."); role {
	case "leader":
		name, s = base, capturedLeader()
	case "follower":
		name, s = base, capturedLeader()
		s.Leader.Self, s.Mode = false, "follower"
	}
	c, ok := Lookup(name)
	if !ok {
		t.Fatalf("no command %s", name)
	}
	return c.JSON(s, args)
}

func TestConnectionsByKind(t *testing.T) {
	s := captured()
	s.Connections[0].Secure = true
	c, _ := Lookup("cons")
	var got struct {
		Connections, SecureConnections []struct {
			Session int64 `json:"session_id"`
		}
	}
	b := strings.ReplaceAll(string(c.JSON(s, nil)), "secure_connections", "secureConnections")
	if err := json.Unmarshal([]byte(b), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Connections) != 2 || len(got.SecureConnections) != 1 || got.SecureConnections[0].Session != 0x10000bf5df50000 {
		t.Errorf("connections %+v", got)
	}
}

func TestCommandsWithoutServing(t *testing.T) {
	s := captured()
	s.Serving = false
	for _, c := range Commands {
		var got map[string]any
		if err := json.Unmarshal(c.JSON(s, map[string]string{"traceMask": "1"}), &got); err != nil {
			t.Fatal(err)
		}
		refused := got["error"] == NotServing
		if refused == c.Always {
			t.Errorf("%s of a member that does not serve: refused %v", c.Name, refused)
		}
		if got["command"] != c.Name {
			t.Errorf("%s calls itself %v", c.Name, got["command"])
		}
	}
}

func TestNamesOfCommands(t *testing.T) {
	var links strings.Builder
	for _, c := range Commands {
		fmt.Fprintf(&links, "<a href=\"/commands/%s\">%s</a>\n<br/>\n", c.Name, c.Name)
		for _, alias := range append(c.Aliases, c.Name) {
			if found, ok := Lookup(alias); !ok || found.Name != c.Name {
				t.Errorf("%s is found as %q", alias, found.Name)
			}
		}
	}
	want := strings.Split(golden(t, "index.html"), "\n")
	got := strings.Split(links.String(), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("commands:\n%s\nApache's:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
