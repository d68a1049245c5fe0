package auth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

const (
	csToken    = "/_matrix/client/v1/rtc/livekit/get_token"
	csTokenOld = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/get_token"
	csDelegate = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/delegate_delayed_leave"
	ssToken    = "/_matrix/federation/v1/rtc/livekit/get_token"
	ssTokenOld = "/_matrix/federation/unstable/io.element.msc4195/rtc/livekit/get_token"
)

// head is what a request says of who makes it.
type head map[string][]string

func fromUser(user string) head {
	return head{"Authorization": {"Bearer " + string(hsToken)}, authapi.HeaderUser: {user}}
}

func fromServer(server string) head {
	return head{"Authorization": {"Bearer " + string(hsToken)}, authapi.HeaderOrigin: {server}}
}

func byToken(token string) head { return head{"Authorization": {"Bearer " + token}} }

func (s *homeSite) request(method, path, body string, h head) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for name, values := range h {
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const (
	homeBody  = `{"url":"wss://sfu.example.org","room_id":"!room:x","slot_id":"m.call#ROOM","member_id":"m1"}`
	peerBody  = `{"user_id":"@bob:two.example",` + homeBodyRest
	delayBody = `{"delay_id":"d1",` + homeBodyRest

	homeBodyRest = `"url":"wss://sfu.example.org","room_id":"!room:x","slot_id":"m.call#ROOM","member_id":"m1"}`
)

// What the endpoints of homeservers answer (docs/protocol.md, "The authorization
// service").
func TestHomeStatuses(t *testing.T) {
	t.Parallel()
	ann := fromUser("@ann:one.example")
	without := func(body, field string) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, field)
		out, _ := json.Marshal(m)
		return string(out)
	}
	withOf := func(body, more string) string { return body[:len(body)-1] + "," + more + "}" }
	for _, c := range []struct {
		name, method, path, body string
		head                     head
		status                   int
		code                     string
		rooms                    int
		home                     func(*fakeHome)
	}{
		{"passed on", "POST", csToken, homeBody, ann, 200, "", 1, nil},
		{"unstable", "POST", csTokenOld, homeBody, ann, 200, "", 1, nil},
		{"own token", "POST", csToken, homeBody, byToken("token-ann"), 200, "", 1, nil},
		{"member object", "POST", csToken, withOf(without(homeBody, "member_id"), `"member":{"id":"m1","claimed_device_id":"D"}`), ann, 200, "", 1, nil},
		{"no url, as in earlier texts", "POST", csToken, without(homeBody, "url"), ann, 200, "", 1, nil},
		{"one's own server named", "POST", csToken, withOf(homeBody, `"server_name":"one.example"`), ann, 200, "", 1, nil},
		{"fields that nobody knows", "POST", csToken, withOf(homeBody, `"x":1`), ann, 200, "", 1, nil},
		{"old homeserver", "POST", csToken, homeBody, ann, 200, "", 1, func(h *fakeHome) { h.noJoined = true }},
		{"old homeserver, own token", "POST", csToken, homeBody, byToken("token-ann"), 200, "", 1, func(h *fakeHome) { h.noJoined = true }},
		{"no token", "POST", csToken, homeBody, nil, 401, "M_MISSING_TOKEN", 0, nil},
		{"no bearer", "POST", csToken, homeBody, head{"Authorization": {"Basic x"}}, 401, "M_MISSING_TOKEN", 0, nil},
		{"unknown token", "POST", csToken, homeBody, byToken("stolen"), 401, "M_UNKNOWN_TOKEN", 0, nil},
		{"nobody named", "POST", csToken, homeBody, byToken(string(hsToken)), 401, "M_UNAUTHORIZED", 0, nil},
		{"not a user id", "POST", csToken, homeBody, fromUser("ann"), 400, "M_INVALID_PARAM", 0, nil},
		{"another server's user", "POST", csToken, homeBody, fromUser("@bob:two.example"), 400, "M_INVALID_PARAM", 0, nil},
		{"not JSON", "POST", csToken, "{", ann, 400, "M_NOT_JSON", 0, nil},
		{"empty body", "POST", csToken, "", ann, 400, "M_NOT_JSON", 0, nil},
		{"no room_id", "POST", csToken, without(homeBody, "room_id"), ann, 400, "M_BAD_JSON", 0, nil},
		{"no slot_id", "POST", csToken, without(homeBody, "slot_id"), ann, 400, "M_BAD_JSON", 0, nil},
		{"no member", "POST", csToken, without(homeBody, "member_id"), ann, 400, "M_BAD_JSON", 0, nil},
		{"member without id", "POST", csToken, withOf(without(homeBody, "member_id"), `"member":{}`), ann, 400, "M_BAD_JSON", 0, nil},
		{"two members", "POST", csToken, withOf(homeBody, `"member":{"id":"m2"}`), ann, 400, "M_BAD_JSON", 0, nil},
		{"another SFU", "POST", csToken, strings.Replace(homeBody, "sfu.", "other.", 1), ann, 400, "M_INVALID_PARAM", 0, nil},
		{"not in the room", "POST", csToken, homeBody, fromUser("@eve:one.example"), 403, "M_FORBIDDEN", 0, nil},
		{"not in the room, old homeserver", "POST", csToken, homeBody, fromUser("@eve:one.example"), 403, "M_FORBIDDEN", 0, func(h *fakeHome) { h.noJoined = true }},
		{"not in the room, own token", "POST", csToken, homeBody, byToken("token-eve"), 403, "M_FORBIDDEN", 0, nil},
		{"the service may not ask", "POST", csToken, homeBody, ann, 502, "M_UNKNOWN", 0, func(h *fakeHome) { h.noJoined, h.noAssert = true, true }},
		{"homeserver down", "POST", csToken, homeBody, ann, 502, "M_UNKNOWN", 0, func(h *fakeHome) { h.down = true }},
		{"homeserver down, own token", "POST", csToken, homeBody, byToken("token-ann"), 502, "M_UNKNOWN", 0, func(h *fakeHome) { h.down = true }},
		{"GET", "GET", csToken, "", ann, 405, "", 0, nil},
		{"OPTIONS", "OPTIONS", csToken, "", nil, 200, "", 0, nil},

		{"relayed", "POST", csToken, withOf(homeBody, `"server_name":"two.example"`), ann, 200, "", 0, nil},
		{"relayed, not in the room", "POST", csToken, withOf(homeBody, `"server_name":"two.example"`), fromUser("@eve:one.example"), 403, "M_FORBIDDEN", 0, nil},
		{"relayed to a server outside the room", "POST", csToken, withOf(homeBody, `"server_name":"three.example"`), ann, 403, "M_FORBIDDEN", 0, nil},
		{"relayed to no server", "POST", csToken, withOf(homeBody, `"server_name":"two.example/x"`), ann, 400, "M_INVALID_PARAM", 0, nil},
		{"nobody relays", "POST", csToken, withOf(homeBody, `"server_name":"two.example"`), ann, 502, "M_UNKNOWN", 0, func(h *fakeHome) { h.noProxy = true }},
		{"relayed, refused", "POST", csToken, withOf(homeBody, `"server_name":"two.example"`), ann, 403, "M_FORBIDDEN", 0, func(h *fakeHome) { h.relayed = `{"status":403,"content":{"errcode":"M_FORBIDDEN"}}` }},
		{"relayed, no such SFU", "POST", csToken, withOf(homeBody, `"server_name":"two.example"`), ann, 400, "M_INVALID_PARAM", 0, func(h *fakeHome) { h.relayed = `{"status":400,"content":{"errcode":"M_INVALID_PARAM"}}` }},
		{"relayed, anything else", "POST", csToken, withOf(homeBody, `"server_name":"two.example"`), ann, 502, "M_UNKNOWN", 0, func(h *fakeHome) { h.relayed = `{"status":401,"content":{"errcode":"M_UNAUTHORIZED"}}` }},
		{"relayed, garbage", "POST", csToken, withOf(homeBody, `"server_name":"two.example"`), ann, 502, "M_UNKNOWN", 0, func(h *fakeHome) { h.relayed = `{"status":200,"content":[]}` }},

		{"delegated", "POST", csDelegate, delayBody, ann, 200, "", 0, nil},
		{"delegated, own token", "POST", csDelegate, delayBody, byToken("token-ann"), 200, "", 0, nil},
		{"delegated, a homeserver that lists", "POST", csDelegate, delayBody, ann, 200, "", 0, func(h *fakeHome) { h.oldDelays = true }},
		{"probe", "POST", csDelegate, "", nil, 401, "M_MISSING_TOKEN", 0, nil},
		{"no delay_id", "POST", csDelegate, homeBody, ann, 400, "M_BAD_JSON", 0, nil},
		{"unknown delay_id", "POST", csDelegate, strings.Replace(delayBody, "d1", "d2", 1), ann, 400, "M_INVALID_PARAM", 0, nil},
		{"somebody else's delay_id", "POST", csDelegate, delayBody, fromUser("@eve:one.example"), 400, "M_INVALID_PARAM", 0, nil},
		{"delay_id of another room", "POST", csDelegate, strings.Replace(delayBody, "!room:x", "!other:x", 1), ann, 400, "M_INVALID_PARAM", 0, nil},
		{"unknown delay_id, a homeserver that lists", "POST", csDelegate, strings.Replace(delayBody, "d1", "d2", 1), ann, 400, "M_INVALID_PARAM", 0, func(h *fakeHome) { h.oldDelays = true }},
		{"delegated for another SFU", "POST", csDelegate, strings.Replace(delayBody, "sfu.", "other.", 1), ann, 400, "M_INVALID_PARAM", 0, nil},
		{"the delay cannot be looked up", "POST", csDelegate, delayBody, ann, 503, "M_UNKNOWN", 0, func(h *fakeHome) { h.down = true }},

		{"federation", "POST", ssToken, peerBody, fromServer("two.example"), 200, "", 1, nil},
		{"federation, unstable", "POST", ssTokenOld, peerBody, fromServer("two.example"), 200, "", 1, nil},
		{"federation, no token", "POST", ssToken, peerBody, nil, 401, "M_MISSING_TOKEN", 0, nil},
		{"federation, a user's token", "POST", ssToken, peerBody, byToken("token-ann"), 401, "M_UNKNOWN_TOKEN", 0, nil},
		{"federation, nobody named", "POST", ssToken, peerBody, byToken(string(hsToken)), 401, "M_UNAUTHORIZED", 0, nil},
		{"federation, no user", "POST", ssToken, homeBody, fromServer("two.example"), 400, "M_BAD_JSON", 0, nil},
		{"federation, not a user", "POST", ssToken, strings.Replace(peerBody, "@bob:two.example", "bob", 1), fromServer("two.example"), 400, "M_INVALID_PARAM", 0, nil},
		{"federation, another server's user", "POST", ssToken, peerBody, fromServer("three.example"), 403, "M_FORBIDDEN", 0, nil},
		{"federation, we are not in the room", "POST", ssToken, peerBody, fromServer("two.example"), 403, "M_FORBIDDEN", 0, func(h *fakeHome) { delete(h.joined, "!room:x one.example") }},
		{"federation, the user is not in the room", "POST", ssToken, peerBody, fromServer("two.example"), 403, "M_FORBIDDEN", 0, func(h *fakeHome) { delete(h.joined, "!room:x @bob:two.example") }},
		{"federation, another SFU", "POST", ssToken, strings.Replace(peerBody, "sfu.", "other.", 1), fromServer("two.example"), 400, "M_INVALID_PARAM", 0, nil},
		{"federation, nobody can tell", "POST", ssToken, peerBody, fromServer("two.example"), 502, "M_UNKNOWN", 0, func(h *fakeHome) { h.noJoined = true }},
		{"federation, GET", "GET", ssToken, "", fromServer("two.example"), 405, "", 0, nil},

		{"ping", "POST", "/_matrix/app/v1/ping", `{"transaction_id":"x"}`, byToken(string(hsToken)), 200, "", 0, nil},
		{"ping of nobody", "POST", "/_matrix/app/v1/ping", `{}`, nil, 401, "M_MISSING_TOKEN", 0, nil},
		{"ping of a stranger", "POST", "/_matrix/app/v1/ping", `{}`, byToken("token-ann"), 403, "M_FORBIDDEN", 0, nil},
		{"transaction", "PUT", "/_matrix/app/v1/transactions/1", `{"events":[]}`, byToken(string(hsToken)), 200, "", 0, nil},
		{"transaction of a stranger", "PUT", "/_matrix/app/v1/transactions/1", `{"events":[]}`, byToken("x"), 403, "M_FORBIDDEN", 0, nil},
		{"transaction that is none", "PUT", "/_matrix/app/v1/transactions/1", `x`, byToken(string(hsToken)), 400, "M_NOT_JSON", 0, nil},
		{"transaction without a name", "PUT", "/_matrix/app/v1/transactions/", `{}`, byToken(string(hsToken)), 404, "M_UNRECOGNIZED", 0, nil},
		{"transaction with a path", "PUT", "/_matrix/app/v1/transactions/a/b", `{}`, byToken(string(hsToken)), 404, "M_UNRECOGNIZED", 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newHomeSite(t, func(cfg *Config, _ *Options) { cfg.Leaves = jobs.Memory() })
			if c.home != nil {
				s.home.set(c.home)
			}
			w := s.request(c.method, c.path, c.body, c.head)
			var e authapi.Error
			if w.Body.Len() > 0 {
				if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
					t.Fatalf("%v: %s", err, w.Body)
				}
			}
			if w.Code != c.status || e.Code != c.code {
				t.Errorf("%d %q, want %d %q: %s\nhomeserver: %q", w.Code, e.Code, c.status, c.code, w.Body, s.home.log())
			}
			if n := len(s.rooms.list()); n != c.rooms {
				t.Errorf("%d rooms, want %d", n, c.rooms)
			}
			cors := w.Header().Get("Access-Control-Allow-Origin") == "*"
			if want := strings.Contains(c.path, "/client/") || c.status == 404; cors != want {
				t.Errorf("CORS %v, want %v", cors, want)
			}
			for _, secret := range []string{string(asToken), string(hsToken)} {
				if strings.Contains(w.Body.String(), secret) {
					t.Error("the answer holds a secret")
				}
			}
		})
	}
}

