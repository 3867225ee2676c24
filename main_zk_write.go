package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/zk"
)

// The zk commands that change something.

// readFile reads a file or, for "-", standard input.
func readFile(s *surroundings, file string) ([]byte, error) {
	if file == "-" {
		data, err := io.ReadAll(s.stdin)
		if err != nil {
			return nil, fmt.Errorf("zk: read standard input: %w", err)
		}
		return data, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("zk: read data: %w", err)
	}
	return data, nil
}

type zkCreateCmd struct {
	Path string `arg:"" help:"The znode."`
	zkData
	Ephemeral  bool          `short:"e" help:"It lives as long as this session: in the shell until you leave it, else until ^C."`
	Sequential bool          `short:"s" help:"A number is appended to the name."`
	Container  bool          `short:"c" help:"It is removed some time after its last child."`
	TTL        time.Duration `short:"t" placeholder:"DURATION" help:"It is removed when it was not changed for so long and has no children."`
	ACL        string        `name:"acl" placeholder:"SCHEME:ID:PERMS,..." help:"Who may do what (default world:anyone:cdrwa)."`
	Parents    bool          `short:"p" help:"Make what is missing above it."`
}

func (zkCreateCmd) Help() string {
	return `Prints the path.

  ha zk create -p /app/config 'a = 1'
  ha zk create -s -f job.json /queue/job-
  ha zk create --acl world:anyone:r,digest:ann:hFUfMdsqoQzYd2bJ2p3fNv7lL4c=:cdrwa /app/shared`
}

func (c zkCreateCmd) mode() (zk.CreateMode, error) {
	switch {
	case c.Container && (c.Ephemeral || c.Sequential) || c.TTL != 0 && (c.Ephemeral || c.Container):
		return 0, fmt.Errorf("%w: -e and -s may go together, and -s and -t; no others", errUsage)
	case c.Container:
		return zk.Container, nil
	case c.Ephemeral && c.Sequential:
		return zk.EphemeralSequential, nil
	case c.Ephemeral:
		return zk.Ephemeral, nil
	case c.Sequential:
		return zk.Sequential, nil
	}
	return zk.Persistent, nil
}

func (c zkCreateCmd) Run(s *surroundings, z *zkSession) error {
	mode, err := c.mode()
	if err != nil {
		return err
	}
	var acl []jute.ACL
	if c.ACL != "" {
		if acl, err = zk.ParseACL(c.ACL); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	data, err := c.read(s)
	if err != nil {
		return err
	}
	return z.follow(s, func(ctx context.Context, client *zk.Client) error {
		create := func() (path string, err error) {
			if c.TTL != 0 {
				path, _, err = client.CreateTTL(ctx, c.Path, data, c.TTL, c.Sequential, acl)
			} else {
				path, _, err = client.Create(ctx, c.Path, data, mode, acl)
			}
			return path, err
		}
		path, err := create()
		if c.Parents && errors.Is(err, jute.NoNode) {
			if err := client.CreateAll(ctx, zk.Parent(c.Path), acl); err != nil {
				return err
			}
			path, err = create()
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(s.stdout, path)
		if !c.Ephemeral || z.shell != nil {
			return nil
		}
		return hold(ctx, client)
	})
}

// hold keeps the session until it ends or a signal comes.
func hold(ctx context.Context, client *zk.Client) error {
	for {
		st, changed := client.State()
		if st.Phase == zk.Closed {
			return st.Err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

type zkSetCmd struct {
	Path string `arg:"" help:"The znode."`
	zkData
	Version int32 `short:"v" default:"-1" help:"Only if the data is at this version."`
}

func (zkSetCmd) Help() string {
	return `  ha zk set /app/config 'a = 2'
  ha zk set -v 7 -f config.toml /app/config`
}

func (c zkSetCmd) Run(s *surroundings, z *zkSession) error {
	data, err := c.read(s)
	if err != nil {
		return err
	}
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		_, err := client.Set(ctx, c.Path, data, c.Version)
		return err
	})
}

type zkDeleteCmd struct {
	Paths   []string `arg:"" name:"path" help:"The znodes."`
	Version int32    `short:"v" default:"-1" help:"Only if the data is at this version."`
	Recurse bool     `short:"R" help:"With all below."`
}

func (c zkDeleteCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		for _, path := range c.Paths {
			if !c.Recurse {
				if err := client.Delete(ctx, path, c.Version); err != nil {
					return err
				}
				continue
			}
			n, err := client.DeleteAll(ctx, path)
			if err != nil {
				return fmt.Errorf("%d znodes deleted, then: %w", n, err)
			}
			fmt.Fprintf(s.stdout, "%s: %d znodes deleted\n", path, n)
		}
		return nil
	})
}

type zkACLCmd struct {
	Get zkACLGetCmd `cmd:"" help:"Print who may do what."`
	Set zkACLSetCmd `cmd:"" help:"Replace who may do what."`
}

type zkACLGetCmd struct {
	Path string `arg:"" help:"The znode."`
	JSON bool   `name:"json" help:"JSON instead of lines."`
}

func (c zkACLGetCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		acl, _, err := client.ACL(ctx, c.Path)
		if err != nil {
			return err
		}
		var lines []string
		for _, a := range acl {
			lines = append(lines, zk.FormatACL([]jute.ACL{a}))
		}
		if c.JSON {
			return printJSON(s.stdout, lines)
		}
		for _, line := range lines {
			fmt.Fprintln(s.stdout, line)
		}
		return nil
	})
}

