package heartbeat

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestCheckReportsEveryMistake(t *testing.T) {
	bad := Config{
		Bind: netip.MustParseAddrPort("224.0.0.18:0"), Interval: time.Millisecond, Lost: 1,
		Join: []string{"10.0.0.1:7946", "ha.example.com", "dns:", "dns:a..b", "dns:x:99999", "srv:a b", "0.0.0.0:1", "10.0.0.1:0"},
	}
	err := bad.Check()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"cluster.name:", "cluster.key_file:", "cluster.bind:", "cluster.interval: 1ms", "cluster.lost: 1",
		"entry 2:", "entry 3:", "entry 4:", "entry 5:", "entry 6:", "entry 7:", "entry 8:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "entry 1:") {
		t.Errorf("a good entry is refused:\n%v", err)
	}
}

func TestZeroFieldsMeanDefaults(t *testing.T) {
	c := Config{Name: "prod", KeyFile: "/etc/ha/cluster.key"}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	c = c.WithDefaults()
	if c.Interval != 100*time.Millisecond || c.Lost != 3 {
		t.Errorf("defaults are %v and %d", c.Interval, c.Lost)
	}
	for _, d := range []time.Duration{3 * time.Millisecond, 10 * time.Second} {
		c.Interval = d
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestJoinEntries(t *testing.T) {
	for text, want := range map[string]target{
		"10.0.0.12:7000":              {kind: literal, addr: netip.MustParseAddrPort("10.0.0.12:7000")},
		"10.0.0.12":                   {kind: literal, addr: netip.MustParseAddrPort("10.0.0.12:7946")},
		"fd00::1":                     {kind: literal, addr: netip.MustParseAddrPort("[fd00::1]:7946")},
		"[fd00::1]:7000":              {kind: literal, addr: netip.MustParseAddrPort("[fd00::1]:7000")},
		"[::ffff:10.0.0.1]:7000":      {kind: literal, addr: netip.MustParseAddrPort("10.0.0.1:7000")},
		"dns:ha.example.com":          {kind: dnsName, name: "ha.example.com", port: 7946},
		"dns:ha.example.com:7000":     {kind: dnsName, name: "ha.example.com", port: 7000},
		"srv:_ha._udp.ha.example.com": {kind: srvName, name: "_ha._udp.ha.example.com"},
	} {
		got, err := parseTarget(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"10.0.0.1:1", "dns:a:1", "srv:_a._udp.b", "[fe80::1%eth0]:7946", "dns::", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTarget(text)
		if err != nil {
			return
		}
		again, err := parseTarget(got.String())
		if err != nil || again != got {
			t.Errorf("%q became %+v, written %s, read again %+v, %v", text, got, got, again, err)
		}
	})
}

func TestDefaultBindIsTheAddressTowardsTheJoinHosts(t *testing.T) {
	targets, err := parseTargets([]string{"dns:ha.example.com", "127.0.0.1:7000"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := defaultBind(targets)
	if err != nil {
		t.Fatal(err)
	}
	if got != netip.MustParseAddrPort("127.0.0.1:7946") {
		t.Errorf("towards loopback: %v", got)
	}
}
