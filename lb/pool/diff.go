package pool

import "slices"

// Op says what a [Change] does.
type Op uint8

const (
	AddService    Op = iota + 1 // Change.Service, without servers: AddServer follows for each
	EditService                 // Change.Service: its options or listen addresses differ
	DeleteService               // Change.Service as it was; its servers go with it
	AddServer
	EditServer // the weight differs
	DeleteServer
)

func (o Op) String() string {
	switch o {
	case AddService:
		return "add service"
	case EditService:
		return "edit service"
	case DeleteService:
		return "delete service"
	case AddServer:
		return "add server"
	case EditServer:
		return "edit server"
	case DeleteServer:
		return "delete server"
	}
	return "unknown"
}

// A Change is one step from one Table to another. Service names the service in every Op and never
// carries servers; Server is set in the three server Ops.
type Change struct {
	Op      Op
	Service VirtualService
	Server  RealServer
}

// Diff lists what turns have into want. Both must be in canonical order (see [Table.Sorted]). The
// list is in a stable order: deleted services first, so that an address may move to another
// service, then service by service; within one, deleted servers, then the rest by address.
func Diff(have, want Table) []Change {
	var out []Change
	for _, v := range have.Services {
		if _, kept := find(want, v.Name); !kept {
			out = append(out, Change{Op: DeleteService, Service: bare(v)})
		}
	}
	for _, w := range want.Services {
		h, known := find(have, w.Name)
		switch {
		case !known:
			out = append(out, Change{Op: AddService, Service: bare(w)})
		case !h.equalOptions(w):
			out = append(out, Change{Op: EditService, Service: bare(w)})
		}
		out = appendServerChanges(out, bare(w), h.Servers, w.Servers)
	}
	return out
}

func appendServerChanges(out []Change, v VirtualService, have, want []RealServer) []Change {
	for _, s := range have {
		if _, kept := slices.BinarySearchFunc(want, s, compareServers); !kept {
			out = append(out, Change{Op: DeleteServer, Service: v, Server: s})
		}
	}
	for _, s := range want {
		i, known := slices.BinarySearchFunc(have, s, compareServers)
		switch {
		case !known:
			out = append(out, Change{Op: AddServer, Service: v, Server: s})
		case have[i] != s:
			out = append(out, Change{Op: EditServer, Service: v, Server: s})
		}
	}
	return out
}

// Apply returns t after changes, as a data path would hold it. It panics on a change that does not
// fit t, such as a server added to a service that is not there.
func (t Table) Apply(changes []Change) Table {
	t = t.Sorted()
	for _, c := range changes {
		i, known := slices.BinarySearchFunc(t.Services, c.Service, compareServices)
		if known == (c.Op == AddService) {
			panic("pool: " + c.Op.String() + " " + c.Service.Name + " does not fit the table")
		}
		switch c.Op {
		case AddService:
			t.Services = slices.Insert(t.Services, i, c.Service)
		case DeleteService:
			t.Services = slices.Delete(t.Services, i, i+1)
		case EditService:
			c.Service.Servers = t.Services[i].Servers
			t.Services[i] = c.Service
		default:
			t.Services[i].Servers = applyServer(t.Services[i].Servers, c)
		}
	}
	return t
}

func applyServer(servers []RealServer, c Change) []RealServer {
	i, known := slices.BinarySearchFunc(servers, c.Server, compareServers)
	if known == (c.Op == AddServer) {
		panic("pool: " + c.Op.String() + " " + c.Server.Address.String() + " does not fit the table")
	}
	switch c.Op {
	case AddServer:
		return slices.Insert(servers, i, c.Server)
	case DeleteServer:
		return slices.Delete(servers, i, i+1)
	}
	servers[i] = c.Server
	return servers
}

func find(t Table, name string) (VirtualService, bool) {
	i, ok := slices.BinarySearchFunc(t.Services, VirtualService{Name: name}, compareServices)
	if !ok {
		return VirtualService{}, false
	}
	return t.Services[i], true
}

func bare(v VirtualService) VirtualService {
	v.Servers = nil
	return v
}
