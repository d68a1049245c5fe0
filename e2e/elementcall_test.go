package e2e

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/internal/stage"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

//go:embed testdata/elementcall
var hostPage embed.FS

// keepConnections makes the connections of the page visible to its host.
const keepConnections = `<script>
window.connections = [];
window.RTCPeerConnection = class extends window.RTCPeerConnection {
  constructor(...args) { super(...args); window.connections.push(this); }
};
</script>`

// elementCall serves the real Element Call in a host page of ours, and returns
// its address.
func elementCall(t *testing.T, service string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	call, err := devstack.ElementCall.Fetch(ctx)
	if err != nil {
		t.Skipf("needs Element Call: apt-get install npm (%v)", err)
	}
	widget, err := devstack.WidgetAPI.Fetch(ctx)
	if err != nil {
		t.Skipf("needs matrix-widget-api: apt-get install npm (%v)", err)
	}
	index, err := os.ReadFile(filepath.Join(call, "dist", "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	index = bytes.Replace(index, []byte("<head>"), []byte("<head>"+keepConnections), 1)
	config, err := json.Marshal(map[string]any{"livekit": map[string]string{"livekit_service_url": service}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	serve := func(path, kind string, body []byte) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(body)
		})
	}
	serve("/call/{$}", "text/html; charset=utf-8", index)
	serve("/call/config.json", "application/json", config)
	mux.Handle("GET /call/", http.StripPrefix("/call/", http.FileServer(http.Dir(filepath.Join(call, "dist")))))
	mux.HandleFunc("GET /widget-api.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(widget, "dist", "api.js"))
	})
	for path, kind := range map[string]string{"host.html": "text/html; charset=utf-8", "host.js": "text/javascript"} {
		body, err := hostPage.ReadFile("testdata/elementcall/" + path)
		if err != nil {
			t.Fatal(err)
		}
		serve("/"+path, kind, body)
	}
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	// A secure context, so that there are cameras.
	_, port, err := net.SplitHostPort(web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "http://localhost:" + port
}

// guest is a user in a browser.
type guest struct {
	*pagetest.Tab
	user string
}

// openCall opens Element Call in a tab, as a new user.
func openCall(t *testing.T, b *pagetest.Browser, site, homeserverURL string, a devstack.Account, room matrixrtc.RoomID, params map[string]string) *guest {
	t.Helper()
	hash, err := json.Marshal(map[string]any{
		"base": homeserverURL, "token": a.AccessToken, "user": a.UserID, "device": a.DeviceID,
		"room": room, "params": params,
	})
	if err != nil {
		t.Fatal(err)
	}
	tab := b.Open(t, site+"/host.html#"+url.PathEscape(string(hash)))
	tab.MayComplain = true // it does, of much that does not concern us
	return &guest{tab, a.UserID}
}

// state is what there is to tell of a tab.
const state = `JSON.stringify({heard, actions, failures, text: frame.contentDocument?.body?.innerText}, null, 1)`

// receives waits until it hears and sees others, and goes on seeing them.
func (g *guest) receives(t *testing.T, others int) {
	t.Helper()
	defer func() {
		if t.Failed() {
			text, err := pagetest.Try[string](g.Tab, state)
			t.Log(g.user, text, err)
		}
	}()
	g.Until(time.Minute, fmt.Sprintf("heard.voices >= %d && heard.pictures >= %[1]d", others))
	was := pagetest.Eval[float64](g.Tab, "heard.frames")
	g.Until(30*time.Second, fmt.Sprintf("heard.frames > %g", was+20))
}

// TestElementCall: the real Element Call, twice in a browser, in a room without
// encryption, through our authorization service and our SFU.
func TestElementCall(t *testing.T) {
	t.Parallel()
	browser := pagetest.Start(t, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream",
		"allow-loopback-in-peer-connection", "disable-background-timer-throttling",
		"disable-backgrounding-occluded-windows", "disable-renderer-backgrounding")
	s, err := stage.Start(t.Context(), &stage.Options{Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	site := elementCall(t, s.PublicURL()+"/livekit/jwt")
	var guests []*guest
	for _, name := range []string{"anna", "ben"} {
		a, err := s.Homeserver().Register(t.Context(), name, "a password of a test")
		if err != nil {
			t.Fatal(err)
		}
		hs, err := homeserver.WithToken(t.Context(), s.Homeserver().URL(), a.AccessToken, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hs.Join(t.Context(), string(s.Room())); err != nil {
			t.Fatal(err)
		}
		guests = append(guests, openCall(t, browser, site, s.Homeserver().URL(), a, s.Room(), nil))
	}
	for _, g := range guests {
		g.receives(t, 1)
	}

	// A client of ours among them.
	bot, err := s.Cast(t.Context(), stage.Role{Name: "cleo", Dialect: matrixrtc.Call, Intent: "video", Sources: func() []media.Source {
		return []media.Source{samples.Tone(true), samples.Picture(true)}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := bot.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, g := range guests {
		g.receives(t, 2)
	}
	rtctest.Eventually(t, time.Minute, "our client hears and sees both", func() (bool, string) {
		flows := bot.Received()
		n := 0
		for _, tally := range flows {
			if tally.Frames > 20 {
				n++
			}
		}
		return n == 4, fmt.Sprint(flows)
	})

	members := func() (all []string) {
		for _, session := range s.Sessions() {
			for m := range session.All() {
				all = append(all, string(m.User))
			}
		}
		return all
	}
	rtctest.Eventually(t, 10*time.Second, "all are members", func() (bool, string) {
		return len(members()) == 3, fmt.Sprint(members())
	})
	pagetest.Eval[any](guests[1].Tab, "hangUp().then(() => 1)")
	rtctest.Eventually(t, 20*time.Second, "who hangs up is gone", func() (bool, string) {
		return len(members()) == 2 && !slices.Contains(members(), guests[1].user), fmt.Sprint(members())
	})
}
