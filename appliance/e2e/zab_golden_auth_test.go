package e2e

import (
	"example.org/ha/consensus/jute"
)

func goldenAuth(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpWhoAmI)
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("bob:secret"))
	a.ask(jute.OpWhoAmI)
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("bob:secret"))
	a.ask(jute.OpCreate, "/au", all, open, 0)
	a.ask(jute.OpCreate, "/au/a", all, grants(31, "auth", ""), 0)
	a.ask(jute.OpGetACL, "/au/a")
	a.ask(jute.OpCreate, "/au/b", all, grants(31, "auth", "ignored", 1, "world", "anyone"), 0)
	a.ask(jute.OpGetACL, "/au/b")
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("alice:other"))
	a.ask(jute.OpWhoAmI)
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("nocolon"))
	a.ask(jute.OpWhoAmI)
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "ip", []byte{})
	a.ask(jute.OpWhoAmI)
	a.askAs(9, jute.OpAuth, 0, "digest", []byte("xid:nine"))
	a.askAs(jute.XidAuth, jute.OpAuth, 1, "digest", []byte("type:one"))
	b := d.connect("b")
	b.ask(jute.OpGetData, "/au/a", false)
	b.ask(jute.OpGetACL, "/au/a")
	b.ask(jute.OpGetACL, "/au/b")
	b.ask(jute.OpExists, "/au/a", false)
	b.ask(jute.OpSetData, "/au/b", all, -1)
	b.ask(jute.OpDelete, "/au/a", -1)
	c := d.connect("c")
	for _, scheme := range []string{"nobody"} {
		c.askAs(jute.XidAuth, jute.OpAuth, 0, scheme, []byte("x:y"))
		c.closed()
	}
	for i, scheme := range []string{"world", "auth", "", "super", "x509", "sasl"} {
		e := d.connect("e" + string(rune('0'+i)))
		e.askAs(jute.XidAuth, jute.OpAuth, 0, scheme, []byte("x:y"))
		e.settle()
	}
	f := d.connect("f")
	f.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", nil)
	f.settle()
}

func goldenACL(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/ac", all, open, 0)
	a.ask(jute.OpSetACL, "/ac", grants(31, "world", "anyone", 1, "ip", "127.0.0.1"), 0)
	a.ask(jute.OpSetACL, "/ac", open, 0)
	a.ask(jute.OpSetACL, "/ac", open, -1)
	a.ask(jute.OpGetACL, "/ac")
	a.ask(jute.OpExists, "/ac", false)
	for i, acl := range [][]jute.ACL{
		grants(31, "ip", "127.0.0.1"), grants(31, "ip", "127.0.0.0/8"), grants(31, "ip", "10.0.0.0/8"),
		grants(31, "ip", "127.0.0.1/32"), grants(31, "ip", "0.0.0.0/0"),
		grants(31, "digest", "who:I5HSWMcTYvxj3E/9jq0PZJWmHTk="), grants(31, "digest", "who:anything"),
	} {
		p := "/ac/" + string(rune('a'+i))
		a.ask(jute.OpCreate, p, all, acl, 0)
		a.ask(jute.OpGetData, p, false)
		a.ask(jute.OpSetData, p, all, -1)
		a.ask(jute.OpGetACL, p)
		a.ask(jute.OpCreate, p+"/x", all, open, 0)
	}
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("who:pw"))
	a.ask(jute.OpCreate, "/ac/own", all, grants(31, "auth", ""), 0)
	a.ask(jute.OpGetACL, "/ac/own")
	// Each permission by itself.
	a.ask(jute.OpCreate, "/ac/p", all, open, 0)
	b := d.connect("b")
	for perm := 1; perm <= 16; perm *= 2 {
		a.ask(jute.OpSetACL, "/ac/p", grants(31, "auth", "", perm, "world", "anyone"), -1)
		b.ask(jute.OpGetData, "/ac/p", false)
		b.ask(jute.OpGetChildren, "/ac/p", false)
		b.ask(jute.OpExists, "/ac/p", false)
		b.ask(jute.OpSetData, "/ac/p", all, -1)
		b.ask(jute.OpCreate, "/ac/p/x", all, open, 0)
		b.ask(jute.OpDelete, "/ac/p/x", -1)
		b.ask(jute.OpGetACL, "/ac/p")
		b.ask(jute.OpSetACL, "/ac/p", open, 999)
	}
}

func goldenACLRefused(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/ax", all, open, 0)
	for _, acl := range [][]jute.ACL{
		nil, {}, grants(31, "nobody", "x"), grants(31, "world", "other"), grants(31, "digest", "x"), grants(31, "ip", "x"),
		grants(31, "ip", ""), grants(31, "ip", "1.2.3.4/"), grants(31, "ip", "1.2.3/8"), grants(31, "auth", ""), grants(31, "super", "x"), grants(31, "x509", "CN=x"), grants(31, "sasl", "x"),
	} {
		a.ask(jute.OpSetACL, "/ax", acl, -1)
	}
	a.ask(jute.OpSetACL, "/none", open, -1)
	a.ask(jute.OpSetACL, "/ax", open, 7)
	a.ask(jute.OpSetACL, "/", open, 7)
	a.ask(jute.OpSetACL, "/zookeeper", open, 7)
	a.ask(jute.OpSetACL, "/zookeeper/config", open, -1)
	a.ask(jute.OpGetACL, "/ax")
	a.ask(jute.OpGetACL, "/none")
	a.ask(jute.OpGetACL, "/zookeeper/config")
}

