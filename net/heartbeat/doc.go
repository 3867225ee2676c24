// Package heartbeat carries the beats of the gossip core: it owns the UDP
// socket, the clock and the thread that package gossip, being pure, must not
// have.
//
// It has three parts.
//
// A [Loop] is a reactor on one operating system thread. It sleeps in ppoll on
// the descriptors of its [Part]s until the earliest of their deadlines, then
// wakes every part in the order it was added. In realtime mode the thread is
// locked, scheduled SCHED_FIFO and enters the kernel without telling the Go
// scheduler. The runtime's own timers and netpoll wake a goroutine only when
// some thread of ordinary priority comes round to it, and on a busy machine
// that is tens of milliseconds late: three beats of 10 ms, so a false
// failover. The price is a rule: a part never blocks, and a process that runs
// a realtime loop does nothing else worth mentioning, because a busy heap in
// the same process costs more than the priority wins.
//
// A [Node] is the first part of a loop: it runs a gossip.Core, sends what the
// core asks to send and hands it what arrives, without an allocation a beat.
// What may be slow, that is resolving the names of the join list, happens in
// [Node.Run], on an ordinary goroutine.
//
// A [Rider] is one topic's seat. Topics do not know each other, and the node
// knows none of them: a rider says bytes and hears bytes. It keeps the latest
// state of each host and a short ring of events, so a slow reader loses
// history and never state, and cannot push back into failure detection.
package heartbeat
