package consensus

import (
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

// A request of a megabyte must not make gigabytes of anything.

func TestIdentitiesOfOneConnectionAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	r := w.ask(alice, jute.Request{Op: jute.OpAuth, Scheme: "digest", Data: []byte(strings.Repeat("u", 1000) + ":p")})
	var ok bool
	if r.ids, ok = w.d.authenticate(r); !ok {
		t.Fatal("a long name is a name")
	}
	r.Data = []byte(strings.Repeat("v", maxIDBytes) + ":p")
	if _, ok = w.d.authenticate(r); ok {
		t.Error("an identity of more bytes than all may have")
	}
}

func TestACLsAreNotExpandedWithoutBound(t *testing.T) {
	w := newWorld(t, func(r *rules) { r.maxRecord = 10_000 })
	me := digestID(strings.Repeat("u", 1000))
	q := createAt("/x", 0)
	q.ACL = nil
	for perms := range int32(30) {
		q.ACL = append(q.ACL, jute.ACL{Perms: perms, ID: jute.ID{Scheme: "auth"}})
	}
	if acl, code := w.d.fixACL([]jute.ID{me}, q.ACL); code != jute.BadArguments || acl != nil {
		t.Errorf("thirty times a thousand bytes: %v", code)
	}
	if _, code := w.do(q, me); code != jute.BadArguments {
		t.Errorf("create: %v", code)
	}
	one := q.ACL[:1]
	var parts []jute.Request
	for i := range 3000 {
		q := createAt("/"+strings.Repeat("n", i+1), 0)
		q.ACL = one
		parts = append(parts, q)
	}
	var txn jute.Txn
	w.d.draft = draft{alive: true, ids: []jute.ID{me}, header: jute.TxnHeader{Session: alice}}
	if code := w.d.prepareMulti(&w.d.draft, parts, &txn); code != jute.BadArguments || w.d.pending.Len() != 0 {
		t.Errorf("multi: %v, %d changes pending", code, w.d.pending.Len())
	}
	if txn.Ops[20].Type != 0 {
		t.Error("parts were prepared that no transaction can hold")
	}
}

func TestRepliesToMultiReadAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	q := createAt("/big", 0)
	q.Data = make([]byte, 1<<20-1000)
	w.must(q)
	read := jute.Request{Op: jute.OpMultiRead}
	for range 1000 {
		read.Ops = append(read.Ops, getAt("/big"))
	}
	body := w.must(read)
	if most := maxMultiRead + 2<<20; len(body) > most {
		t.Errorf("a reply of %d bytes", len(body))
	}
	d := jute.NewDecoder(body)
	whole, refused := 0, 0
	for {
		h := d.MultiHeader()
		if h.Done || d.Err() != nil {
			break
		}
		if h.Type == jute.OpError {
			refused++
			if code := jute.Code(d.Int()); code != jute.SystemError {
				t.Fatalf("part %d: %v", whole+refused, code)
			}
			continue
		}
		whole++
		d.Buffer()
		d.Stat()
	}
	if d.Err() != nil || whole < 60 || whole+refused != 1000 {
		t.Errorf("%d parts answered, %d refused, %v", whole, refused, d.Err())
	}
}