// The identity is what the two generations of clients compute, and only local
// users publish.
func TestHomeTokens(t *testing.T) {
	t.Parallel()
	ann := fromUser("@ann:one.example")
	member := `{"room_id":"!room:x","slot_id":"m.call#ROOM","member":{"id":"memberABC",%s"membership":"join"}}`
	for _, c := range []struct {
		name, path, body string
		head             head
		identity         string
		publish          bool
	}{
		{"member id", csToken, strings.Replace(homeBody, "m1", "memberABC", 1), ann, hashOf("@ann:one.example", "memberABC"), true},
		{"member object", csToken, strings.Replace(member, "%s", `"claimed_device_id":"DEVICE",`, 1), ann, hashOf("@ann:one.example", "DEVICE", "memberABC"), true},
		{"newest member object", csToken, strings.Replace(member, "%s", `"device_id":"DEVICE","user_id":"@eve:x",`, 1), ann, hashOf("@ann:one.example", "DEVICE", "memberABC"), true},
		{"federation", ssToken, peerBody, fromServer("two.example"), hashOf("@bob:two.example", "m1"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newHomeSite(t, nil)
			res, grants, _ := decodeToken(t, s.request("POST", c.path, c.body, c.head))
			if res.URL != "wss://sfu.example.org" || grants.Identity != c.identity || grants.Video.Room != hashOf("!room:x", "m.call#ROOM") ||
				grants.Video.RoomCreate || *grants.Video.CanPublish != c.publish || !*grants.Video.CanSubscribe {
				t.Errorf("%q, %+v", grants.Identity, grants.Video)
			}
		})
	}
}

