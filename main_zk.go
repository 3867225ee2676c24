package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"example.org/ha/consensus/zk"
)

// The commands that speak to a ZooKeeper ensemble, ours or Apache's.

type zkCmd struct {
	Servers  string        `short:"s" name:"server" default:"127.0.0.1:2181" placeholder:"HOST:PORT,..." help:"The servers (default ${default}); a path behind them stands before every path."`
	Auth     []string      `sep:"none" placeholder:"SCHEME:PROOF" help:"Who you are, as in digest:user:password; may be repeated."`
	Timeout  time.Duration `default:"10s" help:"How long to go on without a server; also asked for as the session's timeout."`
	ReadOnly bool          `help:"A server that has lost its quorum will do, for reads."`
	TLS      bool          `name:"tls" help:"Connect with TLS."`
	CA       string        `name:"ca" type:"path" placeholder:"FILE" help:"With TLS: trust these certificates (PEM), not the system's."`
	Cert     string        `type:"path" placeholder:"FILE" help:"With TLS: your own certificate (PEM)."`
	Key      string        `type:"path" placeholder:"FILE" help:"With TLS: its key (PEM)."`

	// The commands have a grammar of their own, which the shell shares.
	Command []string `arg:"" optional:"" passthrough:"" help:"A command and its arguments (default: a shell)."`
}

// zkCommands are what a person may ask for on the command line and in the shell alike.
type zkCommands struct {
	Ls      zkLsCmd      `cmd:"" help:"List the children of a znode, or all below it."`
	Get     zkGetCmd     `cmd:"" help:"Print the data of a znode."`
	Stat    zkStatCmd    `cmd:"" help:"Print what is known of a znode: versions, times, owner."`
	Count   zkCountCmd   `cmd:"" help:"Count the znodes below one."`
	Create  zkCreateCmd  `cmd:"" help:"Make a znode."`
	Set     zkSetCmd     `cmd:"" help:"Replace the data of a znode."`
	Delete  zkDeleteCmd  `cmd:"" aliases:"rm" help:"Remove znodes."`
	ACL     zkACLCmd     `cmd:"" name:"acl" help:"Who may do what: print it, change it."`
	Watch   zkWatchCmd   `cmd:"" help:"Print what happens to a znode, until ^C."`
	Multi   zkMultiCmd   `cmd:"" help:"Make several changes, all or none."`
	Sync    zkSyncCmd    `cmd:"" help:"Wait until the server has all that was written before."`
	Whoami  zkWhoamiCmd  `cmd:"" help:"Print who the server takes you for."`
	Members zkMembersCmd `cmd:"" help:"Print the configuration of the ensemble."`
	Dump    zkDumpCmd    `cmd:"" help:"Write a subtree as lines of JSON."`
	Restore zkRestoreCmd `cmd:"" help:"Make the znodes of a dump."`

	GetACL zkACLGetCmd `cmd:"" name:"getAcl" hidden:""`
	SetACL zkACLSetCmd `cmd:"" name:"setAcl" hidden:""`
}

func (zkCmd) Help() string {
	var commands strings.Builder
	for _, n := range zkModel().Children {
		if !n.Hidden {
			fmt.Fprintf(&commands, "  %-8s  %s\n", n.Name, n.Help)
		}
	}
	return `A client of ZooKeeper's protocol, for "ha zab" and for Apache's servers. The flags of this page come before the
command, its own behind it ("ha zk get --help"):

` + commands.String() + `
  ha zk ls /
  ha zk -s zk1:2181,zk2:2181 get -w /app/config
  ha zk --auth digest:ann:secret create /app/new "some text"
  ha zk dump /app > app.jsonl
  ha zk                          # a shell: history, completion of paths with the tab key
  echo 'ls -R /' | ha zk         # the same commands from a pipe

At a terminal the shell has a prompt; ^C ends a command, ^D the shell. From a pipe it reads one command a
line, "#" begins a comment; a command that fails does not keep the next from running, and the exit code is
that of the last failure. Words are separated by spaces; 'single' and "double" quotes keep them together,
and \ takes the next character as it is.

Exit codes: 0 done; 1 the server refused it (no such znode, not authorized, ...); 2 the command line is
wrong; 3 no server could be reached within --timeout.`
}

