package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// Priorities with a meaning of their own (RFC 9568, section 5.2.4).
const (
	Resigned uint8 = 0   // in an advertisement: the sender gives the addresses up
	Owner    uint8 = 255 // the addresses are the interface's own
)

// Limits of the interval on the wire.
const (
	centisecond   = 10 * time.Millisecond
	maxV3Interval = 4095 * centisecond
	maxV2Interval = 255 * time.Second
)

// Config is what a Router needs to know. Zero Version means 3, zero Priority
// 100, zero Interval one second.
type Config struct {
	VRID     uint8
	Version  uint8         // 2 or 3; 3 on the gossip carrier
	Priority uint8         // 1..255, 255 only for the owner of the addresses
	Interval time.Duration // between our advertisements; the wire knows centiseconds (v3) or seconds (v2)
	Preempt  bool          // take over from a lower priority; the owner always does

	// PreemptDelay is how long a lower priority is tolerated before it is
	// preempted. It counts from its first advertisement heard in Backup.
	PreemptDelay time.Duration

	Addresses []netip.Addr  // the virtual addresses, in the order configured
	Local     netip.Addr    // our primary address: of two equal priorities the higher address wins
	Rank      netip.Addr    // compared before Local, where that is no address but a name; see Heard
	Wait      time.Duration // added to the first activeDown after Start and after Recovered

	AuthType uint8   // v2: 0 none, 1 simple password
	Auth     [8]byte // v2: the password, padded with zeros
}

func (c Config) withDefaults() Config {
	if c.Version == 0 {
		c.Version = 3
	}
	if c.Priority == 0 {
		c.Priority = 100
	}
	if c.Interval <= 0 {
		c.Interval = time.Second
	}
	c.Local, c.Rank = plain(c.Local), plain(c.Rank)
	c.Addresses = slices.Clone(c.Addresses)
	for i, a := range c.Addresses {
		c.Addresses[i] = plain(a)
	}
	return c
}

// plain drops what does not belong to an address on the wire.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Admit says whether an advertisement that was parsed is for this router
// (RFC 3768 and RFC 9568, section 7.1): the error is a Reject. Different
// addresses are no reason to refuse; the Router warns of them.
func (c Config) Admit(a Advertisement) error {
	if c.Version == 0 {
		c.Version = 3
	}
	switch {
	case a.VRID != c.VRID:
		return OtherVRID
	case a.Beat:
		return nil
	case a.Version != c.Version:
		return OtherVersion
	case a.Version != 2:
		return nil
	case a.Interval != wireInterval(2, c.Interval):
		return OtherInterval
	case a.AuthType != c.AuthType:
		return OtherAuthType
	case a.AuthType == AuthPassword && a.Auth != c.Auth:
		return WrongPassword
	}
	return nil
}

// skewTime lets the higher priority go first (RFC 9568, section 6.1; RFC 3768
// counts in whole seconds whatever the interval is).
func skewTime(version, priority uint8, interval time.Duration) time.Duration {
	if version == 2 {
		interval = time.Second
	}
	return time.Duration(256-int(priority)) * interval / 256
}

// activeDownInterval is the silence after which the active router is taken for
// dead.
func activeDownInterval(version, priority uint8, interval time.Duration) time.Duration {
	return 3*interval + skewTime(version, priority, interval)
}

// wireInterval is the interval as a version can say it, in its units and within
// its limits.
func wireInterval(version uint8, d time.Duration) time.Duration {
	if version == 2 {
		return min(max(d.Round(time.Second), time.Second), maxV2Interval)
	}
	return min(max(d.Round(centisecond), centisecond), maxV3Interval)
}
