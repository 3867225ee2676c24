package consensus

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"slices"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/sasl"
)

// saslUsers are the users of the configuration and of the file it names; nil if neither has any.
func saslUsers(cfg *Config) (map[string]string, error) {
	users := maps.Clone(cfg.SASLUsers)
	if cfg.JAAS == "" {
		return users, nil
	}
	text, err := os.ReadFile(cfg.JAAS)
	if err != nil {
		return nil, fmt.Errorf("consensus: read the users of SASL: %w", err)
	}
	more, err := sasl.ParseJAAS(cfg.JAAS, text, cfg.JAASSection)
	if err != nil {
		return nil, err
	}
	if users == nil {
		users = map[string]string{}
	}
	maps.Copy(users, more)
	return users, nil
}

// sasl takes a token of an exchange and answers it at once: what the client may do afterwards does not
// depend on what is under way.
func (l *loop) sasl(a *asked) {
	c := a.client
	if a.err != nil || a.Data == nil {
		l.done(a)
		l.hangUp(c, closedMalformed, fmt.Errorf("consensus: sasl without a token"))
		return
	}
	if c.proof == nil {
		c.proof = sasl.New(l.users, rand.Text())
	}
	answer, user, done, err := c.proof.Step(a.Data)
	code := jute.OK
	switch {
	case err != nil && l.cfg.AllowFailedSASL && !l.cfg.RequireSASL:
		answer = nil
	case err != nil:
		l.stats.authFailed++
		answer, code = nil, jute.AuthFailed
		if l.cfg.RequireSASL {
			code = jute.SessionClosedRequireSASL
		}
	case done:
		ids := append(slices.Clone(c.ids), jute.ID{Scheme: "sasl", ID: user})
		if user == l.cfg.SuperSASL {
			ids = append(ids, jute.ID{Scheme: "super"})
		}
		c.ids = ids
	}
	start := len(c.out)
	c.out = append(c.out, blankHeader[:]...)
	l.endReply(c, start, jute.ReplyHeader{Xid: a.xid, Err: code})
	// Unlike other errors this one has a body; clients count on a token, even a null one.
	c.out = jute.EndFrame(jute.AppendBuffer(c.out, answer), start)
	l.done(a)
	if code != jute.OK {
		l.hangUp(c, closedAuth, err)
	}
}
