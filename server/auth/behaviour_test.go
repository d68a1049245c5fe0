package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// serviceOf is a full service: leaves, application service, one.example with full
// access and two.example without.
func serviceOf(t testing.TB, change func(*Config, *Options)) *homeSite {
	t.Helper()
	two := newHomeserver(t, "two.example", nil)
	return newHomeSite(t, func(cfg *Config, o *Options) {
		cfg.Leaves = jobs.Memory()
		cfg.Overrides["two.example"] = two.URL
		cfg.ClientAPIs["two.example"] = two.URL
		if change != nil {
			change(cfg, o)
		}
	})
}

// every endpoint, with a method that it takes, and whether browsers may ask.
var endpoints = []struct {
	path, method string
	cors         bool
}{
	{"/sfu/get", "POST", true},
	{"/get_token", "POST", true},
	{"/delegate_delayed_leave", "POST", true},
	{csToken, "POST", true},
	{csTokenOld, "POST", true},
	{csDelegate, "POST", true},
	{"/_matrix/client/v1/rtc/livekit/delegate_delayed_leave", "POST", true},
	{ssToken, "POST", false},
	{ssTokenOld, "POST", false},
	{"/_matrix/app/v1/ping", "POST", false},
	{"/_matrix/app/v1/transactions/t", "PUT", false},
	{"/sfu_webhook", "POST", false},
}

// Methods: what an endpoint does not take is 405 without a body, and Allow says what
// it takes; browsers get their preflight answered.
func TestMethods(t *testing.T) {
	t.Parallel()
	s := serviceOf(t, nil)
	for _, e := range endpoints {
		allow := e.method
		if e.cors {
			allow += ", OPTIONS"
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "PROPFIND"} {
			if method == e.method {
				continue
			}
			w := s.request(method, e.path, "{}", head{"Origin": {"https://call.example"}})
			h := w.Header()
			if method == "OPTIONS" && e.cors {
				for name, want := range map[string]string{
					"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": allow,
				} {
					if h.Get(name) != want {
						t.Errorf("OPTIONS %s: %s %q, want %q", e.path, name, h.Get(name), want)
					}
				}
				for _, name := range []string{"Content-Type", "Authorization"} {
					if !strings.Contains(h.Get("Access-Control-Allow-Headers"), name) {
						t.Errorf("OPTIONS %s: a browser may not send %s", e.path, name)
					}
				}
				if w.Code != 200 || w.Body.Len() != 0 {
					t.Errorf("OPTIONS %s: %d %q", e.path, w.Code, w.Body)
				}
				continue
			}
			if w.Code != 405 || w.Body.Len() != 0 || h.Get("Allow") != allow || (h.Get("Access-Control-Allow-Origin") == "*") != e.cors {
				t.Errorf("%s %s: %d %q, Allow %q, CORS %q", method, e.path, w.Code, w.Body, h.Get("Allow"), h.Get("Access-Control-Allow-Origin"))
			}
		}
	}
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "OPTIONS": 405, "PUT": 405} {
		w := s.request(method, "/healthz", "", nil)
		if w.Code != want || w.Body.Len() != 0 || want == 405 && w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s /healthz: %d %q, Allow %q", method, w.Code, w.Body, w.Header().Get("Allow"))
		}
	}
}

