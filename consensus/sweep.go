package consensus

import (
	"time"

	"example.org/ha/consensus/jute"
)

// sweepStep is how often a few znodes are deleted while a sweep goes on.
const sweepStep = 100 * time.Millisecond

// A sweeper deletes containers that are empty and znodes whose time is over: it looks every interval,
// and deletes what it found no faster than so many a minute.
type sweeper struct {
	found []string
	next  time.Time // when to look, or to go on
}

// sweep does what is due.
func (l *loop) sweep() {
	s := &l.sweeper
	if l.now.Before(s.next) || l.full.refuses(l.now) {
		return
	}
	if len(s.found) == 0 {
		for path := range l.db.tree.Expendable(l.wall, l.cfg.ContainerMaxUnused.Milliseconds()) {
			s.found = append(s.found, path)
		}
	}
	n := min(len(s.found), max(1, l.cfg.ContainersPerMinute*int(sweepStep)/int(time.Minute)))
	for _, path := range s.found[:n] {
		// What has become of the znode since is prepare's to see.
		l.ask(&asked{request: request{Request: jute.Request{Op: jute.OpDeleteContainer, Path: path}}, at: l.now})
	}
	l.stats.swept += int64(n)
	s.found = s.found[n:]
	if s.next = l.now.Add(sweepStep); len(s.found) == 0 {
		s.found, s.next = nil, l.now.Add(l.cfg.ContainerInterval)
	}
}
