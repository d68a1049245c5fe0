package authbox

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestTooMany: one address cannot ask without end, and is told when to come back;
// others do not notice.
func TestTooMany(t *testing.T) {
	t.Parallel()
	needOurs(t, "rate_limit")
	s := newScene(t, env{"MATRIXRTC_CONFIG": file(t, inTheHouse+"rate_limit: {per_second: 0.01, burst: 3}\n")})
	by := func(address string) *reply {
		q := post("/sfu/get", s.sfuGet())
		q.header = map[string]string{"X-Forwarded-For": address}
		return s.do(q)
	}
	for i := range 3 {
		if r := by("192.0.2.1"); r.status != http.StatusOK {
			t.Fatalf("request %d: %d %s", i, r.status, r.body)
		}
	}
	r := by("192.0.2.1")
	if r.said() != "429 M_LIMIT_EXCEEDED" {
		t.Fatalf("the fourth: %d %s", r.status, r.body)
	}
	after, err := strconv.Atoi(r.header.Get("Retry-After"))
	ms, _ := r.object()["retry_after_ms"].(float64)
	if err != nil || after < 1 || after > 101 || ms <= 0 || ms > 100_000 {
		t.Errorf("Retry-After %q, retry_after_ms %v", r.header.Get("Retry-After"), ms)
	}
	if !strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "Retry-After") {
		t.Error("a page may not read Retry-After")
	}
	for _, other := range []string{"192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"} {
		if r := by(other); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", other, r.status, r.body)
		}
	}
	// What a client says of itself before the proxy does counts for nothing.
	if r := by("198.51.100.7, 192.0.2.1"); r.status != http.StatusTooManyRequests {
		t.Errorf("an address in front of the proxy's: %d", r.status)
	}
}

// TestQuota: nor can one user, from wherever.
func TestQuota(t *testing.T) {
	t.Parallel()
	needOurs(t, "policy.per_user")
	s := newScene(t, env{"MATRIXRTC_CONFIG": file(t, inTheHouse+"policy: {per_user: {per_minute: 1, burst: 2}}\n")})
	for i, want := range []string{"200", "200", "429 M_LIMIT_EXCEEDED"} {
		if got := s.do(post("/sfu/get", s.sfuGet())).said(); got != want {
			t.Errorf("request %d: %s, want %s", i, got, want)
		}
	}
	other := edited(s.sfuGet(), set("openid_token", s.hs.vouch(s.hs.user("carol"))))
	if got := s.do(post("/sfu/get", other)).said(); got != "200" {
		t.Errorf("another user: %s", got)
	}
}

// TestPolicy: who may publish, who may open, and who may not ask at all.
func TestPolicy(t *testing.T) {
	t.Parallel()
	needOurs(t, "policy")
	s := newScene(t, env{"MATRIXRTC_CONFIG": file(t, inTheHouse+`
policy:
  publish: listed
  fixed_metadata: true
  rules:
    - {user: "@mallory:*", access: none}
    - {room: "!open*", access: full}
    - {room: "!quiet*", access: restricted}
token_lifetime: 10m
`)})
	far, near := s.far.user("bob"), s.hs.user("alice")
	for _, c := range []struct {
		user, room string
		want       string
		publish    bool
		made       bool
	}{
		{near, "!room", "200", true, true},
		{far, "!room", "200", false, false},
		{far, "!open", "200", true, true},
		{near, "!quiet", "200", false, false},
		{s.hs.user("mallory"), "!room", "403 M_FORBIDDEN", false, false},
	} {
		t.Run(c.user+" "+c.room, func(t *testing.T) {
			t.Parallel()
			hs := s.hs
			if c.user == far {
				hs = s.far
			}
			r := s.do(post("/sfu/get", edited(s.sfuGet(), set("openid_token", hs.vouch(c.user)), set("room", c.room+s.room()))))
			if r.said() != c.want {
				t.Fatalf("%d %s, want %s", r.status, r.body, c.want)
			}
			if r.status != http.StatusOK {
				return
			}
			g := r.granted(t)
			n, _ := s.sfu.has(g.room)
			exp, _ := g.claims["exp"].(float64)
			nbf, _ := g.claims["nbf"].(float64)
			if g.video["canPublish"] != c.publish || (n > 0) != c.made || g.video["canUpdateOwnMetadata"] != false || exp-nbf != 600 {
				t.Errorf("made %v, claims %v", n > 0, g.claims)
			}
		})
	}
}

// TestSeen: what an operator can see, and what nobody can.
func TestSeen(t *testing.T) {
	t.Parallel()
	needOurs(t, "metrics")
	addr := freeAddr(t)
	redis, e := startRedis(t, "")
	s := newScene(t, e.with(env{"MATRIXRTC_ADMIN_LISTEN": addr, "LIVEKIT_LOG_LEVEL": "debug"}))
	good := s.sfuGet()
	s.connected(t, 3600e9)
	s.do(post("/sfu/get", good)).granted(t)
	refused := s.do(post("/sfu/get", edited(s.sfuGet(), set("openid_token.access_token", "nobody's"))))
	s.do(post("/get_token", object{}))
	get := func(base, path string) *reply {
		t.Helper()
		r, err := send(t.Context(), http.DefaultClient, base, request{method: "GET", path: path})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	text := string(get("http://"+addr, "/metrics").body)
	for _, line := range []string{
		`matrixrtc_auth_requests_total{endpoint="sfu_get",status="200"} 1`,
		`matrixrtc_auth_requests_total{endpoint="sfu_get",status="401"} 1`,
		`matrixrtc_auth_requests_total{endpoint="get_token",status="200"} 1`,
		`matrixrtc_auth_requests_total{endpoint="get_token",status="400"} 1`,
		`matrixrtc_openid_seconds_count{outcome="ok"} 2`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics do not say %s", line)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "matrixrtc_") && !strings.Contains(line, "_bucket") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
	// Nobody's calls are in the metrics, and nobody's tokens anywhere.
	for _, private := range []string{s.hs.user("alice"), s.hs.name, good["room"].(string), hash(good["room"].(string), slot)} {
		if strings.Contains(text, private) {
			t.Errorf("the metrics tell %q", private)
		}
	}
	log := s.log.String()
	for _, secret := range []string{sfuSecret, good["openid_token"].(object)["access_token"].(string), "nobody's", "eyJ"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
	if id := refused.header.Get("X-Request-Id"); id == "" || !strings.Contains(log, id) {
		t.Errorf("the log does not know the request %q", id)
	}
	if r := get(s.url, "/metrics"); r.status != http.StatusNotFound {
		t.Errorf("everybody can read the metrics: %d", r.status)
	}
	if r := get(s.url, "/readyz"); r.status != http.StatusOK {
		t.Errorf("ready: %d %s", r.status, r.body)
	}
	redis.Kill()
	rtctest.Eventually(t, patience, "it is not ready without its store", func() (bool, string) {
		r := get(s.url, "/readyz")
		return r.status == http.StatusServiceUnavailable, fmt.Sprint(r.status)
	})
	if r := get(s.url, "/healthz"); r.status != http.StatusOK {
		t.Errorf("it lives: %d", r.status)
	}
}