// A header that says who asks counts only from the homeserver.
func TestHeaderSmuggling(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, body string
		head       head
		status     int
	}{
		"user beside a user's token":   {csToken, homeBody, head{"Authorization": {"Bearer token-eve"}, authapi.HeaderUser: {"@ann:one.example"}}, 403},
		"user beside no token":         {csToken, homeBody, head{authapi.HeaderUser: {"@ann:one.example"}}, 401},
		"two users":                    {csToken, homeBody, head{"Authorization": {"Bearer " + string(hsToken)}, authapi.HeaderUser: {"@ann:one.example", "@eve:one.example"}}, 401},
		"two authorizations":           {csToken, homeBody, head{"Authorization": {"Bearer " + string(hsToken), "Bearer token-eve"}, authapi.HeaderUser: {"@ann:one.example"}}, 401},
		"origin beside a user's token": {ssToken, peerBody, head{"Authorization": {"Bearer token-eve"}, authapi.HeaderOrigin: {"two.example"}}, 401},
		"origin beside a signature":    {ssToken, peerBody, head{"Authorization": {`X-Matrix origin="three.example",key="ed25519:a_1",sig="x"`}, authapi.HeaderOrigin: {"two.example"}}, 401},
		"a user for a server":          {ssToken, peerBody, fromUser("@bob:two.example"), 401},
		"a server for a user":          {csToken, homeBody, fromServer("one.example"), 401},
	} {
		s := newHomeSite(t, nil)
		if w := s.request("POST", c.path, c.body, c.head); w.Code != c.status || len(s.rooms.list()) != 0 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	// A homeserver that gives no token of its own cannot be anybody.
	s := newHomeSite(t, func(cfg *Config, _ *Options) { cfg.AppService.HSToken = "" })
	if w := s.request("POST", csToken, homeBody, head{"Authorization": {"Bearer "}, authapi.HeaderUser: {"@ann:one.example"}}); w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// sign signs a request of a peer for one.example.
func sign(t *testing.T, key *xmatrix.Key, r xmatrix.Request) head {
	t.Helper()
	h, err := key.Sign(r)
	if err != nil {
		t.Fatal(err)
	}
	return head{"Authorization": {h}}
}

// Requests of homeservers that nobody has authenticated before us.
func TestSignedRequests(t *testing.T) {
	t.Parallel()
	good := xmatrix.Request{Method: "POST", URI: ssToken, Origin: "two.example", Destination: "one.example", Content: []byte(peerBody)}
	two, eve := testSigningKey(t, "two.example"), testSigningKey(t, "eve.example")
	for name, c := range map[string]struct {
		key    *xmatrix.Key
		change func(*xmatrix.Request)
		body   string
		peer   func(*peerServer)
		status int
	}{
		"good":               {two, nil, peerBody, nil, 200},
		"other white space":  {two, nil, strings.ReplaceAll(peerBody, ",", " , "), nil, 200},
		"wrong key":          {eve, nil, peerBody, nil, 401},
		"unknown key":        {&xmatrix.Key{ID: "ed25519:other", Private: two.Private}, nil, peerBody, nil, 401},
		"other body":         {two, nil, strings.Replace(peerBody, "m1", "m2", 1), nil, 401},
		"other path":         {two, func(r *xmatrix.Request) { r.URI = ssTokenOld }, peerBody, nil, 401},
		"other method":       {two, func(r *xmatrix.Request) { r.Method = "PUT" }, peerBody, nil, 401},
		"for another server": {two, func(r *xmatrix.Request) { r.Destination = "three.example" }, peerBody, nil, 401},
		"of ourselves":       {two, func(r *xmatrix.Request) { r.Origin = "one.example" }, peerBody, nil, 401},
		"signed for nobody":  {two, func(r *xmatrix.Request) { r.Destination = "" }, peerBody, nil, 401},
		"of another server":  {eve, func(r *xmatrix.Request) { r.Origin = "127.0.0.1:1" }, peerBody, nil, 401},
		"body twice a key":   {two, nil, strings.Replace(peerBody, "{", `{"slot_id":"x",`, 1), nil, 401},
		"keys of another": {two, nil, peerBody, func(p *peerServer) {
			p.keys = func() []byte { return serverKeys(t, "eve.example", two, time.Now().Add(time.Hour)) }
		}, 401},
		"keys too old": {two, nil, peerBody, func(p *peerServer) {
			p.keys = func() []byte { return serverKeys(t, "two.example", two, time.Now().Add(-time.Hour)) }
		}, 401},
		"keys not signed": {two, nil, peerBody, func(p *peerServer) {
			p.keys = func() []byte {
				return []byte(strings.Replace(string(serverKeys(t, "two.example", two, time.Now().Add(time.Hour))), `"signatures"`, `"other"`, 1))
			}
		}, 401},
		"keys garbage": {two, nil, peerBody, func(p *peerServer) { p.keys = func() []byte { return []byte("[") } }, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newHomeSite(t, nil)
			if c.peer != nil {
				c.peer(s.peer)
			}
			r := good
			if c.change != nil {
				c.change(&r)
			}
			w := s.request("POST", ssToken, c.body, sign(t, c.key, r))
			if w.Code != c.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// The server that a request is for is signed also where the header does not name it: old
// homeservers do so. What was signed for another server, or for nobody, is not for us.
func TestSignedForUsUnnamed(t *testing.T) {
	t.Parallel()
	for destination, want := range map[string]int{"one.example": 200, "three.example": 401, "": 401} {
		s := newHomeSite(t, nil)
		h := sign(t, testSigningKey(t, "two.example"), xmatrix.Request{Method: "POST", URI: ssToken, Origin: "two.example", Destination: destination, Content: []byte(peerBody)})
		h["Authorization"][0] = strings.Replace(h["Authorization"][0], `destination="`+destination+`",`, "", 1)
		if w := s.request("POST", ssToken, peerBody, h); w.Code != want || strings.Contains(h["Authorization"][0], "destination") {
			t.Errorf("signed for %q: %d %s", destination, w.Code, w.Body)
		}
	}
}

// The name of a scheme is not told apart by capital letters (RFC 9110, section 11.1).
func TestBearerInAnyLetters(t *testing.T) {
	t.Parallel()
	s := newHomeSite(t, nil)
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		h := head{"Authorization": {scheme + " " + string(hsToken)}, authapi.HeaderUser: {"@ann:one.example"}}
		if w := s.request("POST", csToken, homeBody, h); w.Code != 200 {
			t.Errorf("%s: %d %s", scheme, w.Code, w.Body)
		}
	}
}

// A server is asked for its keys once, and not again and again for one that it
// does not have.
func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	s := newHomeSite(t, nil)
	key := testSigningKey(t, "two.example")
	good := sign(t, key, xmatrix.Request{Method: "POST", URI: ssToken, Origin: "two.example", Destination: "one.example", Content: []byte(peerBody)})
	other := sign(t, &xmatrix.Key{ID: "ed25519:x", Private: key.Private}, xmatrix.Request{Method: "POST", URI: ssToken, Origin: "two.example", Destination: "one.example", Content: []byte(peerBody)})
	for range 3 {
		if w := s.request("POST", ssToken, peerBody, good); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w := s.request("POST", ssToken, peerBody, other); w.Code != 401 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if d := cmp.Diff([]string{"GET " + keysPath}, s.peer.log()); d != "" {
		t.Error(d)
	}
}

// With the homeserver's key other homeservers are asked directly.
func TestSignedRelay(t *testing.T) {
	t.Parallel()
	s := newHomeSite(t, func(cfg *Config, _ *Options) { cfg.AppService.SigningKey = Secret(signingKeyFile("one.example")) })
	body := strings.Replace(homeBody, "{", `{"server_name":"two.example",`, 1)
	w := s.request("POST", csToken, body, fromUser("@ann:one.example"))
	var res authapi.TokenResponse
	if err := json.Unmarshal(w.Body.Bytes(), &res); err != nil || w.Code != 200 || res.JWT != "x.y.z" || res.URL != "wss://theirs" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if d := cmp.Diff([]string{"POST " + ssTokenOld}, s.peer.log()); d != "" {
		t.Error(d)
	}
	a, err := xmatrix.Parse(s.peer.auth[0])
	if err != nil || a.Origin != "one.example" || a.Destination != "two.example" {
		t.Errorf("%+v, %v", a, err)
	}
	s.peer.mu.Lock()
	s.peer.status, s.peer.body = http.StatusNotFound, `{"errcode":"M_UNRECOGNIZED"}`
	s.peer.mu.Unlock()
	if w := s.request("POST", csToken, body, fromUser("@ann:one.example")); w.Code != 502 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if log := s.peer.log(); len(log) != 3 || log[2] != "POST "+ssToken {
		t.Errorf("%q", log)
	}
}
