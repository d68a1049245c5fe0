package xmatrix

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

// Request is what is signed.
type Request struct {
	Method string
	// URI is the path and query as they were sent, escapes and all.
	URI string
	// Origin and Destination are server names.
	Origin, Destination string
	// Content is the JSON body, nil if there is none.
	Content []byte
}

// Authorization is a header of the scheme X-Matrix.
type Authorization struct {
	// Destination is "" where an old homeserver does not name it.
	Origin, Destination string
	// KeyID is "ed25519:name".
	KeyID string
	// Signature is decoded.
	Signature []byte
}

// ErrNotXMatrix: the header is of another scheme.
var ErrNotXMatrix = errors.New("not an X-Matrix authorization")

// Parse reads the value of an Authorization header.
func Parse(header string) (*Authorization, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "X-Matrix") {
		return nil, ErrNotXMatrix
	}
	if len(header) > 4096 {
		return nil, errors.New("X-Matrix authorization: too long")
	}
	params, err := parameters(rest)
	if err != nil {
		return nil, fmt.Errorf("X-Matrix authorization: %w", err)
	}
	a := &Authorization{Origin: params["origin"], Destination: params["destination"], KeyID: params["key"]}
	if a.Origin == "" || !strings.HasPrefix(a.KeyID, "ed25519:") {
		return nil, errors.New("X-Matrix authorization: want origin, and an ed25519 key")
	}
	if a.Signature, err = decode64(params["sig"]); err != nil || len(a.Signature) != ed25519.SignatureSize {
		return nil, errors.New("X-Matrix authorization: not a signature")
	}
	return a, nil
}

// parameters reads name=value, name="value", … (RFC 9110, section 11.2).
func parameters(s string) (map[string]string, error) {
	out := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return out, nil
		}
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, errors.New("a parameter without a value")
		}
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		rest = strings.TrimLeft(rest, " \t")
		var value string
		if strings.HasPrefix(rest, `"`) {
			if value, rest, ok = quoted(rest[1:]); !ok {
				return nil, errors.New("a quote that does not end")
			}
		} else {
			end := strings.IndexAny(rest, ", \t")
			if end < 0 {
				end = len(rest)
			}
			value, rest = rest[:end], rest[end:]
		}
		if _, twice := out[name]; twice {
			return nil, errors.New("a parameter stands twice")
		}
		out[name] = value
		s = strings.TrimLeft(rest, " \t")
		if s != "" && s[0] != ',' {
			return nil, errors.New("no comma between parameters")
		}
	}
}

// quoted reads up to the closing quote.
func quoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// Verify checks a signature of a request with the origin's key. r.Destination is the
// server that checks: it is signed also by homeservers that do not name it in the header,
// so that nobody can pass a request on that was meant for them.
func (a *Authorization) Verify(r Request, key ed25519.PublicKey) error {
	if a.Destination != "" && a.Destination != r.Destination {
		return errors.New("the request was signed for another server")
	}
	r.Origin = a.Origin
	signed, err := r.canonical()
	if err != nil {
		return err
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signed, a.Signature) {
		return errors.New("the signature of the request is wrong")
	}
	return nil
}

// canonical is what is signed: canonical JSON of the request.
func (r Request) canonical() ([]byte, error) {
	out := []byte{'{'}
	if r.Content != nil {
		content, err := Canonical(r.Content)
		if err != nil {
			return nil, fmt.Errorf("content of a signed request: %w", err)
		}
		out = append(append(out, `"content":`...), content...)
		out = append(out, ',')
	}
	for _, f := range []struct{ name, value string }{
		{"destination", r.Destination}, {"method", r.Method}, {"origin", r.Origin}, {"uri", r.URI},
	} {
		if f.name == "destination" && f.value == "" {
			continue
		}
		if len(out) > 1 && out[len(out)-1] != ',' {
			out = append(out, ',')
		}
		out = canonical.AppendString(out, f.name)
		out = canonical.AppendString(append(out, ':'), f.value)
	}
	return append(out, '}'), nil
}

// Key is a signing key of a homeserver.
type Key struct {
	// ID is "ed25519:name".
	ID      string
	Private ed25519.PrivateKey
}

// Sign is the value of the Authorization header of a request.
func (k *Key) Sign(r Request) (string, error) {
	signed, err := r.canonical()
	if err != nil {
		return "", err
	}
	sig := base64.RawStdEncoding.EncodeToString(ed25519.Sign(k.Private, signed))
	return fmt.Sprintf(`X-Matrix origin="%s",destination="%s",key="%s",sig="%s"`, r.Origin, r.Destination, k.ID, sig), nil
}

// decode64 reads base64 with or without padding.
func decode64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}