func (c zkCmd) Run(s *surroundings) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	z := &zkSession{cfg: cfg, patience: c.Timeout}
	if len(c.Command) > 0 {
		return runWords(s, z, "ha zk", c.Command)
	}
	return zkShellRun(s, z)
}

func (c *zkCmd) config() (zk.Config, error) {
	servers, path, found := strings.Cut(c.Servers, "/")
	cfg := zk.Config{Servers: strings.Split(servers, ","), SessionTimeout: c.Timeout, ReadOnly: c.ReadOnly, RetryReads: true}
	if found {
		cfg.Chroot = "/" + path
	}
	for _, a := range c.Auth {
		scheme, proof, ok := strings.Cut(a, ":")
		if !ok {
			return cfg, fmt.Errorf("%w: --auth %q: want SCHEME:PROOF, as in digest:user:password", errUsage, a)
		}
		cfg.Auth = append(cfg.Auth, zk.Auth{Scheme: scheme, Proof: []byte(proof)})
	}
	if c.TLS || c.CA != "" || c.Cert != "" {
		t, err := c.tls()
		if err != nil {
			return cfg, err
		}
		cfg.TLS = t
	}
	if err := cfg.Check(); err != nil {
		return cfg, fmt.Errorf("%w: %w", errUsage, err)
	}
	return cfg, nil
}

func (c *zkCmd) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("zk: read --ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: --ca %s: no certificate in it", errUsage, c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("zk: read --cert and --key: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// zkSession is how a command reaches the ensemble: by a session of its own, or by the shell's.
type zkSession struct {
	cfg      zk.Config
	patience time.Duration
	shell    *zk.Client // nil: none
}

// do runs f with a session, until it is done, a signal comes, or no server was there for too long.
func (z *zkSession) do(s *surroundings, f func(ctx context.Context, c *zk.Client) error) error {
	ctx, stop := s.context()
	defer stop()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	c := z.shell
	if c == nil {
		var err error
		if c, err = z.dial(ctx, z.cfg); err != nil {
			return err
		}
		defer c.Close()
	}
	go z.guard(ctx, c, lost)
	return f(ctx, c)
}

// follow is do for what goes on until a signal comes: then it is done.
func (z *zkSession) follow(s *surroundings, f func(ctx context.Context, c *zk.Client) error) error {
	return z.do(s, func(ctx context.Context, c *zk.Client) error {
		err := f(ctx, c)
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) && !errors.Is(cause, zk.ErrUnreachable) {
			return nil
		}
		return err
	})
}

func (z *zkSession) dial(ctx context.Context, cfg zk.Config) (*zk.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, z.patience)
	defer cancel()
	return zk.Dial(ctx, cfg)
}

// guard gives up when no server has been there for too long.
func (z *zkSession) guard(ctx context.Context, c *zk.Client, lost context.CancelCauseFunc) {
	for {
		st, changed := c.State()
		var late <-chan time.Time
		if !st.Live() {
			late = time.After(time.Until(st.Since.Add(z.patience)))
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-late:
			st, _ = c.State() // with the last attempt's error
			lost(fmt.Errorf("%w for %v: %w", zk.ErrUnreachable, z.patience, st.Err))
			return
		}
	}
}

// zkData is data on the command line or in a file.
type zkData struct {
	Data *string `arg:"" optional:"" help:"The data (default: none)."`
	File string  `short:"f" type:"path" placeholder:"FILE" help:"Take the data from a file; - is standard input."`
}

func (d zkData) read(s *surroundings) ([]byte, error) {
	switch {
	case d.File != "" && d.Data != nil:
		return nil, fmt.Errorf("%w: data and --file: one of them", errUsage)
	case d.File != "":
		return readFile(s, d.File)
	case d.Data != nil:
		return []byte(*d.Data), nil
	}
	return nil, nil
}
