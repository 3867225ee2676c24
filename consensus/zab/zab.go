// Package zab is ZooKeeper's atomic broadcast: it decides which transactions are committed, and in which
// order. Peer is one member's machine; the shell around it owns the log, the sockets and the tree.
//
// A transaction's number is its zxid: the leader's epoch in the high 32 bits, a counter in the low ones.
// The leader proposes, everybody logs, and what a quorum has on disk is committed:
//
//	Propose{1..3} ──> Append{1..3}            log it; Send to the followers goes out at the same time
//	Persisted{3}  ──> counts as this member's own acknowledgement of everything up to 3
//	              ──> Deliver{3}              a quorum has it: apply everything up to 3, in order
//	Full{2}       ──> Refuse{2..3}            the log had no room: these never happened
//
// "Durable, then acknowledged" is so inside the machine and not a rule for its shell. Events and effects
// speak of ranges, never of single transactions: acknowledgements are cumulative because logs have no
// holes, and thousands of transactions cost no more than one.
//
// The ensemble has one member so far. It is elected by its own vote alone, keeps its epoch (as Apache's
// standalone server does, so that a directory can go back to it), and is its own quorum.
package zab

import (
	"fmt"
	"time"

	"example.org/ha/consensus/quorum"
)

// EpochOf is the high half of a zxid: which leader proposed it.
func EpochOf(zxid int64) uint32 { return uint32(uint64(zxid) >> 32) }

// CounterOf is the low half of a zxid: which of its leader's transactions it is.
func CounterOf(zxid int64) uint32 { return uint32(zxid) }

// A State is what a peer does.
type State uint8

// A Looking peer has no leader and accepts no proposals, a Leading one makes them.
const (
	Looking State = iota
	Leading
)

