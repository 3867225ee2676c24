package lb

import (
	"slices"
	"strings"
	"testing"
)

func TestCheckNamesEveryMistake(t *testing.T) {
	good := config(2)
	if err := good.Check(); err != nil {
		t.Fatalf("good configuration: %v", err)
	}
	for _, tc := range []struct {
		name string
		edit func(c *Config, s *Service)
		want string
	}{
		{"no name", func(c *Config, s *Service) { s.Name = "" }, `service[0].name: `},
		{"same name", func(c *Config, s *Service) { c.Services = append(c.Services, *s) }, `service[1].name: "web" is the name of service[0] too`},
		{"no listen", func(c *Config, s *Service) { s.Listen = nil }, `service[0].listen: required`},
		{"no port", func(c *Config, s *Service) { s.Listen[0] = addr("10.0.0.1:0") }, `service[0].listen[0]: `},
		{"same listen", func(c *Config, s *Service) {
			o := *s
			o.Name = "two"
			c.Services = append(c.Services, o)
		}, `service[1].listen[0]: tcp 10.0.0.100:80 is taken by service "web"`},
		{"listen twice", func(c *Config, s *Service) { s.Listen = append(s.Listen, s.Listen[0]) }, `service[0].listen[1]: `},
		{"protocol", func(c *Config, s *Service) { s.Protocol = "sctp" }, `service[0].protocol: "sctp"`},
		{"scheduler", func(c *Config, s *Service) { s.Scheduler = "wlx" }, `service[0].scheduler: "wlx" is not a scheduler (rr, wrr,`},
		{"ipvs", func(c *Config, s *Service) { s.Forward = "ipvs" }, `service[0].forward: "ipvs" is not in this build yet`},
		{"forward", func(c *Config, s *Service) { s.Forward = "xxx" }, `service[0].forward: "xxx"`},
		{"method", func(c *Config, s *Service) { s.Method = "dr" }, `service[0].method: `},
		{"discover", func(c *Config, s *Service) { s.Discover = &Discover{} }, `service[0].discover: is not in this build yet`},
		{"no server", func(c *Config, s *Service) { s.Servers = nil }, `service[0].server: at least one`},
		{"server without port", func(c *Config, s *Service) { s.Servers[1].Address = addr("10.0.0.1:0") }, `service[0].server[1].address: `},
		{"same server", func(c *Config, s *Service) { s.Servers[1] = s.Servers[0] }, `service[0].server[1].address: 10.0.0.1:80 is server[0] too`},
		{"weight", func(c *Config, s *Service) { s.Servers[1].Weight = new(65536) }, `service[0].server[1].weight: 65536`},
		{"udp proxy", func(c *Config, s *Service) { s.Protocol, s.SendProxy = "udp", true }, `service[0].send_proxy: `},
		{"negative time", func(c *Config, s *Service) { s.IdleTimeout = -1 }, `service[0].idle_timeout: `},
		{"slow start of sh", func(c *Config, s *Service) { s.Scheduler, s.SlowStart = "sh", 1 }, `service[0].slow_start: has no meaning for scheduler "sh"`},
		{"mask", func(c *Config, s *Service) { s.PersistentMask = 33 }, `service[0].persistent_mask: `},
		{"protect", func(c *Config, s *Service) { s.Protect = 1.5 }, `service[0].protect: `},
		{"quorum", func(c *Config, s *Service) { s.Quorum = -1 }, `service[0].quorum: `},
		{"hysteresis", func(c *Config, s *Service) { s.Hysteresis = 1 }, `service[0].hysteresis: `},
		{"kind", func(c *Config, s *Service) { s.Check.Kind = "htp" }, `service[0].check.kind: `},
		{"interval", func(c *Config, s *Service) { s.Check.Interval = 1 }, `service[0].check.interval: `},
		{"path", func(c *Config, s *Service) { s.Check.Kind, s.Check.Path = "http", "/a b" }, `service[0].check.path: "/a b"`},
		{"alien key", func(c *Config, s *Service) { s.Check.Path = "/x" }, `service[0].check.path: has no meaning for kind "tcp"`},
	} {
		c := config(2)
		tc.edit(&c, &c.Services[0])
		err := c.Check()
		if err == nil {
			t.Errorf("%s: no error", tc.name)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, tc.want) }) {
			t.Errorf("%s: got %q, want a line %q…", tc.name, lines, tc.want)
		}
		if tc.name != "no name" && !strings.Contains(err.Error(), `service "`) {
			t.Errorf("%s: the service is not named in %q", tc.name, lines)
		}
	}
	var bad Config
	bad.Services = []Service{{Name: "a b", Scheduler: "x"}, {Protocol: "z"}}
	if n := len(strings.Split(bad.Check().Error(), "\n")); n != 8 {
		t.Errorf("%d mistakes, want 8: %v", n, bad.Check())
	}
}
