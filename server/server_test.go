package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
)

// roomService is the room API of an external SFU, checking tokens as LiveKit
// does.
type roomService struct {
	livekit.RoomService
	mu   sync.Mutex
	made []*livekit.CreateRoomRequest
	bad  string
}

func (s *roomService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, err := auth.ParseAPIToken(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err == nil {
		var grants *auth.ClaimGrants
		if _, grants, err = v.Verify(longSecret); err == nil && (v.APIKey() != "k" || !grants.Video.RoomCreate) {
			err = errors.New("wrong grant")
		}
	}
	if err != nil {
		s.mu.Lock()
		s.bad = err.Error()
		s.mu.Unlock()
	}
	livekit.NewRoomServiceServer(s).ServeHTTP(w, r)
}

func (s *roomService) CreateRoom(_ context.Context, r *livekit.CreateRoomRequest) (*livekit.Room, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, r)
	return &livekit.Room{Name: r.Name}, nil
}

// With LIVEKIT_URL the site is what lk-jwt-service was: tokens and rooms for
// an SFU elsewhere.
func TestExternalSFU(t *testing.T) {
	t.Parallel()
	rooms := &roomService{}
	lk := httptest.NewServer(rooms)
	t.Cleanup(lk.Close)
	r := serve(t, &Config{
		FullAccess: Names{"one.example"}, Overrides: map[string]string{"one.example": homeserver(t, "one.example")},
		PublicURL: "https://rtc.one.example/prefix/",
		SFU:       SFU{URL: "ws" + strings.TrimPrefix(lk.URL, "http") + "/", Key: "k", Secret: longSecret},
	}, nil)
	got := r.token("/sfu/get", "one.example", "ann")
	if want := "ws" + strings.TrimPrefix(lk.URL, "http"); got.URL != want || r.Advertised() != want {
		t.Errorf("SFU URL %q, advertised %q, want %q", got.URL, r.Advertised(), want)
	}
	v, err := auth.ParseAPIToken(got.JWT)
	if err != nil {
		t.Fatal(err)
	}
	_, grants, err := v.Verify(longSecret)
	if err != nil || grants.Identity != "@ann:one.example:D" {
		t.Errorf("%+v, %v", grants, err)
	}
	rooms.mu.Lock()
	if len(rooms.made) != 1 || rooms.bad != "" {
		t.Fatalf("%v %q", rooms.made, rooms.bad)
	}
	if m := rooms.made[0]; m.Name != grants.Video.Room || m.EmptyTimeout != 300 || m.DepartureTimeout != 20 || m.MaxParticipants != 0 {
		t.Errorf("%v", m)
	}
	rooms.mu.Unlock()
	if resp, _ := r.do("GET", "/livekit/sfu/rtc", ""); resp.StatusCode != 404 {
		t.Errorf("signalling: %d, want 404", resp.StatusCode)
	}
	if r.ServiceURL() != "https://rtc.one.example/prefix/livekit/jwt" || strings.Contains(string(r.DiscoveryJSON()), "m.homeserver") {
		t.Errorf("%s\n%s", r.ServiceURL(), r.DiscoveryJSON())
	}
	if r.AdminAddr() != nil {
		t.Error("an admin listener without an admin handler")
	}
	lk.CloseClientConnections()
	lk.Close()
	resp, body := r.do("POST", "/sfu/get", `{"room":"!r","device_id":"D","openid_token":{"access_token":"tok-ann","matrix_server_name":"one.example"}}`)
	if resp.StatusCode != 500 || !strings.Contains(body, "M_UNKNOWN") {
		t.Errorf("SFU down: %d %s", resp.StatusCode, body)
	}
	if err := r.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func externalConfig() *Config {
	return &Config{FullAccess: Names{"*"}, SFU: SFU{URL: "ws://127.0.0.1:1", Key: "k", Secret: longSecret}}
}

// A taken port is named, with the setting that changes it.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for _, c := range []struct {
		key, flag string
		set       func(*Config)
	}{
		{"listen", "--listen", func(c *Config) { c.Listen = taken.Addr().String() }},
		{"admin.listen", "--admin-listen", func(c *Config) { c.Listen, c.Admin.Listen = "127.0.0.1:0", taken.Addr().String() }},
	} {
		cfg := externalConfig()
		c.set(cfg)
		s, err := New(cfg, &Options{Admin: http.NotFoundHandler()})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Serve(t.Context())
		le, ok := errors.AsType[*ListenError](err)
		if !ok || le.Key != c.key {
			t.Fatalf("%v", err)
		}
		for _, want := range []string{"port " + port + " is taken", c.key, c.flag} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %q", want, err)
			}
		}
		select {
		case <-s.Ready():
			t.Error("ready in spite of that")
		default:
		}
	}
}

