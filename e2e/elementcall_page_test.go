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
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
)

//go:embed testdata/elementcall
var hostPage embed.FS

// elementCall serves the real Element Call, with a configuration of ours, in a
// host page of ours, and returns its address.
func elementCall(t *testing.T, config map[string]any) string {
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
	index = bytes.Replace(index, []byte("<head>"), []byte(`<head><script src="/inside.js"></script>`), 1)
	settings, err := json.Marshal(config)
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
	serve("/call/config.json", "application/json", settings)
	mux.Handle("GET /call/", http.StripPrefix("/call/", http.FileServer(http.Dir(filepath.Join(call, "dist")))))
	mux.HandleFunc("GET /widget-api.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(widget, "dist", "api.js"))
	})
	for path, kind := range map[string]string{"host.html": "text/html; charset=utf-8", "host.js": "text/javascript", "inside.js": "text/javascript"} {
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
	hs   *homeserver.Client // the same account
	user matrixrtc.UserID
	name string
}

// invite opens Element Call in a browser of its own, as a new user who joins the
// call. Pages of one browser share its camera, which then stops at times when both
// open it anew.
func (h *household) invite(page, name string) *guest {
	h.t.Helper()
	browser := pagetest.Start(h.t, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream",
		"allow-loopback-in-peer-connection", "disable-background-timer-throttling",
		"disable-backgrounding-occluded-windows", "disable-renderer-backgrounding")
	hs := homeservertest.Register(h.t, h.base, name)
	homeservertest.Join(h.t, hs, h.room)
	creds := hs.Credentials()
	hash, err := json.Marshal(map[string]any{
		"base": h.base, "token": creds.AccessToken, "user": creds.UserID, "device": creds.DeviceID, "room": h.room,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	tab := browser.Open(h.t, page+"/host.html#"+url.PathEscape(string(hash)))
	tab.MayComplain = true // it does, of much that does not concern us
	return &guest{tab, hs, creds.UserID, name}
}

// told is what there is to tell of a tab.
const told = `JSON.stringify({heard, sent, asked: asked(), actions, failures, text: text()}, null, 1)`

// until waits for something in the tab, and tells all about it if it does not come.
func (g *guest) until(t *testing.T, within time.Duration, expression string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			text, err := pagetest.Try[string](g.Tab, told)
			t.Log(g.user, text, err)
			g.KeepPicture()
		}
	}()
	g.Until(within, expression)
}

// receives waits until it hears and sees so many others, and goes on seeing them.
func (g *guest) receives(t *testing.T, others int) {
	t.Helper()
	g.until(t, time.Minute, fmt.Sprintf("heard.voices >= %d && heard.pictures >= %[1]d", others))
	was := pagetest.Eval[float64](g.Tab, "heard.frames")
	g.until(t, 30*time.Second, fmt.Sprintf("heard.frames > %g", was+20))
}

// shows waits until another's name is on the page, or is not there any more.
func (g *guest) shows(t *testing.T, other *guest, want bool) {
	t.Helper()
	g.until(t, 20*time.Second, fmt.Sprintf("text().split(\"\\n\").includes(%q) === %v", other.name, want))
}

// delegatedDelay is how long Element Call has its leave held back if somebody else
// looks after it.
const delegatedDelay = time.Hour

// handsOver waits until the guest has handed its leave over to the service, which
// is the only one of its leaves that the homeserver holds back.
func (g *guest) handsOver(t *testing.T, h *household, endpoint string) {
	t.Helper()
	path := strings.TrimPrefix(h.service()+endpoint, h.site.URL())
	g.until(t, 20*time.Second, fmt.Sprintf("asked().some((a) => a.path === %q && a.delay_timeout === %d && a.status === 200)",
		path, delegatedDelay.Milliseconds()))
	if held := g.held(t); len(held) != 1 || held[0].After != delegatedDelay {
		t.Errorf("for %s the homeserver holds back %+v, want one leave, for %v", g.user, held, delegatedDelay)
	}
}

// held are the guest's events that the homeserver holds back.
func (g *guest) held(t *testing.T) []homeserver.DelayedEvent {
	t.Helper()
	list, err := g.hs.DelayedEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(e homeserver.DelayedEvent) bool { return e.Over })
}
