package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/server/auth"
	"github.com/matrixrtc-go/matrixrtc/server/sfu"
)

// mediaSite is the media half of a site: embedded SFU and authorization
// service behind one address, which stays while the SFU is restarted. Users
// are vouched for by openIDServer, which stands in for the one request that
// the service makes to homeservers.
type mediaSite struct {
	t    *testing.T
	url  string // of the authorization service
	port int    // of the SFU's media
	sfu  atomic.Pointer[sfu.SFU]
	fail atomic.Int32 // status that the authorization service answers; 0: its own
	dark atomic.Bool  // signalling does not reach the SFU

	mu    sync.Mutex
	conns map[net.Conn]bool // of the web server, WebSockets included
}

const (
	siteKey    = "APIe2e"
	siteSecret = "a secret for tests that is long enough"
	serverName = "example.org"
)

func newMediaSite(t *testing.T) *mediaSite {
	t.Helper()
	s := &mediaSite{t: t, port: sfu.AnyPort, conns: map[net.Conn]bool{}}
	s.startSFU()
	t.Cleanup(s.stopSFU)

	mux := http.NewServeMux()
	web := httptest.NewUnstartedServer(mux)
	web.Listener = watchedListener{web.Listener, s}
	web.Start()
	t.Cleanup(web.Close)
	users := httptest.NewServer(openIDServer())
	t.Cleanup(users.Close)
	service, err := auth.New(auth.Config{
		Key:        siteKey,
		Secret:     siteSecret,
		SFUURL:     "ws" + strings.TrimPrefix(web.URL, "http") + "/sfu",
		Rooms:      s,
		FullAccess: []string{serverName},
		Overrides:  map[string]string{serverName: users.URL},
	}, &auth.Options{Rate: auth.Rate{PerSecond: -1}})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/sfu/rtc", http.StripPrefix("/sfu", s))
	mux.Handle("/sfu/rtc/", http.StripPrefix("/sfu", s))
	mux.HandleFunc("/jwt/", func(w http.ResponseWriter, r *http.Request) {
		if status := s.fail.Load(); status != 0 {
			http.Error(w, `{"errcode":"M_UNKNOWN","error":"as the test wants it"}`, int(status))
			return
		}
		http.StripPrefix("/jwt", service).ServeHTTP(w, r)
	})
	s.url = web.URL + "/jwt"
	return s
}

// startSFU starts the SFU, on the same ports as before.
func (s *mediaSite) startSFU() {
	s.t.Helper()
	started, err := sfu.Start(s.t.Context(), &sfu.Config{
		Key: siteKey, Secret: siteSecret, Loopback: true, UDPPort: s.port, Drain: -1, Logger: testLog(s.t),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = started.UDPPort()
	s.sfu.Store(started)
}

// stopSFU stops it, if it runs. Signalling answers 502 then.
func (s *mediaSite) stopSFU() {
	if running := s.sfu.Swap(nil); running != nil {
		if err := running.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

// ServeHTTP lets signalling through to the SFU that runs now.
func (s *mediaSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	running := s.sfu.Load()
	if running == nil || s.dark.Load() {
		http.Error(w, "no SFU", http.StatusBadGateway)
		return
	}
	running.Handler().ServeHTTP(w, r)
}

// breakSignalling cuts all TCP connections to the site, and leaves media alone.
func (s *mediaSite) breakSignalling() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
	clear(s.conns)
}

// watchedListener remembers the connections of the site.
type watchedListener struct {
	net.Listener
	site *mediaSite
}

func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.site.mu.Lock()
		l.site.conns[c] = true
		l.site.mu.Unlock()
	}
	return c, err
}

// CreateRoom implements auth.Rooms.
func (s *mediaSite) CreateRoom(ctx context.Context, name string) error {
	running := s.sfu.Load()
	if running == nil {
		return fmt.Errorf("the SFU is not running")
	}
	return running.CreateRoom(ctx, name)
}

// transport names the site, as a membership does.
func (s *mediaSite) transport() matrixrtc.Transport {
	raw, err := json.Marshal(map[string]string{"type": "livekit", "livekit_service_url": s.url})
	if err != nil {
		s.t.Fatal(err)
	}
	return matrixrtc.Transport{Type: "livekit", Raw: raw}
}

// connector is the LiveKit connector of a user of the site's homeserver.
func (s *mediaSite) connector(t *testing.T, user matrixrtc.UserID) *livekit.Connector {
	return livekit.New(openIDUser(user), &livekit.Options{Logger: testLog(t)})
}

// params join a device to the room call of a room.
func (s *mediaSite) params(room matrixrtc.RoomID, user matrixrtc.UserID, device matrixrtc.DeviceID, dialect matrixrtc.DialectName) media.Params {
	m := &matrixrtc.Membership{
		Room: room, User: user, Device: device, Dialect: dialect,
		Slot: matrixrtc.RoomCall, Transports: []matrixrtc.Transport{s.transport()},
	}
	if dialect == matrixrtc.DialectSticky || dialect == matrixrtc.DialectSlot {
		m.LiteralSlot = matrixrtc.RoomCall
		m.Member = matrixrtc.MemberID("member of " + string(user) + " " + string(device))
	}
	return media.Params{Transport: s.transport(), Self: m}
}

// openIDUser gives OpenID tokens for one user, which openIDServer understands.
type openIDUser matrixrtc.UserID

func (u openIDUser) OpenIDToken(context.Context) (json.RawMessage, error) {
	return json.Marshal(map[string]any{
		"access_token":       openIDPrefix + url.QueryEscape(string(u)),
		"expires_in":         3600,
		"matrix_server_name": serverName,
		"token_type":         "Bearer",
	})
}

const openIDPrefix = "openid-of-"

// openIDServer answers whose OpenID token it is.
func openIDServer() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_matrix/federation/v1/openid/userinfo", func(w http.ResponseWriter, r *http.Request) {
		escaped, ok := strings.CutPrefix(r.URL.Query().Get("access_token"), openIDPrefix)
		user, err := url.QueryUnescape(escaped)
		w.Header().Set("Content-Type", "application/json")
		if !ok || err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"errcode":"M_UNKNOWN_TOKEN","error":"unknown token"}`))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"sub": user})
	})
	return mux
}

// testLog writes to the test's log what is worth a look, and fails the test if
// a token is in it.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(guardedLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
}

type guardedLog struct{ t *testing.T }

func (g guardedLog) Write(b []byte) (int, error) {
	line := strings.TrimSpace(string(b))
	for _, secret := range []string{siteSecret, openIDPrefix, "eyJhbGci"} {
		if strings.Contains(line, secret) {
			g.t.Errorf("a secret is in the log: %s", line)
		}
	}
	if !strings.Contains(line, "level=DEBUG") {
		g.t.Log(line)
	}
	return len(b), nil
}
