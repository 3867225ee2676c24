package vip

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestConfigMistakes(t *testing.T) {
	good := Config{Name: "web", VRID: 51, Addresses: prefixes("10.0.0.100/24")}
	wire := good
	wire.Carrier = "vrrp"
	tests := []struct {
		name string
		want string // empty: none
		from Config
		with func(*Config)
	}{
		{"the least", "", good, func(*Config) {}},
		{"no name", "name: is required", good, func(c *Config) { c.Name = "" }},
		{"no vrid", "vrid: is required", good, func(c *Config) { c.VRID = 0 }},
		{"no addresses", "addresses: at least one", good, func(c *Config) { c.Addresses = nil }},
		{"twice", "addresses: 10.0.0.100 is listed twice", good, func(c *Config) { c.Addresses = prefixes("10.0.0.100/24", "10.0.0.100/32") }},
		{"multicast", "addresses: 224.0.0.1/32 is not", good, func(c *Config) { c.Addresses = prefixes("224.0.0.1/32") }},
		{"mapped", "addresses: ::ffff:10.0.0.1/120", good, func(c *Config) { c.Addresses = prefixes("::ffff:10.0.0.1/120") }},
		{"both families by gossip", "", good, func(c *Config) { c.Addresses = prefixes("10.0.0.100/24", "fd00::100/64") }},
		{"both families by vrrp", `addresses: IPv4 and IPv6 together need carrier = "gossip"`, wire, func(c *Config) { c.Addresses = prefixes("10.0.0.100/24", "fd00::100/64") }},
		{"carrier", `carrier: "pigeon" is neither`, good, func(c *Config) { c.Carrier = "pigeon" }},
		{"gossip too fast", "interval: 1ms is not within 3ms to 10s", good, func(c *Config) { c.Interval = time.Millisecond }},
		{"v3 between", "interval: 15ms is not a multiple of 10ms", wire, func(c *Config) { c.Interval = 15 * time.Millisecond }},
		{"v2 too fast", "interval: 100ms is not a whole number of seconds", wire, func(c *Config) { c.Version = 2 }},
		{"v2", "", wire, func(c *Config) { c.Version, c.Interval, c.Password = 2, time.Second, "secret" }},
		{"v2 of IPv6", "version: 2 has no IPv6", wire, func(c *Config) {
			c.Version, c.Interval, c.Addresses = 2, time.Second, prefixes("fe80::1/64")
		}},
		{"version 4", "version: 4 is neither 2 nor 3", wire, func(c *Config) { c.Version = 4 }},
		{"version by gossip", `version: 2 needs carrier = "vrrp"`, good, func(c *Config) { c.Version = 2 }},
		{"password of v3", `password: needs carrier = "vrrp" and version = 2`, wire, func(c *Config) { c.Password = "x" }},
		{"long password", "password: is longer than 8", wire, func(c *Config) { c.Version, c.Interval, c.Password = 2, time.Second, "123456789" }},
		{"peers by gossip", "peers: are found by gossip", good, func(c *Config) { c.Peers = []netip.Addr{netip.MustParseAddr("10.0.0.2")} }},
		{"peer of the other family", "peers: fd00::2 is not", wire, func(c *Config) { c.Peers = []netip.Addr{netip.MustParseAddr("fd00::2")} }},
		{"checksum", `checksum: "md5" is neither`, wire, func(c *Config) { c.Checksum = "md5" }},
		{"fence", "needs the zab ensemble", good, func(c *Config) { c.Fence = "quorum" }},
		{"other fence", `fence: "wall" is neither`, good, func(c *Config) { c.Fence = "wall" }},
		{"negative delay", "preempt_delay: -1s", good, func(c *Config) { c.PreemptDelay = -time.Second }},
		{"interface", "interface: ", good, func(c *Config) { c.Interface = "a-very-long-interface" }},
		{"weight", "track[0]: weight 5 is not within", good, func(c *Config) { c.Track = []Track{{Interface: "eth1", Weight: 5}} }},
		{"weight of the owner", "track[0]: weight -5: the owner", good, func(c *Config) { c.Priority, c.Track = 255, []Track{{Interface: "eth1", Weight: -5}} }},
		{"track two things", "track[0]: names an interface and a service", good, func(c *Config) { c.Track = []Track{{Interface: "eth1", Service: "web"}} }},
		{"route", "routes[0]: destination is required", good, func(c *Config) { c.Routes = []Route{{}} }},
		{"route via", "routes[0]: via fd00::1 is not of the family", good, func(c *Config) {
			c.Routes = []Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("fd00::1")}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.from
			tt.with(&c)
			switch err := c.Check(); {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCheckReportsAllMistakes(t *testing.T) {
	err := Config{Carrier: "pigeon", Fence: "wall"}.Check()
	for _, want := range []string{"name:", "vrid:", "addresses:", "carrier:", "fence:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell of %s", err, want)
		}
	}
}

func TestCheckAllFindsClashes(t *testing.T) {
	vip := func(name string, vrid uint8, addr string) Config {
		return Config{Name: name, VRID: vrid, Addresses: prefixes(addr)}
	}
	tests := []struct {
		name string
		want string
		a, b Config
	}{
		{"fine", "", vip("a", 1, "10.0.0.1/24"), vip("b", 2, "10.0.0.2/24")},
		{"name", "vip a: name: is used twice", vip("a", 1, "10.0.0.1/24"), vip("a", 2, "10.0.0.2/24")},
		{"vrid", "vip b: vrid: 1 is that of vip a", vip("a", 1, "10.0.0.1/24"), vip("b", 1, "10.0.0.2/24")},
		{"address", "vip b: addresses: 10.0.0.1 is also in vip a", vip("a", 1, "10.0.0.1/24"), vip("b", 2, "10.0.0.1/32")},
	}
	for _, tt := range tests {
		switch err := CheckAll([]Config{tt.a, tt.b}); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: refused: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	two := []Config{grouped(vip("a", 1, "10.0.0.1/24"), "g"), grouped(vip("b", 2, "10.0.0.2/24"), "g")}
	two[1].Priority = 7
	if err := CheckAll(two); err == nil || !strings.Contains(err.Error(), "group: priority") {
		t.Errorf("a group of two priorities: %v", err)
	}
}
