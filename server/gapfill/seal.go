package gapfill

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/matrixrtc-go/matrixrtc/internal/keyfile"
)

// KeySize is the size of the key for access tokens, in bytes.
const KeySize = 32

// LoadKey reads the key for access tokens from a file (base64, KeySize bytes), or
// makes one, with its folder, readable by its owner alone. Replicas that share a
// store need the same key.
func LoadKey(path string) ([]byte, error) {
	err := keyfile.Ensure(path, func() string {
		key := make([]byte, KeySize)
		_, _ = rand.Read(key) // never fails
		return base64.StdEncoding.EncodeToString(key) + "\n"
	})
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the key for access tokens: %w (see to the folder and its permissions, or name another file)", err)
	}
	text := strings.TrimRight(strings.TrimSpace(string(data)), "=")
	key, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(key) != KeySize {
		// The decoder's error is left out: it is about what the file holds.
		return nil, fmt.Errorf("the key for access tokens: %s does not hold one: want %d bytes in base64 (without the file one is made; events that wait cannot be sent then)", path, KeySize)
	}
	return key, nil
}

// sealer encrypts access tokens for the store: AES-256-GCM, each with a nonce of
// its own, bound to the event and the user that it is kept for.
type sealer struct{ aead cipher.AEAD }

// sealVersion is the first byte of what is sealed.
const sealVersion = 1

var errSealed = errors.New("the access token cannot be decrypted: the key is another one, or the store was tampered with")

func newSealer(key []byte) (*sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the key for access tokens has %d bytes, want %d: LoadKey makes one", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
}

// binds is what a sealed token is bound to.
func binds(id, user string) []byte { return []byte(id + "\x00" + user) }

func (s *sealer) seal(id, user, token string) []byte {
	return s.aead.Seal([]byte{sealVersion}, nil, []byte(token), binds(id, user))
}

func (s *sealer) open(id, user string, sealed []byte) (string, error) {
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return "", errSealed
	}
	token, err := s.aead.Open(nil, nil, sealed[1:], binds(id, user))
	if err != nil {
		return "", errSealed
	}
	return string(token), nil
}

// pass is what is sealed: the token, and whether it is an application service's,
// which must say for whom it speaks.
func (c caller) pass() string {
	if c.as {
		return "as " + c.token
	}
	return "user " + c.token
}

// unpass reads a pass.
func unpass(user, pass string) caller {
	whose, token, _ := strings.Cut(pass, " ")
	return caller{user: user, token: token, as: whose == "as"}
}
