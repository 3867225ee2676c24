package health

// State is what is believed about a real server.
type State uint8

const (
	Unknown State = iota // too few answers so far; it gets no connections
	Up
	Down
)

func (s State) String() string {
	return [...]string{"unknown", "up", "down"}[s]
}

// MarshalText makes a State a word in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes; a word of a newer version reads as Unknown.
func (s *State) UnmarshalText(text []byte) error {
	*s = Unknown
	for _, known := range []State{Up, Down} {
		if string(text) == known.String() {
			*s = known
		}
	}
	return nil
}
