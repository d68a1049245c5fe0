package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	hsclient "github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// gapSite is a site with gap-fill and with an SFU elsewhere, which these tests do
// not need.
func gapSite(t *testing.T, g GapFill) *Config {
	if g.Store == "" && g.Redis == "" {
		g.Store = filepath.Join(t.TempDir(), "delayed.db")
	}
	return &Config{
		FullAccess: Names{"*"}, SFU: SFU{URL: "ws://127.0.0.1:1", Key: "k", Secret: longSecret}, GapFill: g,
	}
}

// gapRoom is a room that alice, who uses the site, and bob, who uses the
// homeserver itself, are in.
type gapRoom struct {
	t          *testing.T
	alice, bob *hsclient.Client
	id         matrixrtc.RoomID
}

func newGapRoom(t *testing.T, site, hs string) *gapRoom {
	t.Helper()
	r := &gapRoom{t: t}
	r.alice, r.bob = homeservertest.Register(t, site, "alice"), homeservertest.Register(t, hs, "bob")
	var err error
	if r.id, err = r.alice.CreateRoom(t.Context(), hsclient.NewRoom{Name: "gap", Public: true, Levels: hsclient.MemberLevels()}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.bob.Join(t.Context(), string(r.id)); err != nil {
		t.Fatal(err)
	}
	return r
}

const callMember = "org.matrix.msc3401.call.member"

// member is alice's membership for a device, as an event; content {} is a leave.
func (r *gapRoom) member(device, content string) matrixrtc.Outgoing {
	user, _ := r.alice.Self()
	key := "_" + string(user) + "_" + device + "_m.call"
	return matrixrtc.Outgoing{Type: callMember, StateKey: &key, Content: json.RawMessage(content)}
}

// join has alice's leave held back and states her membership.
func (r *gapRoom) join(device string, delay time.Duration) (delayID string) {
	r.t.Helper()
	id, err := r.alice.Delay(r.t.Context(), r.id, r.member(device, "{}"), delay)
	if err != nil {
		r.t.Fatalf("schedule the leave of %s: %v", device, err)
	}
	if _, err := r.alice.Send(r.t.Context(), r.id, r.member(device, `{"application":"m.call"}`)); err != nil {
		r.t.Fatal(err)
	}
	return id
}

// stands is what bob sees of a device.
func (r *gapRoom) stands(device string) string {
	content, err := r.bob.StateContent(r.t.Context(), r.id, callMember, *r.member(device, "").StateKey)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

func (r *gapRoom) leaves(device string) {
	r.t.Helper()
	rtctest.Eventually(r.t, 60*time.Second, device+" leaves", func() (bool, string) {
		s := r.stands(device)
		return s == "{}", s
	})
}

// A client that knows nothing of the site but its address, as its homeserver's,
// finds delayed events; they are sent for who is killed, also if the site was not
// there when they were due.
func TestGapFillInFront(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	cfg := gapSite(t, GapFill{Mode: GapFillAuto, Upstream: hs.URL(), Proxy: true})
	site := serve(t, cfg, nil)
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = site.end()
		}
	})
	r := newGapRoom(t, site.URL(), hs.URL())

	alive := r.join("ALIVE", 2*time.Second)
	r.join("KILLED", 2*time.Second)
	// ALIVE says that it is alive until KILLED has left, and for longer than its
	// delay.
	began, restarted := time.Now(), time.Now()
	rtctest.Eventually(t, 60*time.Second, "who is killed leaves", func() (bool, string) {
		if time.Since(restarted) > 300*time.Millisecond {
			if err := r.alice.RestartDelayed(t.Context(), alive); err != nil {
				t.Fatal(err)
			}
			restarted = time.Now()
		}
		s := r.stands("KILLED")
		return s == "{}" && time.Since(began) > 3*time.Second, s
	})
	if s := r.stands("ALIVE"); !strings.Contains(s, "m.call") {
		t.Errorf("who is alive has left: %s", s)
	}
	transports, err := r.alice.Transports(t.Context())
	if err != nil || len(transports) != 1 || transports[0].Type != "livekit" {
		t.Errorf("transports: %v, %v", transports, err)
	}
	if _, body := site.do("GET", "/.well-known/matrix/client", ""); !strings.Contains(body, `{"base_url":"`+site.URL()+`"}`) {
		t.Errorf("clients are sent elsewhere: %s", body)
	}

	// The site goes, while ALIVE's leave waits and a client waits for news.
	waiting := make(chan error, 1)
	go func() { // ends with the site
		_, user := r.alice.Self()
		for _, err := range r.alice.Sync(t.Context(), "", nil) {
			if err != nil {
				waiting <- fmt.Errorf("%s: %w", user, err)
				return
			}
		}
	}()
	began = time.Now()
	stopped = true
	if err := site.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(began); took > shutdownTimeout-time.Second {
		t.Errorf("the end took %v: something was waited for", took)
	}
	again := serve(t, cfg, nil)
	defer func() {
		if err := again.end(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	r.leaves("ALIVE")
	select {
	case err := <-waiting:
		if err == nil {
			t.Error("a poll that was cut off has ended well")
		}
	case <-time.After(time.Minute):
		t.Error("a poll goes on without a site")
	}
	for _, secret := range []string{r.alice.Credentials().AccessToken, alive} {
		if strings.Contains(site.log.String()+again.log.String(), secret) {
			t.Error("the log holds a token or a delay id")
		}
	}
	for name, mode := range map[string]os.FileMode{cfg.GapFill.Store: 0o600, cfg.GapFill.Store + ".key": 0o600} {
		if info, err := os.Stat(name); err != nil || os.PathSeparator == '/' && info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// picking is a reverse proxy in front of homeserver and site that picks paths as
// docs/hosting.md tells nginx to.
func picking(t *testing.T, homeserver, site string) string {
	t.Helper()
	page := document(t, "../docs/hosting.md")
	var paths, byQuery []*regexp.Regexp
	for _, m := range regexp.MustCompile(`(?m)^location ~ (\S+) \{ proxy_pass (\S+); \}$`).FindAllStringSubmatch(page, -1) {
		if m[2] == "$events_to" {
			byQuery = append(byQuery, regexp.MustCompile(m[1]))
		} else {
			paths = append(paths, regexp.MustCompile(m[1]))
		}
	}
	query := regexp.MustCompile(`(?m)^    "~(\S+)" +http://127.0.0.1:8080;$`).FindStringSubmatch(page)
	if len(paths) < 4 || len(byQuery) != 1 || query == nil {
		t.Fatalf("docs/hosting.md has no such snippet any more: %v, %v, %q", paths, byQuery, query)
	}
	delays := regexp.MustCompile(query[1])
	to := func(base string) *httputil.ReverseProxy {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u); r.SetXForwarded() }}
	}
	hs, gap := to(homeserver), to(site)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		matches := func(list []*regexp.Regexp) bool {
			for _, re := range list {
				if re.MatchString(r.URL.Path) {
					return true
				}
			}
			return false
		}
		if matches(paths) || matches(byQuery) && delays.MatchString(r.URL.RawQuery) {
			gap.ServeHTTP(w, r)
			return
		}
		hs.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// With a reverse proxy that picks the paths clients find delayed events as well,
// and nothing but them is at the site.
func TestGapFillBesideHomeserver(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	site := serve(t, gapSite(t, GapFill{Mode: GapFillOn, Upstream: hs.URL()}), nil)
	defer func() {
		if err := site.end(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	r := newGapRoom(t, picking(t, hs.URL(), site.URL()), hs.URL())
	r.join("KILLED", time.Second)
	left := r.join("LEFT", time.Hour)
	r.leaves("KILLED")
	if err := r.alice.SendDelayed(t.Context(), left); err != nil {
		t.Error(err)
	}
	r.leaves("LEFT")
	if list, err := r.alice.DelayedEvents(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("still waiting: %v, %v", list, err)
	}
	if transports, err := r.alice.Transports(t.Context()); err != nil || len(transports) != 1 {
		t.Errorf("transports: %v, %v", transports, err)
	}
	for path, want := range map[string]int{
		"/_matrix/client/v3/sync": 404, "/_matrix/media/v3/config": 404, "/_matrix/client/versions": 200,
		"/_matrix/client/unstable/org.matrix.msc4140/delayed_events": 401, "/healthz": 200,
	} {
		if resp, body := site.do("GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
}

// Two sites share a Redis: what was scheduled at one is sent by the other when the
// first is gone.
func TestGapFillShared(t *testing.T) {
	t.Parallel()
	const password = "correct horse"
	redis := devstacktest.Redis(t, &devstack.RedisOptions{AppendOnly: true, Password: password})
	u, err := url.Parse(redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = nil
	hs := devstacktest.Dendrite(t, nil)
	g := GapFill{
		Mode: GapFillAuto, Upstream: hs.URL(), Proxy: true, KeyFile: filepath.Join(t.TempDir(), "key"),
		Redis: Secret(u.String()), RedisPasswordFile: write(t, "password", password+"\n"),
	}
	one, two := serve(t, gapSite(t, g), nil), serve(t, gapSite(t, g), nil)
	r := newGapRoom(t, one.URL(), hs.URL())
	r.join("DEVICE", 3*time.Second)
	if err := one.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	r.leaves("DEVICE")
	if err := two.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if log := one.log.String() + two.log.String(); strings.Contains(log, password) || strings.Contains(log, "at once") {
		t.Errorf("the log holds a password, or warns of a Redis that writes everything at once:\n%s", log)
	}
}

// A store or a key that cannot be used is said at the start, and where.
func TestGapFillCannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("this is a letter to my aunt, and neither database nor key, however long it is"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "delayed.db")
	for name, c := range map[string]struct {
		g    GapFill
		want string
	}{
		"store":        {GapFill{Store: file}, file},
		"folder":       {GapFill{Store: filepath.Join(file, "delayed.db")}, file},
		"key":          {GapFill{Store: good, KeyFile: file}, file},
		"no Redis":     {GapFill{Redis: "redis://127.0.0.1:1", RedisPassword: "hunter2", KeyFile: filepath.Join(dir, "key")}, "Redis at 127.0.0.1:1"},
		"no such mode": {GapFill{Store: good, Mode: "perhaps"}, "gapfill.mode"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.g.Upstream = "http://127.0.0.1:1"
			if c.g.Mode == "" {
				c.g.Mode = GapFillOn
			}
			cfg := gapSite(t, c.g)
			cfg.Listen = "127.0.0.1:0"
			s, err := New(cfg, nil)
			if err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				err = s.Serve(ctx)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
