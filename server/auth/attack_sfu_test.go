package auth

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

// Tokens for reports that are signed in another way than the SFU's, or not at all.
func TestWebhookForged(t *testing.T) {
	t.Parallel()
	s, store := leaveSite(t, nil)
	body := report("1", "participant_joined", annPhone, "A", 0, time.Now())
	enc := base64.RawURLEncoding
	sum := sha256.Sum256(body)
	std := base64.StdEncoding.EncodeToString(sum[:])
	claims := func(more string) string {
		return fmt.Sprintf(`{"iss":%q,"nbf":%d,"exp":%d,"sha256":%q%s}`, testKey, time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Minute).Unix(), std, more)
	}
	token := func(header, claims string, sign func(string) []byte) string {
		signed := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(claims))
		return signed + "." + enc.EncodeToString(sign(signed))
	}
	none := func(string) []byte { return nil }
	hs256 := func(text string) []byte {
		m := hmac.New(sha256.New, []byte(testSecret))
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	hs512 := func(text string) []byte {
		m := hmac.New(sha512.New, []byte(testSecret))
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rs256 := func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	good := token(`{"alg":"HS256","typ":"JWT"}`, claims(""), hs256)
	other := func(change func([]byte) string) string { return change([]byte(good)) }
	for name, forged := range map[string]string{
		"no algorithm":          token(`{"alg":"none","typ":"JWT"}`, claims(""), none),
		"no algorithm, shouted": token(`{"alg":"NONE"}`, claims(""), none),
		"no algorithm, signed":  token(`{"alg":"none"}`, claims(""), hs256),
		"none named":            token(`{"typ":"JWT"}`, claims(""), hs256),
		"an empty one":          token(`{"alg":""}`, claims(""), hs256),
		"another hash":          token(`{"alg":"HS512"}`, claims(""), hs512),
		"said to be another":    token(`{"alg":"HS512"}`, claims(""), hs256),
		"a public key":          token(`{"alg":"RS256"}`, claims(""), rs256),
		"a public key, hidden":  token(`{"alg":"HS256"}`, claims(""), rs256),
		"no signature":          token(`{"alg":"HS256"}`, claims(""), none),
		"half a signature":      token(`{"alg":"HS256"}`, claims(""), func(s string) []byte { return hs256(s)[:16] }),
		"a changed signature":   other(func(b []byte) string { b[len(b)-2] ^= 1; return string(b) }),
		"not yet good":          token(`{"alg":"HS256"}`, fmt.Sprintf(`{"iss":%q,"nbf":%d,"exp":%d,"sha256":%q}`, testKey, time.Now().Add(time.Hour).Unix(), time.Now().Add(2*time.Hour).Unix(), std), hs256),
		"no hash":               token(`{"alg":"HS256"}`, fmt.Sprintf(`{"iss":%q,"exp":%d}`, testKey, time.Now().Add(time.Minute).Unix()), hs256),
		"an empty hash":         token(`{"alg":"HS256"}`, strings.Replace(claims(""), std, "", 1), hs256),
		"hash in hex":           token(`{"alg":"HS256"}`, strings.Replace(claims(""), std, fmt.Sprintf("%x", sum), 1), hs256),
		"hash without its end":  token(`{"alg":"HS256"}`, strings.Replace(claims(""), std, strings.TrimRight(std, "="), 1), hs256),
		"no issuer":             token(`{"alg":"HS256"}`, strings.Replace(claims(""), testKey, "", 1), hs256),
		"two tokens":            good + "." + good,
		"a line":                good + "\r\nX: y",
		"bearer":                "Bearer " + good,
	} {
		if w := postReport(s, body, forged); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if st := stateOf(t, s, store); st != leave.Waiting {
			t.Fatalf("%s is believed: %s", name, st)
		}
	}
	postReport(s, body, good)
	if st := stateOf(t, s, store); st != leave.Connected {
		t.Errorf("the good one: %s", st)
	}
}

// Whoever has heard reports of the SFU and sends them again, in whatever order, to a
// service that has seen them or to one that has not, changes nothing that matters: a
// connection that is over does not come back, and one that is there does not end.
func TestWebhookReplayed(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		s, store := leaveSite(t, nil)
		now := time.Now()
		reports := [][]byte{
			report("1", "participant_joined", annPhone, "A", 0, now),
			report("2", "participant_left", annPhone, "A", 1, now),
			report("3", "participant_joined", annPhone, "B", 0, now),
		}
		send := func(i int) {
			postReport(s, reports[i], signReport(t, testKey, testSecret, reports[i], time.Minute))
		}
		for i := range reports {
			send(i)
		}
		if restarted {
			s.reports = newReports() // as after a restart, or at another replica
		}
		for _, i := range []int{1, 1, 0, 1} {
			send(i)
			if restarted && i == 0 {
				break // a connection of old is taken for the newest: its end would be one
			}
			if st := stateOf(t, s, store); st != leave.Connected {
				t.Errorf("restarted %v: report %d again: %s", restarted, i+1, st)
			}
		}
	}
}