func (s State) String() string {
	switch s {
	case Looking:
		return "looking"
	case Leading:
		return "leading"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Config is what a peer knows when it starts.
type Config struct {
	ID     quorum.SID
	Voters quorum.Verifier
	Last   int64 // the last zxid in the log; all up to it is durable
}

// An Event is what a peer hears; an Effect is what it asks for.
type (
	Event  interface{ event() }
	Effect interface{ effect() }
)

type (
	// Elected says who won the election.
	Elected struct{ Leader quorum.SID }

	// Propose asks for the transactions First to Last to be agreed on. First is what Next said; the
	// numbers between are consecutive. Only a Leading peer takes it.
	Propose struct{ First, Last int64 }

	// Persisted says that the log is durable up to Zxid.
	Persisted struct{ Zxid int64 }

	// Full says that the log had no room for From and everything after it, and holds none of it.
	Full struct{ From int64 }
)

func (Elected) event()   {}
func (Propose) event()   {}
func (Persisted) event() {}
func (Full) event()      {}

type (
	// Append asks for transactions to be logged; Persisted or Full answers.
	Append struct{ First, Last int64 }

	// Deliver asks for everything up to Zxid that was not delivered yet to be applied, in order.
	Deliver struct{ Zxid int64 }

	// Refuse says that transactions will never be delivered, and that their numbers are given again.
	Refuse struct{ First, Last int64 }

	// Lead says that this peer leads from now on.
	Lead struct{}

	// Enter asks for an epoch to be made durable, as accepted and as current, before any effect that
	// follows: a log whose last zxid is of a later epoch than the member remembers is refused at the next
	// start. A member alone gets there when the counter of its epoch is used up.
	Enter struct{ Epoch uint32 }
)

func (Append) effect()  {}
func (Deliver) effect() {}
func (Refuse) effect()  {}
func (Lead) effect()    {}
func (Enter) effect()   {}

// A Peer is one member of the ensemble.
type Peer struct {
	id     quorum.SID
	voters quorum.Verifier
	state  State

	proposed  int64 // the last zxid given to a transaction
	delivered int64 // the last zxid that is committed
	acked     map[quorum.SID]int64

	effects []Effect
}

// New returns a Looking peer.
func New(cfg Config) *Peer {
	if !cfg.Voters.Has(cfg.ID) {
		panic(fmt.Sprintf("zab: member %d is not a voter of %v", cfg.ID, cfg.Voters.Voters()))
	}
	return &Peer{
		id: cfg.ID, voters: cfg.Voters, proposed: cfg.Last, delivered: cfg.Last,
		acked: map[quorum.SID]int64{cfg.ID: cfg.Last},
	}
}

// State is what the peer does now.
func (p *Peer) State() State { return p.state }

// Next is the zxid of the next transaction that is proposed.
func (p *Peer) Next() int64 { return p.proposed + 1 }

// Delivered is the last zxid that is committed.
func (p *Peer) Delivered() int64 { return p.delivered }

// Outstanding is how many transactions are proposed and not committed.
func (p *Peer) Outstanding() int { return int(p.proposed - p.delivered) }

// Deadline is never: a member alone waits for nobody.
func (p *Peer) Deadline() time.Time { return time.Time{} }

// Step takes an event, or none if ev is nil. The effects are good until the next Step.
func (p *Peer) Step(now time.Time, ev Event) []Effect {
	clear(p.effects)
	p.effects = p.effects[:0]
	switch ev := ev.(type) {
	case nil:
	case Elected:
		p.elected(ev.Leader)
	case Propose:
		p.propose(ev)
	case Persisted:
		p.persisted(ev.Zxid)
	case Full:
		p.full(ev.From)
	default:
		panic(fmt.Sprintf("zab: unknown event %T", ev))
	}
	return p.effects
}

func (p *Peer) do(e Effect) { p.effects = append(p.effects, e) }

func (p *Peer) elected(leader quorum.SID) {
	if leader != p.id {
		panic(fmt.Sprintf("zab: member %d alone in %v elected %d", p.id, p.voters.Voters(), leader))
	}
	if p.state == Looking {
		p.becomeLeading()
	}
}

func (p *Peer) becomeLeading() {
	p.state = Leading
	p.do(Lead{})
}

func (p *Peer) propose(ev Propose) {
	if p.state != Leading {
		panic(fmt.Sprintf("zab: proposal 0x%x while %v", ev.First, p.state))
	}
	if ev.First != p.Next() || ev.Last < ev.First {
		panic(fmt.Sprintf("zab: proposal of 0x%x to 0x%x, next is 0x%x", ev.First, ev.Last, p.Next()))
	}
	if e := EpochOf(ev.Last); e != EpochOf(p.proposed) {
		p.do(Enter{Epoch: e})
	}
	p.proposed = ev.Last
	p.do(Append(ev))
}

// persisted counts as this member's acknowledgement. It may come late, for what was logged before the
// member began to look for a leader.
func (p *Peer) persisted(zxid int64) {
	if zxid > p.proposed {
		panic(fmt.Sprintf("zab: 0x%x persisted, proposed up to 0x%x", zxid, p.proposed))
	}
	p.acked[p.id] = max(p.acked[p.id], zxid)
	p.commit()
}

// commit delivers what a quorum of voters has on disk.
func (p *Peer) commit() {
	if p.state != Leading {
		return
	}
	zxid, ok := p.voters.Reached(func(id quorum.SID) int64 { return p.acked[id] })
	if ok && zxid > p.delivered {
		p.delivered = zxid
		p.do(Deliver{Zxid: zxid})
	}
}

// full takes proposals back. That is right only because nobody else has them: a leader with followers
// must stop leading instead.
func (p *Peer) full(from int64) {
	switch {
	case from > p.proposed:
		return // refused already, with what came before it
	case from <= p.acked[p.id]:
		panic(fmt.Sprintf("zab: no room for 0x%x, which was persisted", from))
	}
	last := p.proposed
	p.proposed = from - 1
	p.do(Refuse{First: from, Last: last})
}
