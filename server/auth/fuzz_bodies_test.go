package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

// Every body of every endpoint, sent by somebody who may send it: garbage is never our
// own failure, answers are Matrix errors of a bounded size, and neither they nor the
// log hold a secret.
func FuzzBodies(f *testing.F) {
	log := &rtctest.Log{}
	s := serviceOf(f, func(cfg *Config, o *Options) {
		o.Logger = log.Logger()
		cfg.Seats = jobs.Memory()
		cfg.Rooms = &removing{}
	})
	peer := testSigningKey(f, "two.example")
	ann, two := fromUser("@ann:one.example"), fromServer("two.example")
	targets := []struct {
		method, path string
		head         func(body string) head
		ok           string
	}{
		{"POST", "/sfu/get", nil, sfuGetBody("tok-ann", "one.example", "")},
		{"POST", "/get_token", nil, getTokenBody("tok-ann", "one.example", "@ann:one.example", `,"delay_id":"d1","delay_timeout":8000`)},
		{"POST", "/delegate_delayed_leave", nil, getTokenBody("tok-bob", "two.example", "@bob:two.example", `,"delay_id":"d1","delay_timeout":8000`)},
		{"POST", csToken, func(string) head { return ann }, homeBody},
		{"POST", csDelegate, func(string) head { return byToken("token-ann") }, delayBody},
		{"POST", ssToken, func(string) head { return two }, peerBody},
		{"POST", ssToken, func(body string) head {
			h, err := peer.Sign(xmatrix.Request{Method: "POST", URI: ssToken, Origin: "two.example", Destination: "one.example", Content: []byte(body)})
			if err != nil {
				return two
			}
			return head{"Authorization": {h}}
		}, peerBody},
		{"POST", "/_matrix/app/v1/ping", func(string) head { return byToken(string(hsToken)) }, `{"transaction_id":"x"}`},
		{"PUT", "/_matrix/app/v1/transactions/1", func(string) head { return byToken(string(hsToken)) },
			`{"events":[{"type":"m.room.member","room_id":"!room:x","state_key":"@ann:one.example","content":{"membership":"leave"}}]}`},
		{"POST", "/sfu_webhook", nil, `{"event":"participant_left","room":{"name":"r"},"participant":{"identity":"i","sid":"s"},"id":"1"}`},
	}
	for i, c := range targets {
		f.Add(uint8(i), []byte(c.ok))
		for _, bad := range []string{"", "null", "[]", `{"room":"`, "{\"room\":\"\xff\"}", strings.Repeat("[", 200), c.ok[:len(c.ok)-1] + `,"x":{}}`, strings.Replace(c.ok, ":", ":null,", 1)} {
			f.Add(uint8(i), []byte(bad))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		c := targets[int(which)%len(targets)]
		r := httptest.NewRequest(c.method, c.path, bytes.NewReader(body))
		if c.head != nil {
			for name, values := range c.head(string(body)) {
				r.Header[name] = values
			}
		}
		if c.path == "/sfu_webhook" {
			r.Header.Set("Authorization", signReport(t, testKey, testSecret, body, time.Minute))
		}
		ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
		defer cancel()
		w := record(s, r.WithContext(ctx))
		said, logged := w.Body.String(), log.String()
		log.Reset()
		_ = s.leaves.store.All(ctx, func(r jobs.Record) bool { // room for the next one
			_ = s.leaves.store.Delete(ctx, r.Key, r.Version)
			return true
		})
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		case http.StatusBadGateway: // a homeserver that is not there was named
			if !bytes.Contains(bytes.ToLower(body), []byte("server_name")) && !bytes.Contains(body, []byte(`\u`)) {
				t.Errorf("%s %q: %d %s", c.path, body, w.Code, said)
			}
		case http.StatusServiceUnavailable: // the same, of a user
			t.Errorf("%s %q: %d %s", c.path, body, w.Code, said)
		default:
			t.Errorf("%s %q: %d %s", c.path, body, w.Code, said)
		}
		var e authapi.Error
		if w.Code != 200 && (json.Unmarshal([]byte(said), &e) != nil || !strings.HasPrefix(e.Code, "M_") || e.Message == "" || len(said) > 1000) {
			t.Errorf("%s %q: %d %s", c.path, body, w.Code, said)
		}
		if len(said) > 32<<10 {
			t.Errorf("%s: %d bytes for %d", c.path, len(said), len(body))
		}
		for _, secret := range []string{string(asToken), string(hsToken), string(testSecret)} {
			if strings.Contains(said, secret) || strings.Contains(logged, secret) && !bytes.Contains(body, []byte(secret)) {
				t.Errorf("%s: a secret in %s or %s", c.path, said, logged)
			}
		}
		if bytes.Count(body, []byte("tok-ann")) == 1 && strings.Contains(said+logged, "tok-ann") && bytes.Contains(body, []byte(`"access_token":"tok-ann"`)) {
			t.Errorf("%s: the token of %q in %s or %s", c.path, body, said, logged)
		}
		if strings.Contains(logged, "eyJhbGci") && !bytes.Contains(body, []byte("eyJhbGci")) {
			t.Errorf("%s: a token in %s", c.path, logged)
		}
	})
}
