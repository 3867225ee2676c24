package txnlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.org/ha/consensus/jute"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed alone")
	seedsFlag = flag.Int("seeds", 1500, "how many seeds the simulations run")
)

// A member is what the simulation knows of the one whose store it drives: every record that was
// acknowledged, and those of which nobody knows.
type member struct {
	t       *testing.T
	rng     *rand.Rand
	fs      *memFS
	cfg     Config
	store   *Store
	zeros   bool           // records may hold sectors of zeros
	history [][]byte       // records from zxid 1 on that were acknowledged
	flying  [][]byte       // records behind them whose write was under way
	refused map[uint64]int // hashes of records that clients saw fail
	serial  uint64
	epoch   int64 // the newest that was set
	setting int64 // the one that was under way
}

func newMember(t *testing.T, seed uint64) *member {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &member{t: t, rng: rng, fs: newMemFS(rng), refused: map[uint64]int{}, zeros: true}
	m.cfg = Config{DataDir: "d", PreAlloc: []int64{-1, 8 << 10, 64 << 10, 1 << 20}[rng.IntN(4)]}
	if rng.IntN(3) == 0 {
		m.cfg.LogDir = "l"
	}
	m.cfg.Compression = []string{"", "", "gz", "snappy"}[rng.IntN(4)]
	return m
}

// record makes one that no other is equal to.
func (m *member) record(zxid int64) []byte {
	m.serial++
	h := jute.TxnHeader{Session: int64(m.serial), Zxid: zxid, Type: jute.OpSetData}
	n := m.rng.IntN(300)
	switch m.rng.IntN(20) {
	case 0:
		n = m.rng.IntN(20000)
	case 1:
		n = m.rng.IntN(3000)
	}
	data := make([]byte, n)
	if !m.zeros || m.rng.IntN(4) > 0 {
		for i := range data {
			data[i] = byte(1 + m.rng.IntN(255))
		}
	}
	x := jute.Txn{Type: jute.OpSetData, Path: "/a", Data: data}
	return x.AppendTo(h.AppendTo(nil))
}

func fingerprint(p []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(p)
	return h.Sum64()
}

// body is a snapshot's: the root's data is a digest of the history up to zxid.
func (m *member) body(zxid int64) []byte {
	b := jute.AppendInt(jute.AppendInt(nil, 0), 0)
	b = jute.AppendBuffer(jute.AppendString(b, ""), m.digest(m.history[:zxid]))
	st := jute.StatPersisted{Mzxid: zxid}
	b = st.AppendTo(jute.AppendLong(b, -1))
	return append(b, terminator...)
}

func (m *member) digest(history [][]byte) []byte {
	h := fnv.New64a()
	for _, r := range history {
		_, _ = h.Write(r)
	}
	return h.Sum(nil)
}

// open loads the directory and says what is in it: nil if it was refused.
func (m *member) open() ([][]byte, error) {
	store, err := Open(m.cfg2())
	if err != nil {
		return nil, err
	}
	m.store = store
	base, records := int64(0), [][]byte{}
	loaded := false
	last, err := store.Load(func(zxid int64, r io.Reader) error {
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if base = zxid; base > int64(len(m.history)) || !bytes.Equal(body, m.body(base)) {
			return fmt.Errorf("snapshot of zxid %d is not what was written", zxid)
		}
		loaded = true
		return nil
	}, func(record []byte) error {
		records = append(records, slices.Clone(record))
		return nil
	})
	if err != nil {
		_ = store.Close()
		return nil, err
	}
	all := append(slices.Clone(m.history[:base]), records...)
	if last != int64(len(all)) {
		m.t.Fatalf("last is %d of %d records", last, len(all))
	}
	if !loaded {
		m.snapshot(0)
	}
	return all, nil
}

func (m *member) cfg2() Config {
	c := m.cfg
	c.FS = m.fs
	return c
}

func (m *member) snapshot(zxid int64) {
	n, err := m.store.CreateSnapshot(zxid)
	if err == nil {
		body := m.body(zxid)
		if _, err = n.Write(body[:9]); err == nil {
			if _, err = n.Write(body[9:]); err == nil && m.rng.IntN(10) > 0 {
				err = n.Commit(1)
			} else {
				n.Abort()
			}
		}
	}
	if err != nil && !errors.Is(err, ErrFull) {
		m.t.Fatal(err)
	}
}

// group writes one.
func (m *member) group() {
	m.store.mu.Lock()
	ready := m.store.hasSnapshot
	m.store.mu.Unlock()
	if !ready {
		m.snapshot(int64(len(m.history)))
		return
	}
	g := &Group{First: int64(len(m.history)) + 1, Roll: m.rng.IntN(15) == 0}
	m.flying = nil
	for range 1 + m.rng.IntN(12) {
		g.Last = int64(len(m.history)+len(m.flying)) + 1
		r := m.record(g.Last)
		m.flying = append(m.flying, r)
		g.Records = append(g.Records, r...)
		g.Ends = append(g.Ends, len(g.Records))
	}
	w := m.store.write(g)
	switch {
	case w.Err == nil:
		m.history = append(m.history, m.flying...)
	case errors.Is(w.Err, ErrFull):
		for i, r := range m.flying {
			m.refused[fingerprint(r)] = i
		}
	default:
		m.t.Fatal(w.Err)
	}
	m.flying = nil
}

