package homeserver_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// site serves a well-known document and /versions over TLS.
func site(t *testing.T, status int, wellKnown, versions string) (name string, opts *homeserver.Options) {
	t.Helper()
	mux := http.NewServeMux()
	srv := httptest.NewTLSServer(mux)
	t.Cleanup(srv.Close)
	mux.HandleFunc("/.well-known/matrix/client", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(strings.ReplaceAll(wellKnown, "BASE", srv.URL)))
	})
	mux.HandleFunc("/_matrix/client/versions", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(versions)) })
	mux.HandleFunc("/sub/_matrix/client/versions", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(versions)) })
	return strings.TrimPrefix(srv.URL, "https://"), &homeserver.Options{HTTP: srv.Client()}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	const good = `{"versions":["v1.11"]}`
	tests := map[string]struct {
		status              int
		wellKnown, versions string
		want                string // after the server's URL, "-" for an error
		kind                error
	}{
		"well-known":              {200, `{"m.homeserver":{"base_url":"BASE/sub/"}}`, good, "/sub", nil},
		"no well-known":           {404, ``, good, "", nil},
		"well-known is no JSON":   {200, `<html>`, good, "-", homeserver.ErrBadAnswer},
		"well-known is huge":      {200, `{"x":"` + strings.Repeat("x", 70<<10) + `"}`, good, "-", homeserver.ErrBadAnswer},
		"well-known without name": {200, `{}`, good, "-", homeserver.ErrBadAnswer},
		"well-known is broken":    {500, ``, good, "-", nil},
		"well-known names a file": {200, `{"m.homeserver":{"base_url":"file:///etc/passwd"}}`, good, "-", nil},
		"no homeserver there":     {404, ``, `<html>`, "-", homeserver.ErrBadAnswer},
		"no versions":             {404, ``, `{"versions":[]}`, "-", homeserver.ErrBadAnswer},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, opts := site(t, tt.status, tt.wellKnown, tt.versions)
			for _, asked := range []string{server, "@alice:" + server} {
				got, err := homeserver.Discover(t.Context(), asked, opts)
				if tt.want == "-" {
					if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) {
						t.Errorf("%s: found %q, %v", asked, got, err)
					}
				} else if err != nil || got != "https://"+server+tt.want {
					t.Errorf("%s: found %q, %v", asked, got, err)
				}
			}
		})
	}
	for _, name := range []string{"", "@alice", "a b", "h/path", "ftp://h"} {
		if got, err := homeserver.Discover(t.Context(), name, nil); err == nil {
			t.Errorf("%q: found %q", name, got)
		}
	}
	_, err := homeserver.Discover(t.Context(), "http://127.0.0.1:1", nil)
	if !errors.Is(err, homeserver.ErrUnreachable) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestNoRedirectToClearText: the access token would go along.
func TestNoRedirectToClearText(t *testing.T) {
	t.Parallel()
	clear := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("clear text request %s with authorization %v", r.URL.Path, r.Header.Get("Authorization") != "")
		_, _ = w.Write([]byte(`{}`))
	}))
	defer clear.Close()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, clear.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	creds := login()
	creds.Homeserver = srv.URL
	c, err := homeserver.Open(creds, &homeserver.Options{HTTP: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.JoinedRooms(t.Context()); !errors.Is(err, homeserver.ErrUnreachable) || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("error %v", err)
	}
}
