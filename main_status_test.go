package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/lb"
	"example.org/ha/net/vip"
)

func TestStatusForPeople(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	st := admin.Status{
		Node: "lb1", Cluster: "prod", Version: "1", Roles: []string{"lb"}, Now: now, Started: now.Add(-3 * time.Hour),
		Config: admin.File{Path: "/etc/ha/ha.toml", Applied: now.Add(-time.Minute), Reloads: 2, Refusals: 1, Refused: "f:1: a: b\nf:2: c: d", RefusedAt: now.Add(-2 * time.Second)},
		Parts:  []admin.Part{{Name: "lb", Ready: true}, {Name: "beat", Reason: "bind: in use"}},
		Hosts: []admin.Host{
			{Name: "lb1", Address: at("10.0.0.11:7946"), State: "self", Since: now.Add(-time.Hour), Said: &admin.Summary{Held: []string{"web"}}},
			{Name: "lb2", Address: at("10.0.0.12:7946"), State: "lost", Since: now.Add(-5 * time.Second), Heard: now.Add(-6 * time.Second), Said: &admin.Summary{Held: []string{"mail"}}},
			{Name: "lb3", State: "alive"},
		},
		Gossip: admin.Gossip{At: now, Interval: 0.1, Lost: 3, Sent: 7, Heard: 6, Dropped: map[string]uint64{"replayed": 2, "forged": 1, "none": 0}},
		Beat:   admin.Beat{PID: 9, Restarts: 1, Why: "operation not permitted", LateMax: 0.0012, LateP99: 0.00004},
		VIPs: []vip.Status{
			{Name: "web", State: "active", Held: true, Priority: 200, Carrier: "gossip", Sent: 5, Transitions: 2, Warnings: []string{"addresses differ"}},
			{Name: "mail", State: "backup", Active: "lb2"},
			{Name: "old", State: "backup", ActiveAddr: netip.MustParseAddr("10.0.0.9"), Rejected: map[string]uint64{"ttl": 4}, Claim: "10.0.0.8"},
			{Name: "none", State: "fault"},
		},
		Tracks:  []admin.Track{{VIP: "web", Name: "service web", Weight: -20, Reason: "empty"}, {VIP: "web", Name: "check tcp", Reason: "refused"}},
		LB:      &lb.Status{Services: []lb.ServiceStatus{{Name: "web", Condition: "serving", Servers: []lb.ServerStatus{{Address: at("10.0.0.21:80"), Drained: true}}}}},
		Flows:   []admin.Flow{{Service: "web", Server: "10.0.0.21:80", Active: 3, Total: 44}},
		ZAB:     &admin.Member{Mode: "standalone", Listen: []netip.AddrPort{at("10.0.0.11:2181")}, Zxid: 0x1f, Znodes: 7, Sessions: 2, Connections: 3},
		LogLost: 5,
	}
	var b strings.Builder
	writeStatus(&b, st)
	var squeezed strings.Builder
	for line := range strings.Lines(b.String()) {
		squeezed.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	for _, want := range []string{
		"lb1: NOT READY, cluster prod, roles lb, up 3h0m0s, ha 1\n",
		"! beat is not ready: bind: in use\n",
		"! the file was refused 2s ago, the old configuration is in force:\nf:1: a: b\nf:2: c: d\n",
		"! beats run without realtime priority, a busy host may be taken for lost: operation not permitted\n",
		"! vip web: addresses differ\n", "! vip old: 10.0.0.8 advertises it too\n",
		"! vip web: service web fails (priority -20): empty\n", "! vip web: check tcp fails (the address is given up): refused\n",
		"! 5 log lines were lost",
		"lb1 10.0.0.11:7946 this host 1h0m0s - web -\n",
		"lb2 10.0.0.12:7946 lost 5s 6s - -\n", // what a dead host said it holds, it does not
		"lb3 - alive - - - -\n",
		"web lb1 ", "mail lb2 ", "old 10.0.0.9 ", "none - ",
		"10.0.0.21:80 unknown, drained ", " 3 44",
		"standalone 10.0.0.11:2181 0x1f 7 2 3 0 0\n",
		"configuration /etc/ha/ha.toml, in force for 1m0s; 2 reloads, 1 refused\n",
		"beats every 100ms, lost after 3; 7 sent, 6 heard, 0 could not be sent; refused: 1 forged, 2 replayed\n",
		"beat loop process 9, restarted 1 times; no realtime priority (operation not permitted); woke up at most 1.2ms late in the last minute, 40µs in 99 of 100 cases\n",
		"vip web 5 advertisements sent, 0 heard; 2 changes of state\n",
		"vip old 0 advertisements sent, 0 heard, refused: 4 ttl; 0 changes of state\n",
	} {
		if !strings.Contains(squeezed.String(), want) {
			t.Errorf("the status lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
}
