package e2e

import (
	"example.org/ha/consensus/jute"
)

func goldenWatch(d *dialogue) {
	a, b := d.connect("a"), d.connect("b")
	a.ask(jute.OpCreate, "/w", all, open, 0)
	// Each kind of watch, fired from another connection, then not again.
	for _, watch := range []func(){
		func() { b.ask(jute.OpGetData, "/w", true) },
		func() { b.ask(jute.OpExists, "/w", true) },
		func() { b.ask(jute.OpGetChildren, "/w", true) },
		func() { b.ask(jute.OpGetChildren2, "/w", true) },
		func() { b.ask(jute.OpExists, "/w/x", true) },
		func() { b.ask(jute.OpGetData, "/w/x", true) },
		func() { b.ask(jute.OpGetChildren, "/w/x", true) },
	} {
		watch()
		a.ask(jute.OpSetData, "/w", all, -1)
		b.settle()
		a.ask(jute.OpCreate, "/w/x", all, open, 0)
		b.settle()
		a.ask(jute.OpSetData, "/w/x", all, -1)
		b.settle()
		a.ask(jute.OpDelete, "/w/x", -1)
		b.settle()
		a.ask(jute.OpSetACL, "/w", open, -1)
		b.settle()
	}
	a.ask(jute.OpDelete, "/w", -1)
	b.settle()
}

// One's own changes: the event stands before the answer.
func goldenWatchOrder(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/o", all, open, 0)
	a.ask(jute.OpGetData, "/o", true)
	a.ask(jute.OpGetChildren, "/o", true)
	a.ask(jute.OpSetData, "/o", all, -1)
	a.ask(jute.OpGetData, "/o", true)
	a.ask(jute.OpExists, "/o/x", true)
	a.ask(jute.OpCreate, "/o/x", all, open, 0)
	a.ask(jute.OpGetData, "/o/x", true)
	a.ask(jute.OpGetChildren, "/o/x", true)
	a.ask(jute.OpGetChildren, "/o", true)
	a.ask(jute.OpDelete, "/o/x", -1)
	a.ask(jute.OpExists, "/o/y", true)
	a.ask(jute.OpExists, "/o/z", true)
	a.ask(jute.OpGetChildren, "/o", true)
	a.ask(jute.OpMulti, multi(
		part(jute.OpCreate, "/o/y", all, open, 0), part(jute.OpSetData, "/o", all, -1),
		part(jute.OpCreate, "/o/z", all, open, 0), part(jute.OpDelete, "/o/y", -1)))
	a.ask(jute.OpExists, "/o/y", true)
	a.ask(jute.OpMulti, multi(part(jute.OpCreate, "/o/y", all, open, 0), part(jute.OpCheck, "/none", 0)))
	a.settle()
	// Watches of two connections, and one that is gone.
	b, c := d.connect("b"), d.connect("c")
	b.ask(jute.OpGetData, "/o", true)
	c.ask(jute.OpGetData, "/o", true)
	c.ask(jute.OpCloseSession)
	c.closed()
	a.ask(jute.OpSetData, "/o", all, -1)
	b.settle()
}

