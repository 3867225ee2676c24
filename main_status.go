package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"example.org/ha/appliance/admin"
)

// How a status looks to people: first what is wrong, then who is there, then what moves, then counters.

// writeStatus writes everything.
func writeStatus(w io.Writer, st admin.Status) {
	verdict := "ready"
	if !st.Ready() {
		verdict = "NOT READY"
	}
	fmt.Fprintf(w, "%s: %s, cluster %s, roles %s, up %s, ha %s\n", st.Node, verdict, st.Cluster,
		strings.Join(st.Roles, " "), ago(st.Now, st.Started), st.Version)
	writeTrouble(w, st)
	_ = table(w, func(w io.Writer) { writeHosts(w, st) })
	_ = table(w, func(w io.Writer) { writeVIPs(w, st) })
	_ = table(w, func(w io.Writer) { writeServices(w, st) })
	_ = table(w, func(w io.Writer) { writeMember(w, st.ZAB) })
	fmt.Fprintln(w)
	_ = table(w, func(w io.Writer) { writeCounters(w, st) })
}

// writeTrouble writes a line for each thing that a person should look at.
func writeTrouble(w io.Writer, st admin.Status) {
	for _, p := range st.Parts {
		if !p.Ready {
			fmt.Fprintf(w, "  ! %s is not ready: %s\n", p.Name, p.Reason)
		}
	}
	if st.Config.Refused != "" {
		fmt.Fprintf(w, "  ! the file was refused %s ago, the old configuration is in force:\n    %s\n",
			ago(st.Now, st.Config.RefusedAt), strings.ReplaceAll(st.Config.Refused, "\n", "\n    "))
	}
	if !st.Beat.Realtime && st.Beat.PID != 0 {
		fmt.Fprintf(w, "  ! beats run without realtime priority, a busy host may be taken for lost: %s\n", st.Beat.Why)
	}
	for _, v := range st.VIPs {
		for _, warning := range v.Warnings {
			fmt.Fprintf(w, "  ! vip %s: %s\n", v.Name, warning)
		}
		if v.Claim != "" {
			fmt.Fprintf(w, "  ! vip %s: %s advertises it too\n", v.Name, v.Claim)
		}
	}
	for _, t := range st.Tracks {
		if !t.Up {
			fmt.Fprintf(w, "  ! vip %s: %s fails (%s): %s\n", t.VIP, t.Name, consequence(t), t.Reason)
		}
	}
	if st.Notify.LastError != "" {
		fmt.Fprintf(w, "  ! last failed notification: %s\n", st.Notify.LastError)
	}
	if st.LogLost > 0 {
		fmt.Fprintf(w, "  ! %d log lines were lost: standard error cannot be written or is not read\n", st.LogLost)
	}
}

func consequence(t admin.Track) string {
	if t.Weight == 0 {
		return "the address is given up"
	}
	return fmt.Sprintf("priority %+d", t.Weight)
}

func writeHosts(w io.Writer, st admin.Status) {
	fmt.Fprintln(w, "\nHOST\tADDRESS\tSTATE\tSINCE\tLAST BEAT\tHOLDS\tSERVICES")
	for _, h := range st.Hosts {
		holds, services := "", ""
		if h.Said != nil && h.State != "lost" && h.State != "left" {
			holds = strings.Join(h.Said.Held, " ")
			for _, s := range h.Said.Services {
				services += fmt.Sprintf("%s %d/%d ", s.Name, s.Healthy, s.Servers)
			}
			if h.Said.More {
				services += "…"
			}
		}
		address, state, heard := h.Address.String(), h.State, ago(st.Gossip.At, h.Heard)
		if !h.Address.IsValid() {
			address = "-"
		}
		if state == "self" {
			state = "this host"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.Name, address, state, ago(st.Now, h.Since), heard, orDash(holds), orDash(services))
	}
}

func writeVIPs(w io.Writer, st admin.Status) {
	if len(st.VIPs) == 0 {
		return
	}
	fmt.Fprintln(w, "\nVIP\tHELD BY\tADDRESSES\tINTERFACE\tHERE\tSINCE\tPRIORITY\tCARRIER\tREASON")
	for _, v := range st.VIPs {
		var addresses []string
		for _, p := range v.Addresses {
			addresses = append(addresses, p.String())
		}
		holder := v.Active // a host of the cluster if it is one, else where it advertises from
		switch {
		case v.Held:
			holder = st.Node
		case holder == "" && v.ActiveAddr.IsValid():
			holder = v.ActiveAddr.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s %v\t%s\n", v.Name, orDash(holder), strings.Join(addresses, " "),
			orDash(v.Interface), v.State, ago(st.Now, v.Since), v.Priority, v.Carrier, v.Interval, v.Reason)
	}
}

