package sfu

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
)

// roomService is LiveKit's own reading of what it is asked.
type roomService struct {
	livekit.RoomService
	asked chan *livekit.CreateRoomRequest
}

func (s *roomService) CreateRoom(_ context.Context, r *livekit.CreateRoomRequest) (*livekit.Room, error) {
	if r.Name == "forbidden" {
		return nil, twirp.PermissionDenied.Error("not that one")
	}
	s.asked <- r
	return &livekit.Room{Sid: "RM_1", Name: r.Name}, nil
}

// serveRooms starts a room service below a prefix, and counts its connections.
func serveRooms(t *testing.T, s *roomService, tls bool) (web *httptest.Server, connections *atomic.Int32) {
	t.Helper()
	service := livekit.NewRoomServiceServer(s, twirp.WithServerPathPrefix("/below/twirp"))
	connections = new(atomic.Int32)
	web = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		v, err := auth.ParseAPIToken(token)
		if err != nil {
			t.Error(err)
			return
		}
		claims, grants, err := v.Verify(testSecret)
		if err != nil || v.APIKey() != testKey {
			t.Errorf("a token of %s: %v", v.APIKey(), err)
			return
		}
		if g := *grants.Video; !g.RoomCreate || g.RoomAdmin || g.RoomList || g.RoomJoin || g.Room != "" {
			t.Errorf("granted %+v", g)
		}
		if left := time.Until(claims.ExpiresAt.Time); left < 25*time.Second || left > createToken+time.Second {
			t.Errorf("the token is good for %v", left)
		}
		if r.Host != web.Listener.Addr().String() {
			t.Errorf("host %s", r.Host)
		}
		service.ServeHTTP(w, r)
	}))
	web.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	if tls {
		web.StartTLS()
	} else {
		web.Start()
	}
	t.Cleanup(web.Close)
	return web, connections
}

// LiveKit reads what we write, over one connection.
func TestCreateRoom(t *testing.T) {
	t.Parallel()
	for name, tls := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &roomService{asked: make(chan *livekit.CreateRoomRequest, 1)}
			web, connections := serveRooms(t, s, tls)
			conf := web.Client().Transport.(*http.Transport).TLSClientConfig
			rooms := NewRooms(web.URL+"/below/", testKey, testSecret, &http.Client{Transport: &http.Transport{TLSClientConfig: conf}})
			if rooms.creator == nil {
				t.Fatal("rooms would be made by LiveKit's client")
			}
			defer rooms.CloseIdle()
			for _, name := range []string{"J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU", "", strings.Repeat("é", 300)} {
				if err := rooms.CreateRoom(t.Context(), name); err != nil {
					t.Fatal(err)
				}
				got := <-s.asked
				if got.Name != name || got.EmptyTimeout != 300 || got.DepartureTimeout != 20 || len(got.ProtoReflect().GetUnknown()) > 0 {
					t.Errorf("asked for %v, want %q", got, name)
				}
			}
			err := rooms.CreateRoom(t.Context(), "forbidden")
			var te twirp.Error
			if !errors.As(err, &te) || te.Code() != twirp.PermissionDenied || te.Msg() != "not that one" {
				t.Errorf("%v, want what LiveKit has said", err)
			}
			if err := rooms.CreateRoom(t.Context(), "after the error"); err != nil || (<-s.asked).Name != "after the error" {
				t.Error(err)
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
			web.CloseClientConnections() // as after a restart
			if err := rooms.CreateRoom(t.Context(), "after a restart"); err != nil || (<-s.asked).Name != "after a restart" {
				t.Error(err)
			}
			if n := connections.Load(); n != 2 {
				t.Errorf("%d connections after a restart", n)
			}
		})
	}
}

