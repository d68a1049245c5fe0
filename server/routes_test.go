package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// routesOf are the routes of a site in front of an authorization service that answers
// with the path that it sees.
func routesOf(cfg *Config) http.Handler {
	auth := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body))
	})
	return (&Server{cfg: *cfg}).routes(auth, nil, nil, nil, nil, "http://127.0.0.1:8080")
}

// An address that ends in a slash leads where it leads without. Nothing else is sent
// elsewhere by that.
func TestSlashTooMany(t *testing.T) {
	t.Parallel()
	h := routesOf(&Config{})
	for path, want := range map[string]string{
		"/sfu/get":                     "/sfu/get",
		"//sfu/get":                    "/sfu/get",
		"/livekit/jwt//sfu/get":        "/sfu/get",
		"//livekit/jwt//get_token":     "/get_token",
		"///livekit/jwt/sfu_webhook":   "/sfu_webhook",
		"//delegate_delayed_leave?a=b": "/delegate_delayed_leave",
		"//healthz":                    "/healthz",
		"/sfu//get":                    "",
		"//sfu/get/":                   "",
		"//_matrix/app/v1/ping":        "",
		"//sfu/../sfu/get":             "",
		"/%2fsfu/get":                  "",
	} {
		for _, method := range []string{"POST", "OPTIONS"} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, "http://rtc.example.org"+path, strings.NewReader("body"))
			h.ServeHTTP(w, r)
			if got := w.Body.String(); want != "" && (w.Code != 200 || got != method+" "+want+" body") {
				t.Errorf("%s %s: %d %q", method, path, w.Code, got)
			} else if want == "" && w.Code == 200 && strings.HasPrefix(got, method+" /sfu/get ") {
				t.Errorf("%s %s was taken for another path: %q", method, path, got)
			}
		}
	}
}

// A service alone that was not told its address publishes none: it would be that of a
// listener, which nobody else reaches.
func TestNoAddressNoDiscovery(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/.well-known/matrix/client", "/_matrix/client/v1/rtc/transports", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"} {
		for _, c := range []struct {
			cfg  Config
			want bool
		}{{Config{AuthOnly: true}, false}, {Config{AuthOnly: true, PublicURL: "https://rtc.example.org"}, true}, {Config{}, true}} {
			w := httptest.NewRecorder()
			routesOf(&c.cfg).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if got := strings.Contains(w.Body.String(), "livekit_service_url"); got != c.want {
				t.Errorf("%s, %+v: %s", path, c.cfg.PublicURL, w.Body)
			}
		}
	}
}
