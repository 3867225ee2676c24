package consensus

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
)

// nameKeywords are the attribute types that RFC 2253 (section 2.3) writes as words. Java knows no others
// there, so crypto/x509's longer list would give other names.
var nameKeywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type attributes []attribute

// distinguishedName writes a DER-encoded name as RFC 2253 does, the last part first.
func distinguishedName(der []byte) (string, error) {
	var raw []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &raw)
	if err != nil {
		return "", fmt.Errorf("name: %w", err)
	}
	if len(rest) > 0 {
		return "", fmt.Errorf("name: %d bytes after it", len(rest))
	}
	parts := make([]string, 0, len(raw))
	for i := len(raw) - 1; i >= 0; i-- {
		var set attributes
		if _, err := asn1.UnmarshalWithParams(raw[i].FullBytes, &set, "set"); err != nil {
			return "", fmt.Errorf("name: part %d: %w", i, err)
		}
		texts := make([]string, 0, len(set))
		for _, a := range set {
			texts = append(texts, a.text())
		}
		parts = append(parts, strings.Join(texts, "+"))
	}
	return strings.Join(parts, ","), nil
}

// text writes type=value; a value that is no text, or of a type without a word, as # and its DER.
func (a attribute) text() string {
	keyword, known := nameKeywords[a.Type.String()]
	if known {
		if value, ok := stringOf(a.Value); ok {
			return keyword + "=" + escapeName(value)
		}
		return keyword + "=#" + hex.EncodeToString(a.Value.FullBytes)
	}
	return a.Type.String() + "=#" + hex.EncodeToString(a.Value.FullBytes)
}

// tagUniversal is a string type that package asn1 does not name; GeneralString it does.
const tagUniversal = 28

func stringOf(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagGeneralString, tagUniversal:
		return string(v.Bytes), v.Tag != tagUniversal
	case asn1.TagT61String: // read as Latin-1
		runes := make([]rune, 0, len(v.Bytes))
		for _, c := range v.Bytes {
			runes = append(runes, rune(c))
		}
		return string(runes), true
	case asn1.TagBMPString:
		units := make([]uint16, 0, len(v.Bytes)/2)
		for i := 0; i+1 < len(v.Bytes); i += 2 {
			units = append(units, uint16(v.Bytes[i])<<8|uint16(v.Bytes[i+1]))
		}
		return string(utf16.Decode(units)), true
	}
	return "", false
}

// escapeName writes a value so that it stays one (RFC 2253, section 2.4); Java also escapes every = and #.
func escapeName(s string) string {
	var b strings.Builder
	spaces := len(s) - len(strings.TrimLeft(s, " "))
	last := len(strings.TrimRight(s, " "))
	for i, c := range s {
		switch {
		case c == ' ' && (i < spaces || i >= last), strings.ContainsRune(`,=+<>#;"\`, c):
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == 0:
			b.WriteString(`\00`)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// validName reports whether s can be read as a distinguished name: parts type=value between commas,
// semicolons or plus signs, each type a word or numbers with dots.
func validName(s string) bool {
	if strings.TrimSpace(s) == "" {
		return true
	}
	for len(s) > 0 {
		typ, rest, found := strings.Cut(s, "=")
		if !found || !validType(strings.TrimSpace(typ)) {
			return false
		}
		n, ok := valueLength(rest)
		if !ok {
			return false
		}
		if n == len(rest) {
			return true
		}
		s = rest[n+1:]
	}
	return false // ended with a separator
}

func validType(s string) bool {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "OID."), "oid.")
	if s == "" {
		return false
	}
	digits := s[0] >= '0' && s[0] <= '9'
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c == '.' && digits:
		case !digits && (c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// valueLength returns where the separator after a value is, or the length of s if there is none.
func valueLength(s string) (int, bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i++; i == len(s) {
				return 0, false
			}
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ';' || c == '+'):
			return i, true
		}
	}
	return len(s), !quoted
}
