// Package zoocfg reads the configuration of a ZooKeeper server, zoo.cfg, so that an existing one runs
// unchanged.
//
// The file is a Java properties file. Some of its keys are settings by name; all others ZooKeeper turns
// into system properties, zookeeper.<key>, where some part of it may look them up. Here every key falls
// into one of three classes, and none is passed over in silence:
//
//	honoured   has its place in consensus.Config, or is kept for the ensemble
//	harmless   is known and asks for nothing that would be done differently here: a Note says why
//	unknown    is a Note too, a warning: a misspelt key is the one a person thinks is in force
//
// A key that is known but asks for something that is not done here is a warning as well. A wrong value is
// an error, and all of them are reported at once, each with file and line.
package zoocfg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/ha/consensus"
)

// A Note is a remark on one key.
type Note struct {
	Place   string // zoo.cfg:12, or -D for a system property
	Key     string
	Text    string
	Warning bool // what the key asks for does not happen; else it is only worth knowing
	Unknown bool // nobody knows the key
}

func (n Note) String() string { return n.Place + ": " + n.Key + " " + n.Text }

// A reader gathers what one configuration says.
type reader struct {
	file  string
	cfg   consensus.Config
	notes []Note
	errs  []error
	given map[string]entry // by key, without the prefix zookeeper.

	clientPort, securePort int // 0: not given
	clientAddr, secureAddr string
	admin                  bool
	adminPort              int
	adminAddr              string
	prometheus             bool
	metricsPort            int
	metricsAddr            string
	quorumTLS              consensus.TLS
	verifyHost             bool // ssl.hostnameVerification
	digestDisabled         bool
	sasl                   bool // authProvider names SASL's
	servers                map[int64]*consensus.Server
	weights                map[int64]int64
}

// Parse reads the text of a configuration file and, if it names one, the file with the members of the
// ensemble. Overrides are system properties, as java's -D gives them, with the prefix zookeeper. or
// without: as with ZooKeeper, a key in the file counts more than the same property.
//
// The notes come in the order of the lines. The error joins all that are wrong; Config is then not to be
// used.
func Parse(file string, text []byte, overrides map[string]string) (consensus.Config, []Note, error) {
	r := &reader{
		file: file, given: map[string]entry{}, admin: true, adminPort: 8080, metricsPort: 7000, verifyHost: true,
		servers: map[int64]*consensus.Server{}, weights: map[int64]int64{},
	}
	r.cfg.Tick = 3 * time.Second // DEFAULT_TICK_TIME
	r.cfg.Settings = map[string]string{}
	entries, err := properties(file, string(text))
	if err != nil {
		r.errs = append(r.errs, err)
	}
	for _, e := range entries {
		r.line(e)
	}
	for _, e := range systemProperties(overrides) {
		r.property(e)
	}
	r.finish()
	r.cfg.InitialConfig = withoutSecrets(string(text), entries)
	return r.cfg, r.notes, errors.Join(r.errs...)
}

