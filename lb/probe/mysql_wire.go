package probe

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The parts of the MySQL client/server protocol (version 10, protocol 4.1) that a probe meets.

const (
	nativePassword = "mysql_native_password"
	cachingSHA2    = "caching_sha2_password"
)

// Capability flags.
const (
	clientProtocol41       = 1 << 9
	clientSecureConnection = 1 << 15
	clientPluginAuth       = 1 << 19
)

var errShort = errors.New("greeting too short")

// A greeting is the first packet of a server.
type greeting struct {
	Version string
	Nonce   []byte // 20 bytes
	Plugin  string
}

// parseGreeting reads the initial handshake:
//
//	1 protocol (10) · NUL-terminated version · 4 thread · 8 nonce · 1 filler · 2 capabilities ·
//	1 charset · 2 status · 2 capabilities, upper half · 1 length of the nonce · 10 reserved ·
//	max(13, length-8) nonce · NUL-terminated plugin
func parseGreeting(b []byte) (greeting, error) {
	var g greeting
	if len(b) > 0 && b[0] == 0xff {
		return g, parseError(b)
	}
	if len(b) == 0 || b[0] != 10 {
		return g, errors.New("greeting is not of protocol 10")
	}
	version, rest, ok := bytes.Cut(b[1:], []byte{0})
	if !ok || len(rest) < 31 {
		return g, errShort
	}
	caps := uint32(binary.LittleEndian.Uint16(rest[13:])) | uint32(binary.LittleEndian.Uint16(rest[18:]))<<16
	if caps&clientProtocol41 == 0 || caps&clientSecureConnection == 0 {
		return g, errors.New("server is older than protocol 4.1")
	}
	g.Version = string(version[:min(len(version), maxReason)])
	g.Nonce = append(g.Nonce, rest[4:12]...)
	second := max(13, int(rest[20])-8)
	tail := rest[31:]
	if len(tail) < second {
		return g, errShort
	}
	g.Nonce = append(g.Nonce, tail[:12]...) // the 13th byte is NUL
	g.Plugin = nativePassword
	if caps&clientPluginAuth != 0 {
		name, _, _ := bytes.Cut(tail[second:], []byte{0})
		g.Plugin = string(name)
	}
	return g, nil
}

// parseSwitch reads a request to use another plugin: 0xfe · NUL-terminated plugin · nonce · NUL.
func parseSwitch(b []byte) (plugin string, nonce []byte, err error) {
	name, rest, ok := bytes.Cut(b[1:], []byte{0})
	if !ok || len(rest) < 20 {
		return "", nil, errors.New("login: server wants the password in its oldest form")
	}
	switch plugin = string(name); plugin {
	case nativePassword, cachingSHA2:
		return plugin, rest[:20], nil
	}
	return "", nil, fmt.Errorf("login: server wants plugin %q, known are %s and %s",
		plugin[:min(len(plugin), maxReason)], nativePassword, cachingSHA2)
}

// parseError reads 0xff · 2 code · '#' · 5 SQL state · text; the state is missing before the login.
func parseError(b []byte) error {
	if len(b) < 3 {
		return errors.New("error packet too short")
	}
	text := string(b[3:])
	if len(text) >= 6 && text[0] == '#' {
		text = text[6:]
	}
	return fmt.Errorf("error %d: %s", binary.LittleEndian.Uint16(b[1:]), strings.ToValidUTF8(text[:min(len(text), maxReason)], "?"))
}

// parseFlag reads a row of one column that is 0 or 1.
func parseFlag(b []byte) (bool, error) {
	if len(b) != 2 || b[0] != 1 || (b[1] != '0' && b[1] != '1') {
		return false, errors.New("read_only: neither 0 nor 1")
	}
	return b[1] == '1', nil
}

// appendLogin appends a handshake response: 4 capabilities · 4 largest packet · 1 charset · 23 zero ·
// user NUL · length and answer · plugin NUL.
func appendLogin(b []byte, user, plugin string, answer []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, clientProtocol41|clientSecureConnection|clientPluginAuth)
	b = binary.LittleEndian.AppendUint32(b, maxMySQL)
	b = append(b, 33) // utf8_general_ci
	b = append(b, make([]byte, 23)...)
	b = append(append(b, user...), 0)
	b = append(append(b, byte(len(answer))), answer...)
	return append(append(b, plugin...), 0)
}

// scramble proves the password without showing it; an empty one is proved by saying nothing.
func scramble(plugin, password string, nonce []byte) []byte {
	if password == "" {
		return nil
	}
	if plugin == cachingSHA2 {
		// SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce)
		p := sha256.Sum256([]byte(password))
		pp := sha256.Sum256(p[:])
		mask := sha256.Sum256(append(pp[:], nonce...))
		return xor(p[:], mask[:])
	}
	// SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password)))
	p := sha1.Sum([]byte(password))
	pp := sha1.Sum(p[:])
	mask := sha1.Sum(append(bytes.Clone(nonce), pp[:]...))
	return xor(p[:], mask[:])
}

func xor(a, b []byte) []byte {
	for i := range a {
		a[i] ^= b[i]
	}
	return a
}
