package admin

import (
	"encoding/json"
	"fmt"
)

// A Summary is what each host tells the others of itself, on the gossip topic of that name, so that
// `ha status` on any host shows all hosts. It is JSON with short names, because it rides in every beat.
type Summary struct {
	Version  string    `json:"v,omitempty"`
	Roles    []string  `json:"r,omitempty"`
	Held     []string  `json:"h,omitempty"` // virtual addresses held, by name
	Services []Service `json:"s,omitempty"`
	More     bool      `json:"m,omitempty"` // it was too long: Held or Services are cut
}

// A Service is a virtual service in a Summary.
type Service struct {
	Name    string `json:"n"`
	Healthy int    `json:"u"`
	Servers int    `json:"t"`
}

// MaxSummary is what a gossip topic carries for each host.
const MaxSummary = 1024

// AppendTo appends the summary to b, cut until it fits.
func (s Summary) AppendTo(b []byte) []byte {
	for {
		text, err := json.Marshal(s)
		if err != nil {
			panic(fmt.Sprintf("admin: encode summary: %v", err)) // strings and numbers only
		}
		if len(text) <= MaxSummary {
			return append(b, text...)
		}
		s.More = true
		switch {
		case len(s.Services) > 0:
			s.Services = s.Services[:len(s.Services)/2]
		case len(s.Held) > 0:
			s.Held = s.Held[:len(s.Held)/2]
		case len(s.Roles) > 0:
			s.Roles = nil
		default:
			s.Version = ""
		}
	}
}

// ParseSummary reads what another host said.
func ParseSummary(b []byte) (Summary, error) {
	if len(b) > MaxSummary {
		return Summary{}, fmt.Errorf("admin: summary of %d bytes is longer than %d", len(b), MaxSummary)
	}
	var s Summary
	if err := json.Unmarshal(b, &s); err != nil {
		return Summary{}, fmt.Errorf("admin: decode summary: %w", err)
	}
	return s, nil
}
