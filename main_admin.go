package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"example.org/ha/appliance"
	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/demo"
)

// The commands that speak to a running appliance.

// socketFlag is common to them.
type socketFlag struct {
	Socket string `placeholder:"PATH" help:"The appliance's unix socket (default ${default_socket})."`
}

func (f socketFlag) dial() *admin.Client { return admin.Dial(f.Socket) }

// askTimeout bounds every command that does not wait for something to happen.
const askTimeout = 10 * time.Second

type reloadCmd struct{ socketFlag }

func (reloadCmd) Help() string {
	return `The file is checked first. One with a mistake, or one that changes what cannot change while running (the
refusal names it), changes nothing: the old configuration stays in force, and this exits with 1.
What did not change is not disturbed: addresses stay, connections stay.

  ha reload`
}

func (c reloadCmd) Run(s *surroundings) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.dial().Reload(ctx); err != nil {
		return err
	}
	fmt.Fprintln(s.stdout, "applied")
	return nil
}

type vipCmd struct {
	List    vipListCmd    `cmd:"" name:"ls" help:"List the virtual addresses of this host and who holds them."`
	Release vipReleaseCmd `cmd:"" help:"Hand a virtual address to another host, without a gap."`
}

type vipListCmd struct {
	socketFlag
	JSON bool `name:"json" help:"JSON instead of a table."`
}

func (vipListCmd) Help() string {
	return `One line for each virtual address: this host's state and priority, and the host that holds it.

  ha vip ls`
}

func (c vipListCmd) Run(s *surroundings) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	st, err := c.dial().Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.stdout, st.VIPs)
	}
	return table(s.stdout, func(w io.Writer) { writeVIPs(w, st) })
}

type vipReleaseCmd struct {
	socketFlag
	Name string `arg:"" help:"The name of the [[vip]]."`
	To   string `placeholder:"HOST" help:"The host that shall hold it (default: the best backup)."`
}

func (vipReleaseCmd) Help() string {
	return `A planned handover: the other host announces the address before this one lets go, so connections notice
a few milliseconds at most. VIPs of one group move together. It waits until another host holds the
address, and says how long that took. With preempt = true (the default) a host of higher priority
takes the address back.

  ha vip release web
  ha vip release web --to lb2`
}

func (c vipReleaseCmd) Run(s *surroundings) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	took, err := c.dial().Release(ctx, c.Name, c.To)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "%s: handed over in %.1f ms\n", c.Name, took.Seconds()*1000)
	return nil
}

type serverCmd struct {
	Drain   drainCmd   `cmd:"" help:"Take a real server out of new connections; established ones stay."`
	Undrain undrainCmd `cmd:"" help:"Put a drained real server back."`
}

type serverArgs struct {
	socketFlag
	Service string `arg:"" help:"The name of the [[lb.service]]."`
	Server  string `arg:"" help:"The real server, as address:port."`
}

type drainCmd struct{ serverArgs }

func (drainCmd) Help() string {
	return `For maintenance: no new connections, while established ones go on. "ha status" shows how many are left.
Drain it on every load balancer; the drain lasts until undrain or a restart.

  ha server drain web 10.0.0.21:80`
}

func (c drainCmd) Run(*surroundings) error { return c.drain(true) }

type undrainCmd struct{ serverArgs }

func (undrainCmd) Help() string { return "  ha server undrain web 10.0.0.21:80" }

func (c undrainCmd) Run(*surroundings) error { return c.drain(false) }

func (a serverArgs) drain(on bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	return a.dial().Drain(ctx, a.Service, a.Server, on)
}

type statusCmd struct {
	socketFlag
	JSON  bool          `name:"json" help:"Everything, as JSON."`
	Watch bool          `short:"w" help:"Show it again every second, until ^C."`
	Every time.Duration `default:"1s" help:"With --watch: how often."`
}