type zkACLSetCmd struct {
	Path    string `arg:"" help:"The znode."`
	ACL     string `arg:"" name:"acl" help:"SCHEME:ID:PERMS,... with the permissions c, d, r, w, a."`
	Version int32  `short:"v" default:"-1" help:"Only if the ACL is at this version."`
	Recurse bool   `short:"R" help:"Of all below too."`
}

func (zkACLSetCmd) Help() string {
	return `  ha zk acl set /app world:anyone:r,digest:ann:hFUfMdsqoQzYd2bJ2p3fNv7lL4c=:cdrwa
  ha zk --auth digest:ann:secret acl set -R /app auth::cdrwa`
}

func (c zkACLSetCmd) Run(s *surroundings, z *zkSession) error {
	acl, err := zk.ParseACL(c.ACL)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		if !c.Recurse {
			_, err := client.SetACL(ctx, c.Path, acl, c.Version)
			return err
		}
		for n, err := range client.Walk(ctx, c.Path, zk.WalkConfig{}) {
			if err != nil {
				return err
			}
			if _, err := client.SetACL(ctx, n.Path, acl, zk.Any); err != nil && !errors.Is(err, jute.NoNode) {
				return err
			}
		}
		return nil
	})
}

type zkMultiCmd struct {
	File string `arg:"" optional:"" default:"-" type:"path" help:"The changes, one a line (default: standard input)."`
}

func (zkMultiCmd) Help() string {
	return `One change a line; all happen or none:

  create [-e|-s|-c] PATH [DATA]
  set PATH DATA [VERSION]
  delete PATH [VERSION]
  check PATH VERSION

  printf 'check /app 3\nset /app/a 1\nset /app/b 2\n' | ha zk multi`
}

func (c zkMultiCmd) Run(s *surroundings, z *zkSession) error {
	if c.File == "-" && z.shell != nil {
		return fmt.Errorf("%w: multi: in the shell the changes come from a file", errUsage)
	}
	text, err := readFile(s, c.File)
	if err != nil {
		return err
	}
	m, err := parseMulti(string(text))
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		results, err := client.Multi(ctx, m)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Path != "" {
				fmt.Fprintln(s.stdout, r.Path)
			}
		}
		return nil
	})
}

func parseMulti(text string) (*zk.Multi, error) {
	var m zk.Multi
	in := bufio.NewScanner(strings.NewReader(text))
	in.Buffer(nil, 2*zk.DefaultMaxRequest)
	for line := 1; in.Scan(); line++ {
		words, err := split(in.Text())
		if err == nil && len(words) > 0 {
			err = addChange(&m, words)
		}
		if err != nil {
			return nil, fmt.Errorf("multi: line %d: %w", line, err)
		}
	}
	return &m, in.Err()
}

