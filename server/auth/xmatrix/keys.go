package xmatrix

import (
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Keys are the keys that a homeserver has published.
type Keys struct {
	Valid map[string]ed25519.PublicKey // by id
	// Until is when they must be asked for again.
	Until time.Time
}

// maxKeys bounds how many keys of one server are kept.
const maxKeys = 32

// ParseKeys reads what a homeserver answers to /_matrix/key/v2/server, and checks
// that it is of that server, signed with each of the keys in it, and valid at now.
func ParseKeys(doc []byte, server string, now time.Time) (*Keys, error) {
	var d struct {
		Server string `json:"server_name"`
		Until  int64  `json:"valid_until_ts"`
		Verify map[string]struct {
			Key string `json:"key"`
		} `json:"verify_keys"`
		Signatures map[string]map[string]string `json:"signatures"`
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, fmt.Errorf("keys of %s: %w", server, err)
	}
	if d.Server != server {
		return nil, fmt.Errorf("keys of %s: they are those of another server", server)
	}
	until := time.UnixMilli(d.Until)
	if !until.After(now) {
		return nil, fmt.Errorf("keys of %s: they are no longer valid", server)
	}
	signed, err := unsigned(doc)
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", server, err)
	}
	out := &Keys{Valid: map[string]ed25519.PublicKey{}, Until: until}
	for id, k := range d.Verify {
		key, err := decode64(k.Key)
		if !strings.HasPrefix(id, "ed25519:") || err != nil || len(key) != ed25519.PublicKeySize || len(out.Valid) == maxKeys {
			continue
		}
		sig, err := decode64(d.Signatures[server][id])
		if err != nil || !ed25519.Verify(key, signed, sig) {
			continue // whoever has not signed with a key may not have it
		}
		out.Valid[id] = key
	}
	if len(out.Valid) == 0 {
		return nil, fmt.Errorf("keys of %s: none of them has signed the list", server)
	}
	return out, nil
}

// unsigned is the canonical JSON of an object without its signatures.
func unsigned(doc []byte) ([]byte, error) {
	if _, err := Canonical(doc); err != nil { // keys that stand twice
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(doc, &fields); err != nil {
		return nil, err
	}
	delete(fields, "signatures")
	delete(fields, "unsigned")
	plain, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	return Canonical(plain)
}

// ParseKey reads a homeserver's own signing key as homeservers keep it in a file:
// a line "ed25519 name seed" (Synapse), or a PEM block MATRIX PRIVATE KEY
// (Dendrite). The error does not repeat it.
func ParseKey(file []byte) (*Key, error) {
	bad := errors.New(`not a signing key: want "ed25519 name seed" or a PEM block MATRIX PRIVATE KEY`)
	if block, _ := pem.Decode(file); block != nil {
		id := block.Headers["Key-ID"]
		if block.Type != "MATRIX PRIVATE KEY" || !strings.HasPrefix(id, "ed25519:") || len(block.Bytes) < ed25519.SeedSize {
			return nil, bad
		}
		return &Key{id, ed25519.NewKeyFromSeed(block.Bytes[:ed25519.SeedSize])}, nil
	}
	for line := range strings.Lines(string(file)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 3 || fields[0] != "ed25519" {
			return nil, bad
		}
		seed, err := decode64(fields[2])
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil, bad
		}
		return &Key{"ed25519:" + fields[1], ed25519.NewKeyFromSeed(seed)}, nil
	}
	return nil, bad
}
