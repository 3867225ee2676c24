package fourletter

import (
	"net/netip"
	"strconv"
)

// The commands that speak of an ensemble; a member alone has little to say to them.

func leader(s *Status, _ map[string]string) object {
	l := s.Leader
	if l == nil {
		return object{{"error", "server is not initialized"}}
	}
	return object{{"is_leader", l.Self}, {"leader_id", l.ID}, {"leader_ip", l.Address}}
}

func observers(s *Status, _ map[string]string) object {
	count := 0
	if s.Leader != nil {
		count = s.Leader.SyncedObservers
	}
	return object{{"synced_observers", count}, {"observers", []object{}}}
}

func votingView(s *Status, _ map[string]string) object {
	view := object{}
	if s.Leader != nil {
		for _, v := range s.Leader.Members {
			kind := "participant"
			if v.Observer {
				kind = "observer"
			}
			view = append(view, field{decimalID(v.ID), object{
				{"server_addresses", v.Quorum}, {"election_addresses", v.Election}, {"client_address", v.Client}, {"learner_type", kind},
			}})
		}
	}
	return object{{"current_config", view}}
}

func zabState(s *Status, _ map[string]string) object {
	l := s.Leader
	if l == nil {
		return object{{"voting", false}, {"zabstate", ""}}
	}
	return object{
		{"myid", s.Settings.ServerID}, {"is_leader", l.Self}, {"quorum_address", addresses(l.Quorum)},
		{"election_address", addresses(l.Election)}, {"client_address", l.Client}, {"voting", l.Voting},
		{"last_zxid", "0x" + strconv.FormatUint(uint64(s.Zxid), 16)}, {"zab_epoch", uint64(s.Zxid) >> 32},
		{"zab_counter", s.Zxid & 0xffffffff}, {"zabstate", l.State},
	}
}

// addresses is one address in the shape of Java's list of several; none of ours is probed for being
// reachable, so all of them count as such.
func addresses(addr string) object {
	ports, hosts, wild := []uint16{}, []string{}, []string{}
	if a, err := netip.ParseAddrPort(addr); err == nil {
		ports, hosts = append(ports, a.Port()), append(hosts, a.Addr().String())
		wild = append(wild, "0.0.0.0:"+strconv.Itoa(int(a.Port())))
	}
	all := []string{}
	if addr != "" {
		all = append(all, addr)
	}
	return object{
		{"empty", addr == ""}, {"all_addresses", all}, {"all_reachable_addresses", all}, {"one", addr}, {"reachable_address", addr},
		{"wildcard_addresses", wild}, {"all_ports", ports}, {"all_host_strings", hosts}, {"all_reachable_addresses_or_all", all},
		{"reachable_or_one", addr},
	}
}