// A request that a homeserver has signed is good for what it says, for whom it says
// it: sent again as it is it gives the same token, anywhere else or changed nothing.
func TestSignedRequestReplayed(t *testing.T) {
	t.Parallel()
	two := testSigningKey(t, "two.example")
	signed := sign(t, two, xmatrix.Request{Method: "POST", URI: ssToken, Origin: "two.example", Destination: "one.example", Content: []byte(peerBody)})
	s := newHomeSite(t, nil)
	var identity string
	for i := range 2 {
		_, grants, _ := decodeToken(t, s.request("POST", ssToken, peerBody, signed))
		if i > 0 && grants.Identity != identity {
			t.Errorf("another token: %q, %q", grants.Identity, identity)
		}
		identity = grants.Identity
	}
	// The user has left meanwhile: an old request brings them back no more.
	s.home.set(func(h *fakeHome) { delete(h.joined, "!room:x @bob:two.example") })
	if w := s.request("POST", ssToken, peerBody, signed); w.Code != 403 {
		t.Errorf("after leaving: %d %s", w.Code, w.Body)
	}
	s.home.set(func(h *fakeHome) { h.joined["!room:x @bob:two.example"] = true })
	for name, again := range map[string][2]string{
		"the other path":  {ssTokenOld, peerBody},
		"with a query":    {ssToken + "?x=1", peerBody},
		"another body":    {ssToken, strings.Replace(peerBody, "@bob", "@eve", 1)},
		"another room":    {ssToken, strings.Replace(peerBody, "!room:x", "!other:x", 1)},
		"another member":  {ssToken, strings.Replace(peerBody, "m1", "m2", 1)},
		"one field more":  {ssToken, strings.Replace(peerBody, "{", `{"server_name":"one.example",`, 1)},
		"a field twice":   {ssToken, strings.Replace(peerBody, "{", `{"user_id":"@eve:two.example",`, 1)},
		"a field shouted": {ssToken, strings.Replace(peerBody, "{", `{"USER_ID":"@eve:two.example",`, 1)},
		"something after": {ssToken, peerBody + "{}"},
		"for a client":    {csToken, peerBody},
	} {
		if w := s.request("POST", again[0], again[1], signed); w.Code != 401 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	// Beside it nobody can say that it is somebody else's.
	mixed := head{"Authorization": signed["Authorization"], authapi.HeaderOrigin: {"eve.example"}, authapi.HeaderUser: {"@ann:one.example"}}
	if w := s.request("POST", ssToken, strings.Replace(peerBody, "@bob:two", "@eve:eve", 1), mixed); w.Code != 401 {
		t.Errorf("with another origin: %d", w.Code)
	}
	// Another service has another name.
	other := newHomeSite(t, func(cfg *Config, _ *Options) {
		cfg.AppService.ServerName = "three.example"
		cfg.ClientAPIs["three.example"] = cfg.ClientAPIs["one.example"]
	})
	other.home.set(func(h *fakeHome) { h.joined["!room:x three.example"] = true })
	if w := other.request("POST", ssToken, peerBody, signed); w.Code != 401 {
		t.Errorf("at another homeserver's service: %d %s", w.Code, w.Body)
	}
}
