package authbox

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"testing"
)

// The key of every SFU here, and of every service.
const (
	sfuKey    = "APIauthbox"
	sfuSecret = "a secret of thirty-two characters or more"
)

// quiet takes what servers log about broken connections: here it is all wanted.
var quiet = log.New(io.Discard, "", 0)

// sign signs claims as LiveKit does.
func sign(secret string, claims object) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) +
		"." + base64.RawURLEncoding.EncodeToString(encode(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac(secret, text))
}

func mac(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// verify reads a token that must be signed with the secret. Its times are left to
// the caller.
func verify(secret, token string) (claims object, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not three parts")
	}
	var raw [3][]byte
	for i, part := range parts {
		if raw[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return nil, err
		}
	}
	var header struct{ Alg, Typ string }
	if err := json.Unmarshal(raw[0], &header); err != nil || header.Alg != "HS256" {
		return nil, fmt.Errorf("header %s (%v)", raw[0], err)
	}
	if !hmac.Equal(raw[2], mac(secret, parts[0]+"."+parts[1])) {
		return nil, errors.New("the signature is wrong")
	}
	return claims, json.Unmarshal(raw[1], &claims)
}

// grant is what a token of the service gives.
type grant struct {
	claims, video object
	sub, room     string
}

// granted reads the token in an answer.
func (r *reply) granted(t testing.TB) *grant {
	t.Helper()
	if r.status != 200 {
		t.Fatalf("want a token, got %d %s", r.status, r.body)
	}
	claims, err := verify(sfuSecret, r.text("jwt"))
	if err != nil {
		t.Fatalf("token: %v", err)
	}
	g := &grant{claims: claims}
	g.sub, _ = claims["sub"].(string)
	g.video, _ = claims["video"].(object)
	g.room, _ = g.video["room"].(string)
	return g
}

// hash is the name of a room or of a participant on the SFU, by the text of
// MSC4195: SHA-256 over the canonical JSON of the texts, in base64.
func hash(texts ...string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(texts); err != nil {
		panic(err) // never, of texts
	}
	canonical := strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSuffix(b.String(), "\n"))
	sum := sha256.Sum256([]byte(canonical))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

const canonical = "over canonical JSON"

// hashed says how a hash of texts was made.
func hashed(got string, texts ...string) string {
	sum := sha256.Sum256(encode(texts)) // as encoding/json writes it: with more escapes
	switch got {
	case hash(texts...):
		return canonical
	case base64.RawStdEncoding.EncodeToString(sum[:]):
		return "over JSON with more escapes"
	}
	return "in another way"
}

// TestHash holds our own hash to the published vectors, for all others are held to
// it.
func TestHash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		texts []string
		want  string
	}{
		{[]string{"!roomid:example.com", "slot1234"}, "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"},
		{[]string{"!room:example.org", "m.call#ROOM"}, "TK4o8wNCXi5t5936bOvIzE/X3XFc7cgp3jGRDqK0j5E"},
		{[]string{"@alice:example.com", "DEVICE123", "memberABC"}, "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"},
		{[]string{"@alice:example.com", "memberABC"}, "M3VnsLXrkbxIDINXO64u8PZzFyD9ZYFiQULR2dshWYs"},
		{[]string{"!a<b>&c:example.org", "m.call#ROOM"}, "+i4WHmxOVfdSfFV+gM6DdLfTzkvWUho9HE1jkszDhbs"},
		{[]string{"!roomid:example.com", "slot123", "random123"}, "IMeDd+K3MIqJTI20EXBIrepKkhhORvf3q8fx3rlrhTk"},
	} {
		if got := hash(c.texts...); got != c.want {
			t.Errorf("%q: got %s, want %s", c.texts, got, c.want)
		}
	}
}
