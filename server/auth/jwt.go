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
	fixed    bool      // metadata
	scratch  sync.Pool // of scratch
}

// scratch is what a signature takes and leaves.
type scratch struct {
	mac         hash.Hash
	claims, out []byte
	sum         [sha256.Size]byte
}

// maxScratch bounds what is kept of it, in bytes.
const maxScratch = 8 << 10

// jwtHeader is {"alg":"HS256","typ":"JWT"}, encoded.
const jwtHeader = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."

func newSigner(key string, secret Secret, lifetime time.Duration, fixed bool) *signer {
	s := &signer{issuer: key, lifetime: lifetime, fixed: fixed}
	s.scratch.New = func() any { return &scratch{mac: hmac.New(sha256.New, []byte(secret))} }
	return s
}

// sign makes the token of one identity in one room, good from now on. It never
// lets its holder create rooms: with room.auto_create off, that is what keeps
// users without full access from opening calls.
func (s *signer) sign(room, identity string, publish bool, now time.Time) string {
	tmp := s.scratch.Get().(*scratch)
	defer s.scratch.Put(tmp)
	claims := tmp.claims[:0]
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

	out := base64.RawURLEncoding.AppendEncode(append(tmp.out[:0], jwtHeader...), claims)
	tmp.mac.Reset()
	tmp.mac.Write(out)
	out = base64.RawURLEncoding.AppendEncode(append(out, '.'), tmp.mac.Sum(tmp.sum[:0]))
	if len(out) <= maxScratch {
		tmp.claims, tmp.out = claims, out
	}
	return string(out)
}
