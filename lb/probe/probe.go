// Package probe asks one real server one question: are you well?
//
// Each kind of probe is one file and one row of the table in this one. A probe is a function that
// blocks until it has an answer or its context ends; it returns nil for a healthy server and
// otherwise an error an operator can act on, such as
//
//	connect 10.0.0.21:80: connection refused
//	GET 10.0.0.21:80/healthz: status 503, want 200
//
// When to ask, and how many answers make a server up or down, is decided by lb/health. How many may
// ask at once is decided by a Pool.
package probe

import (
	"context"
	"net/netip"
)

// Func probes target as c says. It returns before or soon after ctx ends.
type Func func(ctx context.Context, c Config, target netip.AddrPort) error

// A kind is one row of the table: what a probe is called, which keys it reads, how it asks.
type kind struct {
	name         string
	port         uint16 // the well-known port, 0 for none
	portless     bool   // the target's port means nothing
	portOptional bool   // the target's port may be 0
	process      bool   // it starts one, so few may run at once
	keys         []string
	check        func(Config) error
	do           Func
}

// kinds is the one place where a kind is made known.
func kinds() []kind {
	return []kind{
		{name: "icmp", portless: true, do: ICMP},
		{name: "tcp", keys: []string{"port"}, do: TCP},
		{name: "http", port: 80, keys: httpKeys, check: checkHTTP, do: HTTP},
		{name: "https", port: 443, keys: httpsKeys, check: checkHTTP, do: HTTP},
		{name: "script", portOptional: true, process: true, keys: []string{"port", "command"}, check: checkScript, do: Script},
		{name: "mysql", port: 3306, keys: loginKeys, check: checkLogin, do: MySQL},
		{name: "redis", port: 6379, keys: loginKeys, check: checkLogin, do: Redis},
	}
}

// Kinds lists the names of all kinds.
func Kinds() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

func kindNamed(name string) (kind, bool) {
	for _, k := range kinds() {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

// Do probes target with the kind that c names.
func Do(ctx context.Context, c Config, target netip.AddrPort) error {
	k, ok := kindNamed(c.Kind)
	if !ok {
		panic("probe: unknown kind " + c.Kind) // Check has refused it
	}
	return k.do(ctx, c, target)
}
