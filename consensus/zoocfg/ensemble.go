package zoocfg

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/ha/consensus"
)

// number reads what follows the point in server.1, group.1, weight.1.
func (r *reader) number(e entry) (int64, bool) {
	_, text, _ := strings.Cut(e.key, ".")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		r.bad(e, "%q is not the number of a server or a group", text)
		return 0, false
	}
	return n, true
}

// server takes server.N=host:quorum:election[:role][|host:quorum:election…][;[client host:]client port].
func (r *reader) server(e entry) {
	id, ok := r.number(e)
	if !ok {
		return
	}
	s, err := parseServer(id, e.value)
	if err != nil {
		r.bad(e, "%v", err)
		return
	}
	r.servers[id] = &s
}

func parseServer(id int64, value string) (consensus.Server, error) {
	s := consensus.Server{ID: id, Weight: 1}
	peers, client, withClient := strings.Cut(value, ";")
	for i, text := range strings.Split(peers, "|") {
		peer, role, err := parsePeer(strings.TrimSpace(text))
		if err != nil {
			return s, err
		}
		s.Peers = append(s.Peers, peer)
		switch strings.ToLower(role) {
		case "observer":
			s.Observer = true
		case "participant", "":
		default:
			return s, fmt.Errorf("Unrecognised peertype: %s", role)
		}
		if i > 0 && role != "" && s.Observer != strings.EqualFold(role, "observer") {
			return s, fmt.Errorf("%q has addresses of different roles", value)
		}
	}
	if withClient {
		client = strings.TrimSpace(client)
		host, port := "", client
		if i := strings.LastIndexByte(client, ':'); i >= 0 {
			host, port = client[:i], client[i+1:]
		}
		if _, err := portOf(port); err != nil {
			return s, err
		}
		s.Client = host + ":" + port
	}
	return s, nil
}

// parsePeer takes host:quorum:election[:role]; an IPv6 host stands in brackets.
func parsePeer(text string) (p consensus.Peer, role string, err error) {
	rest := text
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 || !strings.HasPrefix(text[end+1:], ":") {
			return p, "", fmt.Errorf("%s does not have the form server_config or server_config;client_config", text)
		}
		p.Host, rest = text[1:end], text[end+2:]
	} else {
		p.Host, rest, _ = strings.Cut(text, ":")
	}
	parts := strings.Split(rest, ":")
	if p.Host == "" || len(parts) < 2 || len(parts) > 3 {
		return p, "", fmt.Errorf("%q does not have the form host:port:port or host:port:port:type", text)
	}
	if p.Quorum, err = portOf(parts[0]); err != nil {
		return p, "", err
	}
	if p.Election, err = portOf(parts[1]); err != nil {
		return p, "", err
	}
	if len(parts) == 3 {
		role = parts[2]
	}
	return p, role, nil
}

func portOf(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port", s)
	}
	return uint16(n), nil
}

func (r *reader) group(e entry) {
	id, ok := r.number(e)
	if !ok {
		return
	}
	g := consensus.Group{ID: id}
	for part := range strings.SplitSeq(e.value, ":") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil {
			r.bad(e, "%q is not the number of a server", part)
			return
		}
		g.Members = append(g.Members, n)
	}
	r.cfg.Ensemble.Groups = append(r.cfg.Ensemble.Groups, g)
}

func (r *reader) weight(e entry) {
	id, ok := r.number(e)
	if !ok {
		return
	}
	if n, ok := r.int(e, 0, math.MaxInt32); ok {
		r.weights[id] = n
	}
}

// dynamic reads the file that dynamicConfigFile names: servers, groups and weights, nothing else.
func (r *reader) dynamic() {
	name := r.cfg.Ensemble.Dynamic
	if name == "" {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(r.given)) {
		if strings.HasPrefix(key, "server.") || strings.HasPrefix(key, "group") || strings.HasPrefix(key, "weight") {
			r.bad(r.given[key], "must be in a separate dynamic config file")
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		r.bad(r.given["dynamicConfigFile"], "%v", err)
		return
	}
	entries, err := properties(filepath.Base(name), string(text))
	if err != nil {
		r.errs = append(r.errs, err)
	}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.key, "server."):
			r.server(e)
		case strings.HasPrefix(e.key, "group."):
			r.group(e)
		case strings.HasPrefix(e.key, "weight."):
			r.weight(e)
		case e.key == "version":
		default:
			r.bad(e, "Unrecognised parameter")
		}
	}
}

// ensemble puts the servers in order and turns ticks into time.
func (r *reader) ensemble() {
	e := &r.cfg.Ensemble
	for _, limit := range []*time.Duration{&e.InitLimit, &e.SyncLimit, &e.ConnectLimit} {
		*limit *= r.cfg.Tick
	}
	for _, id := range slices.Sorted(maps.Keys(r.weights)) {
		if s := r.servers[id]; s != nil {
			s.Weight = r.weights[id]
		} else {
			r.wrong("weight.%d: there is no server.%d", id, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.servers)) {
		e.Servers = append(e.Servers, *r.servers[id])
	}
	slices.SortFunc(e.Groups, func(a, b consensus.Group) int { return int(a.ID - b.ID) })
	for _, g := range e.Groups {
		for _, id := range g.Members {
			if r.servers[id] == nil {
				r.wrong("group.%d: there is no server.%d", g.ID, id)
			}
		}
	}
	if len(e.Servers) > 0 && e.Voters() == 0 {
		r.wrong("Observers w/o participants is an invalid configuration")
	}
	if e.Voters() > 1 {
		if e.InitLimit == 0 {
			r.wrong("initLimit is not set")
		}
		if e.SyncLimit == 0 {
			r.wrong("syncLimit is not set")
		}
	}
}

// listenOwn listens where the line of this server says, as far as clientPort does not.
func (r *reader) listenOwn(client string) {
	i := strings.LastIndexByte(client, ':')
	port, err := portOf(client[i+1:])
	if err != nil {
		return // parseServer has looked at it
	}
	if a := r.address("server", client[:i], int(port)); a.IsValid() {
		r.cfg.Listen = append(r.cfg.Listen, a)
	}
}
