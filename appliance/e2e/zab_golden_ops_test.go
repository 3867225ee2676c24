package e2e

import (
	"fmt"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

var (
	open    = []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "world", ID: "anyone"}}}
	reading = []jute.ACL{{Perms: jute.PermRead, ID: jute.ID{Scheme: "world", ID: "anyone"}}}
	all     = []byte("data")
)

// grants is an ACL of entries perms, scheme, id.
func grants(entries ...any) []jute.ACL {
	acl := []jute.ACL{}
	for i := 0; i+2 < len(entries); i += 3 {
		acl = append(acl, jute.ACL{Perms: int32(entries[i].(int)), ID: jute.ID{Scheme: entries[i+1].(string), ID: entries[i+2].(string)}})
	}
	return acl
}

// The conversations with a server as it comes.
func TestGolden(t *testing.T) {
	s := newZookeeper(t, underTest(), "")
	golden(t, s, "connect", goldenConnect)
	golden(t, s, "create", goldenCreate)
	golden(t, s, "create-refused", goldenCreateRefused)
	golden(t, s, "create-paths", goldenCreatePaths)
	golden(t, s, "create-flags", goldenCreateFlags)
	golden(t, s, "delete", goldenDelete)
	golden(t, s, "set", goldenSet)
	golden(t, s, "read", goldenRead)
	golden(t, s, "acl", goldenACL)
	golden(t, s, "acl-refused", goldenACLRefused)
	golden(t, s, "multi", goldenMulti)
	golden(t, s, "multi-refused", goldenMultiRefused)
	golden(t, s, "multi-read", goldenMultiRead)
	golden(t, s, "auth", goldenAuth)
	golden(t, s, "watch", goldenWatch)
	golden(t, s, "watch-order", goldenWatchOrder)
	golden(t, s, "watch-persistent", goldenWatchPersistent)
	golden(t, s, "watch-remove", goldenWatchRemove)
	golden(t, s, "watch-acl", goldenWatchACL)
	golden(t, s, "set-watches", goldenSetWatches)
	golden(t, s, "watch-modes", goldenWatchModes, deviation{
		why:    "modes live beside each other, as since 3.9 (ZOOKEEPER-4466)",
		apache: "event, 1, 3, \"/wm/x\"\n",
		ours:   "event, 1, 3, \"/wm/x\"\nb < ffffffffffffffffffffffff000000000000000400000003000000032f776d | xid -1, zxid -1, ok, event, 4, 3, \"/wm\"\n",
	})
	golden(t, s, "ephemerals", goldenEphemerals)
	golden(t, s, "attach", goldenAttach)
	golden(t, s, "attach-refused", goldenAttachRefused)
	golden(t, s, "close", goldenClose)
	golden(t, s, "pipeline", goldenPipeline)
	golden(t, s, "empty-bodies", goldenEmptyBodies)
	golden(t, s, "odd-bodies", goldenOddBodies)
	golden(t, s, "frames", goldenFrames)
	golden(t, s, "unknown-ops", goldenUnknownOps)
	golden(t, s, "quota", goldenQuota)
	golden(t, s, "reconfig-off", func(d *dialogue) {
		a := d.connect("a")
		a.ask(jute.OpReconfig, "server.2=127.0.0.1:1:2;3", "", "", int64(-1))
		a.ask(jute.OpGetData, "/zookeeper/config", false)
	})
	if n := exchanges.Load(); n < 300 {
		t.Errorf("only %d exchanges were compared", n)
	} else {
		t.Logf("%d exchanges compared", n)
	}
}

