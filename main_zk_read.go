package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"example.org/ha/consensus/jute"
	"example.org/ha/consensus/zk"
)

// The zk commands that change nothing.

// zkStat is a Stat for people and for scripts.
type zkStat struct {
	Path        string    `json:"path"`
	Czxid       string    `json:"czxid"`
	Ctime       time.Time `json:"ctime"`
	Mzxid       string    `json:"mzxid"`
	Mtime       time.Time `json:"mtime"`
	Pzxid       string    `json:"pzxid"`
	Version     int32     `json:"version"`
	Cversion    int32     `json:"cversion"`
	Aversion    int32     `json:"aversion"`
	Owner       string    `json:"ephemeral_owner,omitempty"`
	DataLength  int32     `json:"data_length"`
	NumChildren int32     `json:"num_children"`
}

func hexID(id int64) string { return fmt.Sprintf("0x%x", uint64(id)) }

func newZkStat(path string, st jute.Stat) zkStat {
	out := zkStat{Path: path, Czxid: hexID(st.Czxid), Ctime: time.UnixMilli(st.Ctime), Mzxid: hexID(st.Mzxid), Mtime: time.UnixMilli(st.Mtime),
		Pzxid: hexID(st.Pzxid), Version: st.Version, Cversion: st.Cversion, Aversion: st.Aversion, DataLength: st.DataLength, NumChildren: st.NumChildren}
	if st.EphemeralOwner != 0 {
		out.Owner = hexID(st.EphemeralOwner)
	}
	return out
}

// print writes one line for each fact, under the names that ZooKeeper's own shell gives them.
func (z zkStat) print(w io.Writer) error {
	const layout = "2006-01-02 15:04:05.000 MST"
	return table(w, func(w io.Writer) {
		fmt.Fprintf(w, "cZxid\t%s\nctime\t%s\nmZxid\t%s\nmtime\t%s\npZxid\t%s\n", z.Czxid, z.Ctime.Format(layout), z.Mzxid, z.Mtime.Format(layout), z.Pzxid)
		fmt.Fprintf(w, "cversion\t%d\ndataVersion\t%d\naclVersion\t%d\n", z.Cversion, z.Version, z.Aversion)
		fmt.Fprintf(w, "ephemeralOwner\t%s\ndataLength\t%d\nnumChildren\t%d\n", cmp.Or(z.Owner, "0x0"), z.DataLength, z.NumChildren)
	})
}

type zkLsCmd struct {
	Path    string `arg:"" optional:"" default:"/" help:"The znode (default /)."`
	Recurse bool   `short:"R" help:"All below it, with full paths."`
	Stat    bool   `short:"s" help:"With versions, children, length of the data, owner, time of the last change."`
	JSON    bool   `name:"json" help:"JSON instead of lines."`
}

func (zkLsCmd) Help() string {
	return `  ha zk ls /
  ha zk ls -R /app
  ha zk ls -s --json /app | jq '.[] | select(.ephemeral_owner) | .path'`
}

func (c zkLsCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		if !c.Recurse && !c.Stat {
			names, _, err := client.Children(ctx, c.Path)
			if err != nil {
				return err
			}
			slices.Sort(names)
			if c.JSON {
				return printJSON(s.stdout, names)
			}
			for _, name := range names {
				fmt.Fprintln(s.stdout, name)
			}
			return nil
		}
		return c.walk(ctx, s, client)
	})
}

// walk prints as it goes: a subtree may be large.
func (c zkLsCmd) walk(ctx context.Context, s *surroundings, client *zk.Client) error {
	var stats []zkStat
	cfg := zk.WalkConfig{}
	if !c.Recurse { // the children and no more
		cfg.Skip = func(path string) bool { return zk.Parent(path) != c.Path }
	}
	for n, err := range client.Walk(ctx, c.Path, cfg) {
		switch {
		case err != nil:
			return err
		case !c.Recurse && n.Path == c.Path:
		case c.Stat || c.JSON:
			stats = append(stats, newZkStat(n.Path, n.Stat))
		default:
			if _, err := fmt.Fprintln(s.stdout, n.Path); err != nil {
				return fmt.Errorf("zk: print: %w", err)
			}
		}
	}
	switch {
	case c.JSON:
		return printJSON(s.stdout, append([]zkStat{}, stats...))
	case c.Stat:
		return table(s.stdout, func(w io.Writer) {
			fmt.Fprintln(w, "VERSION\tCHILDREN\tLENGTH\tOWNER\tCHANGED\tPATH")
			for _, st := range stats {
				fmt.Fprintf(w, "%d\t%d\t%d\t%s\t%s\t%s\n", st.Version, st.NumChildren, st.DataLength, cmp.Or(st.Owner, "-"), st.Mtime.Format(time.DateTime), st.Path)
			}
		})
	}
	return nil
}

type zkGetCmd struct {
	Path  string `arg:"" help:"The znode."`
	Stat  bool   `short:"s" help:"Also what is known of it."`
	Watch bool   `short:"w" help:"Print it again after every change, until ^C."`
	Raw   bool   `help:"Exactly the bytes: no end of line, and bytes that are no text as they are."`
	JSON  bool   `name:"json" help:"JSON: path, data or base64, and what is known of it."`
}

func (zkGetCmd) Help() string {
	return `  ha zk get /app/config
  ha zk get --raw /app/blob > blob
  ha zk get -w /app/config`
}

