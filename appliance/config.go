package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/notify"
	"example.org/ha/consensus"
	"example.org/ha/lb"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// Config is the whole of ha.toml: one field for each table.
type Config struct {
	// Roles are the jobs of this host: "vip" (it holds virtual addresses; every role includes it),
	// "lb" (it balances load) and "zab" (it is a ZooKeeper server). Required, unless the command
	// names the role.
	Roles []string `toml:"roles"`
	// Node is this host's name, unique in the cluster. Default: the host name up to the first dot.
	Node string `toml:"node"`
	// LogFormat is "text" or "json", for the log on standard error. Default text.
	LogFormat string `toml:"log_format"`

	Cluster heartbeat.Config `toml:"cluster"`
	VIP     []VIP            `toml:"vip"`
	LB      lb.Config        `toml:"lb"`
	ZAB     consensus.Config `toml:"zab"`
	Notify  notify.Config    `toml:"notify"`
	Admin   admin.Config     `toml:"admin"`
}

// VIP is one [[vip]]: the terms of net/vip, and conditions that are judged outside the heartbeat.
type VIP struct {
	vip.Config
	// Track hides the Track of vip.Config, which knows interfaces only.
	Track []Track `toml:"track"`
}

// A Track is one [[vip.track]]: exactly one of Interface, Service and Check.
type Track struct {
	// Interface must be up.
	Interface string `toml:"interface"`
	// Service is a virtual service of this host that must have a healthy real server.
	Service string `toml:"service"`
	// Check is a probe that must succeed, with the keys of [lb.service.check] and an address.
	Check *lb.Check `toml:"check"`
	// Weight is added to the priority while the condition fails, -253 to 0. With 0, the default,
	// the host gives the address up.
	Weight int `toml:"weight"`
}

// The roles of this build.
const (
	RoleVIP = "vip"
	RoleLB  = "lb"
	RoleZAB = "zab"
)

var roles = []string{RoleVIP, RoleLB, RoleZAB}

// Load reads and checks a file. With role given, the host has that role whatever the file's roles say,
// and tables of other roles are left aside. The error is a Mistakes unless the file cannot be read.
func Load(path string, role ...string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("appliance: read configuration: %w", err)
	}
	return parse(path, text, true, role)
}

// Parse is Load for text that is already read, and of no host in particular: the files that it names are
// not looked at. file stands in the messages.
func Parse(file string, text []byte, role ...string) (Config, error) {
	return parse(file, text, false, role)
}