func goldenWatchPersistent(d *dialogue) {
	a, b := d.connect("a"), d.connect("b")
	a.ask(jute.OpCreate, "/pw", all, open, 0)
	for mode := range 2 {
		b.ask(jute.OpAddWatch, "/pw", mode)
		b.ask(jute.OpAddWatch, "/pw", mode)
		for range 2 {
			a.ask(jute.OpSetData, "/pw", all, -1)
			b.settle()
			a.ask(jute.OpCreate, "/pw/x", all, open, 0)
			b.settle()
			a.ask(jute.OpCreate, "/pw/x/y", all, open, 0)
			b.settle()
			a.ask(jute.OpSetData, "/pw/x/y", all, -1)
			b.settle()
			a.ask(jute.OpDelete, "/pw/x/y", -1)
			b.settle()
			a.ask(jute.OpDelete, "/pw/x", -1)
			b.settle()
		}
		b.ask(jute.OpRemoveWatches, "/pw", 3)
		a.ask(jute.OpSetData, "/pw", all, -1)
		b.settle()
	}
	b.ask(jute.OpAddWatch, "/pw/later", 0)
	a.ask(jute.OpCreate, "/pw/later", all, open, 0)
	b.settle()
	a.ask(jute.OpDelete, "/pw/later", -1)
	b.settle()
	a.ask(jute.OpCreate, "/pw/later", all, open, 0)
	b.settle()
	for _, mode := range []int{-1, 2, 99} {
		b.ask(jute.OpAddWatch, "/pw", mode)
	}
	for _, p := range []string{"", "pw", "/pw/", "/pw//x"} {
		b.ask(jute.OpAddWatch, p, 0)
	}
	b.ask(jute.OpAddWatch, "/", 1)
	a.ask(jute.OpCreate, "/pw/deep", all, open, 0)
	b.settle()
	b.ask(jute.OpRemoveWatches, "/", 3)
}

func goldenWatchRemove(d *dialogue) {
	a, b := d.connect("a"), d.connect("b")
	a.ask(jute.OpCreate, "/rw", all, open, 0)
	for _, op := range []jute.Op{jute.OpCheckWatches, jute.OpRemoveWatches} {
		for typ := range 4 { // 4 and 5 came with 3.9
			b.ask(op, "/rw", typ)
			b.ask(op, "/none", typ)
		}
	}
	b.ask(jute.OpGetData, "/rw", true)
	b.ask(jute.OpCheckWatches, "/rw", 1)
	b.ask(jute.OpCheckWatches, "/rw", 2)
	b.ask(jute.OpCheckWatches, "/rw", 3)
	b.ask(jute.OpRemoveWatches, "/rw", 1)
	b.ask(jute.OpRemoveWatches, "/rw", 2)
	b.ask(jute.OpRemoveWatches, "/rw", 2)
	b.ask(jute.OpGetChildren, "/rw", true)
	b.ask(jute.OpCheckWatches, "/rw", 2)
	b.ask(jute.OpRemoveWatches, "/rw", 2)
	b.ask(jute.OpRemoveWatches, "/rw", 1)
	b.ask(jute.OpGetData, "/rw", true)
	b.ask(jute.OpGetChildren, "/rw", true)
	b.ask(jute.OpRemoveWatches, "/rw", 3)
	a.ask(jute.OpSetData, "/rw", all, -1)
	b.settle()
	b.ask(jute.OpExists, "/rw/none", true)
	b.ask(jute.OpRemoveWatches, "/rw/none", 2)
	a.ask(jute.OpCreate, "/rw/none", all, open, 0)
	b.settle()
	a.ask(jute.OpGetData, "/rw", true)
	b.ask(jute.OpRemoveWatches, "/rw", 3)
	for _, typ := range []int{-1, 0, 9} {
		b.ask(jute.OpRemoveWatches, "/rw", typ)
		b.ask(jute.OpCheckWatches, "/rw", typ)
	}
	b.ask(jute.OpRemoveWatches, "", 3)
	b.ask(jute.OpRemoveWatches, "rw", 3)
	b.settle()
}

