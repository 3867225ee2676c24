package txnlog

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// Whatever is in a file, it is read or refused, in memory that the file's size bounds.

func FuzzSegment(f *testing.F) {
	m := newMember(&testing.T{}, 3)
	image := appendHeader(nil, logMagic, 0)
	f.Add(image)
	for zxid := int64(1); zxid < 4; zxid++ {
		image = appendFrame(image, m.record(zxid))
	}
	f.Add(image)
	f.Add(append(image, make([]byte, 3000)...))
	f.Add(append(append(image, make([]byte, 600)...), appendFrame(nil, m.record(5))...))
	f.Fuzz(func(t *testing.T, image []byte) {
		fs := newMemFS(nil)
		fs.live["log.1"] = &inode{data: image}
		end := int64(headerSize)
		info, err := ReadLog(fs, "log.1", func(off int64, record []byte) error {
			if off != end || len(record) < minRecord {
				t.Fatalf("record of %d bytes at %d, the last ended at %d", len(record), off, end)
			}
			end = off + int64(len(record)) + frameSize
			return nil
		})
		if d, damaged := errors.AsType[*DamageError](err); err != nil && (!damaged || d.Offset > int64(len(image))) {
			t.Fatal(err)
		}
		if err == nil && info.End > int64(len(image)) {
			t.Fatalf("%+v of %d bytes", info, len(image))
		}
	})
}

// snapshotImage is a whole file.
func snapshotImage(compression string) []byte {
	fs := newMemFS(rand.New(rand.NewPCG(1, 1)))
	s, err := Open(Config{DataDir: "d", FS: fs, Compression: compression})
	if err != nil {
		panic(err)
	}
	snap, err := s.CreateSnapshot(0)
	if err == nil {
		_, err = snap.Write(emptyTree())
	}
	if err == nil {
		err = snap.Commit(emptyDigest)
	}
	if err != nil {
		panic(err)
	}
	return fs.live["d/version-2/"+snapshotName(0, compression)].data
}

func FuzzSnapshot(f *testing.F) {
	f.Add(snapshotImage(""))
	f.Fuzz(func(t *testing.T, image []byte) {
		n := 0
		info, off, err := walkSnapshot(bytes.NewReader(image), func(*Znode) error { n++; return nil })
		if off > int64(len(image)) || n != info.Znodes || err == nil && off != int64(len(image)) {
			t.Fatalf("%d of %d bytes, %d znodes of %d, %v", off, len(image), n, info.Znodes, err)
		}
	})
}

func FuzzCompressedSnapshot(f *testing.F) {
	f.Add(snapshotImage("gz"), true)
	f.Add(snapshotImage("snappy"), false)
	f.Fuzz(func(t *testing.T, image []byte, gz bool) {
		fs, name := newMemFS(nil), "snapshot.0.snappy"
		if gz {
			name = "snapshot.0.gz"
		}
		fs.live[name] = &inode{data: image}
		_, err := ReadSnapshot(fs, name, nil)
		if _, damaged := errors.AsType[*DamageError](err); err != nil && !damaged {
			t.Fatal(err)
		}
	})
}

func FuzzSnappy(f *testing.F) {
	f.Add([]byte("x"), 1)
	f.Add(bytes.Repeat([]byte("snapshot"), 9000), 100)
	f.Fuzz(func(t *testing.T, p []byte, step int) {
		if r, err := newSnappyReader(bytes.NewReader(p)); err == nil {
			_, _ = io.Copy(io.Discard, r) // no panic
		}
		var b bytes.Buffer
		w, err := newSnappyWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		for q := p; len(q) > 0; {
			n := min(max(step, 1), len(q))
			if _, err := w.Write(q[:n]); err != nil {
				t.Fatal(err)
			}
			q = q[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		joined := append(bytes.Clone(b.Bytes()), b.Bytes()...) // streams may be joined
		r, err := newSnappyReader(bytes.NewReader(joined))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, append(bytes.Clone(p), p...)) {
			t.Fatalf("%d bytes became %d, %v", 2*len(p), len(got), err)
		}
	})
}

func FuzzEpoch(f *testing.F) {
	f.Add([]byte("12"))
	f.Add([]byte("-1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if e, err := parseEpoch(text); e < 0 || err != nil && e != 0 {
			t.Fatal(e, err)
		}
	})
}