// What is there instead of a LiveKit is not taken for one.
func TestCreateRoomElsewhere(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/moved/") {
			http.Redirect(w, r, "/page/", http.StatusTemporaryRedirect)
			return
		}
		_, _ = w.Write([]byte("<html>It works!"))
	}))
	defer web.Close()
	for path, want := range map[string]string{"/page": "is no LiveKit", "/moved": "status 307"} {
		rooms := NewRooms(web.URL+path, testKey, testSecret, &http.Client{Transport: &http.Transport{}})
		err := rooms.CreateRoom(t.Context(), "r")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Bearer") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		rooms.CloseIdle()
	}
}

// Where a connection is not all there is to it, LiveKit's client does it.
func TestNoCreator(t *testing.T) {
	t.Parallel()
	proxy := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"})}
	dials := &http.Transport{DialContext: new(net.Dialer).DialContext}
	for _, c := range []struct {
		url    string
		client *http.Client
		want   bool
	}{
		{"http://sfu.example", &http.Client{Transport: &http.Transport{}}, true},
		{"https://[2001:db8::1]:7880/x", &http.Client{Transport: &http.Transport{}}, true},
		{"http://sfu.example", &http.Client{}, false},
		{"http://sfu.example", &http.Client{Transport: proxy}, false},
		{"http://sfu.example", &http.Client{Transport: dials}, false},
		{"ws://sfu.example", &http.Client{Transport: &http.Transport{}}, false},
		{"http://münchen.example", &http.Client{Transport: &http.Transport{}}, false},
	} {
		if got := newCreator(c.url, testKey, testSecret, c.client) != nil; got != c.want {
			t.Errorf("%s %+v: %v, want %v", c.url, c.client, got, c.want)
		}
	}
}

// A token is used for half its life.
func TestCreatorSignsAnew(t *testing.T) {
	t.Parallel()
	c := newCreator("http://sfu.example", testKey, testSecret, &http.Client{Transport: &http.Transport{}})
	at := func(now time.Time) string {
		head, err := c.begin(now)
		if err != nil {
			t.Fatal(err)
		}
		return string(head)
	}
	start := time.Now()
	first := at(start)
	c.head = append([]byte(nil), c.head...)
	if at(start.Add(29*time.Second)) != first {
		t.Error("signed anew before its time")
	}
	before := &c.head[0]
	at(start.Add(31 * time.Second))
	if &c.head[0] == before {
		t.Error("not signed anew after half its life")
	}
}

// A room over a connection that is kept; what the SFU does beside it costs next to
// nothing.
func BenchmarkCreateRoom(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener and its one connection
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4<<10)
		for {
			if _, err := c.Read(buf); err != nil { // a request comes in one piece
				return
			}
			if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/protobuf\r\nContent-Length: 0\r\n\r\n")); err != nil {
				return
			}
		}
	}()
	rooms := NewRooms("http://"+l.Addr().String(), testKey, testSecret, &http.Client{Transport: &http.Transport{}})
	defer rooms.CloseIdle()
	b.ReportAllocs()
	for b.Loop() {
		if err := rooms.CreateRoom(b.Context(), "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"); err != nil {
			b.Fatal(err)
		}
	}
}

// What LiveKit, or whatever stands before it, refuses is told with what to do about it,
// and never with the token that was refused.
func TestCreateRoomRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   func(token string) string
		want   string
	}{
		"another secret":      {401, func(token string) string { return "invalid token: " + token + ", error: no such key" }, "LIVEKIT_SECRET"},
		"another secret, RPC": {401, func(token string) string { return `{"code":"unauthenticated","msg":"invalid token: ` + token + `"}` }, "unauthenticated"},
		"another place":       {404, func(string) string { return "<html>nothing here</html>" }, "LIVEKIT_URL"},
		"a proxy alone":       {502, func(string) string { return "" }, "does not reach it"},
		"something else":      {418, func(string) string { return "" }, "status 418"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var token string
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body(token)))
			}))
			defer web.Close()
			rooms := NewRooms(web.URL, testKey, testSecret, &http.Client{Transport: &http.Transport{}})
			defer rooms.CloseIdle()
			err := rooms.CreateRoom(t.Context(), "x")
			if err == nil || !strings.Contains(err.Error(), c.want) || token == "" || strings.Contains(err.Error(), token[:20]) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
