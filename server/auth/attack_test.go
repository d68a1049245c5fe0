package auth

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// Bodies that are meant to hurt: each is refused, and soon.
func TestJSONBombs(t *testing.T) {
	t.Parallel()
	s := newHomeSite(t, func(cfg *Config, _ *Options) { cfg.Leaves = jobs.Memory() })
	deep := func(open, closing string, n int) string { return strings.Repeat(open, n) + strings.Repeat(closing, n) }
	bombs := map[string]string{
		"arrays":          deep("[", "]", 30_000),
		"objects":         deep(`{"a":`, "", 12_000),
		"in the token":    `{"room":"!r","openid_token":` + deep("[", "]", 30_000) + `}`,
		"in the member":   `{"room_id":"!r","slot_id":"s","member":` + deep(`{"id":`, "}", 9_000) + `}`,
		"a long number":   `{"delay_timeout":` + strings.Repeat("9", 60_000) + `}`,
		"a wide exponent": `{"delay_timeout":1e999999999}`,
		"many keys":       `{` + strings.Repeat(`"room":"x",`, 5_000) + `"room":"x"}`,
		"many other keys": `{` + func() (b string) {
			for i := range 4000 {
				b += fmt.Sprintf(`"k%d":1,`, i)
			}
			return b
		}() + `"room":"x"}`,
		"not UTF-8":         "{\"room\":\"\xff\xfe\",\"device_id\":\"\xff\"}",
		"a zero":            "{\"room\":\"\\u0000\"}",
		"half a surrogate":  `{"room":"\ud800"}`,
		"too large":         strings.Repeat(" ", maxBody+1),
		"empty":             "",
		"a byte order mark": "\ufeff{}",
	}
	for _, path := range []string{"/sfu/get", "/get_token", "/delegate_delayed_leave", csToken, csDelegate, ssToken} {
		for name, body := range bombs {
			h := fromUser("@ann:one.example")
			if path == ssToken {
				h = fromServer("two.example")
			}
			// The best of some: the machine may be busy, a bomb is slow every time.
			took := time.Hour
			for try := 0; took > time.Second && try < 5; try++ {
				start := time.Now()
				if w := s.request("POST", path, body, h); w.Code < 400 || w.Code >= 500 {
					t.Errorf("%s, %s: %d %s", path, name, w.Code, w.Body)
				}
				took = min(took, time.Since(start))
			}
			if took > time.Second {
				t.Errorf("%s, %s: took %v", path, name, took)
			}
		}
	}
}

// Names that are meant to lead elsewhere: no request leaves for anywhere but a
// homeserver's own paths.
func TestPathTricks(t *testing.T) {
	t.Parallel()
	s := newHomeSite(t, func(cfg *Config, _ *Options) { cfg.Leaves = jobs.Memory() })
	tricks := []string{"../../x", "..%2f..%2fx", "%2e%2e", "a/b", "a?b=c", "a#b", "a;b", "\\..\\x", "a b", "a\r\nX: y", "é", "%00", "/", "."}
	for _, trick := range tricks {
		quoted := strings.NewReplacer("\r", `\r`, "\n", `\n`, `\`, `\\`).Replace(trick)
		s.home.set(func(h *fakeHome) {
			h.asked = nil
			h.joined[trick+" @ann:one.example"] = true
			h.delays[trick] = "@ann:one.example !room:x 5000"
		})
		w := s.request("POST", csToken, strings.Replace(homeBody, "!room:x", quoted, 1), fromUser("@ann:one.example"))
		want := 200
		if !leave.Segment(trick) {
			want = 400
		}
		if w.Code != want {
			t.Errorf("room %q: %d %s: asked %q", trick, w.Code, w.Body, s.home.log())
		}
		w = s.request("POST", csDelegate, strings.Replace(delayBody, "d1", quoted, 1), fromUser("@ann:one.example"))
		if w.Code != want {
			t.Errorf("delay id %q: %d %s: asked %q", trick, w.Code, w.Body, s.home.log())
		}
		for _, asked := range s.home.log() {
			if !strings.Contains(asked, " /_matrix/client/") || strings.Contains(asked, "..") || strings.Contains(asked, "\n") {
				t.Errorf("%q led to %q", trick, asked)
			}
		}
	}
	for _, path := range []string{"//sfu/get", "/sfu/get/", "/sfu/../sfu/get", "/sfu%2fget", "/SFU/GET", "/get_token/x", csToken + "/", "/_matrix/app/v1/transactions/../ping", "/sfu_webhook/"} {
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.URL.Path, r.RequestURI = path, path
		if w := record(s, r); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// A homeserver that redirects leads nowhere, least of all into this machine; one
// that sends too much, or nothing, costs its own users an answer.
func TestHostileHomeserver(t *testing.T) {
	t.Parallel()
	var inside atomic.Int64
	secret := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inside.Add(1)
		fmt.Fprint(w, `{"sub":"@ann:evil.example"}`)
	}))
	t.Cleanup(secret.Close)
	for name, h := range map[string]http.HandlerFunc{
		"redirect to loopback": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, secret.URL, http.StatusFound) },
		"redirect that keeps the body": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, secret.URL, http.StatusTemporaryRedirect)
		},
		"endless answer": func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 64<<10)); err != nil {
					return
				}
			}
		},
		"endless headers": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 5000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 100))
			}
		},
		"compressed bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
		},
		"nothing":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"another's user":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"sub":"@ann:one.example"}`) },
		"two users":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"sub":"@ann:evil.example@one.example"}`) },
		"a user in lines": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"sub":"@ann\n:evil.example"}`) },
		"no user":         func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"sub":["@ann:evil.example"]}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evil := httptest.NewUnstartedServer(h)
			evil.Config.ErrorLog = quietLog()
			evil.Start()
			t.Cleanup(evil.Close)
			s, err := New(Config{Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, FullAccess: []string{"one.example"},
				Overrides: map[string]string{"evil.example": evil.URL}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			if w := post(s, "/sfu/get", sfuGetBody("tok", "evil.example", "")); w.Code != 401 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if inside.Load() != 0 {
				t.Error("it led inside")
			}
		})
	}
}