func TestAddressOfAnotherMachine(t *testing.T) {
	t.Parallel()
	cfg := externalConfig()
	cfg.Listen = "192.0.2.1:8080"
	s, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "does not have that address") {
		t.Error(err)
	}
}

// A context that has ended already starts and ends the site in order.
func TestEndedBeforeItBegan(t *testing.T) {
	t.Parallel()
	cfg := externalConfig()
	cfg.Listen = "127.0.0.1:0"
	s, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx); err != nil {
		t.Error(err)
	}
}

func TestGuardAdmin(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
	for _, c := range []struct {
		name   string
		token  Secret
		host   string
		set    func(*http.Request)
		status int
	}{
		{"no token", "right", "127.0.0.1:8090", func(*http.Request) {}, 401},
		{"bearer", "right", "admin.example.org", func(r *http.Request) { r.Header.Set("Authorization", "Bearer right") }, 200},
		{"wrong bearer", "right", "127.0.0.1", func(r *http.Request) { r.Header.Set("Authorization", "Bearer rightx") }, 401},
		{"empty bearer", "right", "127.0.0.1", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		{"browser", "right", "127.0.0.1", func(r *http.Request) { r.SetBasicAuth("anybody", "right") }, 200},
		{"browser, wrong", "right", "127.0.0.1", func(r *http.Request) { r.SetBasicAuth("right", "wrong") }, 401},
		{"loopback", "", "127.0.0.1:8090", func(*http.Request) {}, 200},
		{"localhost", "", "localhost:8090", func(*http.Request) {}, 200},
		{"IPv6", "", "[::1]:8090", func(*http.Request) {}, 200},
		{"IPv6 without port", "", "[::1]", func(*http.Request) {}, 200},
		{"a name that leads to loopback", "", "evil.example:8090", func(*http.Request) {}, 421},
		{"no name", "", "", func(*http.Request) {}, 421},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		c.set(r)
		w := httptest.NewRecorder()
		guardAdmin(page, c.token).ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.status)
		}
		if (c.status == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s: WWW-Authenticate %q", c.name, w.Header().Get("WWW-Authenticate"))
		}
	}
}

func TestPublicURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ configured, bound, want, socket string }{
		{"", "127.0.0.1:8080", "http://127.0.0.1:8080", "ws://127.0.0.1:8080"},
		{"", "[::]:8080", "http://localhost:8080", "ws://localhost:8080"},
		{"", "[::1]:8080", "http://[::1]:8080", "ws://[::1]:8080"},
		{"https://rtc.example.org/", "[::]:8080", "https://rtc.example.org", "wss://rtc.example.org"},
		{"https://example.org/rtc", "[::]:8080", "https://example.org/rtc", "wss://example.org/rtc"},
	} {
		addr, err := net.ResolveTCPAddr("tcp", c.bound)
		if err != nil {
			t.Fatal(err)
		}
		got := publicURL(c.configured, addr)
		if got != c.want || websocketURL(got) != c.socket || httpURL(c.socket) != c.want {
			t.Errorf("%q at %s: %s, %s, %s", c.configured, c.bound, got, websocketURL(got), httpURL(c.socket))
		}
	}
}
