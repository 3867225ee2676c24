// Package pool says what the forwarding table should be. It holds no socket and no clock: what is
// configured, what the checks found and what the operator ordered go in, a [Table] comes out, and
// [Diff] turns two tables into the smallest list of changes.
//
// The words are LVS's. A [VirtualService] is an address clients use; its [RealServer]s do the work;
// a [Scheduler] chooses one for each new connection by weight and load.
//
// [Reduce] folds each configured server into one of five states. The strongest reason wins:
//
//	Maint     the operator took it out: it leaves the table
//	Draining  the operator drains it: weight 0, established connections stay
//	Down      its checks fail: it leaves the table
//	Warming   healthy again since less than the slow start time: part of its weight
//	Up        its full weight
//
// A data path (lb/proxy, lb/ipvs) is handed the whole Table each time and finds out by itself what
// to do; nothing that did not change is touched.
package pool

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Protocol is the transport protocol of a virtual service. The zero value is TCP.
type Protocol uint8

const (
	TCP Protocol = iota
	UDP
)

func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("protocol(%d)", uint8(p))
}

// MarshalText writes "tcp" or "udp".
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads "tcp" or "udp"; empty means TCP.
func (p *Protocol) UnmarshalText(b []byte) error {
	switch string(b) {
	case "tcp", "":
		*p = TCP
	case "udp":
		*p = UDP
	default:
		return fmt.Errorf("%q is not a protocol (tcp, udp)", b)
	}
	return nil
}

// Scheduler names how a real server is chosen for a new connection, as IPVS names it.
// The empty name means [WLC], as in ipvsadm.
type Scheduler string

const (
	RR  Scheduler = "rr"  // each in turn
	WRR Scheduler = "wrr" // each in turn, as often as its weight says
	LC  Scheduler = "lc"  // fewest connections
	WLC Scheduler = "wlc" // fewest connections per weight
	SH  Scheduler = "sh"  // by the client's address, table of 256 slots
	MH  Scheduler = "mh"  // by the client's address, Maglev table: few clients move when servers do
	SED Scheduler = "sed" // shortest expected delay: (active+1)/weight
	NQ  Scheduler = "nq"  // never queue: an idle server first, else SED
)

// Schedulers lists the known names in the order documentation shows them.
func Schedulers() []Scheduler { return []Scheduler{RR, WRR, LC, WLC, SH, MH, SED, NQ} }

// Valid reports whether s is a known name or empty.
func (s Scheduler) Valid() bool { return s == "" || slices.Contains(Schedulers(), s) }

// A VirtualService is what clients connect to: one or more addresses in front of real servers.
// Zero durations mean the data path's documented default.
type VirtualService struct {
	Name      string           // unique in a Table
	Listen    []netip.AddrPort // sorted, at least one
	Protocol  Protocol
	Scheduler Scheduler

	Persistent     time.Duration  // a client returns to its server within this time; 0: no persistence
	PersistentMask int            // prefix bits that make two IPv4 clients one (IPv6: 96 more); 0: the whole address
	Sorry          netip.AddrPort // where connections go when no real server takes them; invalid: nowhere
	SendProxy      bool           // PROXY protocol v2 header to the real server, TCP only

	ConnectTimeout time.Duration // one attempt at one real server
	IdleTimeout    time.Duration // TCP connection without a byte either way
	UDPTimeout     time.Duration // UDP flow without a datagram either way
	DrainTimeout   time.Duration // what a deleted service's connections may still take
	CutDown        bool          // reset a real server's connections when it leaves the table, instead of letting them end

	Servers []RealServer // sorted by address, addresses unique
}

// A RealServer does the work. With Weight 0 it gets no new connections and keeps what it has.
type RealServer struct {
	Address netip.AddrPort
	Weight  int
}

// A Table is the whole desired state, sorted by service name.
type Table struct{ Services []VirtualService }

// Equal reports whether v and o are the same in everything but their servers.
func (v VirtualService) equalOptions(o VirtualService) bool {
	if !slices.Equal(v.Listen, o.Listen) {
		return false
	}
	return v.Name == o.Name && v.Protocol == o.Protocol && v.Scheduler == o.Scheduler &&
		v.Persistent == o.Persistent && v.PersistentMask == o.PersistentMask && v.Sorry == o.Sorry &&
		v.SendProxy == o.SendProxy && v.ConnectTimeout == o.ConnectTimeout && v.IdleTimeout == o.IdleTimeout &&
		v.UDPTimeout == o.UDPTimeout && v.DrainTimeout == o.DrainTimeout && v.CutDown == o.CutDown
}

func compareServers(a, b RealServer) int      { return a.Address.Compare(b.Address) }
func compareServices(a, b VirtualService) int { return cmp.Compare(a.Name, b.Name) }

// Sorted returns a deep copy of t in canonical order: services by name, servers and listen
// addresses by address.
func (t Table) Sorted() Table {
	out := Table{Services: slices.Clone(t.Services)}
	for i := range out.Services {
		v := &out.Services[i]
		v.Listen = slices.Clone(v.Listen)
		slices.SortFunc(v.Listen, netip.AddrPort.Compare)
		v.Servers = slices.Clone(v.Servers)
		slices.SortFunc(v.Servers, compareServers)
	}
	slices.SortFunc(out.Services, compareServices)
	return out
}
