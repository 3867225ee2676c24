package vrrp

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what came out back into testdata/*.txt")

// A script is a story told by its events: `time verb arguments`; the indented
// lines below are what came out, with its own time. An advertisement that
// repeats the one before it is left out. Times are since the beginning.
//
//	carrier wire|beat
//	router NAME local=… priority=… interval=… [nopreempt] [delay=…] [wait=…] [version=2]
//	0s start NAME            fault NAME reason…       recovered NAME
//	1s stop NAME [to=NAME] [alone]                    resign NAME [to=NAME] [alone]
//	1s heard NAME from=… priority=… interval=… [addresses=a,b]
//	1s crash NAME            (it is gone: hears and sends nothing more, keeps its addresses)
//	1s sleep NAME 5s         cut NAME NAME            heal
//	1s priority NAME 50      interval NAME 50ms       lose NAME       break NAME
//	1s end
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			wantLines, gotLines := strings.Split(string(text), "\n"), strings.Split(got, "\n")
			for i := range max(len(wantLines), len(gotLines)) {
				var w, g string
				if i < len(wantLines) {
					w = wantLines[i]
				}
				if i < len(gotLines) {
					g = gotLines[i]
				}
				if w != g {
					t.Fatalf("%s:%d (go test -run TestScripts -rewrite writes it anew)\n got %s\nwant %s", file, i+1, g, w)
				}
			}
		})
	}
}

type script struct {
	*world
	out  strings.Builder
	last map[*host]string // advertisement
}

func runScript(t *testing.T, text string) string {
	s := &script{world: newWorld(t), last: map[*host]string{}}
	s.effect = func(h *host, eff Effect) {
		line := show(eff)
		if _, ok := eff.(*Advertise); ok {
			if s.last[h] == line {
				return
			}
			s.last[h] = line
		}
		fmt.Fprintf(&s.out, "\t%v %s: %s\n", s.now.Sub(epoch).Round(10*time.Microsecond), h.name, line)
	}
	for line := range strings.Lines(text) {
		switch f := strings.Fields(line); {
		case len(f) > 0 && (line[0] == '\t' || line[0] == ' '):
			continue
		case len(f) == 0 || strings.HasPrefix(line, "#"):
			s.out.WriteString(line)
		case f[0] == "carrier":
			s.beat = f[1] == "beat"
			s.out.WriteString(line)
		case f[0] == "router":
			cfg := testConfig("10.99.0.1", 100)
			for _, a := range f[2:] {
				setConfig(t, &cfg, a)
			}
			s.add(f[1], cfg)
			s.out.WriteString(line)
		default:
			d, err := time.ParseDuration(f[0])
			if err != nil || len(f) < 2 {
				t.Fatalf("line %q: %v", line, err)
			}
			s.run(epoch.Add(d))
			s.out.WriteString(line)
			s.do(f[1], f[2:])
		}
	}
	return s.out.String()
}

func setConfig(t *testing.T, c *Config, arg string) {
	key, val, _ := strings.Cut(arg, "=")
	var err error
	var n int
	switch key {
	case "local":
		c.Local, err = netip.ParseAddr(val)
	case "priority":
		n, err = strconv.Atoi(val)
		c.Priority = uint8(n)
	case "interval":
		c.Interval, err = time.ParseDuration(val)
	case "delay":
		c.PreemptDelay, err = time.ParseDuration(val)
	case "wait":
		c.Wait, err = time.ParseDuration(val)
	case "version":
		n, err = strconv.Atoi(val)
		c.Version = uint8(n)
	case "nopreempt":
		c.Preempt = false
	default:
		err = fmt.Errorf("unknown")
	}
	if err != nil {
		t.Fatalf("argument %q: %v", arg, err)
	}
}

func (s *script) host(name string) *host {
	for _, h := range s.hosts {
		if h.name == name {
			return h
		}
	}
	s.t.Fatalf("no router %q", name)
	return nil
}

func (s *script) do(verb string, args []string) {
	if verb == "end" {
		return
	}
	if verb == "heal" {
		clear(s.cut)
		return
	}
	h := s.host(args[0])
	args = args[1:]
	switch verb {
	case "start":
		s.give(h, Start{})
	case "fault":
		s.give(h, Fault{Reason: strings.Join(args, " ")})
	case "recovered":
		s.give(h, Recovered{})
	case "stop", "resign":
		var e Stop
		for _, a := range args {
			if to, ok := strings.CutPrefix(a, "to="); ok {
				e.To = s.host(to).addr
			}
			e.Alone = e.Alone || a == "alone"
		}
		if verb == "resign" {
			s.give(h, Resign(e))
			return
		}
		s.give(h, e)
	case "heard":
		s.give(h, s.parseHeard(args))
	case "crash":
		h.asleep = true
	case "sleep":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.sleep(h, d)
	case "cut":
		s.cut[[2]*host{h, s.host(args[0])}] = true
	case "priority":
		p, err := strconv.Atoi(args[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.give(h, SetPriority{Priority: uint8(p)})
	case "interval":
		cfg := h.r.cfg
		setConfig(s.t.(*testing.T), &cfg, "interval="+args[0])
		s.give(h, Reconfigure{Config: cfg})
	case "lose":
		s.give(h, AddressLost{})
	case "break":
		h.broken = true
	default:
		s.t.Fatalf("unknown verb %q", verb)
	}
}

// parseHeard is a packet of a router that is not one of ours.
func (s *script) parseHeard(args []string) Heard {
	e := Heard{Advertisement: Advertisement{Version: 3, VRID: 51, Interval: 100 * time.Millisecond, Addresses: []netip.Addr{addr("10.99.0.100")}}}
	for _, a := range args {
		key, val, _ := strings.Cut(a, "=")
		switch key {
		case "from":
			e.From = addr(val)
		case "priority":
			n, err := strconv.Atoi(val)
			if err != nil {
				s.t.Fatal(err)
			}
			e.Priority = uint8(n)
		case "interval":
			d, err := time.ParseDuration(val)
			if err != nil {
				s.t.Fatal(err)
			}
			e.Interval = d
		case "addresses":
			e.Addresses = nil
			for v := range strings.SplitSeq(val, ",") {
				e.Addresses = append(e.Addresses, addr(v))
			}
		default:
			s.t.Fatalf("argument %q of heard", a)
		}
	}
	return e
}