// act does something, and reports whether the power went meanwhile.
func (m *member) act() (cut bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(powerCut); !ok {
				panic(r)
			}
			cut = true
		}
	}()
	switch m.rng.IntN(40) {
	case 0, 1:
		m.snapshot(int64(len(m.history)))
	case 2:
		if _, err := m.store.Purge(1 + m.rng.IntN(3)); err != nil {
			m.t.Fatal(err)
		}
	case 3:
		m.setting = m.epoch + 1
		if err := m.store.SetAcceptedEpoch(m.setting); err == nil {
			err = m.store.SetCurrentEpoch(m.setting)
			if err == nil {
				m.epoch = m.setting
			}
		}
	case 4: // an orderly end
		if err := m.store.finish(); err != nil {
			m.t.Fatal(err)
		}
		_ = m.store.Close()
		m.reopen()
	case 5: // the process is killed, the machine lives
		m.fs.locked = map[string]bool{}
		m.reopen()
	case 6:
		m.fs.blocks = m.rng.IntN(40)
	case 7, 8:
		m.fs.blocks = -1
	default:
		m.group()
	}
	return false
}

// reopen loads what a crash left, and checks that it is what clients were told.
func (m *member) reopen() {
	got, err := m.open()
	if errors.Is(err, ErrFull) {
		m.fs.blocks = -1
		m.fs.locked = map[string]bool{}
		got, err = m.open()
	}
	if err != nil {
		m.t.Fatalf("a legal crash is refused: %v\n%s", err, m.listing())
	}
	if len(got) < len(m.history) {
		m.t.Fatalf("%d records were acknowledged, %d are left\n%s", len(m.history), len(got), m.listing())
	}
	for i, r := range got {
		var want []byte
		if i < len(m.history) {
			want = m.history[i]
		} else if i-len(m.history) < len(m.flying) {
			want = m.flying[i-len(m.history)]
		}
		if _, bad := m.refused[fingerprint(r)]; bad {
			m.t.Fatalf("record %d was refused, and is there", i+1)
		}
		if !bytes.Equal(r, want) {
			m.t.Fatalf("record %d is not what was written", i+1)
		}
	}
	if e := m.store.Epochs(); e.Current != m.epoch && e.Current != m.setting || e.Accepted < e.Current {
		m.t.Fatalf("epochs %+v, set %d, under way %d", e, m.epoch, m.setting)
	} else {
		m.epoch = e.Current
	}
	m.history, m.flying = got, nil
}

func (m *member) listing() string {
	var b strings.Builder
	for name, n := range m.fs.live {
		end, _ := dataEnd(bytes.NewReader(n.data), 0, int64(len(n.data)))
		fmt.Fprintf(&b, "%s: %d bytes, data up to %d\n", name, len(n.data), end)
	}
	return b.String()
}

func seeds(t *testing.T, f func(t *testing.T, seed uint64)) {
	n := *seedsFlag
	if testing.Short() {
		n /= 10
	}
	for i := range n {
		seed := uint64(i + 1)
		if *seedFlag != 0 {
			seed = *seedFlag
			i = n
		}
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { f(t, seed) }) || *seedFlag != 0 {
			return
		}
	}
}

// Power goes at any moment, of what was not synced any sectors and directory entries arrive, and the disk
// is full now and then: nothing acknowledged is lost, nothing that was refused is there, and what is there
// of a group that was under way is its beginning.
func TestPowerLoss(t *testing.T) {
	seeds(t, func(t *testing.T, seed uint64) {
		m := newMember(t, seed)
		m.reopen()
		for range 4 {
			m.fs.crashAt = m.fs.ops + 1 + m.rng.IntN(120)
			for !m.act() {
			}
			if m.rng.IntN(3) == 0 { // only the process dies: what it wrote is read, and is to be kept from then on
				m.fs.crashAt, m.fs.locked = 0, map[string]bool{}
				m.reopen()
			}
			m.fs = m.fs.crash()
			if m.rng.IntN(4) == 0 { // and once more while it recovers
				m.fs.crashAt = m.fs.ops + 1 + m.rng.IntN(8)
				func() {
					defer func() { _ = recover() }()
					m.reopen()
				}()
				m.fs = m.fs.crash()
			}
			m.reopen()
		}
	})
}