// systemProperties are the overrides as entries, sorted.
func systemProperties(overrides map[string]string) []entry {
	var out []entry
	for key, value := range overrides {
		out = append(out, entry{file: "-D", key: key, value: strings.TrimSpace(value)})
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return out
}

// line takes one entry of the file.
func (r *reader) line(e entry) {
	if e.key == "" {
		r.unknown(e, "has no name")
		return
	}
	if name, ok := strings.CutPrefix(e.key, "zookeeper."); ok {
		r.notes = append(r.notes, Note{Place: e.place(), Key: e.key, Text: "is taken for " + name})
		e.key = name
	}
	if before, twice := r.given[e.key]; twice {
		r.notes = append(r.notes, Note{Place: before.place(), Key: e.key, Warning: true, Text: "is given again at " + e.place() + ", which counts"})
	}
	r.given[e.key] = e
	if r.cfg.Settings[e.key] = e.value; secret(e.key) {
		r.cfg.Settings[e.key] = "***"
	}
	r.set(e)
}

// property takes one system property. Only what is no key by name can be given so.
func (r *reader) property(e entry) {
	name, prefixed := strings.CutPrefix(e.key, "zookeeper.")
	e.key = name
	if before, ok := r.given[name]; ok {
		r.notes = append(r.notes, Note{Place: e.place(), Key: name, Text: "counts less than " + before.place()})
		return
	}
	if _, byName := named[name]; byName || strings.HasPrefix(name, "server.") {
		r.warn(e, "is a key of the configuration file, not a system property")
		return
	}
	if !prefixed && name != loginConfig && javasOwn(name) {
		r.harmless(e, "is the Java machine's")
		return
	}
	r.given[name] = e
	r.set(e)
}

// javasOwn are the properties of Java and its libraries.
func javasOwn(name string) bool {
	for _, prefix := range []string{"java.", "javax.", "sun.", "com.sun.", "jdk.", "log4j", "logback.", "org.", "user.", "file.", "jetty.", "networkaddress."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// set finds what a key means.
func (r *reader) set(e entry) {
	if set, ok := named[e.key]; ok {
		set(r, e)
	} else if set, ok := system[e.key]; ok {
		set(r, e)
	} else if why, ok := reason(pointless, e.key); ok {
		r.harmless(e, why)
	} else if why, ok := reason(missing, e.key); ok {
		r.lost(e, why)
	} else if set := r.family(e.key); set != nil {
		set(r, e)
	} else {
		r.unknown(e, "is not known: it has no effect")
	}
}

// family finds the keys with a number or a name in them.
func (r *reader) family(key string) func(*reader, entry) {
	switch {
	case strings.HasPrefix(key, "server."):
		return (*reader).server
	case strings.HasPrefix(key, "group."):
		return (*reader).group
	case strings.HasPrefix(key, "weight."):
		return (*reader).weight
	case strings.HasPrefix(key, "authProvider."):
		return (*reader).provider
	case strings.HasPrefix(key, "ssl.quorum."):
		return (*reader).quorumSSL
	}
	return nil
}

func (r *reader) harmless(e entry, why string) {
	r.notes = append(r.notes, Note{Place: e.place(), Key: e.key, Text: "has no meaning here: " + why})
}

// lost notes a key whose value asks for something; values that switch it off ask for nothing.
func (r *reader) lost(e entry, why string) {
	if slices.Contains([]string{"", "0", "-1", "false", "no", "none"}, strings.ToLower(e.value)) {
		r.harmless(e, why)
		return
	}
	r.warn(e, "has no effect here: "+why)
}

func (r *reader) warn(e entry, text string) {
	r.notes = append(r.notes, Note{Place: e.place(), Key: e.key, Text: text, Warning: true})
}

func (r *reader) unknown(e entry, text string) {
	r.notes = append(r.notes, Note{Place: e.place(), Key: e.key, Text: text, Warning: true, Unknown: true})
}

// bad notes a wrong value.
func (r *reader) bad(e entry, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s: %s", e.place(), e.key, fmt.Sprintf(format, args...)))
}

// wrong notes what is wrong with the whole.
func (r *reader) wrong(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s", r.file, fmt.Sprintf(format, args...)))
}

// finish puts together what several keys say.
func (r *reader) finish() {
	r.dynamic()
	r.ensemble()
	c := &r.cfg
	if c.DataDir == "" {
		r.wrong("dataDir is not set")
	}
	if c.Tick == 0 {
		r.wrong("tickTime is not set")
	}
	lowest, highest := c.MinSessionTimeout, c.MaxSessionTimeout
	if lowest == 0 {
		lowest = 2 * c.Tick
	}
	if highest == 0 {
		highest = 20 * c.Tick
	}
	if lowest > highest {
		r.wrong("minSessionTimeout must not be larger than maxSessionTimeout")
	}
	r.listen()
	r.tls()
	r.jaas()
	if r.admin && r.adminPort != 0 {
		c.Admin = r.address("admin.serverAddress", r.adminAddr, r.adminPort)
	} else {
		c.AdminTLS = ""
	}
	if r.prometheus {
		c.Metrics = r.address("metricsProvider.httpHost", r.metricsAddr, r.metricsPort)
	}
	if r.digestDisabled && c.SuperDigest != "" {
		c.SuperDigest = ""
	}
	if _, ok := r.given["autopurge.purgeInterval"]; !ok {
		r.notes = append(r.notes, Note{Place: r.file, Key: "autopurge.purgeInterval",
			Text: "is not set: old snapshots and logs are deleted after every snapshot; 0 keeps them all, as ZooKeeper does"})
	}
}

// listen finds the client's ports.
func (r *reader) listen() {
	c := &r.cfg
	if r.clientPort == 0 && r.clientAddr != "" {
		r.wrong("clientPortAddress is set but clientPort is not set")
		return
	}
	if r.securePort == 0 && r.secureAddr != "" {
		r.wrong("secureClientPortAddress is set but secureClientPort is not set")
		return
	}
	switch {
	case r.clientPort > 0:
		if a := r.address("clientPortAddress", r.clientAddr, r.clientPort); a.IsValid() {
			c.Listen = append(c.Listen, a)
		}
	case r.ownClient() != "":
		r.listenOwn(r.ownClient())
	}
	if r.securePort > 0 {
		if a := r.address("secureClientPortAddress", r.secureAddr, r.securePort); a.IsValid() {
			c.TLSListen = append(c.TLSListen, a)
		}
	}
	if r.clientPort <= 0 && r.securePort <= 0 && len(c.Listen) == 0 {
		r.wrong("clientPort is not set")
	}
}

// ownClient is the client address that the line of this server names.
func (r *reader) ownClient() string {
	if len(r.cfg.Ensemble.Servers) == 1 {
		return r.cfg.Ensemble.Servers[0].Client
	}
	b, err := os.ReadFile(filepath.Join(r.cfg.DataDir, "myid"))
	if err != nil {
		return "" // that it is missing is for the member to say
	}
	id, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return ""
	}
	if s := r.servers[id]; s != nil {
		return s.Client
	}
	return ""
}

// secret says whether the value of a key is a password, or as good as one.
func secret(key string) bool {
	key = strings.ToLower(key)
	return strings.HasSuffix(key, "password") || strings.HasSuffix(key, "passwd") || strings.HasSuffix(key, "superdigest")
}

// withoutSecrets is the text without the values of passwords.
func withoutSecrets(text string, entries []entry) string {
	lines := naturalLines(text)
	for _, e := range entries {
		if !secret(e.key) || e.line > len(lines) {
			continue
		}
		for i := e.line - 1; i < len(lines); i++ {
			goesOn := continues(lines[i])
			if i == e.line-1 {
				lines[i] = e.key + "=***"
			} else {
				lines[i] = "#"
			}
			if !goesOn {
				break
			}
		}
	}
	return strings.Join(lines, "\n")
}