// Events go only to who may read the znode.
func goldenWatchACL(d *dialogue) {
	a, b := d.connect("a"), d.connect("b")
	a.ask(jute.OpCreate, "/wa", all, open, 0)
	b.ask(jute.OpAddWatch, "/wa", 1)
	b.ask(jute.OpExists, "/wa/secret", true)
	a.askAs(jute.XidAuth, jute.OpAuth, 0, "digest", []byte("eve:pw"))
	mine := grants(31, "auth", "")
	a.ask(jute.OpCreate, "/wa/secret", all, mine, 0)
	b.settle()
	b.ask(jute.OpExists, "/wa/secret", true)
	a.ask(jute.OpSetData, "/wa/secret", all, -1)
	b.settle()
	a.ask(jute.OpCreate, "/wa/secret/x", all, mine, 0)
	b.settle()
	a.ask(jute.OpDelete, "/wa/secret/x", -1)
	b.settle()
	a.ask(jute.OpSetACL, "/wa/secret", open, -1)
	b.settle()
	a.ask(jute.OpSetData, "/wa/secret", all, -1)
	b.settle()
	a.ask(jute.OpSetACL, "/wa/secret", mine, -1)
	a.ask(jute.OpDelete, "/wa/secret", -1)
	b.settle()
}

func goldenSetWatches(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/sw", all, open, 0)
	a.ask(jute.OpCreate, "/sw/a", all, open, 0)
	a.ask(jute.OpCreate, "/sw/b", all, open, 0)
	before := a.now()
	a.ask(jute.OpSetData, "/sw/a", all, -1)
	a.ask(jute.OpCreate, "/sw/b/x", all, open, 0)
	b := d.connect("b")
	for _, r := range []int64{0, 1 << 60} {
		b.askAs(jute.XidSetWatches, jute.OpSetWatches, r, []string{}, []string{}, []string{})
		b.askAs(jute.XidSetWatches, jute.OpSetWatches, r, []string{"/sw/none"}, []string{}, []string{})
		b.askAs(jute.XidSetWatches, jute.OpSetWatches, r, []string{}, []string{"/sw/none"}, []string{})
		b.askAs(jute.XidSetWatches, jute.OpSetWatches, r, []string{}, []string{"/sw/a"}, []string{})
		b.askAs(jute.XidSetWatches, jute.OpSetWatches, r, []string{}, []string{}, []string{"/sw/none"})
		b.askAs(jute.XidSetWatches, jute.OpSetWatches, r, []string{"/sw/a"}, []string{}, []string{})
		b.askAs(jute.XidSetWatches, jute.OpSetWatches, r, []string{}, []string{}, []string{"/sw/b"})
		b.settle()
		a.ask(jute.OpSetData, "/sw/a", all, -1)
		b.settle()
		a.ask(jute.OpCreate, "/sw/none", all, open, 0)
		b.settle()
		a.ask(jute.OpDelete, "/sw/none", -1)
		b.settle()
		a.ask(jute.OpDelete, "/sw/b/x", -1)
		b.settle()
		a.ask(jute.OpCreate, "/sw/b/x", all, open, 0)
		b.settle()
	}
	// Relative to a moment in the middle. The zxid differs from run to run, so the request is not noted.
	c := d.connect("c")
	c.asked[jute.XidSetWatches] = jute.OpSetWatches
	c.sendFrame(append(header(jute.XidSetWatches, jute.OpSetWatches), body(before, []string{"/sw", "/sw/a"}, []string{"/sw/a"}, []string{"/sw", "/sw/b"})...))
	c.hear(jute.XidSetWatches)
	c.settle()
	e := d.connect("e")
	e.askAs(jute.XidSetWatches, jute.OpSetWatches2, int64(1<<60), []string{"/sw"}, []string{}, []string{"/sw/none"}, []string{"/sw/b"}, []string{"/sw/a"})
	a.ask(jute.OpSetData, "/sw/b", all, -1)
	e.settle()
	a.ask(jute.OpCreate, "/sw/a/y", all, open, 0)
	e.settle()
	a.ask(jute.OpSetData, "/sw/a/y", all, -1)
	e.settle()
	e.askAs(9, jute.OpSetWatches, int64(1<<60), []string{"/sw"}, []string{}, []string{})
	e.askAs(10, jute.OpSetWatches, int64(1<<60), []string(nil), []string(nil), []string(nil))
	e.askAs(jute.XidSetWatches, jute.OpSetWatches, int64(1<<60), []string{""}, []string{"sw"}, []string{"/sw//"})
	e.settle()
}