func goldenConnect(d *dialogue) {
	a := d.connect("a")
	a.settle()
	for i, r := range []jute.ConnectRequest{
		{Timeout: 10000, Password: make([]byte, 16)},
		{Timeout: 1, Password: make([]byte, 16), HasReadOnly: true},
		{Timeout: 1e8, Password: make([]byte, 16), HasReadOnly: true},
		{Timeout: 0, Password: make([]byte, 16), HasReadOnly: true},
		{Timeout: -5, Password: make([]byte, 16), HasReadOnly: true},
		{Timeout: 10000, Password: make([]byte, 16), HasReadOnly: true, ReadOnly: true},
		{Timeout: 10000, Password: make([]byte, 16), HasReadOnly: true, ProtocolVersion: 7},
		{Timeout: 10000, Password: []byte{}, HasReadOnly: true},
		{Timeout: 10000, Password: nil},
		{Timeout: 10000, Password: make([]byte, 40), HasReadOnly: true},
		{Timeout: 10000, Password: make([]byte, 16), LastZxidSeen: -1},
	} {
		c := d.open(fmt.Sprintf("c%d", i))
		c.hello(r)
		c.settle()
		c.ask(jute.OpCloseSession)
		c.closed()
	}
	future := d.open("future")
	future.hello(jute.ConnectRequest{Timeout: 10000, Password: make([]byte, 16), LastZxidSeen: 1 << 60})
	a.settle()
}

func goldenCreate(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/c", all, open, 0)
	a.ask(jute.OpCreate, "/c/a", nil, open, 0)
	a.ask(jute.OpGetData, "/c/a", false)
	a.ask(jute.OpCreate, "/c/b", []byte{}, open, 0)
	a.ask(jute.OpGetData, "/c/b", false)
	a.ask(jute.OpCreate2, "/c/c", all, open, 0)
	a.ask(jute.OpCreate, "/c/s", all, open, 2)
	a.ask(jute.OpCreate2, "/c/s", all, open, 2)
	a.ask(jute.OpCreate, "/c/", all, open, 2)
	a.ask(jute.OpCreate, "/c/t-", all, open, 3)
	a.ask(jute.OpCreate2, "/c/e", all, open, 1)
	a.ask(jute.OpCreateContainer, "/c/box", all, open, 4)
	a.ask(jute.OpExists, "/c/box", false)
	a.ask(jute.OpCreate, "/c/box/in", all, open, 0)
	a.ask(jute.OpDelete, "/c/a", -1)
	a.ask(jute.OpCreate, "/c/s", all, open, 2)
	a.ask(jute.OpExists, "/c", false)
	a.ask(jute.OpGetChildren2, "/c", false)
	a.ask(jute.OpCreate, "/c/big", make([]byte, 100_000), open, 0)
	a.ask(jute.OpGetData, "/c/big", false)
	a.ask(jute.OpCreate, "/c/"+strings.Repeat("long", 500), all, open, 0)
	a.ask(jute.OpCreate, "/c/späß-日本", all, open, 0)
	a.ask(jute.OpGetChildren, "/c", false)
}

func goldenCreateRefused(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/r", all, open, 0)
	a.ask(jute.OpCreate, "/r", all, open, 0)
	a.ask(jute.OpCreate, "/none/x", all, open, 0)
	a.ask(jute.OpCreate, "/", all, open, 0)
	a.ask(jute.OpCreate, "/zookeeper", all, open, 0)
	a.ask(jute.OpCreate, "/zookeeper/x", all, open, 0)
	a.ask(jute.OpCreate, "/zookeeper/config/x", all, open, 0)
	a.ask(jute.OpCreate, "/r/a", all, []jute.ACL{}, 0)
	a.ask(jute.OpCreate, "/r/a", all, []jute.ACL(nil), 0)
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "nobody", "x"), 0)
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "world", "someone"), 0)
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "digest", "nocolon"), 0)
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "digest", "a:b:c"), 0)
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "ip", "fog"), 0)
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "ip", "1.2.3.4/40"), 0)
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "auth", ""), 0)
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "", ""), 0)
	a.ask(jute.OpCreate, "/r/e", all, open, 1)
	a.ask(jute.OpCreate, "/r/e/x", all, open, 0)
	a.ask(jute.OpCreate, "/r/e/x", all, open, 2)
	a.ask(jute.OpCreate, "/r/locked", all, reading, 0)
	a.ask(jute.OpCreate, "/r/locked/x", all, open, 0)
	a.ask(jute.OpCreate, "/r/locked//x", all, open, 0)
	a.ask(jute.OpCreate, "/r/locked/x", all, []jute.ACL{}, 0)
	a.ask(jute.OpCreateTTL, "/r/ttl", all, open, 5, int64(1000))
	a.ask(jute.OpCreateTTL, "/r/ttl", all, open, 6, int64(1000))
	a.ask(jute.OpCreateTTL, "/none/ttl", all, open, 5, int64(-1))
	a.ask(jute.OpCreate, "/r/a", all, grants(31, "world", "anyone", 1, "world", "anyone", 31, "world", "anyone"), 0)
	a.ask(jute.OpGetACL, "/r/a")
	a.ask(jute.OpCreate, "/r/zero", all, grants(0, "world", "anyone"), 0)
	a.ask(jute.OpCreate, "/r/more", all, grants(0xfff, "world", "anyone"), 0)
	a.ask(jute.OpGetACL, "/r/more")
	a.ask(jute.OpGetChildren2, "/r", false)
}

