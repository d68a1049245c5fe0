package sfu

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/livekit/livekit-server/pkg/service"
	"github.com/livekit/protocol/livekit"

	"github.com/matrixrtc-go/matrixrtc/internal/lklog"
)

const (
	testKey    = "APItest"
	testSecret = "a secret for tests that is long enough"
)

func startTest(t *testing.T, c Config) *SFU {
	t.Helper()
	c.Key, c.Secret, c.Loopback, c.Drain = testKey, testSecret, true, -1
	if c.UDPPort == 0 {
		c.UDPPort = AnyPort
	}
	s, err := Start(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// There is one SFU per process, so its life is one test.
func TestLife(t *testing.T) {
	s := startTest(t, Config{})

	if _, err := Start(t.Context(), nil); !errors.Is(err, ErrRunning) {
		t.Errorf("second Start: %v, want ErrRunning", err)
	}
	if got := s.Advertised(); !strings.HasPrefix(got, "127.0.0.1, udp ") || strings.Contains(got, "tcp") {
		t.Errorf("advertised %q, want loopback and udp alone", got)
	}
	if k, sec := s.Key(); k != testKey || sec != testSecret {
		t.Error("Key does not return what was configured")
	}

	t.Run("rooms", func(t *testing.T) { testRooms(t, s) })
	t.Run("handler", func(t *testing.T) { testHandler(t, s) })

	t.Run("full", func(t *testing.T) {
		s.conf.livekit.Limit.NumTracks = 1
		defer func() { s.conf.livekit.Limit.NumTracks = 0 }()
		if err := s.CreateRoom(t.Context(), "b"); err != nil {
			t.Error("no track is there, and there may be one:", err)
		}
	})

	port := s.UDPPort()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is not closed after Close")
	}
	if err := s.CreateRoom(t.Context(), "late"); !errors.Is(err, ErrClosing) {
		t.Errorf("a room after the end: %v, want ErrClosing", err)
	}

	again := startTest(t, Config{UDPPort: port})
	if again.UDPPort() != port {
		t.Errorf("restarted on port %d, want %d", again.UDPPort(), port)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}

	t.Run("a media port that is taken is named", func(t *testing.T) {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		taken := c.LocalAddr().(*net.UDPAddr).Port
		_, err = Start(t.Context(), &Config{Loopback: true, UDPPort: taken})
		var pe *PortError
		if !errors.As(err, &pe) || pe.Port != taken || !strings.Contains(err.Error(), "livekit.rtc.udp_port") {
			t.Errorf("Start on a taken port: %v", err)
		}
	})
	t.Run("an early end of the context leaves nothing running", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Start(ctx, &Config{Loopback: true, UDPPort: AnyPort}); !errors.Is(err, context.Canceled) {
			t.Fatalf("Start: %v, want context.Canceled", err)
		}
		startTest(t, Config{})
	})
}

