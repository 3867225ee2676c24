package consensus

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"example.org/ha/consensus/adminport"
	"example.org/ha/consensus/clientport"
	"example.org/ha/consensus/fourletter"
	"example.org/ha/consensus/jute"
)

// A control is a question to the loop, from another goroutine.
type control interface{ control() }

type (
	askStatus struct {
		want   fourletter.Want
		answer chan *fourletter.Status // of capacity 1, as all answers
	}
	askReset struct {
		word   string
		answer chan struct{}
	}
	askAuthorize struct {
		scheme string
		proof  []byte
		answer chan bool
	}
	askSnapshot struct{ answer chan *copying }

	// sized brings the sizes of the directories for a word.
	sized struct {
		conn            uint64
		word            string
		snapshots, txns int64
	}
)

func (askStatus) control()    {}
func (askReset) control()     {}
func (askAuthorize) control() {}
func (askSnapshot) control()  {}
func (sized) control()        {}

// errStopped answers questions to a member that does not run.
var errStopped = errors.New("consensus: the member is not running")

// errBusy refuses one more snapshot at a time.
var errBusy = errors.New("consensus: another snapshot is being read")

// question takes a control.
func (l *loop) question(q control) {
	switch q := q.(type) {
	case askStatus:
		q.answer <- l.status(q.want)
	case askReset:
		l.reset(q.word)
		close(q.answer)
	case askAuthorize:
		r := request{Request: jute.Request{Op: jute.OpAuth, Scheme: q.scheme, Data: q.proof}}
		ids, ok := l.db.authenticate(&r)
		q.answer <- ok && l.db.allowed(ids, l.db.tree.Node("/").ACL(), jute.PermAll)
	case askSnapshot:
		q.answer <- l.copy(forReader)
	case sized:
		if c := l.clients[q.conn]; c != nil && !c.gone {
			s := l.status(fourletter.Wants(q.word))
			s.DataDirSize, s.LogDirSize = q.snapshots, q.txns
			l.say(c, fourletter.Text(q.word, s))
		}
	}
}

// reset sets counters to zero.
func (l *loop) reset(word string) {
	switch word {
	case "srst":
		l.stats.reset(l.now)
	case "crst":
		for _, c := range l.clients {
			c.tally = newTally(c.tally.since)
		}
	}
}

// word answers a four-letter word, which ends the connection.
func (l *loop) word(c *client, word string, argument []byte) {
	l.stats.received++
	c.stage = leaving
	if !l.words.Has(word) {
		l.say(c, fourletter.Refusal(word))
		return
	}
	want := fourletter.Wants(word)
	if want&fourletter.WantSizes != 0 {
		l.measure(c.line.ID(), word)
		return
	}
	l.reset(word)
	if word == "stmk" && len(argument) == fourletter.MaskLen {
		l.stats.traceMask = int64(binary.BigEndian.Uint64(argument))
		word += string(argument)
	}
	l.say(c, fourletter.Text(word, l.status(want)))
}

// say sends text and ends the connection.
func (l *loop) say(c *client, text []byte) {
	c.out = append(c.out, text...)
	l.stats.sent++
	l.hangUp(c, clientport.WordAnswered, nil)
}

// ask puts a question to the loop and waits for its answer.
func ask[T any](ctx context.Context, m *Member, q control, answer <-chan T) (T, error) {
	var none T
	select {
	case m.control <- q:
	case <-m.ended:
		return none, errStopped
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	select {
	case a := <-answer:
		return a, nil
	case <-m.ended:
		return none, errStopped
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// Status says how the member is, with the parts wanted. It may be called from anywhere.
func (m *Member) Status(ctx context.Context, want fourletter.Want) (*fourletter.Status, error) {
	q := askStatus{want: want, answer: make(chan *fourletter.Status, 1)}
	s, err := ask(ctx, m, q, q.answer)
	if errors.Is(err, errStopped) {
		return m.notServing(), nil
	}
	if err == nil && want&fourletter.WantSizes != 0 {
		s.DataDirSize, s.LogDirSize = m.sizes()
	}
	return s, err
}

// Reset sets the counters of the words srst or crst to zero.
func (m *Member) Reset(ctx context.Context, word string) error {
	q := askReset{word: word, answer: make(chan struct{})}
	_, err := ask(ctx, m, q, q.answer)
	return err
}

// Authorize says whether who shows these credentials may do everything to "/".
func (m *Member) Authorize(ctx context.Context, scheme string, proof []byte) error {
	q := askAuthorize{scheme: scheme, proof: slices.Clone(proof), answer: make(chan bool, 1)}
	ok, err := ask(ctx, m, q, q.answer)
	if err == nil && !ok {
		return adminport.ErrUnauthorized
	}
	return err
}

// Snapshot writes what the member knows now to w, as a snapshot file of one zxid.
func (m *Member) Snapshot(ctx context.Context, w io.Writer) error {
	q := askSnapshot{answer: make(chan *copying, 1)}
	c, err := ask(ctx, m, q, q.answer)
	if err != nil {
		return err
	}
	if c == nil {
		return errBusy
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-m.ended:
			stop(errStopped)
		case <-ctx.Done():
		}
	}()
	return c.encode(ctx, w)
}
