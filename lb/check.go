package lb

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"example.org/ha/lb/pool"
)

// Bounds of a Config.
const (
	maxServices = 4096
	maxServers  = 65536 // of all services together
	maxWeight   = 65535 // as IPVS
	maxTimeout  = 30 * 24 * time.Hour
)

// mistakes collects errors, each with the path of its key within the table.
type mistakes struct {
	errs []error
	path string
	in   string // the service's name, for those who do not count tables
}

func (m *mistakes) add(key, format string, args ...any) {
	m.errs = append(m.errs, fmt.Errorf("%s%s: %s%s", m.path, key, fmt.Sprintf(format, args...), m.in))
}

// join takes over errors of another package's Check, each of the form "key: message".
func (m *mistakes) join(table string, err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		key, message, _ := strings.Cut(strings.TrimSpace(line), ": ")
		m.add(table+key, "%s", message)
	}
}

// Check reports every mistake, each naming service and key.
func (c Config) Check() error {
	var m mistakes
	names := map[string]int{}
	listens := map[string]string{}
	servers := 0
	if len(c.Services) > maxServices {
		m.add("service", "%d of them, at most %d are possible", len(c.Services), maxServices)
	}
	for i, s := range c.Services {
		m.path, m.in = fmt.Sprintf("service[%d].", i), ""
		if s.Name != "" {
			m.in = fmt.Sprintf(" (service %q)", s.Name)
		}
		if first, twice := names[s.Name]; twice && s.Name != "" {
			m.add("name", "%q is the name of service[%d] too", s.Name, first)
		} else {
			names[s.Name] = i
		}
		s.check(&m)
		for j, l := range s.Listen {
			key := s.protocol().String() + " " + l.String()
			if other, twice := listens[key]; twice {
				m.add(fmt.Sprintf("listen[%d]", j), "%s is taken by service %q", key, other)
			} else {
				listens[key] = s.Name
			}
		}
		servers += len(s.Servers)
	}
	m.path, m.in = "", ""
	if servers > maxServers {
		m.add("service", "%d real servers, at most %d are possible", servers, maxServers)
	}
	return errors.Join(m.errs...)
}

// protocol is of a service that may not have been checked.
func (s Service) protocol() pool.Protocol {
	var p pool.Protocol
	_ = p.UnmarshalText([]byte(s.Protocol)) // check has said it
	return p
}

func (s Service) check(m *mistakes) {
	if s.Name == "" || len(s.Name) > 64 || strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		m.add("name", "%q: want 1 to 64 characters without blanks", s.Name)
	}
	if len(s.Listen) == 0 {
		m.add("listen", "required")
	}
	for i, l := range s.Listen {
		if l.Port() == 0 {
			m.add(fmt.Sprintf("listen[%d]", i), "%v has no port", l)
		}
	}
	s.checkForward(m)
	for _, d := range []struct {
		key string
		d   time.Duration
	}{
		{"persistent", s.Persistent}, {"slow_start", s.SlowStart}, {"connect_timeout", s.ConnectTimeout},
		{"idle_timeout", s.IdleTimeout}, {"udp_timeout", s.UDPTimeout}, {"drain_timeout", s.DrainTimeout},
	} {
		if d.d < 0 || d.d > maxTimeout {
			m.add(d.key, "%v is not in 0s to %v", d.d, maxTimeout)
		}
	}
	if s.PersistentMask < 0 || s.PersistentMask > 32 {
		m.add("persistent_mask", "%d is not in 0 to 32", s.PersistentMask)
	}
	if !(s.Protect >= 0 && s.Protect <= 1) {
		m.add("protect", "%v is not in 0 to 1", s.Protect)
	}
	if s.Quorum < 0 {
		m.add("quorum", "%d is negative", s.Quorum)
	}
	if s.Hysteresis < 0 || s.Hysteresis > max(s.Quorum, 1)-1 {
		m.add("hysteresis", "%d is not in 0 to quorum-1", s.Hysteresis)
	}
	if s.Sorry.IsValid() && s.Sorry.Port() == 0 {
		m.add("sorry", "%v has no port", s.Sorry)
	}
	s.checkServers(m)
}

func (s Service) checkForward(m *mistakes) {
	switch s.Forward {
	case "", "proxy":
		if s.Method != "" {
			m.add("method", "%q has no meaning for forward = \"proxy\"", s.Method)
		}
	case "ipvs":
		m.add("forward", "\"ipvs\" is not in this build yet, use \"proxy\"")
	default:
		m.add("forward", "%q is not a driver (proxy)", s.Forward)
	}
	var p pool.Protocol
	if err := p.UnmarshalText([]byte(s.Protocol)); err != nil {
		m.add("protocol", "%v", err)
	}
	if p == pool.UDP && s.SendProxy {
		m.add("send_proxy", "only for protocol tcp")
	}
	if s.Scheduler == pool.SH && s.SlowStart > 0 {
		// Each step would change the table for all clients, and the scaled weights fill its 256 slots
		// with a few servers.
		m.add("slow_start", "has no meaning for scheduler \"sh\", which hashes clients; use \"mh\"")
	}
	if !s.Scheduler.Valid() {
		m.add("scheduler", "%q is not a scheduler (%s)", s.Scheduler, join(pool.Schedulers()))
	}
}

func (s Service) checkServers(m *mistakes) {
	if s.Discover != nil {
		m.add("discover", "is not in this build yet, list the servers")
	} else if len(s.Servers) == 0 {
		m.add("server", "at least one is required")
	}
	seen := map[netip.AddrPort]int{}
	for i, r := range s.Servers {
		key := fmt.Sprintf("server[%d].", i)
		if !r.Address.IsValid() || r.Address.Port() == 0 {
			m.add(key+"address", "required, as ip:port")
		} else if first, twice := seen[r.Address]; twice {
			m.add(key+"address", "%v is server[%d] too", r.Address, first)
		} else {
			seen[r.Address] = i
		}
		if r.Weight != nil && (*r.Weight < 0 || *r.Weight > maxWeight) {
			m.add(key+"weight", "%d is not in 0 to %d", *r.Weight, maxWeight)
		}
	}
	if s.Check != nil {
		m.join("check.", s.Check.Check())
	}
}

func join[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// Check reports every mistake, each naming its key.
func (c Check) Check() error {
	return errors.Join(c.Config.Check(), c.Timing.Check())
}

// CheckTracked is Check for one that belongs to no service and must say itself whom to ask.
func (c Check) CheckTracked() error {
	err := c.Check()
	target := c.Target(netip.AddrPort{})
	switch {
	case c.Kind == "script":
	case !c.Address.IsValid():
		err = errors.Join(err, errors.New("address: required"))
	case c.NeedsPort() && target.Port() == 0:
		err = errors.Join(err, fmt.Errorf("address: %v has no port", c.Address))
	}
	return err
}
