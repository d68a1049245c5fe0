package gapfill_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

const (
	memberType = "org.matrix.msc3401.call.member"
	aliceKey   = "_@alice:hs_ALICE_m.call"
	unstable   = "/_matrix/client/unstable/org.matrix.msc4140"
	stateURL   = "/_matrix/client/v3/rooms/!r:hs/state/" + memberType + "/" + aliceKey
)

var testKey = bytes.Repeat([]byte{7}, gapfill.KeySize)

// site is a Service over a homeserver in memory.
type site struct {
	t     *testing.T
	hs    *fakeHS
	svc   *gapfill.Service
	store gapfill.Store
	cfg   gapfill.Config
	opts  gapfill.Options
	logs  *rtctest.Log
}

// newSite makes one with a store in memory; change may change what it is made of.
// Call it within a bubble.
func newSite(t *testing.T, change func(*gapfill.Config, *gapfill.Options)) *site {
	t.Helper()
	s := &site{t: t, hs: newFakeHS(), logs: &rtctest.Log{}}
	s.store = openStore(t, "")
	s.cfg = gapfill.Config{Homeserver: "http://hs.test", Store: s.store, Key: testKey, Mode: gapfill.On}
	s.opts = gapfill.Options{Transport: s.hs, Logger: s.logs.Logger()}
	if change != nil {
		change(&s.cfg, &s.opts)
	}
	s.start()
	t.Cleanup(func() {
		s.stop()
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
		for _, secret := range []string{"alice-token", "bob-token", "alice-phone", "as-secret"} {
			if strings.Contains(s.logs.String(), secret) {
				t.Errorf("the log has a token: %s", s.logs)
			}
		}
	})
	return s
}

func (s *site) start() {
	s.t.Helper()
	svc, err := gapfill.New(s.cfg, &s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.svc = svc
}

// stop ends the Service as a shutdown does.
func (s *site) stop() {
	if s.svc != nil {
		if err := s.svc.Close(); err != nil {
			s.t.Error(err)
		}
	}
	s.svc = nil
}

// res is an answer.
type res struct {
	status int
	header http.Header
	raw    string
	body   object
}

func (r res) code() string {
	code, _ := r.body["errcode"].(string)
	return code
}

// do asks as a client: token may be empty.
func (s *site) do(method, target, token, body string) res {
	s.t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.RemoteAddr = "198.51.100.7:4242"
	return s.roundTrip(req, token)
}

func (s *site) roundTrip(req *http.Request, token string) res {
	s.t.Helper()
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.svc.Handler().ServeHTTP(w, req)
	out := w.Result()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := res{status: out.StatusCode, header: out.Header, raw: string(data)}
	_ = json.Unmarshal(data, &r.body) // some answers are not JSON
	return r
}

// schedule schedules alice's leave.
func (s *site) schedule(delay string) string {
	s.t.Helper()
	r := s.do(http.MethodPut, stateURL+"?org.matrix.msc4140.delay="+delay, "alice-token", "{}")
	id, _ := r.body["delay_id"].(string)
	if r.status != http.StatusOK || id == "" {
		s.t.Fatalf("schedule: %d %s", r.status, r.raw)
	}
	return id
}

// join sends alice's membership, past the site.
func (s *site) join() {
	s.t.Helper()
	s.put("alice-token", stateURL, `{"application":"m.call"}`)
}

// put sends an event to the homeserver, past the site.
func (s *site) put(token, path, body string) {
	s.t.Helper()
	req := httptest.NewRequest(http.MethodPut, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.hs.serve(w, req)
	if w.Code != http.StatusOK {
		s.t.Fatalf("put: %d %s", w.Code, w.Body)
	}
}

// act acts on a delayed event by the path.
func (s *site) act(id, action, token string) res {
	s.t.Helper()
	return s.do(http.MethodPost, unstable+"/delayed_events/"+id+"/"+action, token, "{}")
}

func (s *site) want(what string, r res, status int, code string) {
	s.t.Helper()
	if r.status != status || r.code() != code {
		s.t.Errorf("%s: %d %s, want %d %s", what, r.status, r.raw, status, code)
	}
}

// leaves counts alice's leaves at the homeserver.
func (s *site) leaves() (n int) {
	for _, e := range s.hs.events(memberType) {
		if len(e["content"].(object)) == 0 {
			n++
		}
	}
	return n
}

// wantLeaves checks how many there are once everything has settled.
func (s *site) wantLeaves(what string, want int) {
	s.t.Helper()
	synctest.Wait()
	if n := s.leaves(); n != want {
		s.t.Errorf("%s: %d leaves were sent, want %d", what, n, want)
	}
}

// kept is what the store says of an event.
func (s *site) kept(id string) *gapfill.Delayed {
	s.t.Helper()
	d, err := s.store.Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// wantState checks how far an event has come, and that its token is gone if it is
// over.
func (s *site) wantState(id string, want gapfill.State) {
	s.t.Helper()
	synctest.Wait()
	d := s.kept(id)
	if d.State != want || d.State.Final() && len(d.Token) > 0 {
		s.t.Errorf("the event is %s (%s), want %s; %d bytes of its token are kept", d.State, d.Error, want, len(d.Token))
	}
}

// bubble runs a test in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}