// addChange reads one line of a multi.
func addChange(m *zk.Multi, words []string) error {
	verb, args := words[0], words[1:]
	mode := zk.Persistent
	if flags := map[string]zk.CreateMode{"-e": zk.Ephemeral, "-s": zk.Sequential, "-c": zk.Container}; verb == "create" && len(args) > 0 && flags[args[0]] != 0 {
		mode, args = flags[args[0]], args[1:]
	}
	arg := func(i int) []byte {
		if i < len(args) {
			return []byte(args[i])
		}
		return nil
	}
	version := zk.Any
	if at := map[string]int{"set": 2, "delete": 1, "check": 1}[verb]; at > 0 && at < len(args) {
		v, err := strconv.ParseInt(args[at], 10, 32)
		if err != nil {
			return fmt.Errorf("version %q: %w", args[at], errors.Unwrap(err))
		}
		version = int32(v)
	}
	switch n := len(args); {
	case verb == "create" && (n == 1 || n == 2):
		m.Create(args[0], arg(1), mode, nil)
	case verb == "set" && (n == 2 || n == 3):
		m.Set(args[0], arg(1), version)
	case verb == "delete" && (n == 1 || n == 2):
		m.Delete(args[0], version)
	case verb == "check" && n == 2:
		m.Check(args[0], version)
	default:
		return fmt.Errorf("%q: want create [-e|-s|-c] PATH [DATA], set PATH DATA [VERSION], delete PATH [VERSION] or check PATH VERSION", strings.Join(words, " "))
	}
	return nil
}

type zkDumpCmd struct {
	Path       string `arg:"" help:"The first znode."`
	Ephemerals bool   `help:"Ephemeral znodes too."`
	Output     string `short:"o" type:"path" placeholder:"FILE" help:"Write here instead of standard output."`
}

func (zkDumpCmd) Help() string {
	return `A line of JSON for each znode, parents first: path, data (base64 if it is no text), acl, kind. It is no
snapshot: writes go on meanwhile. Servers do not tell clients which znodes are containers or have a time
to live; add "kind":"container" or "kind":"ttl","ttl":MILLISECONDS to lines that shall be restored as such.
The servers' own /zookeeper is left out.

  ha zk dump /app > app.jsonl`
}

func (c zkDumpCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		if c.Output == "" {
			_, err := client.Dump(ctx, c.Path, c.Ephemerals, s.stdout)
			return err
		}
		file, err := os.Create(c.Output)
		if err != nil {
			return fmt.Errorf("zk: dump: %w", err)
		}
		n, err := client.Dump(ctx, c.Path, c.Ephemerals, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		fmt.Fprintf(s.stdout, "%s: %d znodes\n", c.Output, n)
		return nil
	})
}

type zkRestoreCmd struct {
	File       string `arg:"" optional:"" default:"-" type:"path" help:"The dump (default: standard input)."`
	To         string `placeholder:"PATH" help:"Put the first znode here and the others below (default: where they were)."`
	Merge      bool   `xor:"existing" help:"Leave znodes alone that exist already."`
	Overwrite  bool   `xor:"existing" help:"Give znodes that exist already the data and the ACL of the dump."`
	Ephemerals bool   `help:"Make persistent znodes of ephemeral ones, which are left out otherwise."`
	DryRun     bool   `help:"Say what would be done."`
	Skip       int    `placeholder:"LINES" help:"Go on behind these lines."`
	JSON       bool   `name:"json" help:"Say what was done as JSON."`
}

func (zkRestoreCmd) Help() string {
	return `Stops at the first znode that exists, unless --merge or --overwrite is given. What is missing above the first
znode is made. A lost connection is survived; if it stops all the same, the message says how many lines are
done, and --skip goes on from there.

  ha zk restore --dry-run app.jsonl
  ha zk restore --to /app-copy app.jsonl`
}

func (c zkRestoreCmd) Run(s *surroundings, z *zkSession) error {
	cfg := zk.RestoreConfig{To: c.To, Ephemerals: c.Ephemerals, DryRun: c.DryRun, Skip: c.Skip}
	switch {
	case c.Merge:
		cfg.Existing = zk.Keep
	case c.Overwrite:
		cfg.Existing = zk.Overwrite
	}
	in := s.stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("zk: restore: %w", err)
		}
		defer file.Close()
		in = file
	} else if z.shell != nil {
		return fmt.Errorf("%w: restore: in the shell the dump comes from a file", errUsage)
	}
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		done, err := client.Restore(ctx, in, cfg)
		if c.JSON {
			err = errors.Join(err, printJSON(s.stdout, done))
		} else {
			would := ""
			if c.DryRun {
				would = "would be "
			}
			fmt.Fprintf(s.stdout, "%d lines: %s%d created, %d overwritten, %d kept, %d left out\n",
				done.Lines, would, done.Created, done.Overwritten, done.Kept, done.LeftOut)
		}
		if err != nil && done.Lines > 0 {
			return fmt.Errorf("%w (the first %d lines are done: --skip %d)", err, done.Lines, done.Lines)
		}
		return err
	})
}
