package authbox

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestFaultyHomeservers: whatever a homeserver says or does when it is asked about
// a token, nobody gets in by it, and nobody else waits for it.
func TestFaultyHomeservers(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	alice := s.hs.user("alice")
	var lured atomic.Int32
	lure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		lured.Add(1)
		say(w, 200, object{"sub": alice})
	}))
	lure.TLS = &tls.Config{Certificates: []tls.Certificate{suite.ca.leaf}}
	lure.StartTLS()
	t.Cleanup(lure.Close)
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, text)
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { say(w, code, object{"sub": alice}) }
	}
	for _, c := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"is slow", "200", func(w http.ResponseWriter, r *http.Request) {
			pause(r, time.Second)
			say(w, 200, object{"sub": alice})
		}},
		{"says more than asked", "200", body(`{"sub":"` + alice + `","name":"Alice","expires":1}`)},
		{"refuses the token", "401 M_UNAUTHORIZED", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 401, "M_UNKNOWN_TOKEN") }},
		{"fails", "401 M_UNAUTHORIZED", status(500)},
		{"does not know the endpoint", "401 M_UNAUTHORIZED", status(404)},
		{"is asked too often", "401 M_UNAUTHORIZED", status(429)},
		{"says 202", "401 M_UNAUTHORIZED", status(202)},
		{"says garbage", "401 M_UNAUTHORIZED", body("<html>bad gateway</html>")},
		{"says nothing", "401 M_UNAUTHORIZED", body("")},
		{"says null", "401 M_UNAUTHORIZED", body("null")},
		{"names no user", "401 M_UNAUTHORIZED", body(`{}`)},
		{"names a number", "401 M_UNAUTHORIZED", body(`{"sub":5}`)},
		{"names a user of another server", "401 M_UNAUTHORIZED", body(`{"sub":"@alice:elsewhere.example"}`)},
		{"names a server that begins like it", "401 M_UNAUTHORIZED", body(`{"sub":"` + alice + `0"}`)},
		{"says a megabyte too much", "401 M_UNAUTHORIZED", body(`{"sub":"` + alice + `","more":"` + strings.Repeat("x", 1<<20) + `"}`)},
		{"never stops talking", "401 M_UNAUTHORIZED", func(w http.ResponseWriter, r *http.Request) {
			out := bufio.NewWriter(w)
			for r.Context().Err() == nil {
				if _, err := out.WriteString(strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		}},
		{"never answers", "401 M_UNAUTHORIZED", func(_ http.ResponseWriter, r *http.Request) { pause(r, 3*patience) }},
		{"hangs up", "401 M_UNAUTHORIZED", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"hangs up in the middle", "401 M_UNAUTHORIZED", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"sub":"`+alice+`"}`)
			panic(http.ErrAbortHandler)
		}},
		{"leads to another place", "401 M_UNAUTHORIZED", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, lure.URL+"/userinfo", http.StatusFound)
		}},
		{"leads to itself", "401 M_UNAUTHORIZED", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := s.do(post("/sfu/get", edited(s.sfuGet(), set("openid_token", s.hs.mint(c.answer)))))
			compare(t, "a homeserver that "+c.name, c.want, r.said())
		})
	}
	t.Cleanup(func() {
		if n := lured.Load(); n > 0 && !suite.foreign {
			t.Errorf("%d requests went where a homeserver led them", n)
		}
	})
}

// pause waits, unless whoever asks goes away before.
func pause(r *http.Request, d time.Duration) {
	select {
	case <-r.Context().Done():
	case <-time.After(d):
	}
}

// TestEveryTokenIsAsked: a token that was taken back is refused from then on.
func TestEveryTokenIsAsked(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	var back atomic.Bool
	token := s.hs.mint(func(w http.ResponseWriter, _ *http.Request) {
		if back.Load() {
			refuse(w, 401, "M_UNKNOWN_TOKEN")
			return
		}
		say(w, 200, object{"sub": s.hs.user("alice")})
	})
	body := edited(s.sfuGet(), set("openid_token", token))
	s.do(post("/sfu/get", body)).granted(t)
	s.do(post("/sfu/get", body)).granted(t)
	back.Store(true)
	compare(t, "/sfu/get with a token that was taken back", "401 M_UNAUTHORIZED", s.do(post("/sfu/get", body)).said())
	s.hs.mu.Lock()
	defer s.hs.mu.Unlock()
	if n := s.hs.asked[token["access_token"].(string)]; n != 3 {
		t.Errorf("asked %d times about 3 requests", n)
	}
}

// TestCertificates: a homeserver is who it says only by its certificate, unless the
// operator does not want to know.
func TestCertificates(t *testing.T) {
	t.Parallel()
	if !readsCertFile() {
		t.Skip("needs SSL_CERT_FILE to be read: run this on Linux or a BSD")
	}
	for _, c := range []struct{ name, skip, want string }{
		{"/sfu/get of a homeserver with a certificate of its own", "", "401 M_UNAUTHORIZED"},
		{"/sfu/get of that with LIVEKIT_INSECURE_SKIP_VERIFY_TLS", "YES_I_KNOW_WHAT_I_AM_DOING", "200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hs := startFakeWith(t, "127.0.0.1", suite.ca.stranger)
			s := &scene{sfu: startFakeSFU(t), hs: hs}
			s.service = start(t, basic(s.sfu.url(), hs.name).with(env{"LIVEKIT_INSECURE_SKIP_VERIFY_TLS": c.skip}))
			compare(t, c.name, c.want, s.do(post("/sfu/get", s.sfuGet())).said())
		})
	}
}

// TestPrivateNetworks: nobody is led into the networks behind the service by the
// name of a server.
func TestPrivateNetworks(t *testing.T) {
	t.Parallel()
	s := newScene(t, env{"MATRIXRTC_CONFIG": ""})
	token := s.far.vouch(s.far.user("bob"))
	got := s.do(post("/sfu/get", edited(s.sfuGet(), set("openid_token", token)))).said()
	s.far.mu.Lock()
	defer s.far.mu.Unlock()
	if s.far.asked[token["access_token"].(string)] == 0 {
		got += ", not asked"
	} else {
		got += ", asked"
	}
	compare(t, "/sfu/get of a server in a private network", "401 M_UNAUTHORIZED, not asked", got)
}

// TestNames: what is no server name is asked nothing.
func TestNames(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, name := range []string{
		"user@" + s.hs.name, s.hs.name + "/x", s.hs.name + "?x", s.hs.name + "#x", " " + s.hs.name, "https://" + s.hs.name,
		"127.0.0.1:99999", "127.0.0.1:", ":443", "a..b", "[::1", strings.Repeat("a", 300), "x\r\nHost: y", "\u0000",
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			token := s.hs.vouch("@alice:" + name)
			got := s.do(post("/sfu/get", edited(s.sfuGet(), set("openid_token", edited(token, set("matrix_server_name", name)))))).said()
			compare(t, fmt.Sprintf("/sfu/get of %q", strings.ReplaceAll(name, s.hs.name, "HOST")), "401 M_UNAUTHORIZED", got)
			s.hs.mu.Lock()
			defer s.hs.mu.Unlock()
			if n := s.hs.asked[token["access_token"].(string)]; n > 0 && !suite.foreign {
				t.Errorf("%q leads to %s", name, s.hs.name)
			}
		})
	}
}
