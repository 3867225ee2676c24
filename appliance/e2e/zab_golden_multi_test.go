package e2e

import (
	"example.org/ha/consensus/jute"
)

// part is one operation of a multi.
func part(op jute.Op, parts ...any) raw {
	return append(jute.MultiHeader{Type: op, Err: -1}.AppendTo(nil), body(parts...)...)
}

// multi ends the parts.
func multi(parts ...raw) raw {
	var b raw
	for _, p := range parts {
		b = append(b, p...)
	}
	return jute.MultiEnd.AppendTo(b)
}

func goldenMulti(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpMulti, multi())
	a.ask(jute.OpMulti, multi(
		part(jute.OpCreate, "/m", all, open, 0),
		part(jute.OpCreate2, "/m/a", all, open, 0),
		part(jute.OpCreateContainer, "/m/box", all, open, 4),
		part(jute.OpCreate, "/m/s", all, open, 2),
		part(jute.OpCreate, "/m/s", all, open, 2),
		part(jute.OpCreate, "/m/e", all, open, 1),
		part(jute.OpSetData, "/m/a", []byte("x"), 0),
		part(jute.OpSetData, "/m/a", []byte("y"), 1),
		part(jute.OpCheck, "/m/a", 2),
		part(jute.OpDelete, "/m/s0000000003", -1),
	))
	a.ask(jute.OpGetChildren2, "/m", false)
	a.ask(jute.OpGetData, "/m/a", false)
	a.ask(jute.OpMulti, multi(part(jute.OpDelete, "/m/a", 2), part(jute.OpCreate, "/m/a", nil, open, 0), part(jute.OpCheck, "/m/a", 0)))
	a.ask(jute.OpGetData, "/m/a", false)
	a.ask(jute.OpMulti, multi(part(jute.OpCheck, "/m", -1)))
	a.ask(jute.OpMulti, multi(part(jute.OpCheck, "/m", 0), part(jute.OpSetData, "/m", all, -1)))
	a.ask(jute.OpMulti, multi(part(jute.OpSetData, "/m", all, -1), part(jute.OpSetData, "/m", all, -1), part(jute.OpSetData, "/m", all, -1)))
	a.ask(jute.OpExists, "/m", false)
	a.ask(jute.OpMulti, append(multi(part(jute.OpCheck, "/m", -1)), 1, 2, 3))
	a.ask(jute.OpGetEphemerals, "/m")
}

func goldenMultiRefused(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/n", all, open, 0)
	a.ask(jute.OpCreate, "/n/a", all, open, 0)
	a.ask(jute.OpExists, "/n", false)
	fine := part(jute.OpCreate, "/n/f", all, open, 0)
	for _, bad := range []raw{
		part(jute.OpCreate, "/n/a", all, open, 0),
		part(jute.OpCreate, "/n/f", all, open, 0),
		part(jute.OpCreate, "/none/a", all, open, 0),
		part(jute.OpCreate, "/n//a", all, open, 0),
		part(jute.OpCreate, "n", all, open, 0),
		part(jute.OpCreate, "/n/q", all, []jute.ACL{}, 0),
		part(jute.OpCreate, "/n/q", all, open, 99),
		part(jute.OpCreateTTL, "/n/q", all, open, 5, int64(100)),
		part(jute.OpDelete, "/n/none", -1),
		part(jute.OpDelete, "/n/a", 7),
		part(jute.OpDelete, "/n", -1),
		part(jute.OpDelete, "/", -1),
		part(jute.OpDelete, "", -1),
		part(jute.OpSetData, "/n/none", all, -1),
		part(jute.OpSetData, "/n/a", all, 7),
		part(jute.OpCheck, "/n/a", 7),
		part(jute.OpCheck, "/n/none", -1),
		part(jute.OpCheck, "/zookeeper/config", 0),
	} {
		a.ask(jute.OpMulti, multi(bad))
		a.ask(jute.OpMulti, multi(fine, bad, fine))
	}
	a.ask(jute.OpExists, "/n", false)
	a.ask(jute.OpCreate, "/n/s", all, open, 2)
	a.ask(jute.OpMulti, multi(part(jute.OpCreate, "/n/s", all, open, 2), part(jute.OpCheck, "/none", 0)))
	a.ask(jute.OpCreate, "/n/s", all, open, 2)
	// What may not be in one.
	for _, op := range []jute.Op{jute.OpSetACL, jute.OpSync, jute.OpExists, jute.OpDeleteContainer, jute.OpCloseSession, jute.OpMulti, 99} {
		a.ask(jute.OpMulti, multi(fine, part(op, "/n", open, 0)))
	}
	a.ask(jute.OpMulti, multi(fine, part(jute.OpGetData, "/n", false)))
	a.ask(jute.OpMulti, multi(part(jute.OpGetData, "/n", false)))
	a.ask(jute.OpMulti, fine)
	a.ask(jute.OpMulti, fine[:20])
	a.ask(jute.OpMulti, raw{})
	a.ask(jute.OpExists, "/n", false)
}

func goldenMultiRead(d *dialogue) {
	a := d.connect("a")
	a.ask(jute.OpCreate, "/mr", all, open, 0)
	a.ask(jute.OpCreate, "/mr/a", nil, open, 0)
	a.ask(jute.OpCreate, "/mr/b", all, grants(2, "world", "anyone"), 0)
	a.ask(jute.OpMultiRead, multi())
	a.ask(jute.OpMultiRead, multi(part(jute.OpGetData, "/mr", false), part(jute.OpGetChildren, "/mr", false)))
	a.ask(jute.OpMultiRead, multi(part(jute.OpGetData, "/none", false), part(jute.OpGetData, "/mr/a", false),
		part(jute.OpGetData, "/mr/b", false), part(jute.OpGetChildren, "/none", false), part(jute.OpGetChildren, "/mr/b", false), part(jute.OpGetChildren, "/mr/a", false)))
	a.ask(jute.OpMultiRead, multi(part(jute.OpGetData, "/mr", true), part(jute.OpGetChildren, "/mr", true)))
	a.ask(jute.OpSetData, "/mr", all, -1)
	a.ask(jute.OpMultiRead, multi(part(jute.OpGetData, "", false)))
	a.ask(jute.OpMultiRead, multi(part(jute.OpExists, "/mr", false)))
	a.ask(jute.OpMultiRead, multi(part(jute.OpGetChildren2, "/mr", false)))
	a.ask(jute.OpMultiRead, multi(part(jute.OpCreate, "/mr/x", all, open, 0)))
	a.ask(jute.OpMultiRead, multi(part(jute.OpGetData, "/mr", false), part(jute.OpCheck, "/mr", 0)))
	a.ask(jute.OpMultiRead, part(jute.OpGetData, "/mr", false))
	a.ask(jute.OpMultiRead, raw{})
	a.settle()
}
