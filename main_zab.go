package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"

	"example.org/ha/appliance"
	"example.org/ha/appliance/logline"
	"example.org/ha/consensus"
	"example.org/ha/consensus/zoocfg"
)

// zabCmd is the member alone, and what is done to its files.
type zabCmd struct {
	Run     zabRunCmd     `cmd:"" default:"withargs" help:"Run a member from a ZooKeeper configuration."`
	Inspect zabInspectCmd `cmd:"" help:"Print logs and snapshots as text, and verify them."`
	Backup  zabBackupCmd  `cmd:"" help:"Save what a running member holds into a file."`
	Restore zabRestoreCmd `cmd:"" help:"Make a saved file the history of a member that does not run."`
}

type zabRunCmd struct {
	ZooCfg    string            `name:"zoo-cfg" required:"" xor:"file" type:"path" placeholder:"FILE" help:"The configuration, as Apache ZooKeeper reads it."`
	Config    string            `short:"c" required:"" xor:"file" type:"path" placeholder:"FILE" help:"The configuration as ha.toml, of which the role \"zab\" is run."`
	Define    map[string]string `short:"D" name:"define" mapsep:"none" placeholder:"KEY=VALUE" help:"With --zoo-cfg: a system property of ZooKeeper; may be given again."`
	LogFormat string            `name:"log-format" enum:"text,json" default:"text" help:"With --zoo-cfg: how the log is written, text or json."`
}

func (zabRunCmd) Help() string {
	return `Runs one ZooKeeper server, alone, until SIGTERM or ^C, with an existing zoo.cfg, unchanged. System
properties come with -D, as to a server of Apache's, or from the flags in the variable SERVER_JVMFLAGS.
What a key asks for and does not get, and every key that nobody knows, is named in the log.

With -c it is the appliance of "ha run", with the one role "zab", whatever roles the file names.

  ha zab --zoo-cfg /etc/zookeeper/zoo.cfg
  ha zab --zoo-cfg zoo.cfg -D zookeeper.extendedTypesEnabled=true
  ha zab -c /etc/ha/ha.toml`
}

func (c zabRunCmd) Run(s *surroundings) error {
	if c.Config != "" {
		return serve(s, c.Config, appliance.RoleZAB)
	}
	lines := logline.NewQueue(s.stderr)
	defer lines.Flush()
	log := newLog(lines, c.LogFormat)
	slog.SetDefault(log)
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

// config reads the file with the properties under it, and logs what is worth knowing of it.
func (c zabRunCmd) config(log *slog.Logger) (consensus.Config, error) {
	text, err := os.ReadFile(c.ZooCfg)
	if err != nil {
		return consensus.Config{}, fmt.Errorf("zab: %w", err)
	}
	defined := javaProperties(os.Getenv("SERVER_JVMFLAGS"))
	maps.Copy(defined, c.Define)
	cfg, notes, err := zoocfg.Parse(c.ZooCfg, text, defined)
	if err != nil {
		return cfg, fmt.Errorf("%w: %w", errUsage, err)
	}
	for _, n := range notes {
		level := slog.LevelInfo
		if n.Warning || n.Unknown {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, "configuration", "key", n.Key, "at", n.Place, "note", n.Text)
	}
	return cfg, nil
}

// javaProperties are the -D flags among the flags of a Java virtual machine.
func javaProperties(flags string) map[string]string {
	out := map[string]string{}
	for f := range strings.FieldsSeq(flags) {
		if d, ok := strings.CutPrefix(f, "-D"); ok {
			key, value, _ := strings.Cut(d, "=")
			out[key] = value
		}
	}
	return out
}
