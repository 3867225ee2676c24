package appliance

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// What the decoder says of a value is true and made for programmers. An operator is told what to write.

// A form is how a type of value is written.
type form struct {
	ok     func(text string) error
	advice func(text string) string
}

// forms are the types that people write in quotes and that have a form of their own.
var forms = map[reflect.Type]form{
	reflect.TypeFor[time.Duration](): {
		func(text string) error { _, err := time.ParseDuration(text); return err },
		func(text string) string {
			return fmt.Sprintf(`%q is not a duration: write a number and its unit, such as "500ms", "3s" or "2m"`, text)
		},
	},
	reflect.TypeFor[netip.Prefix](): {
		func(text string) error { _, err := netip.ParsePrefix(text); return err },
		func(text string) string {
			if a, err := netip.ParseAddr(text); err == nil {
				bits := map[bool]int{true: 24, false: 64}[a.Is4()]
				return fmt.Sprintf(`%q lacks the length of its prefix: write "%s/%d" if that is its subnet`, text, a, bits)
			}
			return fmt.Sprintf(`%q is not an address with its prefix: write it like "10.0.0.100/24" or "fd00::100/64"`, text)
		},
	},
	reflect.TypeFor[netip.AddrPort](): {
		func(text string) error { _, err := netip.ParseAddrPort(text); return err },
		func(text string) string {
			return fmt.Sprintf(`%q is not an address with its port: write it like "10.0.0.11:80" or "[fd00::11]:80"`, text)
		},
	},
	reflect.TypeFor[netip.Addr](): {
		func(text string) error { _, err := netip.ParseAddr(text); return err },
		func(text string) string {
			return fmt.Sprintf(`%q is not an address: write it like "10.0.0.11" or "fd00::11", without a port or a name`, text)
		},
	},
}

// advise says what to write in place of a value that does not fit t, or nothing if it knows no better than
// the decoder.
func advise(t reflect.Type, value string) string {
	var got struct{ Value any }
	if _, err := toml.Decode("value = "+value, &got); err != nil {
		return ""
	}
	t = plain(t)
	list := []any{got.Value}
	if all, ok := got.Value.([]any); ok && t.Kind() == reflect.Slice && !opaque(t) {
		t, list = plain(t.Elem()), all
	}
	for _, v := range list {
		if text := adviseOne(t, v); text != "" {
			return text
		}
	}
	return ""
}

func adviseOne(t reflect.Type, v any) string {
	n, whole := v.(int64)
	if whole && t == reflect.TypeFor[time.Duration]() {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf(`%d has no unit: write "%dms" or "%ds", in quotes`, n, n, n)
	}
	if f, ok := forms[t]; ok {
		if text, is := v.(string); is && f.ok(text) != nil {
			return f.advice(text)
		}
		return ""
	}
	if !whole {
		return ""
	}
	switch k := t.Kind(); {
	case k >= reflect.Uint8 && k <= reflect.Uint32 && (n < 0 || n >= 1<<t.Bits()):
		return fmt.Sprintf("%d is not within 0 to %d", n, int64(1)<<t.Bits()-1)
	case k >= reflect.Uint && k <= reflect.Uint64 && n < 0:
		return fmt.Sprintf("%d must not be negative", n)
	}
	return ""
}

var (
	// "toml: line 3 (last key "vip.vrid"): " stands before every message of the decoder.
	decoderPrefix = regexp.MustCompile(`^toml: (line \d+ )?(\(last key "[^"]*"\): |: )?`)
	badTypes      = regexp.MustCompile(`^incompatible types: TOML value has type (\w+); destination has type (.*)$`)
	badTable      = regexp.MustCompile(`^type mismatch for .*: expected table but found (\w+)`)
)

// bareMessage is what the decoder says, without a place that the index knows better, in plain words.
func bareMessage(err error) string {
	text := err.Error()
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		text = parse.Message
	}
	text = decoderPrefix.ReplaceAllString(text, "")
	if m := badTable.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("is %s and must be a table", article(m[1]))
	}
	if m := badTypes.FindStringSubmatch(text); m != nil {
		want := strings.NewReplacer("float", "a number", "integer", "a whole number", "boolean", "true or false",
			"string", "a string in quotes", "slice", "a list", "array", "a list").Replace(m[2])
		return fmt.Sprintf("is %s and must be %s", article(m[1]), want)
	}
	return text
}

func article(word string) string {
	switch word {
	case "bool", "boolean":
		return "true or false"
	case "int64", "integer":
		return "an integer"
	case "float64":
		return "a number"
	case "array", "interface":
		return "an " + word
	}
	return "a " + word
}
