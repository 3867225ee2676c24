// Package consensus is one ZAB member: a server that ZooKeeper's clients take for Apache ZooKeeper, with
// ZooKeeper's files on disk. It stands alone so far, as an ensemble of one.
//
// One goroutine, the loop of Member, owns the tree, the sessions, the watches and the zab machine. What
// comes in reaches it in batches, what goes out leaves it in batches, and nothing else touches that state:
//
//	clientport ──batches of frames──> loop ──group of records──> txnlog
//	clientport <──bytes per connection── loop <──written── txnlog
//
// A write is prepared against the tree and what is on its way (prepare.go), proposed to zab (package
// consensus/zab), which asks for it to be logged; once a quorum has it on disk, zab delivers it, and it is
// applied (apply.go): first the watches that fire, then the answer. A read is answered at once from the
// tree, unless the same session has a write on its way: then it waits behind that.
package consensus
