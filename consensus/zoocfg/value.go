package zoocfg

import (
	"context"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// lookupTimeout bounds the search for the address behind a name in the configuration.
const lookupTimeout = 10 * time.Second

// int reads a whole number between two bounds.
func (r *reader) int(e entry, least, most int64) (int64, bool) {
	n, err := strconv.ParseInt(e.value, 10, 64)
	switch {
	case err != nil:
		r.bad(e, "%q is not a whole number", e.value)
	case n < least || n > most:
		r.bad(e, "%d is out of range: want %d to %d", n, least, most)
	default:
		return n, true
	}
	return 0, false
}

// bool reads true or false, in any case, as the keys by name demand it.
func (r *reader) bool(e entry) (v, ok bool) {
	switch strings.ToLower(e.value) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	r.bad(e, "Invalid option %s. Choose 'true' or 'false'", e.value)
	return false, false
}

// yes reads yes or no, and true or false.
func (r *reader) yes(e entry) (v, ok bool) {
	switch strings.ToLower(e.value) {
	case "yes":
		return true, true
	case "no":
		return false, true
	}
	return r.bool(e)
}

// A setter takes an entry.
type setter = func(*reader, entry)

func intTo(least, most int64, field func(*reader) *int) setter {
	return func(r *reader, e entry) {
		if n, ok := r.int(e, least, most); ok {
			*field(r) = int(n)
		}
	}
}

// kibTo reads a number of KiB; below 1 it sets off.
func kibTo(off int64, field func(*reader) *int64) setter {
	return func(r *reader, e entry) {
		n, ok := r.int(e, math.MinInt64, math.MaxInt64/1024)
		if !ok {
			return
		}
		*field(r) = n * 1024
		if n <= 0 {
			*field(r) = off
		}
	}
}

// millisTo reads milliseconds, at least so many and at most what 32 bits hold.
func millisTo(least int64, field func(*reader) *time.Duration) setter {
	return func(r *reader, e entry) {
		if n, ok := r.int(e, least, math.MaxInt32); ok {
			*field(r) = time.Duration(n) * time.Millisecond
		}
	}
}

func boolTo(field func(*reader) *bool) setter {
	return func(r *reader, e entry) {
		if v, ok := r.bool(e); ok {
			*field(r) = v
		}
	}
}

func yesTo(field func(*reader) *bool) setter {
	return func(r *reader, e entry) {
		if v, ok := r.yes(e); ok {
			*field(r) = v
		}
	}
}

func notTo(field func(*reader) *bool) setter {
	return func(r *reader, e entry) {
		if v, ok := r.yes(e); ok {
			*field(r) = !v
		}
	}
}

func textTo(field func(*reader) *string) setter {
	return func(r *reader, e entry) { *field(r) = e.value }
}

// list splits at commas; empty parts are dropped.
func list(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func listTo(field func(*reader) *[]string) setter {
	return func(r *reader, e entry) { *field(r) = list(e.value) }
}

// address is where to listen. No host, and the address of everything in IPv4 as Java writes it, are all
// addresses, of IPv6 too. A key that holds a name is looked up.
func (r *reader) address(key, host string, port int) netip.AddrPort {
	if host == "" || host == "0.0.0.0" || host == "*" {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port))
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, uint16(port))
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		r.bad(r.given[key], "%s: no address found for this name", host)
		return netip.AddrPort{}
	}
	best := found[0].Unmap()
	for _, a := range found { // Java prefers IPv4
		if a.Unmap().Is4() {
			best = a.Unmap()
			break
		}
	}
	return netip.AddrPortFrom(best, uint16(port))
}
