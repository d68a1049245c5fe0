package authbox

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
)

// realServers are started once each, by the first test that needs them.
var realServers = map[string]func() (*homeserver, error){
	"Dendrite": sync.OnceValues(func() (*homeserver, error) {
		return startReal(func(ctx context.Context, name string) (*devstack.Homeserver, error) {
			return devstack.StartDendrite(ctx, &devstack.DendriteOptions{ServerName: name})
		})
	}),
	"Synapse": sync.OnceValues(func() (*homeserver, error) {
		return startReal(func(ctx context.Context, name string) (*devstack.Homeserver, error) {
			return devstack.StartSynapse(ctx, &devstack.SynapseOptions{ServerName: name})
		})
	}),
}

// startReal starts a homeserver behind TLS, so that its name leads to it by the
// rules of Matrix.
func startReal(start func(context.Context, string) (*devstack.Homeserver, error)) (*homeserver, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var proxy *httputil.ReverseProxy
	front := httptest.NewUnstartedServer(nil)
	h := &homeserver{name: front.Listener.Addr().String(), client: suite.ca.client()}
	h.base = "https://" + h.name
	front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/matrix/client" {
			say(w, 200, object{"m.homeserver": object{"base_url": h.base}})
			return
		}
		proxy.ServeHTTP(w, r)
	})
	hs, err := start(ctx, h.name)
	if err != nil {
		front.Listener.Close()
		return nil, err
	}
	to, err := url.Parse(hs.URL())
	if err != nil {
		return nil, err
	}
	proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorLog: quiet}
	front.TLS = &tls.Config{Certificates: []tls.Certificate{suite.ca.leaf}}
	front.Config.ErrorLog = quiet
	front.StartTLS()
	atEnd(func() { front.Close(); hs.Close() })
	return h, nil
}

func needReal(t testing.TB, kind string) *homeserver {
	t.Helper()
	h, err := realServers[kind]()
	devstacktest.Need(t, err)
	return h
}

// TestConformance holds the homeserver of the tests to what real ones do.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   string
		delays bool // it has delayed events
		get    func(*testing.T) *homeserver
	}{
		{"fake", true, func(t *testing.T) *homeserver { return &startFake(t).homeserver }},
		{"Dendrite", false, func(t *testing.T) *homeserver { return needReal(t, "Dendrite") }},
		{"Synapse", true, func(t *testing.T) *homeserver { return needReal(t, "Synapse") }},
	} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			h := c.get(t)
			alice := h.register(t, "conny")
			t.Run("userinfo", func(t *testing.T) { conformUserinfo(t, alice) })
			if c.delays {
				t.Run("delayed events", func(t *testing.T) { conformDelays(t, alice) })
			}
		})
	}
}

func conformUserinfo(t *testing.T, u *user) {
	token := u.openID(t)
	for _, key := range []string{"access_token", "expires_in", "matrix_server_name", "token_type"} {
		if token[key] == nil {
			t.Errorf("the OpenID token has no %s: it has %d keys", key, len(token))
		}
	}
	if token["matrix_server_name"] != u.hs.name || token["token_type"] != "Bearer" {
		t.Errorf("it names the server %v, and is a %v", token["matrix_server_name"], token["token_type"])
	}
	for range 2 { // it can be asked twice
		if r := u.hs.userinfo(t, token["access_token"].(string)); r.status != 200 || r.text("sub") != u.id {
			t.Errorf("a good token: %d %s", r.status, r.body)
		}
	}
	if r := u.hs.userinfo(t, "nobody's"); r.said() != "401 M_UNKNOWN_TOKEN" {
		t.Errorf("a bad token: %d %s", r.status, r.body)
	}
	if r := u.hs.userinfo(t, ""); r.status != 401 { // with one code or another
		t.Errorf("no token: %d %s", r.status, r.body)
	}
	// That of a device is another kind of token.
	if r := u.hs.userinfo(t, u.token); r.status != 401 {
		t.Errorf("an access token: %d %s", r.status, r.body)
	}
}

func conformDelays(t *testing.T, u *user) {
	room := u.createRoom(t)
	u.join(t, room)
	id := u.later(t, room, time.Hour)
	if id == "" {
		t.Fatal("no delay_id")
	}
	steps := []struct{ id, action, want string }{
		{id, "restart", "200"}, {id, "restart", "200"}, {id, "send", "200"},
		{id, "send", "404 M_NOT_FOUND"}, {id, "restart", "404 M_NOT_FOUND"}, {"nobody's", "restart", "404 M_NOT_FOUND"},
	}
	for i, step := range steps {
		if i == 2 && !u.inCall(t, room) {
			t.Error("the leave was sent before it was to")
		}
		if r := u.hs.act(t, step.id, step.action); r.said() != step.want {
			t.Errorf("%d: %s: %d %s, want %s", i, step.action, r.status, r.body, step.want)
		}
	}
	if u.inCall(t, room) {
		t.Error("the leave was not sent")
	}
	u.join(t, room)
	soon := u.later(t, room, 300*time.Millisecond)
	if !within(patience, func() bool { return !u.inCall(t, room) }) {
		t.Error("the delay is over, and nothing was sent")
	}
	if r := u.hs.act(t, soon, "restart"); r.said() != "404 M_NOT_FOUND" {
		t.Errorf("after its time: %d %s", r.status, r.body)
	}
	u.join(t, room)
	off := u.later(t, room, time.Hour)
	if r := u.hs.act(t, off, "cancel"); r.said() != "200" {
		t.Errorf("cancel: %d %s", r.status, r.body)
	}
	if r := u.hs.act(t, off, "send"); r.said() != "404 M_NOT_FOUND" {
		t.Errorf("what was cancelled is sent: %d %s", r.status, r.body)
	}
	if !u.inCall(t, room) {
		t.Error("what was cancelled was sent")
	}
}