func writeServices(w io.Writer, st admin.Status) {
	if st.LB == nil {
		return
	}
	flows := map[string]admin.Flow{}
	for _, f := range st.Flows {
		flows[f.Service+" "+f.Server] = f
	}
	fmt.Fprintln(w, "\nSERVICE\tSERVER\tSTATE\tSINCE\tWEIGHT\tCONNECTIONS\tTOTAL\tREASON")
	for _, s := range st.LB.Services {
		var listen []string
		for _, l := range s.Listen {
			listen = append(listen, l.String())
		}
		fmt.Fprintf(w, "%s\t%s %s %s\t%s\t\t\t\t\t%d of %d healthy\n", s.Name, s.Protocol, strings.Join(listen, " "),
			s.Scheduler, s.Condition, s.Healthy, len(s.Servers))
		for _, r := range s.Servers {
			state := r.State.String()
			if r.Drained {
				state += ", drained"
			}
			f := flows[s.Name+" "+r.Address.String()]
			reason := ""
			if r.State.String() != "up" {
				reason = r.Reason
			}
			fmt.Fprintf(w, "\t%v\t%s\t%s\t%d\t%d\t%d\t%s\n", r.Address, state, ago(st.Now, r.Since), r.Current, f.Active, f.Total, reason)
		}
	}
}

func writeMember(w io.Writer, m *admin.Member) {
	if m == nil {
		return
	}
	var listen []string
	for _, a := range m.Listen {
		listen = append(listen, a.String())
	}
	fmt.Fprintln(w, "\nZOOKEEPER\tLISTENS ON\tZXID\tZNODES\tSESSIONS\tCONNECTIONS\tWATCHES\tOUTSTANDING")
	fmt.Fprintf(w, "%s\t%s\t0x%x\t%d\t%d\t%d\t%d\t%d\n", orDash(m.Mode), strings.Join(listen, " "), uint64(m.Zxid), m.Znodes,
		m.Sessions, m.Connections, m.Watches, m.Outstanding)
}

// writeCounters writes what was sent, heard and refused since the start.
func writeCounters(w io.Writer, st admin.Status) {
	fmt.Fprintf(w, "configuration\t%s, in force for %s; %d reloads, %d refused\n", orDash(st.Config.Path), ago(st.Now, st.Config.Applied),
		st.Config.Reloads, st.Config.Refusals)
	g := st.Gossip
	fmt.Fprintf(w, "beats\tevery %v, lost after %d; %d sent, %d heard, %d could not be sent%s\n", seconds(g.Interval), g.Lost,
		g.Sent, g.Heard, g.SendFailed, reasons("; refused: ", g.Dropped))
	priority := "realtime priority"
	switch {
	case !st.Beat.Realtime:
		priority = "no realtime priority (" + st.Beat.Why + ")"
	case st.Beat.Why != "":
		priority += " (but " + st.Beat.Why + ")"
	}
	process := "in this process"
	if st.Beat.PID != 0 {
		process = fmt.Sprintf("process %d, restarted %d times", st.Beat.PID, st.Beat.Restarts)
	}
	fmt.Fprintf(w, "beat loop\t%s; %s; woke up at most %v late in the last minute, %v in 99 of 100 cases\n", process, priority,
		seconds(st.Beat.LateMax), seconds(st.Beat.LateP99))
	for _, v := range st.VIPs {
		fmt.Fprintf(w, "vip %s\t%d advertisements sent, %d heard%s; %d changes of state\n", v.Name, v.Sent, v.Heard,
			reasons(", refused: ", v.Rejected), v.Transitions)
	}
	if n := st.Notify; n.Posted > 0 {
		fmt.Fprintf(w, "notifications\t%d events, %d messages delivered, %d attempts failed, %d given up\n", n.Posted,
			sum(n.Delivered), sum(n.Failed), sum(n.Abandoned))
	}
}

// reasons writes counters by reason, those that are not zero, in the order of their names.
func reasons(before string, by map[string]uint64) string {
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		if by[reason] > 0 {
			out = append(out, fmt.Sprintf("%d %s", by[reason], reason))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return before + strings.Join(out, ", ")
}

func sum(by map[string]uint64) (n uint64) {
	for _, v := range by {
		n += v
	}
	return n
}

// seconds is a duration that JSON carries as a number, in microseconds' precision.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}

func orDash(s string) string {
	if strings.TrimSpace(s) == "" {
		return "-"
	}
	return strings.TrimSpace(s)
}

// ago is how long before now something was, in the unit that matters.
func ago(now, then time.Time) string {
	d := now.Sub(then)
	switch {
	case then.IsZero():
		return "-"
	case d < time.Second:
		return fmt.Sprintf("%dms", max(d, 0).Milliseconds())
	case d < time.Hour:
		return d.Truncate(time.Second).String()
	case d < 48*time.Hour:
		return d.Truncate(time.Minute).String()
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
