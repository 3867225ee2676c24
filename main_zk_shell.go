package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"example.org/ha/consensus/zk"
)

// The shell of ha zk: the commands of zkCommands, with one session for all of them.

// zkShell is the grammar of one line.
type zkShell struct {
	zkCommands
	Exit zkExitCmd `cmd:"" aliases:"quit" help:"Leave the shell."`
	Help zkHelpCmd `cmd:"" help:"List the commands; of one command, its --help."`
}

type zkExitCmd struct{}

func (zkExitCmd) Run() error { return errLeave }

type zkHelpCmd struct {
	Command []string `arg:"" optional:"" help:"A command."`
}

func (zkHelpCmd) Run() error { return nil } // a line with help is played as one with --help

var errLeave = errors.New("leave the shell")

// zkShellRun reads commands from a terminal or a pipe.
func zkShellRun(s *surroundings, z *zkSession) error {
	// A shell that waits at its prompt outlives an expired session; what was ephemeral is gone then.
	cfg := z.cfg
	cfg.Renew = true
	ctx, stop := s.context()
	client, err := z.dial(ctx, cfg)
	stop() // from here on ^C belongs to the commands
	if err != nil {
		return err
	}
	defer client.Close()
	z.shell = client
	if in, ok := s.stdin.(*os.File); ok && terminal(in) {
		return interact(s, z, in)
	}
	return play(s, z)
}

// play runs the commands of a pipe.
func play(s *surroundings, z *zkSession) error {
	in := bufio.NewScanner(s.stdin)
	in.Buffer(nil, 2*zk.DefaultMaxRequest)
	var last error
	for line := 1; in.Scan(); line++ {
		err := runLine(s, z, in.Text())
		if errors.Is(err, errLeave) {
			break
		}
		if err != nil {
			last = silent{err}
			fmt.Fprintf(s.stderr, "ha: line %d: %v\n", line, err)
		}
		if errors.Is(err, zk.ErrUnreachable) {
			break
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("zk: read commands: %w", err)
	}
	return last
}

// interact runs the commands of a person.
func interact(s *surroundings, z *zkSession, in *os.File) error {
	cooked, err := term.GetState(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("zk: look at the terminal: %w", err)
	}
	screen := struct {
		io.Reader
		io.Writer
	}{in, s.stdout}
	t := term.NewTerminal(screen, strings.Join(z.cfg.Servers, ",")+z.cfg.Chroot+"> ")
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		line, pos, others := complete(z, line, pos)
		if len(others) > 0 {
			fmt.Fprintln(t, strings.Join(others, "  "))
		}
		return line, pos, true
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go announce(ctx, z.shell, t)
	fmt.Fprintln(s.stdout, `"help" lists the commands, the tab key completes paths, ^D leaves.`)
	for {
		line, err := readLine(t, int(in.Fd()), cooked)
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintln(s.stdout)
			return nil
		case err != nil:
			return fmt.Errorf("zk: read the terminal: %w", err)
		}
		if err := runLine(s, z, line); errors.Is(err, errLeave) {
			return nil
		} else if err != nil {
			fmt.Fprintf(s.stdout, "%v\n", err)
		}
	}
}

// readLine has the terminal raw only while a line is typed: a command that runs is ended by ^C.
func readLine(t *term.Terminal, fd int, cooked *term.State) (string, error) {
	if _, err := term.MakeRaw(fd); err != nil {
		return "", err
	}
	if width, height, err := term.GetSize(fd); err == nil && width > 0 {
		_ = t.SetSize(width, height)
	}
	line, err := t.ReadLine()
	return line, errors.Join(err, term.Restore(fd, cooked))
}

// announce tells a person what becomes of the session.
func announce(ctx context.Context, c *zk.Client, w io.Writer) {
	was, changed := c.State()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		var st zk.State
		st, changed = c.State()
		switch {
		case st.Phase == zk.Suspended:
			fmt.Fprintf(w, "(connection lost: %v)\n", st.Err)
		case st.Live() && st.Session.ID != was.Session.ID:
			fmt.Fprintf(w, "(the session expired; this is another, by %s)\n", st.Server)
		case st.Live():
			fmt.Fprintf(w, "(connected to %s)\n", st.Server)
		}
		if st.Live() {
			was = st
		}
	}
}

// runLine runs one command.
func runLine(s *surroundings, z *zkSession, line string) error {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		return err
	}
	return runWords(s, z, "", words)
}

// zkParser reads the words of one command.
func zkParser(name string, options ...kong.Option) *kong.Kong {
	parser, err := kong.New(&zkShell{}, append(options, kong.Name(name), kong.Description("Commands of ha zk."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))...)
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	return parser
}

// zkModel describes the commands.
func zkModel() *kong.Node { return zkParser("").Model.Node }

// runWords runs one command that was taken apart.
func runWords(s *surroundings, z *zkSession, name string, words []string) (err error) {
	if words[0] == "help" {
		words = append(slices.Clone(words[1:]), "--help")
	}
	parser := zkParser(name, kong.Writers(s.stdout, s.stdout), kong.Bind(s, z), kong.Exit(func(int) { panic(exited{}) }))
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(exited); !ok { // kong has printed help
				panic(r)
			}
			err = nil
		}
	}()
	k, err := parser.Parse(words)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return k.Run()
}

// split takes a line apart as a shell does.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	open, quote, escaped := false, rune(0), false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			open, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			open, quote = true, r
		case r == '#' && !open:
			return words, nil
		case r == ' ' || r == '\t':
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		default:
			open = true
			word.WriteRune(r)
		}
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("%w: %c is not closed", errUsage, quote)
	case escaped:
		return nil, fmt.Errorf(`%w: \ at the end of the line`, errUsage)
	case open:
		words = append(words, word.String())
	}
	return words, nil
}

// complete completes the word before pos: the first is a command, one that begins with "/" a path. If that
// makes no difference it returns what there is to choose from.
func complete(z *zkSession, line string, pos int) (string, int, []string) {
	start := strings.LastIndexByte(line[:pos], ' ') + 1
	word := line[start:pos]
	var found []string
	switch {
	case strings.TrimSpace(line[:start]) == "":
		found = commandNames()
	case strings.HasPrefix(word, "/"):
		found = pathsBelow(z.shell, word[:strings.LastIndexByte(word, '/')])
	}
	found = slices.DeleteFunc(found, func(s string) bool { return !strings.HasPrefix(s, word) })
	if len(found) == 0 {
		return line, pos, nil
	}
	slices.Sort(found)
	common := found[0]
	for _, f := range found[1:] {
		n := 0
		for n < min(len(common), len(f)) && common[n] == f[n] {
			n++
		}
		common = common[:n]
	}
	if len(found) == 1 && !strings.HasPrefix(word, "/") {
		common += " "
	}
	if common == word && len(found) > 1 {
		const most = 100 // on the screen
		if len(found) > most {
			found = append(found[:most:most], fmt.Sprintf("... %d more", len(found)-most))
		}
		return line, pos, found
	}
	return line[:start] + common + line[pos:], start + len(common), nil
}

func commandNames() []string {
	var names []string
	for _, n := range zkModel().Children {
		if !n.Hidden {
			names = append(names, n.Name)
		}
	}
	return names
}

// pathsBelow lists the children of a path, "" for the root; a server that takes long completes nothing.
func pathsBelow(c *zk.Client, parent string) []string {
	if parent == "" {
		parent = "/"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	names, _, err := c.Children(ctx, parent)
	if err != nil {
		return nil
	}
	for i, name := range names {
		names[i] = zk.Join(parent, name)
	}
	return names
}