// goldenSuper needs a server that knows super:test.
func goldenSuper(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/su", all, grants(0, "world", "anyone"), 0)
	a.ask(jute.OpGetData, "/su", false)
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("super:wrong"))
	a.ask(jute.OpWhoAmI)
	a.ask(jute.OpGetData, "/su", false)
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("super:test"))
	a.ask(jute.OpWhoAmI)
	a.ask(jute.OpGetData, "/su", false)
	a.ask(jute.OpGetACL, "/su")
	a.ask(jute.OpSetACL, "/su", grants(31, "digest", "x:y"), -1)
	a.ask(jute.OpGetACL, "/su")
	a.ask(jute.OpSetData, "/zookeeper/config", all, -1)
	a.ask(jute.OpDelete, "/su", -1)
	a.ask(jute.OpReconfig, "server.2=127.0.0.1:1:2;3", nil, nil, int64(-1))
	a.ask(jute.OpReconfig, nil, "1", nil, int64(-1))
	a.ask(jute.OpReconfig, nil, nil, "server.1=127.0.0.1:1:2;3", int64(7))
	a.ask(jute.OpReconfig, nil, nil, nil, int64(-1))
	b := d.connect("b")
	b.ask(jute.OpReconfig, "server.2=127.0.0.1:1:2;3", nil, nil, int64(-1))
}

// goldenExtended needs a server with extended types and enforced quotas.
func goldenExtended(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/xt", all, open, 0)
	for i, ttl := range []int64{1000000, 1, 0, -1, 1 << 40, 1<<40 - 1, 1 << 62} {
		p := "/xt/" + string(rune('a'+i))
		a.ask(jute.OpCreateTTL, p, all, open, 5, ttl)
		a.ask(jute.OpCreateTTL, p+"s", all, open, 6, ttl)
		a.ask(jute.OpExists, "/xt", false)
	}
	a.ask(jute.OpCreateTTL, "/xt/flag0", all, open, 0, int64(1000000))
	a.ask(jute.OpCreateTTL, "/xt/flag1", all, open, 1, int64(1000000))
	a.ask(jute.OpCreate, "/xt/plain5", all, open, 5)
	a.ask(jute.OpExists, "/xt/plain5", false)
	a.ask(jute.OpCreateTTL, "/xt/a/in", all, open, 5, int64(1000000))
	a.ask(jute.OpMulti, multi(part(jute.OpCreateTTL, "/xt/m", all, open, 5, int64(1000000)), part(jute.OpCheck, "/xt/m", 0)))
	a.ask(jute.OpMulti, multi(part(jute.OpCreateTTL, "/xt/n", all, open, 5, int64(0)), part(jute.OpCheck, "/xt/m", 0)))
}

func goldenHardQuota(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/hq", nil, open, 0)
	a.ask(jute.OpCreate, "/zookeeper/quota/hq", nil, open, 0)
	a.ask(jute.OpCreate, "/zookeeper/quota/hq/zookeeper_limits", []byte("count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3"), open, 0)
	a.ask(jute.OpCreate, "/zookeeper/quota/hq/zookeeper_stats", []byte("count=1,bytes=0"), open, 0)
	stats := func() { a.ask(jute.OpGetData, "/zookeeper/quota/hq/zookeeper_stats", false) }
	stats()
	a.ask(jute.OpCreate, "/hq/a", []byte("12345"), open, 0)
	a.ask(jute.OpCreate, "/hq/b", []byte("123456"), open, 0)
	a.ask(jute.OpSetData, "/hq/a", []byte("12345678901"), -1)
	a.ask(jute.OpSetData, "/hq/a", []byte("1234567890"), -1)
	stats()
	a.ask(jute.OpCreate, "/hq/b", nil, open, 0)
	a.ask(jute.OpCreate, "/hq/c", nil, open, 0)
	a.ask(jute.OpCreate2, "/hq/c", nil, open, 2)
	a.ask(jute.OpCreateContainer, "/hq/c", nil, open, 4)
	a.ask(jute.OpMulti, multi(part(jute.OpDelete, "/hq/b", -1), part(jute.OpCreate, "/hq/c", nil, open, 0)))
	a.ask(jute.OpMulti, multi(part(jute.OpCreate, "/hq/d", nil, open, 0), part(jute.OpDelete, "/hq/c", -1)))
	a.ask(jute.OpSetData, "/hq/a", nil, -1)
	stats()
	a.ask(jute.OpMulti, multi(part(jute.OpSetData, "/hq/a", []byte("123456"), -1), part(jute.OpSetData, "/hq", []byte("123456"), -1)))
	stats()
	a.ask(jute.OpSetData, "/hq/a", all, 99)
	a.ask(jute.OpSetData, "/zookeeper/quota/hq/zookeeper_limits", []byte("count=-1,bytes=-1"), -1)
	a.ask(jute.OpCreate, "/hq/free", []byte("12345678901234567890"), open, 0)
	stats()
	a.ask(jute.OpSetData, "/zookeeper/quota/hq/zookeeper_limits", []byte("rubbish"), -1)
	a.settle()
}
