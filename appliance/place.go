package appliance

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
	"example.org/ha/net/vip"
)

// One file can serve every host of a cluster, because what differs between them is found on the host:
// its name, the interface that reaches a virtual address, the address to bind.

const (
	// DefaultKeyFile is where `ha keygen` puts the cluster's key.
	DefaultKeyFile = "/etc/ha/cluster.key"
	// DefaultCluster is the name of a cluster that was given none.
	DefaultCluster = "ha"
)

// A nic is a network interface of this host, as far as placing needs it.
type nic struct {
	name     string
	prefixes []netip.Prefix
}

// nics lists the interfaces of this host.
func nics() ([]nic, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("appliance: list interfaces: %w", err)
	}
	var out []nic
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("appliance: list addresses of %s: %w", i.Name, err)
		}
		n := nic{name: i.Name}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				n.prefixes = append(n.prefixes, p)
			}
		}
		out = append(out, n)
	}
	return out, nil
}

// clusterFilled is the table [cluster] with what can be defaulted without looking at the host.
func (c Config) clusterFilled() heartbeat.Config {
	hb := c.Cluster
	hb.Name = cmp.Or(hb.Name, DefaultCluster)
	hb.KeyFile = cmp.Or(hb.KeyFile, DefaultKeyFile)
	return hb.WithDefaults()
}

// placed fills in what depends on the host: hostname is its name, list its interfaces.
func (c Config) placed(hostname string, list []nic) (Config, error) {
	if c.Node == "" {
		c.Node, _, _ = strings.Cut(hostname, ".")
	}
	c.Cluster = c.clusterFilled()
	c.LB.Node = c.Node
	c.VIP = slices.Clone(c.VIP)
	var virtual []netip.Addr
	for _, v := range c.VIP {
		for _, p := range v.Addresses {
			virtual = append(virtual, p.Addr())
		}
	}
	var errs []error
	for i := range c.VIP {
		v := &c.VIP[i]
		v.Config = v.Defaults(c.Cluster.Interval)
		name, own, ok := homeOf(*v, list, virtual)
		if !ok {
			errs = append(errs, fmt.Errorf("vip %s: interface: no interface has an address in the subnet of %v; name one", v.Name, v.Addresses))
			continue
		}
		v.Interface = name
		if !c.Cluster.Bind.IsValid() && own.IsValid() {
			c.Cluster.Bind = netip.AddrPortFrom(own, heartbeat.DefaultPort)
		}
	}
	return c, errors.Join(errs...)
}

// homeOf finds the interface of a virtual address, and the address this host has there itself. An
// address left behind by a process that was killed is virtual, and does not count.
func homeOf(v VIP, list []nic, virtual []netip.Addr) (name string, own netip.Addr, ok bool) {
	for _, want := range v.Addresses {
		for _, n := range list {
			if v.Interface != "" && n.name != v.Interface {
				continue
			}
			for _, p := range n.prefixes {
				if p.Contains(want.Addr()) && !slices.Contains(virtual, p.Addr()) {
					return n.name, p.Addr(), true
				}
			}
		}
	}
	return v.Interface, netip.Addr{}, v.Interface != ""
}

// vips is what the heartbeat process gets.
func (c Config) vips() []vip.Config {
	out := make([]vip.Config, len(c.VIP))
	for i, v := range c.VIP {
		out[i] = v.bare()
	}
	return out
}

// keys reads the cluster's keys. A host that joins nobody, and has no file, draws a key for this start:
// there is nobody it could share one with. The keys in force, if any, stay in that case.
func (c Config) keys(inForce []gossip.Key) ([]gossip.Key, error) {
	keys, err := readKeys(c.Cluster.KeyFile)
	switch {
	case err == nil:
		return keys, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cluster.key_file: %w", err)
	case len(c.Cluster.Join) > 0:
		return nil, fmt.Errorf("cluster.key_file: there is no %s, and join names other hosts: make it with `ha keygen` and copy it to every host", c.Cluster.KeyFile)
	case len(inForce) > 0:
		return inForce, nil
	}
	var key gossip.Key
	rand.Read(key[:])
	return []gossip.Key{key}, nil
}

func readKeys(file string) ([]gossip.Key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := gossip.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}
