package zk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

func TestACLText(t *testing.T) {
	for _, text := range []string{"world:anyone:cdrwa", "digest:a:b=:r,ip:::1:cw", "auth::cdrwa"} {
		acl, err := ParseACL(text)
		if noError(t, err); FormatACL(acl) != text {
			t.Errorf("%q reads as %q", text, FormatACL(acl))
		}
	}
	for text, why := range map[string]string{"": "want scheme", "world": "want scheme", "world:anyone": "want scheme", "world:anyone:rx": "'x'", ":x:r": "want scheme"} {
		_, err := ParseACL(text)
		wantError(t, err, jute.OK, why)
	}
}

// tree makes n znodes in a few levels and returns their paths, sorted as Walk goes.
func tree(t *testing.T, c *Client, n int) []string {
	t.Helper()
	var paths []string
	var calls []*Call
	for i := range n {
		path := fmt.Sprintf("/t/%d", i/100)
		if i%100 != 0 {
			path += fmt.Sprintf("/%02d", i%100)
		}
		paths = append(paths, path)
		calls = append(calls, c.Start(t.Context(), createRequest(path, []byte(path), Persistent, nil)))
	}
	for _, k := range calls {
		_, err := k.Wait(t.Context())
		noError(t, err)
	}
	slices.SortFunc(paths, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
	return paths
}

func TestWalkAndDeleteAll(t *testing.T) {
	eachServer(t, func(t *testing.T, _ *member, c *Client) {
		ctx := within(t)
		noError(t, c.CreateAll(ctx, "/t", nil))
		want := append([]string{"/t"}, tree(t, c, 1000)...)
		var got []string
		for z, err := range c.Walk(ctx, "/t", WalkConfig{Data: true}) {
			noError(t, err)
			if got = append(got, z.Path); z.Path != "/t" && string(z.Data) != z.Path {
				t.Fatalf("%s holds %q", z.Path, z.Data)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("walked %d znodes, want %d in their order", len(got), len(want))
		}
		n, err := c.DeleteAll(ctx, "/t")
		if noError(t, err); n != len(want) {
			t.Errorf("%d deleted, want %d", n, len(want))
		}
		for _, err := range c.Walk(ctx, "/t", WalkConfig{}) {
			wantError(t, err, jute.NoNode, "/t")
		}
	})
}

func TestDumpAndRestore(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, c *Client) {
		ctx := within(t)
		acl := []jute.ACL{{Perms: jute.PermRead, ID: jute.ID{Scheme: "world", ID: "anyone"}}, {Perms: jute.PermAll, ID: jute.ID{Scheme: "ip", ID: "127.0.0.1"}}}
		for path, data := range map[string][]byte{"/t": nil, "/t0": []byte("beside"), "/e": {}} {
			_, _, err := c.Create(ctx, path, data, Persistent, nil)
			noError(t, err)
		}
		tree(t, c, 700)
		_, _, err := c.Create(ctx, "/t/bin", []byte{0xff, 0, 1}, Persistent, acl)
		noError(t, err)
		_, _, err = c.Create(ctx, "/t/empty", []byte{}, Persistent, nil)
		noError(t, err)
		_, _, err = c.Create(ctx, "/t/gone", nil, Ephemeral, nil)
		noError(t, err)
		var dump, full bytes.Buffer
		n, err := c.Dump(ctx, "/t", false, &dump)
		if noError(t, err); n != 703 {
			t.Fatalf("%d dumped", n)
		}
		if n, err = c.Dump(ctx, "/t", true, &full); err != nil || n != 704 {
			t.Fatalf("%d dumped with ephemerals, %v", n, err)
		}

		restore := func(cfg RestoreConfig, text string) (Restored, error) {
			return c.Restore(ctx, strings.NewReader(text), cfg)
		}
		got, err := restore(RestoreConfig{To: "/deep/copy", DryRun: true}, full.String())
		if want := (Restored{Lines: 704, Created: 703, LeftOut: 1}); err != nil || got != want {
			t.Errorf("dry run %+v %v, want %+v", got, err, want)
		}
		if _, ok, _ := c.Exists(ctx, "/deep"); ok {
			t.Error("a dry run creates")
		}
		got, err = restore(RestoreConfig{To: "/deep/copy"}, full.String())
		if want := (Restored{Lines: 704, Created: 703, LeftOut: 1}); err != nil || got != want {
			t.Errorf("restored %+v %v, want %+v", got, err, want)
		}
		var copied bytes.Buffer
		_, err = c.Dump(ctx, "/deep/copy", true, &copied)
		noError(t, err)
		if back := strings.ReplaceAll(copied.String(), `"path":"/deep/copy`, `"path":"/t`); back != dump.String() {
			t.Errorf("the copy differs:\n%.300s\n%.300s", back, &dump)
		}

		got, err = restore(RestoreConfig{}, dump.String())
		wantError(t, err, jute.NodeExists, "line 1: zk: create /t: node exists")
		if got.Lines != 0 {
			t.Errorf("%+v", got)
		}
		if got, err = restore(RestoreConfig{Existing: Keep}, dump.String()); err != nil || got.Kept != 703 {
			t.Errorf("keep: %+v %v", got, err)
		}
		_, err = c.Set(ctx, "/t/0", []byte("spoilt"), Any)
		noError(t, err)
		noError(t, c.Delete(ctx, "/t/0/01", Any))
		// Interrupted at line 2: go on with the third.
		if got, err = restore(RestoreConfig{Existing: Overwrite, Skip: 1}, dump.String()); err != nil || got.Overwritten != 701 || got.Created != 1 || got.Lines != 703 {
			t.Errorf("overwrite: %+v %v", got, err)
		}
		if data, _, err := c.Get(ctx, "/t/0"); err != nil || string(data) != "/t/0" {
			t.Errorf("after overwrite: %q %v", data, err)
		}
		for text, why := range map[string]string{
			"{":                                      "line 1: ",
			`{"path":"t"}`:                           `line 1: path "t" does not begin`,
			`{"path":"/x","acl":["a"]}`:              "line 1: zk: read ACL",
			`{"path":"/x","base64":"*"}`:             "line 1: base64: ",
			`{"path":"/x","kind":"odd"}`:             `line 1: kind: "odd"`,
			`{"path":"/x","kind":"ttl"}`:             "line 1: ttl: 0 ms is out of range",
			"{\"path\":\"/x\"}\n{\"path\":\"/y/z\"}": "line 2: zk: create /y/z: no node",
		} {
			_, err := restore(RestoreConfig{}, text)
			wantError(t, err, jute.OK, why)
		}
		kinds := `{"path":"/k"}` + "\n" + `{"path":"/k/c","kind":"container"}` + "\n" + `{"path":"/k/t","kind":"ttl","ttl":5000000}` + "\n\n" + `{"path":"/k/e","kind":"ephemeral","data":"x"}`
		if got, err = restore(RestoreConfig{Ephemerals: true}, kinds); err != nil || got.Created != 4 || got.Lines != 5 {
			t.Errorf("kinds: %+v %v", got, err)
		}
		if st, ok, err := c.Exists(ctx, "/k/e"); !ok || err != nil || st.EphemeralOwner != 0 {
			t.Errorf("an ephemeral restored: %+v %v", st, err)
		}
	})
}

