package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

// signer makes LiveKit's tokens: JSON web tokens, signed with HMAC-SHA256. It is
// a tenth of the work that a library for all kinds of tokens makes of it; a test
// has LiveKit's own read every one.
type signer struct {
	issuer   string
	lifetime time.Duration
	fixed    bool // metadata
	macs     sync.Pool
}

// jwtHeader is {"alg":"HS256","typ":"JWT"}, encoded.
const jwtHeader = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."

func newSigner(key string, secret Secret, lifetime time.Duration, fixed bool) *signer {
	s := &signer{issuer: key, lifetime: lifetime, fixed: fixed}
	s.macs.New = func() any { return hmac.New(sha256.New, []byte(secret)) }
	return s
}

// sign makes the token of one identity in one room, good from now on. It never
// lets its holder create rooms: with room.auto_create off, that is what keeps
// users without full access from opening calls.
func (s *signer) sign(room, identity string, publish bool, now time.Time) string {
	claims := make([]byte, 0, 512)
	text := func(name, value string) {
		claims = canonical.AppendString(append(claims, name...), value)
	}
	number := func(name string, value int64) {
		claims = strconv.AppendInt(append(claims, name...), value, 10)
	}
	flag := func(name string, value bool) {
		claims = strconv.AppendBool(append(claims, name...), value)
	}
	text(`{"iss":`, s.issuer)
	text(`,"sub":`, identity)
	number(`,"iat":`, now.Unix())
	number(`,"nbf":`, now.Unix())
	number(`,"exp":`, now.Add(s.lifetime).Unix())
	text(`,"identity":`, identity)
	text(`,"video":{"roomJoin":true,"roomCreate":false,"room":`, room)
	flag(`,"canPublish":`, publish)
	flag(`,"canSubscribe":true,"canUpdateOwnMetadata":`, !s.fixed)
	claims = append(claims, "}}"...)

	out := make([]byte, 0, len(jwtHeader)+base64.RawURLEncoding.EncodedLen(len(claims))+1+43)
	out = base64.RawURLEncoding.AppendEncode(append(out, jwtHeader...), claims)
	mac := s.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(out)
	var sum [sha256.Size]byte
	out = base64.RawURLEncoding.AppendEncode(append(out, '.'), mac.Sum(sum[:0]))
	s.macs.Put(mac)
	return string(out)
}
