package consensus

import (
	"net/netip"
	"strconv"
	"strings"
)

// parseNetwork reads the id of an ACL of scheme ip: an address, perhaps with the number of bits that count.
func parseNetwork(s string) (addr netip.Addr, bits int, ok bool) {
	text, suffix, some := strings.Cut(s, "/")
	addr, ok = parseAddress(text)
	if !ok {
		return addr, 0, false
	}
	bits = addr.BitLen()
	if some {
		n, err := strconv.Atoi(suffix)
		if err != nil || n < 0 || n > bits {
			return addr, 0, false
		}
		bits = n
	}
	return addr, bits, true
}

// parseAddress reads an address. ZooKeeper takes leading zeros and signs in IPv4, netip does not.
func parseAddress(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n > 255 {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// addressMatches reports whether a client's address lies in the network of an ACL.
func addressMatches(client, network string) bool {
	a, ok := parseAddress(client)
	if !ok {
		return false
	}
	net, bits, ok := parseNetwork(network)
	if !ok || net.BitLen() != a.BitLen() {
		return false
	}
	return netip.PrefixFrom(net, bits).Contains(a)
}

// addressText writes an address as Java does: IPv6 in eight groups without shortening.
func addressText(a netip.Addr) string {
	a = a.Unmap()
	if !a.Is6() {
		return a.String()
	}
	b := a.As16()
	var s []byte
	for i := 0; i < len(b); i += 2 {
		if i > 0 {
			s = append(s, ':')
		}
		s = strconv.AppendUint(s, uint64(b[i])<<8|uint64(b[i+1]), 16)
	}
	if zone := a.Zone(); zone != "" {
		s = append(append(s, '%'), zone...)
	}
	return string(s)
}
