// Package appliance makes one host out of its parts: configuration in, running roles out.
//
// It is the only package that knows all others, and so the place for the map of the system. Arrows read
// "is imported by": pure machines on the left, what owns sockets, clocks and the kernel in the middle,
// what composes them on the right. The map is policy: deps_test.go holds it as data and fails on an
// import that is not drawn.
//
//	PURE                 SHELLS                          ROLES
//
//	net/gossip ────────> net/heartbeat ──┐
//	net/vrrp ──────────> net/vip <───────┴──> appliance/beat ──┐
//	                     ^ net/arp, net/ndp                    │
//	lb/pool ───────────> lb/proxy ─────────────────────────────┤
//	   └───────────────> lb <── lb/health, lb/probe ───────────┼──> appliance ──> appliance/demo ──> main
//	                     └─────> appliance/admin, appliance/notify       │
//	consensus/jute ──┬─> txnlog, clientport, adminport ─> consensus ─────┘
//	  tree  session  │                                    ^  └─> zoocfg
//	  quorum ──> zab ┴────────────────────────────────────┘
//	                 └─> consensus/zk (a client) ─> ha zk
//
// # Two processes
//
// Heartbeats and virtual addresses live in a process of their own, the same binary started as `ha beat`,
// because a busy heap in the same process makes even a realtime thread tens of milliseconds late. The
// main process has everything else. They speak over a socket pair; appliance/beat holds both ends.
//
//	ha run                                            ha beat
//	├ lb        probes, health, the wanted table       ├ heartbeat.Node   who is alive, what each last said
//	├ proxy     listeners and connections              └ vip.Speaker      who holds which address
//	├ zab       a ZooKeeper server
//	├ track     what addresses depend on                  ^
//	├ watch     the one reader of every change ───────────┘ health in, changes out
//	├ notify    people hear of it
//	└ admin     status, metrics, commands
//
// If the main process dies, the beat process sees the end of the pipe, hands its addresses over and
// ends. If the beat process dies it is started again at once; traffic does not notice.
//
// # A change of state
//
//	probe fails ─> lb: fall reached ─> table without the server ─> proxy: no new connections to it
//	                     └─> lb.Change ─> watch ─┬─> notify (if this host holds an address)
//	                                             ├─> the summary every other host sees
//	                                             └─> the health of a VIP that tracks the service
//	host dies ─> silence of three beats ─> vip: backup becomes active ─> gratuitous ARP
//	                                         └─> vip.Change ─> watch ─> notify
//
// # Life
//
// All parts start together; none waits for another, because a load balancer must hold its address when
// nothing else works. They stop in the order above, each awaited: addresses are handed over before the
// listeners behind them close. A part that returns early ends the process with exit code 1; the service
// manager outside is the one supervisor.
//
// # Configuration
//
// Each package owns its table as a Config with TOML tags and a Check; Config here has one field for each.
// Load reports every mistake at once, with file, line and key. A changed file is applied by all parts or
// by none (Appliance.Apply); what cannot change while running is named in the refusal.
package appliance