// What every endpoint says when it cannot serve anybody: in which form, and with
// which headers.
func TestEveryEndpointRefuses(t *testing.T) {
	t.Parallel()
	s := serviceOf(t, func(_ *Config, o *Options) { o.Rate = Rate{PerSecond: .001, Burst: 1} })
	closed := serviceOf(t, nil)
	closed.Close()
	var status int
	check := func(w *httptest.ResponseRecorder, path string, cors bool, code string) {
		t.Helper()
		var e authapi.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != status || e.Code != code || e.Message == "" {
			t.Errorf("%s: %d %s, want %d %s", path, w.Code, w.Body, status, code)
		}
		h := w.Header()
		id := h.Get("X-Request-Id")
		if h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" ||
			id == "" || !strings.Contains(e.Message, id) || (h.Get("Access-Control-Allow-Origin") == "*") != cors {
			t.Errorf("%s: %v", path, h)
		}
		if (status == 429) != (h.Get("Retry-After") != "" && e.RetryAfter > 0) {
			t.Errorf("%s: Retry-After %q, %d ms", path, h.Get("Retry-After"), e.RetryAfter)
		}
	}
	s.request("POST", "/sfu/get", "", nil) // the only one
	for _, e := range endpoints {
		if e.path == "/sfu_webhook" {
			continue // the SFU gets no bodies
		}
		status = 429
		check(s.request(e.method, e.path, "{}", nil), e.path, e.cors, "M_LIMIT_EXCEEDED")
		status = 503
		check(closed.request(e.method, e.path, "{}", nil), e.path, e.cors, "M_UNKNOWN")
		if e.method == "POST" {
			status = 413
			h := fromUser("@ann:one.example")
			h[authapi.HeaderOrigin] = []string{"two.example"}
			check(serviceOf(t, nil).request(e.method, e.path, strings.Repeat(" ", maxBody+1), h), e.path, e.cors, "M_TOO_LARGE")
		}
	}
	if w := closed.request("POST", "/sfu_webhook", "{}", nil); w.Code != 503 {
		t.Errorf("the SFU, at the end: %d", w.Code)
	}
	// Our own homeserver stands for all its users.
	for range 5 {
		if w := s.request("POST", csToken, homeBody, fromUser("@ann:one.example")); w.Code != 200 {
			t.Errorf("the homeserver: %d %s", w.Code, w.Body)
		}
	}
	if w := s.request("POST", "/nowhere", "{}", nil); w.Code != 404 || w.Header().Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(w.Body.String(), "M_UNRECOGNIZED") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The delay_* fields that are deployed on the endpoints for tokens: what is refused,
// what is ignored, and whose leave is taken over in the end.
func TestDelayFields(t *testing.T) {
	t.Parallel()
	const year = "31622400000" // 366 days, in ms
	for name, c := range map[string]struct {
		more   string
		full   int // the status for a user with full access
		code   string
		rest   int // and for a restricted one
		taken  bool
		anyway bool // the delay is looked at also where leaves are not looked after
	}{
		"none":                      {``, 200, "", 200, false, true},
		"both":                      {`,"delay_id":"d1","delay_timeout":8000`, 200, "", 400, true, true},
		"with a URL":                {`,"delay_id":"d1","delay_timeout":8000,"delay_cs_api_url":"http://127.0.0.1:1"`, 200, "", 400, true, true},
		"with a URL that is none":   {`,"delay_id":"d1","delay_timeout":8000,"delay_cs_api_url":"::"`, 200, "", 400, true, true},
		"a URL alone":               {`,"delay_cs_api_url":"https://hs.one.example"`, 200, "", 200, false, true},
		"empty ones":                {`,"delay_id":"","delay_timeout":0,"delay_cs_api_url":""`, 200, "", 200, false, true},
		"null ones":                 {`,"delay_id":null,"delay_timeout":null,"delay_cs_api_url":null`, 200, "", 200, false, true},
		"an id alone":               {`,"delay_id":"d1"`, 400, "M_BAD_JSON", 400, false, true},
		"an id and no time":         {`,"delay_id":"d1","delay_timeout":0`, 400, "M_BAD_JSON", 400, false, true},
		"a time alone":              {`,"delay_timeout":8000`, 400, "M_BAD_JSON", 400, false, true},
		"a time and no id":          {`,"delay_id":"","delay_timeout":8000`, 400, "M_BAD_JSON", 400, false, true},
		"a time with a URL":         {`,"delay_timeout":8000,"delay_cs_api_url":"https://hs"`, 400, "M_BAD_JSON", 400, false, true},
		"less than no time":         {`,"delay_id":"d1","delay_timeout":-8000`, 400, "M_BAD_JSON", 400, false, true},
		"time as text":              {`,"delay_id":"d1","delay_timeout":"8000"`, 400, "M_NOT_JSON", 400, false, true},
		"half a millisecond":        {`,"delay_id":"d1","delay_timeout":0.5`, 400, "M_NOT_JSON", 400, false, true},
		"time beyond numbers":       {`,"delay_id":"d1","delay_timeout":9223372036854775808`, 400, "M_NOT_JSON", 400, false, true},
		"a year":                    {`,"delay_id":"d1","delay_timeout":` + year, 200, "", 400, true, true},
		"more than a year":          {`,"delay_id":"d1","delay_timeout":31622400001`, 400, "M_BAD_JSON", 400, false, true},
		"three seconds":             {`,"delay_id":"d1","delay_timeout":3000`, 200, "", 400, true, true},
		"an id that is a number":    {`,"delay_id":7,"delay_timeout":8000`, 400, "M_NOT_JSON", 400, false, true},
		"an id that is a path":      {`,"delay_id":"..","delay_timeout":8000`, 400, "M_BAD_JSON", 400, false, false},
		"an id that is too long":    {`,"delay_id":"` + strings.Repeat("d", 1025) + `","delay_timeout":8000`, 400, "M_BAD_JSON", 400, false, false},
		"a URL that is a number":    {`,"delay_cs_api_url":7`, 400, "M_NOT_JSON", 400, false, true},
		"a field that nobody knows": {`,"delay_url":"x"`, 400, "M_NOT_JSON", 400, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serviceOf(t, nil)
			without := newTestService(t, &rooms{}, nil)
			ask := func(h http.Handler, what, path, body string, want int, code string) {
				t.Helper()
				w := post(h, path, body)
				var e authapi.Error
				if _ = json.Unmarshal(w.Body.Bytes(), &e); w.Code != want || want != 200 && e.Code != code {
					t.Errorf("%s %s: %d %s, want %d %s", what, path, w.Code, w.Body, want, code)
				}
				if want != 200 && strings.Contains(w.Body.String(), "eyJ") {
					t.Errorf("%s %s: a token beside the error", what, path)
				}
			}
			restricted := c.code
			if restricted == "" {
				restricted = "M_BAD_JSON"
			}
			ask(s, "full", "/sfu/get", sfuGetBody("tok-ann", "one.example", c.more), c.full, c.code)
			ask(s, "full", "/get_token", getTokenBody("tok-ann", "one.example", "@ann:one.example", c.more), c.full, c.code)
			jobs := left(t, s.leaves)
			if (jobs == 2) != c.taken || jobs == 1 {
				t.Errorf("%d leaves are looked after", jobs)
			}
			made := len(s.rooms.list())
			if c.full != 200 && c.anyway && made != 0 {
				t.Errorf("a room is made beside the error")
			}
			ask(s, "restricted", "/sfu/get", sfuGetBody("tok-bob", "two.example", c.more), c.rest, restricted)
			ask(s, "restricted", "/get_token", getTokenBody("tok-bob", "two.example", "@bob:two.example", c.more), c.rest, restricted)
			if left(t, s.leaves) != jobs || len(s.rooms.list()) != made {
				t.Error("a restricted user has changed something")
			}
			want, code := c.full, c.code
			if !c.anyway {
				want, code = 200, ""
			}
			ask(without, "without leaves", "/sfu/get", sfuGetBody("tok-ann", "one.example", c.more), want, code)
		})
	}
}

