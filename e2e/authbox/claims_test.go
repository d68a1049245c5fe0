package authbox

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestClaims: what a token says, of whom, and for how long.
func TestClaims(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	far := func(o object) object {
		if m, ok := o["member"].(object); ok {
			m["claimed_user_id"] = s.far.user("bob")
		}
		return edited(o, set("openid_token", s.far.vouch(s.far.user("bob"))))
	}
	for _, c := range []struct {
		name, path string
		body       object
	}{
		{"/sfu/get claims", "/sfu/get", s.sfuGet()},
		{"/get_token claims", "/get_token", s.getToken()},
		{"/sfu/get claims of a restricted user", "/sfu/get", far(s.sfuGet())},
		{"/get_token claims of a restricted user", "/get_token", far(s.getToken())},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := time.Now().Unix()
			r := s.do(post(c.path, c.body))
			g := r.granted(t)
			after := time.Now().Unix()
			if got := slices.Sorted(maps.Keys(r.object())); !slices.Equal(got, []string{"jwt", "url"}) {
				t.Errorf("the answer holds %q", got)
			}
			if r.text("url") != s.sfu.url() {
				t.Errorf("url %q, want %q", r.text("url"), s.sfu.url())
			}
			if g.claims["iss"] != sfuKey {
				t.Errorf("iss %v", g.claims["iss"])
			}
			nbf, _ := g.claims["nbf"].(float64)
			exp, _ := g.claims["exp"].(float64)
			if int64(nbf) < before-60 || int64(nbf) > after {
				t.Errorf("nbf %v, asked between %v and %v", int64(nbf), before, after)
			}
			compare(t, c.name+": life", "1h0m0s", (time.Duration(exp-nbf) * time.Second).String())
			video := edited(g.video, set("room", nil))
			compare(t, c.name, `{"canPublish":true,"canSubscribe":true,"canUpdateOwnMetadata":true,"hidden":false,"roomCreate":false,"roomJoin":true}`,
				string(encode(withDefaults(video))))
		})
	}
}

// withDefaults says what LiveKit makes of a grant in which things are not said.
func withDefaults(video object) object {
	for name, byDefault := range map[string]bool{
		"canPublish": true, "canSubscribe": true, "canUpdateOwnMetadata": false, "hidden": false, "roomCreate": false, "roomJoin": false,
	} {
		if _, ok := video[name]; !ok {
			video[name] = byDefault
		}
	}
	return video
}

// TestIdentities: who the participant is on the SFU, and in which room, by the
// hashes of MSC4195 over canonical JSON.
func TestIdentities(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	alice := s.hs.user("alice")
	for _, c := range []struct {
		name, room, slot string
		device, member   string
	}{
		{"vector", "!roomid:example.com", "slot1234", "DEVICE123", "memberABC"},
		{"m.call#ROOM", "!room:example.org", "m.call#ROOM", "PHONE", "6d0e"},
		{"m.call#room", "!room:example.org", "m.call#room", "PHONE", "6d0e"},
		{"angle brackets and ampersands", "!a<b>&c:example.org", "m.call#<&>", "A&B", "<6d0e>"},
		{"quotes and backslashes", `!a"b\c:example.org`, `m.call#"\"`, `A"B`, `6\d`},
		{"other scripts", "!комната:example.org", "m.call#☎\U0001F600", "téléphone", "ñ"},
		{"line separators", "!a\u2028b\u2029:example.org", "m.call#\u2028", "A\u2028", "\u2029"},
		{"control characters", "!a\x01\x7f\t\n:example.org", "m.call#\b\f\r", "A\x1f", "\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := s.do(post("/get_token", edited(s.getToken(), set("room_id", c.room), set("slot_id", c.slot),
				set("member.id", c.member), set("member.claimed_device_id", c.device)))).granted(t)
			row := "hashes, " + c.name
			compare(t, "/get_token "+row, canonical, hashed(g.room, c.room, c.slot))
			compare(t, "/get_token participant "+row, canonical, hashed(g.sub, alice, c.device, c.member))
			if n, _ := s.sfu.has(g.room); n == 0 {
				t.Error("the token is for a room that was not made")
			}
			g = s.do(post("/sfu/get", edited(s.sfuGet(), set("room", c.room), set("device_id", c.device)))).granted(t)
			compare(t, "/sfu/get "+row, canonical, hashed(g.room, c.room, slot))
			if want := alice + ":" + c.device; g.sub != want {
				t.Errorf("sub %q, want %q", g.sub, want)
			}
		})
	}
}

