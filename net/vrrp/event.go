package vrrp

import "net/netip"

// An Event is something a Router hears. A nil Event says only that time has
// passed.
type Event interface{ event() }

// Start leaves Initialize.
type Start struct{}

// Heard is a valid advertisement of this virtual router from another router.
// The shell has checked the packet (ParseAdvertisement, Config.Admit, TTL); a
// packet that was refused must not reach the machine, so that no stranger can
// touch a timer. Nothing of it is kept after Step returns; *Heard will do too.
type Heard struct {
	From netip.Addr // source address; breaks ties of equal priority
	// Rank is the sender's address where From is not one: it breaks ties
	// before From does. Both sides have one or neither, or they disagree.
	Rank netip.Addr
	Advertisement
}

// SetPriority changes the priority in use, for example when a tracked check
// fails. The configured one comes back with Reconfigure.
type SetPriority struct{ Priority uint8 }

// SetLocal changes our primary address.
type SetLocal struct{ Local netip.Addr }

// Reconfigure replaces the configuration without losing the state. Wait is not
// looked at. VRID and Version may not change: that is another router.
type Reconfigure struct{ Config Config }

// Fault says that this host cannot serve: a tracked object failed, the link is
// down. It holds until Recovered; a later Fault only replaces the reason.
type Fault struct{ Reason string }

// Recovered ends a Fault.
type Recovered struct{}

// Acquired completes Acquire: the addresses are on the interface.
type Acquired struct{}

// AddressFailed completes Acquire when the addresses could not be added.
type AddressFailed struct{ Reason string }

// AddressLost says that an address we hold was removed by somebody else.
type AddressLost struct{}

// Released completes Release.
type Released struct{}

// Resign asks an Active router to hand over to another and to stay as Backup.
// It does not preempt its successor afterwards, whatever the priorities say.
type Resign struct {
	To    netip.Addr // the successor, as its Local; zero: whoever comes first
	Alone bool       // the shell knows that nobody else can take over
}

// Stop ends the router; an Active one hands over first. Stopped follows.
type Stop struct {
	To    netip.Addr
	Alone bool
}

func (Start) event()         {}
func (Heard) event()         {}
func (SetPriority) event()   {}
func (SetLocal) event()      {}
func (Reconfigure) event()   {}
func (Fault) event()         {}
func (Recovered) event()     {}
func (Acquired) event()      {}
func (AddressFailed) event() {}
func (AddressLost) event()   {}
func (Released) event()      {}
func (Resign) event()        {}
func (Stop) event()          {}

// An Effect is something a Router asks of its shell.
type Effect interface{ effect() }

// *Advertise sends an advertisement, now. It points into the Router and is
// good until the next Step; its Addresses are the configuration's and do not
// change. It comes at the router's interval: a carrier that repeats what was
// said must stop when the router is neither Active nor Resigning.
type Advertise struct{ Advertisement }

// Acquire adds the configured addresses, and removes those of an earlier
// configuration. It is answered by exactly one Acquired or AddressFailed;
// until then no further Acquire or Release is asked for.
type Acquire struct{}

// Announce tells the neighbours, once: gratuitous ARP or unsolicited neighbour
// advertisement of every address. It needs no answer.
type Announce struct{}

// Release removes the addresses. It is answered by exactly one Released, also
// when there was nothing to remove.
type Release struct{}

// Became reports a change of state.
type Became struct {
	From, To State
	Why      string
}

// Warn reports something a person should look at. It is given once per change,
// not once per packet.
type Warn struct {
	Why  string
	From netip.Addr // zero if it concerns nobody else
}

// Stopped is the last effect after Stop: the addresses are gone.
type Stopped struct{}

func (*Advertise) effect() {}
func (Acquire) effect()    {}
func (Announce) effect()   {}
func (Release) effect()    {}
func (Became) effect()     {}
func (Warn) effect()       {}
func (Stopped) effect()    {}
