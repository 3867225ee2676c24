// Package beat keeps the heartbeat apart from everything else this host does.
//
// A [Beat] is the composition: one heartbeat.Loop with a heartbeat.Node and a
// vip.Speaker on it. It may live in the process that uses it, as the demo does,
// or, because a busy heap in the same process makes even a realtime thread
// tens of milliseconds late, in a process of its own:
//
//	MAIN                                   BEAT, the same binary
//	roles, forwarder, probes               Loop: Node, Speaker
//	   |                                      |
//	Parent ------- SOCK_SEQPACKET ------- Child
//	   configure, health, resign, say, shout, stop  ->
//	   <-  answer, change, status, inbox, shouted
//
// The [Parent] has the same methods as a Beat, so its user need not know which
// of the two it talks to.
//
// The pipe is level-triggered wherever that is possible: the latest
// configuration, health, word and status replace the ones not sent yet. Events
// wait in a short ring that forgets the oldest and counts it. So a slow MAIN
// costs MAIN freshness and never costs BEAT a beat: what writes to the pipe is
// an ordinary goroutine, and the loop only ever posts and is posted to.
//
// Death is a message too. When MAIN dies, BEAT reads the end of the pipe, hands
// its addresses over and ends. When BEAT dies, MAIN starts it again with the
// configuration and health it should have.
package beat
