package gapfill_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

var transports = []json.RawMessage{json.RawMessage(`{"type":"livekit","livekit_service_url":"https://rtc.example.org/livekit/jwt"}`)}

// TestVersions: what the homeserver says, and what we add.
func TestVersions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, func(c *gapfill.Config, _ *gapfill.Options) { c.Mode, c.Transports = gapfill.Auto, transports })
		r := s.do(http.MethodGet, "/_matrix/client/versions", "", "")
		features, _ := r.body["unstable_features"].(object)
		if r.status != 200 || features["org.matrix.msc4140"] != true || features["org.matrix.msc4143"] != true || features["org.example"] != true || r.body["versions"] == nil {
			t.Errorf("versions: %d %s", r.status, r.raw)
		}
		r = s.do(http.MethodGet, "/_matrix/client/v3/capabilities", "alice-token", "")
		all, _ := r.body["capabilities"].(object)
		for _, name := range []string{"m.delayed_events", "org.matrix.msc4140.delayed_events"} {
			if limits, _ := all[name].(object); limits["max_delay_ms"] != 86400000. || limits["max_delay"] != 86400000. || limits["max_scheduled"] != 100. {
				t.Errorf("%s: %s", name, r.raw)
			}
		}
		if all["m.room_versions"] == nil {
			t.Errorf("capabilities: %s", r.raw)
		}
		s.want("capabilities of nobody", s.do(http.MethodGet, "/_matrix/client/v3/capabilities", "", ""), 401, "M_UNKNOWN_TOKEN")
		for _, target := range []string{"/_matrix/client/v1/rtc/transports", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"} {
			s.want("transports for nobody", s.do(http.MethodGet, target, "", ""), 401, "M_MISSING_TOKEN")
			r := s.do(http.MethodGet, target, "alice-token", "")
			for _, key := range []string{"rtc_transports", "transports"} {
				if list, _ := r.body[key].([]any); len(list) != 1 || list[0].(object)["type"] != "livekit" {
					t.Errorf("%s: %s", key, r.raw)
				}
			}
		}
	})
}

// TestNative: where the homeserver has delayed events, it is asked.
func TestNative(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, func(c *gapfill.Config, _ *gapfill.Options) { c.Mode = gapfill.Auto })
		before := s.schedule("3600000")
		s.hs.set(func(h *fakeHS) { h.versions["unstable_features"] = object{"org.matrix.msc4140": true} })
		time.Sleep(5*time.Minute + time.Second)
		s.do(http.MethodGet, "/_matrix/client/versions", "", "") // time to ask again
		synctest.Wait()
		r := s.do(http.MethodPut, stateURL+"?org.matrix.msc4140.delay=1000", "alice-token", "{}")
		if r.body["event_id"] == nil { // of the homeserver in memory, which ignores the delay
			t.Errorf("not handed on: %s", r.raw)
		}
		n := s.hs.count("")
		s.want("list", s.do(http.MethodGet, unstable+"/delayed_events", "alice-token", ""), 404, "M_UNRECOGNIZED")
		s.want("restart of the homeserver's", s.act("other", "restart", "alice-token"), 404, "M_UNRECOGNIZED")
		if s.hs.count("") != n+2 {
			t.Error("not handed on")
		}
		s.want("restart of ours", s.act(before, "restart", "alice-token"), 200, "")
		if features := s.do(http.MethodGet, "/_matrix/client/versions", "", "").body["unstable_features"].(object); len(features) != 1 {
			t.Errorf("features: %v", features)
		}
	})
}

// TestOff: nothing is held back, but what was.
func TestOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		id := s.schedule("10000")
		s.stop()
		s.cfg.Mode = gapfill.Off
		s.start()
		if r := s.do(http.MethodPut, stateURL+"?org.matrix.msc4140.delay=1000", "alice-token", `{"at":"once"}`); r.body["event_id"] == nil {
			t.Errorf("not handed on: %s", r.raw)
		}
		time.Sleep(11 * time.Second)
		s.wantState(id, gapfill.Sent)
	})
}

// TestAPIAlone: without the proxy, what is not ours is not there.
func TestAPIAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		for target, want := range map[string]int{
			"/": 404, "/_matrix/client/v3/sync": 404, stateURL: 404, "/_matrix/client/versions": 200,
			unstable + "/delayed_events": 401, "/_matrix/client/v3/rooms/!r:hs/send/t/1": 404,
		} {
			w := httptest.NewRecorder()
			s.svc.API().ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			if w.Code != want {
				t.Errorf("%s: %d, want %d", target, w.Code, want)
			}
		}
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	store := openStore(t, "")
	defer store.Close()
	good := gapfill.Config{Homeserver: "http://localhost:8008/base/", Store: store, Key: testKey}
	for name, change := range map[string]func(*gapfill.Config){
		"":            func(*gapfill.Config) {},
		"no url":      func(c *gapfill.Config) { c.Homeserver = "" },
		"no scheme":   func(c *gapfill.Config) { c.Homeserver = "localhost:8008" },
		"other":       func(c *gapfill.Config) { c.Homeserver = "ftp://localhost" },
		"query":       func(c *gapfill.Config) { c.Homeserver = "http://localhost?a=b" },
		"user":        func(c *gapfill.Config) { c.Homeserver = "http://u:secret@localhost" },
		"no store":    func(c *gapfill.Config) { c.Store = nil },
		"no key":      func(c *gapfill.Config) { c.Key = nil },
		"short key":   func(c *gapfill.Config) { c.Key = testKey[1:] },
		"mode":        func(c *gapfill.Config) { c.Mode = "maybe" },
		"a transport": func(c *gapfill.Config) { c.Transports = []json.RawMessage{json.RawMessage(`7`)} },
	} {
		cfg := good
		change(&cfg)
		s, err := gapfill.New(cfg, nil)
		if (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}
