package consensus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/tree"
	"example.org/ha/consensus/txnlog"
)

// memberID is the number in the file myid, else 1, as a server alone has it.
func memberID(dataDir string) (int, error) {
	file := filepath.Join(dataDir, "myid")
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("consensus: read the member's number: %w", err)
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || id < 0 || id > 254 {
		return 0, fmt.Errorf("consensus: %s says %.20q: want a number from 1 to 254", file, strings.TrimSpace(string(text)))
	}
	return max(id, 1), nil
}

// rulesOf is what the configuration says of requests.
func rulesOf(cfg *Config) rules {
	r := rules{
		maxBuffer: cfg.MaxRequest, digest: !cfg.NoDigest, extendedTypes: cfg.TTLNodes,
		enforceQuota: cfg.EnforceQuota, closeSessionTxn: !cfg.NoCloseSessionPaths, reconfig: cfg.Reconfig,
		skipACL: cfg.SkipACL, digestAlg: cfg.DigestAlgorithm, superDigest: cfg.SuperDigest,
		x509: len(cfg.TLSListen) > 0 || cfg.TLSOptional, superX509: cfg.SuperX509,
		sasl: len(cfg.SASLUsers) > 0 || cfg.JAAS != "", maxEphemerals: cfg.MaxEphemerals,
		enforceAuth: cfg.EnforceAuth, enforceSchemes: cfg.EnforceAuthSchemes,
	}
	if cfg.RequireSASL {
		r.enforceAuth, r.enforceSchemes = true, []string{"sasl"}
	}
	return r
}

// A loading is how a member learns at its start what it knew at its end.
type loading struct {
	db       *database
	rules    rules
	trees    tree.Config
	snapshot int64 // zxid of the one loaded; -1: none
	txns     int   // replayed
	bytes    int64 // of them
	at       struct{ start, replay time.Time }
}

// load reads the newest snapshot and the log after it. An empty directory gets its first snapshot, which
// Apache's server needs beside a log.
func load(cfg *Config, store *txnlog.Store, log *slog.Logger) (*loading, error) {
	l := &loading{rules: rulesOf(cfg), snapshot: -1}
	l.trees = tree.Config{
		MaxWatches: cfg.MaxWatches, MaxWatchesEach: cfg.MaxWatchesPerConnection, ExtendedTypes: cfg.TTLNodes, EmulateTTL353: cfg.TTL353,
	}
	l.db = newDatabase(tree.New(l.trees), map[int64]int32{}, l.rules)
	l.at.start = time.Now()
	l.at.replay = l.at.start
	last, err := store.Load(l.take, l.replay)
	if err != nil {
		return nil, err
	}
	if l.snapshot < 0 && l.txns == 0 {
		if err := firstSnapshot(store, l.db); err != nil {
			return nil, err
		}
		l.snapshot = 0
	}
	if last > l.db.tree.LastZxid() {
		l.db.tree.SetLastZxid(last) // the log ends with what no member applies
	}
	l.db.tree.Fired() // nobody watches yet
	return l, nil
}

// take reads a snapshot.
func (l *loading) take(zxid int64, r io.Reader) error {
	t, timeouts, err := tree.Load(bufio.NewReaderSize(r, 1<<20), l.trees)
	if err != nil {
		return err
	}
	t.SetLastZxid(zxid)
	l.db = newDatabase(t, timeouts, l.rules)
	l.snapshot, l.at.replay = zxid, time.Now()
	return nil
}

// replay applies a record of the log. A check outside a multi is what ZooKeeper 3.8.0 writes and then
// refuses to read: it changes nothing.
func (l *loading) replay(record []byte) error {
	p, err := parseLogged(record)
	if err != nil {
		return err
	}
	if p.header.Type == jute.OpCheck {
		l.db.tree.SetLastZxid(max(l.db.tree.LastZxid(), p.header.Zxid))
		return nil
	}
	l.db.apply(&p)
	l.txns++
	l.bytes += int64(len(record))
	return nil
}

// firstSnapshot writes the tree of a member that never saw a transaction.
func firstSnapshot(store *txnlog.Store, db *database) error {
	s, err := store.CreateSnapshot(0)
	if err != nil {
		return err
	}
	defer s.Abort()
	w := db.tree.Snapshot(db.timeouts)
	defer w.Close()
	for done := false; !done; {
		var b []byte
		b, done = w.Next(nil, 1000)
		if _, err := s.Write(b); err != nil {
			return err
		}
	}
	return s.Commit(w.Digest())
}
