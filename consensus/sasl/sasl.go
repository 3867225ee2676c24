// Package sasl is the server's side of DIGEST-MD5 (RFC 2831) as ZooKeeper speaks it: a client proves that
// it knows a password without sending it.
//
//	client: (empty)            server: realm, nonce, charset, algorithm     the challenge
//	client: username, nonce,   server: rspauth                              the proof of the server, and done
//	        cnonce, response
//
// The tokens travel in op 102 and its replies. Users come from the section Server of a JAAS file, where
// operators of Apache ZooKeeper have them. Kerberos (GSSAPI) is not spoken: its first token is refused.
package sasl

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// What ZooKeeper calls its realm and its service (SaslServerPrincipal, ZooKeeperSaslServer).
const (
	Realm   = "zk-sasl-md5"
	service = "zookeeper"
)

// maxToken bounds a client's token; RFC 2831 section 2.1.2 allows a digest-response of 4096 bytes.
const maxToken = 4096

// ErrRefused is in every error of Step: the client has not authenticated and cannot go on.
var ErrRefused = errors.New("sasl: not authenticated")

// An Exchange authenticates one connection.
type Exchange struct {
	users      map[string]string
	nonce      string
	challenged bool
	done       bool
}

// New begins an exchange. Users are names and passwords; nonce is what no exchange had before, printable
// and without quotes.
func New(users map[string]string, nonce string) *Exchange {
	return &Exchange{users: users, nonce: nonce}
}

// Step takes a client's token and returns the answer; user is who it has proved to be once done.
func (e *Exchange) Step(token []byte) (answer []byte, user string, done bool, err error) {
	switch {
	case e.done:
		return nil, "", false, fmt.Errorf("%w: the exchange is over", ErrRefused)
	case len(token) > maxToken:
		return nil, "", false, fmt.Errorf("%w: a token of %d bytes", ErrRefused, len(token))
	case !e.challenged:
		if len(token) != 0 {
			return nil, "", false, fmt.Errorf("%w: the first token is not empty: a mechanism other than DIGEST-MD5", ErrRefused)
		}
		e.challenged = true
		return fmt.Appendf(nil, `realm="%s",nonce="%s",charset=utf-8,algorithm=md5-sess`, Realm, e.nonce), "", false, nil
	}
	e.done = true // one answer, right or wrong: the nonce is used up
	answer, user, err = e.verify(token)
	return answer, user, err == nil, err
}

// verify checks a digest-response, RFC 2831 section 2.1.2.
func (e *Exchange) verify(token []byte) (answer []byte, user string, err error) {
	if !utf8.Valid(token) {
		return nil, "", fmt.Errorf("%w: the response is not UTF-8", ErrRefused)
	}
	d, err := directives(string(token))
	if err != nil {
		return nil, "", err
	}
	uri := service + "/" + Realm
	for _, want := range []struct{ key, value string }{{"nonce", e.nonce}, {"nc", "00000001"}, {"realm", Realm}, {"digest-uri", uri}} {
		if got := d[want.key]; got != want.value {
			return nil, "", fmt.Errorf("%w: %s is %.60q, not %q", ErrRefused, want.key, got, want.value)
		}
	}
	if qop, ok := d["qop"]; ok && qop != "auth" {
		return nil, "", fmt.Errorf("%w: quality of protection %.20q is not offered", ErrRefused, qop)
	}
	user = d["username"]
	if id, ok := d["authzid"]; ok && id != user {
		return nil, "", fmt.Errorf("%w: %.60q may not act as %.60q", ErrRefused, user, id)
	}
	password, known := e.users[user]
	h := secret(user, password, d)
	want := response(h, "AUTHENTICATE:"+uri, d)
	if subtle.ConstantTimeCompare([]byte(want), []byte(d["response"])) != 1 || !known {
		return nil, "", fmt.Errorf("%w: wrong name or password of %.60q", ErrRefused, user)
	}
	return []byte("rspauth=" + response(h, ":"+uri, d)), user, nil
}

// secret is HEX(H(A1)), with A1 of algorithm md5-sess.
func secret(user, password string, d map[string]string) string {
	h := md5.Sum([]byte(narrow(user) + ":" + narrow(Realm) + ":" + narrow(password)))
	a1 := string(h[:]) + ":" + d["nonce"] + ":" + d["cnonce"]
	if id, ok := d["authzid"]; ok {
		a1 += ":" + id
	}
	return sum(a1)
}

// response is the response-value, with A2 for quality of protection "auth".
func response(secret, a2 string, d map[string]string) string {
	return sum(secret + ":" + d["nonce"] + ":" + d["nc"] + ":" + d["cnonce"] + ":auth:" + sum(a2))
}

func sum(s string) string {
	h := md5.Sum([]byte(s))
	return hex.EncodeToString(h[:])
}

// narrow is s in ISO 8859-1 if all of it fits, as RFC 2831 wants it hashed; else s in UTF-8.
func narrow(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > 0xff {
			return s
		}
		b.WriteByte(byte(r))
	}
	return b.String()
}

// directives reads key=value and key="value" with commas between.
func directives(s string) (map[string]string, error) {
	out := map[string]string{}
	for s = strings.TrimSpace(s); s != ""; {
		key, rest, ok := strings.Cut(s, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || key == "" {
			return nil, fmt.Errorf("%w: %.60q is no directive", ErrRefused, s)
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			if value, rest, ok = unquote(rest[1:]); !ok {
				return nil, fmt.Errorf("%w: the quotes of %s do not end", ErrRefused, key)
			}
		} else {
			i := strings.IndexByte(rest, ',')
			if i < 0 {
				i = len(rest)
			}
			value, rest = strings.TrimSpace(rest[:i]), rest[i:]
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%w: %s is there twice", ErrRefused, key)
		}
		out[key] = value
		rest = strings.TrimSpace(rest)
		if rest != "" && rest[0] != ',' {
			return nil, fmt.Errorf("%w: no comma after %s", ErrRefused, key)
		}
		s = strings.TrimLeft(rest, ", \t\r\n")
	}
	return out, nil
}

// unquote reads up to the closing quote.
func unquote(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
			b.WriteByte(s[i])
		case '"':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}
