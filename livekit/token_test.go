package livekit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

const secretToken = "an-openid-token-nobody-may-see"

// account is a homeserver that gives the same OpenID token each time.
type account struct{ err error }

func (a account) OpenIDToken(context.Context) (json.RawMessage, error) {
	return json.RawMessage(`{"access_token":"` + secretToken + `","expires_in":3600,"matrix_server_name":"example.org","token_type":"Bearer"}`), a.err
}

func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
}

func answer(claims string) string {
	b, _ := json.Marshal(map[string]string{"url": "wss://sfu.example.org/x/", "jwt": jwt(claims)})
	return string(b)
}

const goodClaims = `{"sub":"@a:example.org:D","video":{"room":"alias","canPublish":true}}`

func self(d matrixrtc.DialectName) *matrixrtc.Membership {
	m := &matrixrtc.Membership{Dialect: d, Room: "!r:example.org", User: "@a:example.org", Device: "D", Slot: matrixrtc.RoomCall}
	if d == matrixrtc.DialectSticky || d == matrixrtc.DialectSlot {
		m.Member, m.LiteralSlot = "m1", "m.call#room"
	}
	return m
}

// The dialect decides the endpoint, since the endpoint decides the identity.
func TestTokenRequests(t *testing.T) {
	t.Parallel()
	const (
		openID   = `{"access_token":"` + secretToken + `","expires_in":3600,"matrix_server_name":"example.org","token_type":"Bearer"}`
		sfuGet   = `POST /base/sfu/get {"room":"!r:example.org","openid_token":` + openID + `,"device_id":"D"}`
		getToken = `POST /base/get_token {"room_id":"!r:example.org","slot_id":"%s","openid_token":` + openID +
			`,"member":{"id":"%s","claimed_user_id":"@a:example.org","claimed_device_id":"D"}}`
	)
	for _, tt := range []struct {
		name    string
		dialect matrixrtc.DialectName
		listen  bool
		missing string // endpoint that answers 404
		want    []string
		fails   bool
	}{
		{"call", matrixrtc.DialectCall, false, "", []string{sfuGet}, false},
		{"draft", matrixrtc.DialectDraft, false, "", []string{sfuGet}, false},
		{"sticky", matrixrtc.DialectSticky, false, "", []string{fmt.Sprintf(getToken, "m.call#room", "m1")}, false},
		{"slot", matrixrtc.DialectSlot, false, "", []string{fmt.Sprintf(getToken, "m.call#room", "m1")}, false},
		{"sticky does not fall back", matrixrtc.DialectSticky, false, "/get_token", []string{fmt.Sprintf(getToken, "m.call#room", "m1")}, true},
		{"listening", matrixrtc.DialectCall, true, "", []string{fmt.Sprintf(getToken, "m.call#ROOM", "@a:example.org:D")}, false},
		{"listening falls back", matrixrtc.DialectSticky, true, "/get_token", []string{fmt.Sprintf(getToken, "m.call#room", "m1"), sfuGet}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = append(got, r.Method+" "+r.URL.Path+" "+string(body))
				if tt.missing != "" && strings.HasSuffix(r.URL.Path, tt.missing) {
					http.NotFound(w, r)
					return
				}
				_, _ = io.WriteString(w, answer(goodClaims))
			}))
			defer web.Close()
			g, err := New(account{}, nil).requestToken(t.Context(), web.URL+"/base/", media.Params{Self: self(tt.dialect), ListenOnly: tt.listen})
			if (err != nil) != tt.fails {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if err == nil && (g.url != "wss://sfu.example.org/x" || g.identity != "@a:example.org:D" || g.room != "alias" || !g.canPublish) {
				t.Errorf("read %q, %q, %q, %v", g.url, g.identity, g.room, g.canPublish)
			}
		})
	}
}

