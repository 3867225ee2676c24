package vrrp

import "strconv"

// A Reject is the reason why a packet was refused; it is the error of the
// parsers and of Config.Admit, and an index for counters. The last few are
// found by the shell, which sees the IP header.
type Reject uint8

const (
	TooShort Reject = iota
	UnknownVersion
	UnknownType
	UnknownAuthType
	NoVRID
	ZeroInterval
	TooFewAddresses // the count field promises more than the packet holds
	WrongChecksum
	MalformedBeat
	OtherVRID
	OtherVersion
	OtherInterval // v2: intervals must be equal
	OtherAuthType
	WrongPassword
	WrongTTL
	WrongDestination
	UnknownSender // unicast, and not one of the peers
	OwnPacket     // looped back to us

	Rejects = int(OwnPacket) + 1 // how many reasons there are
)

var rejectNames = [Rejects]string{
	"too_short", "unknown_version", "unknown_type", "unknown_auth_type", "no_vrid", "zero_interval",
	"too_few_addresses", "wrong_checksum", "malformed_beat", "other_vrid", "other_version", "other_interval",
	"other_auth_type", "wrong_password", "wrong_ttl", "wrong_destination", "unknown_sender", "own_packet",
}

// String is the reason as a label of a counter.
func (r Reject) String() string {
	if int(r) >= Rejects {
		return "reject(" + strconv.Itoa(int(r)) + ")"
	}
	return rejectNames[r]
}

func (r Reject) Error() string { return "vrrp: refuse packet: " + r.String() }
