package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// DefaultScript is what [Dev] plays when nobody types: a planned handover, a
// crash and its repair, and a web server that fails and returns.
const DefaultScript = `wait; wait 1s; release; wait; wait 1s; kill active; wait; wait 1s; revive dead; wait; wait 1s; kill web2; wait; wait 1s; revive web2; wait; kill zab1; revive zab1; status`

// A verb is one word of a script.
type verb struct {
	short string
	args  string // as the help shows them
	help  string
}

var verbs = map[string]verb{
	"kill":    {"k", "PART", "lb1, lb2, active, backup, web1, web2 or web3 crashes; zab1 stops"},
	"revive":  {"r", "PART", "it starts again; dead means whoever is"},
	"release": {"h", "", "planned handover: the active host gives the address away"},
	"drain":   {"d", "WEB", "no new connections for a web server, its old ones stay"},
	"undrain": {"u", "WEB", "and back"},
	"wait":    {"w", "[TIME]", "until everything has settled, or for a time"},
	"status":  {"s", "", "what every part is doing"},
	"help":    {"?", "", "this"},
	"quit":    {"q", "", "stop in order"},
}

// A command is one step of a script.
type command struct {
	verb string
	part string
	time time.Duration // of wait; zero: until settled
}

func (c command) String() string {
	switch {
	case c.part != "":
		return c.verb + " " + c.part
	case c.time > 0:
		return c.verb + " " + c.time.String()
	}
	return c.verb
}

// parseScript takes commands separated by semicolons or line ends.
func parseScript(text string, parts []string) ([]command, error) {
	var out []command
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		c, err := parseCommand(line, parts)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func parseCommand(line string, parts []string) (command, error) {
	words := strings.Fields(line)
	name := words[0]
	for long, v := range verbs {
		if v.short == name {
			name = long
		}
	}
	v, ok := verbs[name]
	if !ok {
		return command{}, fmt.Errorf("demo: %q is no command; help lists them", words[0])
	}
	c := command{verb: name}
	switch {
	case v.args == "" && len(words) == 1, name == "wait" && len(words) == 1:
		return c, nil
	case len(words) != 2 || v.args == "":
		return command{}, fmt.Errorf("demo: %q: the form is: %s", strings.TrimSpace(line), strings.TrimSpace(name+" "+v.args))
	case name == "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil || d <= 0 || d > time.Hour {
			return command{}, fmt.Errorf("demo: %q: %q is not a time such as 2s, up to 1h", strings.TrimSpace(line), words[1])
		}
		c.time = d
		return c, nil
	}
	c.part = words[1]
	if !slices.Contains(parts, c.part) || v.args == "WEB" && !strings.HasPrefix(c.part, "web") {
		return command{}, fmt.Errorf("demo: %q: there is no %s %q here (%s)", strings.TrimSpace(line), strings.ToLower(v.args), c.part, strings.Join(parts, ", "))
	}
	return c, nil
}

// help lists the commands.
func help() string {
	var b strings.Builder
	for _, name := range []string{"kill", "revive", "release", "drain", "undrain", "wait", "status", "help", "quit"} {
		v := verbs[name]
		fmt.Fprintf(&b, "  %s  %-16s %s\n", v.short, strings.TrimSpace(name+" "+v.args), v.help)
	}
	return b.String()
}

// play runs a script to its end, to quit, or to the first failure.
func (c *cluster) play(ctx context.Context, script []command) error {
	for _, cmd := range script {
		if cmd.verb == "quit" {
			return nil
		}
		if err := c.do(ctx, cmd); err != nil {
			return err
		}
	}
	return nil
}

// converse obeys a person: a mistake is answered, and each command is followed
// by what it cost.
func (c *cluster) converse(ctx context.Context, in io.Reader) error {
	lines := make(chan string)
	go func() {
		// A read from a terminal cannot be interrupted; the process ends first.
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			script, err := parseScript(line, c.parts())
			if err == nil && len(script) > 0 && script[len(script)-1].verb != "quit" && changes(script) {
				script = append(script, command{verb: "wait"})
			}
			if err == nil {
				err = c.play(ctx, script)
			}
			if err != nil && ctx.Err() == nil {
				c.narrator.say("demo", "%v", err)
			}
			if len(script) > 0 && script[len(script)-1].verb == "quit" {
				return nil
			}
		}
	}
}

// changes reports whether a script does something that settles later.
func changes(script []command) bool {
	return slices.ContainsFunc(script, func(c command) bool {
		return !slices.Contains([]string{"wait", "status", "help"}, c.verb)
	})
}
