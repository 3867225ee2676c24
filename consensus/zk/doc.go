// Package zk is a client of ZooKeeper's protocol: for our own members and for Apache's of 3.5 and later.
//
//	c, err := zk.Dial(ctx, zk.Config{Servers: []string{"10.0.0.1:2181", "10.0.0.2:2181"}})
//	_, _, err = c.Create(ctx, "/app/leader", []byte("me"), zk.Ephemeral, nil)
//	if errors.Is(err, jute.NodeExists) { … }
//
// # Who owns what
//
// Run is the one goroutine that owns the session: it finds a server, opens the session or takes it up again,
// writes requests and sends pings. One reader per connection takes the replies apart. Callers meet them in
// the pipeline, the only place with a lock on the way of a request.
//
//	caller ── Start ──> pipeline: queued ──take──> Run ──> socket
//	caller <── Wait ─── pipeline: sent <──pop── reader <── socket
//	                    watches <──── events ──┘
//
// Requests of one client are carried out in the order in which they were started, without waiting for each
// other: what runs from many goroutines, or through Start, is pipelined.
//
// # When the connection is lost
//
// The session outlives its connection. The client goes to the next server (the list is shuffled, names are
// resolved anew) and takes the session up with its password; what it proved of itself is proved again and
// all watches are set again before any waiting request goes out. A server that is behind what this client
// has seen refuses it, so a client never sees time run backwards.
//
// What had been sent and not answered fails with jute.ConnectionLoss: it may have been carried out or not,
// and only the caller knows how to find out (see Uncertain). Reads may be sent again instead, if
// Config.RetryReads is set. What had not been sent waits, as long as its context allows.
//
// # State, not history
//
// State returns what the session is now and a channel that is closed when that changes. A slow reader misses
// states in between, never the last one; the session's number tells it whether another began meanwhile.
// A Watch works alike: it collects what changed, once per znode, and after a lost connection it says that
// everything has to be listed again, for events in between are not replayed.
//
// Only a server decides that a session has expired. Who must stop before that, such as the holder of a
// fence, asks Lease: until when the session is alive whatever the network does.
package zk