// The probe of deployed clients: no body, nobody named. Anything but 404 means that
// leaves can be handed over.
func TestDelegationProbe(t *testing.T) {
	t.Parallel()
	with, without := serviceOf(t, nil), newHomeSite(t, nil)
	for path, want := range map[string]struct {
		status int
		code   string
	}{"/delegate_delayed_leave": {400, "M_NOT_JSON"}, csDelegate: {401, "M_MISSING_TOKEN"}} {
		for _, s := range []*homeSite{with, without} {
			if s == without {
				want.status, want.code = 404, "M_UNRECOGNIZED"
			}
			r := httptest.NewRequest("POST", path, nil)
			r.Header.Set("Origin", "https://call.example")
			w := record(s, r)
			var e authapi.Error
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != want.status || e.Code != want.code || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %d %s, want %d %s", path, w.Code, w.Body, want.status, want.code)
			}
			if w := s.request("OPTIONS", path, "", nil); (w.Code == 200) != (s == with) {
				t.Errorf("preflight of %s: %d", path, w.Code)
			}
		}
	}
}

// A user's server that nobody can reach, and an SFU that makes no room: 401 and 500,
// whatever the endpoint.
func TestPartsAway(t *testing.T) {
	t.Parallel()
	s := serviceOf(t, func(cfg *Config, _ *Options) { cfg.Rooms = &rooms{err: errors.New("no space at 10.0.0.7")} })
	const d = `,"delay_id":"d1","delay_timeout":8000`
	for _, c := range []struct {
		path, body string
		head       head
		status     int
		code       string
	}{
		{"/sfu/get", sfuGetBody("tok-ann", "one.example", ""), nil, 500, "M_UNKNOWN"},
		{"/get_token", getTokenBody("tok-ann", "one.example", "@ann:one.example", d), nil, 500, "M_UNKNOWN"},
		{csToken, homeBody, fromUser("@ann:one.example"), 500, "M_UNKNOWN"},
		{ssToken, peerBody, fromServer("two.example"), 500, "M_UNKNOWN"},
		{"/sfu/get", sfuGetBody("tok-bob", "two.example", ""), nil, 200, ""}, // makes no room
		{"/sfu/get", sfuGetBody("tok-ann", "127.0.0.1:1", ""), nil, 401, "M_UNAUTHORIZED"},
		{"/delegate_delayed_leave", getTokenBody("tok-ann", "127.0.0.1:1", "@ann:127.0.0.1:1", d), nil, 401, "M_UNAUTHORIZED"},
	} {
		w := s.request("POST", c.path, c.body, c.head)
		var e authapi.Error
		if _ = json.Unmarshal(w.Body.Bytes(), &e); w.Code != c.status || e.Code != c.code || strings.Contains(w.Body.String(), "10.0.0.7") {
			t.Errorf("%s: %d %s, want %d %s", c.path, w.Code, w.Body, c.status, c.code)
		}
	}
	if n := left(t, s.leaves); n != 0 {
		t.Errorf("%d leaves taken over without a room", n)
	}
}
