package fourletter

import (
	"bytes"
	"encoding/json"
)

// An object is a JSON object whose fields keep their order, which people who read it are used to.
type object []field

type field struct {
	name  string
	value any
}

// A number is a number already printed: Java writes 0.0 where Go's encoder writes 0, and strict readers
// take them for different types.
type number = json.RawMessage

func (o object) has(name string) bool {
	for _, f := range o {
		if f.name == name {
			return true
		}
	}
	return false
}

// MarshalJSON writes the fields in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// document is the object over several lines.
func (o object) document() []byte {
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		panic("fourletter: marshal an answer: " + err.Error()) // strings, numbers and lists only
	}
	return append(b, '\n')
}
