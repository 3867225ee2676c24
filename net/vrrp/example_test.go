package vrrp_test

import (
	"fmt"
	"net/netip"
	"time"

	"example.org/ha/net/vrrp"
)

// A shell gives events, does what it is asked to, and comes back at Deadline.
// Here nobody else is on the link.
func ExampleRouter() {
	r := vrrp.New(vrrp.Config{
		VRID: 51, Priority: 100, Interval: 100 * time.Millisecond, Preempt: true,
		Local:     netip.MustParseAddr("192.0.2.2"),
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.100")},
	})
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now, events := start, []vrrp.Event{vrrp.Start{}}
	for now.Before(start.Add(450 * time.Millisecond)) {
		var ev vrrp.Event
		if len(events) > 0 {
			ev, events = events[0], events[1:]
		} else {
			now = r.Deadline()
		}
		for _, eff := range r.Step(now, ev) {
			at := now.Sub(start).Round(time.Millisecond)
			switch e := eff.(type) {
			case *vrrp.Advertise:
				fmt.Println(at, "advertise", e.Priority)
			case vrrp.Acquire:
				fmt.Println(at, "add the addresses")
				events = append(events, vrrp.Acquired{})
			case vrrp.Announce:
				fmt.Println(at, "announce")
			case vrrp.Became:
				fmt.Printf("%v %v -> %v: %s\n", at, e.From, e.To, e.Why)
			}
		}
	}
	// Output:
	// 0s initialize -> backup: started
	// 361ms advertise 100
	// 361ms backup -> active: no active router was heard
	// 361ms add the addresses
	// 361ms announce
	// 361ms advertise 100
	// 363ms announce
	// 371ms announce
	// 411ms announce
	// 461ms advertise 100
}
