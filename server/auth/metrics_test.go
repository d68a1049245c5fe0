package auth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// gathered is every sample with its labels, "name{a=b}" → value.
func gathered(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			key := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.GetCounter() != nil:
				out[key] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				out[key] = m.GetGauge().GetValue()
			default:
				out[key] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s := newHomeSite(t, func(cfg *Config, o *Options) {
		cfg.Leaves, o.Metrics = jobs.Memory(), reg
		o.Policy.Rules = []Rule{{User: "@eve:*", Access: AccessNone}}
	})
	post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"delay_id":"d","delay_timeout":3600000`))
	post(s, "/sfu/get", sfuGetBody("tok-eve", "one.example", ""))
	post(s, "/sfu/get", sfuGetBody("stolen", "one.example", ""))
	post(s, "/get_token", "x")
	post(s, "/nonsense/"+strings.Repeat("x", 100), "x")
	s.request("POST", csToken, homeBody, fromUser("@ann:one.example"))
	postReport(s.Service, []byte("x"), "y")
	got := gathered(t, reg)
	for key, want := range map[string]float64{
		"matrixrtc_auth_requests_total{endpoint=sfu_get,status=200}":          1,
		"matrixrtc_auth_requests_total{endpoint=sfu_get,status=401}":          1,
		"matrixrtc_auth_requests_total{endpoint=sfu_get,status=403}":          1,
		"matrixrtc_auth_requests_total{endpoint=get_token,status=400}":        1,
		"matrixrtc_auth_requests_total{endpoint=client_get_token,status=200}": 1,
		"matrixrtc_auth_requests_total{endpoint=other,status=404}":            1,
		"matrixrtc_auth_request_seconds{endpoint=sfu_get}":                    3,
		"matrixrtc_openid_seconds{outcome=ok}":                                2,
		"matrixrtc_openid_seconds{outcome=refused}":                           1,
		"matrixrtc_rooms_created_total{result=ok}":                            2,
		"matrixrtc_policy_denials_total{reason=rule}":                         1,
		"matrixrtc_sfu_webhooks_total{result=refused}":                        1,
		"matrixrtc_delegated_leaves{state=waiting}":                           1,
		"matrixrtc_delegated_leaves{state=connected}":                         0,
		"matrixrtc_delegated_leaves_ended_total{reason=sent}":                 0,
		"matrixrtc_cache_entries{cache=openid}":                               0,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s = %v (%v), want %v", key, v, ok, want)
		}
	}
	for key := range got {
		if strings.ContainsAny(key, "@!") || strings.Contains(key, "xxx") || !strings.HasPrefix(key, "matrixrtc_") {
			t.Errorf("%s tells too much", key)
		}
	}
	if _, err := New(s.cfg, &Options{Metrics: reg}); err == nil {
		t.Error("two services share a registry unnoticed")
	}
	s.Close()
	if got := gathered(t, reg); len(got) != 0 {
		t.Errorf("after Close: %v", got)
	}
}

// The id that the log has is in the answer, where a user can read it.
func TestRequestID(t *testing.T) {
	t.Parallel()
	s := newTestService(t, &rooms{}, nil)
	w := post(s, "/sfu/get", "{}")
	var e authapi.Error
	id := w.Header().Get("X-Request-Id")
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || id == "" || !strings.HasSuffix(e.Message, "(request "+id+")") {
		t.Errorf("%q: %s", id, w.Body)
	}
	if !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "X-Request-Id") {
		t.Error("a browser cannot read it")
	}
}

// Within the window one answer of a homeserver does for many requests, for the
// same token of the same server, and for no other.
func TestTokenWindow(t *testing.T) {
	t.Parallel()
	one := newHomeserver(t, "one.example", nil)
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, FullAccess: []string{"*"},
		Overrides: map[string]string{"one.example": one.URL, "two.example": one.URL},
	}, &Options{TokenWindow: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 5 {
		if w := post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", "")); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if n := one.requests.Load(); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	for _, body := range []string{
		sfuGetBody("tok-ann", "two.example", ""), sfuGetBody("tok-ann2:one.example", "two.example", ""),
		sfuGetBody("stolen", "one.example", ""), getTokenBody("tok-ann", "one.example", "@bob:one.example", ""),
	} {
		path := "/sfu/get"
		if strings.Contains(body, "slot_id") {
			path = "/get_token"
		}
		if w := post(s, path, body); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if n := s.openid.size(); n != 1 {
		t.Errorf("%d remembered, want 1: a refusal is not", n)
	}
}

func TestLenient(t *testing.T) {
	t.Parallel()
	s := newTestService(t, &rooms{}, &Options{Lenient: true})
	body := strings.Replace(sfuGetBody("tok-ann", "one.example", `,"x":1`), `"token_type"`, `"y":2,"token_type"`, 1)
	if w := post(s, "/sfu/get", body); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Health and Ready say when the end has begun.
func TestReady(t *testing.T) {
	t.Parallel()
	s := newTestService(t, &rooms{}, nil)
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	s.Close()
	if s.Ready(t.Context()) == nil {
		t.Error("ready after Close")
	}
	if w := record(s, httptest.NewRequest("POST", "/delegate_delayed_leave", nil)); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}