func (c zkGetCmd) Run(s *surroundings, z *zkSession) error {
	return z.follow(s, func(ctx context.Context, client *zk.Client) error {
		if !c.Watch {
			data, st, err := client.Get(ctx, c.Path)
			if err != nil {
				return err
			}
			return c.print(s.stdout, data, st)
		}
		w, err := client.Watch(ctx, c.Path, zk.Here)
		if err != nil {
			return err
		}
		defer w.Close()
		shown := int64(-1)
		for {
			if _, err := w.Next(ctx); err != nil {
				return err
			}
			data, st, err := client.Get(ctx, c.Path)
			if err != nil {
				return err
			}
			if st.Mzxid == shown {
				continue
			}
			shown = st.Mzxid
			if err := c.print(s.stdout, data, st); err != nil {
				return err
			}
		}
	})
}

func (c zkGetCmd) print(w io.Writer, data []byte, st jute.Stat) error {
	if c.JSON {
		out := struct {
			zkStat
			Data   *string `json:"data,omitempty"`
			Base64 []byte  `json:"base64,omitempty"`
		}{zkStat: newZkStat(c.Path, st)}
		if utf8.Valid(data) && data != nil {
			out.Data = new(string(data))
		} else {
			out.Base64 = data
		}
		return printJSON(w, out)
	}
	if err := printData(w, data, c.Raw); err != nil {
		return err
	}
	if c.Stat {
		return newZkStat(c.Path, st).print(w)
	}
	return nil
}

// printData shows text as text and anything else in hexadecimal, which no terminal obeys.
func printData(w io.Writer, data []byte, raw bool) error {
	text := !slices.ContainsFunc([]rune(string(data)), func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r'
	})
	switch {
	case raw:
	case !text:
		data = []byte(hex.Dump(data))
	case len(data) > 0 && data[len(data)-1] != '\n':
		data = append(data, '\n')
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("zk: print: %w", err)
	}
	return nil
}

type zkStatCmd struct {
	Path string `arg:"" help:"The znode."`
	JSON bool   `name:"json" help:"JSON instead of lines."`
}

func (c zkStatCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		st, ok, err := client.Exists(ctx, c.Path)
		switch {
		case err != nil:
			return err
		case !ok:
			return &zk.Error{Op: jute.OpExists, Path: c.Path, Part: -1, Err: jute.NoNode}
		case c.JSON:
			return printJSON(s.stdout, newZkStat(c.Path, st))
		}
		return newZkStat(c.Path, st).print(s.stdout)
	})
}

type zkCountCmd struct {
	Path string `arg:"" optional:"" default:"/" help:"The znode (default /)."`
}

func (c zkCountCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		n, err := client.Descendants(ctx, c.Path)
		if err == nil {
			fmt.Fprintln(s.stdout, n)
		}
		return err
	})
}

type zkWatchCmd struct {
	Path    string `arg:"" help:"The znode; it need not exist."`
	Recurse bool   `short:"R" help:"All below it too."`
	JSON    bool   `name:"json" help:"A line of JSON for each event."`
}

func (zkWatchCmd) Help() string {
	return `One line for each change: the time, what happened, the path. After a lost connection a line says that changes
may have been missed; they are not told twice. Of several changes of a znode at once only the last is told.

  ha zk watch -R /app`
}

// zkEvent is one line of watch.
type zkEvent struct {
	Time time.Time `json:"time"`
	Type string    `json:"type"`
	Path string    `json:"path"`
}

func eventWord(t jute.EventType) string {
	switch t {
	case jute.EventCreated:
		return "created"
	case jute.EventDeleted:
		return "deleted"
	case jute.EventDataChanged:
		return "changed"
	}
	return "children"
}

func (c zkWatchCmd) Run(s *surroundings, z *zkSession) error {
	mode := zk.Here
	if c.Recurse {
		mode = zk.Recursive
	}
	return z.follow(s, func(ctx context.Context, client *zk.Client) error {
		w, err := client.Watch(ctx, c.Path, mode)
		if err != nil {
			return err
		}
		defer w.Close()
		for began := false; ; began = true {
			ch, err := w.Next(ctx)
			if err != nil {
				return err
			}
			if word := "watching"; ch.Again {
				if began {
					word = "missed" // what happened while no server was there
				}
				ch.Events = nil
				err = c.print(s.stdout, zkEvent{time.Now(), word, c.Path})
			}
			for _, e := range ch.Events {
				err = cmp.Or(err, c.print(s.stdout, zkEvent{time.Now(), eventWord(e.Type), e.Path}))
			}
			if err != nil {
				return fmt.Errorf("zk: print: %w", err)
			}
		}
	})
}

func (c zkWatchCmd) print(w io.Writer, e zkEvent) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(e)
	}
	_, err := fmt.Fprintf(w, "%s %-8s %s\n", e.Time.Format("15:04:05.000"), e.Type, e.Path)
	return err
}

type zkSyncCmd struct {
	Path string `arg:"" optional:"" default:"/" help:"Any path."`
}

func (c zkSyncCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error { return client.Sync(ctx, c.Path) })
}

type zkWhoamiCmd struct {
	JSON bool `name:"json" help:"JSON instead of lines."`
}

func (c zkWhoamiCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		ids, err := client.WhoAmI(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.stdout, ids)
		}
		for _, id := range ids {
			fmt.Fprintf(s.stdout, "%s:%s\n", id.Scheme, id.ID)
		}
		return nil
	})
}

type zkMembersCmd struct{}

func (zkMembersCmd) Run(s *surroundings, z *zkSession) error {
	return z.do(s, func(ctx context.Context, client *zk.Client) error {
		text, _, err := client.Members(ctx)
		if err != nil {
			return err
		}
		return printData(s.stdout, []byte(text), false)
	})
}