func TestTokenErrors(t *testing.T) {
	t.Parallel()
	matrix := func(code, msg string) string {
		b, _ := json.Marshal(map[string]any{"errcode": code, "error": msg, "retry_after_ms": 1500})
		return string(b)
	}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		is     error
		text   string // must be in the error
	}{
		{"refused", 401, matrix("M_UNAUTHORIZED", "who are you"), media.ErrRefused, "M_UNAUTHORIZED: who are you"},
		{"forbidden", 403, matrix("M_FORBIDDEN", "no"), media.ErrRefused, "403 Forbidden M_FORBIDDEN"},
		{"no such service", 404, "<html>", media.ErrRefused, "livekit_service_url"},
		{"too often", 429, matrix("M_LIMIT_EXCEEDED", "slower"), ErrServiceUnreachable, "slower"},
		{"broken", 502, "bad gateway", ErrServiceUnreachable, "502"},
		{"moved", 307, "", ErrServiceUnreachable, "307"},
		{"not JSON", 200, "hello", ErrServiceUnreachable, "not the JSON"},
		{"huge", 200, strings.Repeat(" ", maxAnswer+10), ErrServiceUnreachable, "longer than"},
		{"no JWT", 200, `{"url":"wss://x","jwt":"a.b"}`, ErrServiceUnreachable, "no JWT"},
		{"JWT of no base64", 200, `{"url":"wss://x","jwt":"a.%%.c"}`, ErrServiceUnreachable, "cannot be read"},
		{"JWT of no JSON", 200, answer("[]"), ErrServiceUnreachable, "cannot be read"},
		{"JWT without room", 200, answer(`{"sub":"x"}`), ErrServiceUnreachable, "without identity or room"},
		{"other scheme", 200, `{"url":"file:///etc/passwd","jwt":"` + jwt(goodClaims) + `"}`, ErrServiceUnreachable, "URL"},
		{"our token comes back", 400, matrix("M_BAD_JSON", "bad token "+secretToken), media.ErrRefused, "400"},
		{"control characters", 400, matrix("M_BAD_JSON", "one\n\x1b[2Jtwo"), media.ErrRefused, "one  [2Jtwo"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("a redirect was followed")
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer web.Close()
			_, err := New(account{}, nil).requestToken(t.Context(), web.URL, media.Params{Self: self(matrixrtc.DialectCall)})
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q, want %v with %q", err, tt.is, tt.text)
			}
			if strings.Contains(err.Error(), secretToken) {
				t.Errorf("the error tells the token: %v", err)
			}
			var refused *RefusedError
			if tt.status == 429 && (!errors.As(err, &refused) || refused.RetryAfter != 1500*time.Millisecond) {
				t.Errorf("the wait that was asked for is lost: %v", err)
			}
		})
	}
	t.Run("homeserver", func(t *testing.T) {
		t.Parallel()
		down := errors.New("homeserver is down")
		if _, err := New(account{down}, nil).requestToken(t.Context(), "http://127.0.0.1:1", media.Params{Self: self(matrixrtc.DialectCall)}); !errors.Is(err, down) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		web := httptest.NewServer(nil)
		web.Close()
		_, err := New(account{}, nil).requestToken(t.Context(), web.URL, media.Params{Self: self(matrixrtc.DialectCall)})
		if !errors.Is(err, ErrServiceUnreachable) || errors.Is(err, media.ErrRefused) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCanPublish(t *testing.T) {
	t.Parallel()
	for claims, want := range map[string]bool{
		goodClaims:                         true,
		`{"sub":"i","video":{"room":"r"}}`: true, // LiveKit's rule
		`{"sub":"i","video":{"room":"r","canPublish":false}}`: false,
	} {
		g, err := readGrant([]byte(answer(claims)))
		if err != nil || g.canPublish != want {
			t.Errorf("%s: %v, %v", claims, g, err)
		}
	}
}

type finalError struct{ error }

func (finalError) Final() bool { return true }

func TestPatience(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("x: %w", &RefusedError{Status: 403}), 0},
		{&RefusedError{Status: 400}, 0},
		{&RefusedError{Status: 401}, 8}, // the service may be cut off from the homeserver
		{&RefusedError{Status: 404}, 8},
		{&RefusedError{Status: 429}, -1},
		{&RefusedError{Status: 500}, -1},
		{ErrReplaced, 0},
		{ErrRemoved, 0},
		{ErrNoRoom, -1},
		{ErrSFUUnreachable, -1},
		{ErrServiceUnreachable, -1},
		{fmt.Errorf("%w: bad key", media.ErrRefused), 8},
		{fmt.Errorf("x: %w", finalError{errors.New("logged out")}), 0},
		{context.DeadlineExceeded, -1},
	} {
		if got := patience(tt.err); got != tt.want {
			t.Errorf("patience with %v is %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestSupports(t *testing.T) {
	t.Parallel()
	k := New(account{}, nil)
	for _, tt := range []struct {
		typ, raw string
		want     bool
	}{
		{"livekit", `{"livekit_service_url":"https://x.example/jwt"}`, true},
		{"livekit_multi_sfu", `{"livekit_service_url":"http://127.0.0.1:8080"}`, true},
		{"m.livekit", `{"url":"wss://x.example"}`, false}, // the homeserver's own API: not yet
		{"livekit", `{}`, false},
		{"livekit", `{"livekit_service_url":"file:///etc/passwd"}`, false},
		{"livekit", `{"livekit_service_url":"https://user:password@x.example"}`, false},
		{"livekit", `{"livekit_service_url":"https://"}`, false},
		{"full_mesh", `{"livekit_service_url":"https://x.example"}`, false},
	} {
		tr := matrixrtc.Transport{Type: tt.typ, Raw: json.RawMessage(tt.raw)}
		if got := k.Supports(tr); got != tt.want {
			t.Errorf("%s %s: %v, want %v", tt.typ, tt.raw, got, tt.want)
		}
	}
}