func testRooms(t *testing.T, s *SFU) {
	ctx := t.Context()
	for range 2 { // the second keeps the room
		if err := s.CreateRoom(ctx, "a room/+="); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Rooms.CreateRoom(ctx, "by http"); err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{"a room/+=", "by http"} {
		made := s.server.RoomManager().GetRoom(ctx, livekit.RoomName(room))
		if made == nil {
			t.Errorf("room %q is not there", room)
		} else if p := made.ToProto(); p.EmptyTimeout != 300 || p.DepartureTimeout != 20 {
			t.Errorf("room %q waits %d s, and %d s at its end", room, p.EmptyTimeout, p.DepartureTimeout)
		}
	}
	if err := s.CreateRoom(ctx, strings.Repeat("x", 1000)); !errors.Is(err, service.ErrRoomNameExceedsLimits) {
		t.Errorf("a name that is too long: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.CreateRoom(gone, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	for _, room := range []string{"a room/+=", "nowhere"} {
		list, err := s.Participants(ctx, room)
		if err != nil || len(list) != 0 {
			t.Errorf("participants of %q: %v, %v; want none", room, list, err)
		}
	}
	if err := s.RemoveParticipant(ctx, "a room/+=", "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing nobody: %v, want ErrNotFound", err)
	}
}

func testHandler(t *testing.T, s *SFU) {
	web := httptest.NewServer(http.StripPrefix("/livekit", s.Handler()))
	defer web.Close()
	for path, want := range map[string]int{
		"/livekit/rtc/validate":                               http.StatusUnauthorized, // LiveKit itself answers
		"/livekit/rtc/v1/validate":                            http.StatusUnauthorized,
		"/livekit/":                                           http.StatusNotFound,
		"/livekit/twirp/livekit.RoomService/ListRooms":        http.StatusNotFound,
		"/livekit/rtc/../twirp/livekit.RoomService/ListRooms": http.StatusNotFound,
		"/livekit/rtcx":                                       http.StatusNotFound,
		"/livekit/whip":                                       http.StatusNotFound,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path = path
		res, err := web.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, res.StatusCode, want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cfg  Config
		want string // part of the error, "" for none
	}{
		{"nothing", Config{}, ""},
		{"LiveKit's keys", Config{LiveKitYAML: []byte("rtc: {udp_port: 7000-7003}\nlimit: {num_tracks: 9}")}, ""},
		{"JSON", Config{LiveKitYAML: []byte(`{"rtc": {"tcp_port": 0}}`)}, ""},
		{"unknown key", Config{LiveKitYAML: []byte("rtc: {udp_prot: 7}")}, "udp_prot"},
		{"unknown top key", Config{LiveKitYAML: []byte("colour: red")}, "colour"},
		{"wrong type", Config{LiveKitYAML: []byte("rtc: [1]")}, "livekit configuration"},
		{"not YAML", Config{LiveKitYAML: []byte("{")}, "not valid YAML"},
		{"auto_create", Config{LiveKitYAML: []byte("room: {auto_create: true}")}, "room.auto_create"},
		{"development", Config{LiveKitYAML: []byte("development: true")}, "development"},
		{"bind", Config{LiveKitYAML: []byte("bind_addresses: [0.0.0.0]")}, "bind_addresses"},
		{"short secret", Config{Key: "k", Secret: "short"}, "at least 32"},
		{"short secret in YAML", Config{LiveKitYAML: []byte("keys: {k: short}")}, "at least 32"},
		{"key alone", Config{Key: "k"}, "both or neither"},
		{"bad address", Config{NodeIP: "here"}, "rtc.node_ip"},
		{"log levels", Config{LiveKitYAML: []byte("logging: {level: info, pion_level: error}")}, ""},
		{"bad level", Config{LiveKitYAML: []byte("logging: {level: loud}")}, "logging.level"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := tt.cfg.resolve()
			if list := tt.cfg.Check(); (len(list) > 0) != (err != nil) {
				t.Errorf("Check finds %v, Start %v", list, err)
			}
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want != "":
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want one with %q", err, tt.want)
				}
				if tt.cfg.Secret != "" && strings.Contains(err.Error(), tt.cfg.Secret+" ") {
					t.Fatalf("the error tells the secret: %v", err)
				}
				return
			}
			if r.livekit.Room.AutoCreate {
				t.Error("rooms are made on their own")
			}
			if r.livekit.RTC.NodeIPAutoGenerated || len(r.livekit.RTC.STUNServers) > 0 {
				t.Error("LiveKit would ask STUN servers")
			}
			if r.livekit.RTC.ICEPortRangeStart != 0 {
				t.Error("a port range instead of one port")
			}
			if len(r.secret) < minSecret || r.livekit.Keys[r.key] != r.secret {
				t.Error("no usable key")
			}
		})
	}
}

func TestConfigPrefersFields(t *testing.T) {
	t.Parallel()
	c := Config{
		LiveKitYAML: []byte("rtc: {udp_port: 7000, tcp_port: 7001, node_ip: 192.0.2.1}\nkeys: {other: 0123456789012345678901234567890123}"),
		Key:         testKey, Secret: testSecret,
		NodeIP: "192.0.2.2", UDPPort: 8000, TCPPort: NoPort,
	}
	r, err := c.resolve()
	if err != nil {
		t.Fatal(err)
	}
	rtc := r.livekit.RTC
	if rtc.NodeIP.V4 != "192.0.2.2" || rtc.UDPPort.Start != 8000 || rtc.TCPPort != 0 {
		t.Errorf("address %v, udp %v, tcp %v", rtc.NodeIP, rtc.UDPPort, rtc.TCPPort)
	}
	if r.key != testKey || len(r.livekit.Keys) != 2 {
		t.Error("the key of the field signs, and the others stay valid")
	}
}

func TestLogLevels(t *testing.T) {
	var text strings.Builder
	setLogger(sink{slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})), slog.LevelWarn, silent})
	defer setLogger(sink{slog.New(slog.DiscardHandler), slog.LevelError, silent})
	l := lklog.New(current{})
	l.Infow("not this")
	l.WithComponent("pion").Errorw("not this", nil)
	l.Warnw("this", errors.New("why"), "n", 1)
	got := text.String()
	if strings.Contains(got, "not this") || !strings.Contains(got, `level=WARN msg=this n=1 error=why`) {
		t.Errorf("log is %q", got)
	}
}

func TestNewKey(t *testing.T) {
	t.Parallel()
	k1, s1 := NewKey()
	k2, s2 := NewKey()
	if k1 == k2 || s1 == s2 || len(s1) < minSecret {
		t.Errorf("keys %q %q, secrets of %d and %d characters", k1, k2, len(s1), len(s2))
	}
}