// Discovery must not lead into private networks either: neither a well-known nor
// its redirect, nor a client-server API that it names.
func TestDiscoveryStaysOutside(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	n.ips["evil.example"], n.ips["inner.example"] = "9.9.9.1", "127.0.0.1"
	n.ips["meta.example"] = "169.254.169.254"
	var to atomic.Pointer[string]
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if url := *to.Load(); !strings.HasSuffix(r.URL.Path, "/client") {
			http.NotFound(w, r)
		} else if strings.HasPrefix(url, "redirect ") {
			http.Redirect(w, r, url[9:], http.StatusFound)
		} else {
			fmt.Fprintf(w, `{"m.homeserver":{"base_url":%q}}`, url)
		}
	}))
	web.TLS = tlsConfig(ca.issue("evil.example"))
	web.StartTLS()
	t.Cleanup(web.Close)
	n.ports["9.9.9.1:443"] = web.Listener.Addr().String()
	for _, url := range []string{
		"https://127.0.0.1:8448", "https://[::1]", "https://inner.example", "https://meta.example", "https://10.0.0.1", "https://[::ffff:10.0.0.1]",
		"http://9.9.9.2", "https://[fe80::1]", "redirect https://127.0.0.1/x", "redirect http://9.9.9.2/", "redirect https://inner.example/.well-known/matrix/client",
	} {
		to.Store(&url)
		opts := n.options(ca)
		opts.setDefaults()
		c := newClientAPIs(nil, newServers(nil, nil, *opts))
		_, err := c.call(t.Context(), "evil.example", call{method: http.MethodPost, path: "/x", body: []byte("{}")})
		if err == nil {
			t.Errorf("%s: reached", url)
		}
		c.close()
	}
	for _, d := range n.dialled() {
		if d != "9.9.9.1:443" {
			t.Errorf("dialled %s", d)
		}
	}
}

// A homeserver that never answers keeps its own users waiting, and nobody else.
func TestSlowHomeserver(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	t.Cleanup(slow.Close)
	one := newHomeserver(t, "one.example", nil)
	s, err := New(Config{Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, FullAccess: []string{"one.example"},
		Overrides: map[string]string{"slow.example": slow.URL, "one.example": one.URL}}, &Options{Rate: Rate{PerSecond: -1}, VerifyTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	var refused atomic.Int64
	for range checksPerServer + 50 {
		waiting.Go(func() {
			r := httptest.NewRequestWithContext(ctx, "POST", "/sfu/get", strings.NewReader(sfuGetBody("tok", "slow.example", "")))
			if record(s, r).Code == http.StatusTooManyRequests {
				refused.Add(1)
			}
		})
	}
	rtctest.Eventually(t, 30*time.Second, "those that are too many are refused", func() (bool, string) {
		return refused.Load() == 50, fmt.Sprint(refused.Load())
	})
	if w := post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", "")); w.Code != 200 {
		t.Errorf("a user of another server: %d %s", w.Code, w.Body)
	}
	cancel()
	waiting.Wait()
	close(stop)
	if s.openid.all != 0 || len(s.openid.waiting) != 0 {
		t.Errorf("%d still counted", s.openid.all)
	}
}
