package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/auth"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
)

const (
	testKey    = "devkey"
	testSecret = Secret("a secret of thirty-two characters")
	roomAlias  = "TK4o8wNCXi5t5936bOvIzE/X3XFc7cgp3jGRDqK0j5E" // !room:example.org, m.call#ROOM
)

// newTestService is a service for one.example (full access) and two.example.
func newTestService(t *testing.T, r *rooms, opts *Options) *Service {
	t.Helper()
	one, two := newHomeserver(t, "one.example", nil), newHomeserver(t, "two.example", nil)
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://sfu.example.org", Rooms: r,
		FullAccess: []string{"one.example"},
		Overrides:  map[string]string{"one.example": one.URL, "two.example": two.URL + "/"},
	}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openIDJSON(token, server string) string {
	return fmt.Sprintf(`{"access_token":%q,"expires_in":3600,"matrix_server_name":%q,"token_type":"Bearer"}`, token, server)
}

func sfuGetBody(token, server, more string) string {
	return `{"room":"!room:example.org","device_id":"PHONE","openid_token":` + openIDJSON(token, server) + more + `}`
}

func getTokenBody(token, server, user, more string) string {
	return `{"room_id":"!room:example.org","slot_id":"m.call#ROOM","openid_token":` + openIDJSON(token, server) +
		`,"member":{"id":"memberABC","claimed_user_id":"` + user + `","claimed_device_id":"DEVICE123"}` + more + `}`
}

func post(h http.Handler, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return w
}

