package gossip

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// A ring is the list of keys in use: the first seals, all open.
type ring struct{ aeads []cipher.AEAD }

func newRing(keys []Key) (ring, error) {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return ring{}, fmt.Errorf("gossip: take keys: %d keys, want 1 to %d", len(keys), MaxKeys)
	}
	var r ring
	for i := range keys {
		aead, err := chacha20poly1305.NewX(keys[i][:])
		if err != nil {
			return ring{}, fmt.Errorf("gossip: take keys: %w", err)
		}
		r.aeads = append(r.aeads, aead)
	}
	return r, nil
}

// seal closes p, which is room for a header followed by a beat, in place. The
// pair of boot and counter must never be used twice.
func (r ring) seal(p []byte, boot [16]byte, counter uint64) []byte {
	p[0] = version
	copy(p[1:], boot[:])
	binary.BigEndian.PutUint64(p[17:], counter)
	return r.aeads[0].Seal(p[:headerLen], p[1:headerLen], p[headerLen:], p[:headerLen])
}

// open returns the beat in p, appended to buf, or false if no key opens it.
func (r ring) open(buf, p []byte) ([]byte, bool) {
	for _, a := range r.aeads {
		if b, err := a.Open(buf[:0], p[1:headerLen], p[headerLen:], p[:headerLen]); err == nil {
			return b, true
		}
	}
	return nil, false
}

// A window remembers which counters of one boot of one host were seen: the
// highest, and one bit for each of the 64 up to it.
type window struct {
	top  uint64
	bits uint64 // bit i: top-i was seen
}

// look says whether n may be new, and if not, why.
func (w *window) look(n uint64) (Reason, bool) {
	switch {
	case n == 0:
		return TooOld, false
	case n > w.top:
		return 0, true
	case w.top-n >= 64:
		return TooOld, false
	case w.bits>>(w.top-n)&1 != 0:
		return Replayed, false
	}
	return 0, true
}

// mark notes that n was seen.
func (w *window) mark(n uint64) {
	if n <= w.top {
		w.bits |= 1 << (w.top - n)
		return
	}
	w.bits = w.bits<<min(n-w.top, 64) | 1 // a shift of 64 leaves nothing
	w.top = n
}

// A cookie makes a recording worthless. Each host gives every other one a cookie
// and believes only beats that echo it:
//
//	A                                    B
//	hello: cookie a, echo ?      ->      not my cookie for A: changes nothing
//	echo a: mine, so B is live   <-      answer: cookie b, echo a
//	beat: cookie a, echo b       ->      mine, so A is live
//
// A cookie is drawn anew whenever another boot of the host is accepted, so what an
// older boot of either side said cannot pass. A cookie also names the receiver: a
// beat meant for another host echoes another cookie.
//
// Cookies need not be secret from one who has no key, for he cannot seal an echo;
// they must only never repeat.
func (c *Core) drawCookie() uint64 {
	for {
		if n := c.cfg.Rand.Uint64(); n != 0 {
			return n
		}
	}
}

// strangerCookie is the cookie of a host that is not in the table: computed, so
// that hellos cost no memory. It changes when a host is forgotten, or the beats it
// came with the first time would pass again.
func (c *Core) strangerCookie(name []byte) uint64 {
	b := append(c.scratch[:0], c.cfg.Boot[:]...)
	b = binary.BigEndian.AppendUint64(b, c.epochCookie)
	b = append(b, name...)
	c.scratch = b
	sum := sha256.Sum256(b)
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}
