package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// What anybody may ask is looked up once a second.
func TestReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newHealth(slog.New(slog.DiscardHandler))
		asked := 0
		var broken error
		st.checks = append(st.checks, func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
				t.Error("the question has no end, or has ended already")
			}
			asked++
			return broken
		})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		ask := func(method string) (int, string) {
			w := httptest.NewRecorder()
			st.serveReady(w, httptest.NewRequest(method, "/readyz", nil).WithContext(ended))
			return w.Code, w.Body.String()
		}
		for range 10 {
			if code, body := ask("GET"); code != 200 || body != "ready\n" {
				t.Error(code, body)
			}
		}
		if code, _ := ask("HEAD"); code != 200 || asked != 1 {
			t.Error(code, asked)
		}
		if code, _ := ask("POST"); code != 405 {
			t.Error(code)
		}
		broken = errors.New("redis at 10.0.0.1 does not answer")
		if code, _ := ask("GET"); code != 200 {
			t.Error("asked again within a second:", code)
		}
		time.Sleep(readyAge)
		if code, body := ask("GET"); code != 503 || strings.Contains(body, "redis") {
			t.Error(code, body)
		}
		broken = nil
		time.Sleep(readyAge)
		if code, _ := ask("GET"); code != 200 {
			t.Error(code)
		}
		st.leaving.Store(true)
		if code, _ := ask("GET"); code != 503 {
			t.Error("ready at the end:", code)
		}
	})
}

// testInside: what an operator sees.
func testInside(t *testing.T, r *running) {
	admin := func(path string) (int, string) {
		resp, err := http.Get("http://" + r.AdminAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := admin(path); code != 200 {
			t.Error(path, code, body)
		}
	}
	r.token("/sfu/get", "one.example", "ann")
	for _, want := range []string{
		"livekit_", "go_goroutines", "matrixrtc_build_info", `matrixrtc_auth_requests_total{endpoint="sfu_get",status="200"}`,
		`matrixrtc_openid_seconds_count{outcome="ok"}`, `matrixrtc_rooms_created_total{result="ok"}`, `matrixrtc_delegated_leaves{state="connected"} 0`,
	} {
		if code, body := admin("/metrics"); code != 200 || !strings.Contains(body, want) {
			t.Errorf("metrics: %d, %s is not there", code, want)
		}
	}
	for _, secret := range []string{"@ann", "!r:one", "tok-"} {
		if _, body := admin("/metrics"); strings.Contains(body, secret) {
			t.Errorf("metrics hold %q", secret)
		}
	}
	// The embedded SFU reports to the site's own listener.
	openSocket(t, r)
	rtctest.Eventually(t, 10*time.Second, "the SFU's reports come", func() (bool, string) {
		_, body := admin("/metrics")
		return strings.Contains(body, `matrixrtc_sfu_webhooks_total{result="ok"}`), "no such metric"
	})
}
