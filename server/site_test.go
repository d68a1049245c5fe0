package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/sfu"
)

// running is a Server in the middle of Serve.
type running struct {
	*Server
	t    *testing.T
	log  *rtctest.Log
	stop context.CancelFunc
	done chan error
}

// serve starts a site on free loopback ports.
func serve(t *testing.T, cfg *Config, admin http.Handler) *running {
	t.Helper()
	cfg.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	r := &running{t: t, log: &rtctest.Log{}, done: make(chan error, 1)}
	var err error
	if r.Server, err = New(cfg, &Options{Logger: r.log.Logger(), Admin: admin, Drain: -1}); err != nil {
		t.Fatal(err)
	}
	if r.PublicAddr() != nil || r.URL() != "" || r.DiscoveryJSON() != nil || r.Advertised() != "" {
		t.Error("addresses before Ready")
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.done <- r.Serve(ctx) }()
	select {
	case <-r.Ready():
	case err := <-r.done:
		cancel()
		t.Fatalf("Serve: %v", err)
	case <-time.After(30 * time.Second):
		cancel()
		t.Fatal("not ready after 30 s")
	}
	return r
}

// end stops the site and waits for Serve.
func (r *running) end() error {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		return err
	case <-time.After(20 * time.Second):
		r.t.Fatal("Serve did not return within 20 s")
		return nil
	}
}

func (r *running) do(method, path, body string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.PublicAddr().String()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(data)
}

// token asks for a token the way a client does.
func (r *running) token(path, server, user string) authapi.TokenResponse {
	r.t.Helper()
	body := fmt.Sprintf(`{"room":"!r:one.example","device_id":"D","openid_token":{"access_token":"tok-%s","matrix_server_name":%q,"expires_in":1,"token_type":"Bearer"}}`, user, server)
	resp, text := r.do("POST", path, body)
	var out authapi.TokenResponse
	if err := json.Unmarshal([]byte(text), &out); err != nil || resp.StatusCode != 200 || out.JWT == "" {
		r.t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
	}
	return out
}

// homeserver answers OpenID userinfo: "tok-ann" is @ann of the given server.
func homeserver(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := strings.TrimPrefix(r.URL.Query().Get("access_token"), "tok-")
		_ = json.NewEncoder(w).Encode(map[string]string{"sub": "@" + user + ":" + name})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// There is one embedded SFU per process, so its site is one test.
func TestSite(t *testing.T) {
	cfg := &Config{
		Homeserver: Homeserver{ServerName: "one.example", URL: "https://matrix.one.example/"},
		Overrides:  map[string]string{"one.example": homeserver(t, "one.example"), "two.example": homeserver(t, "two.example")},
		Media:      Media{Loopback: true, UDPPort: sfu.AnyPort},
	}
	if err := yaml.Unmarshal([]byte("limit: {max_participant_identity_length: 200}"), &cfg.LiveKit); err != nil {
		t.Fatal(err)
	}
	cfg.LiveKit = *cfg.LiveKit.Content[0]
	r := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
		fmt.Fprint(w, "status page")
	}))

	t.Run("routes", func(t *testing.T) { testRoutes(t, r) })
	t.Run("discovery", func(t *testing.T) { testDiscovery(t, r) })
	t.Run("rooms", func(t *testing.T) { testRooms(t, r) })
	t.Run("inside", func(t *testing.T) { testInside(t, r) })
	t.Run("admin", func(t *testing.T) {
		resp, err := http.Get("http://" + r.AdminAddr().String() + "/")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v", resp, err)
		}
		resp.Body.Close()
	})

	if got := r.Advertised(); !strings.HasPrefix(got, "127.0.0.1, udp ") {
		t.Errorf("advertised %q", got)
	}
	if err := r.Serve(t.Context()); !errors.Is(err, ErrServed) {
		t.Errorf("second Serve: %v", err)
	}
	// A websocket and an event stream are open at the end.
	socket := openSocket(t, r)
	stream, err := http.Get("http://" + r.AdminAddr().String() + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	began := time.Now()
	if err := r.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(began); took > shutdownTimeout-time.Second {
		t.Errorf("the end took %v: something was cut off", took)
	}
	if _, err := io.ReadAll(socket); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("websocket: %v", err)
	}
	if c, err := net.Dial("tcp", r.PublicAddr().String()); err == nil {
		c.Close()
		t.Error("the public port is still open")
	}
	log := r.log.String()
	if !strings.Contains(log, "made one for this run") {
		t.Error("the log does not say that a key was made")
	}
	for _, secret := range []string{"eyJ", "tok-"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// LiveKit's own keys are checked with the rest of the file.
func TestLiveKitBlockErrors(t *testing.T) {
	t.Parallel()
	for block, want := range map[string]string{
		"rtc: {udp_prt: 1}":                             `site.yaml:5: livekit: LiveKit knows no key "udp_prt" here`,
		"# first\n\n  rtc:\n    # then\n    tcp_prt: 1": `site.yaml:9: livekit: LiveKit knows no key "tcp_prt" here`,
		"rtc: [1]": "site.yaml:5: livekit: want a mapping, not a list",
		"turn:\n    # one of them\n    udp_port: hunter2": "site.yaml:7: livekit: want a number, not a text",
		"room: {auto_create: true}":                       "site.yaml:5: livekit.room.auto_create: ",
		"port: 1\n  keys:\n    short: hunter2":            `site.yaml:6: livekit.keys: the secret of "short" has 7 characters`,
		"rtc: {port_range_start: 9, udp_port: nine}":      "site.yaml:4: livekit: not accepted by LiveKit: ",
	} {
		_, err := Parse([]byte("full_access_homeservers: '*'\nlisten: 127.0.0.1:0\nmedia: {loopback: true, udp_port: -1}\nlivekit:\n  "+block), "site.yaml")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", block, err)
		}
	}
}