// The status codes of docs/protocol.md, "Authorization service".
func TestStatuses(t *testing.T) {
	t.Parallel()
	const ann, bob = "@ann:one.example", "@bob:two.example"
	const delay = `,"delay_id":"d1","delay_timeout":8000,"delay_cs_api_url":"https://hs.one.example"`
	sfu := sfuGetBody("tok-ann", "one.example", "")
	get := getTokenBody("tok-ann", "one.example", ann, "")
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code                     string
		rooms                    int
	}{
		{"sfu/get", "POST", "/sfu/get", sfu, 200, "", 1},
		{"get_token", "POST", "/get_token", get, 200, "", 1},
		{"restricted user gets a token but no room", "POST", "/sfu/get", sfuGetBody("tok-bob", "two.example", ""), 200, "", 0},
		{"restricted, get_token", "POST", "/get_token", getTokenBody("tok-bob", "two.example", bob, ""), 200, "", 0},
		{"delegation is accepted", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", delay), 200, "", 1},
		{"delegation is accepted, get_token", "POST", "/get_token", getTokenBody("tok-ann", "one.example", ann, delay), 200, "", 1},
		{"delegation of a restricted user", "POST", "/sfu/get", sfuGetBody("tok-bob", "two.example", delay), 400, "M_BAD_JSON", 0},
		{"delay id alone", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"delay_id":"d1"`), 400, "M_BAD_JSON", 0},
		{"delay timeout alone", "POST", "/get_token", getTokenBody("tok-ann", "one.example", ann, `,"delay_timeout":5`), 400, "M_BAD_JSON", 0},
		{"negative delay", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"delay_id":"d","delay_timeout":-1`), 400, "M_BAD_JSON", 0},
		{"delay timeout as text", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"delay_id":"d","delay_timeout":"5"`), 400, "M_NOT_JSON", 0},
		{"empty body", "POST", "/get_token", "", 400, "M_NOT_JSON", 0},
		{"not JSON", "POST", "/sfu/get", "hello", 400, "M_NOT_JSON", 0},
		{"JSON of another kind", "POST", "/sfu/get", `[]`, 400, "M_NOT_JSON", 0},
		{"null", "POST", "/sfu/get", `null`, 400, "M_BAD_JSON", 0},
		{"two values", "POST", "/sfu/get", sfu + "{}", 400, "M_NOT_JSON", 0},
		{"unknown field", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"x":1`), 400, "M_NOT_JSON", 0},
		{"unknown field in the token", "POST", "/sfu/get", strings.Replace(sfu, `"token_type"`, `"x":1,"token_type"`, 1), 400, "M_NOT_JSON", 0},
		{"unknown field in the member", "POST", "/get_token", strings.Replace(get, `"claimed_device_id"`, `"x":1,"claimed_device_id"`, 1), 400, "M_NOT_JSON", 0},
		{"token is text", "POST", "/sfu/get", `{"room":"!r","device_id":"D","openid_token":"tok"}`, 400, "M_NOT_JSON", 0},
		{"no token", "POST", "/sfu/get", `{"room":"!r","device_id":"D"}`, 400, "M_BAD_JSON", 0},
		{"null token", "POST", "/sfu/get", `{"room":"!r","device_id":"D","openid_token":null}`, 400, "M_BAD_JSON", 0},
		{"no access token", "POST", "/sfu/get", sfuGetBody("", "one.example", ""), 400, "M_BAD_JSON", 0},
		{"no server name", "POST", "/sfu/get", sfuGetBody("tok-ann", "", ""), 400, "M_BAD_JSON", 0},
		{"no room", "POST", "/sfu/get", strings.Replace(sfu, "!room:example.org", "", 1), 400, "M_BAD_JSON", 0},
		{"no device is fine", "POST", "/sfu/get", strings.Replace(sfu, "PHONE", "", 1), 200, "", 1},
		{"no room_id", "POST", "/get_token", strings.Replace(get, "!room:example.org", "", 1), 400, "M_BAD_JSON", 0},
		{"no slot_id", "POST", "/get_token", strings.Replace(get, "m.call#ROOM", "", 1), 400, "M_BAD_JSON", 0},
		{"no member id", "POST", "/get_token", strings.Replace(get, "memberABC", "", 1), 400, "M_BAD_JSON", 0},
		{"no claimed user", "POST", "/get_token", getTokenBody("tok-ann", "one.example", "", ""), 400, "M_BAD_JSON", 0},
		{"no claimed device", "POST", "/get_token", strings.Replace(get, "DEVICE123", "", 1), 400, "M_BAD_JSON", 0},
		{"too large", "POST", "/sfu/get", `"` + strings.Repeat("x", maxBody), 413, "M_TOO_LARGE", 0},
		{"token refused by the homeserver", "POST", "/sfu/get", sfuGetBody("stolen", "one.example", ""), 401, "M_UNAUTHORIZED", 0},
		{"claimed user is another", "POST", "/get_token", getTokenBody("tok-ann", "one.example", bob, ""), 401, "M_UNAUTHORIZED", 0},
		{"server vouches for a foreign user", "POST", "/sfu/get", sfuGetBody("tok-ann:one.example", "two.example", ""), 401, "M_UNAUTHORIZED", 0},
		{"server vouches for a user of its sub-domain", "POST", "/sfu/get", sfuGetBody("tok-ann:sub.one.example", "one.example", ""), 401, "M_UNAUTHORIZED", 0},
		{"server vouches for its name at a port", "POST", "/sfu/get", sfuGetBody("tok-ann:one.example:8448", "one.example", ""), 401, "M_UNAUTHORIZED", 0},
		{"server name is none", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example/x?", ""), 401, "M_UNAUTHORIZED", 0},
		{"loopback server", "POST", "/sfu/get", sfuGetBody("tok-ann", "127.0.0.1:1", ""), 401, "M_UNAUTHORIZED", 0},
		{"GET", "GET", "/sfu/get", "", 405, "", 0},
		{"PUT", "PUT", "/get_token", get, 405, "", 0},
		{"OPTIONS", "OPTIONS", "/get_token", "", 200, "", 0},
		{"delegation where nothing is kept", "POST", "/delegate_delayed_leave", "", 404, "M_UNRECOGNIZED", 0},
		{"homeserver endpoint without a homeserver", "POST", "/_matrix/client/v1/rtc/livekit/get_token", "{}", 404, "M_UNRECOGNIZED", 0},
		{"ping without a homeserver", "POST", "/_matrix/app/v1/ping", "{}", 404, "M_UNRECOGNIZED", 0},
		{"delay of more than a year", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"delay_id":"d","delay_timeout":99999999999999`), 400, "M_BAD_JSON", 0},
		{"delay beyond numbers", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"delay_id":"d","delay_timeout":1e30`), 400, "M_NOT_JSON", 0},
		{"unknown path", "GET", "/", "", 404, "M_UNRECOGNIZED", 0},
		{"health", "GET", "/healthz", "", 200, "", 0},
		{"health HEAD", "HEAD", "/healthz", "", 200, "", 0},
		{"health POST", "POST", "/healthz", "", 405, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var logged bytes.Buffer
			r := &rooms{}
			s := newTestService(t, r, &Options{Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if len(r.list()) != c.rooms {
				t.Errorf("rooms made: %q, want %d", r.list(), c.rooms)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no CORS header")
			}
			var e authapi.Error
			if c.code != "" {
				if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == "" {
					t.Errorf("not a Matrix error: %s", w.Body)
				}
			}
			if e.Code != c.code {
				t.Errorf("code %q, want %q", e.Code, c.code)
			}
			if c.status == 405 && (w.Body.Len() != 0 || w.Header().Get("Allow") == "") {
				t.Errorf("405 with body %q, Allow %q", w.Body, w.Header().Get("Allow"))
			}
			if c.code != "" && c.status < 404 && w.Header().Get("X-Request-Id") == "" {
				t.Error("no request id to quote")
			}
			for _, secret := range []string{"tok-ann", "tok-bob", "stolen", string(testSecret), "eyJ"} {
				if strings.Contains(logged.String(), secret) {
					t.Errorf("the log holds a secret: %s", logged.String())
				}
			}
		})
	}
}

