package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
)

// What is wrong with a body is said to who sent it, in plain words. Neither they nor the
// log get more of the body than the name of a field.
func TestBodyErrorsAreTold(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("9", 60_000)
	for body, want := range map[string]string{
		"":                      "it is empty",
		"{":                     "unexpected EOF",
		"[]":                    "a JSON object is wanted, not array",
		"{} {}":                 "something follows",
		"{\"room\":\"\xff\"}":   "not UTF-8",
		`{"extra":1}`:           `unknown field "extra"`,
		`{"room":5}`:            "room is of the wrong kind, or out of range: number",
		`{"delay_timeout":1.5}`: "delay_timeout is of the wrong kind, or out of range: number",
		`{"openid_token":{"expires_in":"SECRET"}}`:      "openid_token.expires_in is of the wrong kind, or out of range: string",
		`{"openid_token":{"expires_in":` + long + `}}`:  "openid_token.expires_in is of the wrong kind, or out of range: number",
		`{"` + strings.Repeat("A", 60_000) + `":1}`:     `unknown field "AAAA`,
		`{"` + strings.Repeat("\u00e9", 9_000) + `":1}`: `unknown field "éé`,
	} {
		var log bytes.Buffer
		s := newTestService(t, &rooms{}, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		w := post(s, "/sfu/get", body)
		var e authapi.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 400 || e.Code != authapi.CodeNotJSON || !strings.Contains(e.Message, want) {
			t.Errorf("%.40s: %d %.300s", body, w.Code, w.Body)
		}
		if n := max(w.Body.Len(), log.Len()); n > 600 {
			t.Errorf("%.40s: %d bytes", body, n)
		}
		if said := w.Body.String() + log.String(); strings.Contains(said, "SECRET") || strings.Contains(said, "Go struct") || !utf8.ValidString(said) {
			t.Errorf("%.40s: %s", body, said)
		}
	}
}

// Whatever a homeserver sends, what it has logged is bounded.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	f := &failure{reason: errors.New(strings.Repeat("é", 10_000))}
	if got := f.logged(); len(got) > maxReason+10 || !utf8.ValidString(got) {
		t.Errorf("%d bytes", len(got))
	}
}

// A path where nothing is has an id, too, and the log tells the path to who asks for it.
func TestNothingThere(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newTestService(t, &rooms{}, &Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	w := post(s, "/rtc/sfu/get"+strings.Repeat("x", 5000), "{}")
	id := w.Header().Get("X-Request-Id")
	if w.Code != 404 || id == "" || !strings.Contains(w.Body.String(), "(request "+id+")") || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if got := log.String(); !strings.Contains(got, "path=/rtc/sfu/get") || !strings.Contains(got, id) || len(got) > 400 {
		t.Error(got)
	}
}

// Where our own homeserver cannot be asked the log says what to do, and says it to who
// wants warnings alone; what strangers' homeservers do is not a warning.
func TestOwnHomeserverTrouble(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer int
		server string
		warns  string
	}{
		"no federation API":   {404, "one.example", "openid"},
		"down":                {502, "one.example", "reverse proxy"},
		"nobody there":        {0, "one.example", "where homeserver_overrides says"},
		"nobody there, named": {0, "127.0.0.1:2", "say so in homeserver_overrides"},
		"refused":             {401, "one.example", ""},
		"a stranger's":        {404, "127.0.0.1:1", ""},
		"a stranger's, named": {404, "[::1]:1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.answer) }))
			defer hs.Close()
			if c.answer == 0 {
				hs.Close()
			}
			var log bytes.Buffer
			s, err := New(Config{
				Key: testKey, Secret: testSecret, SFUURL: "wss://sfu.example.org", Rooms: &rooms{},
				FullAccess: []string{"one.example", "127.0.0.1:2"}, Overrides: map[string]string{"one.example": hs.URL},
			}, &Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if w := post(s, "/sfu/get", sfuGetBody("tok-ann", c.server, "")); w.Code != 401 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if got := log.String(); (c.warns == "") != (got == "") || !strings.Contains(got, c.warns) || strings.Contains(got, "tok-ann") {
				t.Errorf("%q", got)
			}
		})
	}
}

// A homeserver that answers and vouches for nobody is not one that cannot be reached.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{`[`: "failed", `{}`: "failed", `{"sub":"@ann:two.example"}`: "failed", `{"sub":"@ann:one.example"}`: "ok"} {
		hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		defer hs.Close()
		n := newInternet()
		n.ports[hs.Listener.Addr().String()] = hs.Listener.Addr().String()
		o := newTestOpenID(t, n, newCA(t), map[string]string{"one.example": hs.URL})
		if _, err := o.verify(t.Context(), "one.example", "token"); outcome(err) != want {
			t.Errorf("%s: %s, want %s (%v)", answer, outcome(err), want, err)
		}
	}
}

// An address that asks too often is told of once a minute, with what to do if it is that
// of a reverse proxy: nobody can fill the log.
func TestFloodIsToldOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newTestService(t, &rooms{}, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Rate: Rate{PerSecond: 0.001, Burst: 1}})
	last := 0
	for range 100 {
		r := httptest.NewRequest(http.MethodPost, "/sfu/get", strings.NewReader("{}"))
		r.RemoteAddr = "198.51.100.7:1234"
		last = record(s, r).Code
	}
	if n := strings.Count(log.String(), "status=429"); last != 429 || n != 1 || !strings.Contains(log.String(), "198.51.100.7") || !strings.Contains(log.String(), "trusted_proxies") {
		t.Errorf("%d, %d lines:\n%s", last, n, log.String())
	}
}

// With full access for everybody the operator's own homeserver may be in a private network
// without our knowing it: that is a warning, once a minute.
func TestPrivateHomeserverIsTold(t *testing.T) {
	t.Parallel()
	for full, want := range map[string]int{AnyServer: 1, "one.example": 0} {
		var log bytes.Buffer
		s, err := New(Config{Key: testKey, Secret: testSecret, SFUURL: "wss://sfu.example.org", Rooms: &rooms{}, FullAccess: []string{full}},
			&Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for range 5 {
			if w := post(s, "/sfu/get", sfuGetBody("tok-ann", "127.0.0.1:1", "")); w.Code != 401 || strings.Contains(w.Body.String(), "public") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		if got := log.String(); strings.Count(got, "level=WARN") != want || strings.Count(got, "MATRIXRTC_ALLOW_NETWORKS") != 5 {
			t.Errorf("%s:\n%s", full, got)
		}
	}
}

// What operators write for a server name, and what they are told.
func TestServerNameHints(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"https://one.example": "without https://", "http://one.example:8448/": "without https://", "bücher.example": "xn--", "one_two.example": "hyphens may be in a host name",
		"one.example/": "hyphens may be in a host name", "@ann:one.example": "not a port number", "[fe80::1%eth0]": "not an IPv6 address",
	} {
		if err := CheckServerName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