// What was not read from a file is checked all the same.
func TestLiveKitBlockWithoutFile(t *testing.T) {
	t.Parallel()
	var cfg Config
	if err := yaml.Unmarshal([]byte("full_access_homeservers: '*'\nlivekit: {rtc: {udp_prt: 1}}"), &cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := New(&cfg, nil); err == nil || err.Error() != `configuration: livekit: LiveKit knows no key "udp_prt" here` {
		t.Error(err)
	}
}

func testRoutes(t *testing.T, r *running) {
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/healthz", 200, ""},
		{"HEAD", "/livekit/jwt/healthz", 200, ""},
		{"POST", "/sfu/get", 400, "M_NOT_JSON"},
		{"POST", "/livekit/jwt/sfu/get", 400, "M_NOT_JSON"},
		{"POST", "/livekit/jwt/get_token", 400, "M_NOT_JSON"},
		{"OPTIONS", "/livekit/jwt/get_token", 200, ""},
		{"GET", "/get_token", 405, ""},
		{"POST", "/livekit/jwt/delegate_delayed_leave", 400, "M_NOT_JSON"},
		{"POST", "/_matrix/app/v1/ping", 404, "M_UNRECOGNIZED"},
		{"POST", "/_matrix/client/v1/rtc/livekit/get_token", 404, "M_UNRECOGNIZED"},
		{"GET", "/", 404, "M_UNRECOGNIZED"},
		{"GET", "/status.json", 404, "M_UNRECOGNIZED"},
		{"GET", "/livekit/sfu/rtc/validate", 401, ""},
		{"POST", "/livekit/sfu/twirp/livekit.RoomService/ListRooms", 404, ""},
		{"GET", "/livekit/sfu/", 404, ""},
		{"GET", "/rtc/validate", 404, "M_UNRECOGNIZED"},
		{"GET", "/.well-known/matrix/client", 200, `"livekit_service_url"`},
		{"OPTIONS", "/.well-known/matrix/client", 200, ""},
		{"POST", "/.well-known/matrix/client", 405, ""},
		{"GET", "/_matrix/client/v1/rtc/transports", 200, `"rtc_transports"`},
		{"HEAD", "/_matrix/client/v1/rtc/transports", 200, ""},
		{"GET", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", 200, `"transports"`},
	} {
		resp, body := r.do(c.method, c.path, "")
		if resp.StatusCode != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, resp.StatusCode, body, c.status, c.body)
		}
		if !strings.HasPrefix(c.path, "/livekit/sfu") && resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: no CORS header", c.method, c.path)
		}
	}
}

func testDiscovery(t *testing.T, r *running) {
	service := "http://" + r.PublicAddr().String() + "/livekit/jwt"
	if r.ServiceURL() != service {
		t.Errorf("service URL %q, want %q", r.ServiceURL(), service)
	}
	foci := []any{map[string]any{"type": "livekit", "livekit_service_url": service}}
	want := map[string]any{
		"m.homeserver":                map[string]any{"base_url": "https://matrix.one.example"},
		"org.matrix.msc4143.rtc_foci": foci,
	}
	_, body := r.do("GET", "/.well-known/matrix/client", "")
	for _, text := range []string{body, string(r.DiscoveryJSON())} {
		var got map[string]any
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	_, body = r.do("GET", "/_matrix/client/v1/rtc/transports", "")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{"rtc_transports": foci, "transports": foci}, got); d != "" {
		t.Error(d)
	}
}

// validate asks the SFU, through the site, whether it would take a token.
func validate(r *running, token string) int {
	resp, _ := r.do("GET", "/livekit/sfu/rtc/validate?access_token="+url.QueryEscape(token), "")
	return resp.StatusCode
}

// The SFU takes our tokens; but a user without full access opens no room.
func testRooms(t *testing.T, r *running) {
	guest := r.token("/sfu/get", "two.example", "bob")
	if want := "ws://" + r.PublicAddr().String() + "/livekit/sfu"; guest.URL != want {
		t.Errorf("SFU URL %q, want %q", guest.URL, want)
	}
	if got := validate(r, guest.JWT); got != 404 {
		t.Errorf("guest in a room that nobody opened: %d, want 404", got)
	}
	host := r.token("/livekit/jwt/sfu/get", "one.example", "ann")
	if got := validate(r, host.JWT); got != 200 {
		t.Errorf("host: %d, want 200", got)
	}
	if got := validate(r, guest.JWT); got != 200 {
		t.Errorf("guest after the host: %d, want 200", got)
	}
	if got := validate(r, host.JWT[:len(host.JWT)-4]+"AAAA"); got != 401 {
		t.Errorf("forged token: %d, want 401", got)
	}
}

// openSocket opens a signalling websocket and leaves it open.
func openSocket(t *testing.T, r *running) io.Reader {
	t.Helper()
	token := r.token("/sfu/get", "one.example", "ann").JWT
	c, err := net.Dial("tcp", r.PublicAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /livekit/sfu/rtc?auto_subscribe=1&protocol=15&access_token=%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		token, r.PublicAddr())
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", resp, err)
	}
	return br
}