// Watches of several modes of one connection at one path. In 3.8 the last one wins; since 3.9 all stay.
func goldenWatchModes(d *dialogue) {
	a, b := d.connect("a"), d.connect("b")
	a.ask(jute.OpCreate, "/wm", all, open, 0)
	b.ask(jute.OpGetChildren, "/wm", true)
	b.ask(jute.OpAddWatch, "/wm", 1)
	a.ask(jute.OpCreate, "/wm/x", all, open, 0)
	b.settle()
}

func goldenEphemerals(d *dialogue) {
	a, b := d.connect("a"), d.connect("b")
	a.ask(jute.OpCreate, "/eph", all, open, 0)
	b.ask(jute.OpCreate, "/eph/b", all, open, 1)
	b.ask(jute.OpCreate, "/eph/a", all, open, 1)
	b.ask(jute.OpCreate, "/eph/s", all, open, 3)
	a.ask(jute.OpCreate, "/eph/mine", all, open, 1)
	for _, p := range []string{"/", "/eph", "/eph/a", "/ep", "/none", "", "eph", "/eph/"} {
		b.ask(jute.OpGetEphemerals, p)
	}
	for _, p := range []string{"/eph", "/eph/a", "/ep", "/none", "eph", "/eph/"} {
		b.ask(jute.OpGetAllChildren, p)
	}
	b.ask(jute.OpCloseSession) // in no particular order
	b.closed()
	a.ask(jute.OpExists, "/eph", false)
	c := d.connect("c")
	c.ask(jute.OpCreate, "/eph/c", all, open, 1)
	a.ask(jute.OpExists, "/eph/c", true)
	a.ask(jute.OpGetChildren, "/eph", true)
	c.ask(jute.OpCloseSession)
	c.closed()
	a.settle()
	a.ask(jute.OpExists, "/eph", false)
	a.ask(jute.OpGetChildren, "/eph", false)
}

func goldenQuota(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/qq", all, open, 0)
	a.ask(jute.OpCreate, "/qq/in", all, open, 0)
	a.ask(jute.OpCreate, "/zookeeper/quota/qq", all, open, 0)
	a.ask(jute.OpCreate, "/zookeeper/quota/qq/zookeeper_limits", []byte("count=3,bytes=20"), open, 0)
	a.ask(jute.OpCreate, "/zookeeper/quota/qq/zookeeper_stats", []byte("count=0,bytes=0"), open, 0)
	stats := func() { a.ask(jute.OpGetData, "/zookeeper/quota/qq/zookeeper_stats", false) }
	stats()
	a.ask(jute.OpSetData, "/qq/in", []byte("0123456789"), -1)
	stats()
	a.ask(jute.OpCreate, "/qq/in/x", []byte("0123456789"), open, 0)
	stats()
	a.ask(jute.OpCreate, "/qq/in/y", nil, open, 0)
	a.ask(jute.OpCreate, "/qq/over", []byte("over"), open, 0)
	stats()
	a.ask(jute.OpSetData, "/qq/in", []byte("0123"), -1)
	a.ask(jute.OpDelete, "/qq/in/x", -1)
	stats()
	a.ask(jute.OpMulti, multi(part(jute.OpCreate, "/qq/m", []byte("12"), open, 0), part(jute.OpSetData, "/qq/m", []byte("1234"), 0)))
	stats()
	a.ask(jute.OpCreate, "/qqq", all, open, 0)
	stats()
	a.ask(jute.OpSetData, "/zookeeper/quota/qq/zookeeper_limits", []byte("count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=2"), -1)
	a.ask(jute.OpSetData, "/qq/in", []byte("0123456789"), -1)
	stats()
	a.ask(jute.OpDelete, "/zookeeper/quota/qq/zookeeper_limits", -1)
	a.ask(jute.OpCreate, "/qq/free", []byte("0123456789"), open, 0)
	stats()
}
