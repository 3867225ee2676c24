package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.org/ha/consensus/txnlog"
	"example.org/ha/consensus/zoocfg"
)

// The commands that save and restore a member's files.

type zabBackupCmd struct {
	File    string        `arg:"" type:"path" help:"Where the snapshot goes; in a directory it is called snapshot.<zxid>."`
	From    string        `default:"http://127.0.0.1:8080" placeholder:"URL" help:"The member's admin port."`
	Auth    string        `env:"HA_ZAB_AUTH" placeholder:"SCHEME:ID" default:"digest:anybody:" help:"Who asks: digest:USER:PASSWORD of somebody who may do everything on \"/\", or of the super user. The default is nobody in particular, and enough as long as \"/\" is open to all."`
	Timeout time.Duration `default:"10m" help:"How long it may take."`
}

func (zabBackupCmd) Help() string {
	return `Saves what a running member holds, as of one transaction, without stopping its requests. The file is a
snapshot as ZooKeeper has them: "ha zab restore" takes it, and so does a server of Apache's in its
version-2 directory. It appears under its name only when it is whole, verified and on the disk.
The member's admin port answers only those who may do everything on "/". The password is better
given in the variable HA_ZAB_AUTH than on a command line that all can see.

  HA_ZAB_AUTH=digest:super:secret ha zab backup /backup/zookeeper --from http://zk1:8080`
}

func (c zabBackupCmd) Run(s *surroundings) error {
	ctx, stop := s.context()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	dir, name := filepath.Dir(c.File), filepath.Base(c.File)
	if st, err := os.Stat(c.File); err == nil && st.IsDir() {
		dir, name = c.File, ""
	}
	tmp, err := os.CreateTemp(dir, ".backup-*")
	if err != nil {
		return fmt.Errorf("backup: create a file: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone after the rename
	err = c.fetch(ctx, tmp)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("backup: from %s: %w", c.From, err)
	}
	info, err := txnlog.ReadSnapshot(txnlog.OS, tmp.Name(), nil)
	if err != nil {
		return fmt.Errorf("backup: what %s sent is no whole snapshot: %w", c.From, err)
	}
	// Not the name but the contents say of which zxid it is.
	zxid, err := info.Zxid("backup")
	if err != nil {
		return fmt.Errorf("backup: from %s: %w", c.From, err)
	}
	if name == "" {
		name = fmt.Sprintf("snapshot.%x", zxid)
	}
	file := filepath.Join(dir, name)
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := txnlog.OS.SyncDir(dir); err != nil {
		return fmt.Errorf("backup: sync %s: %w", dir, err)
	}
	fmt.Fprintf(s.stdout, "%s: zxid 0x%x, %d znodes, %d sessions\n", file, zxid, info.Znodes, info.Sessions)
	return nil
}

// fetch asks the member.
func (c zabBackupCmd) fetch(ctx context.Context, w io.Writer) error {
	at, err := url.Parse(c.From)
	if err != nil || at.Host == "" {
		return fmt.Errorf("%w: --from %s is not a URL like http://host:8080", errUsage, c.From)
	}
	if at.Path == "" || at.Path == "/" {
		at.Path = "/commands"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.JoinPath("snapshot").String()+"?streaming=true", http.NoBody)
	if err != nil {
		return err
	}
	scheme, id, ok := strings.Cut(c.Auth, ":")
	if !ok {
		return fmt.Errorf("%w: --auth must be SCHEME:ID", errUsage)
	}
	req.Header.Set("Authorization", scheme+" "+id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		if resp.StatusCode == http.StatusForbidden {
			return fmt.Errorf("%s: --auth must name somebody who may do everything on \"/\"", resp.Status)
		}
		return fmt.Errorf("%s: %s", resp.Status, strings.Join(strings.Fields(string(text)), " "))
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

type zabRestoreCmd struct {
	File    string `arg:"" type:"path" help:"A snapshot, compressed or not."`
	ZooCfg  string `name:"zoo-cfg" type:"path" placeholder:"FILE" xor:"where" required:"" help:"The configuration that names the directories."`
	DataDir string `name:"data-dir" type:"path" placeholder:"DIR" xor:"where" required:"" help:"Or the directory itself."`
	LogDir  string `name:"log-dir" type:"path" placeholder:"DIR" help:"And that of the logs, if they have their own."`
	Force   bool   `help:"Move what is there aside. Nothing is deleted."`
}

func (zabRestoreCmd) Help() string {
	return `Makes a snapshot the whole history of a member that does not run. The file is verified first. A directory
that holds a history is refused; with --force that one is kept beside it, as version-2.<time>.
One that a member of ours uses is always refused; a server of Apache's leaves no lock: stop it first.
In an ensemble, restore the same file on every member.

  ha zab restore /backup/zookeeper/snapshot.5f3 --zoo-cfg /etc/zookeeper/zoo.cfg`
}

func (c zabRestoreCmd) Run(s *surroundings) error {
	info, err := txnlog.ReadSnapshot(txnlog.OS, c.File, nil)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	zxid, err := info.Zxid(filepath.Base(c.File))
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	cfg := txnlog.Config{DataDir: c.DataDir, LogDir: c.LogDir}
	if c.ZooCfg != "" {
		text, err := os.ReadFile(c.ZooCfg)
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		conf, _, err := zoocfg.Parse(c.ZooCfg, text, nil)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		cfg.DataDir, cfg.LogDir = conf.DataDir, conf.LogDir
	}
	store, err := c.empty(s, cfg)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer store.Close()
	if err := store.Install(c.File, zxid); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fmt.Fprintf(s.stdout, "%s: zxid 0x%x, %d znodes, %d sessions\n", cfg.DataDir, zxid, info.Znodes, info.Sessions)
	return nil
}

// empty opens the directories, which hold nothing, or, by force, nothing any more.
func (c zabRestoreCmd) empty(s *surroundings, cfg txnlog.Config) (*txnlog.Store, error) {
	store, err := txnlog.Open(cfg)
	if err != nil {
		return nil, err
	}
	held, err := store.Holds()
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if len(held) == 0 {
		return store, nil
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	if !c.Force {
		return nil, fmt.Errorf("there is a history already, %s and %d more files: --force moves them aside", held[0], len(held)-1)
	}
	stamp := time.Now().UTC().Format("20060102T150405Z")
	moved := map[string]bool{}
	for _, file := range held {
		dir := filepath.Dir(file)
		if moved[dir] {
			continue
		}
		moved[dir] = true
		if err := os.Rename(dir, dir+"."+stamp); err != nil {
			return nil, err
		}
		fmt.Fprintf(s.stdout, "%s: what was there is in %s\n", dir, dir+"."+stamp)
	}
	return txnlog.Open(cfg)
}