func goldenCreatePaths(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/p", all, open, 0)
	for _, p := range []string{
		"", "p", "p/b", "//", "/p/", "/p//", "/p//b", "//p", "/p/.", "/p/..", "/p/./b", "/p/../b", "/p/.b", "/p/b..", "/p/...",
		"/p/a\x00b", "/\x00/b", "/p/a\x01", "/p/a\x1f", "/p/a\x7f", "/p/a\u0085", "/p/a\u009f", "/p/a\u00a0", "/p/\ud7ff", "/p/\ue000", "/p/\uf8ff",
		"/p/\uf900", "/p/\uffef", "/p/\ufff0", "/p/\ufffd", "/p/\U0001F600", "/p/\xed\xa0\xbd\xed\xb8\x80", "/p/\xff\xfe", "/p/\xc3", "/p/ ", "/p/a b", "/p/\n",
	} {
		a.ask(jute.OpCreate, p, all, open, 0)
	}
	a.ask(jute.OpCreate, nil, all, open, 0)
	a.ask(jute.OpCreate, "/p/x/", all, open, 2)
	a.ask(jute.OpCreate, "/p//", all, open, 2)
	a.ask(jute.OpCreate, "/p/a\x00", all, open, 2)
	a.ask(jute.OpCreate, "p", all, open, 2)
	a.ask(jute.OpCreate, "/", all, open, 2)
	a.ask(jute.OpCreate, "", all, open, 2)
	for _, p := range []string{"", "p", "/p/", "/p//b", "/p/..", "/p/\x00"} {
		a.ask(jute.OpExists, p, false)
		a.ask(jute.OpExists, p, true)
		a.ask(jute.OpGetData, p, false)
		a.ask(jute.OpGetChildren, p, false)
		a.ask(jute.OpGetACL, p)
		a.ask(jute.OpDelete, p, -1)
		a.ask(jute.OpSetData, p, all, -1)
		a.ask(jute.OpSetACL, p, open, -1)
		a.ask(jute.OpSync, p)
	}
	a.ask(jute.OpExists, nil, false)
	a.ask(jute.OpGetData, nil, false)
	a.ask(jute.OpDelete, nil, -1)
	a.ask(jute.OpSetData, nil, all, -1)
	a.settle()
}

func goldenCreateFlags(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/f", all, open, 0)
	for _, f := range []int{-1, 7, 8, 99, 1 << 30} {
		a.ask(jute.OpCreate, "/f/x", all, open, f)
		a.ask(jute.OpCreate2, "/f/x", all, open, f)
		a.ask(jute.OpCreateContainer, "/f/x", all, open, f)
	}
	for _, f := range []int{5, 6} {
		a.ask(jute.OpCreate, "/f/x", all, open, f)
		a.ask(jute.OpCreate2, "/f/x", all, open, f)
		a.ask(jute.OpCreateContainer, "/f/x", all, open, f)
		a.ask(jute.OpExists, "/f/x", false)
	}
	for i := range 4 {
		a.ask(jute.OpCreateContainer, fmt.Sprintf("/f/y%d", i), all, open, i)
	}
	for i := range 5 {
		a.ask(jute.OpCreateTTL, fmt.Sprintf("/f/z%d", i), all, open, i, int64(1000))
	}
	a.ask(jute.OpGetChildren2, "/f", false)
	a.ask(jute.OpGetEphemerals, "/f")
}

