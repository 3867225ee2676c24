package probe

import (
	"context"
	"net/netip"
)

var httpKeys = []string{"port", "method", "path", "host", "expect"}
var httpsKeys = append([]string{"server_name", "verify"}, httpKeys...)
var loginKeys = []string{"port", "user", "password", "role"}

func checkHTTP(c Config) error   { return checkExpect(c.Expect) }
func checkScript(c Config) error { return nil }
func checkLogin(c Config) error  { return checkRole(c.Role) }

func ICMP(ctx context.Context, c Config, target netip.AddrPort) error   { return nil }
func TCP(ctx context.Context, c Config, target netip.AddrPort) error    { return nil }
func HTTP(ctx context.Context, c Config, target netip.AddrPort) error   { return nil }
func Script(ctx context.Context, c Config, target netip.AddrPort) error { return nil }
func MySQL(ctx context.Context, c Config, target netip.AddrPort) error  { return nil }
func Redis(ctx context.Context, c Config, target netip.AddrPort) error  { return nil }
