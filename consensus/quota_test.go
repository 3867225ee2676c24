package consensus

import (
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

// limit gives a path of one component a quota, as ZooKeeper's shell does.
func (w *world) limit(path, text string) {
	w.Helper()
	at := "/zookeeper/quota" + path
	limits, stats := createAt(at+"/zookeeper_limits", 0), createAt(at+"/zookeeper_stats", 0)
	limits.Data, stats.Data = []byte(text), []byte("count=0,bytes=0")
	for _, q := range []jute.Request{createAt(at, 0), limits, stats} {
		w.must(q)
	}
}

func TestQuotas(t *testing.T) {
	sized := func(q jute.Request, n int) jute.Request { q.Data = []byte(strings.Repeat("x", n)); return q }
	for _, c := range []struct {
		name, limits string
		q            jute.Request
		enforced     jute.Code
		over         *quotaExceeded
	}{
		{"within", "count=9,bytes=99", sized(createAt("/q/a/b", 0), 9), jute.OK, nil},
		{"elsewhere", "count=1,bytes=1", createAt("/r", 0), jute.OK, nil},
		{"soft, znodes", "count=2,bytes=-1", createAt("/q/a/b", 0), jute.OK, &quotaExceeded{path: "/q", used: 3, limit: 2}},
		{"soft, bytes", "count=-1,bytes=10", sized(createAt("/q/b", 0), 9), jute.OK, &quotaExceeded{path: "/q", bytes: true, used: 17, limit: 10}},
		{"hard, znodes", "count=1,bytes=-1=;byteHardLimit=-1;countHardLimit=2", createAt("/q/b", 0), jute.QuotaExceeded, &quotaExceeded{path: "/q", hard: true, used: 3, limit: 2}},
		{"hard hides soft", "count=1,bytes=-1=;byteHardLimit=-1;countHardLimit=5", createAt("/q/b", 0), jute.OK, nil},
		{"hard, bytes", "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=-1", sized(setAt("/q/a", -1), 7), jute.QuotaExceeded, &quotaExceeded{path: "/q", bytes: true, hard: true, used: 11, limit: 10}},
		{"soft znodes, hard bytes", "count=1,bytes=-1=;byteHardLimit=10;countHardLimit=-1", sized(createAt("/q/b", 0), 7), jute.QuotaExceeded, &quotaExceeded{path: "/q", bytes: true, hard: true, used: 15, limit: 10}},
		{"as many bytes as before", "count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=-1", sized(setAt("/q/a", -1), 4), jute.OK, nil},
		{"fewer, but still too many", "count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=-1", sized(setAt("/q/a", -1), 2), jute.QuotaExceeded, &quotaExceeded{path: "/q", bytes: true, hard: true, used: 6, limit: 3}},
		{"deletes are free", "count=0,bytes=0=;byteHardLimit=0;countHardLimit=0", deleteAt("/q/a", -1), jute.OK, nil},
		{"version comes after the quota", "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=-1", sized(setAt("/q/a", 9), 7), jute.QuotaExceeded, &quotaExceeded{path: "/q", bytes: true, hard: true, used: 11, limit: 10}},
	} {
		for _, enforced := range []bool{true, false} {
			w := newWorld(t, func(r *rules) { r.enforceQuota = enforced })
			w.must(createAt("/q", 0))
			w.must(createAt("/q/a", 0))
			w.limit("/q", c.limits)
			p := w.prepare(w.ask(alice, c.q))
			want, over := c.enforced, c.over
			if !enforced {
				want = jute.OK
				if c.q.Version == 9 {
					want = jute.BadVersion
				}
			}
			if want != jute.OK {
				over = nil
			}
			if p.txn.Err != want || (p.over == nil) != (over == nil) || over != nil && *p.over != *over {
				t.Errorf("%s, enforced %v: %v, %+v; want %v, %+v", c.name, enforced, p.txn.Err, p.over, want, over)
			}
		}
	}
}
