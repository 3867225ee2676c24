// Command ha keeps services reachable: virtual addresses that move between hosts, and a load balancer
// behind them, in one static binary with one configuration file. Start with `ha --help`; the map of the
// inside is the documentation of package appliance.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"example.org/ha/appliance"
	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/beat"
	"example.org/ha/appliance/demo"
	"example.org/ha/appliance/logline"
	"example.org/ha/consensus/zk"
)

// version is set by the linker.
var version = "devel"

// Exit codes, for scripts. They are documented in the help of ha itself.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2 // the command line or the configuration is wrong
	exitUnreachable = 3 // no appliance answers at the socket
	exitDegraded    = 4 // ha status: it answers, and some part is not ready
)

const about = `Virtual addresses that move between hosts, and load balancing behind them.

A first cluster of two hosts:

  ha keygen                     # on one host; copy /etc/ha/cluster.key to the other
  ha check /etc/ha/ha.toml      # says everything that is wrong with the file, with its lines
  ha run -c /etc/ha/ha.toml     # on both; then, on either: ha status

To see it work first, with nothing to set up:  ha dev

Exit codes: 0 done; 1 it failed; 2 the command line or the configuration is wrong; 3 no appliance
answers at the socket (is ha running on this host?); 4 ha status: it runs, and some part is not ready.`