func goldenDelete(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/d", all, open, 0)
	a.ask(jute.OpCreate, "/d/a", all, open, 0)
	a.ask(jute.OpDelete, "/d", -1)
	a.ask(jute.OpDelete, "/d/a", 5)
	a.ask(jute.OpDelete, "/d/a", 0)
	a.ask(jute.OpDelete, "/d/a", -1)
	a.ask(jute.OpDelete, "/d/none/x", -1)
	a.ask(jute.OpExists, "/d", false)
	a.ask(jute.OpDelete, "/", -1)
	a.ask(jute.OpDelete, "/zookeeper", -1)
	a.ask(jute.OpDelete, "/zookeeper/quota", -1)
	a.ask(jute.OpDelete, "/zookeeper/config", -1)
	a.ask(jute.OpDelete, "/zookeeper/none", -1)
	a.ask(jute.OpCreate, "/d/l", all, grants(1|4, "world", "anyone"), 0)
	a.ask(jute.OpCreate, "/d/l/x", all, open, 0)
	a.ask(jute.OpDelete, "/d/l/x", -1)
	a.ask(jute.OpDelete, "/d/l/none", -1)
	a.ask(jute.OpDelete, "/d/l/x", 9)
	a.ask(jute.OpDelete, "/d/l", 9)
	a.ask(jute.OpCreate, "/d/e", all, open, 1)
	a.ask(jute.OpDelete, "/d/e", 0)
	a.ask(jute.OpExists, "/d", false)
}

func goldenSet(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/s", all, open, 0)
	a.ask(jute.OpSetData, "/s", []byte("1"), 0)
	a.ask(jute.OpSetData, "/s", []byte("2"), 0)
	a.ask(jute.OpSetData, "/s", []byte("3"), -1)
	a.ask(jute.OpSetData, "/s", nil, 2)
	a.ask(jute.OpGetData, "/s", false)
	a.ask(jute.OpSetData, "/s", []byte{}, 3)
	a.ask(jute.OpGetData, "/s", false)
	a.ask(jute.OpSetData, "/s", all, -2)
	a.ask(jute.OpSetData, "/s/none", all, -1)
	a.ask(jute.OpSetData, "/zookeeper/config", all, -1)
	a.ask(jute.OpSetACL, "/s", reading, 0)
	a.ask(jute.OpSetData, "/s", all, -1)
	a.ask(jute.OpSetData, "/s", all, 99)
	a.ask(jute.OpSetACL, "/s", open, 1)
	a.ask(jute.OpGetACL, "/s")
}

func goldenRead(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/g", all, open, 0)
	a.ask(jute.OpCreate, "/g/a", all, open, 0)
	a.ask(jute.OpCreate, "/g/a/b", all, open, 0)
	a.ask(jute.OpCreate, "/g/c", all, open, 1)
	for _, p := range []string{"/g", "/g/a", "/g/c", "/g/none", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"} {
		a.ask(jute.OpExists, p, false)
		a.ask(jute.OpGetData, p, false)
		a.ask(jute.OpGetACL, p)
		a.ask(jute.OpGetChildren, p, false)
		a.ask(jute.OpGetChildren2, p, false)
		a.ask(jute.OpGetAllChildren, p)
		a.ask(jute.OpGetEphemerals, p)
		a.ask(jute.OpSync, p)
	}
	a.ask(jute.OpWhoAmI)
	a.askAs(jute.XidPing, jute.OpPing)
	a.askAs(77, jute.OpPing)
	a.askAs(0, jute.OpExists, "/g", false)
	a.askAs(-77, jute.OpExists, "/g", false)
	a.askAs(1<<31-1, jute.OpSetData, "/g", all, -1)
	a.askAs(5, jute.OpSetData, "/g", all, -1)
	a.ask(jute.OpCreate, "/g/hidden", all, grants(2|4|8|16, "world", "anyone"), 0)
	a.ask(jute.OpGetData, "/g/hidden", false)
	a.ask(jute.OpGetData, "/g/hidden", true)
	a.ask(jute.OpGetChildren, "/g/hidden", false)
	a.ask(jute.OpGetChildren2, "/g/hidden", false)
	a.ask(jute.OpGetAllChildren, "/g/hidden")
	a.ask(jute.OpExists, "/g/hidden", false)
	a.ask(jute.OpGetACL, "/g/hidden")
	a.ask(jute.OpCreate, "/g/closed", all, grants(2, "world", "anyone"), 0)
	a.ask(jute.OpGetACL, "/g/closed")
	a.ask(jute.OpSync, "/g/closed")
}