func decodeToken(t *testing.T, w *httptest.ResponseRecorder) (authapi.TokenResponse, *auth.ClaimGrants, map[string]any) {
	t.Helper()
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	var res authapi.TokenResponse
	if err := decode(w.Body.Bytes(), &res, false); err != nil {
		t.Fatal(err)
	}
	v, err := auth.ParseAPIToken(res.JWT)
	if err != nil {
		t.Fatal(err)
	}
	if v.APIKey() != testKey {
		t.Errorf("issuer %q", v.APIKey())
	}
	registered, grants, err := v.Verify(string(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(registered)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return res, grants, claims
}

// Identity and room name are hashes over canonical JSON, or plain for the
// older endpoint (MSC4195, "LiveKit room and participant identity").
func TestTokens(t *testing.T) {
	t.Parallel()
	yes := true
	grant := &auth.VideoGrant{RoomJoin: true, Room: roomAlias, CanPublish: &yes, CanSubscribe: &yes, CanUpdateOwnMetadata: &yes}
	special := strings.NewReplacer("!room:example.org", "!a<b>&c:example.org")
	other := *grant
	other.Room = "+i4WHmxOVfdSfFV+gM6DdLfTzkvWUho9HE1jkszDhbs"
	for _, c := range []struct {
		name, path, body, identity string
		grant                      *auth.VideoGrant
	}{
		{"sfu/get", "/sfu/get", sfuGetBody("tok-ann", "one.example", ""), "@ann:one.example:PHONE", grant},
		{"get_token", "/get_token", getTokenBody("tok-ann", "one.example", "@ann:one.example", ""), "loBGP2sdKZSworAUZd6SVVRKbsIILV8HM+rJt2qg64Q", grant},
		{"letters that Go escapes", "/sfu/get", special.Replace(sfuGetBody("tok-ann", "one.example", "")), "@ann:one.example:PHONE", &other},
		{"restricted", "/sfu/get", sfuGetBody("tok-bob", "two.example", ""), "@bob:two.example:PHONE", grant},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res, grants, claims := decodeToken(t, post(newTestService(t, &rooms{}, nil), c.path, c.body))
			if res.URL != "wss://sfu.example.org" {
				t.Errorf("url %q", res.URL)
			}
			if grants.Identity != c.identity {
				t.Errorf("identity %q, want %q", grants.Identity, c.identity)
			}
			if d := cmp.Diff(c.grant, grants.Video); d != "" {
				t.Errorf("grant (-want +got):\n%s", d)
			}
			nbf, exp := claims["nbf"].(float64), claims["exp"].(float64)
			if exp-nbf != 3600 || nbf > float64(time.Now().Unix()) {
				t.Errorf("valid from %v to %v", nbf, exp)
			}
		})
	}
}