// TestVectors: the published vector of an identity is of a user of example.com.
func TestVectors(t *testing.T) {
	t.Parallel()
	needOurs(t, "homeserver_overrides, with which example.com can be here")
	s := &scene{sfu: startFakeSFU(t), hs: startFake(t)}
	e := basic(s.sfu.url(), "example.com")
	e["MATRIXRTC_CONFIG"] = file(t, "homeserver_overrides: {example.com: "+s.hs.base+"}\n")
	s.service = start(t, e)
	token := edited(s.hs.vouch("@alice:example.com"), set("matrix_server_name", "example.com"))
	g := s.do(post("/get_token", object{
		"room_id": "!roomid:example.com", "slot_id": "slot1234", "openid_token": token,
		"member": object{"id": "memberABC", "claimed_user_id": "@alice:example.com", "claimed_device_id": "DEVICE123"},
	})).granted(t)
	if g.room != "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc" || g.sub != "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU" {
		t.Errorf("room %s, participant %s", g.room, g.sub)
	}
}

// TestRooms: who has full access finds a room on the SFU, others find what others
// have made.
func TestRooms(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	body := s.sfuGet()
	g := s.do(post("/sfu/get", body)).granted(t)
	_, how := s.sfu.has(g.room)
	if how == nil {
		t.Fatal("the room was not made")
	}
	if how.EmptyTimeout != 300 || how.DepartureTimeout != 20 || how.MaxParticipants != 0 {
		t.Errorf("the room was made so: %v", how)
	}
	again := s.do(post("/sfu/get", edited(body, set("device_id", "TABLET")))).granted(t)
	if again.room != g.room || again.sub == g.sub {
		t.Errorf("the second device: %q in %q, the first: %q in %q", again.sub, again.room, g.sub, g.room)
	}
	restricted := edited(s.sfuGet(), set("openid_token", s.far.vouch(s.far.user("bob"))))
	g = s.do(post("/sfu/get", restricted)).granted(t)
	if n, _ := s.sfu.has(g.room); n != 0 {
		t.Error("a restricted user has made a room")
	}
	t.Run("SFU fails", func(t *testing.T) {
		s.sfu.fail(true)
		defer s.sfu.fail(false)
		compare(t, "/sfu/get while the SFU fails", "500 M_UNKNOWN", s.do(post("/sfu/get", s.sfuGet())).said())
		compare(t, "/get_token while the SFU fails", "500 M_UNKNOWN", s.do(post("/get_token", s.getToken())).said())
		if g := s.do(post("/sfu/get", restricted)); g.status != http.StatusOK {
			t.Errorf("a restricted user, for whom no room is made, gets %d", g.status)
		}
	})
}

// TestBrowsers: pages of other origins may ask, and read what is answered.
func TestBrowsers(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, e := range endpoints {
		t.Run(strings.TrimPrefix(e.path, "/"), func(t *testing.T) {
			t.Parallel()
			origin := map[string]string{"Origin": "https://call.example.org"}
			r := s.do(request{method: http.MethodOptions, path: e.path, header: map[string]string{
				"Origin": "https://call.example.org", "Access-Control-Request-Method": "POST",
				"Access-Control-Request-Headers": "content-type",
			}})
			if r.status != http.StatusOK || len(r.body) > 0 {
				t.Errorf("preflight: %d %q", r.status, r.body)
			}
			if !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "POST") {
				t.Errorf("methods: %q", r.header.Get("Access-Control-Allow-Methods"))
			}
			if !strings.Contains(strings.ToLower(r.header.Get("Access-Control-Allow-Headers")), "content-type") {
				t.Errorf("headers: %q", r.header.Get("Access-Control-Allow-Headers"))
			}
			good := post(e.path, e.body(s))
			good.header = origin
			// A client that wants to know whether leaves can be handed over asks
			// without a body, and takes everything but 404 for a yes.
			for name, q := range map[string]request{"good": good, "probe": {path: e.path, header: origin}} {
				answer := s.do(q)
				for _, r := range []*reply{r, answer} {
					if got := r.header.Values("Access-Control-Allow-Origin"); !slices.Equal(got, []string{"*"}) {
						t.Errorf("%s: origins %q", name, got)
					}
				}
				if name == "probe" && answer.status != http.StatusBadRequest {
					t.Errorf("the probe is answered with %d", answer.status)
				}
			}
		})
	}
}

// TestOthers: what is not for clients, or not there.
func TestOthers(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	is := func(name, want, method, path string) row {
		return row{name, want, func(*scene) request { return request{method: method, path: path} }}
	}
	for _, r := range []row{
		is("/healthz GET", "200", "GET", "/healthz"),
		is("/healthz HEAD", "200", "HEAD", "/healthz"),
		is("/healthz POST", "405", "POST", "/healthz"),
		is("/sfu_webhook GET", "405", "GET", "/sfu_webhook"),
		is("/sfu_webhook without a signature", "200", "POST", "/sfu_webhook"),
		is("/ GET", "404 M_UNRECOGNIZED", "GET", "/"),
		is("/nope POST", "404 M_UNRECOGNIZED", "POST", "/nope"),
		is("/sfu POST", "404 M_UNRECOGNIZED", "POST", "/sfu"),
		{"/livekit/jwt/sfu/get behind a proxy that does not strip", "200", func(s *scene) request {
			return post("/livekit/jwt/sfu/get", s.sfuGet())
		}},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			compare(t, r.name, r.want, s.do(r.make(s)).said())
		})
	}
}
