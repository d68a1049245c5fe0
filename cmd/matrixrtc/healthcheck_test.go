package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	well := true
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || !well {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(site.Close)
	p := newProgram(t)
	if got := p.must("healthcheck", site.URL+"/"); got != "well\n" {
		t.Errorf("a site that is well: %q", got)
	}
	// The listener is found as serve finds it.
	_, port, _ := strings.Cut(strings.TrimPrefix(site.URL, "http://"), ":")
	p.env = append(p.env, "MATRIXRTC_LISTEN=0.0.0.0:"+port, "LIVEKIT_FULL_ACCESS_HOMESERVERS=*")
	p.must("healthcheck")
	well = false
	p.fails(exitFailed, "503", "healthcheck")
	site.Close()
	p.fails(exitUnreachable, "does not answer", "healthcheck")
	p.fails(exitUsage, "no-such-file", "healthcheck", "--config", "no-such-file.yaml")
}

func TestOnThisMachine(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"":               "http://127.0.0.1:8080",
		":8080":          "http://127.0.0.1:8080",
		"0.0.0.0:80":     "http://127.0.0.1:80",
		"[::]:80":        "http://[::1]:80",
		"192.0.2.1:8080": "http://192.0.2.1:8080",
	} {
		if got, err := onThisMachine(listen); err != nil || got != want {
			t.Errorf("%q: %q (%v), want %q", listen, got, err, want)
		}
	}
	if _, err := onThisMachine("nowhere"); err == nil {
		t.Error("an address without a port was taken")
	}
}
