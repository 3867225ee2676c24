// Package demo runs the product where somebody can watch it work.
//
// [Dev] needs no privilege and no network set-up: two load-balancer hosts of
// one cluster live in this process, each an ordinary appliance with its own
// gossip, its own virtual-address speaker and its own forwarder, talking over
// loopback. Three web servers stand behind them. What a switch and its
// neighbour caches are to a real host, the [segment] is to these two: it
// listens on the shared address and hands every connection to the host that
// last announced the address.
//
//	client ──> 127.0.0.100:8080 segment ──> lb1 127.0.0.11 ─┬─> web1 127.0.0.21
//	                                   └ ─> lb2 127.0.0.12 ─┼─> web2 127.0.0.22
//	                                                        └─> web3 127.0.0.23
//
// [Lab] needs root: it builds a [LAN] of network namespaces, starts the real
// binary in two of them, nginx in three more, and measures from a client what
// the death of the active host and a planned handover cost.
//
// A LAN leaves nothing behind. Its namespaces have no names: they live as
// long as the threads and processes inside them and go when this process
// ends, however it ends.
package demo
