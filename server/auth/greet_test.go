package auth

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// answers is a homeserver that answers by method and path; one that is not there
// is answered as Matrix does.
type answers struct {
	mu    sync.Mutex
	by    map[string]string // "GET whoami": status and body
	asked []string
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), "/_matrix/client/")
	a.asked = append(a.asked, name)
	if r.Header.Get("Authorization") != "Bearer "+string(asToken) {
		w.WriteHeader(401)
		_, _ = io.WriteString(w, `{"errcode":"M_UNKNOWN_TOKEN"}`)
		return
	}
	status, body, ok := strings.Cut(a.by[name], " ")
	if !ok {
		status, body = "404", `{"errcode":"M_UNRECOGNIZED"}`
	}
	w.WriteHeader(map[string]int{"200": 200, "400": 400, "401": 401, "403": 403, "404": 404, "500": 500, "502": 502, "504": 504}[status])
	_, _ = io.WriteString(w, body)
}

func TestGreet(t *testing.T) {
	t.Parallel()
	const whoami, ping = "GET v3/account/whoami", "POST v1/appservice/our%20id/ping"
	me := `200 {"user_id":"@_matrixrtc:one.example"}`
	for name, c := range map[string]struct {
		by    map[string]string
		token Secret
		want  string
		ends  bool
	}{
		"all is well":        {map[string]string{whoami: me, ping: `200 {"duration_ms":3}`}, "", "and sends it events", true},
		"a bare name":        {map[string]string{whoami: `200 {"user_id":"_matrixrtc"}`, ping: `200 {}`}, "", "and sends it events", true},
		"no pings":           {map[string]string{whoami: me}, "", "whether it sends events it cannot be asked", true},
		"no url":             {map[string]string{whoami: me, ping: `400 {"errcode":"M_URL_NOT_SET"}`}, "", "the registration has no url", true},
		"another as_token":   {nil, "somebody else's token", "app_service_config_files", false},
		"another server":     {map[string]string{whoami: `200 {"user_id":"@_matrixrtc:two.example"}`}, "", "two.example", false},
		"another hs_token":   {map[string]string{whoami: me, ping: `502 {"errcode":"M_BAD_STATUS","status":403}`}, "", "another hs_token", false},
		"something else":     {map[string]string{whoami: me, ping: `502 {"errcode":"M_BAD_STATUS","status":404}`}, "", "something else answers", false},
		"not reached":        {map[string]string{whoami: me, ping: `502 {"errcode":"M_CONNECTION_FAILED"}`}, "", "does not reach us", false},
		"not reached either": {map[string]string{whoami: me, ping: `504 {"errcode":"M_CONNECTION_TIMED_OUT"}`}, "", "does not reach us", false},
		"another id":         {map[string]string{whoami: me, ping: `403 {"errcode":"M_FORBIDDEN"}`}, "", "another registration", false},
		"a broken server":    {map[string]string{whoami: `500 no`}, "", "does not say whether it knows", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &answers{by: c.by}
			log := &rtctest.Log{}
			done := greeted(t, h, "our id", c.token, log)
			rtctest.Eventually(t, time.Minute, name, func() (bool, string) { return strings.Contains(log.String(), c.want), log.String() })
			if c.ends {
				<-done
			}
			select {
			case <-done:
				if !c.ends {
					t.Error("it is not tried again")
				}
			default:
			}
			if strings.Contains(log.String(), string(asToken)) || strings.Contains(log.String(), "somebody else's") {
				t.Error("a token is in the log")
			}
		})
	}
}

// greeted has a service greet until the test ends; what it returns is closed when
// that is over.
func greeted(t *testing.T, h http.Handler, id string, token Secret, log io.Writer) <-chan struct{} {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	if token == "" {
		token = asToken
	}
	s, err := New(Config{
		Key: "k", Secret: "s", SFUURL: "wss://sfu.example", Rooms: &rooms{}, FullAccess: []string{"one.example"},
		ClientAPIs: map[string]string{"one.example": web.URL}, AppService: &AppService{ServerName: "one.example", ID: id, ASToken: token, HSToken: hsToken},
	}, &Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // ends with the test, which waits
		defer close(done)
		s.Greet(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return done
}

// What is wrong is said once, and tried again until it is right.
func TestGreetAgain(t *testing.T) {
	t.Parallel()
	h, log := &answers{}, &rtctest.Log{}
	done := greeted(t, h, "", "", log)
	rtctest.Eventually(t, time.Minute, "it is tried again", func() (bool, string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.asked) == 2, strings.Join(h.asked, "\n")
	})
	h.mu.Lock()
	h.by = map[string]string{"GET v3/account/whoami": `200 {"user_id":"@_matrixrtc:one.example"}`}
	h.mu.Unlock()
	<-done
	if got := log.String(); strings.Count(got, "does not say whether it knows") != 1 || !strings.Contains(got, "the homeserver knows the application service") {
		t.Errorf("the log is\n%s", got)
	}
	if n := len(h.asked); n != 3 {
		t.Errorf("%d questions: %q", n, h.asked)
	}
}
