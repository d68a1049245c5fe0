package gapfill_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// FuzzRoute: no path confuses it, and what is delayed is never handed on.
func FuzzRoute(f *testing.F) {
	for _, p := range []string{
		"/_matrix/client/versions", stateURL, sendURL + "1", unstable + "/delayed_events/x/send", unstable + "/rooms/!r/delayed_event/t/1",
		"/_matrix/client/v1/delayed_events", "/_matrix/client/v3/rooms/!a%2Fb/state/t/%2F", "/_matrix/client/api/v1/rooms/!r/send/t/1",
		"/_matrix/client//rooms/!r/send/t/1", "/_matrix/client/v3/rooms/%/send/t/1", "/_matrix/client/unstable/org.matrix.msc4140",
	} {
		for _, m := range []string{"GET", "PUT", "POST", "OPTIONS"} {
			f.Add(m, p, "org.matrix.msc4140.delay=5")
			f.Add(m, p, "")
		}
	}
	f.Fuzz(func(t *testing.T, method, path, rawQuery string) {
		query, _ := url.ParseQuery(rawQuery)
		kind, room, typ, key, txn, id, action, state := gapfill.Route(method, path, query)
		delays := query.Has("delay") || query.Has("org.matrix.msc4140.delay")
		if rest, ok := strings.CutPrefix(path, "/_matrix/client/v3/rooms/"); ok && kind == gapfill.KindPass && delays && method == http.MethodPut {
			segs := strings.Split(rest, "/")
			if _, err := url.PathUnescape(path); err == nil && len(segs) >= 3 && (segs[1] == "send" || segs[1] == "state") {
				t.Errorf("%s is handed on", path)
			}
		}
		switch kind {
		case gapfill.KindSchedule, gapfill.KindState:
			// Written again, it leads to the same place.
			again := "/_matrix/client/v3/rooms/" + url.PathEscape(room)
			switch {
			case kind == gapfill.KindSchedule && !delays:
				again += "/delayed_event/" + url.PathEscape(typ) + "/" + url.PathEscape(txn)
			case state:
				again += "/state/" + url.PathEscape(typ) + "/" + url.PathEscape(key)
			default:
				return
			}
			k2, r2, t2, s2, x2, _, _, st2 := gapfill.Route(method, again, query)
			if k2 != kind || r2 != room || t2 != typ || s2 != key || st2 != state || !state && x2 != txn {
				t.Errorf("%q is %d %q %q %q; %q is %d %q %q %q", path, kind, room, typ, key, again, k2, r2, t2, s2)
			}
		case gapfill.KindManage, gapfill.KindLook:
			if id == "" {
				t.Errorf("%q: no id for %q", path, action)
			}
		}
	})
}

// fuzzSite is a Service for fuzzing.
func fuzzSite(f *testing.F) (*gapfill.Service, *fakeHS) {
	hs := newFakeHS()
	store, err := gapfill.OpenStore("")
	if err != nil {
		f.Fatal(err)
	}
	opts := &gapfill.Options{Transport: hs, MaxScheduled: 50}
	opts.UserRate.PerSecond, opts.AddressRate.PerSecond = -1, -1
	svc, err := gapfill.New(gapfill.Config{Homeserver: "http://hs.test", Store: store, Key: testKey, Mode: gapfill.On}, opts)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := svc.Close(); err != nil {
			f.Error(err)
		}
		if err := store.Close(); err != nil {
			f.Error(err)
		}
	})
	return svc, hs
}

// ask asks and checks what every answer must be: JSON, with a Matrix error unless
// it is 200.
func ask(t *testing.T, svc *gapfill.Service, method, target, body string) (status int, answer map[string]any) {
	t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer alice-token")
	w := httptest.NewRecorder()
	svc.Handler().ServeHTTP(w, req)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if code, _ := answer["errcode"].(string); w.Code != http.StatusOK && !strings.HasPrefix(code, "M_") || w.Code >= 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	return w.Code, answer
}