// grammar is the whole command line. Each command is a struct with a Run method; its Help is long text.
type grammar struct {
	Run     runCmd     `cmd:"" help:"Run this host with the roles its configuration names."`
	LB      lbCmd      `cmd:"" name:"lb" help:"Run this host as a load balancer, whatever roles the file names."`
	Check   checkCmd   `cmd:"" help:"Check configuration files: every mistake, with file, line and key."`
	Reload  reloadCmd  `cmd:"" help:"Make the running appliance read its file again."`
	Status  statusCmd  `cmd:"" help:"Show what this host and its cluster are doing."`
	VIP     vipCmd     `cmd:"" name:"vip" help:"Virtual addresses: list them, hand one over."`
	Zab     zabCmd     `cmd:"" name:"zab" help:"A ZooKeeper server: run one, look into its files, save and restore them."`
	ZK      zkCmd      `cmd:"" name:"zk" help:"A ZooKeeper client: one command, or a shell."`
	Server  serverCmd  `cmd:"" help:"Real servers: take one out of new connections, put it back."`
	Keygen  keygenCmd  `cmd:"" help:"Make a cluster key, or add one to change keys without a gap."`
	Dev     devCmd     `cmd:"" help:"Demonstration on loopback: two hosts, one address, three web servers; no root."`
	Lab     labCmd     `cmd:"" help:"Demonstration in network namespaces: real addresses, measured failover; root."`
	Version versionCmd `cmd:"" help:"Print the version."`
	Beat    beatCmd    `cmd:"" hidden:"" help:"Carry heartbeats for an appliance; started by it."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with its surroundings given, for tests.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	var g grammar
	exit := -1
	parser, err := kong.New(&g, kong.Name("ha"), kong.Description(about), kong.Writers(stdout, stderr),
		kong.Vars{"default_socket": admin.DefaultSocket, "default_key": appliance.DefaultKeyFile},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Exit(func(code int) { exit = code; panic(exited{}) }))
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(exited); !ok {
				panic(r)
			}
			code = exit
		}
	}()
	kctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "ha: %v\nHelp: ha --help\n", err)
		return exitUsage
	}
	return explain(kctx.Run(&surroundings{stdin: stdin, stdout: stdout, stderr: stderr}), stderr)
}

// exited carries kong's wish to exit through its parser.
type exited struct{}

// surroundings is what a command may touch.
type surroundings struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// context ends at the first signal to stop. The second one ends the process at once.
func (s *surroundings) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		select {
		case sig := <-signals:
			cancel(fmt.Errorf("signal: %v", sig))
		case <-over:
			return
		}
		select {
		case <-signals:
			os.Exit(exitFailed)
		case <-over:
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(over)
		cancel(nil)
	})
}

// explain prints an error once and chooses the exit code.
func explain(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[silent](err); !ok {
		// Standard error may be a pipe that nobody reads: last words must not keep a host from ending.
		lines := logline.NewQueue(stderr)
		fmt.Fprintf(lines, "ha: %v\n", err)
		lines.Flush()
	}
	if _, ok := errors.AsType[appliance.Mistakes](err); ok {
		return exitUsage
	}
	switch {
	case errors.Is(err, admin.ErrUnreachable), errors.Is(err, zk.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, errDegraded):
		return exitDegraded
	case errors.Is(err, errUsage):
		return exitUsage
	}
	return exitFailed
}

// A silent error has already been printed.
type silent struct{ error }

func (s silent) Unwrap() error { return s.error }

var (
	errDegraded = errors.New("some part is not ready")
	errUsage    = errors.New("wrong usage")
)

type runCmd struct {
	Config string `short:"c" required:"" type:"path" placeholder:"FILE" help:"The configuration, ha.toml."`
}

func (runCmd) Help() string {
	return `Runs until SIGTERM or ^C, then hands its virtual addresses over and stops; a second signal ends it at
once. SIGHUP reads the file again (so does "ha reload", which also says why a file is refused).
The log goes to standard error, one line for each change of state. A log that cannot be written, or that
nobody reads, stops nothing: its lines are dropped and counted.

  ha run -c /etc/ha/ha.toml

As a systemd unit:

  [Service]
  Type=notify-reload
  ExecStart=/usr/bin/ha run -c /etc/ha/ha.toml
  Restart=always`
}

func (c runCmd) Run(s *surroundings) error { return serve(s, c.Config) }

type lbCmd struct {
	Config string `short:"c" required:"" type:"path" placeholder:"FILE" help:"The configuration, ha.toml."`
}

func (lbCmd) Help() string {
	return `Like "ha run", with the one role "lb": it holds virtual addresses and balances load. The roles in the
file do not count, so one file can serve hosts with different jobs.

  ha lb -c /etc/ha/ha.toml`
}

func (c lbCmd) Run(s *surroundings) error { return serve(s, c.Config, appliance.RoleLB) }

// serve runs an appliance until a signal.
func serve(s *surroundings, file string, role ...string) error {
	cfg, err := appliance.Load(file, role...)
	if err != nil {
		return err
	}
	lines := logline.NewQueue(s.stderr)
	defer lines.Flush()
	log := newLog(lines, cfg.LogFormat)
	slog.SetDefault(log)
	// By default the runtime ends a process that logs to a pipe whose reader is gone. The signal is taken
	// rather than ignored, because the scripts that we run would inherit that.
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, syscall.SIGPIPE)
	defer signal.Stop(gone)
	// The beat process reads no file; its log must look like this one's all the same.
	if err := os.Setenv(logFormat, cfg.LogFormat); err != nil {
		return fmt.Errorf("run: pass the log format on: %w", err)
	}
	ctx, stop := s.context()
	defer stop()
	a, err := appliance.New(cfg, appliance.Options{
		Log: log, LogLost: lines.Lost, File: file, Role: role, Version: version,
	})
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				_ = a.Reload(ctx) // refused: logged, told and in the status
			}
		}
	}()
	return a.Run(ctx)
}

// logFormat names the variable that carries log_format to the beat process. It is no setting.
const logFormat = "HA_LOG_FORMAT"

// newLog is the one log of the process. What it writes to must neither block nor fail: see logline.
func newLog(w io.Writer, format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

type checkCmd struct {
	Files []string `arg:"" name:"file" type:"path" help:"Configuration files."`
}

func (checkCmd) Help() string {
	return `Prints "file:line: key: message" for each mistake, all of them at once, and nothing for a file in order.
It reads only the files, so it works on any machine, before they are copied to a host.

  ha check /etc/ha/ha.toml && ha reload`
}

func (c checkCmd) Run(s *surroundings) error {
	var errs []error
	for _, file := range c.Files {
		if _, err := appliance.Load(file); err != nil {
			errs = append(errs, err)
			fmt.Fprintln(s.stderr, err)
		}
	}
	if len(errs) > 0 {
		return silent{errors.Join(errs...)}
	}
	return nil
}

type versionCmd struct{}

func (versionCmd) Run(s *surroundings) error {
	fmt.Fprintf(s.stdout, "ha %s %s/%s %s\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return nil
}

type beatCmd struct {
	FD int `default:"3" hidden:""`
}

func (c beatCmd) Run(*surroundings) error {
	return beat.Child(c.FD, func(w io.Writer) *slog.Logger { return newLog(w, os.Getenv(logFormat)) })
}

type devCmd struct {
	Script  string `placeholder:"COMMANDS" help:"Play these commands, separated by semicolons, instead of reading typed ones."`
	Address string `default:"127.0.0.100:8080" help:"The shared virtual address."`
	Verbose bool   `short:"v" help:"Print what the parts log."`
}

func (devCmd) Help() string {
	return `Two load-balancer hosts of one cluster in this process, three web servers, and an address they share.
Type commands to kill and revive parts (help lists them), and watch who takes over. Without a terminal a
script is played, and the demonstration ends by itself.

  ha dev
  ha dev --script "wait; kill active; wait; revive dead; wait"
  curl http://127.0.0.100:8080/      # from another terminal`
}

type labCmd struct {
	Interval time.Duration `default:"10ms" help:"Time between advertisements."`
	Rounds   int           `default:"3" help:"How often the active host is killed, and the address handed over."`
	Verbose  bool          `short:"v" help:"Print the logs of the hosts."`
}

func (labCmd) Help() string {
	return `Builds a bridge with a client, two load balancers and three web servers in network namespaces, runs this
binary on the balancers, kills the active one and prints the outage that the client saw. Leaves nothing
behind.

  sudo ha lab --interval 10ms --rounds 3`
}

func (c labCmd) Run(s *surroundings) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("lab: find own binary: %w", err)
	}
	ctx, stop := s.context()
	defer stop()
	return demo.Lab(ctx, demo.LabConfig{Out: s.stdout, Exe: exe, Interval: c.Interval, Rounds: c.Rounds, Verbose: c.Verbose})
}