// A restore goes on when the connection is lost under it.
func TestRestoreOverLostConnections(t *testing.T) {
	eachServer(t, func(t *testing.T, s *member, _ *Client) {
		ctx := within(t)
		var n cut
		c := dialRoot(t, s, Config{Dial: n.dial})
		var dump bytes.Buffer
		const znodes = 3000
		for i := range znodes {
			path := "/r"
			if i > 0 {
				path = fmt.Sprintf("/r/%d", (i-1)/50)
				if (i-1)%50 > 0 {
					path += fmt.Sprintf("/%d", i)
				}
			}
			fmt.Fprintf(&dump, "{\"path\":%q,\"data\":%q}\n", path, path)
		}
		lines := cutting{r: &dump, n: &n}
		got, err := c.Restore(ctx, &lines, RestoreConfig{})
		noError(t, err)
		count, err := c.Descendants(ctx, "/r")
		if noError(t, err); got.Created != znodes || got.Lines != znodes || count != znodes-1 {
			t.Errorf("%+v, %d below the first", got, count)
		}
		if st, _ := c.State(); st.Connections < 2 {
			t.Errorf("%d connections: nothing was cut", st.Connections)
		}
	})
}

// cutting takes the network away, now and then, while it is read.
type cutting struct {
	r     *bytes.Buffer
	n     *cut
	reads int
}

func (c *cutting) Read(b []byte) (int, error) {
	if c.reads++; c.reads%20 == 0 {
		c.n.set(true)
		c.n.set(false)
	}
	return c.r.Read(b[:min(len(b), 1000)])
}

// FuzzRecord feeds lines to the reader of dumps.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"path":"/a","data":"x","acl":["world:anyone:r","ip:::1:cdrwa"]}`))
	f.Add([]byte(`{"path":"/a/b","base64":"/w==","kind":"ttl","ttl":5}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var r Record
		if json.Unmarshal(line, &r) != nil {
			return
		}
		data, acl, err := r.parse()
		if err != nil {
			return
		}
		// What is read can be written and read again.
		again := recordOf(Znode{Path: r.Path, Data: data, ACL: acl})
		data2, acl2, err := again.parse()
		if err != nil || !bytes.Equal(data, data2) || FormatACL(acl) != FormatACL(acl2) {
			t.Fatalf("%s: %v, %q %v, again %q %v", line, err, data, acl, data2, acl2)
		}
	})
}

func TestRestoreStopsWithItsContext(t *testing.T) {
	c, err := New(Config{Servers: []string{"s:1"}})
	noError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := c.Restore(ctx, strings.NewReader(`{"path":"/a"}`), RestoreConfig{Existing: Keep})
	if !errors.Is(err, context.Canceled) || got.Lines != 0 {
		t.Errorf("%+v %v", got, err)
	}
}