// FuzzSchedule: bodies of both forms.
func FuzzSchedule(f *testing.F) {
	svc, hs := fuzzSite(f)
	for _, b := range []string{`{}`, ``, `{"delay_ms":60000,"content":{}}`, `{"delay_ms":1e3,"content":{},"state_key":"x"}`, `[[[[`, `{"a":"\ud800"}`, `{"delay_ms":60000,"delay_ms":-1,"content":{"":0}}`} {
		f.Add(true, "60000", b)
		f.Add(false, "60000", b)
		f.Add(false, "-1", b)
	}
	f.Fuzz(func(t *testing.T, endpoint bool, delay, body string) {
		target := unstable + "/rooms/!r:hs/delayed_event/t/" + url.PathEscape("x"+body)
		if !endpoint {
			target = "/_matrix/client/v3/rooms/!r:hs/state/t/k?org.matrix.msc4140.delay=" + url.QueryEscape(delay)
		}
		if len(target) > 1<<16 {
			return
		}
		status, answer := ask(t, svc, http.MethodPut, target, body)
		if id, _ := answer["delay_id"].(string); (status == http.StatusOK) != (id != "") {
			t.Errorf("%d %v", status, answer)
		} else if id != "" {
			if status, _ := ask(t, svc, http.MethodPost, unstable+"/delayed_events/"+id+"/cancel", ""); status != http.StatusOK && status != http.StatusNotFound {
				t.Errorf("cancel: %d", status)
			}
			one, item := ask(t, svc, http.MethodGet, unstable+"/delayed_events/"+id, "")
			if one != http.StatusOK || item["content"] == nil || item["type"] != "t" {
				t.Errorf("look: %d %v", one, item)
			}
		}
		hs.set(func(h *fakeHS) { h.sent, h.requests, h.seen = nil, nil, nil })
	})
}

// FuzzManage: ids, actions and bodies.
func FuzzManage(f *testing.F) {
	svc, _ := fuzzSite(f)
	for _, b := range []string{``, `{}`, `{"action":"send"}`, `{"action":"se\u006ed"}`, `{"action":["send"]}`, `nil`} {
		f.Add("x", "", b)
		f.Add("x", "/restart", b)
		f.Add("..", "/cancel", b)
	}
	f.Fuzz(func(t *testing.T, id, action, body string) {
		target := unstable + "/delayed_events/" + url.PathEscape(id) + action
		if _, err := url.ParseRequestURI(target); err != nil || strings.ContainsAny(target, " \t\r\n#") {
			return
		}
		if status, answer := ask(t, svc, http.MethodPost, target, body); status == http.StatusOK {
			t.Errorf("acted upon nothing: %v", answer)
		}
	})
}

// FuzzVersions: whatever the homeserver says, the answer is JSON that says what we
// add, or an error.
func FuzzVersions(f *testing.F) {
	svc, hs := fuzzSite(f)
	for _, b := range []string{`{"versions":["v1.1"]}`, `{"unstable_features":null}`, `{"unstable_features":{"org.matrix.msc4140":false}}`, `[]`, `null`, `{"unstable_features":7}`, `{}{}`} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body string) {
		hs.set(func(h *fakeHS) {
			h.requests, h.seen = nil, nil
			h.instead = func(*http.Request) (int, http.Header, string) { return 200, nil, body }
		})
		w := httptest.NewRecorder()
		svc.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_matrix/client/versions", nil))
		var answer struct {
			Features map[string]any `json:"unstable_features"`
			Code     string         `json:"errcode"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil && w.Code != 200 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		if w.Code == 200 && answer.Features["org.matrix.msc4140"] != true || w.Code != 200 && (w.Code != 502 || answer.Code != "M_UNKNOWN") {
			t.Errorf("%q becomes %d %s", body, w.Code, w.Body)
		}
	})
}
