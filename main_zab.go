package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.org/ha/appliance/logline"
	"example.org/ha/consensus"
)

// zabCmd is the member alone, and what is done to its files.
type zabCmd struct {
	Run zabRunCmd `cmd:"" default:"withargs" help:"Run a member from a ZooKeeper configuration."`
}

type zabRunCmd struct {
	ZooCfg  string            `name:"zoo-cfg" required:"" type:"path" placeholder:"FILE" help:"The configuration, as Apache ZooKeeper reads it."`
	Define  map[string]string `short:"D" name:"define" mapsep:"none" placeholder:"KEY=VALUE" help:"A system property of ZooKeeper; may be given again."`
	LogJSON bool              `name:"log-json" help:"Log lines as JSON."`
}

func (zabRunCmd) Help() string {
	return `Runs one ZooKeeper server, alone, until SIGTERM or ^C, with an existing zoo.cfg, unchanged. System
properties come with -D, as a server of Apache's takes them, or from -D in the variable SERVER_JVMFLAGS.
Keys that mean nothing here are named in the log.

  ha zab --zoo-cfg /etc/zookeeper/zoo.cfg
  ha zab --zoo-cfg zoo.cfg -D zookeeper.extendedTypesEnabled=true`
}

func (c zabRunCmd) Run(s *surroundings) error {
	lines := logline.NewQueue(s.stderr)
	defer lines.Flush()
	format := "text"
	if c.LogJSON {
		format = "json"
	}
	log := newLog(lines, format)
	cfg, err := c.config(log)
	if err != nil {
		return err
	}
	cfg.Version = version
	ctx, stop := s.context()
	defer stop()
	m, err := consensus.New(cfg, log)
	if err != nil {
		return err
	}
	return m.Run(ctx, func() {})
}

// config reads the file with the properties over it.
func (c zabRunCmd) config(log *slog.Logger) (consensus.Config, error) {
	text, err := os.ReadFile(c.ZooCfg)
	if err != nil {
		return consensus.Config{}, fmt.Errorf("zab: %w", err)
	}
	_ = properties(os.Getenv("SERVER_JVMFLAGS"))
	return readZooCfg(string(text))
}

// properties are the -D flags among the flags of a Java virtual machine.
func properties(flags string) map[string]string {
	out := map[string]string{}
	for f := range strings.FieldsSeq(flags) {
		if f, ok := strings.CutPrefix(f, "-D"); ok {
			k, v, _ := strings.Cut(f, "=")
			out[k] = v
		}
	}
	return out
}

var _ io.Writer
var _ = filepath.Join

func readZooCfg(text string) (cfg consensus.Config, err error) {
	host, port := "", "2181"
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch k {
		case "dataDir":
			cfg.DataDir = v
		case "dataLogDir":
			cfg.LogDir = v
		case "clientPort":
			port = v
		case "clientPortAddress":
			host = v
		case "tickTime":
			cfg.Tick, err = time.ParseDuration(v + "ms")
		case "maxClientCnxns":
			cfg.MaxConnectionsPerAddress = -1
		case "4lw.commands.whitelist":
			cfg.Words = strings.Split(v, ",")
		}
	}
	if host == "" {
		host = "[::]"
	}
	a, err := netip.ParseAddrPort(host + ":" + port)
	cfg.Listen = []netip.AddrPort{a}
	return cfg, err
}