// A token is worth nothing before the room is there.
func TestRoomFailure(t *testing.T) {
	t.Parallel()
	r := &rooms{err: errors.New("SFU down")}
	w := post(newTestService(t, r, nil), "/sfu/get", sfuGetBody("tok-ann", "one.example", ""))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "M_UNKNOWN") || strings.Contains(w.Body.String(), "SFU down") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if d := cmp.Diff([]string{roomAlias}, r.list()); d != "" {
		t.Error(d)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := newTestService(t, &rooms{}, nil)
	s.Close()
	if w := post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", "")); w.Code != 503 || !strings.Contains(w.Body.String(), "M_UNKNOWN") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil)); w.Code != 503 {
		t.Errorf("health: %d", w.Code)
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	s := newTestService(t, &rooms{}, &Options{Rate: Rate{PerSecond: 0.01, Burst: 2}})
	body := sfuGetBody("tok-ann", "one.example", "")
	from := func(addr, forwarded string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/sfu/get", strings.NewReader(body))
		r.RemoteAddr = addr
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	for range 2 {
		if w := from("198.51.100.7:1000", "spoofed"); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	w := from("198.51.100.7:2000", "198.51.100.99")
	var e authapi.Error
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if w.Code != 429 || e.Code != "M_LIMIT_EXCEEDED" || e.RetryAfter < 90_000 || e.RetryAfter > 100_000 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %+v Retry-After %q", w.Code, e, w.Header().Get("Retry-After"))
	}
	if w := from("198.51.100.8:1000", ""); w.Code != 200 {
		t.Errorf("another address: %d", w.Code)
	}
	if w := from("127.0.0.1:1000", "198.51.100.7"); w.Code != 429 {
		t.Errorf("behind a proxy: %d", w.Code)
	}
	for range 5 {
		if w := from("127.0.0.1:1000", ""); w.Code != 200 {
			t.Errorf("a proxy that names nobody: %d", w.Code)
		}
	}
	if w := from("127.0.0.1:1000", "198.51.100.9"); w.Code != 200 {
		t.Errorf("another one behind the proxy: %d", w.Code)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		SFUURL: "https://sfu", FullAccess: []string{"*", "one.example"},
		Overrides: map[string]string{"one.example": "one.example:8448"},
	}, &Options{TokenLifetime: 2 * time.Hour})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"API key", "ws://", "no Rooms", `"*" stands alone`, "override of one.example", "lifetime 2h"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	for _, names := range [][]string{nil, {"bad name"}} {
		if CheckFullAccess(names) == nil {
			t.Errorf("CheckFullAccess(%q) = nil", names)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", testSecret, "config", fmt.Sprintf("%v %+v %#v %q", testSecret, testSecret, testSecret, testSecret))
	if out, err := json.Marshal(Config{Secret: testSecret}); err == nil {
		b.Write(out)
	}
	if strings.Contains(b.String(), string(testSecret)) {
		t.Error(b.String())
	}
}

// A homeserver that does not answer costs the caller VerifyTimeout, no more.
func TestVerifyTimeout(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(stop) })
	s, err := New(Config{Key: testKey, Secret: testSecret, SFUURL: "ws://x", Rooms: &rooms{}, FullAccess: []string{"*"},
		Overrides: map[string]string{"one.example": slow.URL}}, &Options{VerifyTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/sfu/get", strings.NewReader(sfuGetBody("tok-ann", "one.example", ""))))
	if w.Code != 401 || ctx.Err() != nil {
		t.Errorf("%d %s, %v", w.Code, w.Body, ctx.Err())
	}
}
