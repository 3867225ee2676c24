package tree

import (
	"slices"
	"testing"

	"example.org/ha/consensus/jute"
)

func TestLimitsText(t *testing.T) {
	tests := []struct {
		text string
		want Limits
		back string
	}{
		{"count=5,bytes=1000", Limits{5, 1000, -1, -1}, "count=5,bytes=1000"},
		{"count=5,bytes=1000=;byteHardLimit=2000;countHardLimit=10", Limits{5, 1000, 10, 2000}, "count=5,bytes=1000=;byteHardLimit=2000;countHardLimit=10"},
		{"count=-1,bytes=-1=;countHardLimit=3", Limits{-1, -1, 3, -1}, "count=-1,bytes=-1=;countHardLimit=3"},
		{"", Limits{-1, -1, -1, -1}, "count=-1,bytes=-1"},
		{"bytes=7", Limits{-1, 7, -1, -1}, "count=-1,bytes=7"},
		{"count=,bytes=,later=9", Limits{-1, -1, -1, -1}, "count=-1,bytes=-1"},
	}
	for _, tt := range tests {
		got, err := ParseLimits([]byte(tt.text))
		if err != nil || got != tt.want || string(got.AppendTo(nil)) != tt.back {
			t.Errorf("%q: %+v %v %q", tt.text, got, err, got.AppendTo(nil))
		}
	}
	for _, text := range []string{"count=x", "bytes=1.5", "count=99999999999999999999"} {
		if l, err := ParseLimits([]byte(text)); err == nil || l.Count != -1 {
			t.Errorf("%q is understood as %+v", text, l)
		}
	}
}

func FuzzParseLimits(f *testing.F) {
	f.Add([]byte("count=5,bytes=1000=;byteHardLimit=2000;countHardLimit=10"))
	f.Add([]byte(",;=,=="))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLimits(text)
		if again, e := ParseLimits(l.AppendTo(nil)); err == nil && (e != nil || again != l) {
			t.Errorf("%q: %+v, then %+v, %v", text, l, again, e)
		}
	})
}

func TestQuotaOfTheLongestPrefix(t *testing.T) {
	tr := New(Config{})
	steps(t, tr, "create /a", "create /a/b", "create /a/b/c", "create /ab", "create /zookeeper/quota/a", "create /zookeeper/quota/a/b", "create /zookeeper/quota/ab")
	if _, ok := tr.Quota("/a/b"); ok {
		t.Error("a quota without limits")
	}
	limits := func(path, text string) {
		r := apply(tr, tr.LastZxid()+1, jute.Txn{Type: jute.OpCreate, Path: Quotas + path + "/" + LimitsName, Data: []byte(text), ParentCVersion: -1})
		if r.Code != jute.OK {
			t.Fatal(r.Code)
		}
	}
	limits("/a", "count=2,bytes=-1")
	if q, ok := tr.Quota("/a/x/y"); !ok || q != (Quota{"/a", Limits{2, -1, -1, -1}, 3, 3}) {
		t.Errorf("%+v %v", q, ok)
	}
	limits("/a/b", "count=9,bytes=9")
	for path, want := range map[string]string{"/a": "/a", "/a/c": "/a", "/a/b": "/a/b", "/a/b/c/d": "/a/b", "/ab": "", "/": "", "": ""} {
		if q, ok := tr.Quota(path); q.Path != want || ok != (want != "") {
			t.Errorf("%q falls under %q, want %q", path, q.Path, want)
		}
	}
	apply(tr, 50, jute.Txn{Type: jute.OpSetData, Path: Quotas + "/a/b/" + LimitsName, Data: []byte("count=1,bytes=1")})
	if q, _ := tr.Quota("/a/b"); q.Limits.Count != 1 {
		t.Errorf("limits that were set: %+v", q)
	}
	apply(tr, 51, jute.Txn{Type: jute.OpDelete, Path: Quotas + "/a/b/" + LimitsName})
	if q, _ := tr.Quota("/a/b/c"); q.Path != "/a" {
		t.Errorf("after the inner limits went: %q", q.Path)
	}
	limits("/ab", "")
	var all []string
	for q := range tr.EachQuota() {
		all = append(all, q.Path)
	}
	if !slices.Equal(all, []string{"/a", "/ab"}) {
		t.Errorf("all quotas: %v", all)
	}
	again, _, err := load(saved(tr), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if q, ok := again.Quota("/a/b"); !ok || q.Path != "/a" || q.Count != 3 || q.Limits.Count != 2 {
		t.Errorf("after a start: %+v %v", q, ok)
	}
}

// The usage is shown, kept right whatever clients write there, and no part of the digest.
func TestUsageIsShown(t *testing.T) {
	tr := New(Config{})
	stats := Quotas + "/a/" + StatsName
	steps(t, tr, "create /a", "create /zookeeper/quota/a", "create /zookeeper/quota/a/zookeeper_limits", "create "+stats)
	show := func(want string) {
		t.Helper()
		if got := string(tr.Node(stats).Data()); got != want {
			t.Errorf("usage %q, want %q", got, want)
		}
	}
	show("count=1,bytes=1")
	steps(t, tr, "create /a/b")
	show("count=2,bytes=2")
	digest := tr.Digest()
	steps(t, tr, "set "+stats)
	show("count=2,bytes=2")
	if tr.Digest() != digest || tr.Node(stats).Persisted().Version != 1 {
		t.Error("the digest counts what each member counts for itself")
	}
	steps(t, tr, "delete /a/b", "delete /a")
	show("count=0,bytes=0")
	steps(t, tr, "delete "+stats, "create /a")
	if q, _ := tr.Quota("/a"); q.Count != 1 {
		t.Errorf("counted without being shown: %+v", q)
	}
}