func (statusCmd) Help() string {
	return `Shows what is not well (lines with "!"), the hosts of the cluster (those lost, and since when), the virtual
addresses and who holds each, the services and their real servers, and counters. Exit code 0: all is
ready; 4: something is not; 3: no appliance answers.

  ha status
  ha status --json | jq '.vips[] | {name, state, active}'

The JSON. Keys are only ever added. Times are RFC 3339; keys that end in _seconds are numbers, other
durations are nanoseconds; counters count since the start; what is empty may be left out.

  node cluster version roles pid now started log_lost
  config   path applied reloads refusals refused refused_at
  parts[]  name ready reason
  hosts[]  name address state (self alive suspect lost left) since heard
           said: what it says of itself: v version, r roles, h addresses held,
                 s services (n name, u healthy, t servers), m true if cut
  vips[]   name group vrid state (initialize backup active resigning fault) priority addresses
           interface carrier interval held since active active_addr transitions reason claim
           warnings sent heard rejected{reason: n}
  tracks[] vip name up weight reason
  lb       services[] name protocol listen scheduler condition (starting serving short sorry empty)
           healthy servers[] address state weight current drained since reason probes failures
  flows[]  service server active total failed received_bytes sent_bytes
  gossip   at bind interval_seconds lost beats_sent beats_heard sent_bytes heard_bytes forgiven
           send_failed dropped{reason: n}
  beat     pid restarts realtime why late_max_seconds late_p99_seconds rounds
  notify   posted dropped delivered{target: n} failed{…} abandoned{…} last_error`
}

func (c statusCmd) Run(s *surroundings) error {
	ctx, stop := s.context()
	defer stop()
	for {
		st, err := c.ask(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(s.stdout, st)
		} else {
			err = c.print(s.stdout, st)
		}
		switch {
		case err != nil:
			return fmt.Errorf("status: print: %w", err)
		case !c.Watch && !st.Ready():
			return silent{errDegraded}
		case !c.Watch:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(c.Every, 10*time.Millisecond)):
		}
	}
}

func (c statusCmd) ask(ctx context.Context) (admin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return c.dial().Status(ctx)
}

// print shows one status; when watching, in place of the last one.
func (c statusCmd) print(w io.Writer, st admin.Status) error {
	var b bytes.Buffer
	if c.Watch {
		b.WriteString("\x1b[H\x1b[2J")
	}
	writeStatus(&b, st)
	_, err := w.Write(b.Bytes())
	return err
}

type keygenCmd struct {
	File string `arg:"" optional:"" type:"path" default:"${default_key}" help:"The key file (default ${default_key})."`
	Add  bool   `help:"Add a key to an existing file, as the second: it opens beats and does not seal yet."`
}

func (keygenCmd) Help() string {
	return `Makes the key that seals all beats of a cluster, readable by root only. Copy the file to every host.

  ha keygen
  scp /etc/ha/cluster.key lb2:/etc/ha/

To change the key without a gap: "ha keygen --add" on one host, copy the file everywhere and "ha reload"
everywhere (now all hosts open the new key); move the new line to the top everywhere and reload (now all
seal with it); remove the old line everywhere and reload.`
}

func (c keygenCmd) Run(s *surroundings) error {
	if err := appliance.WriteKey(c.File, c.Add); err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "%s: wrote a key; copy the file to every host of the cluster\n", c.File)
	return nil
}

func (c devCmd) Run(s *surroundings) error {
	address, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return fmt.Errorf("%w: --address: %w", errUsage, err)
	}
	ctx, stop := s.context()
	defer stop()
	return demo.Dev(ctx, demo.DevConfig{
		Address: address, Script: c.Script, In: s.stdin, Terminal: terminal(s.stdin),
		Out: s.stdout, Verbose: c.Verbose, Version: version,
	})
}

// terminal says that a person types.
func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table lines up columns that fill writes with tabs between them.
func table(w io.Writer, fill func(io.Writer)) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fill(t)
	return t.Flush()
}
