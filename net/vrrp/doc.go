// Package vrrp decides who owns a group of virtual addresses: the Virtual
// Router Redundancy Protocol of RFC 9568 (version 3) and RFC 3768 (version 2),
// as a machine without clock or socket, and its packets.
//
//	                Start, priority 255
//	           ┌───────────────────────────┐
//	           │                           v       Resign, Stop
//	Initialize ┴─> Backup ── activeDown ──> Active ───────────> Resigning
//	     ^          ^ ^ ^    or successor   │  │  ^                │  │
//	     │          │ │ └── higher heard ───┘  │  └ nobody came ───┘  │
//	     │  Recovered │                        │ Fault                │
//	     │          │ └───── successor heard ──┼──────────────────────┤
//	     │        Faulty <─────────────────────┘                      │
//	     └─────────────────────── Stop: successor heard, or too late ─┘
//
// The machine is neutral to what carries it. On the wire (IP protocol 112) it
// speaks with any VRRP router; on the gossip carrier (AppendBeat, ParseBeat) an
// advertisement can also name a successor and say that the addresses are
// announced, which makes a planned handover free of loss.
//
// # What the shell does
//
// It gives every packet that waits to Step, as Heard, and only then, when
// Deadline has passed, calls Step(now, nil): time expires in that call alone.
// So an advertisement that lies in the queue counts before a timer that is
// overdue only because this host was not scheduled. It does the effects in
// their order. Acquire and Release are answered by an event; one of them at a
// time is under way.
//
// # Beyond the RFC
//
//   - A host that was late itself distrusts its own timers. A Backup does
//     not count as silence the time in which it was not scheduled to hear; an
//     Active that stood still for longer than its own activeDown yields to
//     whoever advertises meanwhile, and goes on if nobody does.
//   - An Active that resigns keeps the addresses until it hears its successor;
//     one that is preempted, until the other has announced them (gossip) or for
//     10 ms (wire).
//   - Priority 0 does not cost the RFC's skew (0.6 s at a second's interval): the
//     successor that was named takes over at once; if none was, each Backup
//     waits ten microseconds for each priority above its own. Likewise when the
//     active router's priority sinks below that of a backup that preempts.
//   - Announcements come as a train (0, 2, 10, 50, 250 ms, 1 s, 5 s), and again
//     when a rival claim was heard and after the last of it, so that the winner
//     of a healed split speaks last.
//   - Different address lists are accepted, and reported. Refusing them, as the
//     RFC allows, makes two Active routers for as long as they differ.
//
// Being Active proves nothing: in a partition each side has one. Where that
// matters, ask a quorum before doing Acquire.
package vrrp