func parse(file string, text []byte, here bool, role []string) (Config, error) {
	var cfg Config
	d := decode(file, text, &cfg)
	if len(role) > 0 {
		cfg.Roles = role
		if !slices.Contains(role, RoleLB) {
			cfg.LB = lb.Config{}
		}
		if !slices.Contains(role, RoleZAB) {
			cfg.ZAB = consensus.Config{}
		}
	}
	if !d.broken {
		d.check(cfg)
		if here {
			d.checkFiles(cfg)
		}
	}
	if err := d.err(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// check adds what the packages find wrong with the values.
func (d *decoding) check(cfg Config) {
	d.checkTop(cfg)
	d.each("cluster", cfg.clusterFilled().Check())
	var all []vip.Config
	for i, v := range cfg.VIP {
		d.each(fmt.Sprintf("vip[%d]", i), v.bare().Check())
		for j, t := range v.Track {
			d.each(fmt.Sprintf("vip[%d].track[%d]", i, j), t.check(cfg))
		}
		all = append(all, v.bare())
	}
	d.clashes(all)
	d.each("lb", cfg.LB.Check())
	if slices.Contains(cfg.Roles, RoleZAB) {
		d.each("zab", cfg.ZAB.Check())
	}
	d.each("notify", cfg.Notify.Check())
	d.each("admin", cfg.Admin.Check())
}

func (d *decoding) checkTop(cfg Config) {
	if len(cfg.Roles) == 0 {
		d.found("roles", `required: one or more of "vip", "lb", "zab"`)
	}
	for i, r := range cfg.Roles {
		if !slices.Contains(roles, r) {
			d.found("roles", "%q is not a role (%s)", r, strings.Join(roles, ", "))
		}
		if slices.Contains(cfg.Roles[:i], r) {
			d.found("roles", "%q is listed twice", r)
		}
	}
	d.unused(RoleLB, cfg, len(cfg.LB.Services) > 0)
	d.unused(RoleZAB, cfg, !reflect.DeepEqual(cfg.ZAB, consensus.Config{}))
	lost := slices.ContainsFunc(d.blanked, func(b string) bool { return b == "lb" || within(b, "lb[0]") || within(b, "lb.service") })
	if slices.Contains(cfg.Roles, RoleLB) && len(cfg.LB.Services) == 0 && !lost {
		d.found("lb.service", `required by the role "lb": at least one [[lb.service]]; or write roles = ["vip"]`)
	}
	if f := cfg.Cluster.KeyFile; f != "" && !filepath.IsAbs(f) {
		d.found("cluster.key_file", "%q is not an absolute path: the service manager decides what it is relative to", f)
	}
	if cfg.Node != "" && !nodeName.MatchString(cfg.Node) {
		d.found("node", "%q is not a host name: letters, digits, dots and dashes, at most 63", cfg.Node)
	}
	if !slices.Contains([]string{"", "text", "json"}, cfg.LogFormat) {
		d.found("log_format", `%q is neither "text" nor "json"`, cfg.LogFormat)
	}
}

// unused reports the table of a role that this host does not have: each role's table has its name.
func (d *decoding) unused(role string, cfg Config, filled bool) {
	i := slices.IndexFunc(d.index, func(e entry) bool { return e.path[0] == role })
	if i >= 0 && filled && len(cfg.Roles) > 0 && !slices.Contains(cfg.Roles, role) {
		d.report(d.index[i].line, role, "this host does not have the role %q; add it to roles or remove the table", role)
	}
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$`)

// checkFiles reports the files named that are there and of no use. One that is absent may yet come: a
// configuration is checked on machines that it is not for.
func (d *decoding) checkFiles(cfg Config) {
	_, err := readKeys(cfg.clusterFilled().KeyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.found("cluster.key_file", "%v", err)
	}
	if err := cfg.Admin.CheckFiles(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.found("admin.token_file", "%v", err)
	}
}

// found reports a mistake of a value, unless the key's statement was already refused.
func (d *decoding) found(path, format string, args ...any) {
	if slices.ContainsFunc(d.blanked, func(b string) bool { return within(path, b) || within(b, path) }) {
		return
	}
	d.at(path, format, args...)
}

// A mistake of a package's Check begins with the key's path within its table.
var keyPath = regexp.MustCompile(`^([a-z_]+(?:\[\d+\])?(?:\.[a-z_]+(?:\[\d+\])?)*): (?s:(.*))$`)

// each reports every error that Check joined.
func (d *decoding) each(table string, err error) {
	for _, err := range flat(err) {
		text := err.Error()
		m := keyPath.FindStringSubmatch(text)
		if m == nil {
			d.found(table, "%s", text)
			continue
		}
		path := strings.TrimPrefix(m[1], table+".")
		d.found(table+"."+path, "%s", m[2])
	}
}

// clashes reports what virtual addresses cannot both be. CheckAll names the later of the two.
func (d *decoding) clashes(all []vip.Config) {
	for _, err := range flat(vip.CheckAll(all)) {
		if errors.Unwrap(err) != nil {
			continue // one address's own mistakes: reported above
		}
		text := strings.TrimPrefix(err.Error(), "vip ")
		for i, v := range slices.Backward(all) {
			if v.VRID == 0 && strings.Contains(text, ": vrid: 0 ") {
				text = "" // both lack it, and each was told so
				break
			}
			if rest, ok := strings.CutPrefix(text, v.Name+": "); ok {
				d.each(fmt.Sprintf("vip[%d]", i), errors.New(rest))
				text = ""
				break
			}
		}
		if text != "" {
			d.found("vip", "%s", text)
		}
	}
}

// flat takes joined errors apart.
func flat(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flat(e)...)
	}
	return out
}

// bare is the part of a VIP that the heartbeat process gets: it watches interfaces itself.
func (v VIP) bare() vip.Config {
	c := v.Config
	c.Track = nil
	for _, t := range v.Track {
		if t.Interface != "" {
			c.Track = append(c.Track, vip.Track{Interface: t.Interface, Weight: t.Weight})
		}
	}
	return c
}

func (t Track) check(cfg Config) error {
	var errs []error
	given := 0
	for _, is := range []bool{t.Interface != "", t.Service != "", t.Check != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		errs = append(errs, errors.New("exactly one of interface, service and check is required"))
	}
	if t.Weight > 0 || t.Weight < -253 {
		errs = append(errs, fmt.Errorf("weight: %d is not within -253 to 0", t.Weight))
	}
	if t.Service != "" && !slices.ContainsFunc(cfg.LB.Services, func(s lb.Service) bool { return s.Name == t.Service }) {
		errs = append(errs, fmt.Errorf("service: no [[lb.service]] is called %q", t.Service))
	}
	if t.Check != nil {
		for _, err := range flat(t.Check.CheckTracked()) {
			errs = append(errs, fmt.Errorf("check.%w", err))
		}
	}
	return errors.Join(errs...)
}