// A flipped bit is refused, with its place, or does no harm.
func TestFlippedBits(t *testing.T) {
	refused := 0
	seeds(t, func(t *testing.T, seed uint64) {
		m := newMember(t, seed)
		m.zeros = false
		m.reopen()
		for range 60 {
			if m.act(); m.t.Failed() {
				return
			}
		}
		if m.rng.IntN(2) == 0 {
			_ = m.store.finish()
		}
		m.fs.blocks, m.fs.locked = -1, map[string]bool{}
		names, _ := m.fs.ReadDir(filepath.Join(cmpDir(m.cfg), "version-2"))
		if len(names) == 0 {
			return
		}
		name := filepath.Join(cmpDir(m.cfg), "version-2", names[m.rng.IntN(len(names))])
		n := m.fs.live[name]
		end, _ := dataEnd(bytes.NewReader(n.data), 0, int64(len(n.data)))
		if end == 0 || strings.Contains(name, "Epoch") {
			return
		}
		at := m.rng.IntN(int(end))
		n.data[at] ^= 1 << m.rng.IntN(8)
		got, err := m.open()
		if err != nil {
			refused++
			if d, ok := errors.AsType[*DamageError](err); !ok || d.File != name && !strings.Contains(err.Error(), name) {
				t.Fatalf("flipped a bit of %s at %d: %v", name, at, err)
			}
			return
		}
		if !slices.EqualFunc(got, m.history, bytes.Equal) {
			t.Fatalf("flipped a bit of %s at %d: %d records became %d\n%s", name, at, len(m.history), len(got), m.listing())
		}
	})
	least := *seedsFlag / 15
	if testing.Short() {
		least /= 10
	}
	if *seedFlag == 0 && refused < least {
		t.Errorf("only %d were refused", refused)
	}
}

func cmpDir(c Config) string {
	if c.LogDir != "" {
		return c.LogDir
	}
	return c.DataDir
}

// A failed sync ends everything: no later one is believed.
func TestSyncFailureIsFinal(t *testing.T) {
	m := newMember(t, 7)
	m.cfg.PreAlloc = 64 << 10
	m.reopen()
	m.group()
	m.fs.failing["sync"] = errIO
	g := func() *Group {
		zxid := int64(len(m.history)) + 1
		r := m.record(zxid)
		return &Group{Records: r, Ends: []int{len(r)}, First: zxid, Last: zxid}
	}
	if w := m.store.write(g()); !errors.Is(w.Err, errIO) || errors.Is(w.Err, ErrFull) {
		t.Fatalf("sync failed: got %v", w.Err)
	}
	if w := m.store.write(g()); !errors.Is(w.Err, errIO) {
		t.Fatalf("after it: got %v", w.Err)
	}
}

// A tail that is a legal crash is cut at the first record that is not whole, at every split of a group.
func TestTornGroupAtEverySector(t *testing.T) {
	m := newMember(t, 11)
	var group []byte
	for zxid := int64(2); zxid < 12; zxid++ {
		group = appendFrame(group, m.record(zxid))
	}
	whole := appendFrame(appendHeader(nil, logMagic, 0), m.record(1))
	start := len(whole)
	image := append(slices.Clone(whole), group...)
	for missing := start / sector; missing*sector < len(image); missing++ {
		torn := slices.Clone(image)
		from, to := max(missing*sector, start), min((missing+1)*sector, len(torn))
		if allZero(torn[from:to]) {
			continue
		}
		clear(torn[from:to])
		fs := newMemFS(m.rng)
		fs.live["log.1"] = &inode{data: append(torn, make([]byte, 9000)...)}
		info, err := ReadLog(fs, "log.1", func(int64, []byte) error { return nil })
		if err != nil || info.End > int64(to) || int(info.End) < start || info.Last >= 11 && info.Torn > 0 {
			t.Errorf("sector %d missing: %+v, %v", missing, info, err)
		}
	}
}

// The length of the last record is believed only if nothing else fits its checksum.
func TestLengthOfLastRecord(t *testing.T) {
	m := newMember(t, 12)
	m.zeros = false
	image := appendFrame(appendHeader(nil, logMagic, 0), m.record(1))
	binary.BigEndian.PutUint32(image[headerSize+8:], 2000)
	fs := newMemFS(m.rng)
	fs.live["log.1"] = &inode{data: append(image, make([]byte, 9000)...)}
	if _, err := ReadLog(fs, "log.1", nil); err == nil || !strings.Contains(err.Error(), "fits the checksum") {
		t.Errorf("got %v", err)
	}
}

// A length that reaches over the records behind it is not believed: they were written after it.
func TestLengthOverOthers(t *testing.T) {
	m := newMember(t, 13)
	m.zeros = false
	image := appendHeader(nil, logMagic, 0)
	for zxid := int64(1); zxid < 4; zxid++ {
		image = appendFrame(image, m.record(zxid))
	}
	binary.BigEndian.PutUint32(image[headerSize+8:], 100000)
	fs := newMemFS(m.rng)
	fs.live["log.1"] = &inode{data: append(image, make([]byte, 200000)...)}
	if _, err := ReadLog(fs, "log.1", nil); err == nil || !strings.Contains(err.Error(), "reaches over the record of zxid 0x2") {
		t.Errorf("got %v", err)
	}
}
